package ds3231

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
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

// TestTemperatureExample holds the data sheet's example, 00011001 01b = +25.25 °C, and its two's complement.
func TestTemperatureExample(t *testing.T) {
	for raw, want := range map[[2]byte]measure.Temperature{
		{0b00011001, 0b01000000}: 25_250, {0, 0}: 0, {0, 0b11000000}: 750, {0b11111111, 0b11000000}: -250,
		{0b11100110, 0b11000000}: -25_250, {0b11011000, 0}: -40_000, {85, 0}: 85_000,
	} {
		if got := parseCelsius(raw[0], raw[1]); got != want {
			t.Errorf("%08b: %s, want %s", raw, got, want)
		}
	}
}

// TestRegisters holds figure 1: binary-coded decimals, both forms of the hour, the century.
func TestRegisters(t *testing.T) {
	for want, r := range map[string][7]byte{
		"2026-11-22T22:45:59Z": {0x59, 0x45, 0x22, 1, 0x22, 0x11, 0x26},
		"2000-01-01T00:00:00Z": {0, 0, 0, 7, 1, 1, 0},
		"2199-12-31T23:59:59Z": {0x59, 0x59, 0x23, 3, 0x31, 0x92, 0x99},
		"2100-03-01T09:10:11Z": {0x11, 0x10, 0x09, 2, 0x01, 0x83, 0x00},
		"2028-02-29T12:00:00Z": {0, 0, 0x52 | 0x20, 3, 0x29, 0x02, 0x28}, // 12 noon
		"2028-02-29T00:00:00Z": {0, 0, 0x52, 3, 0x29, 0x02, 0x28},        // 12 midnight
		"2028-02-29T11:00:00Z": {0, 0, 0x51, 3, 0x29, 0x02, 0x28},
		"2028-02-29T23:00:00Z": {0, 0, 0x51 | 0x20, 3, 0x29, 0x02, 0x28},
	} {
		if got, err := parseTime(r); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("% x: %s, %v, want %s", r, got.Format(time.RFC3339), err, want)
		}
	}
	for name, r := range map[string][7]byte{
		"seconds 60": {0x60, 0, 0, 1, 1, 1, 0}, "no digit": {0x0a, 0, 0, 1, 1, 1, 0}, "hour 24": {0, 0, 0x24, 1, 1, 1, 0}, "no day": {0, 0, 0, 1, 0, 1, 0},
		"30 February": {0, 0, 0, 1, 0x30, 2, 0x28}, "29 February": {0, 0, 0, 1, 0x29, 2, 0x27}, "month 13": {0, 0, 0, 1, 1, 0x13, 0}, "hour 13 of 12": {0, 0, 0x53, 1, 1, 1, 0},
		"hour 0 of 12": {0, 0, 0x40, 1, 1, 1, 0}, "wire high": {255, 255, 255, 255, 255, 255, 255},
	} {
		if got, err := parseTime(r); !errors.Is(err, ErrNoTime) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// TestRoundTrip holds that any second of two centuries comes back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
		last := time.Date(2199, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
		want := time.Unix(rapid.Int64Range(first, last).Draw(t, "t"), 0).UTC()
		if got, err := parseTime(formatTime(want)); err != nil || !got.Equal(want) {
			t.Fatalf("%s is % x is %s, %v", want, formatTime(want), got, err)
		}
	})
}

func bench(t testing.TB) (*Chip, *chip.DS3231, *wire.I2C) {
	t.Helper()
	b, sim := wire.NewI2C(), chip.NewDS3231(time.Now)
	must(t, b.Put(Address, sim))
	c, err := New(b)
	must(t, err)
	return c, sim, b
}

