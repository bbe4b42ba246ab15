package arming_test

import (
	"slices"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

func wantBypass(t *testing.T, effects []arming.Effect, zone, how, who string, q event.Qualifier) {
	t.Helper()
	told := events(effects, event.KindZoneBypassed, zone)
	if len(told) != 1 || text(told[0], event.TagState) != how || text(told[0], event.TagWho) != who || told[0].Qualifier != q {
		t.Errorf("told %+v, want %s %s %s by %s", told, zone, how, q, who)
	}
}

// A zone that alarms too often silences itself until the next disarming; the end of its last alarm is told then.
func TestSwinger(t *testing.T) {
	r := village(t)
	r.plan.Zones[2].Swinger, r.plan.Zones[3].Swinger = 2, 1
	r.boot(nil)
	r.allNormal()
	r.later(time.Minute)
	r.do(armNow(arming.Away))
	wantRaised(t, r.word("window", "active"), "window", "intrusion")
	if n := len(events(r.word("window", "normal"), event.KindAlarmRaised, "window")); n != 1 {
		t.Errorf("%d ends told", n)
	}
	effects := r.word("window", "active")
	wantRaised(t, effects, "window", "intrusion")
	wantBypass(t, effects, "window", "swinger", "", event.QualifierNew)
	for range 3 {
		if effects = append(r.word("window", "normal"), r.word("window", "active")...); len(effects) != 0 {
			t.Errorf("a silenced zone says %+v", effects)
		}
		r.word("smoke", "active") // always on: never silenced
		r.word("smoke", "normal")
	}
	r.restart()
	if z := r.zone("window"); z.LeftOut != arming.LeftOutSwinger || r.zone("smoke").LeftOut != "" {
		t.Errorf("the window is left out %q, smoke %q", z.LeftOut, r.zone("smoke").LeftOut)
	}
	r.word("window", "normal")
	effects = r.do(disarm())
	wantBypass(t, effects, "window", "swinger", "chief", event.QualifierRestore)
	if ends := events(effects, event.KindAlarmRaised, "window"); len(ends) != 1 || ends[0].Qualifier != event.QualifierRestore || ends[0].Severity != event.SeverityNotice {
		t.Errorf("the end of its last alarm: %+v", ends)
	}
	r.allNormal()
	r.do(armNow(arming.Away))
	wantRaised(t, r.word("window", "active"), "window", "intrusion")
	if r.zone("window").LeftOut != "" {
		t.Error("the count of the armed period before goes on")
	}
}

// What a person leaves out counts again after the next disarming, or when the person says so.
func TestSoftBypass(t *testing.T) {
	r := village(t)
	wantBypass(t, r.do(arming.Bypass{By: chief(), Zone: "window"}), "window", "soft", "chief", event.QualifierNew)
	if effects := r.do(arming.Bypass{By: chief(), Zone: "window"}); len(effects) != 0 {
		t.Errorf("left out twice: %+v", effects)
	}
	wantBypass(t, r.do(arming.Bypass{By: chief(), Zone: "window", Off: true}), "window", "soft", "chief", event.QualifierRestore)
	if effects := r.do(arming.Bypass{By: chief(), Zone: "window", Off: true}); len(effects) != 0 {
		t.Errorf("counts again twice: %+v", effects)
	}
	r.do(arming.Bypass{By: chief(), Zone: "window"})
	r.do(disarm()) // it is disarmed already
	if r.zone("window").LeftOut != "soft" {
		t.Error("a bypass for the coming night is gone before it")
	}
	effects := r.do(armNow(arming.Night))
	if left := texts(events(effects, event.KindPartitionChanged, "")[0], event.TagZone); !slices.Equal(left, []string{"window"}) {
		t.Errorf("armed without %q, as told", left)
	}
	wantRaised(t, r.word("window", "active"), "")
	wantBypass(t, r.do(disarm()), "window", "soft", "chief", event.QualifierRestore)
}

// An engineer's bypass and test name one zone, end by themselves, are told, and cover nothing else.
func TestEngineersBypassAndTest(t *testing.T) {
	for _, hard := range []bool{true, false} {
		r := village(t)
		begin := func(d time.Duration) arming.Input {
			if hard {
				return arming.Bypass{By: chief(), Zone: "smoke", Hard: true, For: d}
			}
			return arming.Maintain{By: chief(), Zone: "smoke", For: d, Reason: "new detector"}
		}
		told := events(r.do(begin(2*time.Hour)), event.KindMaintenance, "smoke")
		d, _ := told[0].Body.Uint(event.TagDuration)
		expires, _ := told[0].Body.Int(event.TagExpires)
		if len(told) != 1 || told[0].Qualifier != event.QualifierNew || told[0].Severity != event.SeverityWarning || time.Duration(d) != 2*time.Hour ||
			expires != r.now.Wall.Add(2*time.Hour).UnixNano() || text(told[0], event.TagWho) != "chief" || text(told[0], event.TagState) != map[bool]string{true: "bypass", false: "test"}[hard] {
			t.Errorf("told %+v", told)
		}
		if until := r.zone("smoke").Until; !until.Equal(r.now.Wall.Add(2 * time.Hour)) {
			t.Errorf("shown until %s", until)
		}
		wantRaised(t, r.word("smoke", "active"), "")
		wantRaised(t, r.word("button", "active"), "button", "hold-up")
		r.pass(time.Hour)
		r.restart()
		if wait, ok := r.m.Due(r.now); !ok || wait != time.Hour {
			t.Errorf("a tick is wanted in %s", wait)
		}
		r.word("smoke", "active")
		effects := r.later(time.Hour)
		wantRaised(t, effects, "smoke", "fire") // it burns, and nobody is testing any more
		if told := events(effects, event.KindMaintenance, "smoke"); len(told) != 1 || told[0].Qualifier != event.QualifierRestore || text(told[0], event.TagReason) != "time-out" {
			t.Errorf("the end is told as %+v", told)
		}
		if hard {
			wantBypass(t, effects, "smoke", "hard", "", event.QualifierRestore)
		}
	}
}

// Work that is renewed again and again is told each time, and once a day besides.
func TestWorkIsToldDaily(t *testing.T) {
	r := village(t)
	renew := func() []event.Draft {
		return events(r.do(arming.Maintain{By: chief(), For: 2 * time.Hour, Reason: "rewiring"}), event.KindMaintenance, "")
	}
	if told := renew(); told[0].Qualifier != event.QualifierNew || told[0].Source != "arming" {
		t.Errorf("told %+v", told)
	}
	daily := 0
	for hour := range 49 {
		daily += len(events(r.later(time.Hour), event.KindMaintenance, ""))
		if told := renew(); len(told) != 1 || told[0].Qualifier != event.QualifierStatus || text(told[0], event.TagReason) != "rewiring" {
			t.Fatalf("hour %d: told %+v", hour, told)
		}
	}
	if daily != 2 {
		t.Errorf("in 49 hours told %d times, want 2", daily)
	}
	told := events(r.do(arming.Maintain{By: chief(), Off: true}), event.KindMaintenance, "")
	if len(told) != 1 || told[0].Qualifier != event.QualifierRestore || !r.m.View().TestUntil.IsZero() {
		t.Errorf("the end is told as %+v", told)
	}
}

// A bypass of the night does not make an alarm of what stands open when it ends: an intrusion zone must be normal first.
func TestIntrusionZoneThatCountsAgainMustBeNormalFirst(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.do(arming.Bypass{By: chief(), Zone: "window", Hard: true, For: time.Hour})
	r.word("window", "active")
	wantRaised(t, r.do(arming.Bypass{By: chief(), Zone: "window", Hard: true, Off: true}), "")
	r.word("window", "normal")
	wantRaised(t, r.word("window", "active"), "window", "intrusion")
}

// What waits with the entry delay and is left out meanwhile is no alarm when the delay ends.
func TestZoneLeftOutWhileItWaits(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.word("door", "active")
	r.do(arming.Bypass{By: chief(), Zone: "door", Hard: true, For: time.Hour})
	wantRaised(t, r.later(30*time.Second), "")
	wantState(t, r, arming.StateArmedAway)
}

// A walk test ticks zones off, raises what is always on, is remembered, ends by itself, and names what nobody walked past.
func TestWalkTest(t *testing.T) {
	r := village(t)
	r.do(arming.WalkTest{By: chief(), Partition: "house"})
	r.word("hall", "active")
	r.word("hall", "normal")
	r.restart()
	r.allNormal()
	r.word("window", "active")
	wantRaised(t, r.word("button", "active"), "button", "hold-up")
	if seen := r.m.View().Partitions[0].Walked; !slices.Equal(seen, []string{"hall", "window", "button"}) {
		t.Errorf("ticked off: %q", seen)
	}
	changed := events(r.later(2*time.Hour), event.KindPartitionChanged, "")
	if len(changed) != 1 || text(changed[0], event.TagDetail) != "not seen active: door, smoke" || text(changed[0], event.TagReason) != "time-out" {
		t.Errorf("the end is told as %+v", changed)
	}
	for _, z := range []string{"door", "hall", "window", "smoke", "button"} {
		r.word(z, "normal")
	}
	r.do(arming.WalkTest{By: chief(), Partition: "house"})
	for _, z := range []string{"door", "hall", "window", "smoke", "button"} {
		r.word(z, "active")
	}
	r.do(disarm())
	changed = events(r.do(arming.WalkTest{By: chief(), Partition: "house", Off: true}), event.KindPartitionChanged, "")
	if len(changed) != 1 || text(changed[0], event.TagDetail) != "every zone was seen active" {
		t.Errorf("the end is told as %+v", changed)
	}
}

// Power cuts do not lengthen an engineer's work, whatever the clock of the box says afterwards.
func TestWorkEndsOverPowerCuts(t *testing.T) {
	r := village(t)
	r.do(arming.Maintain{By: chief(), For: time.Hour})
	for range 5 {
		r.pass(11 * time.Minute)
		r.powerUp()
	}
	wantState(t, r, arming.StateMaintenance)
	r.now.Wall = r.now.Wall.Add(5 * time.Minute) // off for so long
	r.powerUp()
	if !r.m.View().TestUntil.IsZero() {
		t.Error("the station is under test for more than the hour that was asked for")
	}
	r.do(arming.Maintain{By: chief(), For: time.Hour})
	r.now.Wall = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	r.powerUp()
	if left := r.m.View().TestUntil.Sub(r.now.Wall); left != time.Hour {
		t.Errorf("with a clock without a battery %s are left, want what the journal knows", left)
	}
}
