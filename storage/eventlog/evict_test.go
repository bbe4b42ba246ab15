package eventlog

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// evictions are the markers of a log that tell what was evicted to make room, in order.
func evictions(t testing.TB, l *Log) (all []hole) {
	t.Helper()
	for _, e := range readAll(t, l, event.LaneMain) {
		if why, _ := e.Body.Text(event.TagReason); e.Kind != event.KindLogEvicted || why != reasonSpace.String() {
			continue
		}
		number := func(tag event.Tag) uint64 { n, _ := e.Body.Uint(tag); return n }
		all = append(all, hole{
			lane: event.Lane(number(event.TagLane)), span: span{number(event.TagFrom), number(event.TagUpto)},
			count: number(event.TagCount), unreceipted: number(event.TagUnreceipted), marker: e.Seq,
		})
	}
	return all
}

// settled waits until nothing is over its bound and what is gone is deleted.
func settled(t testing.TB, l *Log) {
	t.Helper()
	waitFor(t, "settled", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !slices.ContainsFunc(evictable(), func(lane event.Lane) bool { return l.over(lane) > 0 })
	})
}

func keeping(t testing.TB, dir string, keep map[event.Lane]int64, centres ...string) *Log {
	t.Helper()
	opt := testOptions(t, dir)
	opt.Keep, opt.Centres = keep, centres
	l, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A lane over its bound loses its oldest events; markers say which, how many, and how many no receipt covered. Other lanes
// keep theirs, a cursor far behind reads on with what is left, and a restart changes nothing.
func TestEvictsOverBound(t *testing.T) {
	const bound, n = 64 << 10, 1000
	dir := t.TempDir()
	l := keeping(t, dir, map[event.Lane]int64{event.LaneTrace: bound}, "changshan", "yushan")
	big := strings.Repeat("x", 500)
	for i := range n {
		mustAppend(t, l, draft(event.SeverityTrace, fmt.Sprint(i, " ", big)), draft(event.SeverityAlarm, "a"))
		if i == 100 {
			for _, centre := range l.opt.Centres {
				if err := l.SetCursor(centre, event.LaneTrace, l.Head(event.LaneTrace)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	settled(t, l)
	check := func(l *Log) {
		t.Helper()
		s := l.Stats()
		trace := s.Lanes[event.LaneTrace]
		left := readAll(t, l, event.LaneTrace)
		if trace.Bytes > bound || trace.Bytes < bound/2 || trace.Count != uint64(len(left)) || trace.Evicted+trace.Count != n {
			t.Errorf("the lane holds %+v, %d can be read", trace, len(left))
		}
		if trace.First != left[0].Seq || trace.Unreceipted != trace.Evicted-101 || s.Holes != 0 {
			t.Errorf("first kept %d, stats %+v", left[0].Seq, s)
		}
		if got := len(readAll(t, l, event.LaneAlarm)); got != n {
			t.Errorf("%d alarms", got)
		}
		var next, count, unreceipted uint64 = 1, 0, 0
		for _, h := range evictions(t, l) {
			if h.lane != event.LaneTrace || h.from != next {
				t.Fatalf("marker %+v, want one from %d", h, next)
			}
			next, count, unreceipted = h.upto+1, count+h.count, unreceipted+h.unreceipted
		}
		if next > left[0].Seq || left[0].Seq-next > 2 || count != trace.Evicted || unreceipted != trace.Unreceipted {
			t.Errorf("markers end before %d, %d events, %d unreceipted; first kept is %d", next, count, unreceipted, left[0].Seq)
		}
		if got, err := l.Read(event.LaneTrace, 5, 3); err != nil || len(got) != 3 || got[0].Seq != left[0].Seq {
			t.Errorf("a reader far behind: %v, %v", got, err)
		}
	}
	check(l)
	killed := asKilled(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, killed} {
		check(keeping(t, d, map[event.Lane]int64{event.LaneTrace: bound}, "changshan", "yushan"))
	}
}

// What is gone is deleted, a little at a time, and its space comes back.
func TestSweepFreesSpace(t *testing.T) {
	l := keeping(t, t.TempDir(), map[event.Lane]int64{event.LaneTrace: 1 << 20})
	drafts := make([]event.Draft, 128)
	for i := range drafts {
		drafts[i] = benchDraft(t, event.SeverityTrace)
	}
	for range 1000 { // 64 MB
		mustAppend(t, l, drafts...)
	}
	settled(t, l)
	waitFor(t, "swept", func() bool {
		first, err := l.firstKey(event.LaneTrace, 0)
		if err != nil {
			t.Fatal(err)
		}
		return (l.evicted(event.LaneTrace)+1)>>bucketBits-first>>bucketBits < sweepFrom
	})
	var tables int64
	for _, level := range l.db.Levels() {
		tables += level.Size
	}
	if tables > 24<<20 { // two buckets that are gone, the one in use, level 0
		t.Errorf("%d bytes of tables for a lane of 1 MB:\n%s", tables, l.db.LevelsToString())
	}
}

// Markers that are evicted themselves are told again, as one, as long as a required centre has not received them.
func TestMarkersToldAgain(t *testing.T) {
	dir := t.TempDir()
	keep := map[event.Lane]int64{event.LaneMain: 16 << 10, event.LaneTrace: 4 << 10}
	l := keeping(t, dir, keep, "changshan")
	body := strings.Repeat("x", 300)
	for i := range 600 {
		mustAppend(t, l, draft(event.SeverityTrace, body), draft(event.SeverityNotice, body))
		if i%200 == 199 {
			settled(t, l)
			wantCovered(t, l)
		}
	}
	if n := len(evictions(t, l)); n > 60 {
		t.Errorf("%d markers are kept in a lane of 16 KB", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = keeping(t, dir, keep, "changshan")
	wantCovered(t, l)
	// What the centre has need not be told again.
	before := evictions(t, l)
	if err := l.SetCursor("changshan", event.LaneMain, l.Head(event.LaneMain)); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		mustAppend(t, l, draft(event.SeverityNotice, body))
	}
	settled(t, l)
	for _, h := range evictions(t, l) {
		if h.lane == event.LaneTrace && h.marker > before[len(before)-1].marker {
			t.Errorf("told again though the centre has it: %+v", h)
		}
	}
}

// wantCovered wants every seq of the log to be readable or told.
func wantCovered(t testing.TB, l *Log) {
	t.Helper()
	there := make(map[uint64]bool)
	for _, lane := range event.Lanes() {
		for _, e := range readAll(t, l, lane) {
			there[e.Seq] = true
		}
	}
	told := evictions(t, l)
	for seq := uint64(1); seq <= l.LastSeq(); seq++ {
		if !there[seq] && !slices.ContainsFunc(told, func(h hole) bool { return h.from <= seq && seq <= h.upto }) {
			t.Fatalf("seq %d is neither there nor told; %+v", seq, told)
		}
	}
}

// Damage in the front of a lane does not keep it from going.
func TestEvictsDamage(t *testing.T) {
	dir := t.TempDir()
	l := testLog(t, dir)
	for i := range 200 {
		mustAppend(t, l, draft(event.SeverityTrace, fmt.Sprint(i)))
	}
	for _, seq := range []uint64{2, 50, 51, 52, 100} {
		if err := l.db.Update(func(txn *badger.Txn) error {
			return txn.Set(eventKey(event.LaneTrace, seq), []byte("not what was written"))
		}); err != nil {
			t.Fatal(err)
		}
	}
	readAll(t, l, event.LaneTrace)
	untilHoles(t, l, 3)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = keeping(t, dir, map[event.Lane]int64{event.LaneTrace: 1000})
	mustAppend(t, l, draft(event.SeverityTrace, "x"))
	settled(t, l)
	wantCovered(t, l)
	if s := l.Stats(); s.Holes != 0 || s.Lanes[event.LaneTrace].Bytes > 1000 {
		t.Errorf("stats %+v", s)
	}
}

func TestKeepIsChecked(t *testing.T) {
	for _, keep := range []map[event.Lane]int64{{event.LaneAlarm: 1}, {event.LaneMain: 0}, {event.LaneMain: -1}, {9: 1}, {0: 1}} {
		opt := testOptions(t, t.TempDir())
		opt.Keep = keep
		if l, err := Open(opt); err == nil {
			t.Errorf("keep %v was taken", keep)
			_ = l.Close()
		}
	}
}

// A disk that runs short of room loses traces first, and goes on.
func TestEvictsForRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("160 MB are written without -short, on the machine's own processor")
	}
	disk := tinyDisk(t, "192m")
	l := keeping(t, filepath.Join(disk, "log"), nil)
	drafts := make([]event.Draft, 64)
	for i := range drafts {
		drafts[i] = benchDraft(t, event.SeverityTrace)
	}
	drafts[0] = draft(event.SeverityAlarm, "a")
	drafts[1] = draft(event.SeverityNotice, "n")
	alarms, refused := 0, 0
	for range 5000 { // 160 MB
		if _, err := l.Append(t.Context(), drafts...); err != nil {
			refused++
			waitFor(t, "room again", func() bool { _, err = l.Append(t.Context(), drafts[0]); return err == nil })
		}
		alarms++
	}
	s := l.Stats()
	t.Logf("refused %d times; %+v", refused, s)
	if got := s.Lanes[event.LaneAlarm].Count; got != uint64(alarms) {
		t.Errorf("%d of %d alarms", got, alarms)
	}
	if s.Lanes[event.LaneTrace].Evicted == 0 || s.Lanes[event.LaneMain].Evicted != 0 || s.Holes != 0 {
		t.Errorf("evicted: %+v", s)
	}
	told := evictions(t, l)
	if last := told[len(told)-1].upto; last >= s.Lanes[event.LaneTrace].First || s.Lanes[event.LaneTrace].First-last > 4 {
		t.Errorf("told up to %d, first kept %d", last, s.Lanes[event.LaneTrace].First)
	}
}
