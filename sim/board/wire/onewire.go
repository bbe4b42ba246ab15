package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// ROM commands, by which a 1-wire controller says whom it means (Maxim application note 187 and the chips' datasheets).
const (
	readROM  = 0x33
	matchROM = 0x55
	skipROM  = 0xCC
)

// romLength is the bytes of a ROM code on the wire.
const romLength = 8

// Device is one part on a 1-wire bus, behind its ROM code.
type Device interface {
	// Talk takes what follows the ROM command, and fills r with the bits that the device lets through: a silent one leaves 0xFF.
	// strong says that the controller drives the bus high afterwards, to power the device.
	Talk(w, r []byte, strong bool)
	// PowerOn puts the device in the state after power came.
	PowerOn()
}

// OneWire is a bus of devices that answer together: a bit reads 0 if any of them pulls it low.
type OneWire struct {
	turn chan struct{} // holds one for the transaction under way

	mu      sync.Mutex // guards the fields below
	devices map[uint64]Device
	away    map[uint64]bool
	short   bool
	damage  int
	delay   time.Duration
}

// NewOneWire is a bus without devices.
func NewOneWire() *OneWire {
	return &OneWire{turn: make(chan struct{}, 1), devices: map[uint64]Device{}, away: map[uint64]bool{}}
}

// Code completes a ROM code: the family in the lowest byte, 48 bits of serial number, and their CRC-8 in the highest byte
// (Maxim application note 27).
func Code(family byte, serial uint64) uint64 {
	code := uint64(family) | serial<<8&0x00FF_FFFF_FFFF_FFFF
	var b [romLength]byte
	binary.LittleEndian.PutUint64(b[:], code)
	return code | uint64(CRC8(b[:romLength-1]))<<56
}

// CRC8 is the check of 1-wire: x⁸ + x⁵ + x⁴ + 1, least significant bit first, from 0 (Maxim application note 27).
func CRC8(b []byte) byte {
	var crc byte
	for _, x := range b {
		for range 8 {
			mix := (crc ^ x) & 1
			crc >>= 1
			if mix != 0 {
				crc ^= 0x8C
			}
			x >>= 1
		}
	}
	return crc
}

// Put puts a device on the bus, in the place of one with the same code.
func (b *OneWire) Put(code uint64, d Device) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.devices[code] = d
}

// Touch brings a device in contact with the bus, or away from it: a sensor that is pulled, a key that is held to its reader.
// It keeps its state only if it has power of its own, so it starts as after power came.
func (b *OneWire) Touch(code uint64, on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.devices[code]
	if d == nil {
		return fmt.Errorf("no device with the code %016x", code)
	}
	if on && b.away[code] {
		d.PowerOn()
	}
	b.away[code] = !on
	return nil
}

// BrownOut is a dip of a device's power.
func (b *OneWire) BrownOut(code uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.devices[code]
	if d == nil {
		return fmt.Errorf("no device with the code %016x", code)
	}
	d.PowerOn()
	return nil
}

// Short connects the wire to ground, or ends that.
func (b *OneWire) Short(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.short = on
}

// Damage turns a bit in each of the next n answers of the bus, found codes included.
func (b *OneWire) Damage(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.damage = n
}

// Slow makes every transaction take d; 0 ends it.
func (b *OneWire) Slow(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = d
}

// Tx resets the bus, writes w and then reads r. Without any presence pulse it is [NoAnswer], with the wire at ground [Stuck].
func (b *OneWire) Tx(w, r []byte, strong bool) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	present, err := b.reset()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(present) == 0 {
		return fmt.Errorf("1-wire: %w", NoAnswer)
	}
	for i := range r {
		r[i] = 0xFF
	}
	answer := make([]byte, len(r))
	and := func() {
		for i := range r {
			r[i] &= answer[i]
		}
	}
	for _, code := range present {
		for i := range answer {
			answer[i] = 0xFF
		}
		switch {
		case len(w) == 1 && w[0] == readROM:
			var own [romLength]byte
			binary.LittleEndian.PutUint64(own[:], code)
			copy(answer, own[:])
		case len(w) > 0 && w[0] == skipROM:
			b.devices[code].Talk(w[1:], answer, strong)
		case len(w) > romLength && w[0] == matchROM && binary.LittleEndian.Uint64(w[1:]) == code:
			b.devices[code].Talk(w[1+romLength:], answer, strong)
		}
		and()
	}
	if b.damage > 0 && len(r) > 0 {
		b.damage--
		damage(r)
	}
	return nil
}

// reset is the reset pulse and who answered it, in the order of a search. It needs the turn.
func (b *OneWire) reset() ([]uint64, error) {
	b.mu.Lock()
	short, delay := b.short, b.delay
	b.mu.Unlock()
	if short {
		return nil, fmt.Errorf("1-wire: %w", Stuck)
	}
	if !stretch(delay) {
		return nil, fmt.Errorf("1-wire: %w", Timeout)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var present []uint64
	for code := range b.devices {
		if !b.away[code] {
			present = append(present, code)
		}
	}
	// The search of ROM codes takes the branch of 0 first, from the least significant bit on (application note 187).
	slices.SortFunc(present, func(x, y uint64) int {
		if bits.Reverse64(x) < bits.Reverse64(y) {
			return -1
		}
		return 1
	})
	return present, nil
}

// Search lists the codes of the devices in contact, in the order of a ROM search; none is no error. A damaged answer shows
// as a code whose CRC is wrong: that is for the caller to find.
func (b *OneWire) Search(ctx context.Context) ([]uint64, error) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := b.reset()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.damage > 0 && len(found) > 0 {
		b.damage--
		found[0] ^= 0x10 << 32
	}
	return found, err
}

// Typed is a bus whose codes have a type of the caller's.
type Typed[R ~uint64] struct{ *OneWire }

// As is the bus with codes of type R, so that it fits an interface that names them.
func As[R ~uint64](b *OneWire) Typed[R] { return Typed[R]{b} }

// Search is [OneWire.Search].
func (b Typed[R]) Search(ctx context.Context) ([]R, error) {
	found, err := b.OneWire.Search(ctx)
	codes := make([]R, len(found))
	for i, code := range found {
		codes[i] = R(code)
	}
	return codes, err
}
