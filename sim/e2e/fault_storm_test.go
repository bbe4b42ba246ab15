package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"watchpost/storage/event"
)

// record is what a simulated panel has written of its reports so far.
type record struct{ sent, acked map[int]bool }

// inFlight is how many reports were sent and not acknowledged.
func (r record) inFlight() int { return len(r.sent) - len(r.acked) }

// readRecord reads the file of simctl panel --log; a line that is being written is left out.
func readRecord(t testing.TB, file string) record {
	t.Helper()
	r := record{map[int]bool{}, map[int]bool{}}
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if b = rest; !whole {
			break
		}
		var word string
		var n int
		if _, err := fmt.Sscanf(string(line), "%s %d", &word, &n); err != nil {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		if word == "sent" {
			r.sent[n] = true
		} else {
			r.acked[n] = true
		}
	}
	return r
}

// TestFaultKillDuringPanelStorm kills the agent with kill -9 at random moments while a panel sends thousands of frames, several
// in flight. Whatever the panel was acknowledged is at the centre in the end, and nothing is there twice.
func TestFaultKillDuringPanelStorm(t *testing.T) {
	const frames, kills, window = 5000, 20, 32
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	moments := make([]int, kills) // in acknowledged frames, so that they are spread over the storm whatever the disk's speed
	for i := range moments {
		moments[i] = random.IntN(frames * 19 / 20)
	}
	slices.Sort(moments)

	c := newCentre(t)
	v := caoping(c).build(t)
	v.start()
	file := filepath.Join(t.TempDir(), "panel.log")
	panel := start(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--codes", "BA,BR", "--count", fmt.Sprint(frames),
		"--window", fmt.Sprint(window), "--log", file)
	hit, before := 0, 0
	var unsure []map[int]time.Time // for each kill, when it came, by the reports in flight
	for i, moment := range moments {
		within(t, time.Minute, "the panel's progress", func() error {
			if n := len(readRecord(t, file).acked); n < moment || n == before {
				return fmt.Errorf("%d of %d frames are acknowledged", n, moment)
			}
			return nil
		})
		delay := time.NewTimer(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		<-delay.C
		at := time.Now()
		v.agent.kill()
		r := readRecord(t, file)
		before = len(r.acked)
		flight := map[int]time.Time{}
		for n := range r.sent {
			if !r.acked[n] {
				flight[n] = at
			}
		}
		unsure = append(unsure, flight)
		if r.inFlight() > 0 {
			hit++
		}
		t.Logf("kill %2d at frame %4d: acked %4d, in flight %2d", i+1, moment, before, r.inFlight())
		v.start()
	}
	if hit < kills/2 {
		t.Errorf("%d of %d kills hit unacknowledged frames, want at least half", hit, kills)
	}
	within(t, time.Minute, "the panel's end", func() error {
		if panel.running() {
			return fmt.Errorf("%d frames are acknowledged", len(readRecord(t, file).acked))
		}
		return nil
	})
	if code := panel.wait(); code != 0 {
		t.Fatalf("panel: exit code %d:\n%s", code, panel.tail(10))
	}
	v.drained()
	r, all := readRecord(t, file), c.stored(v.id)
	t.Logf("%d of %d kills hit unacknowledged frames, %d of which were on disk already; %d frames acknowledged, %d panel events and %d in all at the centre; sent %s",
		hit, kills, storedBefore(all, unsure), len(r.acked), len(panelMarks(all)), len(all), panel.line("sent "))
	if len(r.acked) != frames {
		t.Errorf("%d of %d frames are acknowledged", len(r.acked), frames)
	}
	checkOnce(t, all)
	checkMarks(t, all, 1, frames)
	for _, lane := range event.Lanes() { // one panel's reports keep their order, kills or not
		var of []event.Event
		for _, e := range all {
			if e.Lane == lane {
				of = append(of, e)
			}
		}
		if marks := panelMarks(of); !slices.IsSorted(marks) {
			t.Errorf("lane %s: the reports are out of the panel's order", lane)
		}
	}
	epochs := map[event.Epoch]bool{}
	for _, e := range all {
		epochs[e.Epoch] = true
	}
	if len(epochs) != 1 {
		t.Errorf("%d epochs: a kill cost the log", len(epochs))
	}
	stopsWell(t, v.agent)
}

// storedBefore counts the reports that were in flight at a kill and were stored before it.
func storedBefore(all []event.Event, unsure []map[int]time.Time) (count int) {
	for _, e := range all {
		for _, n := range panelMarks([]event.Event{e}) {
			for _, flight := range unsure {
				if at, ok := flight[n]; ok && e.At.Before(at) {
					count++
				}
			}
		}
	}
	return count
}
