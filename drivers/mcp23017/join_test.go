package mcp23017

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/bus"
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
