package ds18b20

import (
	"context"
	"errors"
	"fmt"
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

// pad is a scratchpad with a right checksum, of wire's own arithmetic.
func pad(raw uint16, config byte) [scratchpadSize]byte {
	b := [scratchpadSize]byte{byte(raw), byte(raw >> 8), 0x4b, 0x46, config, 0xff, 0x0c, 0x10}
	b[8] = wire.CRC8(b[:8])
	return b
}

// TestTable1 holds the temperatures of the data sheet's table 1.
func TestTable1(t *testing.T) {
	for raw, want := range map[uint16]measure.Temperature{
		0x07d0: 125_000, 0x0550: 85_000, 0x0191: 25_062, 0x00a2: 10_125, 0x0008: 500,
		0x0000: 0, 0xfff8: -500, 0xff5e: -10_125, 0xfe6f: -25_062, 0xfc90: -55_000,
	} {
		s, err := parseScratchpad(pad(raw, 0x7f))
		if err != nil || s.temperature != want || s.bits != 12 {
			t.Errorf("%04x: %+v, %v, want %s", raw, s, err, want)
		}
	}
}

// TestResolution holds that bits which are undefined at a resolution do not count (figure 10, table 2).
func TestResolution(t *testing.T) {
	for config, want := range map[byte]scratchpad{0x1f: {25_000, 9}, 0x3f: {25_250, 10}, 0x5f: {25_375, 11}, 0x7f: {25_437, 12}} {
		if s, err := parseScratchpad(pad(0x0197, config)); err != nil || s != want {
			t.Errorf("configuration %02x: %+v, %v, want %+v", config, s, err, want)
		}
	}
}

func TestWrongScratchpads(t *testing.T) {
	damaged := pad(0x0191, 0x7f)
	damaged[0] ^= 0x10
	for name, b := range map[string][scratchpadSize]byte{
		"damaged":   damaged,
		"wire low":  {},
		"no config": pad(0x0191, 0xff),
	} {
		if s, err := parseScratchpad(b); !errors.Is(err, bus.ErrChecksum) || s != (scratchpad{}) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := parseScratchpad([scratchpadSize]byte{255, 255, 255, 255, 255, 255, 255, 255, 255}); !errors.Is(err, bus.ErrNoAnswer) {
		t.Errorf("nobody on the wire: %v", err)
	}
	for _, raw := range []uint16{0x07d1, 0xfc8f, 0x7fff, 0x8000} {
		if s, err := parseScratchpad(pad(raw, 0x7f)); err == nil {
			t.Errorf("%04x is %s", raw, s.temperature)
		}
	}
}

const code = 0x28

// bench is a driver over the simulated thermometer, with a key on the same bus.
func bench(t testing.TB, parasite bool) (*Chip, *chip.DS18B20, *wire.OneWire, uint64) {
	t.Helper()
	b, sim, rom := wire.NewOneWire(), chip.NewDS18B20(parasite, time.Now), wire.Code(code, 0x0316a2795cff)
	b.Put(rom, sim)
	b.Put(wire.Code(chip.FamilyDS1990A, 7), chip.DS1990A{})
	c, err := New(wire.As[bus.ROM](b), bus.ROM(rom))
	must(t, err)
	return c, sim, b, rom
}

func TestOverWire(t *testing.T) {
	for name, parasite := range map[string]bool{"own supply": false, "from the wire": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, sim, _, _ := bench(t, parasite)
				for _, want := range []measure.Temperature{21_500, -10_125, 0, 124_937} {
					sim.SetCelsius(float64(want) / 1000)
					r, err := c.Measure(t.Context())
					if err != nil || len(r) != 1 || r[0] != want.Reading("temperature") {
						t.Errorf("%v, %v, want %s", r, err, want)
					}
				}
			})
		})
	}
}

// TestPowerOn holds that 85 °C is believed only next to a reading like it.
func TestPowerOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sim, b, rom := bench(t, false)
		c.bus = reset{wire.As[bus.ROM](b), func() { must(t, b.BrownOut(rom)) }}
		if v, err := c.Temperature(t.Context()); !errors.Is(err, ErrPowerOn) || v != 0 {
			t.Errorf("a chip that lost its supply while measuring: %s, %v", v, err)
		}
		c.bus = wire.As[bus.ROM](b)
		for _, step := range []struct {
			celsius float64
			ok      bool
		}{{85, false}, {84, true}, {85, true}, {86, true}, {85, true}, {40, true}, {85, false}} {
			sim.SetCelsius(step.celsius)
			if v, err := c.Temperature(t.Context()); err == nil != step.ok || !step.ok && !errors.Is(err, ErrPowerOn) {
				t.Errorf("%g °C: %s, %v", step.celsius, v, err)
			}
		}
	})
}

// reset is a bus that does something before a scratchpad is read.
type reset struct {
	bus.OneWire
	do func()
}

