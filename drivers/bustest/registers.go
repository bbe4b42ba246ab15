package bustest

import (
	"fmt"
	"maps"
	"sync"

	"watchpost/drivers/bus"
)

// maxAddress is the highest seven-bit address that a chip may have (UM10204, table 3: 0x78 and up are reserved).
const maxAddress = 0x77

// Registers is a chip as most are on I2C: the first byte of a write is a register's number, the others go into registers, and
// a read goes on from the number last written. Fields are set before the chip is used.
type Registers struct {
	// Wide says that a register has two bytes, high one first, and that the number stays where it is, as in converters;
	// otherwise a register has one byte and the number moves on with each.
	Wide bool
	// Pairs says that a longer write is register, value, register, value (BME280 datasheet, 6.2.1).
	Pairs bool
	// Start holds the registers after power comes up; others are 0.
	Start map[uint8]uint16
	// Wrote is called after a register was written, and may change the registers, which it must not keep.
	Wrote func(now map[uint8]uint16, register uint8)
	// Reads is called before a register is read, and may change the registers, which it must not keep.
	Reads func(now map[uint8]uint16, register uint8)

	mu      sync.Mutex // guards the fields below
	now     map[uint8]uint16
	pointer uint8
}

// Get is what a register holds.
func (c *Registers) Get(register uint8) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
	return c.now[register]
}

// Set makes a register hold a value, as the chip itself would.
func (c *Registers) Set(register uint8, value uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
	c.now[register] = value
}

// Reset is a fall of the supply: the registers are as at the start, and what was written is gone.
func (c *Registers) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.pointer = nil, 0
}

// wake needs the mutex.
func (c *Registers) wake() {
	if c.now == nil {
		c.now = map[uint8]uint16{}
		maps.Copy(c.now, c.Start)
	}
}

func (c *Registers) tx(w, r []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
	if len(w) > 0 {
		c.pointer = w[0]
		c.write(w[1:])
	}
	for i := range r {
		if c.Reads != nil && (!c.Wide || i%2 == 0) {
			c.Reads(c.now, c.pointer)
		}
		switch v := c.now[c.pointer]; {
		case !c.Wide:
			r[i] = byte(v)
			c.pointer++
		case i%2 == 0:
			r[i] = byte(v >> 8)
		default:
			r[i] = byte(v)
		}
	}
}

// write takes the bytes behind the register's number. Half of a wide register, or of a pair, is as good as none.
func (c *Registers) write(b []byte) {
	for len(b) > 0 {
		var v uint16
		switch {
		case c.Wide && len(b) < 2:
			return
		case c.Wide:
			v, b = uint16(b[0])<<8|uint16(b[1]), b[2:]
		default:
			v, b = uint16(b[0]), b[1:]
		}
		c.now[c.pointer] = v
		if c.Wrote != nil {
			c.Wrote(c.now, c.pointer)
		}
		switch {
		case c.Pairs && len(b) > 1:
			c.pointer, b = b[0], b[1:]
		case c.Pairs:
			return
		case !c.Wide:
			c.pointer++
		}
	}
}

// Chips is a bus.I2C in memory with chips by their address.
type Chips struct {
	mu    sync.Mutex // guards the fields below and holds a transaction together
	chips map[uint16]*Registers
	stuck bool
}

var _ bus.I2C = (*Chips)(nil)

// NewChips is a bus with chips on it.
func NewChips(chips map[uint16]*Registers) *Chips { return &Chips{chips: maps.Clone(chips)} }

// Tx implements bus.I2C.
func (b *Chips) Tx(addr uint16, w, r []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	chip := b.chips[addr]
	switch {
	case addr > maxAddress:
		return fmt.Errorf("chip %02x: no seven-bit address", addr)
	case b.stuck:
		return fmt.Errorf("chip %02x: %w", addr, bus.ErrStuck)
	case chip == nil:
		return fmt.Errorf("chip %02x: %w", addr, bus.ErrNoAnswer)
	}
	chip.tx(w, r)
	return nil
}

// Stick holds the wires of the bus low, or lets them go.
func (b *Chips) Stick(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stuck = on
}

// Put solders a chip in at an address; nil takes it out.
func (b *Chips) Put(addr uint16, chip *Registers) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.chips == nil {
		b.chips = map[uint16]*Registers{}
	}
	delete(b.chips, addr)
	if chip != nil {
		b.chips[addr] = chip
	}
}
