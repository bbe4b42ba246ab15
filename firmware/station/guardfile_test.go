package station

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

// keptDraft is a stamped draft of arming's.
func keptDraft() event.Draft {
	return event.Draft{
		At: time.Unix(1700000000, 123).UTC(), KernelNS: 42, BootID: 7, ClockQuality: event.ClockSynced, Kind: event.KindAlarmRaised,
		Qualifier: event.QualifierNew, Zone: "hall", Source: "partition/house", Severity: event.SeverityAlarm, Once: "arming/3",
		Body: event.NewBody(event.Text(event.TagPartition, "house"), event.Uint(event.TagLineSeq, 9)),
	}
}

func testJournal(t *testing.T) journal {
	t.Helper()
	p, err := keep(keptDraft())
	if err != nil {
		t.Fatal(err)
	}
	return journal{Machine: json.RawMessage(`{"v":1,"text":"草坪 <&>"}`), Pending: []pendingEvent{p}, Veiled: []uint64{3, 9}, Epoch: "0123456789abcdef"}
}

func TestTheJournalComesBackAsItWas(t *testing.T) {
	dir := t.TempDir()
	f := &journalFile{path: filepath.Join(dir, journalName)}
	if j, err := f.load(); err != nil || j.Machine != nil {
		t.Fatalf("a first start: %+v, %v", j, err)
	}
	if err := f.save(testJournal(t)); err != nil {
		t.Fatal(err)
	}
	again := &journalFile{path: f.path}
	j, err := again.load()
	if err != nil || len(j.Pending) != 1 || !reflect.DeepEqual(j.Veiled, []uint64{3, 9}) || j.Epoch != "0123456789abcdef" {
		t.Fatalf("%+v, %v", j, err)
	}
	var machine struct{ Text string }
	if err := json.Unmarshal(j.Machine, &machine); err != nil || machine.Text != "草坪 <&>" {
		t.Errorf("machine %s: %v", j.Machine, err)
	}
	if d, err := j.Pending[0].draft(); err != nil || !reflect.DeepEqual(d, keptDraft()) {
		t.Errorf("%+v, want %+v; %v", d, keptDraft(), err)
	}
	if info, err := os.Stat(f.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Equal bytes are not written again: the file's inode stays.
	before, err := os.Stat(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.save(testJournal(t)), again.save(j)); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(f.path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the same journal was written again: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("beside the journal: %v, %v", left, err)
	}
}

// A disk that takes nothing is an error, and once it takes something again the journal is written although nothing has changed.
func TestAJournalThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	f := &journalFile{path: filepath.Join(dir, journalName)}
	for range 2 {
		if err := f.save(testJournal(t)); err == nil {
			t.Fatal("no error without a folder")
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.save(testJournal(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.path); err != nil {
		t.Error(err)
	}
}

// Whatever byte of the journal is another, or wherever it ends too early, it is not believed, or says the same.
func TestADamagedJournalIsNotBelieved(t *testing.T) {
	good, err := testJournal(t).encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := decodeJournal(good)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		bad := append([]byte(nil), good...)
		if at := rapid.IntRange(0, len(bad)-1).Draw(rt, "at"); rapid.Bool().Draw(rt, "torn") {
			bad = bad[:at]
		} else {
			bad[at] ^= byte(1 << rapid.IntRange(0, 7).Draw(rt, "bit"))
		}
		if got, err := decodeJournal(bad); err == nil && !reflect.DeepEqual(got, want) {
			rt.Errorf("%s was read as %+v", bad, got)
		} else if err != nil && !errors.Is(err, errJournal) {
			rt.Errorf("error %v", err)
		}
	})
	path := filepath.Join(t.TempDir(), journalName)
	if err := os.WriteFile(path, make([]byte, maxJournal+1), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &journalFile{path: path}
	if _, err := f.load(); !errors.Is(err, errJournal) {
		t.Errorf("too large: %v", err)
	}
	if err := f.setAside(); err != nil {
		t.Fatal(err)
	}
	if j, err := f.load(); err != nil || j.Machine != nil {
		t.Errorf("after it was set aside: %+v, %v", j, err)
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}

// The largest journal that a guard writes is one that it reads: as many events wait as may, each as large as it may be.
func TestTheLargestJournalIsBelieved(t *testing.T) {
	m := &mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -1, up: time.Hour}
	g := bareGuard(m, filepath.Join(t.TempDir(), journalName))
	if err := g.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Refuse(eventlog.ErrFull)
	d := keptDraft()
	d.Source, d.Body = "arming/house", event.NewBody(event.Text(event.TagDetail, strings.Repeat("x", event.MaxRecord-256)))
	for i := range guardPending + 3 {
		d.Once = fmt.Sprint("arming/", i)
		g.add(d)
	}
	g.commit(t.Context(), nil)
	j, err := (&journalFile{path: g.file.path}).load()
	if err != nil || len(j.Pending) != len(g.queue) || len(g.queue) == 0 {
		t.Errorf("of %d events %d come back: %v", len(g.queue), len(j.Pending), err)
	}
}

// A disk that cannot be read now is no damaged journal: the house stays armed, and is as it was when the disk answers again.
func TestAJournalThatCannotBeReadNow(t *testing.T) {
	m := &mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -1, up: time.Hour}
	path := filepath.Join(t.TempDir(), journalName)
	g := bareGuard(m, path)
	if err := g.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := &ask{wish: arming.Arm{By: arming.Actor{User: "li", Via: "code"}, Partition: "house", Mode: arming.Away, Force: []string{"hall", "smoke"}}, done: make(chan error, 1)}
	g.work(t.Context(), []*ask{a})
	if err := <-a.done; err != nil {
		t.Fatal(err)
	}
	data, away := filepath.Dir(path), filepath.Join(t.TempDir(), "away")
	if err := errors.Join(os.Rename(data, away), os.WriteFile(data, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	g = bareGuard(m, path)
	for range guardReads - 1 {
		if err := g.begin(t.Context()); err == nil {
			t.Fatal("it begins without its journal")
		}
	}
	if err := errors.Join(os.Remove(data), os.Rename(away, data)); err != nil {
		t.Fatal(err)
	}
	if err := g.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mode := g.view().Partitions[0].Mode; mode != arming.Away {
		t.Errorf("it is armed %q, want away", mode)
	}
}

// A disk that never gives the journal holds up the smoke detectors only for a moment.
func TestAJournalThatCanNeverBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := bareGuard(&mortal{MemLog: storagetest.NewMemLog("cs-one"), touches: -1, up: time.Hour}, filepath.Join(path, journalName))
	for n := 1; ; n++ {
		if err := g.begin(t.Context()); err == nil {
			break
		} else if n == guardReads {
			t.Fatal(err)
		}
	}
	a := &ask{word: &event.Draft{Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Zone: "smoke", Source: "line/smoke", Severity: event.SeverityNotice,
		Body: event.NewBody(event.Text(event.TagState, "active"))}, done: make(chan error, 1)}
	g.work(t.Context(), []*ask{a})
	if !slices.ContainsFunc(g.queue, func(e entry) bool { return e.draft.Kind == event.KindAlarmRaised && e.draft.Zone == "smoke" }) {
		t.Errorf("smoke is no alarm: %+v", g.queue)
	}
}
