//lint:pure

package ibutton

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The states of a checkpoint's events.
const (
	checked    = "checked"      // touched in its window, in its turn
	early      = "early"        // touched before its window
	late       = "late"         // touched after a window in which it was missed
	missed     = "missed"       // not touched in its window
	missing    = "missing"      // not touched, as far as is known: its reader could not be read in all of the window
	outOfOrder = "out-of-order" // touched in its window before another that comes first; it does not count
	stranger   = "stranger"     // touched by a button that is on no roster
)

const (
	// lookBack is how far back windows that ended while nobody watched are told.
	lookBack = 48 * time.Hour
	// repeatAfter is how long the same touch of the same checkpoint is not told again.
	repeatAfter = time.Minute
	minutesADay = 24 * 60
)

// window is when a round is due, in minutes after midnight; one that ends no later than it begins passes midnight.
type window struct{ from, to int }

// parseWindow reads "22:00-23:00"; the end may be 24:00.
func parseWindow(s string) (window, error) {
	from, to, ok := strings.Cut(s, "-")
	w := window{minutes(from), minutes(to)}
	if !ok || w.from < 0 || w.to < 0 || w.from == minutesADay || w.from == w.to {
		return window{}, fmt.Errorf("window %q: want HH:MM-HH:MM, such as 22:00-23:00", s)
	}
	return w, nil
}

// minutes after midnight of "22:00", -1 if it is no such time.
func minutes(s string) int {
	if s == "24:00" {
		return minutesADay
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return -1
	}
	return t.Hour()*60 + t.Minute()
}

// round is one window of one day: due from begin until just before end.
type round struct{ begin, end time.Time }

