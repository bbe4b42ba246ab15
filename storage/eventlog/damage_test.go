package eventlog

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// asKilled copies the directory of an open log as a kill at this moment would leave it.
//
// Badger may be busy: a copy during which files came or went is no moment's picture, and is taken again.
func asKilled(t *testing.T, l *Log) string {
	t.Helper()
	names := func() []string {
		all, err := filepath.Glob(filepath.Join(l.badgerDir(), "*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for range 100 {
		to, before := t.TempDir(), names()
		err := copyLog(l.opt.Dir, to)
		if err == nil && slices.Equal(before, names()) {
			return to
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Fatal("the log's files never keep still")
	return ""
}

// copyLog copies all files but the reserve.
func copyLog(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, name)
		if err != nil || rel == reserveFile {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(name)
		return errors.Join(err, os.WriteFile(filepath.Join(to, rel), b, 0o600))
	})
}

// written makes a log with n alarms of 1,000 random bytes, a trace after each, and closes it.
func written(t *testing.T, n int) (dir string, epoch event.Epoch) {
	t.Helper()
	l := testLog(t, t.TempDir())
	fill(t, l, n)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.opt.Dir, l.Epoch()
}

func fill(t *testing.T, l *Log, n int) {
	t.Helper()
	noise := make([]byte, 1000)
	for range n {
		_, _ = rand.Read(noise)
		alarm := draft(event.SeverityAlarm, "")
		alarm.Body = event.NewBody(event.Bytes(event.TagBytes, noise))
		mustAppend(t, l, alarm, draft(event.SeverityTrace, "t"))
	}
}

func one(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	return names[len(names)-1]
}

// change rewrites a file.
func change(t *testing.T, name string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func cutTo(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:min(n, len(b))] } }

func garbage(b []byte) []byte {
	_, _ = rand.Read(b)
	return b
}

// What Badger cannot read is set aside whole; an empty log begins and says so, whatever is broken and however often.
func TestSetAside(t *testing.T) {
	for _, c := range []struct {
		name string
		file string
		do   func([]byte) []byte // nil = the file is removed
	}{
		{"manifest garbage", "MANIFEST", garbage},
		{"manifest empty", "MANIFEST", cutTo(0)},
		{"manifest gone", "MANIFEST", nil},
		{"table cut", "*.sst", cutTo(5000)},
		{"table cut to nothing", "*.sst", cutTo(0)},
		{"table cut to a byte", "*.sst", cutTo(1)},
		{"table garbage", "*.sst", garbage},
		{"table's end garbage", "*.sst", func(b []byte) []byte { garbage(b[len(b)-40:]); return b }},
		{"table's index garbage", "*.sst", func(b []byte) []byte { garbage(b[len(b)-200 : len(b)-100]); return b }},
		{"table gone", "*.sst", nil},
		{"value log garbage", "*.vlog", func([]byte) []byte { return garbage(make([]byte, 4096)) }},
		{"key registry garbage", "KEYREGISTRY", garbage},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, epoch := written(t, 200)
			name := one(t, filepath.Join(dir, badgerName, c.file))
			if c.do == nil {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			} else {
				change(t, name, c.do)
			}
			l := testLog(t, dir)
			es := readAll(t, l, event.LaneMain)
			if len(es) != 1 || es[0].Seq != 1 || l.Epoch() == epoch || l.LastSeq() != 1 {
				t.Fatalf("a new log begins with %+v", es)
			}
			body := es[0].Body
			prev, _ := body.Bytes(event.TagPrevEpoch)
			alarm, _ := body.Uint(event.TagLastAlarm)
			trace, _ := body.Uint(event.TagLastTrace)
			if why, _ := body.Text(event.TagReason); why != openedBroken || !bytes.Equal(prev, epoch[:]) || alarm != 400 || trace != 401 {
				t.Errorf("first event says %s, prev %x (was %s), alarm %d, trace %d", why, prev, epoch, alarm, trace)
			}
			if _, err := os.Stat(filepath.Join(dir, corruptName+"1")); err != nil {
				t.Error("nothing was set aside: ", err)
			}
			mustAppend(t, l, draft(event.SeverityAlarm, "after"))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if again := testLog(t, dir); again.LastSeq() != 2 || again.Epoch() != l.Epoch() {
				t.Errorf("the new log is not kept: last seq %d", again.LastSeq())
			}
		})
	}
}

func TestSetAsideKeepsThree(t *testing.T) {
	dir, _ := written(t, 1)
	for range 5 {
		change(t, filepath.Join(dir, badgerName, "MANIFEST"), garbage)
		l := testLog(t, dir)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := filepath.Glob(filepath.Join(dir, corruptName+"*"))
	if len(names) != keepCorrupt || !strings.HasSuffix(names[0], "-3") || !strings.HasSuffix(names[2], "-5") {
		t.Errorf("set aside: %v", names)
	}
}

// A log that vanished is told as such, and keys that it knew are new ones.
func TestLostLog(t *testing.T) {
	dir := t.TempDir()
	l := testLog(t, dir)
	d := draft(event.SeverityAlarm, "x")
	d.Once = "key"
	mustAppend(t, l, d)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, badgerName)); err != nil {
		t.Fatal(err)
	}
	now := testLog(t, dir)
	opened := readAll(t, now, event.LaneMain)[0]
	if why, _ := opened.Body.Text(event.TagReason); why != openedLost || now.Epoch() == l.Epoch() {
		t.Errorf("first event: %+v", opened)
	}
	if got := mustAppend(t, now, d)[0]; got.Repeat || got.Seq != 2 {
		t.Errorf("a key of the lost log: %+v", got)
	}
}

