package bme280

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
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

// worked is the example of the BMP280's data sheet (BST-BMP280-DS001, §3.12), whose cell and formulas are the same, with
// trimming for humidity as a chip has it, that holds negative numbers of 12 bits.
func worked() trim {
	return trim{t1: 27504, t2: 26435, t3: -1000, p1: 36477, p2: -10685, p3: 3024, p4: 2855, p5: 140, p6: -7, p7: 15500, p8: -14600, p9: 6000,
		h1: 75, h2: 362, h3: 0, h4: 318, h5: 50, h6: 30}
}

// TestWorkedExample holds the numbers of the example: t_fine 128422, 25.08 °C, 100653.27 Pa.
func TestWorkedExample(t *testing.T) {
	w := worked()
	if fine := w.fine(519888); fine != 128422 {
		t.Errorf("t_fine %d", fine)
	}
	air, err := w.compensate(counts{pressure: 415148, temperature: 519888, humidity: 30000})
	if err != nil || air.Temperature != 25080 || air.Pressure != 100653 {
		t.Errorf("%+v, %v", air, err)
	}
}

// double is appendix 8.1 of the data sheet, in floating point: another form of the same formulas.
func double(t trim, c counts) (celsius, pascal, percent float64) {
	T, P, H := float64(c.temperature), float64(c.pressure), float64(c.humidity)
	x := T/16384 - float64(t.t1)/1024
	y := T/131072 - float64(t.t1)/8192
	fine := math.Trunc(x*float64(t.t2) + y*y*float64(t.t3))
	a := fine/2 - 64000
	b := a*a*float64(t.p6)/32768 + a*float64(t.p5)*2
	b = b/4 + float64(t.p4)*65536
	a = (float64(t.p3)*a*a/524288 + float64(t.p2)*a) / 524288
	a = (1 + a/32768) * float64(t.p1)
	p := (1048576 - P - b/4096) * 6250 / a
	pascal = p + (float64(t.p9)*p*p/2147483648+p*float64(t.p8)/32768+float64(t.p7))/16
	h := fine - 76800
	h = (H - (float64(t.h4)*64 + float64(t.h5)/16384*h)) * (float64(t.h2) / 65536 * (1 + float64(t.h6)/67108864*h*(1+float64(t.h3)/67108864*h)))
	h *= 1 - float64(t.h1)*h/524288
	return fine / 5120, pascal, min(max(h, 0), 100)
}

// TestAgainstDouble compares whole numbers with floating point over the range of the chip.
func TestAgainstDouble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := worked()
		c := counts{int64(rapid.IntRange(200_000, 900_000).Draw(t, "p")), int64(rapid.IntRange(300_000, 720_000).Draw(t, "t")), int64(rapid.IntRange(10_000, 60_000).Draw(t, "h"))}
		air, err := w.compensate(c)
		celsius, pascal, percent := double(w, c)
		inside := celsius > -39.9 && celsius < 84.9 && pascal > 30_010 && pascal < 109_990
		if err != nil {
			if inside && c.temperature != skipped20 && c.pressure != skipped20 && c.humidity != skipped16 {
				t.Fatalf("%v for %.2f °C, %.0f Pa", err, celsius, pascal)
			}
			return
		}
		if d := math.Abs(float64(air.Temperature)/1000 - celsius); d > 0.011 {
			t.Fatalf("%s, want %.3f °C", air.Temperature, celsius)
		}
		if d := math.Abs(float64(air.Pressure) - pascal); d > 1.5 {
			t.Fatalf("%s, want %.2f Pa", air.Pressure, pascal)
		}
		if d := math.Abs(float64(air.Humidity)/1000 - percent); d > 0.02 {
			t.Fatalf("%s, want %.3f %%", air.Humidity, percent)
		}
	})
}

