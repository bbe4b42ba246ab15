package bustest

import (
	"bytes"
	"errors"
	"testing"

	"watchpost/drivers/bus"
)

func TestRegistersOfOneByte(t *testing.T) {
	chip := &Registers{Start: map[uint8]uint16{0xd0: 0x60, 0xff: 9}}
	b := NewChips(map[uint16]*Registers{0x76: chip})
	id := make([]byte, 2)
	if err := b.Tx(0x76, []byte{0xd0}, id); err != nil || !bytes.Equal(id, []byte{0x60, 0}) {
		t.Errorf("id % x, %v", id, err)
	}
	if err := b.Tx(0x76, []byte{0xfe, 1, 2, 3}, nil); err != nil {
		t.Fatal(err)
	}
	if chip.Get(0xfe) != 1 || chip.Get(0xff) != 2 || chip.Get(0) != 3 {
		t.Error("the number of the register does not move on and wrap")
	}
	chip.Reset()
	if chip.Get(0xff) != 9 || chip.Get(0xfe) != 0 {
		t.Error("a reset chip remembers")
	}
	chip.Set(1, 7)
	if err := b.Tx(0x76, nil, id[:1]); err != nil || id[0] != 0 {
		t.Errorf("after a reset a read begins at register %x, %v", id[0], err)
	}
	if err := b.Tx(0x76, nil, id[:1]); err != nil || id[0] != 7 {
		t.Errorf("a second read goes on: %x, %v", id[0], err)
	}
}

func TestWideRegistersAndHooks(t *testing.T) {
	chip := &Registers{Wide: true}
	chip.Wrote = func(now map[uint8]uint16, register uint8) {
		if register == 1 {
			now[1] &^= 0x8000 // starts a conversion, which is done at once
			now[0] = now[1] + 1
		}
	}
	reads := 0
	chip.Reads = func(map[uint8]uint16, uint8) { reads++ }
	b := NewChips(map[uint16]*Registers{0x48: chip})
	got := make([]byte, 4)
	if err := errors.Join(b.Tx(0x48, []byte{1, 0x84, 0x83}, nil), b.Tx(0x48, []byte{0}, got)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, []byte{4, 0x84, 4, 0x84}) || reads != 2 {
		t.Errorf("% x after %d looks: want the same register twice", got, reads)
	}
	if err := b.Tx(0x48, []byte{2, 0xaa}, nil); err != nil || chip.Get(2) != 0 {
		t.Errorf("half a register was written: %x, %v", chip.Get(2), err)
	}
}

func TestPairs(t *testing.T) {
	chip := &Registers{Pairs: true}
	b := NewChips(map[uint16]*Registers{0x76: chip})
	if err := b.Tx(0x76, []byte{0xf2, 1, 0xf4, 0x27, 0xf5}, nil); err != nil {
		t.Fatal(err)
	}
	if chip.Get(0xf2) != 1 || chip.Get(0xf4) != 0x27 || chip.Get(0xf3) != 0 || chip.Get(0xf5) != 0 {
		t.Error("not written as pairs")
	}
}

func TestChipsConformance(t *testing.T) {
	I2C(t, func(t *testing.T) I2CBench {
		b := NewChips(nil)
		b.Put(0x48, &Registers{})
		return I2CBench{Bus: b, Stick: func() { b.Stick(true) }, Free: func() { b.Stick(false) }}
	})
	b := NewChips(nil)
	if err := b.Tx(0x48, nil, nil); !errors.Is(err, bus.ErrNoAnswer) {
		t.Error(err)
	}
}
