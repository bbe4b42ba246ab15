package mcp23017

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
)

// When the chip is read.
const (
	pollEvery  = 20 * time.Millisecond  // without an interrupt line, or while a level has yet to hold
	lookEvery  = 500 * time.Millisecond // with one: a dead chip makes no interrupt, and is to be told within a second
	retryEvery = 300 * time.Millisecond // while it does not answer; a watch over the bus turns users away for 250 ms
)

// watcher is one call of Watch. All of it needs the expander's turn but wake.
type watcher struct {
	lines []*watched
	words []bus.Edge
	wake  chan struct{} // one place: there are words
}

// watched is one line of a watcher.
type watched struct {
	cfg     bus.LineConfig
	pin     int  // -1 = there is no such line
	told    bool // a level has been told
	missing bool
	level   bool   // as told
	seen    uint64 // edges of the line up to the last word
	bounced uint64 // edges since that did not hold
	pending bool   // edge has yet to hold
	edge    bus.Edge
	since   time.Time
}

// Watch implements bus.Lines.
func (e *Expander) Watch(ctx context.Context, lines []bus.LineConfig, edges chan<- bus.Edge) error {
	w, err := e.watcher(lines)
	if err != nil {
		return err
	}
	if err := e.join(ctx, w); err != nil {
		return nil // ctx has ended
	}
	defer e.leave(w)
	group, ctx := errgroup.WithContext(ctx)
	interrupts := make(chan bus.Edge, 1)
	if e.o.Interrupt != nil {
		group.Go(func() error {
			return e.o.Interrupt.Watch(ctx, []bus.LineConfig{{Line: e.o.InterruptLine}}, interrupts)
		})
	}
	group.Go(func() error { return e.keep(ctx, w, interrupts) })
	group.Go(func() error { return e.tell(ctx, w, edges) })
	return group.Wait()
}

func (e *Expander) watcher(lines []bus.LineConfig) (*watcher, error) {
	w := &watcher{wake: make(chan struct{}, 1)}
	given := map[string]bool{}
	for _, c := range lines {
		if !bus.ValidName(c.Line) || given[c.Line] || c.Debounce < 0 {
			return nil, fmt.Errorf("%s: line %q with debounce %s is wrong or given twice", e, c.Line, c.Debounce)
		}
		given[c.Line] = true
		pin, ok := e.names[c.Line]
		if !ok {
			pin = -1
		}
		w.lines = append(w.lines, &watched{cfg: c, pin: pin})
	}
	return w, nil
}

// join reads the chip and tells the first word of each line.
func (e *Expander) join(ctx context.Context, w *watcher) error {
	if err := e.take(ctx); err != nil {
		return err
	}
	defer e.give()
	e.watchers[w] = true
	for _, l := range w.lines {
		if l.pin < 0 {
			l.missing = true
			w.say(bus.Edge{Line: l.cfg.Line, Reason: e.String() + " has no such line"})
			continue
		}
		e.lines[l.pin].watched++
		if e.direct>>l.pin&1 == 0 {
			e.ready = false // an output is to be an input
		}
	}
	if err := e.poll(bus.Monotonic()); err != nil {
		w.lose(err.Error())
	}
	w.order()
	return nil
}

func (e *Expander) leave(w *watcher) {
	e.turn <- struct{}{}
	defer e.give()
	delete(e.watchers, w)
	for _, l := range w.lines {
		if l.pin >= 0 {
			e.lines[l.pin].watched--
		}
	}
}

// keep reads the chip until ctx ends.
func (e *Expander) keep(ctx context.Context, w *watcher, interrupts <-chan bus.Edge) error {
	wired := false // the interrupt line is alive
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	for {
		kernelNS, due := int64(0), true
		select {
		case <-timer.C:
		case i := <-interrupts:
			wired = i.Quality != bus.Missing
			due = wired && !i.Level
			if i.Quality == bus.Changed {
				kernelNS = i.KernelNS
			}
		case <-ctx.Done():
			return nil
		}
		if kernelNS == 0 {
			kernelNS = bus.Monotonic()
		}
		if err := e.take(ctx); err != nil {
			return nil
		}
		if due && (wired || e.o.Now().Sub(e.at) >= pollEvery/2) {
			_ = e.poll(kernelNS) // if it lasts it is told to all watchers
		}
		timer.Reset(e.pause(w, wired))
		e.give()
	}
}

