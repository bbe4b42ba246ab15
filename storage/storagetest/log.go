// Whoever stores events for a station promises the same few things, on disk or in memory; this is where the promises
// are put to the test, beside a log in memory for the tests of others.
package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

// Appender takes events.
type Appender interface {
	Append(ctx context.Context, drafts ...event.Draft) ([]eventlog.Appended, error)
	Epoch() event.Epoch
}

// Reader gives them back, lane by lane.
type Reader interface {
	Read(lane event.Lane, after uint64, n int) ([]event.Event, error)
	Head(lane event.Lane) uint64
	Heads() map[event.Lane]uint64
	LastSeq() uint64
	Wake() <-chan struct{}
}

// Cursors remember how far each centre has each lane.
type Cursors interface {
	Cursor(centre string, lane event.Lane) (uint64, error)
	SetCursor(centre string, lane event.Lane, upto uint64) error
}

// Log is what an event log has to be.
type Log interface {
	Appender
	Reader
	Cursors
	io.Closer
}

var _ Log = (*eventlog.Log)(nil)

// Draft is a valid draft of an event whose text field says text.
func Draft(severity event.Severity, text string) event.Draft {
	return event.Draft{
		At: time.Unix(1_800_000_000, 0).UTC(), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew,
		Zone: "door", Source: "line/door", Severity: severity, Body: event.NewBody(event.Text(event.TagText, text)),
	}
}

// TestLog holds a log to its contract. open answers a new log of one station each time; TestLog closes it.
func TestLog(t *testing.T, open func(t *testing.T) Log) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Log)
	}{
		{"begins with log.opened", beginsOpened},
		{"keeps order over lanes", keepsOrder},
		{"reads a part", readsPart},
		{"all drafts or none", allOrNone},
		{"refuses too much at once", refusesTooMuch},
		{"knows a repetition", knowsRepetition},
		{"forgets old keys", forgetsOldKeys},
		{"wakes its readers", wakesReaders},
		{"cursors only go on", cursorsGoOn},
		{"takes many at once", takesMany},
		{"ends", ends},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := open(t)
			defer func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}()
			c.test(t, l)
		})
	}
}

