package mcp23017

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// board is a chip on a bus, with its pins in hand.
type board struct {
	bus  *wire.I2C
	chip *chip.MCP23017
	int  *bustest.Box // what INTA is wired to
}

const address = 0x21

func names() map[string]int { return map[string]int{"door": 0, "panic": 9, "siren": 15} }

// open is an expander over a simulated chip whose inputs are low.
func open(t testing.TB, interrupt bool) (*Expander, *board) {
	t.Helper()
	b := &board{bus: wire.NewI2C(), chip: chip.NewMCP23017(), int: bustest.NewBox("int-a")}
	must(t, b.bus.Put(address, b.chip))
	for _, pin := range names() {
		b.chip.Set(pin, false)
	}
	o := Options{Bus: b.bus, Address: address, Names: names()}
	if interrupt {
		b.int.Drive("int-a", true)
		b.chip.Interrupts(func(level bool) { b.int.Drive("int-a", level) }, nil)
		o.Interrupt, o.InterruptLine = b.int, "int-a"
	}
	e, err := New(o)
	must(t, err)
	return e, b
}

// TestLines holds the chip to the contract of lines, polled and with its interrupt.
func TestLines(t *testing.T) {
	for name, interrupt := range map[string]bool{"polled": false, "interrupt": true} {
		t.Run(name, func(t *testing.T) {
			bustest.Lines(t, func(t *testing.T) bustest.Bench {
				e, b := open(t, interrupt)
				return bustest.Bench{
					Lines: e, Blind: true,
					Drive: func(line string, level bool) { b.chip.Set(names()[line], level) },
					Cut:   func() { b.bus.Stick(true) }, Mend: func() { b.bus.Stick(false) },
				}
			})
		})
	}
}

// ear is a running watch in a bubble.
type ear struct {
	t     *testing.T
	edges chan bus.Edge
	stop  func()
}

func listen(t *testing.T, e bus.Lines, lines ...bus.LineConfig) *ear {
	ctx, cancel := context.WithCancel(t.Context())
	l := &ear{t: t, edges: make(chan bus.Edge, 64)}
	var group errgroup.Group
	group.Go(func() error { return e.Watch(ctx, lines, l.edges) })
	l.stop = func() {
		cancel()
		must(t, group.Wait())
	}
	return l
}

// want waits and takes the words of one line: P or C for present or changed, H or L, and M for missing.
func (l *ear) want(after time.Duration, words ...string) []bus.Edge {
	l.t.Helper()
	<-time.After(after)
	synctest.Wait()
	var got []string
	var edges []bus.Edge
	for len(l.edges) > 0 {
		e := <-l.edges
		text := map[bus.Quality]string{bus.Missing: "M", bus.Present: "P", bus.Changed: "C"}[e.Quality]
		if e.Quality != bus.Missing {
			text += map[bool]string{true: "H", false: "L"}[e.Level]
		}
		got, edges = append(got, text), append(edges, e)
	}
	if !slices.Equal(got, words) {
		l.t.Fatalf("heard %q, want %q: %+v", got, words, edges)
	}
	return edges
}

// TestPulse holds that a pulse that is over before the chip is read is told, by INTCAP (§3.6).
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := open(t, false)
		l := listen(t, e, bus.LineConfig{Line: "door"})
		defer l.stop()
		l.want(time.Second, "PL")
		b.chip.Set(0, true)
		b.chip.Set(0, false)
		edges := l.want(time.Second, "CH", "CL")
		if edges[0].LineSeq != 1 || edges[1].LineSeq != 2 || edges[1].Lost != 0 || edges[0].KernelNS <= 0 {
			t.Errorf("%+v", edges)
		}
		b.chip.Set(0, true)
		l.want(time.Second, "CH")
	})
}

// TestLostPulse is a chip that says that a pin changed and shows it as it was: an edge was lost, and is told as lost.
func TestLostPulse(t *testing.T) {
	regs := map[uint8]uint16{0: 0xff, 1: 0xff}
	c := &bustest.Registers{Start: regs}
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Options{Bus: bustest.NewChips(map[uint16]*bustest.Registers{address: c}), Address: address})
		must(t, err)
		l := listen(t, e, bus.LineConfig{Line: "a3"})
		defer l.stop()
		l.want(time.Second, "PL")
		c.Set(0x0e, 1<<3)
		<-time.After(30 * time.Millisecond)
		synctest.Wait()
		c.Set(0x0e, 0)
		edges := l.want(time.Second, "PL")
		if edges[0].Lost == 0 || edges[0].Lost%2 != 0 || edges[0].LineSeq != edges[0].Lost {
			t.Errorf("%+v", edges[0])
		}
	})
}

