package arming_test

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"watchpost/firmware/arming"
)

// world is a second opinion: the rules of partitions and zones as somebody else would write them down. It shares no code with the
// machine, keeps no journal, and knows one unbroken time; of restarts it knows only what people may expect.
type world struct {
	now, saved time.Duration
	wall       time.Time
	down       bool // a power-up: seconds that were lost do not count for delays
	houses     []*house
	rooms      []*room
	people     map[string]arming.User
	timers     map[timer]time.Duration
	done       map[timer]time.Time // schedules that were dealt with
	touched    map[string]bool
	said       []string
}

// timer names what ends when: of what, and of whom.
type timer struct{ what, whom string }

type house struct {
	arming.Partition
	rooms    []*room
	mode     string
	shown    string
	openings int
	queue    []queued
	onlyBox  bool // all that sounds is tampering
	memory   []string
	counts   map[string]int
}

type queued struct {
	room  *room
	why   string
	stamp int64
}

type room struct {
	arming.Zone
	house             *house
	live, weighed     string
	shut, ajar, heard bool
	cry, wire         string
	cries             int
	soft, swung, seen bool
	stamp             int64
}

func newWorld(plan arming.Plan, wall time.Time) *world {
	w := &world{wall: wall, people: map[string]arming.User{}, timers: map[timer]time.Duration{}, done: map[timer]time.Time{}, touched: map[string]bool{}}
	for _, p := range plan.Partitions {
		w.houses = append(w.houses, &house{Partition: p, shown: "disarmed", counts: map[string]int{}})
	}
	for _, z := range plan.Zones {
		h := w.houses[slices.IndexFunc(w.houses, func(h *house) bool { return h.ID == z.Partition })]
		r := &room{Zone: z, house: h, live: "unknown"}
		w.rooms, h.rooms = append(w.rooms, r), append(h.rooms, r)
	}
	for _, u := range plan.Users {
		w.people[u.ID] = u
	}
	return w
}

func (w *world) say(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *world) set(what, whom string, d time.Duration) {
	w.timers[timer{what, whom}], w.saved = w.now+d, w.now
}

func (w *world) runs(what, whom string) bool { _, ok := w.timers[timer{what, whom}]; return ok }
func (w *world) stop(what, whom string)      { delete(w.timers, timer{what, whom}) }

// rings says that a timer has run out, and stops it.
func (w *world) rings(what, whom string) bool {
	end, ok := w.timers[timer{what, whom}]
	if ok && w.now >= end {
		w.stop(what, whom)
		return true
	}
	return false
}

// restart forgets what only a run knows. After a power-up delays have as much left as when something was last told or begun, sirens less.
func (w *world) restart(powerUp bool) {
	for _, r := range w.rooms {
		if r.Kind == arming.Intrusion && r.house.mode == "" {
			r.weighed, r.shut, r.ajar = "", false, false
		}
		r.live, r.heard, r.stamp = "unknown", false, 0
	}
	if !powerUp {
		return
	}
	for t, end := range w.timers {
		if t.what != "hard" && t.what != "test" { // these end by the wall clock, too
			w.timers[t] = w.now + max(0, end-w.saved)
		}
		if t.what == "siren" { // the box has had power for 20 s
			w.timers[t] -= 20 * time.Second
		}
	}
	w.saved = w.now
	for _, h := range w.houses {
		w.stop("settle", h.ID)
		for i := range h.queue {
			h.queue[i].stamp = 0
		}
	}
	w.down = true
}

// start is the first step of a run.
func (w *world) start(first bool) {
	w.said = nil
	w.elapse()
	for _, h := range w.houses {
		if w.down || first {
			w.set("settle", h.ID, h.Settle)
		}
		for _, id := range h.Outputs {
			w.touched[id] = true
		}
	}
	w.down = false
	w.close(false)
}

// close says what changed between the beginning of the step and now.
func (w *world) close(wish bool) {
	for _, h := range w.houses {
		if s := w.stateOf(h); s != h.shown {
			w.say("state %s %s after %s, out %v", h.ID, s, h.shown, w.outOf(h))
			h.shown = s
		}
	}
	for id := range w.touched {
		left := time.Duration(0)
		for _, h := range w.houses {
			if slices.Contains(h.Outputs, id) && w.runs("siren", h.ID) {
				left = max(left, w.timers[timer{"siren", h.ID}]-w.now)
			}
		}
		w.say("drive %s for %s", id, left)
	}
	clear(w.touched)
	if wish || len(w.said) > 0 {
		w.saved = w.now
	}
	sort.Strings(w.said)
}

func (w *world) stateOf(h *house) string {
	switch {
	case w.runs("siren", h.ID) && h.onlyBox:
		return "tamper"
	case w.runs("siren", h.ID):
		return "alarm"
	case w.runs("entry", h.ID):
		return "entry"
	case w.runs("exit", h.ID):
		return "arming"
	case h.mode != "":
		return "armed_" + h.mode
	case w.runs("walk", h.ID):
		return "walk_test"
	}
	if w.runs("test", "") || slices.ContainsFunc(h.rooms, func(r *room) bool { return w.runs("test", r.ID) }) {
		return "maintenance"
	}
	if len(h.memory) > 0 {
		return "alarm_memory"
	}
	return "disarmed"
}

