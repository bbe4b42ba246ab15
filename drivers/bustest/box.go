// A driver that is tested without a wire needs lines that a test can move, cut and lose edges on.
//
// Box is such a bus in memory; [Lines] is what every implementation of bus.Lines must do, run against Box and the real ones.
// [Chips] and [Wires] are buses of chips in memory, [Faults] makes any bus a bad one, [Recorder] and [Play] write down what goes
// over a bus and play it again; [I2C], [OneWire] and [Serial] hold implementations of those buses to their contracts.
package bustest

import (
	"context"
	"fmt"
	"sync"

	"watchpost/drivers/bus"
)

// Box is a bus.Lines in memory. Each move of a line is an edge that has held long enough: debounce is not simulated.
type Box struct {
	mu       sync.Mutex // guards the fields below
	lines    map[string]*line
	seq      uint64
	cut      string // why the wire is dead, "" = alive
	watchers map[*watcher]bool
}

type line struct {
	level    bool
	kernelNS int64
	seq      uint64
}

// watcher is one call of Watch: what waits for its channel, and what it has seen.
type watcher struct {
	lines []bus.LineConfig
	words []bus.Edge
	seen  map[string]uint64
	wake  chan struct{}
}

var _ bus.Lines = (*Box)(nil)

// NewBox has the named lines, all low.
func NewBox(names ...string) *Box {
	b := &Box{lines: map[string]*line{}, watchers: map[*watcher]bool{}}
	for _, n := range names {
		b.lines[n] = &line{kernelNS: bus.Monotonic()}
	}
	return b
}

// Drive moves a line. Level as it is: nothing happens.
func (b *Box) Drive(name string, level bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lines[name]
	if l.level == level {
		return
	}
	b.step(l)
	if b.cut != "" {
		return
	}
	for w := range b.watchers {
		if w.watches(name) {
			w.tell(bus.Edge{Line: name, Quality: bus.Changed, Level: level, KernelNS: l.kernelNS, Seq: b.seq, LineSeq: l.seq,
				Lost: l.seq - 1 - w.seen[name]})
		}
	}
}

// Lose moves a line n times unseen: the next word of the line tells that they are lost.
func (b *Box) Lose(name string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		b.step(b.lines[name])
	}
}

func (b *Box) step(l *line) {
	b.seq++
	l.seq++
	l.level, l.kernelNS = !l.level, bus.Monotonic()
}

// Cut makes the wire dead for a reason, which is not empty.
func (b *Box) Cut(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = reason
	for w := range b.watchers {
		for _, c := range w.lines {
			if b.lines[c.Line] != nil {
				w.tell(bus.Edge{Line: c.Line, Reason: reason, LineSeq: w.seen[c.Line]})
			}
		}
	}
}

// Mend makes the wire alive again.
func (b *Box) Mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = ""
	for w := range b.watchers {
		for _, c := range w.lines {
			if l := b.lines[c.Line]; l != nil {
				w.tell(b.present(c.Line, l, l.seq-w.seen[c.Line]))
			}
		}
	}
}

func (b *Box) present(name string, l *line, lost uint64) bus.Edge {
	return bus.Edge{Line: name, Quality: bus.Present, Level: l.level, KernelNS: l.kernelNS, LineSeq: l.seq, Lost: lost}
}

// Watch implements bus.Lines.
func (b *Box) Watch(ctx context.Context, lines []bus.LineConfig, edges chan<- bus.Edge) error {
	w := &watcher{lines: lines, seen: map[string]uint64{}, wake: make(chan struct{}, 1)}
	for i, c := range lines {
		if !bus.ValidName(c.Line) || c.Debounce < 0 {
			return fmt.Errorf("line %q, debounce %s: not valid", c.Line, c.Debounce)
		}
		for _, other := range lines[:i] {
			if other.Line == c.Line {
				return fmt.Errorf("line %q is given twice", c.Line)
			}
		}
	}
	b.start(w)
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, w)
	}()
	for {
		b.mu.Lock()
		words := w.words
		w.words = nil
		b.mu.Unlock()
		for _, e := range words {
			select {
			case edges <- e:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// start tells the first word of each line.
func (b *Box) start(w *watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers[w] = true
	for _, c := range w.lines {
		switch l := b.lines[c.Line]; {
		case l == nil:
			w.tell(bus.Edge{Line: c.Line, Reason: "no such line"})
		case b.cut != "":
			w.seen[c.Line] = l.seq
			w.tell(bus.Edge{Line: c.Line, Reason: b.cut, LineSeq: l.seq})
		default:
			w.tell(b.present(c.Line, l, 0))
		}
	}
}

func (w *watcher) watches(name string) bool {
	for _, c := range w.lines {
		if c.Line == name {
			return true
		}
	}
	return false
}

// tell needs the mutex of the box.
func (w *watcher) tell(e bus.Edge) {
	w.words = append(w.words, e)
	if e.Quality != bus.Missing {
		w.seen[e.Line] = e.LineSeq
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Read implements bus.Lines.
func (b *Box) Read(_ context.Context, name string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, err := b.find(name)
	if err != nil {
		return false, err
	}
	return l.level, nil
}

// Set implements bus.Lines: every line of a Box is an output too.
func (b *Box) Set(_ context.Context, name string, level bool) error {
	b.mu.Lock()
	_, err := b.find(name)
	b.mu.Unlock()
	if err != nil {
		return err
	}
	b.Drive(name, level)
	return nil
}

func (b *Box) find(name string) (*line, error) {
	l := b.lines[name]
	switch {
	case b.cut != "":
		return nil, fmt.Errorf("line %s: %s", name, b.cut)
	case l == nil:
		return nil, fmt.Errorf("line %s: no such line", name)
	}
	return l, nil
}
