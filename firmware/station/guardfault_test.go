package station

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

// A log that is full holds up neither the siren nor a disarming; whatever was decided meanwhile is stored when it has room, once.
func TestAFullLogDoesNotSilenceTheSiren(t *testing.T) {
	dir := t.TempDir()
	log := storagetest.NewMemLog("cs-one")
	x := startGuarded(t, dir, boxIn(t, dir), "", func(o *Options, _ *guardedStation) { o.Events = log })
	x.arm()
	log.Refuse(eventlog.ErrFull)
	x.set("hall", true)
	x.await("the siren", func() bool { return slices.Contains(x.sirens.list(), "siren true intrusion 1m0s") })
	x.await("it is said", func() bool {
		return strings.Contains(x.stderr.String(), "what arming decides is not stored, trying on")
	})
	if got := all(t, log, event.KindAlarmRaised); len(got) != 0 {
		t.Fatalf("a full log has stored %+v", got)
	}
	j, err := (&journalFile{path: x.sirens.journal}).load()
	if err != nil || len(j.Pending) < 2 {
		t.Fatalf("the journal keeps %d events, %v", len(j.Pending), err)
	}
	x.disarm()
	if p := x.arming().Partitions[0]; p.State != "alarm_memory" {
		t.Errorf("the door says %+v", p)
	}
	log.Refuse(nil)
	awaitIn(t, log, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised })
	awaitIn(t, log, event.LaneMain, func(e event.Event) bool { return text(e, event.TagState) == "active" })
	x.set("hall", false)
	awaitIn(t, log, event.LaneMain, func(e event.Event) bool {
		return e.Kind == event.KindAlarmRaised && e.Qualifier == event.QualifierRestore
	})
	if got := all(t, log, event.KindAlarmRaised); len(got) != 2 {
		t.Errorf("%d events of one alarm: %+v", len(got), got)
	}
	var words []string
	for _, e := range all(t, log, event.KindZoneChanged) {
		if e.Zone == "hall" {
			words = append(words, text(e, event.TagState))
		}
	}
	if !slices.Equal(words, []string{"normal", "active", "normal"}) {
		t.Errorf("the hall's words are %q", words)
	}
	x.await("the journal waits for nothing", func() bool {
		j, err := (&journalFile{path: x.sirens.journal}).load()
		return err == nil && len(j.Pending) == 0
	})
}

// Without a journal on disk no output acts and no wish is done; all of it is made up for when the disk takes it.
func TestNoOutputActsWithoutAJournal(t *testing.T) {
	dir := t.TempDir()
	log := storagetest.NewMemLog("cs-one")
	x := startGuarded(t, dir, boxIn(t, dir), "", func(o *Options, _ *guardedStation) { o.Events = log; o.NoDoor = true })
	li := arming.Actor{User: "li", Via: "code"}
	if err := x.guard.do(t.Context(), arming.Arm{By: li, Partition: "house", Mode: arming.Away}); err != nil {
		t.Fatal(err)
	}
	x.await("calm", func() bool {
		j, err := (&journalFile{path: x.sirens.journal}).load()
		return err == nil && len(j.Pending) == 0
	})
	data, away := filepath.Join(dir, "data"), filepath.Join(dir, "away")
	if err := os.Rename(data, away); err != nil {
		t.Fatal(err)
	}
	x.set("hall", true)
	x.await("it is said", func() bool {
		return strings.Contains(x.stderr.String(), "what arming decides is not stored, trying on")
	})
	if err := x.guard.do(t.Context(), arming.Disarm{By: li, Partition: "house"}); !errors.Is(err, errBusy) {
		t.Errorf("a wish without a disk: %v", err)
	}
	if got := x.sirens.list(); len(got) > 0 {
		t.Errorf("driven without a cause on disk: %q", got)
	}
	if n := log.Head(event.LaneAlarm); n > 0 {
		t.Errorf("event %d is in the log before the journal has its step", n)
	}
	if x.state() != "armed_away" {
		t.Errorf("shown is %s, which the disk does not have", x.state())
	}
	if err := os.Rename(away, data); err != nil {
		t.Fatal(err)
	}
	x.awaitState("alarm_memory")
	x.await("driven", func() bool {
		return slices.Equal(x.sirens.list(), []string{"siren true intrusion 1m0s", "siren false disarmed"})
	})
	awaitIn(t, log, event.LaneMain, func(e event.Event) bool { return e.Zone == "hall" && text(e, event.TagState) == "active" })
	if got := all(t, log, event.KindAlarmRaised); len(got) != 1 {
		t.Errorf("%d alarms", len(got))
	}
}