// TestLatchLost is a chip that has lost what it was told to drive and nothing else: it is told again.
func TestLatchLost(t *testing.T) {
	c := &bustest.Registers{Start: map[uint8]uint16{0: 0xff, 1: 0xff}}
	e, err := New(Options{Bus: bustest.NewChips(map[uint16]*bustest.Registers{address: c}), Address: address})
	must(t, err)
	must(t, e.Set(t.Context(), "b7", true))
	c.Set(0x15, 0)
	_, err = e.Read(t.Context(), "a0")
	must(t, err)
	if c.Get(0x15) != 0x80 {
		t.Errorf("the latch holds %02x", c.Get(0x15))
	}
}

// TestDebounce holds that a level counts when it has held, and that bounces are neither edges nor losses.
func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := open(t, false)
		l := listen(t, e, bus.LineConfig{Line: "door", Debounce: 100 * time.Millisecond})
		defer l.stop()
		l.want(time.Second, "PL")
		for range 5 {
			b.chip.Set(0, true)
			<-time.After(50 * time.Millisecond)
			b.chip.Set(0, false)
			<-time.After(50 * time.Millisecond)
		}
		l.want(time.Second)
		b.chip.Set(0, true)
		l.want(90 * time.Millisecond)
		edges := l.want(60*time.Millisecond, "CH")
		if edges[0].Lost != 0 {
			t.Errorf("bounces are told as lost: %+v", edges[0])
		}
		b.chip.Set(0, false)
		b.chip.Set(0, true)
		l.want(time.Second)
		for _, level := range []bool{false, true, false} { // a contact that bounces while it closes
			b.chip.Set(0, level)
			<-time.After(30 * time.Millisecond)
		}
		if edges := l.want(time.Second, "CL"); edges[0].Lost != 0 {
			t.Errorf("bounces are told as lost: %+v", edges[0])
		}
	})
}

// TestInterrupt holds that with its interrupt the chip is left alone, and an edge is told at once with the interrupt's time.
func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := open(t, true)
		count := &counter{inner: b.bus}
		e.o.Bus = count
		l := listen(t, e, bus.LineConfig{Line: "panic"}, bus.LineConfig{Line: "door", Debounce: 50 * time.Millisecond})
		defer l.stop()
		l.want(time.Second, "PL", "PL")
		before := count.n.Load()
		<-time.After(10 * time.Second)
		if n := count.n.Load() - before; n > 21 {
			t.Errorf("%d transactions in ten idle seconds", n)
		}
		b.chip.Set(9, true)
		edges := l.want(0, "CH")
		w := listen(t, b.int, bus.LineConfig{Line: "int-a"})
		at := w.want(0, "PH")[0]
		w.stop()
		if edges[0].KernelNS <= 0 || edges[0].KernelNS > at.KernelNS {
			t.Errorf("edge at %d, the interrupt ended at %d", edges[0].KernelNS, at.KernelNS)
		}
		b.chip.Set(0, true)
		l.want(100*time.Millisecond, "CH")
		b.int.Cut("cable pulled")
		<-time.After(3 * time.Second) // it is polled from now on
		b.chip.Set(9, false)
		l.want(50*time.Millisecond, "CL")
	})
}

type counter struct {
	inner bus.I2C
	n     atomic.Int64
}

func (c *counter) Tx(addr uint16, w, r []byte) error {
	c.n.Add(1)
	return c.inner.Tx(addr, w, r)
}

// TestBrownOut is a chip that loses its supply: its outputs and inputs come back by themselves.
func TestBrownOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := open(t, false)
		must(t, e.Set(t.Context(), "siren", true))
		l := listen(t, e, bus.LineConfig{Line: "door"})
		defer l.stop()
		l.want(time.Second, "PL")
		must(t, b.bus.BrownOut(address))
		if b.chip.Level(15) {
			t.Fatal("the chip drives its output without a supply")
		}
		b.chip.Set(0, true)
		l.want(time.Second, "CH")
		if !b.chip.Level(15) {
			t.Error("the output is not back")
		}
	})
}

