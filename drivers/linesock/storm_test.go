package linesock

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers/contact"
	"watchpost/sim/board"
	"watchpost/storage/event"
)

// facts counts what contacts tell, by zone and state.
type facts struct {
	mu   sync.Mutex // guards the fields below
	told map[string]int
	lost uint64
}

func (f *facts) sink(_ context.Context, d event.Draft) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	state, _ := d.Body.Text(event.TagState)
	reason, _ := d.Body.Text(event.TagReason)
	f.told[d.Zone+" "+state]++
	if reason == "chatter" && state == "fault" {
		f.told["chatter"]++
	}
	if lost, ok := d.Body.Uint(event.TagLost); ok && d.Zone != "storm" {
		f.lost += lost
	}
	return nil
}

func (f *facts) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told[what]
}

// TestStorm has one line of a box change 1,000 times a second over a real socket, while 31 others change twice each: no change
// of those is lost, and the storm is one fault.
func TestStorm(t *testing.T) {
	names := []string{"storm"}
	for i := range 31 {
		names = append(names, fmt.Sprintf("zone-%d", i+1))
	}
	var contacts []contact.Config
	for _, n := range names {
		contacts = append(contacts, contact.Config{Zone: n, Line: n, Severity: event.SeverityAlarm})
	}
	n := newBench(t)
	n.stop()
	var err error
	n.board, err = board.New(names...)
	must(t, err)
	n.on()
	d, err := contact.New(contact.Options{Lines: n.client(0), Contacts: contacts})
	must(t, err)
	f := &facts{told: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return d.Run(ctx, f.sink) })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	wait := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !holds(); <-tick.C {
			if time.Now().After(end) {
				t.Errorf("waited in vain for %s: %v", what, f.told)
				return
			}
		}
	}
	wait("all zones", func() bool {
		for _, r := range d.Snapshot() {
			if r.State != "normal" {
				return false
			}
		}
		return true
	})
	const edges = 1500
	var storm errgroup.Group
	storm.Go(func() error { return n.board.Storm(ctx, "storm", edges, time.Millisecond) })
	for _, level := range []bool{true, false} {
		for _, name := range names[1:] {
			n.set(name, level)
			for range 15 {
				<-tick.C
			}
		}
	}
	must(t, storm.Wait())
	for _, name := range names[1:] {
		wait(name, func() bool { return f.count(name+" active") == 1 && f.count(name+" normal") >= 1 })
	}
	wait("the storm", func() bool { return f.count("chatter") == 1 })
	cancel()
	must(t, group.Wait())
	if n := f.count("chatter"); n != 1 || f.lost != 0 {
		t.Errorf("%d chatter facts, %d edges of other lines lost", n, f.lost)
	}
	if got, err := n.board.Edges("storm"); err != nil || got != edges {
		t.Errorf("%d edges in the storm, %v", got, err)
	}
	if n := f.count("storm active") + f.count("storm normal"); n > 10 {
		t.Errorf("the storming zone told %d changes before it was a fault", n)
	}
}

// BenchmarkStorm is edges as fast as a box makes them, on 32 lines, to the watcher's channel.
func BenchmarkStorm(b *testing.B) {
	var names []string
	for i := range 32 {
		names = append(names, fmt.Sprintf("zone-%d", i))
	}
	n := newBench(b)
	n.stop()
	var err error
	n.board, err = board.New(names...)
	must(b, err)
	n.on()
	edges := follow(b, n.client(0), names...)
	for range names {
		next(b, edges)
	}
	level := false
	b.ReportAllocs()
	for b.Loop() {
		level = !level
		for _, name := range names {
			n.set(name, level)
		}
		for range names {
			next(b, edges)
		}
	}
	b.ReportMetric(float64(32*b.N)/b.Elapsed().Seconds(), "edges/s")
}
