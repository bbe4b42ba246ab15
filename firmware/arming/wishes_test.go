package arming_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

func wishes() []string {
	return strings.Fields("arm arm-now disarm clear soft hard walk walk-off test-zone test-station at-22 at-0630 later")
}

// Every wish in every state has the outcome of the table, and so it has just after a restart.
func TestTableOfWishes(t *testing.T) {
	cells := readTable(t, "wishes.txt")
	states := append(tableStates(), "maintenance-station")
	for _, state := range states {
		for _, wish := range wishes() {
			c := cell{"-", "-", state, wish}
			if cells[c] == "" {
				t.Errorf("%v is missing", c)
			}
			for _, restart := range []bool{false, true} {
				if got := outcome(t, state, wish, restart); got != cells[c] {
					t.Errorf("partition %s, wish %s, restart %v: %s, want %s", state, wish, restart, got, cells[c])
				}
			}
		}
	}
	if n := len(states) * len(wishes()); len(cells) != n {
		t.Errorf("%d cells, want %d", len(cells), n)
	}
}

// outcome brings a partition to a state and wishes something.
func outcome(t *testing.T, state, wish string, restart bool) string {
	t.Helper()
	c := cell{zone: "intrusion", state: state, from: "normal"}
	if state == "maintenance-station" {
		c = cell{zone: "station-intrusion", state: "maintenance", from: "normal"}
	}
	r := rigFor(t, c)
	r.plan.Partitions[0].ArmAt, r.plan.Partitions[0].DisarmAt, r.plan.Partitions[0].ArmMode = "22:00", "06:30", arming.Away
	r.boot(nil)
	r.bring(c)
	if restart {
		levels := r.m.View().Zones
		r.restart()
		for _, z := range levels {
			r.word(z.ID, z.State)
		}
	}
	before := r.state()
	effects, err := r.step(r.wish(wish))
	var refused *arming.Refusal
	told := events(effects, event.KindArmingRefused, "")
	switch {
	case errors.As(err, &refused) || len(told) == 1:
		if reason := text(told[0], event.TagReason); r.state() != before || refused != nil && refused.Reason != reason {
			return "refused " + reason + ", but " + string(r.state())
		}
		return "!" + text(told[0], event.TagReason)
	case r.state() == before:
		return "="
	}
	return string(r.state())
}

// wish is the input of a column.
func (r *rig) wish(name string) arming.Input {
	switch name {
	case "arm":
		return arming.Arm{By: chief(), Partition: "house", Mode: arming.Away}
	case "arm-now":
		return armNow(arming.Away)
	case "disarm":
		return disarm()
	case "clear":
		return arming.Clear{By: chief(), Partition: "house"}
	case "soft":
		return arming.Bypass{By: chief(), Zone: "x"}
	case "hard":
		return arming.Bypass{By: chief(), Zone: "x", Hard: true, For: time.Hour}
	case "walk", "walk-off":
		return arming.WalkTest{By: chief(), Partition: "house", Off: name == "walk-off"}
	case "test-zone":
		return arming.Maintain{By: chief(), Zone: "x", For: time.Hour}
	case "test-station":
		return arming.Maintain{By: chief(), For: time.Hour}
	case "at-22":
		r.now.Wall = time.Date(2026, 11, 22, 22, 0, 0, 0, r.now.Wall.Location())
	case "at-0630":
		r.now.Wall = time.Date(2026, 11, 23, 6, 30, 0, 0, r.now.Wall.Location())
	case "later":
		r.pass(3 * time.Hour)
	}
	return arming.Tick{}
}

// Whether a zone is in the way of arming is the table's to say.
func TestTableOfArming(t *testing.T) {
	cells := readTable(t, "arming.txt")
	zones := slices.DeleteFunc(tableZones(), func(z string) bool { return strings.HasPrefix(z, "station-") || strings.HasPrefix(z, "swinger-") })
	ways := []string{"delay", "now", "forced"}
	for _, zone := range zones {
		for _, way := range ways {
			for _, word := range tableWords() {
				c := cell{zone, way, "arms", word}
				if cells[c] == "" {
					t.Errorf("%v is missing", c)
				} else if got := arms(t, c); got != cells[c] {
					t.Errorf("%s zone that is %s, armed %s: %s, want %s", zone, word, way, got, cells[c])
				}
			}
		}
	}
	if n := len(zones) * len(ways) * len(tableWords()); len(cells) != n {
		t.Errorf("%d cells, want %d", len(cells), n)
	}
}

func arms(t *testing.T, c cell) string {
	t.Helper()
	at := cell{zone: c.zone, state: "disarmed", from: c.word}
	r := rigFor(t, at)
	r.bring(at)
	in := arming.Arm{By: chief(), Partition: "house", Mode: arming.Away, Now: c.state != "delay"}
	if c.state == "forced" {
		in.Force = []string{"x"}
	}
	r.do(disarm()) // the siren of an always-on zone; it stands all the same
	before := r.zone("x").LeftOut
	effects, err := r.step(in)
	var refused *arming.Refusal
	if errors.As(err, &refused) {
		if told := events(effects, event.KindArmingRefused, ""); refused.Reason != arming.RefusedNotNormal || !slices.Equal(refused.Zones, []string{"x"}) ||
			len(told) != 1 || !slices.Equal(texts(told[0], event.TagZone), []string{"x"}) {
			return refused.Error()
		}
		return "no"
	}
	named := slices.Contains(texts(events(effects, event.KindPartitionChanged, "")[0], event.TagZone), "x")
	bypassed := len(events(effects, event.KindZoneBypassed, "x")) == 1
	after := r.zone("x")
	switch {
	case named != (after.LeftOut != "") || bypassed != (after.LeftOut != before):
		return "left out, and not told"
	case named:
		return "out"
	case c.word != "normal" && in.Force != nil:
		return "in"
	}
	return "yes"
}