// Empty files are what a power cut leaves of files just made. They hold nothing, so nothing is lost.
func TestEmptyFiles(t *testing.T) {
	for _, names := range [][]string{{"00099.mem"}, {"00098.mem", "00099.mem"}, {"00099.mem", "000099.vlog"}} {
		l := testLog(t, t.TempDir())
		fill(t, l, 20)
		dir := asKilled(t, l)
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, badgerName, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		now := testLog(t, dir)
		if now.Epoch() != l.Epoch() || now.LastSeq() != 41 || len(readAll(t, now, event.LaneAlarm)) != 20 {
			t.Errorf("with %v: epoch %s (was %s), last seq %d", names, now.Epoch(), l.Epoch(), now.LastSeq())
		}
	}
}

// A cut write-ahead log loses its tail. What is left stays, no seq is given twice, and the loss is told.
func TestCutWAL(t *testing.T) {
	l := testLog(t, t.TempDir())
	fill(t, l, 100)
	dir := asKilled(t, l)
	change(t, filepath.Join(dir, badgerName, "00001.mem"), cutTo(60_000))
	now := testLog(t, dir)
	alarms := readAll(t, now, event.LaneAlarm)
	if now.Epoch() != l.Epoch() || len(alarms) < 40 || len(alarms) > 60 {
		t.Fatalf("epoch %s (was %s), %d alarms left", now.Epoch(), l.Epoch(), len(alarms))
	}
	got := mustAppend(t, now, draft(event.SeverityAlarm, "after"))[0]
	if got.Seq <= l.LastSeq() {
		t.Errorf("seq %d was given before the cut", got.Seq)
	}
	wantHole(t, now, event.LaneAlarm, alarms[len(alarms)-1].Seq+1, l.LastSeq())
	if es := readAll(t, now, event.LaneAlarm); len(es) != len(alarms)+1 {
		t.Errorf("%d alarms, were %d", len(es), len(alarms))
	}
	if err := now.Close(); err != nil {
		t.Fatal(err)
	}
	markers := len(readAll(t, testLog(t, dir), event.LaneMain))
	if markers != 3 { // log.opened, and one marker for each of the two lanes
		t.Errorf("%d events in the main lane after reopening", markers)
	}
}

// wantHole wants a marker that covers a range of a lane.
func wantHole(t *testing.T, l *Log, lane event.Lane, from, upto uint64) {
	t.Helper()
	for _, e := range readAll(t, l, event.LaneMain) {
		why, _ := e.Body.Text(event.TagReason)
		of, _ := e.Body.Uint(event.TagLane)
		a, _ := e.Body.Uint(event.TagFrom)
		b, _ := e.Body.Uint(event.TagUpto)
		if e.Kind == event.KindLogEvicted && why == reasonDamaged.String() && event.Lane(of) == lane && a <= from && upto <= b {
			return
		}
	}
	t.Errorf("no marker tells that %d to %d of lane %s are gone", from, upto, lane)
}

// until appends a trace at a time until the log has told n holes.
func untilHoles(t *testing.T, l *Log, n int) {
	t.Helper()
	for range 100 {
		mustAppend(t, l, draft(event.SeverityTrace, "t"))
		l.mu.Lock()
		untold := len(l.untold)
		l.mu.Unlock()
		if untold == 0 && l.Stats().Holes >= n {
			return
		}
	}
	t.Fatalf("%d holes, want %d", l.Stats().Holes, n)
}

