package modbus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// TestMachine polls once a second: 0, 1, x for no answer. It writes what is told as
// "previous>state severity reason", and . for nothing.
func TestMachine(t *testing.T) {
	for name, c := range map[string]struct{ polls, want string }{
		"normal":            {"000", "unknown>normal notice  . ."},
		"active at first":   {"1", "unknown>active alarm "},
		"comes and goes":    {"0110", "unknown>normal notice  normal>active alarm  . active>normal notice "},
		"dead from start":   {"xx0", "unknown>missing warning wire . missing>normal notice "},
		"dies and is back":  {"0xx0", "unknown>normal notice  normal>missing warning wire . missing>normal notice wire"},
		"active, back":      {"1x1", "unknown>active alarm  active>missing warning wire missing>active notice wire"},
		"opened while dead": {"0x1", "unknown>normal notice  normal>missing warning wire missing>active alarm "},
		"chatters": {"0101010101" + "00000000000", "unknown>normal notice  normal>active alarm  active>normal notice  normal>active alarm  " +
			"active>normal notice  normal>active alarm  active>normal notice  normal>active alarm  active>normal notice  normal>fault warning chatter " +
			". . . . . . . . . . fault>normal notice chatter"},
	} {
		m, now, got := newMachine(event.SeverityAlarm), time.Unix(1e9, 0), []string{}
		for _, p := range c.polls {
			now = now.Add(time.Second)
			var f fact
			var told bool
			if p == 'x' {
				f, told = m.lost("no answer")
			} else {
				f, told = m.polled(p == '1', now)
			}
			if !told {
				got = append(got, ".")
				continue
			}
			got = append(got, fmt.Sprintf("%s>%s %s %s", f.previous, f.state, f.severity, f.reason))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, s, c.want)
		}
	}
}

// TestMachineAlways holds at random: each fact begins where the one before ended, active and only active is of the zone's
// severity, a dead slave is never told as a level, and after quiet the state told is the one polled.
func TestMachineAlways(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m, now, told := newMachine(event.SeverityAlarm), time.Unix(1e9, 0), stateUnknown
		facts := 0
		step := func(p rune) {
			var f fact
			var ok bool
			if p == 'x' {
				f, ok = m.lost("no answer")
			} else {
				f, ok = m.polled(p == '1', now)
			}
			if ok {
				facts++
				if f.previous != told || f.state == told {
					r.Fatalf("%s>%s after %s", f.previous, f.state, told)
				}
				if f.severity == event.SeverityAlarm && f.state != stateActive {
					r.Fatalf("%s is an alarm", f.state)
				}
				told = f.state
			}
			if p == 'x' != (told == stateMissing) {
				r.Fatalf("told %s after %c", told, p)
			}
		}
		polls := rapid.SliceOfN(rapid.SampledFrom([]rune("0011x")), 1, 200).Draw(r, "polls")
		gap := time.Duration(rapid.IntRange(10, 5000).Draw(r, "gap")) * time.Millisecond
		for _, p := range polls {
			now = now.Add(gap)
			step(p)
		}
		step('1')
		now = now.Add(chatterSpan)
		step('1')
		if told != stateActive {
			r.Fatalf("%s after %s of active", told, chatterSpan)
		}
	})
}
