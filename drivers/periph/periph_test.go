package periph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi/spitest"
	"periph.io/x/host/v3/netlink"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fakePin is a pin of periph's that a test can move.
type fakePin struct {
	gpio.PinIO
	edges chan struct{}

	mu      sync.Mutex // guards the fields below
	level   bool
	watched bool
	refuse  error
	waits   int           // calls of WaitForEdge
	waited  chan struct{} // closed and made anew by each
}

func newPin() *fakePin {
	return &fakePin{PinIO: gpio.INVALID, edges: make(chan struct{}, 64), waited: make(chan struct{})}
}

func (p *fakePin) In(_ gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = edge == gpio.BothEdges
	return p.refuse
}

func (p *fakePin) Read() gpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	return gpio.Level(p.level)
}

func (p *fakePin) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level = bool(l)
	return p.refuse
}

func (p *fakePin) WaitForEdge(timeout time.Duration) bool {
	p.mu.Lock()
	p.waits++
	close(p.waited)
	p.waited = make(chan struct{})
	p.mu.Unlock()
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-p.edges:
		return true
	case <-t.C:
		return false
	}
}

// drive moves the pin and gives its watcher the time to see it, so that edges of several pins keep their order.
func (p *fakePin) drive(level bool) {
	p.mu.Lock()
	changed := p.level != level
	p.level = level
	waited, watched := p.waited, p.watched
	p.mu.Unlock()
	if !changed || !watched {
		return
	}
	p.edges <- struct{}{}
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-waited:
	case <-t.C: // nobody watches any more
	}
}

// blink is an edge there and back that nobody had the time to look at.
func (p *fakePin) blink() { p.edges <- struct{}{} }

func finder(pins map[string]*fakePin) func(string) gpio.PinIO {
	return func(name string) gpio.PinIO {
		if p := pins[name]; p != nil {
			return p
		}
		return nil
	}
}

func TestLinesConformance(t *testing.T) {
	bustest.Lines(t, func(*testing.T) bustest.Bench {
		pins := map[string]*fakePin{"GPIO17": newPin(), "panic": newPin(), "siren": newPin()}
		names := map[string]string{"door": "GPIO17"}
		return bustest.Bench{Lines: NewLines(names, finder(pins)), Blind: true, Drive: func(line string, level bool) {
			if name, ok := names[line]; ok {
				line = name
			}
			pins[line].drive(level)
		}}
	})
}

func watch(t *testing.T, l *Lines, c bus.LineConfig) chan bus.Edge {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	edges, done := make(chan bus.Edge, 16), make(chan error, 1)
	var task sync.WaitGroup
	task.Go(func() { done <- l.Watch(ctx, []bus.LineConfig{c}, edges) })
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
		task.Wait()
	})
	return edges
}

func next(t *testing.T, edges chan bus.Edge) bus.Edge {
	t.Helper()
	select {
	case e := <-edges:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no word of the line")
		return bus.Edge{}
	}
}

// TestWhatPeriphThrowsAway holds what is told of edges that periph does not tell apart.
func TestWhatPeriphThrowsAway(t *testing.T) {
	p := newPin()
	edges := watch(t, NewLines(nil, finder(map[string]*fakePin{"door": p})), bus.LineConfig{Line: "door"})
	next(t, edges)
	p.blink()
	if e := next(t, edges); e.Quality != bus.Changed || e.Level || e.Lost != 1 || e.LineSeq != 2 || e.KernelNS <= 0 {
		t.Errorf("an edge there and back: %+v", e)
	}
}

func TestDebounce(t *testing.T) {
	p := newPin()
	edges := watch(t, NewLines(nil, finder(map[string]*fakePin{"door": p})), bus.LineConfig{Line: "door", Debounce: 60 * time.Millisecond})
	next(t, edges)
	for i := range 7 {
		p.drive(i%2 == 0)
	}
	if e := next(t, edges); !e.Level || e.LineSeq != 1 || e.Lost != 0 {
		t.Errorf("%+v: want one edge", e)
	}
	p.blink()
	p.drive(false)
	if e := next(t, edges); e.Level || e.LineSeq != 2 {
		t.Errorf("%+v: want one edge", e)
	}
}

// TestPinRefuses is a pin that cannot be had, until it can.
func TestPinRefuses(t *testing.T) {
	p := newPin()
	p.refuse = errors.New("taken")
	l := NewLines(nil, finder(map[string]*fakePin{"door": p}))
	edges := watch(t, l, bus.LineConfig{Line: "door"})
	if e := next(t, edges); e.Quality != bus.Missing || !strings.Contains(e.Reason, "taken") {
		t.Errorf("%+v", e)
	}
	if _, err := l.Read(t.Context(), "door"); err == nil {
		t.Error("a pin that cannot be had was read")
	}
	if err := l.Set(t.Context(), "door", true); err == nil {
		t.Error("a pin that cannot be had was driven")
	}
	p.mu.Lock()
	p.refuse = nil
	p.mu.Unlock()
	if e := next(t, edges); e.Quality != bus.Present {
		t.Errorf("%+v", e)
	}
	if err := l.Set(t.Context(), "door", true); err == nil {
		t.Error("a watched pin was driven")
	}
}