// A record that fails its checksum is stepped over and told once, however often it is met.
func TestBadRecords(t *testing.T) {
	l := testLog(t, t.TempDir())
	fill(t, l, 20) // alarms at 2, 4 … 40
	for _, seq := range []uint64{2, 10, 12, 14, 40} {
		err := l.db.Update(func(txn *badger.Txn) error {
			return txn.Set(eventKey(event.LaneAlarm, seq), []byte("not what was written"))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if es := readAll(t, l, event.LaneAlarm); len(es) != 15 {
			t.Fatalf("%d alarms can be read, want 15", len(es))
		}
	}
	untilHoles(t, l, 3)
	wantHole(t, l, event.LaneAlarm, 2, 2)
	wantHole(t, l, event.LaneAlarm, 10, 14)
	wantHole(t, l, event.LaneAlarm, 40, 40)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	now := testLog(t, l.opt.Dir)
	if got := mustAppend(t, now, draft(event.SeverityAlarm, "x"))[0]; got.Seq != l.LastSeq()+1 {
		t.Errorf("next seq %d after %d", got.Seq, l.LastSeq())
	}
	if es := readAll(t, now, event.LaneAlarm); len(es) != 16 || now.Stats().Holes != 3 {
		t.Errorf("after reopening: %d alarms, %d holes", len(es), now.Stats().Holes)
	}
	if n := len(readAll(t, now, event.LaneMain)); n != 4 {
		t.Errorf("%d events in the main lane, want log.opened and 3 markers", n)
	}
}

// A bad block in the midst of a table takes only its own events with it.
func TestBadBlock(t *testing.T) {
	dir, epoch := written(t, 300)
	name := one(t, filepath.Join(dir, badgerName, "*.sst"))
	change(t, name, func(b []byte) []byte { garbage(b[100_000:100_100]); return b })
	l := testLog(t, dir)
	if l.Epoch() != epoch {
		t.Fatal("the whole log was set aside for one block")
	}
	es := readAll(t, l, event.LaneAlarm)
	if len(es) > 299 || len(es) < 280 {
		t.Errorf("%d of 300 alarms are left", len(es))
	}
	untilHoles(t, l, 1)
	for i, e := range es {
		if i > 0 && e.Seq > es[i-1].Seq+2 {
			wantHole(t, l, event.LaneAlarm, es[i-1].Seq+1, e.Seq-2)
		}
	}
}

// After a few starts without a good end, every block is looked at before Badger meets it.
func TestManyBadEnds(t *testing.T) {
	dir, epoch := written(t, 300)
	change(t, one(t, filepath.Join(dir, badgerName, "*.sst")), func(b []byte) []byte { garbage(b[100_000:100_100]); return b })
	h, turn := readHeads(dir)
	h.starts = suspicious - 1
	k, err := keepHeads(dir, h, turn)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	if l := testLog(t, dir); l.Epoch() == epoch {
		t.Error("the bad block was not found")
	}
}

// A log of an earlier format is set aside whole; nothing of it is taken for what it is not.
func TestOldFormat(t *testing.T) {
	dir, epoch := written(t, 20)
	if err := os.Remove(filepath.Join(dir, headsFile)); err != nil { // it was of another format, too
		t.Fatal(err)
	}
	db, err := badger.Open(tiny(filepath.Join(dir, badgerName), nil, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	key, old := metaKey(metaLog), encodeMeta(testStation, epoch)
	old[0] = metaFormat - 1
	err = db.Update(func(txn *badger.Txn) error { return txn.Set(key, seal(key, old)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	l := testLog(t, dir)
	opened := readAll(t, l, event.LaneMain)[0]
	why, _ := opened.Body.Text(event.TagReason)
	detail, _ := opened.Body.Text(event.TagDetail)
	if l.Epoch() == epoch || opened.Kind != event.KindLogOpened || why != openedBroken || !strings.Contains(detail, "format") {
		t.Errorf("epoch %s, then %s, opened by %+v", epoch, l.Epoch(), opened)
	}
	one(t, filepath.Join(dir, corruptName+"1"))
}

func TestOtherStation(t *testing.T) {
	dir, epoch := written(t, 1)
	opt := testOptions(t, dir)
	opt.Station = "ys-other"
	if _, err := Open(opt); !errors.Is(err, ErrStation) || !strings.Contains(err.Error(), testStation) {
		t.Errorf("another station's log: %v", err)
	}
	if l := testLog(t, dir); l.Epoch() != epoch {
		t.Error("the log was thrown away")
	}
}

func TestIsDamage(t *testing.T) {
	for _, err := range []error{unix.ENOSPC, fmt.Errorf("x: %w", unix.EIO), errors.New("open x: permission denied"), nil} {
		if isDamage(err) {
			t.Errorf("%v is taken for damage", err)
		}
	}
	for _, err := range []error{errors.New("manifest has bad magic"), fmt.Errorf("%w: cut", errDamage), unix.EINVAL} {
		if !isDamage(err) {
			t.Errorf("%v is not taken for damage", err)
		}
	}
}

// A Badger that is held by something else than an agent, such as a tool on a technician's bench.
func TestBadgerHeld(t *testing.T) {
	dir, epoch := written(t, 1)
	db, err := badger.Open(tiny(filepath.Join(dir, badgerName), nil, testOptions(t, dir).Log))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testOptions(t, dir)); !errors.Is(err, ErrLocked) {
		t.Errorf("open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if l := testLog(t, dir); l.Epoch() != epoch {
		t.Error("a held log was set aside")
	}
}

// An opening that lasts is a good one, though it never ends in good order: a box without a switch is no suspect.
func TestCalm(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		l := testLog(t, dir)
		if h, _ := readHeads(dir); h.starts != 1 {
			t.Fatalf("opening %d counts as the %dth bad one", i+1, h.starts)
		}
		l.mu.Lock()
		l.opened = l.opened.Add(-2 * calm)
		l.mu.Unlock()
		mustAppend(t, l, draft(event.SeverityTrace, "t"))
		dir = asKilled(t, l)
	}
}
