package arming_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// rig is a machine with a clock of its own, stepped as the station steps it.
type rig struct {
	t    testing.TB
	plan arming.Plan
	m    *arming.Machine
	now  arming.Instant
	once map[string]bool
	edge int64
}

// noon is a winter's day in the village.
func noon() time.Time {
	return time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("CST", 8*3600))
}

func newRig(t testing.TB, plan arming.Plan) *rig {
	t.Helper()
	r := &rig{t: t, plan: plan, now: arming.Instant{Wall: noon(), Up: time.Hour, Boot: 7}, once: map[string]bool{}}
	r.boot(nil)
	return r
}

// boot begins a run with what the run before has left.
func (r *rig) boot(journal []byte) []arming.Effect {
	r.t.Helper()
	m, err := arming.New(r.plan)
	if err == nil {
		err = m.Restore(journal, r.now)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.m = m
	return r.do(arming.Started{})
}

// restart is the end of one run and the beginning of the next, in the same life of the kernel.
func (r *rig) restart() []arming.Effect { return r.boot(slices.Clone(r.m.Journal())) }

// powerUp is a restart of the box: its clock of Up begins anew.
func (r *rig) powerUp() []arming.Effect {
	r.now.Boot++
	r.now.Up = 20 * time.Second
	return r.restart()
}

// do takes a step that must not be refused.
func (r *rig) do(in arming.Input) []arming.Effect {
	r.t.Helper()
	effects, err := r.step(in)
	if err != nil {
		r.t.Fatalf("%T %+v: %v", in, in, err)
	}
	return effects
}

// step takes a step and holds its effects against what every step promises.
func (r *rig) step(in arming.Input) ([]arming.Effect, error) {
	r.t.Helper()
	effects, err := r.m.Step(in, r.now)
	var refused *arming.Refusal
	if err != nil && !errors.As(err, &refused) {
		r.t.Fatalf("%T %+v: %v", in, in, err)
	}
	for i, e := range effects {
		if (e.Event == nil) == (e.Output == nil) {
			r.t.Fatalf("effect %d is not one thing: %+v", i, e)
		}
		if e.Event == nil {
			continue
		}
		if e.Event.Once == "" || r.once[e.Event.Once] {
			r.t.Fatalf("key %q of %s is none, or not its own", e.Event.Once, e.Event.Kind)
		}
		r.once[e.Event.Once] = true
		if _, err := event.AppendRecord(nil, e.Event.Event("s", event.Epoch{1}, 1)); err != nil {
			r.t.Fatalf("no log would take it: %v", err)
		}
	}
	return effects, err
}

// word says how a zone stands, with an edge of its own.
func (r *rig) word(zone, state string) []arming.Effect {
	r.t.Helper()
	r.edge++
	return r.do(arming.Word{Zone: zone, State: state, KernelNS: r.edge * 1000, LineSeq: uint64(r.edge)})
}

// later lets time pass and ticks.
func (r *rig) later(d time.Duration) []arming.Effect {
	r.t.Helper()
	r.pass(d)
	return r.do(arming.Tick{})
}

func (r *rig) pass(d time.Duration) { r.now.Up, r.now.Wall = r.now.Up+d, r.now.Wall.Add(d) }

func (r *rig) state() arming.State { return r.m.View().Partitions[0].State }

func (r *rig) zone(id string) arming.ZoneView {
	for _, z := range r.m.View().Zones {
		if z.ID == id {
			return z
		}
	}
	r.t.Fatalf("no zone %s in the view", id)
	return arming.ZoneView{}
}

// waits says that a zone waits with the entry delay, as the journal has it.
func (r *rig) waits(zone string) bool {
	var j struct {
		Partitions map[string]struct{ Waiting []struct{ Zone string } }
	}
	if err := json.Unmarshal(r.m.Journal(), &j); err != nil {
		r.t.Fatal(err)
	}
	for _, p := range j.Partitions {
		for _, w := range p.Waiting {
			if w.Zone == zone {
				return true
			}
		}
	}
	return false
}

func chief() arming.Actor { return arming.Actor{User: "chief", Via: "code"} }

func users() []arming.User {
	return []arming.User{{ID: "chief", Arm: true, Disarm: true, Bypass: true, Engineer: true}}
}

func armNow(mode arming.Mode, force ...string) arming.Arm {
	return arming.Arm{By: chief(), Partition: "house", Mode: mode, Now: true, Force: force}
}

func disarm() arming.Disarm { return arming.Disarm{By: chief(), Partition: "house"} }

// events are those of one kind, told of one zone; "" = of any.
func events(effects []arming.Effect, kind event.Kind, zone string) []event.Draft {
	var found []event.Draft
	for _, e := range effects {
		if e.Event != nil && e.Event.Kind == kind && (zone == "" || e.Event.Zone == zone) {
			found = append(found, *e.Event)
		}
	}
	return found
}

func text(d event.Draft, t event.Tag) string { s, _ := d.Body.Text(t); return s }

func texts(d event.Draft, t event.Tag) []string {
	var all []string
	for _, f := range d.Body {
		if f.Tag == t {
			s, _ := event.Body{f}.Text(t)
			all = append(all, s)
		}
	}
	return all
}

// raised are the causes of the alarms that a step raises of a zone.
func raised(effects []arming.Effect, zone string) []string {
	var causes []string
	for _, d := range events(effects, event.KindAlarmRaised, zone) {
		if d.Qualifier == event.QualifierNew {
			causes = append(causes, text(d, event.TagReason))
		}
	}
	return causes
}

// output is the last thing that a step asks of an output; false: nothing.
func output(effects []arming.Effect, id string) (arming.Output, bool) {
	for _, e := range slices.Backward(effects) {
		if e.Output != nil && e.Output.ID == id {
			return *e.Output, true
		}
	}
	return arming.Output{}, false
}