// chips is an I2C bus as periph has it.
type chips struct{ *bustest.Chips }

func (chips) String() string                  { return "fake" }
func (chips) SetSpeed(physic.Frequency) error { return nil }

// Tx loses the kind of a fault, as periph does.
func (c chips) Tx(addr uint16, w, r []byte) error {
	switch err := c.Chips.Tx(addr, w, r); {
	case errors.Is(err, bus.ErrNoAnswer):
		return fmt.Errorf("sysfs-i2c: %v", syscall.EREMOTEIO)
	case errors.Is(err, bus.ErrStuck):
		return fmt.Errorf("sysfs-i2c: %v", syscall.ETIMEDOUT)
	default:
		return err
	}
}

var _ i2c.Bus = chips{}

func TestI2CConformance(t *testing.T) {
	bustest.I2C(t, func(t *testing.T) bustest.I2CBench {
		c := bustest.NewChips(map[uint16]*bustest.Registers{0x48: {}})
		b := NewI2C(chips{c})
		t.Cleanup(func() { must(t, b.Close()) })
		return bustest.I2CBench{Bus: b, Stick: func() { c.Stick(true) }, Free: func() { c.Stick(false) }}
	})
}

// slow is a bus that does not come back until it is told to.
type slow struct {
	chips
	hang chan struct{}
}

func (s slow) Tx(uint16, []byte, []byte) error {
	<-s.hang
	return nil
}

func TestI2CHangs(t *testing.T) {
	s := slow{hang: make(chan struct{})}
	b := NewI2C(s)
	for range 2 {
		begun := time.Now()
		if err := b.Tx(0x48, nil, nil); !errors.Is(err, bus.ErrStuck) || time.Since(begun) > 3*txTimeout/2 {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	}
	close(s.hang)
	must(t, b.Close())
}

// wires is a 1-wire bus as periph has it.
type wires struct{ *bustest.Wires }

func (wires) String() string { return "fake" }

func (w wires) Tx(out, in []byte, power onewire.Pullup) error {
	return named(w.Wires.Tx(out, in, bool(power)))
}

func (w wires) Search(bool) ([]onewire.Address, error) {
	roms, err := w.Wires.Search(context.Background())
	var found []onewire.Address
	for _, r := range roms {
		found = append(found, onewire.Address(r))
	}
	return found, named(err)
}

// named gives a fault the marks that periph's 1-wire buses give.
func named(err error) error {
	switch {
	case errors.Is(err, bus.ErrNoAnswer):
		return nobody{errors.New("no devices")}
	case errors.Is(err, bus.ErrStuck):
		return shorted{errors.New("shorted")}
	}
	return err
}

type nobody struct{ error }

func (nobody) NoDevices() bool { return true }

type shorted struct{ error }

func (shorted) IsShorted() bool { return true }

func TestOneWireConformance(t *testing.T) {
	bustest.OneWire(t, func(t *testing.T) bustest.OneWireBench {
		w := bustest.NewWires(nil)
		b := NewOneWire(wires{w})
		t.Cleanup(func() { must(t, b.Close()) })
		return bustest.OneWireBench{Bus: b, Take: w.Take, Put: func(rom bus.ROM, answer [9]byte) {
			w.Put(rom, func(out, in []byte, _ bool) {
				if len(out) == 1 && out[0] == 0xbe {
					copy(in, answer[:])
				}
			})
		}}
	})
}

func TestOneWireFaults(t *testing.T) {
	w := bustest.NewWires(map[bus.ROM]bustest.Slave{1: nil})
	b := NewOneWire(wires{w})
	if roms, err := b.Search(t.Context()); !errors.Is(err, bus.ErrChecksum) {
		t.Errorf("a damaged code: %s, %v", roms, err)
	}
	w.Stick(true)
	if err := b.Tx(nil, nil, false); !errors.Is(err, bus.ErrStuck) {
		t.Error(err)
	}
	if err := NewOneWire(&netlink.OneWire{}).Tx(nil, nil, true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a strong pull-up that periph would pass over: %v", err)
	}
}

func TestSPI(t *testing.T) {
	play := &spitest.Playback{Playback: conntest.Playback{Ops: []conntest.IO{{W: []byte{0x9f, 0}, R: []byte{0, 0xef}}}, DontPanic: true}}
	conn, err := play.Connect(physic.MegaHertz, 0, 8)
	must(t, err)
	b, r := NewSPI(conn), make([]byte, 2)
	if err := b.Tx([]byte{0x9f, 0}, r); err != nil || r[1] != 0xef {
		t.Errorf("% x, %v", r, err)
	}
	if err := b.Tx([]byte{1}, nil); err == nil {
		t.Error("more than the transcript has: no error")
	}
	must(t, b.Close())
}

// TestBuses starts periph's drivers on this machine, which may have none of their devices.
func TestBuses(t *testing.T) {
	b, err := Buses()
	must(t, err)
	if b.Lines["periph"] == nil || b.I2C["periph"] == nil || b.OneWire["periph"] == nil {
		t.Errorf("%+v", b)
	}
}