// A journal that cannot be believed is set aside and told; the station comes up, and fire is an alarm at once.
func TestADamagedJournalIsSetAside(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"torn":    func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"gone":    func([]byte) []byte { return nil },
		"foreign": func([]byte) []byte {
			b, err := journal{Machine: []byte(`{"v":99}`)}.encode()
			if err != nil {
				t.Error(err)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			box := boxIn(t, dir)
			x := startGuarded(t, dir, box, "", nil)
			x.arm()
			x.stop()
			b, err := os.ReadFile(x.sirens.journal)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(x.sirens.journal, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if name == "gone" {
				if err := os.Remove(x.sirens.journal); err != nil {
					t.Fatal(err)
				}
			}
			x = startGuarded(t, dir, box, "", nil)
			e := awaitIn(t, x.events, event.LaneMain, func(e event.Event) bool { return text(e, event.TagReason) == reasonDamaged })
			if e.Kind != event.KindPartitionChanged || e.Severity != event.SeverityWarning || text(e, event.TagPartition) != "house" ||
				text(e, event.TagState) != "disarmed" || text(e, event.TagPrevious) != "armed_away" {
				t.Errorf("told is %+v", e)
			}
			if _, err := os.Stat(x.sirens.journal + ".damaged"); err != nil && name != "gone" {
				t.Error(err)
			}
			alarm := awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised })
			if text(alarm, event.TagReason) != reasonDamaged || text(alarm, event.TagPartition) != "house" || text(alarm, event.TagMode) != "away" {
				t.Errorf("an armed house that is disarmed by a broken file: %+v", alarm)
			}
			if x.state() != "disarmed" {
				t.Errorf("it is %s", x.state())
			}
			x.set("smoke", true)
			awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised && e.Zone == "smoke" })
			x.stop()
			x = startGuarded(t, dir, box, "", nil) // it was told once
			told := 0
			for _, e := range all(t, x.events, event.KindPartitionChanged) {
				if text(e, event.TagReason) == reasonDamaged {
					told++
				}
			}
			if told != 1 || x.state() != "alarm" {
				t.Errorf("told %d times; it is %s", told, x.state())
			}
		})
	}
}

// A house that nobody had armed is disarmed as it was: a broken journal is a warning then, and no alarm.
func TestADamagedJournalOfADisarmedHouse(t *testing.T) {
	dir := t.TempDir()
	box := boxIn(t, dir)
	x := startGuarded(t, dir, box, "", nil)
	x.arm()
	x.disarm()
	x.stop()
	if err := os.WriteFile(x.sirens.journal, []byte("gone"), 0o600); err != nil {
		t.Fatal(err)
	}
	x = startGuarded(t, dir, box, "", nil)
	e := awaitIn(t, x.events, event.LaneMain, func(e event.Event) bool { return text(e, event.TagReason) == reasonDamaged })
	if text(e, event.TagPrevious) != "disarmed" || x.events.Head(event.LaneAlarm) != 0 {
		t.Errorf("told is %+v, alarms up to %d", e, x.events.Head(event.LaneAlarm))
	}
}

// An output that its driver refuses is told, and holds up nothing.
func TestAnOutputThatIsRefusedIsTold(t *testing.T) {
	dir := t.TempDir()
	x := startGuarded(t, dir, boxIn(t, dir), "", func(_ *Options, x *guardedStation) { x.sirens.fail = errors.New("the wire is cut") })
	x.arm()
	x.set("smoke", true)
	awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised && e.Zone == "smoke" })
	e := awaitIn(t, x.events, event.LaneMain, func(e event.Event) bool {
		return e.Kind == event.KindOutputChanged && text(e, event.TagReason) == "refused"
	})
	if e.Severity != event.SeverityWarning || text(e, event.TagOutput) != "siren" || text(e, event.TagState) != "fault" || text(e, event.TagDetail) != "the wire is cut" {
		t.Errorf("told is %+v", e)
	}
}

// The daily test goes on beside the partitions, and its zone is none of theirs.
func TestTheDailyTestBesidePartitions(t *testing.T) {
	dir := t.TempDir()
	more := "  - {id: loop, board: main, line: loop-in, rest: open, kind: test}\ntest: {at: \"" + time.Now().Format("15:04") + "\", zone: loop, output: loop-out, within: 20s}\n"
	x := startGuarded(t, dir, boxIn(t, dir), more, nil)
	x.arm()
	e := awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Zone == "loop" })
	if e.Kind != event.KindZoneChanged || text(e, event.TagReason) != event.ReasonTest {
		t.Errorf("the test's alarm is %+v", e)
	}
	x.await("remembered", func() bool { return x.memo.read().Test.OK })
	if got := all(t, x.events, event.KindAlarmRaised); len(got) > 0 {
		t.Errorf("arming has raised %+v", got)
	}
}

