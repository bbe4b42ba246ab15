package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
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

// TestFaultKillDuringPanelStorm kills agents with kill -9 at random moments while their panels send thousands of frames, several
// in flight: 50 times in all, 500 times with WATCHPOST_LONG. Whatever a panel was acknowledged is at the centre in the end,
// nothing is there twice, and each start finds its log without a person.
func TestFaultKillDuringPanelStorm(t *testing.T) {
	t.Parallel()
	kills := 25 // of each village
	if long() {
		kills = 250
	}
	random := seeded(t)
	c := newCentre(t)
	for n := range 2 {
		random := rand.New(rand.NewPCG(random.Uint64(), 0))
		t.Run(fmt.Sprint("village ", n+1), func(t *testing.T) {
			t.Parallel()
			killDuringStorm(t, c, fmt.Sprint("cs-storm-", n+1), kills, random)
		})
	}
}

func killDuringStorm(t *testing.T, c *centre, id string, kills int, random *rand.Rand) {
	const perKill, window = 120, 32
	frames := kills * perKill
	moments := make([]int, kills) // in acknowledged frames, so that they are spread over the storm whatever the disk's speed
	for i := range moments {
		moments[i] = 1 + random.IntN(frames*19/20)
	}
	slices.Sort(moments)
	plan := caoping(c)
	plan.id = id
	v := plan.build(t)
	v.start()
	panel := v.panel(1, frames, window)
	hit, before := 0, 0
	var unsure []map[int]time.Time // for each kill, when it came, by the reports in flight
	for i, moment := range moments {
		v.acked(max(moment, before+1))
		briefly(random, 20*time.Millisecond)
		at := time.Now()
		v.agent.kill()
		r := readRecord(t, v.panelLog())
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
	v.reported(panel)
	v.storedAt(0, 4*patience)
	verdict := judge(t, []*village{v}, site{"changshan", c, nil})
	t.Logf("%d of %d kills hit unacknowledged frames, %d of which were on disk already; sent %s",
		hit, kills, storedBefore(c.stored(v.id), unsure), panel.line("sent "))
	if verdict.Acked != frames {
		t.Errorf("%d of %d frames are acknowledged", verdict.Acked, frames)
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
