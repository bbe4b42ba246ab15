package arming_test

import (
	"slices"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// What follows are complaints of people about other alarm programs (nielsfaber/alarmo by number, Home Assistant, Konnected, Node-RED).
// None may ever be said of this one.

// village is a house that has all of it: a door, a hall behind it, a window, smoke, a hold-up button, and a siren.
func village(t testing.TB) *rig {
	r := newRig(t, arming.Plan{
		Partitions: []arming.Partition{{ID: "house", Exit: time.Minute, Entry: 30 * time.Second, Settle: time.Minute, Siren: 3 * time.Minute,
			Outputs: []string{"siren"}, SilentKinds: []arming.Kind{arming.HoldUp}}},
		Zones: []arming.Zone{
			{ID: "door", Partition: "house", Kind: arming.Intrusion, Code: "BA", Entry: true},
			{ID: "hall", Partition: "house", Kind: arming.Intrusion, Code: "BA", Follow: true},
			{ID: "window", Partition: "house", Kind: arming.Intrusion, Code: "BA"},
			{ID: "smoke", Partition: "house", Kind: arming.Fire, Code: "FA"},
			{ID: "button", Partition: "house", Kind: arming.HoldUp, Code: "HA"},
		},
		Users: append(users(), arming.User{ID: "guest", Partitions: []string{"house"}, Arm: true, Disarm: true}),
	})
	r.allNormal()
	r.later(time.Minute)
	return r
}

func (r *rig) allNormal() (effects []arming.Effect) {
	r.t.Helper()
	for _, z := range r.plan.Zones {
		effects = append(effects, r.word(z.ID, "normal")...)
	}
	return effects
}

func wantRaised(t *testing.T, effects []arming.Effect, zone string, causes ...string) {
	t.Helper()
	if got := raised(effects, zone); !slices.Equal(got, causes) {
		t.Errorf("alarms of %q: %q, want %q", zone, got, causes)
	}
}

func wantState(t *testing.T, r *rig, want arming.State) {
	t.Helper()
	if got := r.state(); got != want {
		t.Errorf("the partition is %s, want %s", got, want)
	}
}

// Alarmo #1273: openings while it was down are not evaluated.
func TestOpenedWhileDownIsTold(t *testing.T) {
	for _, armed := range []bool{true, false} {
		for _, powerUp := range []bool{true, false} {
			r := village(t)
			if armed {
				r.do(armNow(arming.Away))
			}
			if powerUp {
				r.powerUp()
			} else {
				r.restart()
			}
			effects := append(r.word("window", "active"), r.word("smoke", "active")...)
			effects = append(effects, r.later(time.Minute)...)
			if armed {
				wantRaised(t, effects, "window", arming.CauseOpenedWhileDown)
			} else {
				wantRaised(t, effects, "window")
			}
			wantRaised(t, effects, "smoke", arming.CauseOpenedWhileDown)
		}
	}
}

// A door that was opened while the station was down may be that of somebody coming home.
func TestDoorOpenedWhileDownBeginsTheEntryDelay(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.restart()
	wantRaised(t, r.word("door", "active"), "")
	wantState(t, r, arming.StateEntry)
	wantRaised(t, r.later(30*time.Second), "door", arming.CauseOpenedWhileDown)
}

// Alarmo #1238: alarms are raised by a restart alone.
func TestRestartRaisesNothing(t *testing.T) {
	for _, powerUp := range []bool{true, false} {
		r := village(t)
		r.word("window", "active")
		r.do(armNow(arming.Away, "window")) // left out by force
		raisedBefore := r.word("smoke", "active")
		wantRaised(t, raisedBefore, "smoke", "fire")
		for range 3 {
			var effects []arming.Effect
			if powerUp {
				effects = r.powerUp()
			} else {
				effects = r.restart()
			}
			for zone, state := range map[string]string{"door": "normal", "hall": "normal", "window": "active", "smoke": "active", "button": "normal"} {
				effects = append(effects, r.word(zone, "unknown")...)
				effects = append(effects, r.word(zone, state)...)
			}
			effects = append(effects, r.later(time.Minute)...)
			wantRaised(t, effects, "")
			if r.m.View().Partitions[0].Mode != arming.Away || r.zone("window").LeftOut != arming.LeftOutSoft {
				t.Errorf("after a restart (power %v) it is %s, the window %q", powerUp, r.state(), r.zone("window").LeftOut)
			}
		}
	}
}

// Alarmo #1003: armed without a log entry. Whoever and whatever changes a partition is told, and every change follows from the last.
func TestEveryChangeIsTold(t *testing.T) {
	r := village(t)
	last := "disarmed"
	follow := func(effects []arming.Effect, state, who, why string) {
		t.Helper()
		changed := events(effects, event.KindPartitionChanged, "")
		if len(changed) != 1 {
			t.Fatalf("%d changes told, want 1 to %s", len(changed), state)
		}
		d := changed[0]
		if text(d, event.TagState) != state || text(d, event.TagPrevious) != last || text(d, event.TagWho) != who || text(d, event.TagReason) != why ||
			d.Source != "arming/house" || d.Severity != event.SeverityNotice || !d.At.Equal(r.now.Wall) {
			t.Errorf("told %+v, want %s by %q because of %q after %s", d, state, who, why, last)
		}
		last = state
	}
	follow(r.do(arming.Arm{By: arming.Actor{User: "guest", Via: "card"}, Partition: "house", Mode: arming.Night}), "arming", "guest", "card")
	follow(r.later(time.Minute), "armed_night", "", "time-out")
	follow(r.word("door", "active"), "entry", "", "intrusion")
	follow(r.later(30*time.Second), "alarm", "", "intrusion")
	follow(r.later(3*time.Minute), "armed_night", "", "time-out")
	follow(r.do(disarm()), "alarm_memory", "chief", "code")
	follow(r.do(arming.Clear{By: arming.Actor{User: "wang", Via: arming.ViaCentre}, Partition: "house"}), "disarmed", "wang", "centre")
	follow(r.do(arming.WalkTest{By: chief(), Partition: "house"}), "walk_test", "chief", "code")
	follow(r.do(arming.WalkTest{By: chief(), Partition: "house", Off: true}), "disarmed", "chief", "code")
	follow(r.do(arming.Maintain{By: chief(), For: time.Hour}), "maintenance", "chief", "code")
	follow(r.later(time.Hour), "disarmed", "", "time-out")
	follow(r.word("smoke", "active"), "alarm", "", "fire")
}

// Alarmo #1223: an alarm never ends. Alarmo #819, #885, #1110, #1146: it ends, and the house is disarmed.
func TestSirenEndsAndTheHouseStaysArmed(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Stay))
	effects := r.word("window", "active")
	if o, _ := output(effects, "siren"); !o.On || o.For != 3*time.Minute || o.Cause != "intrusion" {
		t.Errorf("asked for %+v", o)
	}
	if wait, ok := r.m.Due(r.now); !ok || wait != 3*time.Minute {
		t.Errorf("a tick is wanted in %s, %v", wait, ok)
	}
	effects = r.later(3 * time.Minute)
	if o, told := output(effects, "siren"); !told || o.On || o.For != 0 {
		t.Errorf("asked for %+v", o)
	}
	wantState(t, r, arming.StateArmedStay)
	wantRaised(t, r.word("hall", "active"), "hall", "intrusion") // it is armed indeed
	r.later(3 * time.Minute)
	r.restart()
	wantState(t, r, arming.StateArmedStay)
}