func (w *world) mute(r *room) bool {
	covered := r.Kind == arming.Intrusion || r.Kind == arming.Tamper || r.Kind == arming.Flood
	return r.soft || r.swung || w.runs("hard", r.ID) || w.runs("test", r.ID) || covered && w.runs("test", "")
}

func (w *world) outOf(h *house) (out []string) {
	for _, r := range h.rooms {
		if h.mode != "" && w.mute(r) {
			out = append(out, r.ID)
		}
	}
	return out
}

// elapse does what time has brought.
func (w *world) elapse() {
	if w.rings("test", "") {
		w.endStationTest("")
	} else if w.rings("test again", "") {
		w.set("test again", "", 24*time.Hour)
		w.say("work station test 3")
	}
	for _, r := range w.rooms {
		for _, how := range []string{"hard", "test"} {
			if w.rings(how, r.ID) {
				w.endWork(r, how, "")
			} else if w.rings(how+" again", r.ID) {
				w.set(how+" again", r.ID, 24*time.Hour)
				w.say("work %s %s 3", r.ID, how)
			}
		}
	}
	for _, h := range w.houses {
		if w.rings("settle", h.ID) {
			for _, r := range h.rooms {
				if r.live != "unknown" && !isButton(r) {
					w.weigh(r, true)
				}
			}
		}
		if w.rings("exit", h.ID) {
			w.lockUp(h)
		}
		if w.rings("entry", h.ID) {
			queue := h.queue
			h.queue = nil
			for _, q := range queue {
				if !w.mute(q.room) {
					w.alarm(q.room, q.why, "active", q.stamp)
					if q.room.shut && !q.room.swung {
						w.over(q.room, &q.room.cry)
					}
				}
			}
		}
		if w.rings("siren", h.ID) {
			w.touch(h)
		}
		if w.rings("walk", h.ID) {
			w.endWalk(h)
		}
	}
}

func (w *world) touch(h *house) {
	for _, id := range h.Outputs {
		w.touched[id] = true
	}
}

func isButton(r *room) bool {
	return r.Kind == arming.HoldUp || r.Kind == arming.Panic || r.Kind == arming.Medical
}

func matters(r *room, mode string) bool {
	return len(r.Modes) == 0 || slices.Contains(r.Modes, arming.Mode(mode))
}

// lockUp is the end of the exit delay.
func (w *world) lockUp(h *house) {
	for _, r := range h.rooms {
		if r.Kind != arming.Intrusion || w.mute(r) || !matters(r, h.mode) {
			continue
		}
		sure := !w.runs("settle", h.ID)
		if sure && r.live == "active" {
			if h.Entry > 0 {
				w.enqueue(r, "exit-error")
			} else {
				w.alarm(r, "exit-error", "active", r.stamp)
			}
		} else if !(sure && r.live == "normal") {
			r.shut, r.ajar = true, false // it ought to be
		}
	}
}

func (w *world) enqueue(r *room, why string) {
	h := r.house
	if slices.ContainsFunc(h.queue, func(q queued) bool { return q.room == r }) {
		return
	}
	h.queue = append(h.queue, queued{r, why, r.stamp})
	if !w.runs("entry", h.ID) {
		w.set("entry", h.ID, h.Entry)
	}
}

func (w *world) endWalk(h *house) {
	w.stop("walk", h.ID)
	for _, r := range h.rooms {
		r.seen = false
	}
}

func (w *world) endWork(r *room, how, who string) {
	w.stop(how, r.ID)
	w.stop(how+" again", r.ID)
	w.say("work %s %s 2", r.ID, how)
	if how == "hard" {
		w.say("bypass %s hard 2 by %q", r.ID, who)
	}
	w.reweigh(r)
}

func (w *world) endStationTest(who string) {
	w.stop("test", "")
	w.stop("test again", "")
	w.say("work station test 2")
	for _, r := range w.rooms {
		w.reweigh(r)
	}
}

// reweigh looks again at what never sleeps.
func (w *world) reweigh(r *room) {
	if r.Kind != arming.Intrusion && r.live != "unknown" && (isButton(r) || !w.runs("settle", r.house.ID)) {
		w.weigh(r, false)
	}
}

func (w *world) hear(r *room, live string, stamp int64) {
	r.live, r.stamp = live, stamp
	if live == "unknown" {
		return
	}
	first := !r.heard
	r.heard = true
	if live == "active" && w.runs("walk", r.house.ID) {
		r.seen = true
	}
	if isButton(r) || !w.runs("settle", r.house.ID) {
		w.weigh(r, first)
	}
}

