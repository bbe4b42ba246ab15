package linesock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"watchpost/drivers/bus"
)

// heard is what a watch knows of one line.
type heard struct {
	cfg     bus.LineConfig
	counted bool   // lineSeq is known from some session
	lineSeq uint64 // of the last word
	level   bool   // of the last word
	spoke   bool   // has spoken in this session
	missing bool   // told as missing
}

// watch is one call of Watch.
type watch struct {
	box   *Box
	lines []*heard
	edges chan<- bus.Edge
}

// Watch implements [bus.Lines]. Each call has a connection of its own.
func (b *Box) Watch(ctx context.Context, lines []bus.LineConfig, edges chan<- bus.Edge) error {
	w := &watch{box: b, edges: edges}
	for _, l := range lines {
		if !bus.ValidName(l.Line) || w.find(l.Line) != nil {
			return fmt.Errorf("%s: line name %q is wrong or given twice: want 1 to %d of a-z, 0-9, hyphen", b, l.Line, bus.MaxName)
		}
		if l.Debounce < 0 {
			return fmt.Errorf("%s: line %s: debounce %s is negative", b, l.Line, l.Debounce)
		}
		w.lines = append(w.lines, &heard{cfg: l})
	}
	pause := b.o.BackOffMin
	for down := false; ; {
		begun := time.Now()
		err := w.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(begun) > b.o.BackOffMax { // a box that hangs up at once is none that came back
			pause, down = b.o.BackOffMin, false
		}
		if !down {
			down = true
			b.o.Log.Warn("I/O box lost", "socket", b.o.Socket, "error", err)
		}
		if !w.lose(ctx, err) || !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, b.o.BackOffMax)
	}
}

// session is one connection: it returns why it ended.
func (w *watch) session(ctx context.Context) error {
	wire, err := w.box.dial(ctx, time.Now().Add(w.box.o.Ping))
	if err != nil {
		return err
	}
	defer wire.hangUp()
	w.box.o.Log.Info("I/O box found", "socket", w.box.o.Socket)
	for _, l := range w.lines {
		l.spoke = false
		if err := w.ask(wire, l); err != nil {
			return err
		}
	}
	return w.listen(ctx, wire)
}

func (w *watch) ask(wire *wire, l *heard) error {
	us := strconv.FormatInt(l.cfg.Debounce.Microseconds(), 10)
	return wire.send(time.Now().Add(w.box.o.Ping), "watch "+l.cfg.Line+" "+us)
}

func (w *watch) listen(ctx context.Context, wire *wire) error {
	ping := w.box.o.Ping
	next, silent := time.Now().Add(ping), 0
	for {
		m, err := wire.next(next)
		if err == nil {
			silent = 0
			if err = w.take(ctx, m); err != nil {
				return err
			}
			if time.Now().Before(next) {
				continue
			}
		} else if !errors.Is(err, errSilent) {
			return err
		}
		if silent == silentPings {
			return fmt.Errorf("%w in %d pings", errSilent, silentPings)
		}
		silent++
		if next, err = time.Now().Add(ping), w.ping(wire); err != nil {
			return err
		}
	}
}

// ping asks for a sign of life, and again for every line: the answer brings to light an edge that was lost with none after
// it, and a line that the box refused may be there by now.
func (w *watch) ping(wire *wire) error {
	if err := wire.send(time.Now().Add(w.box.o.Ping), "ping"); err != nil {
		return err
	}
	for _, l := range w.lines {
		if err := w.ask(wire, l); err != nil {
			return err
		}
	}
	return nil
}

// take handles one line of the box. An error ends the session.
func (w *watch) take(ctx context.Context, m message) error {
	switch m.kind {
	case kindPong:
		return nil
	case kindWatched, kindEdge, kindRefused:
	default:
		return fmt.Errorf("%w: a word that answers no question", errProtocol)
	}
	l := w.find(m.line)
	if l == nil {
		return fmt.Errorf("%w: line %s is not watched", errProtocol, m.line)
	}
	if m.kind == kindRefused {
		return w.tellMissing(ctx, l, m.text)
	}
	if l.spoke && !l.missing && (m.lineSeq < l.lineSeq || m.lineSeq == l.lineSeq && m.level == l.level) {
		return nil // known already: the answer to a watch may cross an edge
	}
	e := bus.Edge{Line: m.line, Quality: bus.Present, Level: m.level, KernelNS: m.kernelNS, LineSeq: m.lineSeq, Lost: l.lost(m)}
	if m.kind == kindEdge {
		e.Quality, e.Seq = bus.Changed, m.seq
	}
	l.counted, l.spoke, l.lineSeq, l.level, l.missing = true, true, m.lineSeq, m.level, false
	return w.tell(ctx, e)
}

// lost counts the edges between the last word of the line and m that nobody saw. A count that went back means that the
// box has restarted: then all that it has counted since is lost.
func (l *heard) lost(m message) uint64 {
	if !l.counted {
		return 0
	}
	since := m.lineSeq
	if m.lineSeq >= l.lineSeq {
		since -= l.lineSeq
	}
	if m.kind == kindEdge && since > 0 {
		since-- // this one is seen
	}
	return since
}

// lose tells all lines as missing; false when ctx ended.
func (w *watch) lose(ctx context.Context, why error) bool {
	for _, l := range w.lines {
		if err := w.tellMissing(ctx, l, why.Error()); err != nil {
			return false
		}
	}
	return true
}

func (w *watch) tellMissing(ctx context.Context, l *heard, why string) error {
	if l.missing {
		return nil
	}
	l.missing = true
	return w.tell(ctx, bus.Edge{Line: l.cfg.Line, Quality: bus.Missing, LineSeq: l.lineSeq, Reason: why})
}

func (w *watch) tell(ctx context.Context, e bus.Edge) error {
	select {
	case w.edges <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *watch) find(line string) *heard {
	for _, l := range w.lines {
		if l.cfg.Line == line {
			return l
		}
	}
	return nil
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
