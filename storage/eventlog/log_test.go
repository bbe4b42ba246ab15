package eventlog

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"watchpost/sim/disk"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) {
	if disk.Serve() || runChild() {
		return
	}
	goleak.VerifyTestMain(m,
		// Badger leaves these behind when its Open fails.
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger/v4.(*DB).monitorCache"),
		goleak.IgnoreTopFunction("github.com/dgraph-io/ristretto/v2/z.(*AllocatorPool).freeupAllocators"),
	)
}

const testStation = "cs-baishi-caoping"

// testLog opens a log that is closed with the test.
func testLog(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(testOptions(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func testOptions(t testing.TB, dir string) Options {
	return Options{
		Dir: dir, Station: testStation, ReserveBytes: roomToOpen,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func draft(severity event.Severity, text string) event.Draft {
	return event.Draft{
		At: time.Unix(1_800_000_000, 0), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew,
		Zone: "door", Source: "line/door", Severity: severity, Body: event.NewBody(event.Text(event.TagText, text)),
	}
}

func mustAppend(t testing.TB, l *Log, drafts ...event.Draft) []Appended {
	t.Helper()
	got, err := l.Append(t.Context(), drafts...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// readAll reads a lane to its end, a few at a time.
func readAll(t testing.TB, l *Log, lane event.Lane) []event.Event {
	t.Helper()
	var all []event.Event
	for after := uint64(0); ; {
		es, err := l.Read(lane, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, es...)
		if len(es) < 7 {
			return all
		}
		after = es[len(es)-1].Seq
	}
}

func TestFirstEventSaysWhy(t *testing.T) {
	l := testLog(t, t.TempDir())
	es := readAll(t, l, event.LaneMain)
	if len(es) != 1 || es[0].Seq != 1 || es[0].Kind != event.KindLogOpened {
		t.Fatalf("first events: %+v", es)
	}
	if why, _ := es[0].Body.Text(event.TagReason); why != openedNew {
		t.Errorf("reason %q", why)
	}
	if es[0].Epoch != l.Epoch() || l.Epoch().IsZero() {
		t.Errorf("epoch %s of %s", es[0].Epoch, l.Epoch())
	}
}

func TestAppendReadReopen(t *testing.T) {
	dir := t.TempDir()
	l := testLog(t, dir)
	for i := range 100 {
		got := mustAppend(t, l, draft(event.SeverityAlarm, fmt.Sprint("a", i)), draft(event.SeverityTrace, fmt.Sprint("t", i)))
		if got[0].Seq != uint64(2+2*i) || got[1].Seq != got[0].Seq+1 || got[0].Lane != event.LaneAlarm {
			t.Fatalf("append %d: %+v", i, got)
		}
	}
	epoch := l.Epoch()
	if err := l.SetCursor("changshan", event.LaneAlarm, 50); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = testLog(t, dir)
	if l.Epoch() != epoch || l.LastSeq() != 201 || l.Head(event.LaneAlarm) != 200 {
		t.Fatalf("after reopen: epoch %s, last %d, heads %v", l.Epoch(), l.LastSeq(), l.Heads())
	}
	es := readAll(t, l, event.LaneAlarm)
	if len(es) != 100 {
		t.Fatalf("%d alarms", len(es))
	}
	for i, e := range es {
		if text, _ := e.Body.Text(event.TagText); text != fmt.Sprint("a", i) || e.Seq != uint64(2+2*i) {
			t.Fatalf("alarm %d is %+v", i, e)
		}
	}
	if at, err := l.Cursor("changshan", event.LaneAlarm); at != 50 || err != nil {
		t.Fatalf("cursor %d, %v", at, err)
	}
	if s := l.Stats(); s.Lanes[event.LaneAlarm].Count != 100 || !s.ReserveHeld || s.Full || s.Holes != 0 || s.Err != nil {
		t.Errorf("stats %+v", s)
	}
	if got := mustAppend(t, l, draft(event.SeverityNotice, "next")); got[0].Seq != 202 {
		t.Errorf("next seq %d", got[0].Seq)
	}
}
