// The MCP23017 gives an I2C bus sixteen more lines; tables and paragraphs here are those of Microchip DS20001952C.
//
// An Expander is a bus.Lines. It reads the chip every 20 ms, or when the chip's interrupt line falls and now and then. The
// chip keeps the level at an interrupt (INTCAP), so that a pulse that ended before it was read is told all the same. The
// chip has no clock: an edge has the time of the interrupt, or of the reading that showed it.
//
// Inputs have the chip's pull-ups (100 kΩ). A line becomes an output when it is first set; one that is watched cannot be set.
// Outputs that a chip drives when the agent starts stay as they are, and a chip that lost its supply is set up again.
package mcp23017

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"watchpost/drivers/bus"
)

// Registers with IOCON.BANK = 0 (table 3-3): port A at an even number, port B behind it.
const (
	regDirection = 0x00 // IODIR, 1 = input
	regControl   = 0x0a // IOCON
	regFlag      = 0x0e // INTF
	regCapture   = 0x10 // INTCAP
	regLevel     = 0x12 // GPIO
	regLatch     = 0x14 // OLAT
	regCount     = 0x16
)

// control is IOCON: INTA and INTB say the same (MIRROR), low when there is something (table 3-5). A chip that lost its supply
// has 0 there.
const control = 1 << 6

// MinAddress and MaxAddress are what the pins A0 to A2 can choose (§3.3.1).
const (
	MinAddress = 0x20
	MaxAddress = 0x27
)

// pins is how many lines a chip has.
const pins = 16

