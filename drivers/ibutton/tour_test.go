package ibutton

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// china is where the tours are walked.
func china() *time.Location { return time.FixedZone("CST", 8*3600) }

// at is a time of a day in May: "2 22:15".
func at(t testing.TB, s string) time.Time {
	t.Helper()
	when, err := time.ParseInLocation("2006-01 2 15:04", "2026-05 "+s, china())
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func newTour(order bool, windows ...window) *tour {
	return &tour{points: []string{"gate", "bank", "dyke"}, order: order, windows: windows}
}

func (f fact) String() string {
	s := f.point + " " + f.state
	for _, part := range []string{f.who, f.reason} {
		if part != "" {
			s += " " + part
		}
	}
	return s
}

// TestTour walks a night round of 22:00 to 23:00, from day 2, 12:00 on. Each step is a time, what happens, and what is told.
func TestTour(t *testing.T) {
	type step struct{ at, do, want string }
	for name, c := range map[string]struct {
		order bool
		steps []step
	}{
		"walked": {true, []step{
			{"2 22:05", "li gate", "gate checked li"}, {"2 22:06", "li gate", ""}, {"2 22:20", "li bank", "bank checked li"},
			{"2 22:59", "li dyke", "dyke checked li"}, {"2 23:00", "", ""}, {"2 23:10", "li dyke", ""},
		}},
		"nobody came": {false, []step{
			{"2 22:59", "", ""}, {"2 23:00", "", "gate missed, bank missed, dyke missed"}, {"2 23:01", "", ""}, {"3 22:59", "", ""},
			{"3 23:00", "", "gate missed, bank missed, dyke missed"},
		}},
		"before its window": {false, []step{
			{"2 21:30", "li gate", "gate early li"}, {"2 21:30", "li gate", ""}, {"2 21:32", "li gate", "gate early li"},
			{"2 22:00", "li gate", "gate checked li"}, {"2 23:00", "", "bank missed, dyke missed"},
		}},
		"after its window": {false, []step{
			{"2 22:30", "li bank", "bank checked li"}, {"2 23:00", "li gate", "gate missed, dyke missed, gate late li"},
			{"2 23:05", "li gate", ""}, {"2 23:06", "li bank", ""}, {"2 23:07", "wu dyke", "dyke late wu"},
		}},
		"the nearer window": {false, []step{
			{"2 22:30", "", ""}, {"3 10:00", "li gate", "gate missed, bank missed, dyke missed, gate late li"},
			{"3 11:00", "li bank", "bank early li"},
		}},
		"out of order": {true, []step{
			{"2 22:05", "li bank", "bank out-of-order li"}, {"2 22:06", "li gate", "gate checked li"}, {"2 22:07", "li dyke", "dyke out-of-order li"},
			{"2 22:08", "li bank", "bank checked li"}, {"2 22:09", "wu dyke", "dyke checked wu"}, {"2 23:00", "", ""},
		}},
		"any order": {false, []step{
			{"2 22:05", "li dyke", "dyke checked li"}, {"2 22:06", "li gate", "gate checked li"}, {"2 22:07", "li bank", "bank checked li"},
		}},
		"a stranger": {true, []step{
			{"2 22:05", "? gate", "gate stranger"}, {"2 22:05", "? gate", ""}, {"2 22:06", "? gate", "gate stranger"},
			{"2 22:07", "li gate", "gate checked li"}, {"2 23:00", "", "bank missed, dyke missed"},
		}},
		"a broken reader": {false, []step{
			{"2 22:10", "cut gate", ""}, {"2 22:20", "mend gate", ""}, {"2 22:30", "li bank", "bank checked li"},
			{"2 23:00", "", "gate missing reader, dyke missed"}, {"3 23:00", "", "gate missed, bank missed, dyke missed"},
		}},
		"broken before, and still": {false, []step{
			{"2 20:00", "cut gate", ""}, {"2 21:00", "mend gate", ""}, {"2 21:30", "cut dyke", ""},
			{"2 23:00", "", "gate missed, bank missed, dyke missing reader"}, {"3 23:00", "", "gate missed, bank missed, dyke missing reader"},
		}},
		"broken, and yet touched": {false, []step{
			{"2 22:10", "cut gate", ""}, {"2 22:20", "mend gate", ""}, {"2 22:30", "li gate", "gate checked li"},
			{"2 23:00", "", "bank missed, dyke missed"},
		}},
		"down over the end": {false, []step{
			{"2 22:10", "li gate", "gate checked li"}, {"3 01:00", "restart", "bank missed down, dyke missed down"}, {"3 01:01", "", ""},
			{"3 01:02", "li bank", "bank late li"}, {"3 23:00", "", "gate missed, bank missed, dyke missed"},
		}},
		"down in the middle": {false, []step{
			{"2 22:10", "li gate", "gate checked li"}, {"2 22:30", "restart", ""}, {"2 22:31", "li gate", ""}, {"2 22:40", "li dyke", "dyke checked li"},
			{"2 23:00", "", "bank missed down"},
		}},
		"down for a week": {false, []step{
			{"9 12:00", "restart", "gate missed down, bank missed down, dyke missed down, gate missed down, bank missed down, dyke missed down"},
			{"9 23:00", "", "gate missed, bank missed, dyke missed"},
		}},
		"the clock is set back": {false, []step{
			{"2 23:00", "", "gate missed, bank missed, dyke missed"}, {"2 22:30", "", ""}, {"2 23:00", "", ""},
		}},
		"the clock was years ahead": {false, []step{
			{"30 12:00", "restart", "gate missed down, bank missed down, dyke missed down, gate missed down, bank missed down, dyke missed down"},
			{"2 12:00", "restart", ""}, {"2 23:00", "", "gate missed, bank missed, dyke missed"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTour(c.order, window{22 * 60, 23 * 60})
			r.start(progress{}, at(t, "2 12:00"))
			for _, s := range c.steps {
				if got := walk(r, at(t, s.at), s.do); got != s.want {
					t.Fatalf("%s %s: told %q, want %q", s.at, s.do, got, s.want)
				}
			}
		})
	}
}

// walk does one step as the driver does.
func walk(r *tour, now time.Time, do string) string {
	verb, point, _ := strings.Cut(do, " ")
	if verb == "restart" {
		r.start(r.progress, now)
	}
	facts := r.tick(now)
	var f fact
	told := false
	switch verb {
	case "", "restart":
	case "?":
		f, told = r.strange(point, "0100000000000001", now)
	case "cut", "mend":
		r.read(point, verb == "mend", now)
	default:
		f, told = r.touch(point, verb, now)
	}
	if told {
		facts = append(facts, f)
	}
	var said []string
	for _, f := range facts {
		said = append(said, f.String())
	}
	return strings.Join(said, ", ")
}

func TestWindows(t *testing.T) {
	for s, want := range map[string]window{
		"22:00-23:00": {1320, 1380}, "23:30-00:30": {1410, 30}, "00:00-24:00": {0, 1440}, "07:05-07:06": {425, 426},
	} {
		if got, err := parseWindow(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "22:00", "22:00-22:00", "24:00-01:00", "22:60-23:00", "22:00-24:01", "22:00-25:00", "2:00-3:00", "22:00-23:00 ", "-1:00-02:00", "aa:bb-cc:dd", "22-00-23-00", "+2:00-03:00"} {
		if w, err := parseWindow(s); err == nil {
			t.Errorf("%q: %+v", s, w)
		}
	}
	midnight := newTour(false, window{23 * 60, 60}, window{5 * 60, 6 * 60})
	midnight.start(progress{}, at(t, "2 12:00"))
	for _, s := range [][3]string{
		{"2 23:30", "li gate", "gate checked li"}, {"3 00:59", "wu bank", "bank checked wu"}, {"3 01:00", "", "dyke missed"},
		{"3 04:59", "li gate", "gate early li"}, {"3 05:00", "li gate", "gate checked li"}, {"3 06:00", "", "bank missed, dyke missed"},
	} {
		if got := walk(midnight, at(t, s[0]), s[1]); got != s[2] {
			t.Fatalf("%v: told %q", s, got)
		}
	}
	if due := midnight.due(at(t, "3 06:00")); !due.Equal(at(t, "4 01:00")) {
		t.Errorf("due %s", due)
	}
}

// TestOverlap has two windows open at once: a touch counts for the one that ends first, the next for the other.
func TestOverlap(t *testing.T) {
	r := newTour(false, window{20 * 60, 22 * 60}, window{21 * 60, 23 * 60})
	r.start(progress{}, at(t, "2 12:00"))
	for _, s := range [][3]string{
		{"2 21:10", "li gate", "gate checked li"}, {"2 21:20", "li gate", "gate checked li"}, {"2 21:30", "li gate", ""},
		{"2 22:00", "", "bank missed, dyke missed"}, {"2 23:00", "", "bank missed, dyke missed"},
	} {
		if got := walk(r, at(t, s[0]), s[1]); got != s[2] {
			t.Fatalf("%v: told %q", s, got)
		}
	}
}

// TestEveryWindowIsTold touches, restarts and waits at random for a week and holds against a plain count: each checkpoint of each
// window that ended is either checked in it or missed, exactly once.
func TestEveryWindowIsTold(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := window{rapid.IntRange(0, 1439).Draw(r, "from"), rapid.IntRange(0, 1439).Draw(r, "to")}
		if w.from == w.to {
			w.to = (w.to + 1) % 1440
		}
		begun := time.Date(2026, 5, 2, 12, 0, 0, 0, china())
		tour, now := newTour(rapid.Bool().Draw(r, "order"), w), begun
		tour.start(progress{}, now)
		counts := map[string]int{}
		count := func(facts ...fact) {
			for _, f := range facts {
				if f.state == checked || f.state == missed {
					counts[f.expires.Format(time.DateTime)+f.point]++
					if want := f.expires.Sub(now); f.state == missed && want > 0 || f.state == checked && want <= 0 {
						r.Fatalf("%s told at %s of a window that ends %s", f, now, f.expires)
					}
				}
				if f.state == outOfOrder && !tour.order {
					r.Fatal("out of order where there is none")
				}
			}
		}
		for now.Sub(begun) < 7*24*time.Hour {
			now = now.Add(time.Duration(rapid.IntRange(1, 36*3600).Draw(r, "seconds")) * time.Second)
			if rapid.IntRange(0, 4).Draw(r, "restart") == 0 {
				tour.start(tour.progress, now)
			}
			count(tour.tick(now)...)
			if f, ok := tour.touch(rapid.SampledFrom(tour.points).Draw(r, "point"), "li", now); ok {
				count(f)
			}
		}
		want := map[string]int{}
		for _, round := range rounds(tour.windows, begun, now) {
			for _, p := range tour.points {
				if !round.end.After(now) {
					want[round.end.Format(time.DateTime)+p] = 1
				}
			}
		}
		for k, n := range counts {
			if n != 1 || want[k] == 0 && !strings.HasPrefix(k, tour.due(now).Format(time.DateTime)) {
				r.Fatalf("%s is told %d times; ended windows %v", k, n, want)
			}
		}
		for k := range want {
			if counts[k] != 1 {
				r.Fatalf("%s is told %d times: %v", k, counts[k], counts)
			}
		}
	})
}

// TestRounds holds that rounds come in the order of their ends, whole, and none twice.
func TestRounds(t *testing.T) {
	list := rounds([]window{{600, 660}, {1380, 60}}, at(t, "2 12:00"), at(t, "4 12:00"))
	var got []string
	for _, r := range list {
		got = append(got, fmt.Sprint(r.begin.Format("2 15:04"), "-", r.end.Format("2 15:04")))
	}
	if want := []string{"2 23:00-3 01:00", "3 10:00-3 11:00", "3 23:00-4 01:00", "4 10:00-4 11:00"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
