package arming_test

import (
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// school arms itself at ten in the evening and disarms itself at half past six.
func school(t *testing.T) *rig {
	r := newRig(t, arming.Plan{
		Partitions: []arming.Partition{{ID: "house", Exit: time.Minute, Siren: time.Minute, ArmAt: "22:00", DisarmAt: "06:30", ArmMode: arming.Night, LateAfter: 15 * time.Minute}},
		Zones:      []arming.Zone{{ID: "door", Partition: "house", Kind: arming.Intrusion, Entry: true}, {ID: "window", Partition: "house", Kind: arming.Intrusion}},
		Users:      users(),
	})
	r.allNormal()
	r.do(arming.Tick{})
	return r
}

// until lets the day pass as Due wishes it, and gathers what is told.
func (r *rig) until(hour, minute int) (effects []arming.Effect) {
	r.t.Helper()
	end := time.Date(r.now.Wall.Year(), r.now.Wall.Month(), r.now.Wall.Day(), hour, minute, 0, 0, r.now.Wall.Location())
	if !end.After(r.now.Wall) {
		end = end.AddDate(0, 0, 1)
	}
	for r.now.Wall.Before(end) {
		wait, ok := r.m.Due(r.now)
		if !ok || wait < 0 || wait > time.Minute {
			r.t.Fatalf("at %s a tick is wanted in %s, %v", r.now.Wall, wait, ok)
		}
		effects = append(effects, r.later(min(wait, end.Sub(r.now.Wall)))...)
		if again, _ := r.m.Due(r.now); again <= 0 {
			r.t.Fatalf("at %s a tick is wanted after a tick", r.now.Wall)
		}
	}
	return effects
}

func late(effects []arming.Effect) (n int) {
	for _, d := range events(effects, event.KindPartitionChanged, "") {
		if text(d, event.TagReason) == "late-to-close" && d.Severity == event.SeverityWarning {
			n++
		}
	}
	return n
}

func TestScheduleArmsAndDisarms(t *testing.T) {
	r := school(t)
	r.until(21, 59)
	wantState(t, r, arming.StateDisarmed)
	effects := r.until(22, 0)
	wantState(t, r, arming.StateArming)
	if d := events(effects, event.KindPartitionChanged, "")[0]; text(d, event.TagWho) != "schedule" || text(d, event.TagMode) != "night" {
		t.Errorf("told %+v", d)
	}
	if n := late(r.until(6, 29)); n != 0 {
		t.Errorf("told late %d times", n)
	}
	wantState(t, r, arming.StateArmedNight)
	r.until(6, 30)
	wantState(t, r, arming.StateDisarmed)
	r.do(armNow(arming.Away)) // and goes out again
	r.until(12, 0)
	wantState(t, r, arming.StateArmedAway)
}

// A partition that stands open, or that somebody has opened again, is told late once.
func TestLateToClose(t *testing.T) {
	for name, spoil := range map[string]func(*rig){
		"a window stands open": func(r *rig) { r.word("window", "active") },
		"put off":              func(r *rig) { r.until(22, 5); r.do(disarm()) },
	} {
		r := school(t)
		r.until(21, 0)
		spoil(r)
		effects := r.until(22, 14)
		if n := late(effects); n != 0 {
			t.Errorf("%s: told %d times too early", name, n)
		}
		refused := events(effects, event.KindArmingRefused, "")
		if name != "put off" && (len(refused) != 1 || text(refused[0], event.TagWho) != "schedule" || text(refused[0], event.TagZone) != "window") {
			t.Errorf("%s: refused %+v", name, refused)
		}
		r.restart()
		if n := late(r.until(23, 30)); n != 1 {
			t.Errorf("%s: told %d times", name, n)
		}
		r.restart()
		if n := late(r.until(12, 0)); n != 0 {
			t.Errorf("%s: told %d times again", name, n)
		}
	}
}

// The schedule ends neither an alarm nor an entry delay: a burglar at half past six is one.
func TestScheduleEndsNoAlarm(t *testing.T) {
	r := school(t)
	r.until(23, 0)
	r.until(6, 29)
	r.pass(30 * time.Second)
	wantRaised(t, r.word("window", "active"), "window", "intrusion")
	refused := events(r.until(6, 30), event.KindArmingRefused, "")
	if len(refused) != 1 || text(refused[0], event.TagReason) != arming.RefusedAlarm {
		t.Errorf("refused %+v", refused)
	}
	r.until(12, 0)
	wantState(t, r, arming.StateArmedNight)
}

// A station that was off at the hour, or whose clock jumps, does nothing it should have done long ago, and nothing twice.
func TestScheduleAndTheClock(t *testing.T) {
	r := school(t)
	r.until(21, 0)
	r.pass(3 * time.Hour) // off until midnight
	r.powerUp()
	if n := late(r.until(3, 0)); n != 0 || r.state() != arming.StateFault && r.state() != arming.StateDisarmed {
		t.Errorf("armed hours too late: %s, told %d times", r.state(), n)
	}
	r = school(t)
	r.until(22, 30)
	r.do(disarm())
	r.now.Wall = r.now.Wall.Add(-time.Hour) // the clock was wrong
	r.until(22, 10)
	wantState(t, r, arming.StateDisarmed)
	r.now.Wall = time.Date(1970, 1, 1, 8, 0, 0, 0, time.UTC) // a clock without a battery
	r.powerUp()
	r.do(armNow(arming.Away, "door", "window"))
	r.until(6, 45)
	wantState(t, r, arming.StateArmedAway)
}

// A clock that was for a while in a year to come costs no evening.
func TestScheduleAfterAClockFromTheFuture(t *testing.T) {
	r := school(t)
	r.until(23, 0)
	r.until(12, 0)
	right := r.now.Wall
	r.now.Wall = right.AddDate(73, 0, 0)
	r.until(13, 0)
	r.now.Wall = right.Add(time.Hour)
	for range 3 {
		r.until(22, 0)
		wantState(t, r, arming.StateArming)
		r.until(6, 30)
		wantState(t, r, arming.StateDisarmed)
	}
}

// A tick is wanted at the turn of each minute, and stays wanted until it comes.
func TestTickIsWantedEachMinute(t *testing.T) {
	r := school(t)
	for _, pass := range []time.Duration{0, 59 * time.Second, time.Second, time.Second} {
		r.pass(pass)
		at := r.now.Wall.Sub(noon())
		if wait, ok := r.m.Due(r.now); !ok || wait != max(0, time.Minute-at) {
			t.Errorf("%s after a tick the next is wanted in %s, %v", at, wait, ok)
		}
	}
	r.do(arming.Tick{})
	r.now.Wall = r.now.Wall.Add(-time.Hour)
	if wait, _ := r.m.Due(r.now); wait != 0 {
		t.Errorf("the clock was set, and the next tick is wanted in %s", wait)
	}
}
