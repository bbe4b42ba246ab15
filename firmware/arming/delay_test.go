package arming_test

import (
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// CP-01: who comes back once while the exit delay runs has the whole of it again, and only once.
func TestExitDelayBeginsAnewOnce(t *testing.T) {
	r := village(t)
	r.do(arming.Arm{By: chief(), Partition: "house", Mode: arming.Away})
	open := func(after time.Duration) {
		r.pass(after)
		r.word("door", "active")
		r.word("door", "normal")
	}
	left := func(want time.Duration) {
		t.Helper()
		if got, _ := r.m.Due(r.now); got != want {
			t.Errorf("%s are left, want %s", got, want)
		}
	}
	open(20 * time.Second)
	left(40 * time.Second)
	open(10 * time.Second) // back for the umbrella
	left(60 * time.Second)
	open(10 * time.Second)
	left(50 * time.Second)
	r.later(50 * time.Second)
	wantState(t, r, arming.StateArmedAway)
}

// The door that was open when somebody armed has let nobody back in when it opens a second time.
func TestDoorThatStoodOpenCountsAsTheWayOut(t *testing.T) {
	r := village(t)
	r.word("door", "active")
	r.do(arming.Arm{By: chief(), Partition: "house", Mode: arming.Away})
	r.word("door", "normal")
	r.pass(20 * time.Second)
	r.word("door", "active")
	if got, _ := r.m.Due(r.now); got != time.Minute {
		t.Errorf("%s are left, want the whole minute", got)
	}
}

// CP-01: a door that stands open when the exit delay ends begins the entry delay; nobody need be called if somebody comes back.
func TestExitError(t *testing.T) {
	for _, back := range []bool{true, false} {
		r := village(t)
		r.do(arming.Arm{By: chief(), Partition: "house", Mode: arming.Away})
		r.word("window", "active")
		wantRaised(t, r.later(time.Minute), "")
		wantState(t, r, arming.StateEntry)
		if back {
			r.do(disarm())
			wantRaised(t, r.later(time.Hour), "")
			continue
		}
		wantRaised(t, r.later(30*time.Second), "window", arming.CauseExitError)
	}
}

// Without an entry delay there is nothing to wait for.
func TestExitErrorWithoutEntryDelay(t *testing.T) {
	r := village(t)
	r.plan.Partitions[0].Entry = 0
	r.boot(nil)
	r.allNormal()
	r.later(time.Minute)
	r.do(arming.Arm{By: chief(), Partition: "house", Mode: arming.Away})
	r.word("hall", "active")
	wantRaised(t, r.later(time.Minute), "hall", arming.CauseExitError)
	r.word("hall", "normal")
	wantRaised(t, r.word("door", "active"), "door", "intrusion")
}

// The exit delay ends while a zone cannot be read: it ought to be normal, and is an alarm if it is not.
func TestExitDelayEndsOverARestart(t *testing.T) {
	r := village(t)
	r.do(arming.Arm{By: chief(), Partition: "house", Mode: arming.Away})
	r.word("window", "active")
	r.pass(time.Minute)
	wantRaised(t, r.restart(), "")
	wantState(t, r, arming.StateArmedAway)
	wantRaised(t, r.word("window", "active"), "window", arming.CauseOpenedWhileDown)
}

// Delays run on over restarts of the agent, and what is late is done at once and in order.
func TestDelaysRunOnOverRestarts(t *testing.T) {
	r := village(t)
	r.do(arming.Arm{By: chief(), Partition: "house", Mode: arming.Away})
	r.pass(59 * time.Second)
	r.restart()
	r.allNormal()
	wantState(t, r, arming.StateArming)
	r.pass(time.Second)
	r.word("door", "active") // before any tick: the delay is over, this is an opening
	wantState(t, r, arming.StateEntry)
	r.pass(time.Hour)
	wantRaised(t, r.restart(), "door", "intrusion")
	wantState(t, r, arming.StateAlarm)
}

// Somebody who disarms a moment too late has an alarm all the same: the delay ended first.
func TestDisarmedTooLate(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.word("door", "active")
	r.pass(30 * time.Second)
	effects := r.do(disarm())
	wantRaised(t, effects, "door", "intrusion")
	if o, _ := output(effects, "siren"); o.On {
		t.Error("and the siren sounds although it is disarmed")
	}
	wantState(t, r, arming.StateAlarmMemory)
}

// The edge of an alarm that has waited is the edge of the door, unless that clock is gone.
func TestWaitingAlarmKeepsItsEdge(t *testing.T) {
	for _, powerUp := range []bool{false, true} {
		r := village(t)
		r.do(armNow(arming.Away))
		r.word("door", "active")
		edge := r.edge * 1000
		if powerUp {
			r.powerUp()
			edge = 0
		} else {
			r.restart()
		}
		r.word("door", "normal")
		alarms := events(r.later(30*time.Second), event.KindAlarmRaised, "door")
		if len(alarms) == 0 || alarms[0].KernelNS != edge || text(alarms[0], event.TagState) != "active" || (alarms[0].BootID == 0) != powerUp {
			t.Errorf("power %v: %+v, want the edge at %d", powerUp, alarms, edge)
		}
	}
}

// After a power-up detectors are heard when they have settled; a button is heard at once.
func TestDetectorsSettle(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.powerUp()
	r.word("hall", "active") // a motion detector warming up
	r.word("hall", "normal")
	wantRaised(t, r.word("smoke", "active"), "")
	wantRaised(t, r.word("button", "active"), "button", arming.CauseOpenedWhileDown)
	r.pass(59 * time.Second)
	wantRaised(t, r.do(arming.Tick{}), "")
	wantRaised(t, r.later(time.Second), "", arming.CauseOpenedWhileDown) // smoke
}

// A restart of the agent while detectors settle does not shorten that.
func TestSettlingRunsOn(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	r.powerUp()
	r.pass(30 * time.Second)
	r.restart()
	wantRaised(t, r.word("window", "active"), "")
	wantRaised(t, r.later(30*time.Second), "window", arming.CauseOpenedWhileDown)
}

// Two detectors of a group confirm each other within the time, and not outside of it; a restart between them changes nothing.
func TestTwoOfAGroup(t *testing.T) {
	for name, tt := range map[string]struct {
		apart   time.Duration
		restart bool
		alarm   bool
	}{
		"together": {apart: 59 * time.Second, alarm: true}, "apart": {apart: 60 * time.Second},
		"over a restart": {apart: 59 * time.Second, restart: true, alarm: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, arming.Plan{
				Partitions: []arming.Partition{{ID: "house", Siren: time.Minute, Needed: 2, Within: time.Minute}},
				Zones: []arming.Zone{
					{ID: "a", Partition: "house", Kind: arming.Intrusion, Confirm: "g"}, {ID: "b", Partition: "house", Kind: arming.Intrusion, Confirm: "g"},
					{ID: "c", Partition: "house", Kind: arming.Intrusion, Confirm: "other"},
				},
				Users: users(),
			})
			r.allNormal()
			r.do(armNow(arming.Away))
			wantRaised(t, r.word("a", "active"), "")
			wantRaised(t, r.word("a", "normal"), "")
			wantRaised(t, r.word("a", "active"), "") // the same one twice is one
			wantRaised(t, r.word("c", "active"), "")
			r.pass(tt.apart)
			if tt.restart {
				r.restart()
			}
			effects := r.word("b", "active")
			if tt.alarm != (len(raised(effects, "b")) == 1) {
				t.Errorf("alarms %q", raised(effects, ""))
			}
		})
	}
}

// A siren that pulls down the supply at each start sounds no longer for it: since the box has power again, time has passed.
func TestASirenThatCutsItsOwnPowerEnds(t *testing.T) {
	r := village(t)
	r.word("smoke", "active")
	boots := 0
	for o, _ := output(r.powerUp(), "siren"); o.On && boots < 100; o, _ = output(r.powerUp(), "siren") {
		boots++
	}
	if want := int(3*time.Minute/(20*time.Second)) - 1; boots != want {
		t.Errorf("a siren of 3m sounds after %d starts of 20s each, want %d", boots, want)
	}
}
