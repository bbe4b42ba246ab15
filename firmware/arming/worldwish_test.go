package arming_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"watchpost/firmware/arming"
)

// step takes an input and says all that people may expect of it, and why a wish is refused.
func (w *world) step(in arming.Input) (said []string, refused string) {
	w.said = nil
	w.elapse()
	wish := true
	switch in := in.(type) {
	case arming.Tick:
		wish = false
		w.calendar()
	case arming.Word:
		wish = false
		w.hear(w.room(in.Zone), in.State, in.KernelNS)
	default:
		refused = w.ask(in)
	}
	w.close(wish)
	return w.said, refused
}

func (w *world) room(id string) *room {
	for _, r := range w.rooms {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func (w *world) house(id string) *house {
	for _, h := range w.houses {
		if h.ID == id {
			return h
		}
	}
	return nil
}

// ask does a person's wish.
func (w *world) ask(in arming.Input) string {
	var by arming.Actor
	place, action, no := "", "", ""
	switch in := in.(type) {
	case arming.Arm:
		by, place, action = in.By, in.Partition, "arm"
		if no = w.allowed(by, in.Partition, "", "arm", len(in.Force) > 0); no == "" {
			no = w.lock(in)
		}
	case arming.Disarm:
		by, place, action = in.By, in.Partition, "disarm"
		if no = w.allowed(by, in.Partition, "", "disarm", false); no == "" {
			w.unlock(w.house(in.Partition), by.User)
		}
	case arming.Clear:
		by, place, action = in.By, in.Partition, "clear"
		if no = w.allowed(by, in.Partition, "", "disarm", false); no == "" {
			no = w.forget(w.house(in.Partition))
		}
	case arming.WalkTest:
		by, place, action = in.By, in.Partition, "walk-test"
		if no = w.allowed(by, in.Partition, "", "engineer", false); no == "" {
			no = w.walk(w.house(in.Partition), in.Off)
		}
	case arming.Bypass:
		by, action = in.By, "bypass"
		right := "bypass"
		if in.Hard {
			right = "engineer"
		}
		if no = w.allowed(by, "", in.Zone, right, false); no == "" {
			no = w.leave(in)
		}
		if r := w.room(in.Zone); r != nil {
			place = r.house.ID
		}
	case arming.Maintain:
		by, action = in.By, "test"
		if r := w.room(in.Zone); r != nil {
			place = r.house.ID
		}
		if no = w.allowedTest(by, in.Zone); no == "" {
			no = w.test(in)
		}
	}
	if w.house(place) == nil {
		place = ""
	}
	if no != "" {
		w.say("refused %s %s by %q: %s", place, action, by.User, no)
	}
	if by.Duress {
		w.say("duress %s by %q", place, by.User)
	}
	return no
}

func (w *world) allowed(by arming.Actor, house, zone, right string, force bool) string {
	if zone != "" {
		r := w.room(zone)
		if r == nil {
			return "no-zone [" + zone + "]"
		}
		house = r.house.ID
	}
	if w.house(house) == nil {
		return "no-partition []"
	}
	if by.User == "" && by.Why != "" {
		return by.Why + " []"
	}
	u, ok := w.people[by.User]
	if by.Via == "centre" && by.User != "" {
		u, ok = arming.User{Arm: true, Disarm: true, Bypass: true}, true
	}
	if !ok {
		return "unknown-user []"
	}
	has := map[string]bool{"arm": u.Arm, "disarm": u.Disarm, "bypass": u.Bypass, "engineer": u.Engineer}
	if len(u.Partitions) > 0 && !slices.Contains(u.Partitions, house) || !has[right] || force && !u.Bypass {
		return "no-right []"
	}
	return ""
}

func (w *world) allowedTest(by arming.Actor, zone string) string {
	if zone != "" {
		return w.allowed(by, "", zone, "engineer", false)
	}
	for _, h := range w.houses {
		if no := w.allowed(by, h.ID, "", "engineer", false); no != "" {
			return no
		}
	}
	return ""
}

func (w *world) lock(in arming.Arm) string {
	h := w.house(in.Partition)
	if !slices.Contains([]arming.Mode{"away", "stay", "night"}, in.Mode) {
		return "no-mode []"
	}
	var odd, bad []string
	for _, id := range in.Force {
		if r := w.room(id); r == nil || r.house != h {
			odd = append(odd, id)
		}
	}
	delayed := !in.Now && h.Exit > 0
	for _, r := range h.rooms {
		fine := r.live == "normal" || w.mute(r) || slices.Contains(in.Force, r.ID)
		if r.Kind == arming.Intrusion && r.live == "active" {
			fine = fine || !matters(r, string(in.Mode)) || delayed && (r.Entry || r.Follow)
		}
		if !fine {
			bad = append(bad, r.ID)
		}
	}
	switch {
	case odd != nil:
		return fmt.Sprint("no-zone ", odd)
	case h.mode != "":
		return "armed []"
	case w.runs("siren", h.ID):
		return "alarm []"
	case w.runs("walk", h.ID):
		return "walk-test []"
	case w.runs("test", ""):
		return "maintenance []"
	case bad != nil:
		return fmt.Sprint("not-normal ", bad)
	}
	for _, r := range h.rooms {
		if slices.Contains(in.Force, r.ID) && r.live != "normal" && r.Kind == arming.Intrusion && !w.mute(r) {
			r.soft = true
			w.say("bypass %s soft 1 by %q", r.ID, who(in.By))
		}
		w.stop("trip", r.ID)
		r.cries = 0
		if r.Entry && r.live == "active" {
			h.openings = 1
		}
	}
	h.mode = string(in.Mode)
	if delayed {
		w.set("exit", h.ID, h.Exit)
	}
	return ""
}

func who(by arming.Actor) string {
	if by.Via == "schedule" {
		return "schedule"
	}
	return by.User
}

func (w *world) unlock(h *house, by string) {
	if w.runs("siren", h.ID) {
		w.stop("siren", h.ID)
		w.touch(h)
	}
	if h.mode == "" {
		return
	}
	w.stop("exit", h.ID)
	w.stop("entry", h.ID)
	h.mode, h.queue, h.openings = "", nil, 0
	for _, r := range h.rooms {
		w.stop("trip", r.ID)
		r.cries = 0
		if r.soft {
			r.soft = false
			w.say("bypass %s soft 2 by %q", r.ID, by)
		}
		if r.swung {
			r.swung = false
			w.say("bypass %s swinger 2 by %q", r.ID, by)
			if r.weighed == "normal" || r.weighed == "active" {
				w.over(r, &r.wire)
			}
			if r.shut {
				w.over(r, &r.cry)
			}
		}
	}
}

func (w *world) forget(h *house) string {
	var loud []string
	for _, r := range h.rooms {
		if r.Kind != arming.Intrusion && r.cry+r.wire != "" {
			loud = append(loud, r.ID)
		}
	}
	switch {
	case h.mode != "":
		return "armed []"
	case w.runs("siren", h.ID):
		return "alarm []"
	case loud != nil:
		return fmt.Sprint("alarm-stands ", loud)
	}
	h.memory = nil
	clear(h.counts)
	return ""
}

func (w *world) walk(h *house, off bool) string {
	switch {
	case off:
		if w.runs("walk", h.ID) {
			w.endWalk(h)
		}
	case h.mode != "":
		return "armed []"
	case w.runs("siren", h.ID):
		return "alarm []"
	case !w.runs("walk", h.ID):
		w.set("walk", h.ID, 2*time.Hour)
	}
	return ""
}

func (w *world) leave(in arming.Bypass) string {
	r := w.room(in.Zone)
	by := in.By.User
	switch {
	case in.Hard && in.Off:
		if w.runs("hard", r.ID) {
			w.endWork(r, "hard", by)
		}
	case in.Hard:
		return w.begin("hard", r.ID, by, in.For)
	case in.Off:
		if r.soft {
			r.soft = false
			w.say("bypass %s soft 2 by %q", r.ID, by)
		}
	case r.Kind != arming.Intrusion:
		return "always-on [" + r.ID + "]"
	case r.house.mode != "":
		return "armed []"
	case !r.soft:
		r.soft = true
		w.say("bypass %s soft 1 by %q", r.ID, by)
	}
	return ""
}

func (w *world) begin(how, id, by string, d time.Duration) string {
	if d <= 0 || d > 2*time.Hour {
		return "duration []"
	}
	name := id
	if id == "" {
		name = "station"
	}
	if w.runs(how, id) {
		w.say("work %s %s 3", name, how)
	} else {
		w.say("work %s %s 1", name, how)
		w.set(how+" again", id, 24*time.Hour)
		if how == "hard" {
			w.say("bypass %s hard 1 by %q", id, by)
		}
	}
	w.set(how, id, d)
	return ""
}

func (w *world) test(in arming.Maintain) string {
	switch {
	case !in.Off:
		return w.begin("test", in.Zone, in.By.User, in.For)
	case !w.runs("test", in.Zone):
	case in.Zone == "":
		w.endStationTest(in.By.User)
	default:
		w.endWork(w.room(in.Zone), "test", in.By.User)
	}
	return ""
}

// calendar does what the time of the day asks for.
func (w *world) calendar() {
	for _, h := range w.houses {
		if w.strikes(h, "open", h.DisarmAt, 0) && h.mode != "" {
			if w.runs("siren", h.ID) || w.runs("entry", h.ID) {
				w.say("refused %s disarm by \"schedule\": alarm []", h.ID)
			} else {
				w.unlock(h, "schedule")
			}
		}
		if w.strikes(h, "close", h.ArmAt, 0) && h.mode == "" {
			if no := w.lock(arming.Arm{By: arming.Actor{Via: "schedule"}, Partition: h.ID, Mode: h.ArmMode}); no != "" {
				w.say("refused %s arm by \"schedule\": %s", h.ID, no)
			}
		}
		if w.strikes(h, "late", h.ArmAt, h.LateAfter) && h.mode == "" {
			w.say("late %s", h.ID)
		}
	}
}

// strikes says that a time of the day has come within the last hour, once; the first one that is seen only begins the counting.
func (w *world) strikes(h *house, what, at string, late time.Duration) bool {
	if at == "" {
		return false
	}
	hours, minutes, _ := strings.Cut(at, ":")
	since := time.Duration(w.wall.Hour())*time.Hour + time.Duration(w.wall.Minute())*time.Minute + time.Duration(w.wall.Second())*time.Second + time.Duration(w.wall.Nanosecond())
	d, _ := time.ParseDuration(hours + "h" + minutes + "m")
	ago := (since - d - late + 48*time.Hour) % (24 * time.Hour)
	struck := w.wall.Add(-ago)
	key := timer{what, h.ID}
	before, known := w.done[key]
	if known && (before.Equal(struck) || ago >= time.Hour) {
		return false
	}
	w.done[key] = struck
	return known && before.Before(struck)
}
