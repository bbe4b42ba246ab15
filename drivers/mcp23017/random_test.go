package mcp23017

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/bus"
)

// TestRandomEdges moves two pins at any moment, also faster than anybody reads, with supplies that fail and wires that hang, and
// holds what is always true: levels alternate, edges are counted upwards and never more than there were, and in the end each
// line is told as it is.
func TestRandomEdges(t *testing.T) {
	for name, interrupt := range map[string]bool{"polled": false, "interrupt": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for seed := range uint64(20) {
					randomEdges(t, seed, interrupt)
				}
			})
		})
	}
}

func randomEdges(t *testing.T, seed uint64, interrupt bool) {
	t.Helper()
	dice := rand.New(rand.NewPCG(seed, 5))
	e, b := open(t, interrupt)
	debounce := []time.Duration{0, 50 * time.Millisecond}[dice.IntN(2)]
	l := listen(t, e, bus.LineConfig{Line: "door", Debounce: debounce}, bus.LineConfig{Line: "panic", Debounce: debounce})
	lines := map[string]*track{"door": {pin: 0}, "panic": {pin: 9}}
	for range 60 {
		line := lines[[]string{"door", "panic"}[dice.IntN(2)]]
		line.level = !line.level
		line.moves++
		b.chip.Set(line.pin, line.level)
		<-time.After(time.Duration(dice.IntN(60_000)) * time.Microsecond)
		switch dice.IntN(12) {
		case 0:
			must(t, b.bus.BrownOut(address))
		case 1:
			b.bus.Stick(true)
			<-time.After(time.Duration(dice.IntN(2000)) * time.Millisecond)
			b.bus.Stick(false)
		}
		synctest.Wait()
		l.drain(lines)
	}
	<-time.After(3 * time.Second)
	synctest.Wait()
	l.drain(lines)
	l.stop()
	for name, line := range lines {
		if !line.known || line.told != line.level {
			t.Errorf("seed %d: %s is %v, told %v (known %v)", seed, name, line.level, line.told, line.known)
		}
		if line.seen > line.moves {
			t.Errorf("seed %d: %s: %d edges told of %d", seed, name, line.seen, line.moves)
		}
	}
}

// track is what a listener has heard of a line, and how it really stands.
type track struct {
	pin         int
	level, told bool
	known       bool
	moves, seen uint64 // edges that were, and that were told or told as lost
	seq         uint64
}

// drain takes all words.
func (l *ear) drain(lines map[string]*track) {
	l.t.Helper()
	for len(l.edges) > 0 {
		e := <-l.edges
		line := lines[e.Line]
		if e.Quality == bus.Missing {
			continue
		}
		if e.LineSeq < line.seq || e.Quality == bus.Changed && line.known && e.Level == line.told && e.Lost%2 == 0 {
			l.t.Errorf("%+v after level %v, edge %d", e, line.told, line.seq)
		}
		if e.Quality == bus.Changed {
			line.seen++
		}
		line.seen += e.Lost
		line.known, line.told, line.seq = true, e.Level, e.LineSeq
	}
}
