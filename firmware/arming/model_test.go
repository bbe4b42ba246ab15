package arming_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

func modelPlan() arming.Plan {
	intrusion := func(id string, change func(*arming.Zone)) arming.Zone {
		z := arming.Zone{ID: id, Partition: "house", Kind: arming.Intrusion, Code: "BA"}
		if change != nil {
			change(&z)
		}
		return z
	}
	return arming.Plan{
		Partitions: []arming.Partition{
			{ID: "house", Exit: 60 * time.Second, Entry: 30 * time.Second, Settle: 60 * time.Second, Siren: 3 * time.Minute,
				Outputs: []string{"siren", "strobe"}, SilentKinds: []arming.Kind{arming.HoldUp}, Needed: 2, Within: time.Minute},
			{ID: "shed", Settle: 90 * time.Second, Siren: 10 * time.Minute, Outputs: []string{"siren"},
				ArmAt: "22:00", DisarmAt: "06:30", ArmMode: arming.Night, LateAfter: 15 * time.Minute},
			{ID: "well", Exit: 45 * time.Second}, // without siren
		},
		Zones: []arming.Zone{
			intrusion("door", func(z *arming.Zone) { z.Entry = true }),
			intrusion("hall", func(z *arming.Zone) { z.Follow = true }),
			intrusion("window", func(z *arming.Zone) { z.Swinger = 2 }),
			intrusion("pir-a", func(z *arming.Zone) { z.Confirm = "pir" }),
			intrusion("pir-b", func(z *arming.Zone) { z.Confirm, z.Swinger = "pir", 1 }),
			intrusion("loft", func(z *arming.Zone) { z.Modes = []arming.Mode{arming.Away} }),
			{ID: "smoke", Partition: "house", Kind: arming.Fire, Code: "FA"},
			{ID: "box", Partition: "house", Kind: arming.Tamper, Code: "TA"},
			{ID: "button", Partition: "house", Kind: arming.HoldUp, Code: "HA"},
			{ID: "gate", Partition: "shed", Kind: arming.Intrusion, Code: "BA", Entry: true},
			{ID: "drain", Partition: "shed", Kind: arming.Flood, Code: "WA", Swinger: 1},
			{ID: "lid", Partition: "well", Kind: arming.Intrusion, Code: "BA"},
			{ID: "gas", Partition: "well", Kind: arming.Gas, Code: "GA"},
		},
		Users: []arming.User{
			{ID: "chief", Arm: true, Disarm: true, Bypass: true, Engineer: true},
			{ID: "guest", Partitions: []string{"house"}, Arm: true, Disarm: true},
			{ID: "fitter", Partitions: []string{"shed", "house"}, Engineer: true},
		},
	}
}

// A million steps that a seed has drawn, restarts and power cuts among them, are judged alike by the machine and by the world.
func TestMachineAgainstTheWorld(t *testing.T) {
	steps := 1_000_000
	if testing.Short() {
		steps = 100_000
	}
	const seeds = 8
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, seed)
			d.fight(steps / seeds)
			d.mustHaveHeard(steps / seeds / 10_000)
		})
	}
}

// mustHaveHeard fails if something that can be said was hardly ever said: then the steps prove little.
func (d *duel) mustHaveHeard(least int) {
	d.t.Helper()
	for _, word := range strings.Fields("alarm over state bypass work refused duress drive late opened-while-down exit-error tamper fault intrusion hold-up fire flood gas" +
		" swinger hard soft entry arming armed_away armed_stay armed_night walk_test maintenance alarm_memory disarmed" +
		" wrong-code unknown-user no-right no-partition no-zone no-mode duration armed walk-test not-normal always-on alarm-stands schedule") {
		if d.heard[word] < least {
			d.t.Errorf("%q was said %d times, want %d at least", word, d.heard[word], least)
		}
	}
}

// duel is a machine and a world in the same hands.
type duel struct {
	*rig
	world *world
	dice  *rand.Rand
	play  []arming.Input // what comes next, before anything is drawn
	trace []string       // the last steps
	heard map[string]int
}

func newDuel(t *testing.T, seed uint64) *duel {
	plan := modelPlan()
	d := &duel{rig: &rig{t: t, plan: plan, now: arming.Instant{Wall: noon(), Up: time.Hour, Boot: 7}, once: map[string]bool{}}, world: newWorld(plan, noon()), dice: rand.New(rand.NewPCG(seed, 4)), heard: map[string]int{}}
	d.world.start(true)
	d.compare("first start", describe(d.boot(nil)), d.world.said)
	return d
}

