package measure

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestString(t *testing.T) {
	for want, v := range map[string]fmt.Stringer{
		"21.5 °C":               21*Celsius + 500,
		"-0.001 °C":             Temperature(-1),
		"12.004 V":              12*Volt + 4000,
		"0.000001 V":            Voltage(1),
		"-0.35 A":               -350 * Current(1000),
		"119.8 W":               119*Watt + 800,
		"4700 Ω":                4700 * Ohm,
		"4700000 Ω":             4700 * Kiloohm,
		"1006.53 hPa":           Pressure(100653),
		"55.3 %":                55*Percent + 300,
		"3200 mm":               3*Metre + 200,
		"0":                     Micro(0),
		"-9223372036854.775808": Micro(math.MinInt64),
	} {
		if v.String() != want {
			t.Errorf("%T: %q, want %q", v, v.String(), want)
		}
	}
}

// TestMicroString compares with exact arithmetic that shares no code.
func TestMicroString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		got, ok := new(big.Rat).SetString(Micro(n).String())
		if want := big.NewRat(n, 1e6); !ok || got.Cmp(want) != 0 {
			t.Fatalf("%d is %s", n, Micro(n))
		}
		if s := Micro(n).String(); strings.Contains(s, ".") && strings.HasSuffix(s, "0") {
			t.Fatalf("%q ends in a zero that says nothing", s)
		}
	})
}

func TestMicroOf(t *testing.T) {
	for x, want := range map[float64]Micro{0: 0, 0.1: 100_000, -2.5: -2_500_000, 65535: 65_535_000_000, 0.0000004: 0, -0.0000006: -1} {
		if got, ok := MicroOf(x); !ok || got != want {
			t.Errorf("MicroOf(%g) = %d, %v", x, got, ok)
		}
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e13, -1e300} {
		if got, ok := MicroOf(x); ok {
			t.Errorf("MicroOf(%g) = %d", x, got)
		}
	}
}

func TestReadings(t *testing.T) {
	for want, r := range map[string]Reading{
		"temperature 21.5 °C": (21*Celsius + 500).Reading("temperature"),
		"bus 12 V":            (12 * Volt).Reading("bus"),
		"load -1 A":           (-Ampere).Reading("load"),
		"load 2 W":            (2 * Watt).Reading("load"),
		"pressure 0.99 hPa":   Pressure(99).Reading("pressure"),
		"humidity 40 %":       (40 * Percent).Reading("humidity"),
		"level 1000 mm":       Metre.Reading("level"),
		"flow 3":              Good("flow", 3e6, ""),
		"level fault: cut":    Failed("level", UnitLength, errors.New("cut")),
		"level unknown":       {Name: "level"},
		"level 1 mm (stale)":  {Name: "level", Value: 1e6, Unit: UnitLength, Quality: Stale},
	} {
		if r.String() != want {
			t.Errorf("%q, want %q", r, want)
		}
	}
}

// TestNoNumber holds that what is not known shows no number, whatever the field holds.
func TestNoNumber(t *testing.T) {
	for q, known := range map[Quality]bool{Unknown: false, Fresh: true, Stale: true, Fault: false, 9: false} {
		r := Reading{Name: "level", Value: 123e6, Unit: UnitLength, Quality: q}
		if r.Known() != known || strings.Contains(r.String(), "123") != known {
			t.Errorf("quality %s: known %v, %q", q, r.Known(), r)
		}
	}
	if (Reading{}).Quality != Unknown {
		t.Error("a reading that nobody made is believed")
	}
}
