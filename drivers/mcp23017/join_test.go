package mcp23017

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/buswatch"
)

// glitch is a bus one of whose transactions fails.
type glitch struct {
	bus.I2C
	at int // which one, from 0
}

func (g *glitch) Tx(addr uint16, w, r []byte) error {
	g.at--
	if g.at == -1 {
		return fmt.Errorf("SDA was low for a moment: %w", bus.ErrStuck)
	}
	return g.I2C.Tx(addr, w, r)
}

// TestWatchFormerOutput: a line that a former run drove is an input before its level is told, and a bus that fails at any
// moment of that does not end the watch.
func TestWatchFormerOutput(t *testing.T) {
	for at := range 12 {
		synctest.Test(t, func(t *testing.T) {
			former, b := open(t, false)
			must(t, former.Set(t.Context(), "door", true))
			next, err := New(Options{Bus: &glitch{b.bus, at}, Address: address, Names: names()})
			must(t, err)
			l := listen(t, next, bus.LineConfig{Line: "door"})
			defer l.stop()
			<-time.After(time.Second)
			synctest.Wait()
			var last bus.Edge
			for len(l.edges) > 0 {
				if last = <-l.edges; last.Level {
					t.Errorf("transaction %d fails: its own output is told as a level", at)
				}
			}
			if last.Quality != bus.Present {
				t.Errorf("transaction %d fails: the last word is %+v", at, last)
			}
			b.chip.Set(0, true)
			l.want(time.Second, "CH")
		})
	}
}

// TestGlitch: a transaction that fails for an interference is no fault of sixteen lines; one that fails for longer is.
func TestGlitch(t *testing.T) {
	for name, fault := range map[string]func(*board, bool){
		"stuck": func(b *board, on bool) { b.bus.Stick(on) },
		"no answer": func(b *board, on bool) {
			must(t, map[bool]func(uint16) error{true: b.bus.Pull, false: b.bus.Plug}[on](address))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, b := open(t, false)
				watched, err := buswatch.New(buswatch.Options{ID: "chips", Bus: b.bus})
				must(t, err)
				e, err := New(Options{Bus: watched, Address: address, Names: names()})
				must(t, err)
				l := listen(t, e, bus.LineConfig{Line: "door"})
				defer l.stop()
				l.want(time.Second, "PL")
				for range 20 {
					fault(b, true)
					<-time.After(pollEvery)
					fault(b, false)
					<-time.After(777 * time.Millisecond)
				}
				l.want(time.Second)
				fault(b, true)
				<-time.After(10 * time.Millisecond)
				b.chip.Set(0, true)
				l.want(time.Second, "M")
				fault(b, false)
				if e := l.want(time.Second, "PH"); e[0].Lost != 1 {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}
