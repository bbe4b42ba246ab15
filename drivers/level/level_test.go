package level

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/ads1115"
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

// TestNE43 holds the currents: 3.6 mA and 21 mA are the last that are a level.
func TestNE43(t *testing.T) {
	l, err := New(&ads1115.ADC{}, 0, 100*measure.Ohm, 5*measure.Metre)
	must(t, err)
	for µA, want := range map[int64]struct {
		mm  measure.Length
		err error
	}{
		0: {0, ErrBroken}, 3590: {0, ErrBroken}, 3600: {0, nil}, 3999: {0, nil}, 4000: {0, nil}, 4016: {5, nil}, 8000: {1250, nil},
		12000: {2500, nil}, 20000: {5000, nil}, 20500: {5156, nil}, 21000: {5313, nil}, 21010: {0, ErrFailed}, 24000: {0, ErrFailed}, -10: {0, ErrBroken},
	} {
		got, err := l.level(measure.Voltage(µA * 100))
		if got != want.mm || !errors.Is(err, want.err) || (err == nil) != (want.err == nil) {
			t.Errorf("%d µA: %s, %v, want %s, %v", µA, got, err, want.mm, want.err)
		}
	}
}

// TestOverChip has a transmitter on the simulated ADC for any shunt and current.
func TestOverChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, sim := wire.NewI2C(), chip.NewADS1115(time.Now)
		must(t, b.Put(0x48, sim))
		adc, err := ads1115.New(b, 0x48)
		must(t, err)
		dice := rand.New(rand.NewPCG(3, 4))
		for range 500 {
			ohms, amps := 50+dice.IntN(100), 0.03*dice.Float64()
			sim.Wire(2, func() float64 { return amps * float64(ohms) })
			l, err := New(adc, 2, measure.Resistance(ohms)*measure.Ohm, 5*measure.Metre)
			if err != nil {
				t.Fatal(err)
			}
			r, err := l.Measure(t.Context())
			switch {
			case amps < 0.0035 || amps > 0.0211:
				if err == nil {
					t.Fatalf("%g A is %v", amps, r)
				}
			case amps > 0.00361 && amps < 0.02098:
				want := max(amps-0.004, 0) / 0.016 * 5000
				if err != nil || len(r) != 1 || r[0].Unit != measure.UnitLength || math.Abs(float64(r[0].Value)/1e6-want) > 1.5 {
					t.Fatalf("%g A over %d Ω: %v, %v, want %.1f mm", amps, ohms, r, err, want)
				}
			}
		}
		l, err := New(adc, 2, 120*measure.Ohm, 5*measure.Metre)
		must(t, err)
		must(t, b.Pull(0x48))
		if r, err := l.Measure(t.Context()); !errors.Is(err, bus.ErrNoAnswer) || r != nil || !strings.Contains(err.Error(), "ads1115 at 0x48") {
			t.Errorf("no chip: %v, %v", r, err)
		}
	})
}

// TestRanges holds that the finest range is used that can show a current beyond the bounds.
func TestRanges(t *testing.T) {
	for ohms, want := range map[measure.Resistance]ads1115.Range{10: ads1115.Range0V256, 12: ads1115.Range0V512, 46: ads1115.Range1V024, 93: ads1115.Range2V048, 120: ads1115.Range4V096, 250: ads1115.Range6V144} {
		l, err := New(&ads1115.ADC{}, 0, ohms*measure.Ohm, measure.Metre)
		must(t, err)
		if l.scale != want {
			t.Errorf("%d Ω: range %d, want %d", ohms, l.scale, want)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	adc := &ads1115.ADC{}
	for name, err := range map[string]error{
		"no adc":     second(New(nil, 0, 120*measure.Ohm, measure.Metre)),
		"channel":    second(New(adc, 4, 120*measure.Ohm, measure.Metre)),
		"channel -1": second(New(adc, -1, 120*measure.Ohm, measure.Metre)),
		"shunt":      second(New(adc, 0, 271*measure.Ohm, measure.Metre)),
		"no shunt":   second(New(adc, 0, 0, measure.Metre)),
		"no span":    second(New(adc, 0, 120*measure.Ohm, 0)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_ *Transmitter, err error) error { return err }
