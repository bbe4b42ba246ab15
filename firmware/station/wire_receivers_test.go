package station

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/drivers/bus"
	"watchpost/drivers/dc09"
	"watchpost/drivers/dc09/sender"
	"watchpost/firmware/config"
	"watchpost/sim/panel/arc"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

const reporting = `
station: {id: cs-one, jurisdiction: changshan, name: 草坪村}
data: data
log: {reserve: 16MiB}
boards: [{id: main, backend: linesock, socket: board.sock}]
zones: [{id: door, board: main, line: door, rest: open}]
receivers:
  - {id: province, address: "%s", transport: tcp-local, account: "4711", key_ascii: Caoping-Changsha, zones: {door: 12}, events: [alarm]}
`

// reporter is a station whose one zone the test moves.
type reporter struct {
	*Station
	line switchboard
	stop func()
}

// report runs a station over a data directory, as often as a test likes.
func report(t *testing.T, dir, address string) *reporter {
	t.Helper()
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), fmt.Appendf(nil, reporting, address))
	if err != nil {
		t.Fatal(err)
	}
	r := &reporter{line: switchboard{make(chan bool)}}
	s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler), NoDoor: true, Edition: Edition{Version: "v-test", Buses: Buses{
		Lines: map[string]func(config.Board, *slog.Logger) (bus.Lines, error){"linesock": func(config.Board, *slog.Logger) (bus.Lines, error) { return r.line, nil }},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r.Station = s
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)
	return r
}

// TestTheProvinceHearsTheDoor is a zone's alarm and its end at an alarm receiving centre, each once, although the station is stopped
// while the ACK is lost.
func TestTheProvinceHearsTheDoor(t *testing.T) {
	var mute atomic.Bool
	x, err := arc.Open("127.0.0.1:0", arc.Options{Account: "4711", Key: []byte("Caoping-Changsha"), Plan: func(_ int, f arc.Frame) arc.Deed {
		if mute.Load() && f.ID != "NULL" {
			return arc.Lose
		}
		return arc.Answer
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	kept := func(n int) func() bool { return func() bool { return len(x.Kept()) >= n } }
	dir := t.TempDir()

	r := report(t, dir, x.Address())
	r.line.levels <- true
	until(t, kept(1))
	mute.Store(true)
	r.line.levels <- false
	until(t, kept(2))
	if d := r.status().Drivers[0]; d.Name != "receiver/province" || d.Readings[0].State != "up" {
		t.Errorf("at the door: %+v", d)
	}
	r.stop()
	mute.Store(false)
	r = report(t, dir, x.Address())
	for _, level := range []bool{true, false, true} { // the line counts its edges anew: the log has had the first two
		r.line.levels <- level
	}
	until(t, kept(3))
	r.stop()

	var got []string
	for _, f := range x.Kept() {
		got = append(got, fmt.Sprintf("%04d %s", f.Seq, f.Data))
	}
	want := []string{"0001 #4711|NBA012", "0002 #4711|NBR012", "0003 #4711|NBA012"}
	if !slices.Equal(got, want) || len(x.Bad()) != 0 {
		t.Errorf("%q, want %q; bad %v", got, want, x.Bad())
	}
}

// until waits for a condition.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("waited 30 s")
		}
	}
}

// TestReportsAreTheLogInItsOrder draws logs, restarts and wants: what comes out is every wanted event once, by its seq, and after a
// restart goes on behind the last that was Done.
func TestReportsAreTheLogInItsOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := storagetest.NewMemLog("s")
		every := uint64(rapid.IntRange(1, 5).Draw(rt, "every"))
		begin := func() *reports {
			q := newReports(log, "x")
			q.wanted = func(e event.Event) bool { return e.Kind != event.KindLogOpened && e.Seq%every == 0 }
			return q
		}
		q := begin()
		var want, got []uint64
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "done", "done", "peek", "restart"}).Draw(rt, "step") {
			case "append":
				var drafts []event.Draft
				for range rapid.IntRange(1, 20).Draw(rt, "drafts") {
					severity := rapid.SampledFrom([]event.Severity{event.SeverityNotice, event.SeverityWarning, event.SeverityAlarm}).Draw(rt, "severity")
					drafts = append(drafts, event.Draft{At: time.Unix(1e9, 0), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Severity: severity, Source: "x"})
				}
				stored, err := log.Append(t.Context(), drafts...)
				if err != nil {
					rt.Fatal(err)
				}
				for _, s := range stored {
					if s.Seq%every == 0 {
						want = append(want, s.Seq)
					}
				}
			case "restart":
				q = begin()
			case "peek", "done":
				e, ok, err := q.Next()
				if err != nil || ok != (len(got) < len(want)) || ok && e.Seq != want[len(got)] {
					rt.Fatalf("%d, %v, %v after %v of %v", e.Seq, ok, err, got, want)
				}
				if ok && rapid.Bool().Draw(rt, "sent") {
					if err := q.Done(e); err != nil {
						rt.Fatal(err)
					}
					got = append(got, e.Seq)
				}
			}
		}
		if err := q.Done(event.Event{Seq: 1 << 40, Lane: event.LaneMain}); err == nil {
			rt.Error("an event that was not asked for is done")
		}
	})
}

