package bustest

import (
	"errors"
	"testing"

	"watchpost/drivers/bus"
)

func TestWiresConformance(t *testing.T) {
	OneWire(t, func(*testing.T) OneWireBench {
		b := NewWires(nil)
		return OneWireBench{Bus: b, Take: b.Take, Put: func(rom bus.ROM, answer [9]byte) {
			b.Put(rom, func(w, r []byte, _ bool) {
				if len(w) == 1 && w[0] == 0xbe {
					copy(r, answer[:])
				}
			})
		}}
	})
}

// TestTwoAnswerAtOnce holds that a wire with two speakers carries the lower of both bits, and a stuck one nothing.
func TestTwoAnswerAtOnce(t *testing.T) {
	b := NewWires(map[bus.ROM]Slave{
		bus.NewROM(0x28, 1): func(_, r []byte, strong bool) {
			if strong {
				r[0] = 0x0f
			}
		},
		bus.NewROM(0x28, 2): func(_, r []byte, _ bool) { r[0] = 0x3c },
		bus.NewROM(1, 3):    nil,
	})
	r := make([]byte, 1)
	if err := b.Tx([]byte{skipROM, 1}, r, true); err != nil || r[0] != 0x0c {
		t.Errorf("%x, %v", r, err)
	}
	if err := b.Tx(nil, r, true); err != nil || r[0] != 0xff {
		t.Errorf("nobody was called: %x, %v", r, err)
	}
	b.Stick(true)
	if err := b.Tx([]byte{skipROM}, r, false); !errors.Is(err, bus.ErrStuck) {
		t.Error(err)
	}
	if _, err := b.Search(t.Context()); !errors.Is(err, bus.ErrStuck) {
		t.Error(err)
	}
}