// TestTrimming holds the order of table 16, with the halves of calib29 that H4 and H5 share.
func TestTrimming(t *testing.T) {
	low, err := hex.DecodeString("706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017004b")
	must(t, err)
	high, err := hex.DecodeString("6a01001f6e031e") // calib26 to calib32
	must(t, err)
	want := worked()
	want.h4, want.h5 = 0x1fe, 0x036
	got, err := parseTrim([trimLow]byte(low), [trimHigh]byte(high))
	if err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	high[3], high[4], high[5], high[6] = 0xff, 0xe1, 0xfe, 0xff
	got, err = parseTrim([trimLow]byte(low), [trimHigh]byte(high))
	if err != nil || got.h4 != -15 || got.h5 != -18 || got.h6 != -1 {
		t.Errorf("negative: %+v, %v", got, err)
	}
	for _, b := range []byte{0, 0xff} {
		half := append([]byte(nil), high...)
		half[0], half[1] = b, b
		if got, err := parseTrim([trimLow]byte(low), [trimHigh]byte(half)); !errors.Is(err, errTrim) {
			t.Errorf("upper block %02x: %+v, %v", b, got, err)
		}
		for i := range low {
			low[i] = b
		}
		for i := range high {
			high[i] = b
		}
		if got, err := parseTrim([trimLow]byte(low), [trimHigh]byte(high)); !errors.Is(err, errTrim) {
			t.Errorf("all %02x: %+v, %v", b, got, err)
		}
	}
}

// simulated is a driver over the simulated chip, which finds its counts from the formulas in floating point.
func simulated(t testing.TB) (*Chip, *chip.BME280, *wire.I2C) {
	t.Helper()
	b, sim := wire.NewI2C(), chip.NewBME280(time.Now)
	must(t, b.Put(0x76, sim))
	c, err := New(b, 0x76)
	must(t, err)
	return c, sim, b
}

func TestOverWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sim, b := simulated(t)
		for _, want := range []chip.Air{{Celsius: 21.37, Pascal: 101325, Percent: 50}, {Celsius: -12.5, Pascal: 87000, Percent: 93.2}, {Celsius: 63, Pascal: 35000, Percent: 4}} {
			sim.Set(want)
			air, err := c.Air(t.Context())
			if err != nil || math.Abs(float64(air.Temperature)/1000-want.Celsius) > 0.02 || math.Abs(float64(air.Pressure)-want.Pascal) > 4 ||
				math.Abs(float64(air.Humidity)/1000-want.Percent) > 0.05 {
				t.Errorf("%+v, %v, want %+v", air, err, want)
			}
		}
		r, err := c.Measure(t.Context())
		if err != nil || len(r) != 3 || r[0].Name != "temperature" || r[1].Name != "humidity" || r[2].Name != "pressure" || r[2].Unit != measure.UnitPressure {
			t.Errorf("%v, %v", r, err)
		}
		for fault, do := range map[error]func(on bool){
			bus.ErrNoAnswer: func(on bool) {
				if on {
					must(t, b.Pull(0x76))
					return
				}
				must(t, b.Plug(0x76))
			},
			bus.ErrStuck: func(on bool) { b.Stick(on) },
		} {
			do(true)
			if r, err := c.Measure(t.Context()); !errors.Is(err, fault) || r != nil || !strings.Contains(err.Error(), "bme280 at 0x76") {
				t.Errorf("%v: %v, %v", fault, r, err)
			}
			do(false)
			if _, err := c.Measure(t.Context()); err != nil {
				t.Errorf("after %v: %v", fault, err)
			}
		}
	})
}

// asleep is a bus that does something while the driver waits for its measurement.
type asleep struct {
	bus.I2C
	do func()
}

func (b asleep) Tx(addr uint16, w, r []byte) error {
	if len(w) == 1 && w[0] == regHumidity {
		b.do()
	}
	return b.I2C.Tx(addr, w, r)
}

