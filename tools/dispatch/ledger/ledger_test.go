package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errStop = errors.New("stop") // what a test breaks a transaction with

// caoping is the station of these tests.
func caoping() topic.Address {
	return topic.Address{Jurisdiction: "changshan", Station: "cs-baishi-caoping"}
}

func fresh(t testing.TB) *Ledger {
	t.Helper()
	dir := t.TempDir()
	if err := Create(t.Context(), dir, "常山县"); err != nil {
		t.Fatal(err)
	}
	return reopen(t, dir)
}

func reopen(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Enrol(t.Context(), Station{Address: caoping(), Name: "草坪村", Enrolled: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return l
}

// draft is the n-th fact of a station: an alarm where n is odd.
func draft(n uint64) event.Draft {
	d := event.Draft{At: time.Unix(1e9, int64(n)).UTC(), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Severity: event.SeverityNotice,
		Zone: fmt.Sprint("z", n), Source: "line/door", Body: event.NewBody(event.Text(event.TagState, "active"))}
	if n%2 == 1 {
		d.Severity = event.SeverityAlarm
	}
	return d
}

func frame(epoch event.Epoch, prev uint64, es ...event.Event) Arrival {
	return Arrival{Address: caoping(), Received: time.Unix(2e9, 0), Frame: topic.Frame{Epoch: epoch, Lane: es[0].Lane, Prev: prev, Events: es}}
}

func store(t testing.TB, l *Ledger, as ...Arrival) []Outcome {
	t.Helper()
	out, err := l.Store(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func at(seq uint64, d event.Draft) event.Event {
	return d.Event(caoping().Station, event.Epoch{1}, seq)
}

func TestStoreFollowsTheChain(t *testing.T) {
	l := fresh(t)
	e := func(n uint64) event.Event { return at(n, draft(n)) }
	epoch := event.Epoch{1}
	steps := []struct {
		arrival Arrival
		want    Outcome
	}{
		{frame(epoch, 0, e(1)), Outcome{topic.VerdictStore, 1, 1}},
		{frame(epoch, 0, e(1)), Outcome{topic.VerdictDuplicate, 1, 0}},
		{frame(epoch, 3, e(5)), Outcome{topic.VerdictGap, 1, 0}},
		{frame(epoch, 0, e(1), e(3)), Outcome{topic.VerdictStore, 3, 1}}, // overlaps
		{frame(epoch, 3, e(5), e(9)), Outcome{topic.VerdictStore, 9, 2}}, // 7 was evicted or filtered
		{frame(epoch, 0, e(2)), Outcome{topic.VerdictStore, 2, 1}},       // another lane, another chain
		{frame(epoch, 5, e(7)), Outcome{topic.VerdictDuplicate, 9, 0}},
	}
	var all []Arrival
	for i, s := range steps {
		if got := store(t, l, s.arrival); got[0] != s.want {
			t.Errorf("step %d: %+v, want %+v", i, got[0], s.want)
		}
		all = append(all, s.arrival)
	}
	for i, o := range store(t, l, all...) {
		if o.Stored != 0 {
			t.Errorf("step %d is stored twice", i)
		}
	}
	heads, err := l.Heads(t.Context(), caoping().Station, epoch)
	if want := map[event.Lane]uint64{event.LaneAlarm: 9, event.LaneMain: 2}; err != nil || !reflect.DeepEqual(heads, want) {
		t.Errorf("heads %v, %v; want %v", heads, err, want)
	}
	if _, n, err := l.Open(t.Context(), 10); err != nil || n != 4 {
		t.Errorf("%d open alarms, %v; want 4", n, err)
	}
}

// Whatever MQTT drops, repeats and turns around: what is stored is a gap-free beginning of each lane, each event once, and a
// station that rewinds to the head gets everything in.
func TestStoreIsExactlyOnceInEffect(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := fresh(t)
		var epoch event.Epoch
		epoch[0] = 7
		lanes := make(map[event.Lane][]event.Event)
		total := rapid.IntRange(1, 30).Draw(rt, "events")
		for n := range uint64(total) {
			e := draft(n+1).Event(caoping().Station, epoch, n+1)
			lanes[e.Lane] = append(lanes[e.Lane], e)
		}
		cut := func(es []event.Event, from, upto int) Arrival {
			prev := uint64(0)
			if from > 0 {
				prev = es[from-1].Seq
			}
			return frame(epoch, prev, es[from:upto]...)
		}
		for range rapid.IntRange(0, 25).Draw(rt, "frames") {
			lane := rapid.SampledFrom([]event.Lane{event.LaneAlarm, event.LaneMain}).Draw(rt, "lane")
			if len(lanes[lane]) == 0 {
				continue
			}
			from := rapid.IntRange(0, len(lanes[lane])-1).Draw(rt, "from")
			store(t, l, cut(lanes[lane], from, rapid.IntRange(from+1, len(lanes[lane])).Draw(rt, "upto")))
		}
		heads, err := l.Heads(t.Context(), caoping().Station, epoch)
		if err != nil {
			rt.Fatal(err)
		}
		for lane, es := range lanes {
			var n int
			if err := l.r.QueryRow("SELECT count(*) FROM event WHERE seq <= ? AND seq % 2 = ?", heads[lane], es[0].Seq%2).Scan(&n); err != nil {
				rt.Fatal(err)
			}
			want := 0
			for want < len(es) && es[want].Seq <= heads[lane] {
				want++
			}
			if n != want {
				rt.Fatalf("lane %s: %d events up to head %d, want %d", lane, n, heads[lane], want)
			}
			store(t, l, cut(es, 0, len(es)))
		}
		var n int
		if err := l.r.QueryRow("SELECT count(*) FROM event").Scan(&n); err != nil || n != total {
			rt.Fatalf("%d of %d events, %v", n, total, err)
		}
	})
}

// A crash between the statements of a transaction leaves nothing behind, and one after COMMIT leaves all of it.
func TestEventsAndHeadsCommitTogether(t *testing.T) {
	dir := t.TempDir()
	if err := Create(t.Context(), dir, "x"); err != nil {
		t.Fatal(err)
	}
	l := reopen(t, dir)
	a := frame(event.Epoch{1}, 0, at(1, draft(1)))
	err := l.write(t.Context(), "a crash", func(tx *sql.Tx) (bool, error) {
		e := l.entry(tx)
		if _, err := e.frame(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := e.finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		return true, errStop
	})
	if !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	if heads, err := l.Heads(t.Context(), caoping().Station, event.Epoch{1}); err != nil || len(heads) != 0 {
		t.Errorf("heads %v, %v after a transaction that failed", heads, err)
	}
	if o := store(t, l, a); o[0].Stored != 1 {
		t.Errorf("after it: %+v", o[0])
	}
	again := reopen(t, dir)
	if o := store(t, again, a); o[0] != (Outcome{topic.VerdictDuplicate, 1, 0}) {
		t.Errorf("after a restart: %+v", o[0])
	}
}

func TestAContradictionIsNamed(t *testing.T) {
	l := fresh(t)
	store(t, l, frame(event.Epoch{1}, 0, at(1, draft(1))))
	clash := draft(1)
	clash.Severity = event.SeverityNotice // the same seq, in another lane
	if _, err := l.Store(t.Context(), []Arrival{frame(event.Epoch{1}, 0, at(1, clash))}); !errors.Is(err, ErrConflict) {
		t.Errorf("one seq in two lanes: %v", err)
	}
	stranger := frame(event.Epoch{1}, 0, draft(1).Event("stranger", event.Epoch{1}, 1))
	stranger.Address.Station = "stranger"
	if _, err := l.Store(t.Context(), []Arrival{stranger}); !errors.Is(err, ErrConflict) {
		t.Errorf("a station that is not in the roster: %v", err)
	}
	if err := l.Strike(t.Context(), caoping().Station); !errors.Is(err, ErrConflict) {
		t.Errorf("striking a station with events: %v", err)
	}
}

func TestARestoreMarksWhatCameBefore(t *testing.T) {
	l := fresh(t)
	alarm := draft(1)
	alarm.Zone = "door"
	back := alarm
	back.Qualifier, back.Severity = event.QualifierRestore, event.SeverityNotice
	elsewhere := alarm
	elsewhere.Zone = "window"
	// 4 is raised after the restore 3, but overtakes it: alarms go first.
	store(t, l, frame(event.Epoch{1}, 0, at(1, alarm), at(2, elsewhere), at(4, alarm)))
	store(t, l, frame(event.Epoch{1}, 0, at(3, back)))
	open, _, err := l.Open(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	var restored []uint64
	for _, a := range open {
		if !a.Restored.IsZero() {
			restored = append(restored, a.Event.Seq)
		}
	}
	if !reflect.DeepEqual(restored, []uint64{1}) || len(open) != 3 {
		t.Errorf("restored %v of %d open, want 1 of 3", restored, len(open))
	}
}

func TestTheStateOfAStation(t *testing.T) {
	l := fresh(t)
	one := func() Station {
		t.Helper()
		all, err := l.Stations(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%d stations, %v", len(all), err)
		}
		return all[0]
	}
	if s := one(); s.Online || !s.LastWord.IsZero() || s.Name != "草坪村" {
		t.Errorf("before its first word: %+v", s)
	}
	epoch := event.Epoch{1}
	word := topic.State{V: 1, Station: caoping().Station, Jurisdiction: "changshan", Online: true, Epoch: epoch,
		Heads: map[event.Lane]uint64{event.LaneAlarm: 5, event.LaneMain: 4}, Cameras: []topic.CameraState{{ID: "gate"}}}
	heard := time.Unix(2e9, 0) // as the frame below
	if err := l.Heard(t.Context(), Word{State: word, Heard: heard}); err != nil {
		t.Fatal(err)
	}
	store(t, l, frame(epoch, 0, at(1, draft(1)), at(3, draft(3))))
	s := one()
	if !s.Online || !s.LastWord.Equal(heard) || s.Backlog() != 2+4 || len(s.State.Cameras) != 1 {
		t.Errorf("online: %+v, backlog %d", s, s.Backlog())
	}
	will := topic.State{V: 1, Station: caoping().Station, Jurisdiction: "changshan"}
	if err := l.Heard(t.Context(), Word{State: will}); err != nil {
		t.Fatal(err)
	}
	if s := one(); s.Online || !s.LastWord.Equal(heard) || len(s.State.Cameras) != 1 {
		t.Errorf("a will must leave what is known, and is no word of the station: %+v", s)
	}
	if err := l.Heard(t.Context(), Word{State: word, Heard: heard.Add(-time.Hour), Retained: true}); err != nil {
		t.Fatal(err)
	}
	if s := one(); !s.LastWord.Equal(heard) {
		t.Errorf("an old retained state turned the last word back to %s", s.LastWord)
	}
}

func TestRosterQuestions(t *testing.T) {
	l := fresh(t)
	if a, err := l.StationOf(t.Context(), caoping().Station); err != nil || a != caoping() {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := l.StationOf(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "dispatch enrol") {
		t.Errorf("a stranger: %v", err)
	}
	north := 28.9
	if err := l.Enrol(t.Context(), Station{Address: topic.Address{Jurisdiction: "yushan", Station: caoping().Station}, Name: "新草坪", Latitude: &north, Longitude: &north}); err != nil {
		t.Fatal(err)
	}
	if all, err := l.Stations(t.Context()); err != nil || len(all) != 1 || all[0].Name != "新草坪" || all[0].Address.Jurisdiction != "yushan" || *all[0].Latitude != north {
		t.Errorf("enrolled anew: %+v, %v", all, err)
	}
}

func TestWhatIsNoLedger(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "dispatch init --dir") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := Create(t.Context(), dir, "x"); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), dir, "x"); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a second Create: %v", err)
	}
	l := reopen(t, dir)
	if _, err := l.w.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "schema 99") {
		t.Errorf("a ledger of a later program: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), FileName) {
		t.Errorf("no database at all: %v", err)
	}
}

// Another process enrols while the centre stores: neither fails.
func TestTwoProcessesWrite(t *testing.T) {
	dir := t.TempDir()
	if err := Create(t.Context(), dir, "x"); err != nil {
		t.Fatal(err)
	}
	serving, enrolling := reopen(t, dir), reopen(t, dir)
	const rounds = 30
	var both sync.WaitGroup
	both.Go(func() {
		for n := range uint64(rounds) {
			if _, err := serving.Store(context.Background(), []Arrival{frame(event.Epoch{1}, 2*n, at(2*n+1, draft(2*n+1)), at(2*n+2, alarmed(draft(2*n+2))))}); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for n := range rounds {
			a := topic.Address{Jurisdiction: "changshan", Station: fmt.Sprint("s", n)}
			if err := enrolling.Enrol(context.Background(), Station{Address: a, Name: "x"}); err != nil {
				t.Error(err)
			}
		}
	})
	both.Wait()
	if all, err := serving.Stations(t.Context()); err != nil || len(all) != rounds+1 {
		t.Errorf("%d stations, %v", len(all), err)
	}
	if _, n, err := enrolling.Open(t.Context(), 1); err != nil || n != 2*rounds {
		t.Errorf("%d alarms, %v", n, err)
	}
}

func alarmed(d event.Draft) event.Draft {
	d.Severity = event.SeverityAlarm
	return d
}

// What the drain of a backlog costs the centre: 64 events to a frame, and as many frames to a commit as the intake gathers.
// One alarm at a time is what a single receipt costs.
func BenchmarkStore(b *testing.B) {
	for _, c := range []struct {
		name           string
		frames, events int
		severity       event.Severity
	}{
		{"backlog", 256, 64, event.SeverityNotice}, {"frame", 1, 64, event.SeverityNotice}, {"alarms", 1, 64, event.SeverityAlarm}, {"alarm", 1, 1, event.SeverityAlarm},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := fresh(b)
			seq := uint64(0)
			for b.Loop() {
				b.StopTimer()
				var as []Arrival
				for range c.frames {
					d := draft(2)
					d.Severity = c.severity
					a := Arrival{Address: caoping(), Received: time.Unix(2e9, 0), Frame: topic.Frame{Epoch: event.Epoch{1}, Lane: event.LaneOf(d.Kind, d.Severity), Prev: seq}}
					for range c.events {
						seq++
						a.Frame.Events = append(a.Frame.Events, at(seq, d))
					}
					as = append(as, a)
				}
				b.StartTimer()
				if _, err := l.Store(b.Context(), as); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
