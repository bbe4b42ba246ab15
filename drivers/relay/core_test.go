package relay

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCore writes down what the package promises, one step a row, with a maximum on-time of three minutes.
func TestCore(t *testing.T) {
	type step struct {
		at    time.Duration
		do    string // cause of an on, "off", or "" for a look
		span  time.Duration
		on    bool
		until time.Duration // 0 = off
		spent bool
	}
	const m, s = time.Minute, time.Second
	for name, steps := range map[string][]step{
		"as long as asked": {{0, "a", m, true, m, false}, {m - 1, "", 0, true, m, false}, {m, "", 0, false, 0, false}},
		"never longer than the maximum": {
			{0, "a", time.Hour, true, 3 * m, false}, {2 * m, "a", 3 * m, true, 3 * m, false},
			{3 * m, "", 0, false, 0, false}, {3*m + 1, "a", m, false, 0, true},
		},
		"0 is the maximum":             {{0, "a", 0, true, 3 * m, false}},
		"asking does not make shorter": {{0, "a", 2 * m, true, 2 * m, false}, {s, "a", s, true, 2 * m, false}},
		"another cause has its own time": {
			{0, "a", 0, true, 3 * m, false}, {2 * m, "b", 0, true, 5 * m, false}, {4 * m, "a", m, true, 5 * m, true},
			{5 * m, "", 0, false, 0, false}, {5*m + s, "b", 0, false, 0, true}, {5*m + s, "c", 0, true, 8*m + s, false},
		},
		"rest": {
			{0, "a", 0, true, 3 * m, false}, {3 * m, "", 0, false, 0, false}, {4*m - 1, "a", 0, false, 0, true},
			{4 * m, "a", 0, true, 7 * m, false},
		},
		"asking in vain does not lengthen the rest": {
			{0, "a", 0, true, 3 * m, false}, {3*m + 30*s, "a", 0, false, 0, true}, {4 * m, "a", 0, true, 7 * m, false},
		},
		"a short off gives no time back": {
			{0, "a", 0, true, 3 * m, false}, {m, "off", 0, false, 0, false}, {m + 30*s, "a", 0, true, 3 * m, false},
		},
		"a long off does": {{0, "a", 0, true, 3 * m, false}, {m, "off", 0, false, 0, false}, {2 * m, "a", 0, true, 5 * m, false}},
		"what was asked for too early begins after the rest": {
			{0, "a", 0, true, 3 * m, false}, {3 * m, "", 0, false, 0, false}, {3*m + 30*s, "a", 2 * m, false, 0, true},
			{4*m - 1, "", 0, false, 0, false}, {4 * m, "", 0, true, 5*m + 30*s, false}, {5*m + 30*s, "", 0, false, 0, false}, {9 * m, "", 0, false, 0, false},
		},
		"not if it is off again":  {{0, "a", 0, true, 3 * m, false}, {3*m + s, "a", 0, false, 0, true}, {3*m + 2*s, "off", 0, false, 0, false}, {4 * m, "", 0, false, 0, false}},
		"nor if its time is over": {{0, "a", 0, true, 3 * m, false}, {3*m + s, "a", 30 * s, false, 0, true}, {4 * m, "", 0, false, 0, false}},
		"off is off whoever wanted it on": {
			{0, "a", 0, true, 3 * m, false}, {s, "b", 0, true, 3*m + s, false}, {2 * s, "off", 0, false, 0, false}, {3 * s, "off", 0, false, 0, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, zero := core{maxOn: 3 * m}, time.Unix(1e9, 0)
			for i, p := range steps {
				var err error
				switch now := zero.Add(p.at); p.do {
				case "":
					c.tick(now)
				case "off":
					c.off("disarmed", now)
				default:
					err = c.drive(p.do, p.span, now)
				}
				if c.on != p.on || c.on && c.until.Sub(zero) != p.until || errors.Is(err, ErrSpent) != p.spent {
					t.Fatalf("step %d %+v: on %v until %s, error %v", i, p, c.on, c.until.Sub(zero), err)
				}
			}
		})
	}
}

// TestFound holds that what a killed run has left on ends, and that a claim counts instead.
func TestFound(t *testing.T) {
	zero := time.Unix(1e9, 0)
	c := core{maxOn: 3 * time.Minute}
	c.foundOn(zero)
	c.tick(zero.Add(3*time.Minute - 1))
	if !c.on || c.cause != "found" {
		t.Errorf("%+v", c)
	}
	c.tick(zero.Add(3 * time.Minute))
	if c.on || c.cause != "time" {
		t.Errorf("%+v", c)
	}
	c = core{maxOn: 3 * time.Minute}
	c.foundOn(zero)
	if err := c.drive("hall", time.Minute, zero.Add(time.Second)); err != nil || !c.until.Equal(zero.Add(61*time.Second)) || c.cause != "hall" {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestManyCauses(t *testing.T) {
	zero := time.Unix(1e9, 0)
	c := core{maxOn: time.Minute}
	for i := range maxCauses {
		if err := c.drive(fmt.Sprint(i), 0, zero); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.drive("one more", 0, zero); !errors.Is(err, ErrSpent) {
		t.Errorf("%v", err)
	}
	if err := c.drive("0", 0, zero.Add(time.Second)); err != nil {
		t.Errorf("a known one: %v", err)
	}
}

// TestBounds asks at random and holds what no asking may break, with sums of its own.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		maxOn := time.Duration(rapid.IntRange(1, 900).Draw(r, "max_on")) * time.Second
		c, now := core{maxOn: maxOn}, time.Unix(1e9, 0)
		var onSince, runSince, offSince time.Time
		alone, last := true, ""
		look := func() {
			switch {
			case c.on && onSince.IsZero():
				onSince, last = now, c.cause
				if runSince.IsZero() || !offSince.IsZero() && now.Sub(offSince) >= Rest {
					runSince = now
				}
			case !c.on && !onSince.IsZero():
				end := now
				if c.cause == "time" {
					end = c.offAt
				}
				if alone && end.Sub(onSince) > maxOn {
					r.Fatalf("one cause had it on for %s", end.Sub(onSince))
				}
				if end.Sub(runSince) > MaxOnLimit {
					r.Fatalf("on %s after the run began", end.Sub(runSince))
				}
				onSince, offSince, alone, last = time.Time{}, end, true, ""
			}
			if c.on && (!c.until.After(now) || c.until.Sub(now) > maxOn) {
				r.Fatalf("on until %s from now, maximum %s", c.until.Sub(now), maxOn)
			}
		}
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(r, "ms")) * time.Millisecond)
			c.tick(now)
			look()
			switch cause := rapid.SampledFrom([]string{"a", "a", "a", "b", "c", "off", ""}).Draw(r, "do"); cause {
			case "":
			case "off":
				c.off("disarmed", now)
				if c.on {
					r.Fatal("on after off")
				}
			default:
				span := time.Duration(rapid.IntRange(0, 1200).Draw(r, "span")) * time.Second
				if c.drive(cause, span, now) == nil {
					if !c.on {
						r.Fatal("taken and not on")
					}
					alone, last = alone && (last == "" || last == cause), cause
				}
			}
			look()
		}
	})
}