func must(t *testing.T, l Log, drafts ...event.Draft) []eventlog.Appended {
	t.Helper()
	got, err := l.Append(t.Context(), drafts...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func read(t *testing.T, l Log, lane event.Lane, after uint64, n int) []event.Event {
	t.Helper()
	es, err := l.Read(lane, after, n)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func text(e event.Event) string {
	s, _ := e.Body.Text(event.TagText)
	return s
}

func beginsOpened(t *testing.T, l Log) {
	es := read(t, l, event.LaneMain, 0, 10)
	if len(es) != 1 || es[0].Kind != event.KindLogOpened || es[0].Seq != 1 {
		t.Fatalf("a new log holds %+v", es)
	}
	if l.Epoch().IsZero() || es[0].Epoch != l.Epoch() {
		t.Errorf("epoch %s, the event's %s", l.Epoch(), es[0].Epoch)
	}
	if l.LastSeq() != 1 || l.Head(event.LaneMain) != 1 || l.Head(event.LaneAlarm) != 0 || len(l.Heads()) != 1 {
		t.Errorf("last %d, heads %v", l.LastSeq(), l.Heads())
	}
}

func keepsOrder(t *testing.T, l Log) {
	severities := []event.Severity{event.SeverityAlarm, event.SeverityTrace, event.SeverityWarning, event.SeverityNotice}
	want := make(map[event.Lane][]string)
	for i := range 60 {
		d := Draft(severities[i*i%4], fmt.Sprint(i))
		lane := event.LaneOf(d.Kind, d.Severity)
		got := must(t, l, d)
		if len(got) != 1 || got[0] != (eventlog.Appended{Seq: uint64(i + 2), Lane: lane}) {
			t.Fatalf("append %d answered %+v", i, got)
		}
		want[lane] = append(want[lane], fmt.Sprint(i))
	}
	for lane, texts := range want {
		es := read(t, l, lane, 1, 100)
		if len(es) != len(texts) || es[len(es)-1].Seq != l.Head(lane) {
			t.Fatalf("lane %s: %d events up to %d, want %d", lane, len(es), l.Head(lane), len(texts))
		}
		for i, e := range es {
			if text(e) != texts[i] || e.Lane != lane || i > 0 && e.Seq <= es[i-1].Seq {
				t.Fatalf("lane %s, event %d: %+v, want text %s", lane, i, e, texts[i])
			}
		}
	}
	if l.LastSeq() != 61 {
		t.Errorf("last seq %d", l.LastSeq())
	}
}

func readsPart(t *testing.T, l Log) {
	for i := range 10 {
		must(t, l, Draft(event.SeverityAlarm, fmt.Sprint(i))) // seqs 2 to 11
	}
	for _, c := range []struct {
		after uint64
		n     int
		first string
		count int
	}{{0, 3, "0", 3}, {4, 3, "3", 3}, {9, 5, "8", 2}, {11, 5, "", 0}, {1 << 40, 5, "", 0}, {0, 0, "", 0}, {0, -1, "", 0}} {
		es := read(t, l, event.LaneAlarm, c.after, c.n)
		if len(es) != c.count || c.count > 0 && text(es[0]) != c.first {
			t.Errorf("Read(after %d, %d): %d events, want %d from %q", c.after, c.n, len(es), c.count, c.first)
		}
	}
}

func allOrNone(t *testing.T, l Log) {
	bad := Draft(event.SeverityAlarm, "no time")
	bad.At = time.Time{}
	if got, err := l.Append(t.Context(), Draft(event.SeverityAlarm, "good"), bad); err == nil || got != nil {
		t.Fatalf("a draft without time: %v, %v", got, err)
	}
	if l.LastSeq() != 1 || len(read(t, l, event.LaneAlarm, 0, 10)) != 0 {
		t.Errorf("part of a refused append was stored: last %d", l.LastSeq())
	}
	if got := must(t, l, Draft(event.SeverityAlarm, "next")); got[0].Seq != 2 {
		t.Errorf("a refused append took a seq: next is %d", got[0].Seq)
	}
	if got, err := l.Append(t.Context()); got != nil || err != nil {
		t.Errorf("nothing appended: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, Draft(event.SeverityAlarm, "too late")); !errors.Is(err, context.Canceled) || l.LastSeq() != 2 {
		t.Errorf("append after its context: %v, last %d", err, l.LastSeq())
	}
}

func refusesTooMuch(t *testing.T, l Log) {
	many := make([]event.Draft, eventlog.MaxDrafts+1)
	for i := range many {
		many[i] = Draft(event.SeverityTrace, "x")
	}
	large := make([]event.Draft, 20)
	for i := range large {
		large[i] = Draft(event.SeverityTrace, strings.Repeat("x", event.MaxRecord-200))
	}
	for _, drafts := range [][]event.Draft{many, large} {
		if _, err := l.Append(t.Context(), drafts...); !errors.Is(err, eventlog.ErrTooLarge) || l.LastSeq() != 1 {
			t.Errorf("%d drafts: %v, last %d", len(drafts), err, l.LastSeq())
		}
	}
	if got := must(t, l, many[1:]...); len(got) != eventlog.MaxDrafts || got[len(got)-1].Seq != eventlog.MaxDrafts+1 {
		t.Errorf("as many as go: %d", len(got))
	}
	must(t, l, large[:15]...)
}

func knowsRepetition(t *testing.T, l Log) {
	once := func(source, key string) event.Draft {
		d := Draft(event.SeverityAlarm, key)
		d.Source, d.Once = source, key
		return d
	}
	first := must(t, l, once("dc09/1", "k"), once("dc09/1", "k"), once("dc09/2", "k"))
	want := []eventlog.Appended{{Seq: 2, Lane: event.LaneAlarm}, {Seq: 2, Lane: event.LaneAlarm, Repeat: true}, {Seq: 3, Lane: event.LaneAlarm}}
	for i := range want {
		if first[i] != want[i] {
			t.Fatalf("within one append: %+v", first)
		}
	}
	again := once("dc09/1", "k")
	again.Severity = event.SeverityTrace // what was stored counts
	if got := must(t, l, again); got[0] != want[1] || l.LastSeq() != 3 {
		t.Errorf("told again: %+v, last %d", got, l.LastSeq())
	}
	bad := once("dc09/1", "other")
	bad.At = time.Time{}
	if _, err := l.Append(t.Context(), once("dc09/1", "undone"), bad); err == nil {
		t.Error("a draft without time was stored")
	}
	if got := must(t, l, once("dc09/1", "undone")); got[0].Repeat {
		t.Error("the key of a refused append is known")
	}
}

func forgetsOldKeys(t *testing.T, l Log) {
	put := func(i int) eventlog.Appended {
		d := Draft(event.SeverityAlarm, "x")
		d.Once = fmt.Sprint("key", i)
		return must(t, l, d)[0]
	}
	for i := range event.OnceKept + 1 {
		put(i)
	}
	if got := put(1); !got.Repeat || got.Seq != 3 {
		t.Errorf("one of the last %d keys: %+v", event.OnceKept, got)
	}
	if got := put(0); got.Repeat {
		t.Errorf("the key before the last %d: %+v", event.OnceKept, got)
	}
}

func wakesReaders(t *testing.T, l Log) {
	wake := l.Wake()
	select {
	case <-wake:
		t.Fatal("awake before an append")
	default:
	}
	must(t, l, Draft(event.SeverityAlarm, "x"))
	select {
	case <-wake:
	case <-time.After(10 * time.Second):
		t.Fatal("not awake after an append")
	}
	if l.Wake() == wake {
		t.Error("a used signal is handed out again")
	}
}

func cursorsGoOn(t *testing.T, l Log) {
	for range 5 {
		must(t, l, Draft(event.SeverityAlarm, "x"))
	}
	set := func(centre string, lane event.Lane, upto, want uint64) {
		t.Helper()
		if err := l.SetCursor(centre, lane, upto); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Cursor(centre, lane); err != nil || got != want {
			t.Errorf("cursor after %d: %d, %v, want %d", upto, got, err, want)
		}
	}
	set("changshan", event.LaneAlarm, 3, 3)
	set("changshan", event.LaneAlarm, 2, 3)
	set("changshan", event.LaneMain, 1, 1)
	set("yushan", event.LaneAlarm, 6, 6)
	set("changshan", event.LaneAlarm, 3, 3)
	if err := l.SetCursor("yushan", event.LaneAlarm, 7); err == nil {
		t.Error("a cursor beyond the head")
	}
	if err := l.SetCursor("", event.LaneAlarm, 1); err == nil {
		t.Error("a cursor of nobody")
	}
	if got, err := l.Cursor("nobody", event.LaneAlarm); got != 0 || err != nil {
		t.Errorf("an unknown centre's cursor: %d, %v", got, err)
	}
}

func takesMany(t *testing.T, l Log) {
	const writers, each = 16, 20
	var all sync.Map
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				got, err := l.Append(t.Context(), Draft(event.SeverityAlarm, fmt.Sprint(w, "-", i)), Draft(event.SeverityTrace, "t"))
				if err != nil || len(got) != 2 || got[1].Seq != got[0].Seq+1 {
					t.Errorf("writer %d: %+v, %v", w, got, err)
					return
				}
				all.Store(got[0].Seq, fmt.Sprint(w, "-", i))
			}
		})
	}
	wg.Wait()
	es := read(t, l, event.LaneAlarm, 0, writers*each+1)
	if len(es) != writers*each || l.LastSeq() != 1+2*writers*each {
		t.Fatalf("%d events, last seq %d", len(es), l.LastSeq())
	}
	for _, e := range es {
		if want, _ := all.Load(e.Seq); want != text(e) {
			t.Fatalf("seq %d is %q, its writer was told %v", e.Seq, text(e), want)
		}
	}
}

func ends(t *testing.T, l Log) {
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), Draft(event.SeverityAlarm, "x")); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, err := l.Read(event.LaneMain, 0, 1); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := l.SetCursor("changshan", event.LaneMain, 1); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("cursor after close: %v", err)
	}
}
