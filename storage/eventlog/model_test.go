package eventlog_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"pgregory.net/rapid"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

func open(t *rapid.T, dir string) *eventlog.Log {
	l, err := eventlog.Open(eventlog.Options{
		Dir: dir, Station: "cs-baishi-caoping", ReserveBytes: 16 << 20, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Whatever is done to it in whatever order, the log on disk answers as the one in memory does, also after it was closed
// and opened again.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "eventlog")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		m := &model{real: open(t, dir), want: storagetest.NewMemLog("cs-baishi-caoping")}
		defer func() { _ = m.real.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"cursor": m.cursor,
			"read":   m.read,
			"reopen": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "seldom") > 0 {
					return
				}
				if err := m.real.Close(); err != nil {
					t.Fatal(err)
				}
				m.real = open(t, dir)
			},
			"": m.heads,
		})
		for _, lane := range event.Lanes() {
			m.compare(t, lane, 0, 1000)
		}
	})
}

type model struct {
	real *eventlog.Log
	want *storagetest.MemLog
}

var (
	anyLane     = rapid.SampledFrom([]event.Lane{event.LaneAlarm, event.LaneMain, event.LaneRead, event.LaneTrace})
	anySeverity = rapid.SampledFrom([]event.Severity{0, event.SeverityTrace, event.SeverityNotice, event.SeverityWarning, event.SeverityAlarm})
	anyCentre   = rapid.SampledFrom([]string{"changshan", "yushan", "changshan2", ""})
)

func (m *model) append(t *rapid.T) {
	drafts := make([]event.Draft, rapid.IntRange(0, 40).Draw(t, "drafts"))
	for i := range drafts {
		severity := event.SeverityNotice
		if rapid.IntRange(0, 3).Draw(t, "plain") > 0 {
			severity = anySeverity.Draw(t, "severity") // 0 is none of ours: nothing of the call may be stored
		}
		drafts[i] = storagetest.Draft(severity, fmt.Sprint(i, rapid.StringN(0, 40, -1).Draw(t, "text")))
		drafts[i].Source = rapid.SampledFrom([]string{"dc09/1", "dc09/1\x00", "line/door"}).Draw(t, "source")
		if rapid.Bool().Draw(t, "once") {
			drafts[i].Once = fmt.Sprint(rapid.IntRange(0, 100).Draw(t, "key"))
		}
	}
	got, err := m.real.Append(t.Context(), drafts...)
	want, wantErr := m.want.Append(t.Context(), drafts...)
	if (err == nil) != (wantErr == nil) || len(got) != len(want) {
		t.Fatalf("append of %d: %d, %v; want %d, %v", len(drafts), len(got), err, len(want), wantErr)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("draft %d of %d: %+v, want %+v", i, len(drafts), got[i], want[i])
		}
	}
}

func (m *model) cursor(t *rapid.T) {
	centre, lane := anyCentre.Draw(t, "centre"), anyLane.Draw(t, "lane")
	upto := rapid.Uint64Range(0, m.want.LastSeq()+1).Draw(t, "upto")
	err, wantErr := m.real.SetCursor(centre, lane, upto), m.want.SetCursor(centre, lane, upto)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("cursor of %q in %s to %d: %v, want %v", centre, lane, upto, err, wantErr)
	}
	for _, l := range event.Lanes() {
		got, err := m.real.Cursor(centre, l)
		want, wantErr := m.want.Cursor(centre, l)
		if got != want || !errors.Is(err, wantErr) {
			t.Fatalf("cursor of %q in %s: %d, %v; want %d", centre, l, got, err, want)
		}
	}
}

func (m *model) read(t *rapid.T) {
	m.compare(t, anyLane.Draw(t, "lane"), rapid.Uint64Range(0, m.want.LastSeq()+1).Draw(t, "after"), rapid.IntRange(0, 50).Draw(t, "n"))
}

func (m *model) heads(t *rapid.T) {
	got, want := m.real.Heads(), m.want.Heads()
	if fmt.Sprint(got) != fmt.Sprint(want) || m.real.LastSeq() != m.want.LastSeq() {
		t.Fatalf("heads %v, last %d; want %v, %d", got, m.real.LastSeq(), want, m.want.LastSeq())
	}
}

// compare reads the same from both. The log.opened events differ in epoch and time.
func (m *model) compare(t *rapid.T, lane event.Lane, after uint64, n int) {
	got, err := m.real.Read(lane, after, n)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := m.want.Read(lane, after, n)
	if len(got) != len(want) {
		t.Fatalf("lane %s after %d: %d events, want %d", lane, after, len(got), len(want))
	}
	for i := range got {
		if got[i].Epoch != m.real.Epoch() || got[i].Seq != want[i].Seq {
			t.Fatalf("lane %s, event %d: %+v, want %+v", lane, i, got[i], want[i])
		}
		if got[i].Epoch = want[i].Epoch; got[i].Seq > 1 && fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
			t.Fatalf("lane %s, event %d: %+v, want %+v", lane, i, got[i], want[i])
		}
	}
}