func (b reset) Tx(w, r []byte, strong bool) error {
	if len(r) > 0 {
		b.do()
	}
	return b.OneWire.Tx(w, r, strong)
}

// TestWaits holds that a conversion is given the time of its resolution, and that a longer one is not read before its end.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, b, _ := bench(t, false)
		configure := func(bits byte) { // Write Scratchpad: TH, TL, configuration
			must(t, b.Tx(append(c.command(0x4e), 0, 0, (bits-9)<<5|0x1f), nil, false))
		}
		configure(9)
		for i, want := range []time.Duration{slowest, slowest / 8, slowest / 8} {
			begun := time.Now()
			if _, err := c.Temperature(t.Context()); err != nil || time.Since(begun) != want {
				t.Errorf("reading %d took %s, %v, want %s", i, time.Since(begun), err, want)
			}
		}
		configure(11)
		if v, err := c.Temperature(t.Context()); !errors.Is(err, ErrNotDone) {
			t.Errorf("read too early: %s, %v", v, err)
		}
		if v, err := c.Temperature(t.Context()); err != nil || v != 20*measure.Celsius {
			t.Errorf("%s, %v", v, err)
		}
	})
}

// TestFaults holds that each error comes back with the chip's code, and that none is a number.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for fault, do := range map[error]func(b *wire.OneWire, rom uint64){
			bus.ErrStuck:    func(b *wire.OneWire, _ uint64) { b.Short(true) },
			bus.ErrChecksum: func(b *wire.OneWire, _ uint64) { b.Damage(1) },
			bus.ErrNoAnswer: func(b *wire.OneWire, rom uint64) {
				must(t, b.Touch(rom, false))
				must(t, b.Touch(wire.Code(chip.FamilyDS1990A, 7), false))
			},
		} {
			c, _, b, rom := bench(t, false)
			do(b, rom)
			if r, err := c.Measure(t.Context()); !errors.Is(err, fault) || r != nil || !strings.Contains(err.Error(), "ds18b20 ") {
				t.Errorf("%v: %v, %v", fault, r, err)
			}
		}
		c, _, b, rom := bench(t, false)
		must(t, b.Touch(rom, false)) // the key still answers the reset
		if r, err := c.Measure(t.Context()); !errors.Is(err, bus.ErrNoAnswer) {
			t.Errorf("gone, with others on the bus: %v, %v", r, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, b.Touch(rom, true))
		if _, err := c.Measure(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestWrongOptions(t *testing.T) {
	b := wire.As[bus.ROM](wire.NewOneWire())
	if _, err := New(nil, bus.NewROM(Family, 1)); err == nil {
		t.Error("no bus: no error")
	}
	if _, err := New(b, bus.NewROM(1, 1)); err == nil {
		t.Error("a key: no error")
	}
	if _, err := New(b, bus.NewROM(Family, 1)^1<<60); !errors.Is(err, bus.ErrChecksum) {
		t.Errorf("a wrong code: %v", err)
	}
}

// FuzzScratchpad gives bytes as a wire may: there is an error, or a temperature that the chip can measure.
func FuzzScratchpad(f *testing.F) {
	for _, raw := range []uint16{0x07d0, 0x0550, 0x0191, 0xfc90, 0x7fff} {
		b := pad(raw, 0x7f)
		f.Add(b[:])
	}
	f.Add(make([]byte, scratchpadSize))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < scratchpadSize {
			return
		}
		s, err := parseScratchpad([scratchpadSize]byte(data))
		if err == nil && (s.temperature < -55_000 || s.temperature > 125_000 || s.bits < 9 || s.bits > 12) {
			t.Errorf("%+v", s)
		}
		if err != nil && s != (scratchpad{}) {
			t.Errorf("%v and %+v", err, s)
		}
	})
}

// weak is a bus without a strong pull-up, as the kernel's.
type weak struct{ bus.OneWire }

func (b weak) Tx(w, r []byte, strong bool) error {
	if strong {
		return fmt.Errorf("no strong pull-up: %w", errors.ErrUnsupported)
	}
	return b.OneWire.Tx(w, r, false)
}

// TestWeakBus: over a bus without a strong pull-up a chip with a supply of its own is read, and one that lives from the wire is not.
func TestWeakBus(t *testing.T) {
	for name, parasite := range map[string]bool{"own supply": false, "from the wire": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, sim, w, rom := bench(t, parasite)
				c.bus = weak{c.bus}
				sim.SetCelsius(-7.5)
				got, err := c.Temperature(t.Context())
				if parasite {
					if !errors.Is(err, errors.ErrUnsupported) || got != 0 {
						t.Errorf("%s, %v", got, err)
					}
					return
				}
				if err != nil || got != -7500 {
					t.Errorf("%s, %v", got, err)
				}
				must(t, w.Touch(rom, false))
				if _, err := c.Temperature(t.Context()); !errors.Is(err, bus.ErrNoAnswer) {
					t.Errorf("taken away: %v", err)
				}
			})
		})
	}
}
