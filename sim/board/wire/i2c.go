// Two wires carry all chips of a small board, and one chip that lets go of neither silences the rest.
//
// Here are the two buses that a village station uses, as a station's controller meets them: [I2C], with chips by seven-bit
// addresses, and [OneWire], with chips by the 64-bit code that each was born with. Both take faults as they happen at the wire:
// a chip that is pulled, a wire that is held low, power that fails for a moment, an answer with a bit turned, an answer that
// comes late. Their methods have the shapes of the usual bus interfaces, and everything is safe for concurrent use.
package wire

import (
	"fmt"
	"sync"
	"time"
)

// patience is how long a controller waits for a chip that stretches the clock.
const patience = time.Second

// Chip is one part on an I2C bus.
type Chip interface {
	// Write takes the bytes behind the address, up to the stop or the repeated start.
	Write(b []byte)
	// Read fills b with what the chip answers.
	Read(b []byte)
	// PowerOn puts the registers back to what they are after power came.
	PowerOn()
}

// I2C is a bus of chips.
type I2C struct {
	turn chan struct{} // holds one for the transaction under way

	mu    sync.Mutex // guards the fields below
	chips map[uint16]*slot
	stuck bool
	delay time.Duration
}

// NewI2C is a bus without chips.
func NewI2C() *I2C { return &I2C{turn: make(chan struct{}, 1), chips: map[uint16]*slot{}} }

// slot is a place for a chip.
type slot struct {
	chip   Chip
	pulled bool
	damage int // answers that get a bit turned
}

// Put puts a chip at an address from 0x08 to 0x77, in the place of another if there is one.
func (b *I2C) Put(addr uint16, c Chip) error {
	if addr < 0x08 || addr > 0x77 {
		return fmt.Errorf("address %#x: a chip has one from 0x08 to 0x77", addr)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chips[addr] = &slot{chip: c}
	return nil
}

// Tx writes w and, after a repeated start, reads r, as one transaction. An address that nobody answers is [NoAnswer], a bus
// with a wire held low [Stuck], and a chip that stretches the clock beyond a second [Timeout].
func (b *I2C) Tx(addr uint16, w, r []byte) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	chip, delay, err := b.reach(addr)
	if err != nil {
		return fmt.Errorf("i2c %#02x: %w", addr, err)
	}
	if !stretch(delay) {
		return fmt.Errorf("i2c %#02x: %w", addr, Timeout)
	}
	if len(w) > 0 {
		chip.Write(w)
	}
	if len(r) > 0 {
		chip.Read(r)
		b.spoil(addr, r)
	}
	return nil
}

// reach finds the chip that acknowledges an address.
func (b *I2C) reach(addr uint16) (c Chip, delay time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.chips[addr]
	switch {
	case b.stuck:
		return nil, 0, Stuck
	case s == nil || s.pulled:
		return nil, 0, NoAnswer
	}
	return s.chip, b.delay, nil
}

// spoil damages an answer if it is to be.
func (b *I2C) spoil(addr uint16, r []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.chips[addr]; s.damage > 0 {
		s.damage--
		damage(r)
	}
}

// damage turns one bit, in the middle of an answer.
func damage(r []byte) { r[len(r)/2] ^= 0x10 }

// stretch waits, and reports whether a controller would have waited as long.
func stretch(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(min(d, patience))
	<-timer.C
	return d < patience
}

// Pull takes a chip off the bus, whose power goes on: its registers stay.
func (b *I2C) Pull(addr uint16) error { return b.at(addr, func(s *slot) { s.pulled = true }) }

// Plug puts a chip back that was pulled.
func (b *I2C) Plug(addr uint16) error { return b.at(addr, func(s *slot) { s.pulled = false }) }

// BrownOut is a dip of a chip's power: its registers are as after power came.
func (b *I2C) BrownOut(addr uint16) error { return b.at(addr, func(s *slot) { s.chip.PowerOn() }) }

// Damage turns a bit in each of a chip's next n answers.
func (b *I2C) Damage(addr uint16, n int) error { return b.at(addr, func(s *slot) { s.damage = n }) }

func (b *I2C) at(addr uint16, do func(*slot)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.chips[addr]
	if s == nil {
		return fmt.Errorf("no chip at %#02x", addr)
	}
	do(s)
	return nil
}

// Stick holds SDA low, or lets it go: no transaction works meanwhile.
func (b *I2C) Stick(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stuck = on
}

// Slow makes every transaction take d, as chips do that stretch the clock; 0 ends it.
func (b *I2C) Slow(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = d
}
