package fleet

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// writeGolden lets TestHistories write the hashes that it finds; a change of a decision is a change of every history.
var writeGolden = flag.Bool("write-golden", false, "write the histories' hashes anew")

// small is a world that a slow processor plays as well.
func small(seed uint64) Plan {
	return Plan{Seed: seed, Stations: 3, Span: 8 * time.Hour, Daily: 1500}
}

// A seed is one history: the same steps on every machine. The hashes in testdata were written on amd64; the storage and uplink
// tests of CI run this one as arm64 and armv7 too.
func TestHistories(t *testing.T) {
	file := filepath.Join("testdata", "histories.txt")
	var got strings.Builder
	for seed := range uint64(6) {
		sum, err := Play(small(seed))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%d %s\n", seed, sum.Hash)
	}
	if *writeGolden {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got.String() != string(want) {
		t.Errorf("%s (%v):\n got\n%swant\n%s\nIf a decision of the outbox, the chain rule or the wire has changed on purpose: go test ./sim/fleet -run Histories -write-golden",
			file, err, got.String(), want)
	}
}

// worlds is how many seeds TestWorlds plays: FLEETSEEDS of them.
func worlds(t *testing.T) uint64 {
	text := os.Getenv("FLEETSEEDS")
	switch {
	case text == "" && testing.Short(): // under an emulator
		return 1
	case text == "":
		return 12
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("FLEETSEEDS: %v", err)
	}
	return n
}

// Whatever happens in a world, once it is fair every acknowledged event is at every entitled centre, once and in order, or a
// marker says that it was evicted.
func TestWorlds(t *testing.T) {
	var all Summary
	for seed := range worlds(t) {
		sum, err := Play(Plan{Seed: 1000 + seed})
		var failure *Failure
		if errors.As(err, &failure) {
			t.Fatalf("seed %d: %v\n\nas little as it takes: %v", failure.Plan.Seed, failure.What, Shrink(failure))
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Events, all.Evicted, all.Dropped, all.Hits = all.Events+sum.Events, all.Evicted+sum.Evicted, all.Dropped+sum.Dropped, all.Hits+sum.Hits
		all.Kills, all.Crashes, all.Restores, all.Epochs = all.Kills+sum.Kills, all.Crashes+sum.Crashes, all.Restores+sum.Restores, all.Epochs+sum.Epochs
		all.Gaps, all.Duplicates, all.AskedOver, all.Stalls = all.Gaps+sum.Gaps, all.Duplicates+sum.Duplicates, all.AskedOver+sum.AskedOver, all.Stalls+sum.Stalls
		all.Links, all.Steps = all.Links+sum.Links, all.Steps+sum.Steps
	}
	t.Logf("%d worlds: %d events, %d evicted, %d steps; %d links, %d agents killed, %d centres killed, %d restored, %d epochs; %d kills hit frames under way; "+
		"%d frames acknowledged and dropped; %d gaps, %d repeats, %d stalls, %d times asked again",
		worlds(t), all.Events, all.Evicted, all.Steps, all.Links, all.Kills, all.Crashes, all.Restores, all.Epochs, all.Hits,
		all.Dropped, all.Gaps, all.Duplicates, all.Stalls, all.AskedOver)
	if worlds(t) < 12 {
		return
	}
	for what, n := range map[string]int{
		"evicted": all.Evicted, "dropped": all.Dropped, "hit": all.Hits, "kills": all.Kills, "crashes": all.Crashes, "restores": all.Restores,
		"epochs": all.Epochs, "gaps": all.Gaps, "repeats": all.Duplicates, "asked again": all.AskedOver, "stalls": all.Stalls,
	} {
		if n == 0 {
			t.Errorf("no world had any: %s", what)
		}
	}
	if all.Hits*2 < all.Kills {
		t.Errorf("%d kills hit frames under way, %d agents were killed", all.Hits, all.Kills)
	}
}

// A World that finds no planted bug would find no real one.
func TestPlantedBugsAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("shrinking takes minutes under an emulator, and the histories are the same there")
	}
	for name, tt := range map[string]struct {
		d    defects
		says string
	}{
		"a centre that stores whatever comes":       {defects{noChain: true}, "duplicated"},
		"a station that takes PUBACK for a receipt": {defects{ackFrees: true}, "the centre never had more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := play(small(4), tt.d)
			var found *Failure
			if !errors.As(err, &found) || !strings.Contains(found.What.Error(), tt.says) {
				t.Fatalf("not found: %.2000v", err)
			}
			least := shrink(found, tt.d)
			t.Logf("%s: %v", least.Plan, least.What)
			if least.Plan.Stations != 1 || least.Plan.Span > 6*time.Hour || least.Plan.Without.count() < 3 {
				t.Errorf("was not shrunk: %s", least.Plan)
			}
			if _, again := play(least.Plan, tt.d); again == nil || len(least.Tail) == 0 {
				t.Error("what is left does not fail again, or shows no steps")
			}
			if _, err := Play(least.Plan); err != nil {
				t.Errorf("without the bug: %v", err)
			}
		})
	}
}

// Leaving a fault out leaves the rest of the history's dice as they are, and the trace says what happened.
func TestTraces(t *testing.T) {
	var first, again strings.Builder
	p := small(3)
	p.Trace = &first
	one, err := Play(p)
	if err != nil {
		t.Fatal(err)
	}
	p.Trace = &again
	two, err := Play(p)
	if err != nil || first.String() != again.String() || one.Hash != two.Hash || one.Steps != two.Steps {
		t.Errorf("a seed is two histories: %s and %s, %v", one.Hash, two.Hash, err)
	}
	if n := strings.Count(first.String(), "\n"); uint64(n) != one.Steps {
		t.Errorf("%d lines, %d steps", n, one.Steps)
	}
	other, err := Play(small(4))
	if err != nil || other.Hash == one.Hash {
		t.Errorf("another seed: %s, %v", other.Hash, err)
	}
	p.Without, p.Trace = AllFaults, nil
	calm, err := Play(p)
	if err != nil || calm.Kills+calm.Crashes+calm.Restores+calm.Dropped+calm.Gaps+calm.Evicted+calm.Epochs > 0 {
		t.Errorf("a world without faults had some: %v\n%s", err, calm)
	}
	if calm.Frames == 0 || calm.Duplicates > 0 || calm.ReceiptsLost > 0 {
		t.Errorf("a world without faults: %s", calm)
	}
	p.Trace = broken{}
	if _, err := Play(p); !errors.Is(err, errBroken) {
		t.Errorf("a trace that cannot be written: %v", err)
	}
}

var errBroken = errors.New("no space")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestFaultsHaveNames(t *testing.T) {
	if s := (FaultLink | FaultClock).String(); s != "link,clock" {
		t.Error(s)
	}
	if s := AllFaults.String(); strings.Count(s, ",") != AllFaults.count()-1 || Faults(0).String() != "none" {
		t.Error(s)
	}
}

func BenchmarkWorld(b *testing.B) {
	steps := uint64(0)
	for b.Loop() {
		sum, err := Play(small(1))
		if err != nil {
			b.Fatal(err)
		}
		steps += sum.Steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}