func (d *duel) fight(steps int) {
	for range steps {
		d.elapse()
		switch n := d.dice.IntN(1000); {
		case n < 12:
			d.world.restart(false)
			d.world.start(false)
			d.compare("restart", describe(d.restart()), d.world.said)
		case n < 16:
			d.world.restart(true)
			d.world.start(false)
			d.compare("power-up", describe(d.powerUp()), d.world.said)
		default:
			in := d.next()
			wait, wanted := d.m.Due(d.now)
			effects, err := d.step(in)
			if _, tick := in.(arming.Tick); tick && len(effects) > 0 && (!wanted || wait > 0) {
				d.fail("a tick was wanted in %s, %v, and one now has done %v", wait, wanted, describe(effects))
			}
			said, refused := d.world.step(in)
			d.compare(fmt.Sprintf("%T%+v", in, in), describe(effects), said)
			got := ""
			if r := (*arming.Refusal)(nil); errors.As(err, &r) {
				got = fmt.Sprint(r.Reason, " ", r.Zones)
			}
			if got != refused {
				d.fail("refused %q, the world refuses %q", got, refused)
			}
		}
		if got, want := picture(d.m.View(), d.now.Wall), d.world.picture(); got != want {
			d.fail("the view is%s\nthe world's%s", got, want)
		}
	}
}

// elapse lets some time pass, mostly little.
func (d *duel) elapse() {
	seconds := d.dice.IntN(4)
	switch n := d.dice.IntN(150); {
	case n == 0:
		seconds = d.dice.IntN(6 * 3600)
	case n < 20:
		seconds = d.dice.IntN(300)
	}
	d.pass(time.Duration(seconds) * time.Second)
	d.world.now += time.Duration(seconds) * time.Second
	d.world.wall = d.now.Wall
}

// next is an input: what was begun goes on, now and then everybody goes home, and the rest is drawn.
func (d *duel) next() arming.Input {
	if len(d.play) == 0 && d.dice.IntN(40) == 0 {
		d.goHome([]string{"house", "house", "shed", "well"}[d.dice.IntN(4)])
	}
	if len(d.play) == 0 || d.dice.IntN(10) == 0 {
		return d.draw()
	}
	in := d.play[0]
	d.play = d.play[1:]
	return in
}

// goHome has a partition put in order, armed, and its door opened.
func (d *duel) goHome(partition string) {
	by := arming.Actor{User: "chief", Via: "card"}
	d.play = append(d.play, arming.Disarm{By: by, Partition: partition}, arming.WalkTest{By: by, Partition: partition, Off: true}, arming.Maintain{By: by, Off: true})
	for _, z := range d.plan.Zones {
		if z.Partition == partition {
			d.play = append(d.play, arming.Word{Zone: z.ID, State: "normal"}, arming.Maintain{By: by, Zone: z.ID, Off: true}, arming.Bypass{By: by, Zone: z.ID, Off: true, Hard: true})
		}
	}
	mode := []arming.Mode{arming.Away, arming.Night, arming.Stay}[d.dice.IntN(3)]
	d.play = append(d.play, arming.Clear{By: by, Partition: partition}, arming.Arm{By: by, Partition: partition, Mode: mode, Now: d.dice.IntN(3) > 0})
	for range d.dice.IntN(5) {
		d.play = append(d.play, arming.Word{Zone: "door", State: "active"}, arming.Word{Zone: "door", State: "normal"})
	}
	for range 6 {
		d.play = append(d.play, d.drawWord(d.plan.Zones[d.dice.IntN(len(d.plan.Zones))].ID))
	}
	d.play = append(d.play, arming.Word{Zone: "door", State: "active"}, arming.Word{Zone: "hall", State: "active"})
}

// draw is some input; villagers and burglars do much of what makes sense, and some that does not.
func (d *duel) draw() arming.Input {
	pick := func(of ...string) string { return of[d.dice.IntN(len(of))] }
	partition := pick("house", "house", "house", "shed", "shed", "well", "barn")
	if partition == "barn" && d.dice.IntN(10) > 0 {
		partition = "house"
	}
	zone := d.plan.Zones[d.dice.IntN(len(d.plan.Zones))].ID
	by := arming.Actor{User: pick("chief", "chief", "chief", "guest", "fitter"), Via: "code", Duress: d.dice.IntN(20) == 0}
	switch d.dice.IntN(40) {
	case 0:
		by = arming.Actor{Via: "code", Why: "wrong-code"}
	case 1:
		by = arming.Actor{Via: "card", User: "stranger"}
	case 2:
		by = arming.Actor{Via: arming.ViaCentre, User: "wang"}
	}
	off := d.dice.IntN(3) == 0
	span := []time.Duration{0, time.Second, time.Second, time.Minute, time.Minute, 10 * time.Minute, 2 * time.Hour, 3 * time.Hour}[d.dice.IntN(8)]
	switch n := d.dice.IntN(100); {
	case n < 55:
		return d.drawWord(zone)
	case n < 65:
		return arming.Tick{}
	case n < 78:
		in := arming.Arm{By: by, Partition: partition, Mode: arming.Mode(pick("away", "away", "stay", "night")), Now: d.dice.IntN(2) == 0}
		if d.dice.IntN(50) == 0 {
			in.Mode = "holiday"
		}
		if d.dice.IntN(2) == 0 {
			in.Force = d.unready(partition)
		}
		if d.dice.IntN(8) == 0 {
			in.Force = append(in.Force, zone)
		}
		return in
	case n < 86:
		return arming.Disarm{By: by, Partition: partition}
	case n < 89:
		return arming.Clear{By: by, Partition: partition}
	case n < 94:
		return arming.Bypass{By: by, Zone: zone, Off: off, Hard: d.dice.IntN(3) == 0, For: span}
	case n < 97:
		if d.dice.IntN(3) == 0 {
			zone = ""
		} else if d.dice.IntN(30) == 0 {
			zone = "nowhere"
		}
		return arming.Maintain{By: by, Zone: zone, For: span, Off: off || zone == "" && d.dice.IntN(2) == 0, Reason: "service"}
	}
	return arming.WalkTest{By: by, Partition: partition, Off: off}
}

