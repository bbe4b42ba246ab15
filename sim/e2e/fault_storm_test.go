package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
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

// stormPanel is one panel of a storm: how it reaches the station, and how.
type stormPanel struct {
	account, network, key string
	window, perKill       int
}

// stormPanels are of every kind: plain and encrypted, over TCP with many frames in flight and over UDP with one. A panel over UDP
// that had several in flight could not be held to their order.
func stormPanels() []stormPanel {
	key := strings.Repeat("5A", 16)
	return []stormPanel{{standardAccount, "tcp", "", 32, 40}, {"A128", "tcp", key, 32, 40}, {"0D09", "udp", "", 1, 25}, {"0D0A", "udp", key, 1, 25}}
}

// TestFaultKillDuringPanelStorm kills agents with kill -9 at random moments while their panels send thousands of frames that are
// not acknowledged yet: 100 times in all, 1,000 times with WATCHPOST_LONG. Whatever a panel was acknowledged is at the centre in
// the end, nothing is there twice, and each start finds its log without a person.
func TestFaultKillDuringPanelStorm(t *testing.T) {
	t.Parallel()
	kills := 50 // of each village
	if long() {
		kills = 500
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

// unsure are the reports that were in flight at a kill, by their panels' accounts.
type unsure struct {
	at      time.Time
	reports map[string][]int
}

func killDuringStorm(t *testing.T, c *centre, id string, kills int, random *rand.Rand) {
	plan := caoping(c)
	plan.id = id
	frames := 0
	for _, p := range stormPanels() {
		frames += kills * p.perKill
		if p.account != standardAccount {
			plan.accounts += fmt.Sprintf("  - {id: %q, key_hex: %q}\n", p.account, p.key)
		}
	}
	moments := make([]int, kills) // in acknowledged frames, so that they are spread over the storm whatever the disk's speed
	for i := range moments {
		moments[i] = 1 + random.IntN(frames*19/20)
	}
	slices.Sort(moments)
	v := plan.build(t)
	v.start()
	v.agent.kill()
	v.start() // now TCP and UDP have the same port, and keep it
	panels := v.stormOf(kills)
	hits, before := map[string]int{}, 0
	var flights []unsure
	for i, moment := range moments {
		v.acked(max(moment, before+1))
		briefly(random, 20*time.Millisecond)
		flight := unsure{time.Now(), map[string][]int{}}
		v.agent.kill()
		before = v.acknowledged()
		for _, p := range stormPanels() {
			if flight.reports[p.account] = readRecord(t, v.logOf(p.account)).unanswered(); len(flight.reports[p.account]) > 0 {
				hits[p.account]++
			}
		}
		flights = append(flights, flight)
		t.Logf("kill %2d at frame %4d: acked %4d", i+1, moment, before)
		v.start()
	}
	for _, p := range stormPanels() {
		if hits[p.account] < kills/3 {
			t.Errorf("%d of %d kills hit unacknowledged frames of panel %s, want at least a third", hits[p.account], kills, p.account)
		}
	}
	v.reported(panels...)
	v.storedAt(0, 4*patience)
	verdict := judge(t, []*village{v}, site{"changshan", c, nil})
	t.Logf("%d kills hit unacknowledged frames of panels %v, %d of which were on disk already", kills, hits, storedBefore(c.stored(v.id), flights))
	if verdict.Acked != frames {
		t.Errorf("%d of %d frames are acknowledged", verdict.Acked, frames)
	}
	stopsWell(t, v.agent)
}

// stormOf starts the panels of a storm of so many kills.
func (v *village) stormOf(kills int) (panels []*process) {
	v.t.Helper()
	for _, p := range stormPanels() {
		args := []string{"panel", "--to", p.network + "://" + v.panels, "--account", p.account, "--codes", "BA,BR", "--count", fmt.Sprint(kills * p.perKill),
			"--window", fmt.Sprint(p.window), "--retry", "200ms", "--log", v.logOf(p.account)}
		if p.key != "" {
			args = append(args, "--key-hex", p.key)
		}
		panels = append(panels, start(v.t, "simctl", args...))
	}
	within(v.t, patience, "the panels' logs", func() error {
		if n := len(v.panelLogs()); n < len(panels) {
			return fmt.Errorf("%d of %d", n, len(panels))
		}
		return nil
	})
	return panels
}

// unanswered are the reports that were sent and not acknowledged.
func (r record) unanswered() (reports []int) {
	for n := range r.sent {
		if !r.acked[n] {
			reports = append(reports, n)
		}
	}
	return reports
}

// storedBefore counts the reports that were in flight at a kill and were stored before it.
func storedBefore(all []event.Event, flights []unsure) (count int) {
	for _, e := range all {
		account, _ := e.Body.Text(event.TagAccount)
		for _, n := range panelMarks([]event.Event{e}) {
			for _, flight := range flights {
				if e.At.Before(flight.at) && slices.Contains(flight.reports[account], n) {
					count++
				}
			}
		}
	}
	return count
}
