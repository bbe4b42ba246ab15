package bustest

import (
	"errors"
	"fmt"
	"math/bits"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/bus"
)

// bad runs n transactions over a bus with a plan and writes down how each ended.
func bad(seed uint64, plan Plan, n int) (*Faults, []string) {
	f := NewFaults(seed, plan)
	b := f.I2C(NewChips(map[uint16]*Registers{0x48: {Start: map[uint8]uint16{0: 0xaa}}}))
	var ends []string
	for range n {
		r := make([]byte, 1)
		err := b.Tx(0x48, []byte{0}, r)
		ends = append(ends, fmt.Sprintf("%x %v", r, err))
	}
	return f, ends
}

func TestSameSeedSameFaults(t *testing.T) {
	plan := Plan{NoAnswer: 0.1, Stuck: 0.02, StuckFor: 5, Damaged: 0.1, BrownOut: 0.01, Reset: func() {}}
	f, one := bad(7, plan, 1000)
	_, again := bad(7, plan, 1000)
	_, other := bad(8, plan, 1000)
	if fmt.Sprint(one) != fmt.Sprint(again) || fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("the seed does not say what happens")
	}
	for fault, most := range map[string]int{"noanswer": 160, "stuck": 200, "damaged": 160, "brownout": 40} {
		if n := f.Count(fault); n == 0 || n > most {
			t.Errorf("%s came %d times in 1000", fault, n)
		}
	}
}

func TestEachFault(t *testing.T) {
	f := NewFaults(1, Plan{Stuck: 1, StuckFor: 3})
	b := f.I2C(NewChips(map[uint16]*Registers{0x48: {}}))
	for range 3 {
		if err := b.Tx(0x48, nil, nil); !errors.Is(err, bus.ErrStuck) {
			t.Error(err)
		}
	}
	f.plan.Stuck = 0
	if err := b.Tx(0x48, nil, nil); err != nil || f.Count("stuck") != 3 {
		t.Errorf("after the hang: %v, counted %d", err, f.Count("stuck"))
	}
	chip := &Registers{}
	chip.Set(0, 0xaa)
	chips := NewChips(map[uint16]*Registers{0x48: chip})
	r := make([]byte, 1)
	if err := NewFaults(1, Plan{Damaged: 1}).I2C(chips).Tx(0x48, []byte{0}, r); err != nil || bits.OnesCount8(r[0]^0xaa) != 1 {
		t.Errorf("damaged answer %x, %v: want one bit wrong and no error", r, err)
	}
	if err := NewFaults(1, Plan{Damaged: 1}).I2C(chips).Tx(0x48, []byte{0}, nil); err != nil {
		t.Errorf("nothing to damage: %v", err)
	}
	if err := NewFaults(1, Plan{BrownOut: 1, Reset: chip.Reset}).I2C(chips).Tx(0x48, []byte{0}, r); err != nil || r[0] != 0 {
		t.Errorf("after a brown-out the chip holds %x, %v", r, err)
	}
}

func TestFaultyWire(t *testing.T) {
	b := NewFaults(1, Plan{NoAnswer: 1}).OneWire(NewWires(map[bus.ROM]Slave{bus.NewROM(1, 1): nil}))
	if _, err := b.Search(t.Context()); !errors.Is(err, bus.ErrNoAnswer) {
		t.Error(err)
	}
	if err := b.Tx(nil, nil, false); !errors.Is(err, bus.ErrNoAnswer) {
		t.Error(err)
	}
	b = NewFaults(1, Plan{}).OneWire(NewWires(map[bus.ROM]Slave{bus.NewROM(1, 1): nil}))
	if roms, err := b.Search(t.Context()); err != nil || len(roms) != 1 {
		t.Errorf("%s, %v", roms, err)
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		_, ends := bad(1, Plan{Slow: 1, SlowFor: 3 * time.Second}, 2)
		if took := time.Since(begun); took != 6*time.Second {
			t.Errorf("%q took %s", ends, took)
		}
	})
}