// However much the log was told since the house was armed, and also when the log does not know: a broken journal is an alarm.
func TestADamagedJournalIsAnAlarmHoweverOldTheArming(t *testing.T) {
	armed := event.Draft{At: time.Unix(1700000000, 0), Kind: event.KindPartitionChanged, Qualifier: event.QualifierStatus, Source: "arming/house",
		Severity: event.SeverityNotice, Body: event.NewBody(event.Text(event.TagPartition, "house"), event.Text(event.TagState, "armed_away"), event.Text(event.TagMode, "away"))}
	for name, told := range map[string][]event.Draft{"long ago": {armed}, "never": nil} {
		t.Run(name, func(t *testing.T) {
			m := &mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -1, up: time.Hour}
			since := told
			for range 10_000 {
				since = append(since, note(event.KindStationStarted, event.SeverityTrace))
			}
			since = append(since, note(event.KindStationStarted, event.SeverityNotice))
			for portion := range slices.Chunk(since, eventlog.MaxDrafts) {
				if _, err := m.Append(t.Context(), portion...); err != nil {
					t.Fatal(err)
				}
			}
			g := bareGuard(m, filepath.Join(t.TempDir(), journalName))
			if err := os.WriteFile(g.file.path, []byte("gone"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := g.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			raised := all(t, m, event.KindAlarmRaised)
			if len(raised) != 1 || text(raised[0], event.TagReason) != reasonDamaged {
				t.Errorf("raised is %+v", raised)
			}
		})
	}
}

// While the log is full the machine goes on hearing a zone that has moved before: it can be armed, and a burglar is heard. All of its
// words are told when the log has room.
func TestAFullLogDeafensNoZone(t *testing.T) {
	dir := t.TempDir()
	box := boxIn(t, dir)
	log := storagetest.NewMemLog("cs-one")
	memory := func(o *Options, _ *guardedStation) { o.Events = log }
	x := startGuarded(t, dir, box, "", memory)
	log.Refuse(eventlog.ErrFull)
	for range 2 {
		x.set("hall", true)
		x.zones("hall active")
		x.set("hall", false)
		x.zones("hall normal")
	}
	x.arm()
	x.set("hall", true)
	x.await("the siren", func() bool { return slices.Contains(x.sirens.list(), "siren true intrusion 1m0s") })
	log.Refuse(nil)
	awaitIn(t, log, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised })
	var words []string
	for _, e := range all(t, log, event.KindZoneChanged) {
		if e.Zone == "hall" {
			words = append(words, text(e, event.TagState))
		}
	}
	if want := []string{"normal", "active", "normal", "active", "normal", "active"}; !slices.Equal(words, want) {
		t.Errorf("the hall's words are %q, want %q", words, want)
	}
}

// hung is a log that does not answer while it is stuck.
type hung struct {
	*storagetest.MemLog
	stuck atomic.Bool
}

func (h *hung) Append(ctx context.Context, drafts ...event.Draft) ([]eventlog.Appended, error) {
	if h.stuck.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.MemLog.Append(ctx, drafts...)
}

// A log that does not even refuse holds up nobody at the keypad longer than he waits.
func TestALogThatHangsHoldsUpNoDisarming(t *testing.T) {
	dir := t.TempDir()
	log := &hung{MemLog: storagetest.NewMemLog("cs-one")}
	x := startGuarded(t, dir, boxIn(t, dir), "", func(o *Options, _ *guardedStation) { o.Events = log })
	x.arm()
	log.stuck.Store(true)
	x.set("hall", true)
	x.await("the siren", func() bool { return slices.Contains(x.sirens.list(), "siren true intrusion 1m0s") })
	x.disarm()
	if got := x.sirens.list(); !slices.Equal(got, []string{"siren true intrusion 1m0s", "siren false disarmed"}) {
		t.Errorf("driven is %q", got)
	}
	log.stuck.Store(false)
	awaitIn(t, log, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised })
}

// Who was told that the wish is not done, because the guard was busy for too long, does not find it done later.
func TestAWishThatNobodyWaitsForIsNotDone(t *testing.T) {
	s, err := New(Options{Config: guardedConfig(t, t.TempDir(), "cs-one", ""), Log: slog.New(slog.DiscardHandler), Events: storagetest.NewMemLog("cs-one"), NoDoor: true})
	if err != nil {
		t.Fatal(err)
	}
	g := s.guard
	wish := arming.Arm{By: arming.Actor{User: "li", Via: "code"}, Partition: "house", Mode: arming.Away, Force: []string{"hall", "door"}}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.do(ctx, wish); !errors.Is(err, errBusy) {
			t.Errorf("a wish that the guard never saw: %v", err)
		}
	})
	waiting := <-g.asks // the guard is busy with it from here on, and slow
	cancel()
	wg.Wait()
	if err := g.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.work(t.Context(), []*ask{waiting})
	if p := g.view().Partitions[0]; p.Mode != "" {
		t.Errorf("done all the same: %+v", p)
	}
	if n := len(all(t, s.events, event.KindArmingRefused)); n != 0 {
		t.Errorf("%d refusals of a wish that was not judged", n)
	}
	if err := s.events.Close(); err != nil {
		t.Error(err)
	}
}

// The watchdog hears of a guard that hangs, and of no other.
func TestAGuardThatHangsIsNotWell(t *testing.T) {
	up := 5 * time.Minute
	g := &guard{instant: func() arming.Instant { return arming.Instant{Up: up} }}
	well := func(want bool) {
		t.Helper()
		if err := g.well(t.Context()); (err == nil) != want {
			t.Errorf("after %s: %v", up, err)
		}
	}
	well(true) // nothing to do
	g.busy.Store(int64(up))
	up += guardHangs
	well(true)
	up++
	well(false)
	g.busy.Store(0)
	well(true)
}