// unready are the zones that somebody would force.
func (d *duel) unready(partition string) []string {
	var ids []string
	for _, z := range d.m.View().Zones {
		if z.Partition == partition && z.State != "normal" {
			ids = append(ids, z.ID)
		}
	}
	return ids
}

func (d *duel) drawWord(zone string) arming.Word {
	states := []string{"normal", "normal", "normal", "normal", "normal", "active", "active", "active", "unknown", "short", "open", "masked", "fault", "missing"}
	d.edge++
	return arming.Word{Zone: zone, State: states[d.dice.IntN(len(states))], KernelNS: d.edge, LineSeq: uint64(d.edge), Reason: "drawn"}
}

func (d *duel) compare(step string, got, want []string) {
	d.t.Helper()
	d.trace = append(d.trace, step)
	if len(d.trace) > 40 {
		d.trace = d.trace[1:]
	}
	for _, line := range want {
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" :[]\"", r) }) {
			d.heard[word]++
		}
	}
	sort.Strings(got)
	if !slices.Equal(got, want) {
		d.fail("the machine says\n  %s\nthe world says\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (d *duel) fail(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("after\n%s\n"+format, append([]any{strings.Join(d.trace, "\n")}, args...)...)
}

// describe is what effects say, in the words of the world.
func describe(effects []arming.Effect) []string {
	said := make([]string, 0, len(effects))
	for _, e := range effects {
		if o := e.Output; o != nil {
			said = append(said, fmt.Sprintf("drive %s for %s", o.ID, o.For))
			if o.On != (o.For > 0) {
				said = append(said, "an output is on for no time, or off for some")
			}
			continue
		}
		said = append(said, describeEvent(*e.Event))
	}
	return said
}

func describeEvent(d event.Draft) string {
	partition, reason, who := text(d, event.TagPartition), text(d, event.TagReason), text(d, event.TagWho)
	state := text(d, event.TagState)
	switch d.Kind {
	case event.KindAlarmRaised:
		if d.Qualifier == event.QualifierRestore {
			return fmt.Sprintf("over %s %s %s", partition, d.Zone, reason)
		}
		return fmt.Sprintf("alarm %s %s %s %s %s mode %q edge %d", partition, d.Zone, reason, state, text(d, event.TagCode), text(d, event.TagMode), d.KernelNS)
	case event.KindPartitionChanged:
		if reason == "late-to-close" {
			return "late " + partition
		}
		return fmt.Sprintf("state %s %s after %s, out %v", partition, state, text(d, event.TagPrevious), texts(d, event.TagZone))
	case event.KindZoneBypassed:
		return fmt.Sprintf("bypass %s %s %d by %q", d.Zone, state, d.Qualifier, who)
	case event.KindMaintenance:
		zone := d.Zone
		if zone == "" {
			zone = "station"
		}
		return fmt.Sprintf("work %s %s %d", zone, map[string]string{"bypass": "hard", "test": "test"}[state], d.Qualifier)
	case event.KindArmingRefused:
		return fmt.Sprintf("refused %s %s by %q: %s %v", partition, text(d, event.TagAction), who, reason, texts(d, event.TagZone))
	case event.KindDuress:
		return fmt.Sprintf("duress %s by %q", partition, who)
	}
	return fmt.Sprintf("%+v", d)
}

// picture is what a view shows, in the words of the world.
func picture(v arming.View, now time.Time) string {
	var b strings.Builder
	for _, p := range v.Partitions {
		b.WriteString("\n" + p.ID + " " + string(p.Mode))
		for _, z := range v.Zones {
			if z.Partition != p.ID {
				continue
			}
			b.WriteString(" " + z.ID + "=" + z.State + z.LeftOut)
			if slices.Contains(p.Walked, z.ID) {
				b.WriteByte('!')
			}
		}
		for _, a := range p.Memory {
			b.WriteString(" " + a.Zone + " " + a.Reason + "×" + strconv.FormatUint(a.Count, 10))
		}
		b.WriteString(" " + string(p.State))
		if !p.Until.IsZero() {
			b.WriteString(" " + p.Until.Sub(now).String())
		}
	}
	return b.String()
}
