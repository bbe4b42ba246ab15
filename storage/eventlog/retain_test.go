package eventlog

import (
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// retained is a log under test, with what it acknowledged.
type retained struct {
	t     *testing.T
	dir   string
	log   *Log
	keep  map[event.Lane]int64
	acked map[uint64]event.Lane
}

func (m *retained) open(t *rapid.T, dir string) {
	opt := testOptions(m.t, dir)
	opt.Keep, opt.Centres = m.keep, theCentres()
	l, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	m.dir, m.log = dir, l
}

func (m *retained) append(t *rapid.T) {
	drafts := make([]event.Draft, rapid.IntRange(1, 40).Draw(t, "drafts"))
	for i := range drafts {
		severity := rapid.SampledFrom([]event.Severity{event.SeverityTrace, event.SeverityTrace, event.SeverityNotice, event.SeverityAlarm}).Draw(t, "severity")
		drafts[i] = draft(severity, strings.Repeat("x", rapid.IntRange(0, 400).Draw(t, "size")))
	}
	got, err := m.log.Append(m.t.Context(), drafts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range got {
		m.acked[a.Seq] = a.Lane
	}
}

func theCentres() []string { return []string{"changshan", "yushan"} }

// receipt is one for any lane but main: there it might cover a marker, which may then go.
func (m *retained) receipt(t *rapid.T) {
	lane := rapid.SampledFrom([]event.Lane{event.LaneAlarm, event.LaneTrace}).Draw(t, "lane")
	upto := rapid.Uint64Range(0, m.log.Head(lane)).Draw(t, "upto")
	if err := m.log.SetCursor(rapid.SampledFrom(theCentres()).Draw(t, "centre"), lane, upto); err != nil {
		t.Fatal(err)
	}
}

// reopen goes on with the log as it is left by closing it, or by a kill at this moment.
func (m *retained) reopen(t *rapid.T) {
	dir := m.dir
	if rapid.Bool().Draw(t, "killed") {
		dir = asKilled(m.t, m.log)
	}
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t, dir)
}

// check wants every seq that was acknowledged to be readable, or covered by a marker that is; no alarm to be gone; and the lanes
// within their bounds.
func (m *retained) check(t *rapid.T) {
	there := make(map[uint64]bool)
	for _, lane := range event.Lanes() {
		for after := uint64(0); ; {
			es, err := m.log.Read(lane, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(es) == 0 {
				break
			}
			for _, e := range es {
				if e.Seq <= after {
					t.Fatalf("lane %s: seq %d after %d", lane, e.Seq, after)
				}
				there[e.Seq], after = true, e.Seq
			}
		}
	}
	told := evictions(m.t, m.log)
	for seq, lane := range m.acked {
		if !there[seq] && (lane == event.LaneAlarm || !slices.ContainsFunc(told, func(h hole) bool { return h.lane == lane && h.from <= seq && seq <= h.upto })) {
			t.Fatalf("seq %d of lane %s is neither there nor told; %+v", seq, lane, told)
		}
	}
	if s := m.log.Stats(); s.Holes > 0 || s.Err != nil {
		t.Fatalf("stats %+v", s)
	}
}

// Whatever is appended, receipted and evicted, and however the log ends in between, nothing goes without a word.
func TestRetention(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "log")
		if err != nil {
			rt.Fatal(err)
		}
		m := &retained{t: t, acked: make(map[uint64]event.Lane), keep: map[event.Lane]int64{
			event.LaneTrace: rapid.Int64Range(1000, 20_000).Draw(rt, "trace"), event.LaneMain: rapid.Int64Range(2000, 20_000).Draw(rt, "main"),
		}}
		m.open(rt, dir)
		defer func() { _ = m.log.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append more": m.append, "append still more": m.append, "receipt": m.receipt,
			"reopen": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "seldom") == 0 {
					m.reopen(t)
				}
			},
			"check": m.check,
		})
		settled(t, m.log)
		m.check(rt)
	})
}
