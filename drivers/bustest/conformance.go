package bustest

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
)

// patience is how long a word may take before a test gives up.
const patience = 10 * time.Second

// Bench is an implementation of bus.Lines with hands on the other end of its wires. It has the input lines "door" and
// "panic" and the output "siren", all low, and no line "attic".
type Bench struct {
	Lines bus.Lines
	// Drive moves an input; the edge is on its way when it returns.
	Drive func(line string, level bool)
	// Cut makes the whole wire dead, and Mend makes it whole again; nil = it cannot be done here.
	Cut, Mend func()
	// Blind says that edges are counted only while somebody watches a living wire, as a kernel does; otherwise they always are.
	Blind bool
}

// Lines holds an implementation of bus.Lines to its contract. Start makes a new bench for each part.
func Lines(t *testing.T, start func(t *testing.T) Bench) {
	for name, part := range map[string]func(*testing.T, Bench){
		"present first":      presentFirst,
		"edges in order":     edgesInOrder,
		"line not there":     lineNotThere,
		"dead wire":          deadWire,
		"dead from start":    deadFromStart,
		"read and set":       readAndSet,
		"wrong requests":     wrongRequests,
		"two watchers":       twoWatchers,
		"nobody takes edges": nobodyTakes,
	} {
		t.Run(name, func(t *testing.T) { part(t, start(t)) })
	}
}

// cuttable ends a part for whose wire there is no knife.
func cuttable(t *testing.T, b Bench) {
	t.Helper()
	if b.Cut == nil {
		t.Skip("this wire cannot be cut by a test")
	}
}

// ear is a running Watch.
type ear struct {
	t     *testing.T
	edges chan bus.Edge
	stop  func()
}

func listen(t *testing.T, b Bench, lines ...string) *ear {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	e := &ear{t: t, edges: make(chan bus.Edge, 8)}
	cfg := []bus.LineConfig{}
	for _, l := range lines {
		cfg = append(cfg, bus.LineConfig{Line: l})
	}
	var group errgroup.Group
	group.Go(func() error { return b.Lines.Watch(ctx, cfg, e.edges) })
	stopped := false
	e.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := group.Wait(); err != nil {
			t.Errorf("Watch after the end of its context: %v", err)
		}
	}
	t.Cleanup(e.stop)
	return e
}

func (e *ear) next() bus.Edge {
	e.t.Helper()
	select {
	case w := <-e.edges:
		return w
	case <-time.After(patience):
		e.t.Fatal("no word of any line")
		return bus.Edge{}
	}
}

// want takes the next word, which must be of this line, quality and level, and gives it.
func (e *ear) want(line string, q bus.Quality, level bool) bus.Edge {
	e.t.Helper()
	w := e.next()
	if w.Line != line || w.Quality != q || q != bus.Missing && w.Level != level {
		e.t.Fatalf("got %+v, want line %s, quality %d, level %v", w, line, q, level)
	}
	return w
}

func presentFirst(t *testing.T, b Bench) {
	b.Drive("panic", true)
	e := listen(t, b, "door", "panic")
	if w := e.want("door", bus.Present, false); w.LineSeq != 0 || w.Lost != 0 {
		t.Errorf("door: %+v: it has had no edge", w)
	}
	if w := e.want("panic", bus.Present, true); w.LineSeq != 1 && !b.Blind || w.KernelNS <= 0 || w.Lost != 0 {
		t.Errorf("panic: %+v: it has had one edge, before the watch", w)
	}
}

func edgesInOrder(t *testing.T, b Bench) {
	e := listen(t, b, "door", "panic")
	e.want("door", bus.Present, false)
	last := e.want("panic", bus.Present, false)
	for i := range 20 {
		level := i%2 == 0
		b.Drive("door", level)
		b.Drive("panic", level)
		for _, line := range []string{"door", "panic"} {
			w := e.want(line, bus.Changed, level)
			if w.LineSeq != uint64(i+1) || w.Seq <= last.Seq || w.KernelNS < last.KernelNS || w.KernelNS <= 0 || w.Lost != 0 {
				t.Fatalf("edge %d of %s: %+v after %+v", i+1, line, w, last)
			}
			last = w
		}
	}
}

