package arming_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// Two houses live the same day, and in one of them each code says that somebody stands behind. Whoever stands there sees, finds in the
// journal and reads in every other event exactly the same.
func TestDuressLeavesNoTrace(t *testing.T) {
	free, forced := village(t), village(t)
	both := func(name string, wish func(arming.Actor) arming.Input) {
		t.Helper()
		by := arming.Actor{User: "guest", Via: "code"}
		want, freely := free.step(wish(by))
		by.Duress = true
		got, forcedly := forced.step(wish(by))
		if n := len(got) - 1; n < 0 || got[n].Event == nil || got[n].Event.Kind != event.KindDuress {
			t.Fatalf("%s: the last effect is no duress: %+v", name, got)
		}
		d := got[len(got)-1].Event
		if d.Severity != event.SeverityAlarm || !d.Kind.Silent() || text(*d, event.TagWho) != "guest" || text(*d, event.TagCode) != "HA" || d.Zone != "" {
			t.Errorf("%s: %+v", name, *d)
		}
		sameWorld(t, name, free, forced, want, append([]arming.Effect(nil), got[:len(got)-1]...), freely, forcedly)
	}
	common := func(name string, do func(*rig) []arming.Effect) {
		t.Helper()
		want, got := do(free), do(forced)
		sameWorld(t, name, free, forced, want, got, nil, nil)
	}
	in := func(i arming.Input) func(arming.Actor) arming.Input {
		return func(by arming.Actor) arming.Input {
			switch i := i.(type) {
			case arming.Arm:
				i.By = by
				return i
			case arming.Disarm:
				i.By = by
				return i
			case arming.Clear:
				i.By = by
				return i
			case arming.Bypass:
				i.By = by
				return i
			case arming.WalkTest:
				i.By = by
				return i
			case arming.Maintain:
				i.By = by
				return i
			}
			return nil
		}
	}
	both("disarm what is disarmed", in(arming.Disarm{Partition: "house"}))
	both("arm", in(arming.Arm{Partition: "house", Mode: arming.Away, Now: true}))
	both("arm again", in(arming.Arm{Partition: "house", Mode: arming.Away}))
	common("the door opens", func(r *rig) []arming.Effect { return r.word("door", "active") })
	both("disarm", in(arming.Disarm{Partition: "house"}))
	common("smoke", func(r *rig) []arming.Effect { return r.word("smoke", "active") })
	both("silence", in(arming.Disarm{Partition: "house"}))
	common("restart", (*rig).restart)
	common("smoke still", func(r *rig) []arming.Effect { return r.word("smoke", "active") })
	both("clear in vain", in(arming.Clear{Partition: "house"}))
	both("no right", in(arming.Bypass{Zone: "window"}))
	both("no right to test", in(arming.Maintain{}))
	both("no right to walk", in(arming.WalkTest{Partition: "house"}))
	both("no such partition", in(arming.Disarm{Partition: "barn"}))
	both("no such zone", in(arming.Bypass{Zone: "barn"}))
	common("power", (*rig).powerUp)
	common("later", func(r *rig) []arming.Effect { return r.later(time.Hour) })
}

func sameWorld(t *testing.T, name string, free, forced *rig, want, got []arming.Effect, freely, forcedly error) {
	t.Helper()
	strings := cmp.Transformer("Body", func(b event.Body) string { return fmt.Sprint(b) })
	if diff := cmp.Diff(want, got, strings); diff != "" {
		t.Errorf("%s: other effects differ\n%s", name, diff)
	}
	var a, b *arming.Refusal
	errors.As(freely, &a)
	errors.As(forcedly, &b)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("%s: refusals differ\n%s", name, diff)
	}
	if diff := cmp.Diff(free.m.View(), forced.m.View()); diff != "" {
		t.Errorf("%s: the screens differ\n%s", name, diff)
	}
	if !bytes.Equal(free.m.Journal(), forced.m.Journal()) {
		t.Errorf("%s: the journals differ\n%s\n%s", name, free.m.Journal(), forced.m.Journal())
	}
	w1, ok1 := free.m.Due(free.now)
	w2, ok2 := forced.m.Due(forced.now)
	if w1 != w2 || ok1 != ok2 {
		t.Errorf("%s: ticks are wanted in %s and %s", name, w1, w2)
	}
}
