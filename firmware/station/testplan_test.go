package station

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// setClock is what the runtime's clock reads after somebody has set the wall clock by so much: the wall moves, the
// monotonic reading does not. Only the runtime makes such a Time, so this does what it does: seconds since 1885 stand
// above the 30 bits of nanoseconds (time.Time, field wall).
func setClock(t time.Time, by time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall = uint64(int64(*wall) + int64(by/time.Second)<<30)
	return t
}

// to1970 is how far back a clock goes that starts anew.
func to1970(now time.Time) time.Duration { return -time.Duration(now.Unix()) * time.Second }

func TestSetClockDoesWhatTheRuntimeDoes(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{time.Hour, -time.Hour, to1970(now)} {
		then := setClock(now, by)
		if got := then.Sub(now); got != 0 {
			t.Errorf("set by %s: the monotonic clock moved by %s", by, got)
		}
		if got := then.Round(0).Sub(now.Round(0)); got != by {
			t.Errorf("set by %s: the wall clock moved by %s", by, got)
		}
		if got := stepped(now, then.Add(time.Minute)); got != by {
			t.Errorf("a step by %s is taken for %s", by, got)
		}
	}
	if year := setClock(now, to1970(now)).UTC().Year(); year != 1970 {
		t.Errorf("in %d", year)
	}
}

// at is a time of day today, with a monotonic reading.
func at(hour, minute int) time.Time {
	now := time.Now()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.Local)
	return setClock(now, midnight.Add(time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute).Sub(now.Round(0)).Truncate(time.Second))
}

func plan(t interface{ Fatal(...any) }, now, last time.Time) testPlan {
	p, err := newTestPlan("04:00", now, last)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// days steps a plan minute by minute and answers at how much uptime it raised the test; set moves the wall clock.
func days(p testPlan, start time.Time, length time.Duration, set func(uptime time.Duration) time.Duration) (raised []time.Duration) {
	for up := time.Duration(0); up < length; up += time.Minute {
		now := setClock(start.Add(up), set(up))
		if p.due(now) {
			p.raised(now)
			raised = append(raised, up)
		}
	}
	return raised
}

func TestTheTestIsRaisedOnceADay(t *testing.T) {
	start := at(12, 0)
	never := func(time.Duration) time.Duration { return 0 }
	for i, up := range days(plan(t, start, time.Time{}), start, 5*24*time.Hour, never) {
		if want := time.Duration(16+24*i) * time.Hour; up < want-time.Minute || up > want+time.Minute {
			t.Errorf("test %d after %s, want %s", i, up, want)
		}
	}
}

func TestARestartRaisesNoSecondTest(t *testing.T) {
	start := at(4, 20)
	if p := plan(t, start, start.Add(-19*time.Minute).Round(0)); p.due(start) {
		t.Error("raised 19 minutes after the one before the restart")
	}
	for name, last := range map[string]time.Time{
		"none": {}, "yesterday's": start.Add(-24 * time.Hour).Round(0), "one in the future": start.Add(time.Hour).Round(0),
	} {
		if p := plan(t, start, last); !p.due(start) {
			t.Errorf("not raised although the last was %s", name)
		}
	}
	if _, err := newTestPlan("soon", start, start); err == nil {
		t.Error("no time of day was taken for one")
	}
}

// A station that has no power at the test's hour, night after night, is tested all the same.
func TestNightsWithoutPower(t *testing.T) {
	start := at(7, 0)
	for night, test := range []struct {
		ago time.Duration
		due bool
	}{{3 * time.Hour, false}, {19 * time.Hour, false}, {27 * time.Hour, false}, {29 * time.Hour, true}, {400 * 24 * time.Hour, true}} {
		if p := plan(t, start, start.Add(-test.ago).Round(0)); p.due(start) != test.due {
			t.Errorf("night %d, %s after the last test: due %v", night, test.ago, !test.due)
		}
	}
}

// Whatever the wall clock does, two tests are at least testSoon apart and at most testLate.
func TestAClockThatJumpsNeitherRepeatsNorStopsTheTest(t *testing.T) {
	start := at(12, 0)
	rapid.Check(t, func(rt *rapid.T) {
		jumps := map[time.Duration]time.Duration{} // by uptime in hours
		for range rapid.IntRange(0, 12).Draw(rt, "jumps") {
			up := time.Duration(rapid.IntRange(0, 14*24).Draw(rt, "uptime")) * time.Hour
			jumps[up] = rapid.SampledFrom([]time.Duration{time.Hour, -time.Hour, 30 * time.Minute, -3 * 24 * time.Hour, to1970(start)}).Draw(rt, "by")
		}
		offset := time.Duration(0)
		set := func(up time.Duration) time.Duration {
			if by, ok := jumps[up]; ok {
				if offset += by; by < -10*365*24*time.Hour || start.Add(offset).Year() < 1971 {
					offset = to1970(start)
				}
				delete(jumps, up)
			}
			return offset
		}
		last := time.Duration(0)
		for i, up := range append(days(plan(rt, start, time.Time{}), start, 15*24*time.Hour, set), 15*24*time.Hour) {
			if up-last > testLate+time.Minute || i > 0 && up < 15*24*time.Hour && up-last < testSoon {
				rt.Fatalf("test %d comes %s after the one before", i, up-last)
			}
			last = up
		}
	})
}

func TestWhereATestGotStuck(t *testing.T) {
	w := testWiring{zone: "test-loop", line: "loop-in", board: "main", output: "loop-out", within: 5 * time.Second}
	bad := errors.New("no such line")
	for _, test := range []struct {
		name        string
		seen        testSeen
		stage, says string
	}{
		{"all is well", testSeen{stored: true}, "", ""},
		{"it was stored at the second try", testSeen{stored: true, refused: bad}, "", ""},
		{"no output", testSeen{set: bad}, "line", "output loop-out cannot be driven: no such line: check board main"},
		{"no edge", testSeen{state: "normal"}, "line", "line loop-in did not become active within 5s of driving output loop-out, its zone is normal"},
		{"no log", testSeen{refused: bad, state: "active"}, "log", "the log does not take the alarm: no such line"},
		{"stuck high", testSeen{stored: true, reset: bad}, "line", "cannot be driven low again"},
	} {
		if stage, detail := testFailure(w, test.seen); stage != test.stage || !strings.Contains(detail, test.says) || (stage == "") != (detail == "") {
			t.Errorf("%s: %s, %s", test.name, stage, detail)
		}
	}
}