// TestStopped holds that a clock that stood still has no time until it is set.
func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sim, b := bench(t)
		if got, err := c.Time(); !errors.Is(err, ErrStopped) || !got.IsZero() {
			t.Errorf("never set: %s, %v", got, err)
		}
		want := time.Date(2026, 11, 22, 23, 59, 58, 999, time.FixedZone("", 8*3600))
		must(t, c.Set(want))
		<-time.After(5 * time.Second)
		if got, err := c.Time(); err != nil || !got.Equal(want.Truncate(time.Second).Add(5*time.Second)) || got.Location() != time.UTC {
			t.Errorf("%s, %v", got, err)
		}
		must(t, b.BrownOut(Address)) // its battery is good
		<-time.After(time.Hour)
		if got, err := c.Time(); err != nil || got.Sub(want) < time.Hour {
			t.Errorf("after a power cut %s, %v", got, err)
		}
		sim.Battery(false)
		must(t, b.BrownOut(Address))
		if got, err := c.Time(); !errors.Is(err, ErrStopped) || !got.IsZero() {
			t.Errorf("without a battery: %s, %v", got, err)
		}
		sim.SetCelsius(-3.25)
		if r, err := c.Measure(t.Context()); !errors.Is(err, ErrStopped) || r != nil {
			t.Errorf("as a sensor without a battery: %v, %v", r, err)
		}
		must(t, c.Set(want))
		if r, err := c.Measure(t.Context()); err != nil || len(r) != 1 || r[0].String() != "temperature -3.25 °C" {
			t.Errorf("%v, %v", r, err)
		}
	})
}

// TestPulledMidway: the wire reads as ones from where the chip lost its supply on, and that is no temperature of −0.25 °C.
func TestPulledMidway(t *testing.T) {
	regs := &bustest.Registers{Start: map[uint8]uint16{regStatus: 0, regCelsius: 0xff, regCelsius + 1: 0xff}}
	c, err := New(bustest.NewChips(map[uint16]*bustest.Registers{Address: regs}))
	must(t, err)
	if r, err := c.Measure(t.Context()); !errors.Is(err, bus.ErrChecksum) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
}

// TestSetKeeps holds that setting leaves the other bits of control and status as they are, and lets the oscillator run on the
// battery.
func TestSetKeeps(t *testing.T) {
	regs := &bustest.Registers{Start: map[uint8]uint16{regControl: 0x9c, regStatus: 0x88}}
	c, err := New(bustest.NewChips(map[uint16]*bustest.Registers{Address: regs}))
	must(t, err)
	must(t, c.Set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
	if control, status := regs.Get(regControl), regs.Get(regStatus); control != 0x1c || status != 0x08 {
		t.Errorf("control %02x, status %02x", control, status)
	}
}

// TestSetFails holds that a clock that does not take what it is set to is told, and keeps no time.
func TestSetFails(t *testing.T) {
	deaf := &bustest.Registers{Start: map[uint8]uint16{4: 1, 5: 1, regStatus: 0x80}}
	deaf.Wrote = func(now map[uint8]uint16, register uint8) {
		now[register] = map[uint8]uint16{4: 1, 5: 1, regStatus: 0}[register]
	}
	c, err := New(bustest.NewChips(map[uint16]*bustest.Registers{Address: deaf}))
	must(t, err)
	if err := c.Set(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); err == nil {
		t.Error("a clock that shows another time is set")
	}
	for _, year := range []int{1970, 2200} {
		if err := c.Set(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)); err == nil {
			t.Errorf("year %d: no error", year)
		}
	}
}

func TestFaults(t *testing.T) {
	if _, err := New(nil); err == nil {
		t.Error("no bus: no error")
	}
	for fault, do := range map[error]func(b *wire.I2C){bus.ErrNoAnswer: func(b *wire.I2C) { must(t, b.Pull(Address)) }, bus.ErrStuck: func(b *wire.I2C) { b.Stick(true) }} {
		synctest.Test(t, func(t *testing.T) {
			c, _, b := bench(t)
			must(t, c.Set(time.Now()))
			do(b)
			got, err := c.Time()
			r, err2 := c.Measure(t.Context())
			for _, err := range []error{err, err2, c.Set(time.Now())} {
				if !errors.Is(err, fault) || !strings.Contains(err.Error(), "ds3231 at 0x68") {
					t.Errorf("%v: %v", fault, err)
				}
			}
			if !got.IsZero() || r != nil {
				t.Errorf("%v: %s, %v", fault, got, r)
			}
		})
	}
}

// FuzzTime gives registers as a chip may: there is an error, or a time that the same registers hold.
func FuzzTime(f *testing.F) {
	f.Add([]byte{0x59, 0x45, 0x22, 1, 0x22, 0x11, 0x26})
	f.Add([]byte{0, 0, 0x72, 3, 0x29, 0x82, 0x28})
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 7 {
			return
		}
		got, err := parseTime([7]byte(b))
		if err != nil {
			return
		}
		again, err := parseTime(formatTime(got))
		if err != nil || !again.Equal(got) || got.Year() < 2000 || got.Year() > 2199 {
			t.Errorf("% x: %s, %s, %v", b, got, again, err)
		}
	})
}
