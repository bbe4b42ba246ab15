package station

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

// errKilled is what a guard dies of.
var errKilled = errors.New("killed")

// mortal kills its guard at the n-th touch of the world: a look at the clock, an append, an output driven.
type mortal struct {
	*storagetest.MemLog
	touches int // until death; negative = none
	up      time.Duration
	sirens
}

func (m *mortal) touch() {
	if m.touches--; m.touches == -1 {
		panic(errKilled)
	}
	m.touches = max(m.touches, -1000)
}

func (m *mortal) Append(ctx context.Context, drafts ...event.Draft) ([]eventlog.Appended, error) {
	m.touch()
	got, err := m.MemLog.Append(ctx, drafts...)
	m.touch()
	return got, err
}

func (m *mortal) Drive(ctx context.Context, id string, on bool, most time.Duration, cause string) error {
	m.touch()
	err := m.sirens.Drive(ctx, id, on, most, cause)
	m.touch()
	return err
}

func (m *mortal) instant() arming.Instant {
	m.touch()
	m.up += time.Millisecond
	return arming.Instant{Wall: time.Unix(1700000000, 0).Add(m.up), Up: m.up, Boot: 7}
}

// housePlan is one partition of two zones.
func housePlan() arming.Plan {
	return arming.Plan{
		Partitions: []arming.Partition{{ID: "house", Siren: time.Minute, Outputs: []string{"siren"}, Needed: 2, Within: time.Minute, ArmMode: arming.Night, LateAfter: time.Minute}},
		Zones: []arming.Zone{
			{ID: "hall", Partition: "house", Kind: arming.Intrusion, Code: "BA"}, {ID: "smoke", Partition: "house", Kind: arming.Fire, Code: "FA"},
		},
		Users: []arming.User{{ID: "li", Arm: true, Disarm: true, Bypass: true, Engineer: true}},
	}
}

// bareGuard is a guard without a station.
func bareGuard(m *mortal, path string) *guard {
	return &guard{
		plan: housePlan(), zones: map[string]bool{"hall": true, "smoke": true}, veil: &veil{log: m}, driver: m, instant: m.instant,
		in:   &intake{clock: clock{func() time.Time { return time.Unix(1700000000, 0).Add(m.up) }, func() event.ClockQuality { return event.ClockSynced }, 7}, log: m},
		file: &journalFile{path: path}, log: slog.New(slog.DiscardHandler), asks: make(chan *ask, guardQueue),
	}
}

// survive runs do and reports whether the guard outlived it.
func survive(do func()) (alive bool) {
	defer func() {
		if p := recover(); p != nil && p != errKilled {
			panic(p)
		}
	}()
	do()
	return true
}

// rehearsal is a guard that is killed again and again, and what it has to come to.
type rehearsal struct {
	*rapid.T
	m     *mortal
	path  string
	guard *guard

	edges  uint64
	level  bool // of the hall
	armed  bool
	forced bool
	stood  bool // the hall was active when last told
	trips  int  // alarms that there must be
}

// start begins a run, or several where they die at once. The driver tells how the hall stands.
func (r *rehearsal) start() {
	for {
		alive := survive(func() {
			r.guard = bareGuard(r.m, r.path)
			if err := r.guard.begin(r.Context()); err != nil {
				r.Fatalf("begin: %v", err)
			}
		})
		if alive && survive(func() { r.tellLevel("smoke", false); r.tellLevel("hall", true) }) {
			return
		}
		r.m.touches = rapid.IntRange(-1, 12).Draw(r.T, "touches of a start") // a start, too, may die
	}
}

// draft is the hall's word as contacts tell it.
func (r *rehearsal) draft(zone string, active, first bool) event.Draft {
	d := event.Draft{Kind: event.KindZoneChanged, Qualifier: event.QualifierRestore, Zone: zone, Source: "line/" + zone, Severity: event.SeverityNotice,
		Body: event.NewBody(event.Text(event.TagState, "normal"), event.Uint(event.TagLineSeq, r.edges)), KernelNS: int64(r.edges) + 1}
	d.Once = fmt.Sprint(r.edges)
	if active {
		d.Qualifier, d.Body = event.QualifierNew, event.NewBody(event.Text(event.TagState, "active"), event.Uint(event.TagLineSeq, r.edges))
	} else if first {
		d.Once = ""
	}
	return d
}

// tellLevel is a driver that tells its word until it is stored.
func (r *rehearsal) tellLevel(zone string, first bool) {
	d := r.draft(zone, zone == "hall" && r.level, first)
	d.Severity = severityOf(text(d.Event("", event.Epoch{}, 1), event.TagState))
	for range 3 { // a full log has room again by the second time
		a := &ask{word: &d, done: make(chan error, 1)}
		r.guard.work(r.Context(), []*ask{a})
		if err := <-a.done; err == nil {
			return
		}
		r.m.Refuse(nil)
	}
	r.Fatal("a word is not stored")
}

