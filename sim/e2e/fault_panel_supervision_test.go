package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/panel"
	"watchpost/storage/event"
)

// A minute of supervision is six seconds here, and a panel speaks three times in it, as it would every 20 s.
const (
	supervisedPanels = 1000
	supervisedTCP    = 100 // of them; one host may have 128 connections
	silentFor        = 6 * time.Second
	supervisionPoll  = silentFor / 3
	supervisionTold  = silentFor * 3 / 2 // of 60 s: 90 s
	supervisionLost  = 50
)

// guarded are many panels that say nothing but that they are there.
type guarded struct {
	t     *testing.T
	group errgroup.Group
	stops []context.CancelFunc
}

func guardedAccount(i int) string { return fmt.Sprintf("%04X", 0xC000+i) }

// guardedKeyed says which of them are encrypted.
func guardedKeyed(i int) bool { return i%2 == 0 }

// options are those of panel i.
func (v *village) guardedOptions(i int) panel.Options {
	o := panel.Options{To: "udp://" + v.udp(), Account: guardedAccount(i), Poll: supervisionPoll, Retry: time.Second}
	if i < supervisedTCP {
		o.To = "tcp://" + v.panels
	}
	if guardedKeyed(i) {
		o.Key, _ = hex.DecodeString(keyHex)
	}
	return o
}

// run starts panel i, or starts it again.
func (g *guarded) run(i int, o panel.Options) {
	g.t.Helper()
	p, err := panel.New(o)
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(g.t.Context())
	g.stops[i] = stop
	g.group.Go(func() error { return p.Run(ctx) })
}

// links counts the panels' links by their state, as the local door says.
func (v *village) links() (states map[string]int, err error) {
	st, err := v.door()
	states = map[string]int{}
	for _, d := range st.Drivers {
		for _, r := range d.Readings {
			if account, ok := strings.CutPrefix(r.Name, "dc09/C"); ok && len(account) == 3 {
				states[r.State]++
			}
		}
	}
	return states, err
}

func (v *village) linked(limit time.Duration, want map[string]int) {
	v.t.Helper()
	within(v.t, limit, fmt.Sprint("panels' links ", want), func() error {
		got, err := v.links()
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("%v", got)
		}
		return err
	})
}

// TestFaultPanelsFallSilent: of 1,000 supervised panels, some are lost. Each of these is told in time, though somebody plays it
// without its key, and none that is only quiet; those that come back are told too. A panel that nobody supervises may say nothing.
func TestFaultPanelsFallSilent(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	p := caoping(c)
	var yaml strings.Builder
	for i := range supervisedPanels {
		key := ""
		if guardedKeyed(i) {
			key = ", key_hex: " + keyHex
		}
		fmt.Fprintf(&yaml, "  - {id: \"%s\", supervision: %s%s}\n", guardedAccount(i), silentFor, key)
	}
	p.accounts = yaml.String() + "  - {id: \"BEEF\"}\n"
	v := p.build(t)
	v.start()
	v.online()
	g := guarded{t: t, stops: make([]context.CancelFunc, supervisedPanels)}
	for i := range supervisedPanels { // their polls are spread by the time that this takes, and by chance
		g.run(i, v.guardedOptions(i))
	}
	v.linked(patience, map[string]int{"up": supervisedPanels})
	begun, cpu := time.Now(), cpuMS(t, v.agent)
	rested := time.NewTimer(silentFor)
	<-rested.C
	spent := (cpuMS(t, v.agent) - cpu) / time.Since(begun).Seconds()
	t.Logf("%d panels, %d of them over TCP, a poll every %s: %.1f ms of processor a second, %.0f MiB", supervisedPanels, supervisedTCP, supervisionPoll, spent, rssMiB(t, v.agent))
	v.linked(patience, map[string]int{"up": supervisedPanels})

	lost := map[string]time.Time{}
	for n := range supervisionLost { // every second one is a TCP panel
		i := n
		if n%2 == 1 {
			i = supervisedPanels - 1 - n
		}
		g.stops[i]()
		lost[guardedAccount(i)] = time.Now()
	}
	var played sync.WaitGroup
	a, err := panel.NewAttacker(panel.AttackOptions{To: "tcp://" + v.panels, Attack: panel.AttackPlain, Account: guardedAccount(0), Count: 1 << 20,
		Connections: 1, From: from(), For: supervisionTold})
	if err != nil {
		t.Fatal(err)
	}
	played.Go(func() {
		if _, err := a.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	v.linked(2*supervisionTold, map[string]int{"up": supervisedPanels - supervisionLost, "lost": supervisionLost})
	played.Wait()
	v.drained()
	worst := checkLost(t, c.stored(v.id), lost)
	t.Logf("%d panels lost, each told after at most %s of %s", len(lost), worst.Round(time.Millisecond), supervisionTold)

	for i := range supervisedPanels {
		if _, gone := lost[guardedAccount(i)]; gone {
			g.run(i, v.guardedOptions(i))
		}
	}
	v.linked(patience, map[string]int{"up": supervisedPanels})
	v.drained()
	back := 0
	for _, e := range c.stored(v.id) {
		previous, _ := e.Body.Text(event.TagPrevious)
		if e.Kind == event.KindPanelLink && e.Qualifier == event.QualifierRestore && previous == "lost" {
			back++
		}
	}
	if back != supervisionLost {
		t.Errorf("%d panels are told to be back, want %d", back, supervisionLost)
	}
	for _, stop := range g.stops {
		stop()
	}
	if err := g.group.Wait(); err != nil {
		t.Error(err)
	}
	stopsWell(t, v.agent)
}

// checkLost holds that each lost panel is told once and in time, and no other, and answers the longest time.
func checkLost(t *testing.T, all []event.Event, lost map[string]time.Time) (worst time.Duration) {
	t.Helper()
	told := map[string]int{}
	for _, e := range all {
		account, _ := e.Body.Text(event.TagAccount)
		state, _ := e.Body.Text(event.TagState)
		if e.Kind != event.KindPanelLink || state != "lost" {
			continue
		}
		at, gone := lost[account]
		if told[account]++; !gone || told[account] > 1 {
			t.Errorf("panel %s is told to be lost, %d times", account, told[account])
			continue
		}
		took := e.At.Sub(at)
		if worst = max(worst, took); took > supervisionTold || took < silentFor-supervisionPoll-time.Second {
			t.Errorf("panel %s is told to be lost after %s", account, took)
		}
	}
	if len(told) != len(lost) {
		t.Errorf("%d of %d lost panels are told", len(told), len(lost))
	}
	return worst
}
