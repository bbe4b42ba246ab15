package arming_test

import (
	"strings"
	"testing"
	"time"

	"watchpost/firmware/arming"
)

// A plan is refused by everything that is wrong with it.
func TestPlansThatAreRefused(t *testing.T) {
	house := arming.Partition{ID: "house"}
	for says, change := range map[string]func(*arming.Plan){
		`partition ""`:                             func(p *arming.Plan) { p.Partitions = append(p.Partitions, arming.Partition{}) },
		`partition "house": a name of its own`:     func(p *arming.Plan) { p.Partitions = append(p.Partitions, house) },
		`partition "long`:                          func(p *arming.Plan) { p.Partitions[0].ID = "long" + strings.Repeat("x", 96) },
		`exit of -1s`:                              func(p *arming.Plan) { p.Partitions[0].Exit = -time.Second },
		`siren of 2h0m0s: 0 to 1h0m0s`:             func(p *arming.Plan) { p.Partitions[0].Siren = 2 * time.Hour },
		`"25:00" is no time of the day`:            func(p *arming.Plan) { p.Partitions[0].DisarmAt = "25:00" },
		`arms by itself in mode ""`:                func(p *arming.Plan) { p.Partitions[0].ArmAt = "22:00" },
		`silent kind "ghost"`:                      func(p *arming.Plan) { p.Partitions[0].SilentKinds = []arming.Kind{"ghost"} },
		`zone "x": a name of its own`:              func(p *arming.Plan) { p.Zones = append(p.Zones, p.Zones[0]) },
		`partition "barn" is not in the plan`:      func(p *arming.Plan) { p.Zones[0].Partition = "barn" },
		`kind "ghost" is not known`:                func(p *arming.Plan) { p.Zones[0].Kind = "ghost" },
		`zone x: mode "holiday"`:                   func(p *arming.Plan) { p.Zones[0].Modes = []arming.Mode{"holiday"} },
		`a fire zone is always on`:                 func(p *arming.Plan) { p.Zones[0].Kind, p.Zones[0].Entry = arming.Fire, true },
		`an entry zone begins the delay by itself`: func(p *arming.Plan) { p.Zones[0].Entry, p.Zones[0].Follow = true, true },
		`confirm g wants at least 2 zones`:         func(p *arming.Plan) { p.Zones[0].Confirm = "g" },
		`swinger 7: 0 to 6`:                        func(p *arming.Plan) { p.Zones[0].Swinger = 7 },
		`user "": a name`:                          func(p *arming.Plan) { p.Users[0].ID = "" },
		`user chief: partition "barn"`:             func(p *arming.Plan) { p.Users[0].Partitions = []string{"barn"} },
	} {
		p := arming.Plan{Partitions: []arming.Partition{house}, Zones: []arming.Zone{{ID: "x", Partition: "house", Kind: arming.Intrusion}}, Users: users()}
		if _, err := arming.New(p); err != nil {
			t.Fatal(err)
		}
		change(&p)
		if _, err := arming.New(p); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
}

// What only a mistake of the caller can bring is an error, and changes nothing.
func TestMistakesOfTheCaller(t *testing.T) {
	r := village(t)
	before := string(r.m.Journal())
	back, other := r.now, r.now
	back.Up--
	other.Boot++
	for name, tt := range map[string]struct {
		in  arming.Input
		now arming.Instant
	}{
		"started twice": {arming.Started{}, r.now}, "no such zone": {arming.Word{Zone: "barn", State: "normal"}, r.now},
		"no such state": {arming.Word{Zone: "door", State: "ajar"}, r.now}, "time goes back": {arming.Tick{}, back}, "another boot": {arming.Tick{}, other},
	} {
		if effects, err := r.m.Step(tt.in, tt.now); err == nil || effects != nil {
			t.Errorf("%s: %v, %v", name, effects, err)
		}
	}
	if string(r.m.Journal()) != before {
		t.Error("the journal has changed")
	}
	m, err := arming.New(r.plan)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Step(arming.Tick{}, r.now); err == nil {
		t.Error("a machine that has not started took a step")
	}
}

// An event names no more zones than it has room for, and counts the others.
func TestManyZones(t *testing.T) {
	r, _ := large(t)
	for _, z := range r.plan.Zones {
		r.word(z.ID, "fault")
	}
	effects, err := r.step(armNow(arming.Away))
	if err == nil || len(effects) != 1 {
		t.Fatalf("%v, %d effects", err, len(effects))
	}
	r.do(arming.WalkTest{By: chief(), Partition: "house"})
	r.do(arming.WalkTest{By: chief(), Partition: "house", Off: true})
}

// Texts from outside may be as long as they like, and no UTF-8: the log takes what is told of them (step sees to that).
func TestLongTexts(t *testing.T) {
	long := strings.Repeat("\xff很长", 1<<14)
	r := village(t)
	r.do(arming.Maintain{By: arming.Actor{User: "chief", Via: long}, For: time.Hour, Reason: long})
	r.do(arming.Word{Zone: "smoke", State: "active", Reason: long})
	r.do(disarm())
	r.do(arming.Maintain{By: chief(), Off: true})
	for _, in := range []arming.Input{
		arming.Disarm{By: arming.Actor{User: long, Via: long}, Partition: "house"}, arming.Disarm{By: arming.Actor{Why: long}, Partition: "house"},
		arming.Disarm{By: chief(), Partition: long}, arming.Bypass{By: chief(), Zone: long}, armNow(arming.Away, long, long),
	} {
		if _, err := r.step(in); err == nil {
			t.Errorf("%T was done", in)
		}
	}
}

// large is a station with as many zones as one has: 64 of its own and 256 of panels.
func large(t testing.TB) (*rig, []string) {
	plan := arming.Plan{Partitions: []arming.Partition{{ID: "house", Entry: time.Minute, Siren: time.Minute, Outputs: []string{"siren"}}}, Users: users()}
	var ids []string
	for i := range 320 {
		id := "zone-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		ids = append(ids, id)
		plan.Zones = append(plan.Zones, arming.Zone{ID: id, Partition: "house", Kind: arming.Intrusion, Code: "BA"})
	}
	r := newRig(t, plan)
	r.allNormal()
	return r, ids
}

func benchmarkStep(b *testing.B, armed, journal bool, states ...string) {
	r, ids := large(b)
	if armed {
		r.do(armNow(arming.Away))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		now := r.now
		now.Up += time.Duration(i) * time.Millisecond
		if _, err := r.m.Step(arming.Word{Zone: ids[i%len(ids)], State: states[i/len(ids)%len(states)], KernelNS: int64(i), LineSeq: 1}, now); err != nil {
			b.Fatal(err)
		}
		if journal {
			r.m.Journal()
		}
		i++
	}
}

// A zone of a disarmed house opens and closes.
func BenchmarkStepDisarmed(b *testing.B) { benchmarkStep(b, false, true, "active", "normal") }

// A zone of an armed house says what it said before.
func BenchmarkStepArmedQuiet(b *testing.B) { benchmarkStep(b, true, false, "normal") }

// A zone of an armed house raises an alarm, and ends it.
func BenchmarkStepArmedAlarm(b *testing.B) { benchmarkStep(b, true, false, "active", "normal") }

// An alarm, and the journal that must be on disk before it acts.
func BenchmarkStepAndJournal(b *testing.B) { benchmarkStep(b, true, true, "active", "normal") }

func BenchmarkView(b *testing.B) {
	r, _ := large(b)
	b.ReportAllocs()
	for b.Loop() {
		r.m.View()
	}
}