// pause is how long the chip may be left alone. It needs the turn.
func (e *Expander) pause(w *watcher, wired bool) time.Duration {
	if !e.failing.IsZero() {
		return retryEvery
	}
	for _, l := range w.lines {
		if l.pending {
			return pollEvery
		}
	}
	if wired {
		return lookEvery
	}
	return pollEvery
}

// tell hands the words over, so that who does not take them holds up nobody else.
func (e *Expander) tell(ctx context.Context, w *watcher, edges chan<- bus.Edge) error {
	for {
		if err := e.take(ctx); err != nil {
			return nil
		}
		words := w.words
		w.words = nil
		e.give()
		for _, word := range words {
			select {
			case edges <- word:
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

// say adds a word.
func (w *watcher) say(edge bus.Edge) {
	w.words = append(w.words, edge)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// order puts the first words, one of each line, in the order in which the lines were asked for.
func (w *watcher) order() {
	sorted := make([]bus.Edge, 0, len(w.words))
	for _, l := range w.lines {
		for _, word := range w.words {
			if word.Line == l.cfg.Line {
				sorted = append(sorted, word)
			}
		}
	}
	w.words = sorted
}

// lose tells all lines as missing.
func (w *watcher) lose(why string) {
	for _, l := range w.lines {
		if !l.missing {
			l.missing, l.pending = true, false
			w.say(bus.Edge{Line: l.cfg.Line, LineSeq: l.seen, Reason: why})
		}
	}
}

// edge takes a change of a pin, which is told at once or when it has held.
func (w *watcher) edge(pin int, edge bus.Edge) {
	for _, l := range w.lines {
		if l.pin != pin || l.missing || !l.told {
			continue
		}
		edge.Line = l.cfg.Line
		if l.cfg.Debounce == 0 {
			edge.Lost = edge.LineSeq - 1 - l.seen
			l.level, l.seen = edge.Level, edge.LineSeq
			w.say(edge)
			continue
		}
		if l.pending {
			l.bounced++
		}
		l.pending, l.edge, l.since = true, edge, time.Time{}
	}
}

// settle tells what has held long enough, lines that are there again, and pulses that nobody saw.
func (w *watcher) settle(e *Expander) {
	for _, l := range w.lines {
		if l.pin < 0 {
			continue
		}
		level, now := e.level>>l.pin&1 == 1, e.lines[l.pin]
		if l.pending {
			l.hold(w, e.at)
			continue
		}
		lost := now.seq - l.seen - l.bounced
		switch {
		case !l.told:
			lost = 0
		case !l.missing && lost == 0:
			continue
		case l.cfg.Debounce > 0 && !l.missing:
			l.bounced += lost // pulses too short to count
			continue
		}
		l.told, l.missing, l.level, l.seen, l.bounced = true, false, level, now.seq, 0
		w.say(bus.Edge{Line: l.cfg.Line, Quality: bus.Present, Level: level, KernelNS: now.kernelNS, LineSeq: now.seq, Lost: lost})
	}
}

// hold tells a pending change if it has held since it was first seen.
func (l *watched) hold(w *watcher, now time.Time) {
	switch {
	case l.since.IsZero():
		l.since = now
	case now.Sub(l.since) < l.cfg.Debounce:
	case l.edge.Level == l.level:
		l.pending = false // it bounced and is as it was
		l.bounced++
	default:
		l.pending, l.level = false, l.edge.Level
		l.edge.Lost = l.edge.LineSeq - 1 - l.seen - l.bounced
		l.seen, l.bounced = l.edge.LineSeq, 0
		w.say(l.edge)
	}
}
