package ina219

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/wire"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDesignExample holds the data sheet's example of configuring, measuring and calculating: a load of 10 A at 12 V over
// 2 mΩ makes the registers 07D0h and 5D98h, which are 20 mV and 11.98 V, 10.0 A and 119.8 W.
func TestDesignExample(t *testing.T) {
	s, err := sampleOf(0x07d0, 0x5d98, 2*measure.Ohm/1000)
	if err != nil || s.Voltage != 11_980_000 || s.Current != 10*measure.Ampere || s.Power().String() != "119.8 W" {
		t.Errorf("%s, %s, %s, %v", s.Voltage, s.Current, s.Power(), err)
	}
}

// TestShuntVoltage holds the formats of the shunt register: ±320 mV, ±40 mV and −10 µV over 0.1 Ω.
func TestShuntVoltage(t *testing.T) {
	for raw, want := range map[uint16]measure.Current{0x7cff: 3_199_900, 0x0fa0: 400_000, 0x0001: 100, 0x0000: 0, 0xffff: -100, 0xf060: -400_000, 0x8301: -3_199_900} {
		if s, err := sampleOf(int16(raw), 0, measure.Ohm/10); err != nil || s.Current != want {
			t.Errorf("%04x: %s, %v, want %s", raw, s.Current, err, want)
		}
	}
	for _, raw := range []uint16{0x7d00, 0x7fff, 0x8300, 0x8000} {
		if s, err := sampleOf(int16(raw), 0, measure.Ohm/10); err == nil {
			t.Errorf("%04x is %s", raw, s.Current)
		}
	}
}

// TestConfig holds the word that is written, bit by bit.
func TestConfig(t *testing.T) {
	if config != 0b0_0_1_11_1100_1100_011 {
		t.Errorf("%016b", config)
	}
}

type feed struct{ volts, amps float64 }

func bench(t testing.TB, shunt measure.Resistance) (*Chip, *feed, *wire.I2C) {
	t.Helper()
	b, f := wire.NewI2C(), &feed{}
	must(t, b.Put(0x41, chip.NewINA219(float64(shunt)/1000, func() (float64, float64) { return f.volts, f.amps }, time.Now)))
	c, err := New(b, 0x41, shunt)
	must(t, err)
	return c, f, b
}

// TestOverWire compares with the simulated chip for any load.
func TestOverWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f, _ := bench(t, measure.Ohm/10)
		dice := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			f.volts, f.amps = 26*dice.Float64(), 6.38*dice.Float64()-3.19
			s, err := c.Sample(t.Context())
			if err != nil || math.Abs(float64(s.Voltage)/1e6-f.volts) > 0.0021 || math.Abs(float64(s.Current)/1e6-f.amps) > 0.0001 {
				t.Fatalf("%s, %s, %v, want %g V, %g A", s.Voltage, s.Current, err, f.volts, f.amps)
			}
		}
		f.volts, f.amps = 12.4, 0.5
		r, err := c.Measure(t.Context())
		if err != nil || len(r) != 2 || r[0].String() != "voltage 12.4 V" || r[1].String() != "current 0.5 A" {
			t.Errorf("%v, %v", r, err)
		}
		f.amps = 4
		if s, err := c.Sample(t.Context()); err == nil {
			t.Errorf("4 A over 0.1 Ω are %s", s.Current)
		}
	})
}

// during is a bus that does something before the first result is read.
type during struct {
	bus.I2C
	do func()
}

func (b *during) Tx(addr uint16, w, r []byte) error {
	if len(r) > 0 && b.do != nil {
		b.do()
		b.do = nil
	}
	return b.I2C.Tx(addr, w, r)
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, f := range map[string]struct {
			do   func(b *wire.I2C)
			want error
		}{
			"gone":      {func(b *wire.I2C) { must(t, b.Pull(0x41)) }, bus.ErrNoAnswer},
			"stuck":     {func(b *wire.I2C) { b.Stick(true) }, bus.ErrStuck},
			"brown-out": {func(b *wire.I2C) { must(t, b.BrownOut(0x41)) }, ErrNotDone},
			"brown-out, and measuring by itself": {func(b *wire.I2C) {
				must(t, b.BrownOut(0x41))
				<-time.After(10 * time.Millisecond)
			}, ErrNotDone},
			"still busy": {func(b *wire.I2C) { must(t, b.Tx(0x41, []byte{0, config >> 8, config & 0xff}, nil)) }, ErrNotDone},
		} {
			c, _, b := bench(t, measure.Ohm/10)
			c.bus = &during{b, func() { f.do(b) }}
			if r, err := c.Measure(t.Context()); !errors.Is(err, f.want) || r != nil || !strings.Contains(err.Error(), "ina219 at 0x41") {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		}
		c, _, b := bench(t, measure.Ohm/10)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Sample(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		b.Stick(true)
		if _, err := c.Sample(t.Context()); !errors.Is(err, bus.ErrStuck) {
			t.Errorf("stuck from the start: %v", err)
		}
	})
}

func TestWrongOptions(t *testing.T) {
	b := wire.NewI2C()
	if _, err := New(nil, 0x40, measure.Ohm); err == nil {
		t.Error("no bus: no error")
	}
	for addr, shunt := range map[uint16]measure.Resistance{0x3f: measure.Ohm, 0x50: measure.Ohm, 0x40: 0, 0x41: 11 * measure.Ohm} {
		if _, err := New(b, addr, shunt); err == nil {
			t.Errorf("address %#x, shunt %s: no error", addr, shunt)
		}
	}
}