func lineNotThere(t *testing.T, b Bench) {
	e := listen(t, b, "attic", "door")
	if w := e.want("attic", bus.Missing, false); w.Reason == "" {
		t.Error("no reason")
	}
	e.want("door", bus.Present, false)
	b.Drive("door", true)
	e.want("door", bus.Changed, true)
}

func deadWire(t *testing.T, b Bench) {
	cuttable(t, b)
	e := listen(t, b, "door", "panic")
	e.want("door", bus.Present, false)
	e.want("panic", bus.Present, false)
	b.Drive("door", true)
	e.want("door", bus.Changed, true)
	b.Cut()
	for _, line := range []string{"door", "panic"} {
		if w := e.want(line, bus.Missing, false); w.Reason == "" || w.KernelNS != 0 {
			t.Errorf("%+v: want a reason and no time", w)
		}
	}
	b.Drive("panic", true)
	b.Drive("panic", false)
	b.Mend()
	if w := e.want("door", bus.Present, true); w.Lost != 0 || w.LineSeq != 1 {
		t.Errorf("door: %+v: nothing was lost", w)
	}
	if w := e.want("panic", bus.Present, false); !b.Blind && (w.Lost != 2 || w.LineSeq != 2) {
		t.Errorf("panic: %+v: two edges were lost", w)
	}
	b.Drive("door", false)
	if w := e.want("door", bus.Changed, false); w.Lost != 0 {
		t.Errorf("door: %+v: nothing was lost", w)
	}
	b.Cut()
	e.want("door", bus.Missing, false)
	e.want("panic", bus.Missing, false)
	b.Drive("panic", true)
	b.Mend()
	e.want("door", bus.Present, false)
	if w := e.want("panic", bus.Present, true); w.Lost != 1 {
		t.Errorf("panic: %+v: one edge was lost", w)
	}
}

func deadFromStart(t *testing.T, b Bench) {
	cuttable(t, b)
	b.Drive("door", true)
	b.Cut()
	e := listen(t, b, "door")
	e.want("door", bus.Missing, false)
	b.Mend()
	if w := e.want("door", bus.Present, true); w.Lost != 0 {
		t.Errorf("%+v: what was before the watch is not lost", w)
	}
}

func readAndSet(t *testing.T, b Bench) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.Drive("door", true)
	for line, want := range map[string]bool{"door": true, "panic": false} {
		if got, err := b.Lines.Read(ctx, line); err != nil || got != want {
			t.Errorf("Read %s = %v, %v", line, got, err)
		}
	}
	for _, level := range []bool{true, true, false} {
		if err := b.Lines.Set(ctx, "siren", level); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Lines.Read(ctx, "siren"); err != nil || got != level {
			t.Errorf("siren set to %v reads %v, %v", level, got, err)
		}
	}
	if b.Cut == nil {
		return
	}
	b.Cut()
	if got, err := b.Lines.Read(ctx, "door"); err == nil {
		t.Errorf("Read over a dead wire = %v", got)
	}
	if err := b.Lines.Set(ctx, "siren", true); err == nil {
		t.Error("Set over a dead wire says that it is done")
	}
}

func wrongRequests(t *testing.T, b Bench) {
	for _, lines := range [][]bus.LineConfig{{{Line: "Door"}}, {{Line: ""}}, {{Line: "door"}, {Line: "door"}}, {{Line: "door", Debounce: -1}}} {
		if err := b.Lines.Watch(t.Context(), lines, make(chan bus.Edge)); err == nil {
			t.Errorf("Watch(%v) has no error", lines)
		}
	}
	if _, err := b.Lines.Read(t.Context(), "attic"); err == nil {
		t.Error("Read of no line has no error")
	}
	if err := b.Lines.Set(t.Context(), "attic", true); err == nil {
		t.Error("Set of no line has no error")
	}
}

func twoWatchers(t *testing.T, b Bench) {
	one, other := listen(t, b, "door"), listen(t, b, "door", "panic")
	one.want("door", bus.Present, false)
	other.want("door", bus.Present, false)
	other.want("panic", bus.Present, false)
	one.stop()
	b.Drive("door", true)
	other.want("door", bus.Changed, true)
}

// nobodyTakes ends a watch whose edges nobody takes.
func nobodyTakes(t *testing.T, b Bench) {
	e := listen(t, b, "door", "panic")
	for i := range 40 {
		b.Drive("door", i%2 == 0)
	}
	e.stop()
}