// weigh is the verdict on what a room is now, given what it was.
func (w *world) weigh(r *room, gap bool) {
	sleepless := r.Kind != arming.Intrusion
	if sleepless && r.live != "normal" && w.mute(r) {
		return
	}
	last := r.weighed
	r.weighed = r.live
	wasShut, wasAjar := r.shut, r.ajar
	if r.live == "normal" || r.live == "active" {
		r.shut, r.ajar = r.live == "normal", r.live == "active"
		if !r.swung {
			w.over(r, &r.wire)
			if r.shut {
				w.over(r, &r.cry)
			}
		}
		if r.ajar && !wasAjar && (wasShut || sleepless) {
			why := string(r.Kind)
			if gap && wasShut {
				why = "opened-while-down"
			}
			w.opened(r, why)
		}
		return
	}
	if last == r.live || w.mute(r) {
		return
	}
	armed := r.house.mode != ""
	if r.live == "fault" {
		if armed && r.wire == "" {
			w.alarm(r, "fault", "fault", r.stamp)
		}
	} else if (armed || r.Kind == arming.Tamper) && r.wire != "tamper" {
		w.over(r, &r.wire)
		w.alarm(r, "tamper", r.live, r.stamp)
	}
}

func (w *world) opened(r *room, why string) {
	h := r.house
	if w.mute(r) {
		return
	}
	if r.Kind != arming.Intrusion {
		w.alarm(r, why, "active", r.stamp)
		return
	}
	if w.runs("exit", h.ID) {
		if r.Entry {
			if h.openings++; h.openings == 2 {
				w.set("exit", h.ID, h.Exit)
			}
		}
		return
	}
	if h.mode == "" || !matters(r, h.mode) {
		return
	}
	if h.Entry > 0 && (r.Entry || r.Follow && w.runs("entry", h.ID)) {
		w.enqueue(r, why)
		return
	}
	if r.Confirm != "" {
		w.set("trip", r.ID, h.Within)
		n := 0
		for _, o := range h.rooms {
			if end, ok := w.timers[timer{"trip", o.ID}]; ok && o.Confirm == r.Confirm && end > w.now {
				n++
			}
		}
		if n < h.Needed {
			return
		}
	}
	w.alarm(r, why, "active", r.stamp)
}

func (w *world) alarm(r *room, why, state string, stamp int64) {
	h := r.house
	wired := state != "active"
	if wired {
		r.wire = why
	} else {
		r.cry = why
	}
	code := r.Code
	if why == "tamper" && wired {
		code = "TA"
	}
	if r.Kind == arming.Tamper && !wired {
		code = r.Code
	}
	if why == "fault" {
		code = "UT"
	}
	w.say("alarm %s %s %s %s %s mode %q edge %d", h.ID, r.ID, why, state, code, h.mode, stamp)
	line := r.ID + " " + why
	if h.counts[line] == 0 {
		h.memory = append(h.memory, line)
	}
	h.counts[line]++
	kind := r.Kind
	if why == "tamper" {
		kind = arming.Tamper
	}
	if why != "fault" && h.Siren > 0 && !slices.Contains(h.SilentKinds, kind) {
		h.onlyBox = why == "tamper" && (h.onlyBox || !w.runs("siren", h.ID))
		w.set("siren", h.ID, h.Siren)
		w.touch(h)
	}
	r.cries++
	if r.Kind == arming.Intrusion && h.mode != "" && r.Swinger > 0 && r.cries >= r.Swinger {
		r.swung = true
		w.say("bypass %s swinger 1 by \"\"", r.ID)
	}
}

func (w *world) over(r *room, cry *string) {
	if *cry != "" {
		w.say("over %s %s %s", r.house.ID, r.ID, *cry)
		*cry = ""
	}
}

// picture is what a screen shows.
func (w *world) picture() string {
	var b strings.Builder
	for _, h := range w.houses {
		state, sick := w.stateOf(h), false
		b.WriteString("\n" + h.ID + " " + h.mode)
		for _, r := range h.rooms {
			how := ""
			covered := r.Kind == arming.Intrusion || r.Kind == arming.Tamper || r.Kind == arming.Flood
			switch {
			case w.runs("hard", r.ID):
				how = "hard"
			case w.runs("test", r.ID) || covered && w.runs("test", ""):
				how = "test"
			case r.swung:
				how = "swinger"
			case r.soft:
				how = "soft"
			}
			b.WriteString(" " + r.ID + "=" + r.live + how)
			if r.seen {
				b.WriteByte('!')
			}
			sick = sick || r.live != "normal" && r.live != "active"
		}
		for _, line := range h.memory {
			b.WriteString(" " + line + "×" + strconv.Itoa(h.counts[line]))
		}
		if state == "disarmed" && sick {
			state = "fault"
		}
		b.WriteString(" " + state)
		what := ""
		switch state {
		case "alarm", "tamper":
			what = "siren"
		case "entry":
			what = "entry"
		case "arming":
			what = "exit"
		case "walk_test":
			what = "walk"
		}
		if what != "" {
			b.WriteString(" " + (w.timers[timer{what, h.ID}] - w.now).String())
		}
	}
	return b.String()
}