// rounds are those that end after the first time and begin by the second, in the order of their ends.
func rounds(windows []window, after, until time.Time) []round {
	var list []round
	y, m, d := after.AddDate(0, 0, -1).Date()
	for day := 0; ; day++ {
		midnight := time.Date(y, m, d+day, 0, 0, 0, 0, after.Location())
		if midnight.After(until) {
			break
		}
		for _, w := range windows {
			to := w.to
			if to <= w.from {
				to += minutesADay
			}
			r := round{time.Date(y, m, d+day, 0, w.from, 0, 0, after.Location()), time.Date(y, m, d+day, 0, to, 0, 0, after.Location())}
			if r.end.After(after) && !r.begin.After(until) {
				list = append(list, r)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b round) int { return cmp.Or(a.end.Compare(b.end), a.begin.Compare(b.begin)) })
	return list
}

// fact is one thing to tell of a checkpoint.
type fact struct {
	point, state, who, reason, detail string
	expires                           time.Time // the end of the window, or the beginning of the next
	once                              string
}

// progress is what of a tour outlives the agent.
type progress struct {
	Settled time.Time            `json:"settled"` // every window that ended by then has been told
	Seen    map[string][]string  `json:"seen"`    // checkpoints checked, by the beginning of their window
	Missed  map[string]time.Time `json:"missed"`  // the end of the window that a checkpoint was last missed in
	Unread  map[string]time.Time `json:"unread"`  // when a checkpoint's reader was last not to be read
}

// told is the last touch of a checkpoint that was told.
type told struct {
	who, state string
	at         time.Time
}

// tour is one guard's round and how far it has come.
type tour struct {
	points  []string
	order   bool
	windows []window

	started time.Time // of this run of the agent
	failing map[string]bool
	last    map[string]told
	progress
}

// start goes on where the run before has stopped; the zero progress is that of a new tour.
func (t *tour) start(p progress, now time.Time) {
	t.progress, t.started, t.failing, t.last = p, now, map[string]bool{}, map[string]told{}
	if p.Settled.IsZero() || p.Settled.After(now.Add(lookBack)) { // the clock was far ahead then
		t.Settled = now
	}
	for _, m := range []*map[string]time.Time{&t.Missed, &t.Unread} {
		if *m == nil {
			*m = map[string]time.Time{}
		}
	}
	if t.Seen == nil {
		t.Seen = map[string][]string{}
	}
}

func key(r round) string { return r.begin.UTC().Format(time.RFC3339) }

// due is when the next window ends.
func (t *tour) due(now time.Time) time.Time { return rounds(t.windows, now, now.Add(lookBack))[0].end }

// tick settles the windows that are over: what was not touched in them is told once.
func (t *tour) tick(now time.Time) []fact {
	var facts []fact
	from := t.Settled.In(now.Location())
	if oldest := now.Add(-lookBack); from.Before(oldest) {
		from = oldest
	}
	for _, r := range rounds(t.windows, from, now) {
		if r.end.After(now) {
			continue
		}
		for _, point := range t.points {
			if !slices.Contains(t.Seen[key(r)], point) {
				facts = append(facts, t.miss(point, r))
			}
		}
		t.Settled = r.end
		delete(t.Seen, key(r))
	}
	return facts
}

func (t *tour) miss(point string, r round) fact {
	f := fact{point: point, state: missed, expires: r.end, once: key(r) + "/" + point}
	switch unread, ok := t.Unread[point]; {
	case t.failing[point] || ok && unread.After(r.begin):
		f.state, f.reason, f.detail = missing, "reader", "the reader could not be read in all of the window"
	case r.begin.Before(t.started):
		f.reason, f.detail = "down", "the station did not watch in all of the window"
	}
	t.Missed[point] = r.end
	return f
}

// read takes that a checkpoint's reader can be read, or cannot.
func (t *tour) read(point string, ok bool, now time.Time) {
	t.failing[point] = !ok
	t.Unread[point] = now
}

// touch takes that a guard has touched a checkpoint. False: there is nothing to tell, as for a second touch.
func (t *tour) touch(point, who string, now time.Time) (fact, bool) {
	f, ok := t.judge(point, who, now)
	before := t.last[point]
	if !ok || before.who == who && before.state == f.state && now.Sub(before.at) < repeatAfter && f.state != checked {
		return fact{}, false
	}
	t.last[point] = told{who, f.state, now}
	return f, true
}

func (t *tour) judge(point, who string, now time.Time) (fact, bool) {
	f := fact{point: point, who: who}
	near := rounds(t.windows, now.Add(-lookBack), now.Add(lookBack))
	open := slices.DeleteFunc(slices.Clone(near), func(r round) bool { return r.begin.After(now) || !r.end.After(now) })
	for _, r := range open {
		seen := t.Seen[key(r)]
		if slices.Contains(seen, point) {
			continue
		}
		f.state, f.expires = checked, r.end
		if next := t.next(seen); t.order && next != point {
			f.state, f.detail = outOfOrder, next+" comes first"
			return f, true
		}
		t.Seen[key(r)] = append(seen, point)
		f.once = key(r) + "/" + point
		delete(t.Missed, point)
		return f, true
	}
	if len(open) > 0 {
		return fact{}, false
	}
	return t.outside(f, near, now)
}

// outside judges a touch between two windows by the nearer of them.
func (t *tour) outside(f fact, near []round, now time.Time) (fact, bool) {
	var before, next round
	for _, r := range near {
		if !r.end.After(now) {
			before = r
		} else if next.begin.IsZero() || r.begin.Before(next.begin) {
			next = r
		}
	}
	if next.begin.Sub(now) < now.Sub(before.end) {
		f.state, f.expires = early, next.begin
		return f, true
	}
	end, ok := t.Missed[f.point]
	if !ok || !end.Equal(before.end) {
		return fact{}, false // it was touched in time, and now once more
	}
	delete(t.Missed, f.point)
	f.state, f.expires = late, before.end
	return f, true
}

// next is the first checkpoint that is not seen yet, "" for none.
func (t *tour) next(seen []string) string {
	for _, point := range t.points {
		if !slices.Contains(seen, point) {
			return point
		}
	}
	return ""
}

// strange takes that an unknown button has touched a checkpoint.
func (t *tour) strange(point, rom string, now time.Time) (fact, bool) {
	if before := t.last[point]; before.who == rom && before.state == stranger && now.Sub(before.at) < repeatAfter {
		return fact{}, false
	}
	t.last[point] = told{rom, stranger, now}
	return fact{point: point, state: stranger, detail: rom}, true
}