// TestRestart holds that outputs stay as they are when another agent takes over the chip.
func TestRestart(t *testing.T) {
	e, b := open(t, false)
	var falls int
	b.chip.Outputs(func(pin int, level bool) {
		if pin == 15 && !level {
			falls++
		}
	})
	must(t, e.Set(t.Context(), "siren", true))
	falls = 0
	next, err := New(Options{Bus: b.bus, Address: address, Names: names()})
	must(t, err)
	if level, err := next.Read(t.Context(), "siren"); err != nil || !level || falls > 0 {
		t.Errorf("after a restart %v, %v, %d falls", level, err, falls)
	}
	must(t, next.Set(t.Context(), "siren", false))
	if b.chip.Level(15) {
		t.Error("the output is still on")
	}
}

// TestSetKeepsOthers sets outputs beside inputs that change meanwhile.
func TestSetKeepsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, b := open(t, false)
		l := listen(t, e, bus.LineConfig{Line: "door"})
		defer l.stop()
		l.want(time.Second, "PL")
		if err := e.Set(t.Context(), "door", true); err == nil || !strings.Contains(err.Error(), "watched") {
			t.Errorf("a watched line was set: %v", err)
		}
		b.chip.Set(0, true)
		must(t, e.Set(t.Context(), "siren", true))
		l.want(0, "CH")
		b.chip.Set(0, false)
		l.want(time.Second, "CL")
	})
}

// TestFaults holds that every error of the bus comes back with the chip and its address, and that no level is told.
func TestFaults(t *testing.T) {
	for fault, cause := range map[error]func(*board) error{
		bus.ErrNoAnswer: func(b *board) error { return b.bus.Pull(address) },
		bus.ErrStuck:    func(b *board) error { b.bus.Stick(true); return nil },
	} {
		e, b := open(t, false)
		must(t, cause(b))
		_, err := e.Read(t.Context(), "door")
		for _, err := range []error{err, e.Set(t.Context(), "siren", true)} {
			if !errors.Is(err, fault) || !strings.Contains(err.Error(), "mcp23017 at 0x21") {
				t.Errorf("%v: %v", fault, err)
			}
		}
	}
}

// TestDeaf is a chip that acknowledges and keeps nothing: it is missing, not low.
func TestDeaf(t *testing.T) {
	c := &bustest.Registers{}
	c.Wrote = func(now map[uint8]uint16, register uint8) { now[register] = 0 }
	e, err := New(Options{Bus: bustest.NewChips(map[uint16]*bustest.Registers{address: c}), Address: address})
	must(t, err)
	if level, err := e.Read(t.Context(), "a0"); err == nil {
		t.Errorf("reads %v", level)
	}
}

// TestRegisters holds what goes over the wire when a chip is set up (tables 3-3 and 3-5).
func TestRegisters(t *testing.T) {
	c := &bustest.Registers{Start: map[uint8]uint16{0: 0xff, 1: 0xff}}
	e, err := New(Options{Bus: bustest.NewChips(map[uint16]*bustest.Registers{address: c}), Address: address})
	must(t, err)
	must(t, e.Set(t.Context(), "b2", true))
	want := []uint16{0xff, 0xfb, 0, 0, 0xff, 0xfb, 0, 0, 0, 0, 0x40, 0x40, 0xff, 0xfb}
	for i, v := range want {
		if got := c.Get(uint8(i)); got != v {
			t.Errorf("register %02x holds %02x, want %02x", i, got, v)
		}
	}
	if a, b := c.Get(0x14), c.Get(0x15); a != 0 || b != 4 {
		t.Errorf("latches %02x %02x", a, b)
	}
}

func TestWrongOptions(t *testing.T) {
	b := wire.NewI2C()
	for name, o := range map[string]Options{
		"no bus":         {Address: 0x20},
		"address":        {Bus: b, Address: 0x28},
		"name":           {Bus: b, Address: 0x20, Names: map[string]int{"A": 0}},
		"pin":            {Bus: b, Address: 0x20, Names: map[string]int{"a": 16}},
		"pin twice":      {Bus: b, Address: 0x20, Names: map[string]int{"a": 1, "b": 1}},
		"interrupt line": {Bus: b, Address: 0x20, Interrupt: bustest.NewBox()},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