// do has a wish done; a kill leaves it open whether it was, and what the guard says after its start holds.
func (r *rehearsal) do(wish arming.Input) {
	defer r.m.Refuse(nil)
	a := &ask{wish: wish, done: make(chan error, 1)}
	alive := survive(func() { r.guard.work(r.Context(), []*ask{a}) })
	if alive {
		if err := <-a.done; err != nil {
			r.Fatalf("%+v: %v", wish, err)
		}
	}
	_, arms := wish.(arming.Arm)
	before := r.armed
	r.armed = arms
	if !alive {
		// The state is that before or that after: which of them, the journal says. The hall is told only after it.
		r.m.touches = -1
		r.guard = bareGuard(r.m, r.path)
		if err := r.guard.restore(); err != nil {
			r.Fatal(err)
		}
		if r.armed = r.guard.machine.View().Partitions[0].Mode != ""; r.armed != before && r.armed != arms {
			r.Fatalf("neither before nor after")
		}
	}
	r.forced = r.armed && (before && r.forced || !before && r.level)
	if !alive {
		r.start()
	}
}

// move moves the hall's line, and its driver tells so; a kill comes before, between or after.
func (r *rehearsal) move() {
	r.level = !r.level
	r.edges++
	if r.level && r.armed && !r.forced {
		r.trips++
	}
	if !survive(func() { r.tellLevel("hall", false) }) {
		r.start()
	}
}

// Killed at any touch of the world, again and again, with a log that is full at times: what is armed stays armed, every opening while armed is one alarm, also
// one that nobody was there to hear, and nothing else is; no output acts before the journal has its cause.
func TestAGuardThatIsKilled(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		r := &rehearsal{T: rt, path: filepath.Join(dir, journalName), m: &mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -1, up: time.Hour}}
		r.m.journal = r.path
		r.start()
		li := arming.Actor{User: "li", Via: "code"}
		for range rapid.IntRange(1, 16).Draw(rt, "steps") {
			r.m.touches = rapid.IntRange(-10, 14).Draw(rt, "touches")
			if rapid.IntRange(0, 3).Draw(rt, "full") == 0 {
				r.m.Refuse(eventlog.ErrFull)
			}
			switch what := rapid.IntRange(0, 5).Draw(rt, "what"); {
			case what == 0 && !r.armed:
				r.do(arming.Arm{By: li, Partition: "house", Mode: arming.Away, Force: []string{"hall"}})
			case what == 1 && r.armed:
				r.do(arming.Disarm{By: li, Partition: "house"})
			case what == 2:
				r.m.up += time.Duration(rapid.IntRange(0, 100).Draw(rt, "seconds")) * time.Second
				if !survive(func() { r.guard.work(r.Context(), nil) }) {
					r.start()
				}
			case what == 3: // somebody pulls the plug at once, while a journal is being written
				if err := os.WriteFile(r.path+".new", []byte(`{"v":1,"crc`), 0o600); err != nil {
					rt.Fatal(err)
				}
				r.start()
			default:
				r.move()
			}
			if got := r.guard.view().Partitions[0].Mode != ""; got != r.armed {
				rt.Fatalf("armed is %v, want %v", got, r.armed)
			}
		}
		r.m.touches = -1
		r.m.Refuse(nil)
		r.guard.work(r.Context(), nil) // what waited is stored
		r.judge(rt)
	})
}

func (r *rehearsal) judge(rt *rapid.T) {
	events, err := r.m.Read(event.LaneAlarm, 0, 1000)
	if err != nil {
		rt.Fatal(err)
	}
	for _, e := range events {
		if e.Kind != event.KindAlarmRaised || e.Zone != "hall" {
			rt.Errorf("a false alarm: %+v", e)
		}
	}
	if len(events) != r.trips {
		rt.Errorf("%d alarms of %d openings while armed", len(events), r.trips)
	}
	if len(r.m.wrong) > 0 {
		rt.Errorf("outputs acted without their cause on disk: %q", r.m.wrong)
	}
}

// A log that was full takes hundreds of events of one partition at once, and the plug is pulled at any touch of it: each of them is in
// the log once.
func TestHundredsOfEventsAreStoredOnce(t *testing.T) {
	const told = 3 * event.OnceKept
	for touches := range 12 {
		m := &mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -1, up: time.Hour}
		path := filepath.Join(t.TempDir(), journalName)
		g := bareGuard(m, path)
		if err := g.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Refuse(eventlog.ErrFull)
		var batch []*ask
		for range told {
			batch = append(batch, &ask{wish: arming.Disarm{By: arming.Actor{Why: "wrong-code"}, Partition: "house"}, done: make(chan error, 1)})
		}
		g.work(t.Context(), batch)
		m.Refuse(nil)
		m.touches = touches
		survive(func() { g.work(t.Context(), nil) })
		m.touches = -1
		if err := bareGuard(m, path).begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := all(t, m, event.KindArmingRefused); len(got) != told {
			t.Errorf("killed at touch %d: %d events of %d", touches, len(got), told)
		}
	}
}