// Options are one chip.
type Options struct {
	Bus     bus.I2C
	Address uint16
	// Names maps names of lines to pins, 0 to 7 = GPA0 to GPA7 and 8 to 15 = GPB0 to GPB7; nil = a0 … a7 and b0 … b7.
	Names map[string]int
	// Interrupt carries the line InterruptLine that INTA or INTB is wired to; nil = the chip is polled.
	Interrupt     bus.Lines
	InterruptLine string
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// Expander is one chip. Its methods may be called at once from several goroutines.
type Expander struct {
	o     Options
	names map[string]int

	turn     chan struct{} // one place: who has it uses the bus and the fields below
	ready    bool          // the chip is set up
	dead     string        // why it is told as missing, "" = it is not
	failing  time.Time     // since when it cannot be used, zero = it can, or was not asked yet
	direct   uint16        // directions, 1 = input
	latch    uint16
	level    uint16
	at       time.Time // of the last reading
	seq      uint64
	lines    [pins]line
	watchers map[*watcher]bool
}

// line is what is known of one pin.
type line struct {
	seq      uint64
	kernelNS int64
	watched  int
}

var _ bus.Lines = (*Expander)(nil)

// New checks the options; it does not touch the chip yet.
func New(o Options) (*Expander, error) {
	if o.Bus == nil {
		return nil, errors.New("mcp23017: no bus to find the chip on")
	}
	if o.Address < MinAddress || o.Address > MaxAddress {
		return nil, fmt.Errorf("mcp23017: address %#02x: its pins choose %#02x to %#02x", o.Address, MinAddress, MaxAddress)
	}
	if o.Interrupt != nil && !bus.ValidName(o.InterruptLine) {
		return nil, fmt.Errorf("mcp23017 at %#02x: interrupt line %q: want 1 to %d of a-z, 0-9, hyphen", o.Address, o.InterruptLine, bus.MaxName)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	names := o.Names
	if names == nil {
		names = map[string]int{}
		for pin := range pins {
			names[fmt.Sprintf("%c%d", 'a'+pin/8, pin%8)] = pin
		}
	}
	taken := map[int]string{}
	for name, pin := range names {
		if !bus.ValidName(name) || pin < 0 || pin >= pins || taken[pin] != "" {
			return nil, fmt.Errorf("mcp23017 at %#02x: line %q on pin %d: the name is wrong, the pin is not there or has another name (%s)", o.Address, name, pin, taken[pin])
		}
		taken[pin] = name
	}
	return &Expander{o: o, names: names, turn: make(chan struct{}, 1), watchers: map[*watcher]bool{}}, nil
}

// String names the chip as logs do.
func (e *Expander) String() string { return fmt.Sprintf("mcp23017 at %#02x", e.o.Address) }

// Read reads one level now.
func (e *Expander) Read(ctx context.Context, name string) (bool, error) {
	pin, ok := e.names[name]
	if !ok {
		return false, fmt.Errorf("%s: line %q is not there", e, name)
	}
	if err := e.take(ctx); err != nil {
		return false, err
	}
	defer e.give()
	if err := e.poll(bus.Monotonic()); err != nil {
		return false, fmt.Errorf("reading line %s: %w", name, err)
	}
	return e.level>>pin&1 == 1, nil
}

// Set drives one line, and makes it an output if it was none.
func (e *Expander) Set(ctx context.Context, name string, level bool) error {
	pin, ok := e.names[name]
	if !ok {
		return fmt.Errorf("%s: line %q is not there", e, name)
	}
	if err := e.take(ctx); err != nil {
		return err
	}
	defer e.give()
	if e.lines[pin].watched > 0 {
		return fmt.Errorf("%s: line %s is watched as an input", e, name)
	}
	if err := e.poll(bus.Monotonic()); err != nil {
		return fmt.Errorf("setting line %s: %w", name, err)
	}
	latch, direct := e.latch&^(1<<pin), e.direct&^(1<<pin)
	if level {
		latch |= 1 << pin
	}
	err := e.write(latch, direct)
	if err == nil {
		e.latch, e.direct = latch, direct
		err = e.check()
	}
	if err != nil {
		return fmt.Errorf("setting line %s: %w", name, e.fail(err))
	}
	return nil
}

// take gets the turn.
func (e *Expander) take(ctx context.Context) error {
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", e, ctx.Err())
	}
}

func (e *Expander) give() { <-e.turn }

// fail notes that the chip cannot be used, and tells all who watch if that lasts: one transaction that an interference has
// spoiled is no fault of sixteen lines. It needs the turn.
func (e *Expander) fail(err error) error {
	err = fmt.Errorf("%s: %w", e, err)
	now := e.o.Now()
	if e.ready = false; e.failing.IsZero() {
		e.failing = now
	}
	if now.Sub(e.failing) < retryEvery {
		return err
	}
	if e.dead == "" {
		e.o.Log.Warn("expander lost", "chip", e.String(), "error", err)
	}
	e.dead = err.Error()
	for w := range e.watchers {
		w.lose(e.dead)
	}
	return err
}

// write sets latches before directions, so that no output shows another level first (figure 3-1); all inputs have pull-ups and
// interrupt on any change.
func (e *Expander) write(latch, direct uint16) error {
	a, b := byte(direct), byte(direct>>8)
	if err := e.o.Bus.Tx(e.o.Address, []byte{regLatch, byte(latch), byte(latch >> 8)}, nil); err != nil {
		return err
	}
	return e.o.Bus.Tx(e.o.Address, []byte{regDirection, a, b /* IPOL */, 0, 0 /* GPINTEN */, a, b, /* DEFVAL */
		0, 0 /* INTCON */, 0, 0 /* IOCON */, control, control /* GPPU */, a, b}, nil)
}

// check reads back what write has written.
func (e *Expander) check() error {
	var r [regCount]byte
	if err := e.o.Bus.Tx(e.o.Address, []byte{0}, r[:]); err != nil {
		return err
	}
	if word(r[:], regDirection) != e.direct || word(r[:], regLatch) != e.latch || r[regControl] != control {
		return fmt.Errorf("it does not hold what is written: directions %04x for %04x, latches %04x for %04x",
			word(r[:], regDirection), e.direct, word(r[:], regLatch), e.latch)
	}
	return e.heed(word(r[:], regFlag), word(r[:], regCapture), word(r[:], regLevel), bus.Monotonic())
}

// setUp takes over a chip: its outputs as they stand, unless this expander has set them itself, and what is watched as inputs.
// It needs the turn.
func (e *Expander) setUp() error {
	first := e.at.IsZero()
	if first {
		var r [regCount]byte
		if err := e.o.Bus.Tx(e.o.Address, []byte{0}, r[:]); err != nil {
			return err
		}
		e.direct, e.latch = word(r[:], regDirection), word(r[:], regLatch)
	}
	for pin, l := range e.lines {
		if l.watched > 0 {
			e.direct |= 1 << pin
		}
	}
	if err := e.write(e.latch, e.direct); err != nil {
		return err
	}
	if !first {
		return nil
	}
	var r [2]byte
	if err := e.o.Bus.Tx(e.o.Address, []byte{regLevel}, r[:]); err != nil {
		return err
	}
	e.level = word(r[:], 0)
	return nil
}

// poll reads the chip and tells what changed. kernelNS is when the interrupt came, or now. It needs the turn.
func (e *Expander) poll(kernelNS int64) error {
	const from = regControl
	var r [regCount - from]byte
	for range 2 {
		if !e.ready {
			if err := e.setUp(); err != nil {
				return e.fail(err)
			}
		}
		if err := e.o.Bus.Tx(e.o.Address, []byte{from}, r[:]); err != nil {
			return e.fail(err)
		}
		if e.ready = r[regControl-from] == control && word(r[:], regLatch-from) == e.latch; e.ready {
			if e.dead != "" {
				e.o.Log.Info("expander found", "chip", e.String())
			}
			e.dead, e.failing = "", time.Time{}
			return e.heed(word(r[:], regFlag-from), word(r[:], regCapture-from), word(r[:], regLevel-from), kernelNS)
		}
		e.o.Log.Warn("expander has lost its settings, setting it up again", "chip", e.String())
	}
	return e.fail(errors.New("it does not keep its settings"))
}

// heed takes the levels of all pins, now and as an interrupt found them. It needs the turn.
func (e *Expander) heed(flag, capture, level uint16, kernelNS int64) error {
	e.at = e.o.Now()
	for pin := range pins {
		bit, l := uint16(1)<<pin, &e.lines[pin]
		if l.kernelNS == 0 {
			l.kernelNS = kernelNS
		}
		if e.direct&bit == 0 {
			continue
		}
		was, caught, is := e.level&bit != 0, capture&bit != 0, level&bit != 0
		switch {
		case flag&bit != 0 && caught != was && is == was: // a pulse that is over
			e.edge(pin, caught, kernelNS)
			e.edge(pin, is, kernelNS)
		case flag&bit != 0 && caught == was && is == was: // a pulse that was over when the chip looked
			e.miss(pin, 2, kernelNS)
		case is != was:
			e.edge(pin, is, kernelNS)
		}
	}
	e.level = level
	for w := range e.watchers {
		w.settle(e)
	}
	return nil
}

// edge tells a change of a pin to who watches it.
func (e *Expander) edge(pin int, level bool, kernelNS int64) {
	e.seq++
	l := &e.lines[pin]
	l.seq, l.kernelNS = l.seq+1, kernelNS
	for w := range e.watchers {
		w.edge(pin, bus.Edge{Quality: bus.Changed, Level: level, KernelNS: kernelNS, Seq: e.seq, LineSeq: l.seq})
	}
}

// miss counts edges of a pin that nobody saw.
func (e *Expander) miss(pin int, n uint64, kernelNS int64) {
	e.seq += n
	l := &e.lines[pin]
	l.seq, l.kernelNS = l.seq+n, kernelNS
}

// word is the register of both ports.
func word(r []byte, i int) uint16 { return uint16(r[i]) | uint16(r[i+1])<<8 }