// Alarmo #1139: unavailable and then open is an alarm although it was open before.
func TestUnavailableIsNeitherClosedNorOpened(t *testing.T) {
	for _, gone := range []string{"unknown", "missing"} {
		r := village(t)
		r.do(armNow(arming.Away))
		r.word("window", "active")
		r.later(3 * time.Minute)
		r.word("window", gone)
		wantRaised(t, r.word("window", "active"), "window")
		r.word("window", gone)
		r.word("window", "normal")
		r.word("window", gone)
		wantRaised(t, r.word("window", "active"), "window", "intrusion")
	}
}

// Home Assistant #10793, #26094, #39024, #51427: armed is forgotten at a restart.
func TestArmedIsRememberedByEveryRestart(t *testing.T) {
	for _, mode := range []arming.Mode{arming.Away, arming.Stay, arming.Night} {
		r := village(t)
		r.do(armNow(mode))
		for range 3 {
			r.restart()
			r.powerUp()
			r.powerUp()
		}
		if v := r.m.View().Partitions[0]; v.Mode != mode {
			t.Errorf("armed %s, and now %+v", mode, v)
		}
	}
}

// Konnected #156: the siren's state is lost at a reboot; Konnected ESPHome #39: a lost link sounds it.
func TestRestartAsksAgainForWhatShouldSound(t *testing.T) {
	r := village(t)
	if o, told := output(r.restart(), "siren"); !told || o.On || o.For != 0 {
		t.Errorf("nothing is wrong, asked for %+v, %v", o, told)
	}
	r.allNormal()
	r.word("smoke", "active")
	r.pass(time.Minute)
	if o, _ := output(r.restart(), "siren"); !o.On || o.For != 2*time.Minute || o.Cause != "fire" {
		t.Errorf("two minutes are left, asked for %+v", o)
	}
	// After a power cut as much is left as when something was last told, less the 20 s since the box has power again.
	if o, _ := output(r.powerUp(), "siren"); !o.On || o.For != 100*time.Second {
		t.Errorf("a hundred seconds were left, asked for %+v", o)
	}
	r.later(2 * time.Minute)
	if o, told := output(r.powerUp(), "siren"); !told || o.On {
		t.Errorf("its time is over, asked for %+v, %v", o, told)
	}
}

// Node-RED node-red-contrib-alarm #37: a silent alarm that is not silent, or not told.
func TestHoldUpIsToldAndNotHeard(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	effects := r.word("button", "active")
	wantRaised(t, effects, "button", "hold-up")
	if o, told := output(effects, "siren"); told {
		t.Errorf("asked for %+v", o)
	}
	wantState(t, r, arming.StateArmedAway)
	r.do(disarm())
	wantState(t, r, arming.StateAlarmMemory)
}

// Node-RED node-red-contrib-alarm #18: a second trigger begins the delay anew, and so it never ends.
func TestSecondDoorDoesNotLengthenTheEntryDelay(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.word("door", "active")
	r.pass(20 * time.Second)
	r.word("hall", "active")
	r.word("door", "normal")
	r.word("door", "active")
	effects := r.later(10 * time.Second)
	wantRaised(t, effects, "", "intrusion", "intrusion")
	wantRaised(t, effects, "hall", "intrusion")
}

// Home Assistant #180917: what is dead is shown as it was last. Unknown is shown as unknown.
func TestNothingIsShownThatWasNotHeardInThisRun(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.restart()
	for _, z := range r.m.View().Zones {
		if z.State != "unknown" {
			t.Errorf("%s is shown as %s, and nobody has said so", z.ID, z.State)
		}
	}
	if n := len(r.m.View().Partitions[0].Trouble); n != 5 {
		t.Errorf("%d zones are in trouble, want all 5", n)
	}
}
