package circuit

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-3 {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestLoop(t *testing.T) {
	// Parts of the excitation: end / (end + pull), and so on, by hand.
	for name, want := range map[string]map[State]float64{
		"4k7-dual":     {Normal: 0.5, Active: 2. / 3, Mask: 1, Cut: 1, Short: 0},
		"10k-dual":     {Normal: 0.5, Active: 2. / 3, Mask: 1, Cut: 1, Short: 0},
		"5k6-single":   {Normal: 0.5, Active: 1, Mask: 1, Cut: 1, Short: 0},
		"4k7-22k-mask": {Normal: 0.5, Active: 2. / 3, Mask: 26.7 / 31.4, Cut: 1, Short: 0},
	} {
		s, err := SchemeOf(name)
		if err != nil {
			t.Fatal(err)
		}
		l := NewLoop(s, func() float64 { return 3 })
		for state, part := range want {
			l.Set(state)
			near(t, name+" "+StateNames()[state], l.Volts(), 3*part)
		}
	}
	if _, err := SchemeOf("1k"); err == nil {
		t.Error("a scheme that there is not")
	}
}

func TestCable(t *testing.T) {
	s, _ := SchemeOf("4k7-dual")
	l := NewLoop(s, func() float64 { return 3.3 })
	l.Cable(100)
	near(t, "a long cable", l.Volts(), 3.3*4800/9500)
	l.Set(Short)
	near(t, "shorted at its end", l.Volts(), 3.3*100/4800)
	l.Set(Cut)
	near(t, "cut", l.Volts(), 3.3)
}

func TestStates(t *testing.T) {
	for i, name := range StateNames() {
		if s, err := ParseState(name); err != nil || s != State(i) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := ParseState("open"); err == nil {
		t.Error("open is no state of a loop's end")
	}
}

func TestBattery(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := NewBattery(84, 8.4, 21, func() time.Time { return now }) // 84 Wh are ten hours of 8.4 W
	check := func(what string, part, volts, amps float64) {
		t.Helper()
		v, a := b.Terminals()
		near(t, what+": part", b.Part(), part)
		near(t, what+": volts", v, volts)
		near(t, what+": amperes", a, amps)
	}
	check("full", 1, 13.6, 0)
	b.Mains(false)
	check("the mains fails", 1, 12.8, 8.4/12.8)
	now = now.Add(5 * time.Hour)
	check("half", 0.5, 11.8, 8.4/11.8)
	b.Load(16.8)
	now = now.Add(2 * time.Hour)
	check("a heavier load", 0.1, 11, 16.8/11)
	now = now.Add(time.Hour)
	check("empty", 0, 0, 0)
	b.Mains(true)
	check("charging", 0, 11.6, -21/11.6)
	now = now.Add(2 * time.Hour)
	check("half charged", 0.5, 12.6, -21/12.6)
	now = now.Add(3 * time.Hour)
	check("full again", 1, 13.6, 0)
	b.Fill(0.25)
	near(t, "filled", b.Part(), 0.25)
}

// Whatever happens, a battery holds between nothing and its capacity, and a current flows only in the sense of its cause.
func TestBatteryBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		b := NewBattery(100, 10, 20, func() time.Time { return now })
		for range 20 {
			mains := rapid.Bool().Draw(t, "mains")
			b.Mains(mains)
			b.Load(rapid.Float64Range(0.1, 50).Draw(t, "load"))
			now = now.Add(time.Duration(rapid.IntRange(0, 6*3600).Draw(t, "seconds")) * time.Second)
			volts, amps := b.Terminals()
			if p := b.Part(); p < 0 || p > 1 || volts < 0 || volts > floatVolts || mains && amps > 0 || !mains && amps < 0 {
				t.Fatalf("part %v, %v V, %v A with mains %v", p, volts, amps, mains)
			}
		}
	})
}

func TestWallClock(t *testing.T) {
	if b := NewBattery(1, 1, 1, nil); b.Part() != 1 {
		t.Error("a new battery is full")
	}
}
