package eol

import (
	"testing"

	"pgregory.net/rapid"

	"watchpost/drivers/ads1115"
	"watchpost/drivers/measure"
	"watchpost/drivers/zone"
)

func schemes() []string { return []string{"4k7-dual", "10k-dual", "5k6-single", "4k7-22k-mask"} }

// code is what the chip reads of a loop, in floating point.
func code(ohms, pull float64, reference ads1115.Code) ads1115.Code {
	return ads1115.Code(float64(reference) * ohms / (ohms + pull))
}

// TestBorders holds the borders in ohm, just below and just above each, for a loop that nothing is known of.
func TestBorders(t *testing.T) {
	for name, bands := range map[string][]struct {
		ohms  float64
		state string
	}{
		"4k7-dual": {{0, "short"}, {990, "short"}, {1010, "normal"}, {4700, "normal"}, {6600, "normal"}, {6740, "active"}, {9400, "active"}, {16700, "active"}, {17000, "open"}, {1e9, "open"}},
		"10k-dual": {{0, "short"}, {3300, "short"}, {3360, "active"}, {5000, "active"}, {6600, "active"}, {6740, "normal"}, {10000, "normal"}, {13200, "normal"},
			{13500, "active"}, {20000, "active"}, {26500, "active"}, {26900, "open"}, {1e9, "open"}},
		"5k6-single":   {{0, "active"}, {2780, "active"}, {2820, "normal"}, {5600, "normal"}, {11100, "normal"}, {11300, "active"}, {1e9, "active"}},
		"4k7-22k-mask": {{0, "short"}, {4700, "normal"}, {9400, "active"}, {10300, "active"}, {16700, "active"}, {17000, "masked"}, {26700, "masked"}, {32300, "masked"}, {49500, "masked"}, {50500, "open"}, {1e9, "open"}},
	} {
		s, err := schemeOf(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bands {
			for _, reference := range []ads1115.Code{13400, 17600, 26666, 29333} {
				got := s.classify(code(b.ohms, float64(s.pull/measure.Ohm), reference), reference, s.pull, class{zone.Unknown, "", -1})
				if got.state != b.state {
					t.Errorf("%s: %.0f Ω at %d is %s, want %s", name, b.ohms, reference, got.state, b.state)
				}
			}
		}
	}
}

// TestHysteresis holds that a border is left 5 % later than it is met.
func TestHysteresis(t *testing.T) {
	s, err := schemeOf("4k7-dual")
	if err != nil {
		t.Fatal(err)
	}
	held := class{zone.Normal, "", 1}
	for _, step := range []struct {
		ohms float64
		want string
	}{{6740, "normal"}, {6980, "normal"}, {7030, "active"}, {6600, "active"}, {6380, "active"}, {6300, "normal"}, {960, "normal"}, {940, "short"}, {1040, "short"}, {1060, "normal"}} {
		if held = s.classify(code(step.ohms, 4700, 29000), 29000, s.pull, held); held.state != step.want {
			t.Errorf("%.0f Ω is %s, want %s", step.ohms, held.state, step.want)
		}
	}
}

// TestClassifyProperties: any codes have a class; what cannot be a loop is a fault; a reading once held stays held; and more
// resistance never means an earlier band.
func TestClassifyProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := schemeOf(rapid.SampledFrom(schemes()).Draw(t, "scheme"))
		if err != nil {
			t.Fatal(err)
		}
		loop, reference := ads1115.Code(rapid.Int16().Draw(t, "loop")), ads1115.Code(rapid.Int16Range(12_000, 31_000).Draw(t, "reference"))
		held := class{zone.Unknown, "", rapid.IntRange(-1, len(s.bands)-1).Draw(t, "band")}
		got := s.classify(loop, reference, s.pull, held)
		if reference < excitationMin || reference > excitationMax {
			if got != (class{zone.Fault, "excitation", -1}) {
				t.Fatalf("reference %d: %+v", reference, got)
			}
			return
		}
		if foreign := 100*int(loop) > 105*int(reference) || 20*int(loop) < -int(reference); foreign != (got.state == zone.Fault) {
			t.Fatalf("%d of %d: %+v", loop, reference, got)
		}
		if got.state == zone.Fault {
			if got.reason != "voltage" || loop >= 0 && loop <= reference {
				t.Fatalf("%d of %d: %+v", loop, reference, got)
			}
			return
		}
		if again := s.classify(loop, reference, s.pull, got); again != got {
			t.Fatalf("%d of %d: %+v, and once it is held %+v", loop, reference, got, again)
		}
		if more := s.classify(loop+1, reference, s.pull, held); more.state != zone.Fault && more.band < got.band {
			t.Fatalf("%d of %d: %+v, and one code more %+v", loop, reference, got, more)
		}
	})
}

func TestResistance(t *testing.T) {
	for _, c := range []struct {
		loop, reference ads1115.Code
		want            measure.Resistance
		known           bool
	}{{0, 17600, 0, true}, {-3, 17600, 0, true}, {8800, 17600, 4700 * measure.Ohm, true}, {17600, 17600, 0, false}, {17599, 17600, 0, false}} {
		if got, known := resistance(c.loop, c.reference, 4700*measure.Ohm); known != c.known || known && got != c.want {
			t.Errorf("%d of %d: %s, %v", c.loop, c.reference, got, known)
		}
	}
}

// TestSchemes holds that borders ascend, so that each band can be reached.
func TestSchemes(t *testing.T) {
	for _, name := range schemes() {
		s, err := schemeOf(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range s.bands[1 : len(s.bands)-1] {
			if b.to*95 <= s.bands[i].to*105 {
				t.Errorf("%s: border %s after %s", name, b.to, s.bands[i].to)
			}
		}
	}
	for _, name := range []string{"", "4k7", "10k-dual "} {
		if _, err := schemeOf(name); err == nil {
			t.Errorf("scheme %q: no error", name)
		}
	}
}