// TestNotDone: a chip that lost its supply, or was asked by somebody else, gives no number.
func TestNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, do := range map[string]func(b *wire.I2C) error{
			"brown-out":    func(b *wire.I2C) error { return b.BrownOut(0x76) },
			"still busy":   func(b *wire.I2C) error { return b.Tx(0x76, []byte{regMeasure, forced}, nil) },
			"no humidity":  func(b *wire.I2C) error { return b.Tx(0x76, []byte{regHumidity, 0, regMeasure, onceTP}, nil) },
			"another mode": func(b *wire.I2C) error { return b.Tx(0x76, []byte{regMeasure, 0b010_010_00}, nil) },
		} {
			c, _, b := simulated(t)
			c.bus = asleep{b, func() { must(t, do(b)) }}
			if r, err := c.Measure(t.Context()); !errors.Is(err, ErrNotDone) {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		}
		c, _, _ := simulated(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Measure(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// trims counts how often a chip's trimming is read.
type trims struct {
	bus.I2C
	n int
}

func (b *trims) Tx(addr uint16, w, r []byte) error {
	if w[0] == regTrimLow {
		b.n++
	}
	return b.I2C.Tx(addr, w, r)
}

// TestSwapped: a chip that was away may have come back as another one, with a trimming of its own.
func TestSwapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, b := simulated(t)
		count := &trims{I2C: b}
		c.bus = count
		for range 3 {
			_, err := c.Measure(t.Context())
			must(t, err)
		}
		must(t, b.Pull(0x76))
		if _, err := c.Measure(t.Context()); err == nil {
			t.Error("a chip that is away is measured")
		}
		must(t, b.Plug(0x76))
		_, err := c.Measure(t.Context())
		must(t, err)
		if count.n != 2 {
			t.Errorf("the trimming was read %d times, want at the start and after the chip was away", count.n)
		}
	})
}

// TestAnotherChip is a BMP280, which has no humidity (identity 58).
func TestAnotherChip(t *testing.T) {
	b := bustest.NewChips(map[uint16]*bustest.Registers{0x77: {Start: map[uint8]uint16{0xd0: 0x58}}})
	c, err := New(b, 0x77)
	must(t, err)
	if r, err := c.Measure(t.Context()); err == nil || !strings.Contains(err.Error(), "58") {
		t.Errorf("%v, %v", r, err)
	}
}

func TestRange(t *testing.T) {
	for _, c := range []counts{{skipped20, 519888, 30000}, {415148, skipped20, 30000}, {415148, 519888, skipped16}, {415148, 0, 30000}, {415148, 1<<20 - 1, 30000}, {0, 519888, 30000}, {1<<20 - 1, 519888, 30000}, {415148, 519888, 1<<16 - 1}} {
		if air, err := worked().compensate(c); err == nil {
			t.Errorf("%+v is %+v", c, air)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	if _, err := New(nil, 0x76); err == nil {
		t.Error("no bus: no error")
	}
	if _, err := New(wire.NewI2C(), 0x75); err == nil {
		t.Error("address 75: no error")
	}
}

// FuzzCompensate gives trimming and counts of any chip, or of none: there is an error, or values that the chip can measure.
func FuzzCompensate(f *testing.F) {
	f.Add([]byte("\x70\x6b\x43\x67\x18\xfc\x7d\x8e\x43\xd6\xd0\x0b\x27\x0b\x8c\x00\xf9\xff\x8c\x3c\xf8\xc6\x70\x17\x00\x4b" + "\x6a\x01\x00\x13\x2e\x03\x1e" + "\x65\x5a\xc0\x7e\xed\x00\x75\x30"))
	f.Add(make([]byte, 41))
	f.Add([]byte(strings.Repeat("\xff", 41)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < trimLow+trimHigh+8 {
			return
		}
		w, err := parseTrim([trimLow]byte(b), [trimHigh]byte(b[trimLow:]))
		if err != nil {
			return
		}
		air, err := w.compensate(parseCounts([8]byte(b[trimLow+trimHigh:])))
		if err == nil && (air.Temperature < -40_000 || air.Temperature > 85_000 || air.Pressure < 30_000 || air.Pressure > 110_000 || air.Humidity < 0 || air.Humidity > 100_000) {
			t.Errorf("%+v", air)
		}
	})
}

func BenchmarkCompensate(b *testing.B) {
	w, c := worked(), counts{pressure: 415148, temperature: 519888, humidity: 30000}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.compensate(c); err != nil {
			b.Fatal(err)
		}
	}
}