// TestNewReceiversHearNoPast: a receiver begins with what happens from now on, and only the first time.
func TestNewReceiversHearNoPast(t *testing.T) {
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir(), Station: "s", ReserveBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	add := func() uint64 {
		t.Helper()
		s, err := log.Append(t.Context(), event.Draft{At: time.Unix(1e9, 0), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "x"})
		if err != nil {
			t.Fatal(err)
		}
		return s[0].Seq
	}
	add()
	if err := newReports(log, "x").fromNow(); err != nil {
		t.Fatal(err)
	}
	want := add()
	for range 2 {
		q := newReports(log, "x")
		if err := q.fromNow(); err != nil {
			t.Fatal(err)
		}
		if e, ok, err := q.Next(); err != nil || !ok || e.Seq != want {
			t.Errorf("%d, %v, %v; want %d", e.Seq, ok, err, want)
		}
	}
}

// TestReceiversOfTheReference: the reference's receivers can be made, and each word that the configuration takes the sender takes.
func TestReceiversOfTheReference(t *testing.T) {
	if !slices.Equal(sender.Classes(), config.ReportClasses()) || sender.TransportTLS != config.TransportTLS || sender.TransportTCPLocal != config.TransportTCPLocal {
		t.Error("the words of the configuration are not those of the sender")
	}
	for _, address := range []string{"127.0.0.1:1", "10.0.0.1:1", "8.8.8.8:1", "[fe80::1]:1", "x:1"} {
		_, err := config.Parse("s.yaml", fmt.Appendf(nil, reporting, address))
		if (err == nil) != (sender.Local(address) == nil) {
			t.Errorf("%s: configuration %v, sender %v", address, err, sender.Local(address))
		}
	}
}

// BenchmarkReports is a report on disk all the way: the event in the log, the memo before its frame, and after the ACK how far the
// receiver has come.
func BenchmarkReports(b *testing.B) {
	x, err := arc.Open("127.0.0.1:0", arc.Options{Account: "4711", Key: []byte("Caoping-Changsha")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(x.Close)
	dir := b.TempDir()
	log, err := eventlog.Open(eventlog.Options{Dir: dir, Station: "s", ReserveBytes: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.Close() })
	key, err := dc09.KeyASCII("Caoping-Changsha")
	if err != nil {
		b.Fatal(err)
	}
	q := newReports(log, "x")
	s, err := sender.New(sender.Options{
		ID: "x", Address: x.Address(), Transport: sender.TransportTCPLocal, Account: "4711", Key: key, Queue: q,
		Memo: keptFile(filepath.Join(dir, "receiver-x.json")), Names: sender.Directory{Zones: map[string]sender.Zone{"hall": {Number: 1, Code: "BA"}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	q.wanted = s.Wanted
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		_ = s.Run(ctx, func(context.Context, event.Draft) error { return nil })
	})
	defer running.Wait()
	defer cancel()
	for n := 0; b.Loop(); n++ {
		_, err := log.Append(ctx, event.Draft{At: time.Now(), Kind: event.KindAlarmRaised, Qualifier: event.QualifierNew, Zone: "hall", Source: "x", Severity: event.SeverityAlarm})
		if err != nil {
			b.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); len(x.Kept()) <= n; runtime.Gosched() {
			if time.Now().After(end) {
				b.Fatal("waited 30 s")
			}
		}
	}
}
