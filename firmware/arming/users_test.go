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

// Who may do what, where: rights × wishes, in the house of the user and in another.
func TestRights(t *testing.T) {
	plan := arming.Plan{
		Partitions: []arming.Partition{{ID: "house"}, {ID: "shed"}},
		Zones:      []arming.Zone{{ID: "x", Partition: "house", Kind: arming.Intrusion}, {ID: "y", Partition: "shed", Kind: arming.Intrusion}},
		Users: []arming.User{
			{ID: "arm", Arm: true, Partitions: []string{"house"}}, {ID: "disarm", Disarm: true, Partitions: []string{"house"}},
			{ID: "bypass", Bypass: true, Partitions: []string{"house"}}, {ID: "engineer", Engineer: true, Partitions: []string{"house"}},
			{ID: "forcer", Arm: true, Bypass: true, Partitions: []string{"house"}}, {ID: "all-engineer", Engineer: true},
		},
	}
	wishes := map[string]func(by arming.Actor, partition, zone string) arming.Input{
		"arm": func(by arming.Actor, p, _ string) arming.Input {
			return arming.Arm{By: by, Partition: p, Mode: arming.Away}
		},
		"force": func(by arming.Actor, p, z string) arming.Input {
			return arming.Arm{By: by, Partition: p, Mode: arming.Away, Force: []string{z}}
		},
		"disarm": func(by arming.Actor, p, _ string) arming.Input { return arming.Disarm{By: by, Partition: p} },
		"clear":  func(by arming.Actor, p, _ string) arming.Input { return arming.Clear{By: by, Partition: p} },
		"soft":   func(by arming.Actor, _, z string) arming.Input { return arming.Bypass{By: by, Zone: z} },
		"hard": func(by arming.Actor, _, z string) arming.Input {
			return arming.Bypass{By: by, Zone: z, Hard: true, For: time.Hour}
		},
		"test": func(by arming.Actor, _, z string) arming.Input {
			return arming.Maintain{By: by, Zone: z, For: time.Hour}
		},
		"station": func(by arming.Actor, _, _ string) arming.Input { return arming.Maintain{By: by, For: time.Hour} },
		"walk":    func(by arming.Actor, p, _ string) arming.Input { return arming.WalkTest{By: by, Partition: p} },
	}
	may := map[string]string{ // who may what at home; of the others nobody may anything abroad
		"arm": "arm", "forcer": "arm force soft", "disarm": "disarm clear", "bypass": "soft", "engineer": "hard test walk",
		"all-engineer": "hard test walk station",
	}
	for user, allowed := range may {
		for name, wish := range wishes {
			for _, home := range []bool{true, false} {
				r := newRig(t, plan)
				r.allNormal()
				partition, zone := "house", "x"
				if !home {
					partition, zone = "shed", "y"
				}
				_, err := r.step(wish(arming.Actor{User: user, Via: "code"}, partition, zone))
				var refused *arming.Refusal
				want := slices.Contains(strings.Fields(allowed), name) && (home || user == "all-engineer")
				if errors.As(err, &refused); (refused == nil) != want || refused != nil && refused.Reason != arming.RefusedRight {
					t.Errorf("%s wishes %s (at home %v): %v", user, name, home, err)
				}
			}
		}
	}
}

// Nobody who is not known does anything; the refusal says what was tried, and a stranger at the keypad is a warning.
func TestStrangers(t *testing.T) {
	for _, tt := range []struct {
		by       arming.Actor
		reason   string
		severity event.Severity
	}{
		{arming.Actor{Via: "code", Why: "wrong code"}, "wrong code", event.SeverityWarning},
		{arming.Actor{Via: "code"}, arming.RefusedNobody, event.SeverityWarning},
		{arming.Actor{Via: arming.ViaCentre}, arming.RefusedNobody, event.SeverityWarning},
		{arming.Actor{Via: arming.ViaSchedule}, arming.RefusedNobody, event.SeverityWarning},
		{arming.Actor{User: "gone", Via: "card"}, arming.RefusedNobody, event.SeverityNotice},
	} {
		r := village(t)
		r.do(armNow(arming.Away))
		effects, err := r.step(arming.Disarm{By: tt.by, Partition: "house"})
		var refused *arming.Refusal
		told := events(effects, event.KindArmingRefused, "")
		if !errors.As(err, &refused) || refused.Reason != tt.reason || len(told) != 1 || told[0].Severity != tt.severity || text(told[0], event.TagReason) != tt.reason ||
			text(told[0], event.TagAction) != "disarm" || text(told[0], event.TagPartition) != "house" {
			t.Errorf("%+v: %v, told %+v", tt.by, err, told)
		}
		wantState(t, r, arming.StateArmedAway)
	}
	if s := (&arming.Refusal{Reason: "not-normal", Zones: []string{"a", "b"}}).Error(); s != "refused: not-normal: a, b" {
		t.Error(s)
	}
	if s := (&arming.Refusal{Reason: "armed"}).Error(); s != "refused: armed" {
		t.Error(s)
	}
}

// A wish that makes no sense is refused by what is wrong with it.
func TestWishesThatMakeNoSense(t *testing.T) {
	for name, tt := range map[string]struct {
		in     arming.Input
		reason string
	}{
		"partition": {arming.Disarm{By: chief(), Partition: "barn"}, arming.RefusedPartition},
		"zone":      {arming.Maintain{By: chief(), Zone: "barn", For: time.Hour}, arming.RefusedZone},
		"bypass":    {arming.Bypass{By: chief(), Zone: "barn"}, arming.RefusedZone},
		"forced":    {armNow(arming.Away, "barn"), arming.RefusedZone},
		"mode":      {armNow("holiday"), arming.RefusedMode},
		"too long":  {arming.Maintain{By: chief(), For: 2*time.Hour + 1}, arming.RefusedDuration},
		"no time":   {arming.Bypass{By: chief(), Zone: "door", Hard: true}, arming.RefusedDuration},
		"always on": {arming.Bypass{By: chief(), Zone: "smoke"}, arming.RefusedAlwaysOn},
	} {
		r := village(t)
		_, err := r.step(tt.in)
		var refused *arming.Refusal
		if !errors.As(err, &refused) || refused.Reason != tt.reason {
			t.Errorf("%s: %v, want %s", name, err, tt.reason)
		}
	}
}
