package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"watchpost/storage/event"
)

const testKey = "0123456789abcdef0123456789abcdef"

func keyed(t testing.TB, dir, key string) (*Log, error) {
	t.Helper()
	opt := testOptions(t, dir)
	if key != "" {
		opt.Key = []byte(key)
	}
	l, err := Open(opt)
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, err
}

// holds reports whether a directory's files hold a text.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// With a key nothing of an event can be read off the disk, neither in the write-ahead log nor in a table; without one it can,
// which shows that the test can see it.
func TestKeyHides(t *testing.T) {
	for _, key := range []string{"", testKey[:16], testKey[:24], testKey} {
		dir := t.TempDir()
		l, err := keyed(t, dir, key)
		if err != nil {
			t.Fatal(err)
		}
		secret := draft(event.SeverityAlarm, "Meier was seen at the bridge")
		secret.Once, secret.Source = "frame 4711 of Meier", "dc09/Meier"
		mustAppend(t, l, secret)
		if got := holds(t, dir, "Meier"); got == (key != "") {
			t.Errorf("key of %d bytes, open: found %v", len(key), got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := holds(t, dir, "Meier"); got == (key != "") {
			t.Errorf("key of %d bytes, closed: found %v", len(key), got)
		}
		if l, err = keyed(t, dir, key); err != nil || len(readAll(t, l, event.LaneAlarm)) != 1 {
			t.Errorf("opened again: %v", err)
		}
	}
}

// A key that is not the log's is an error that says what to do, and the log stays where it is, also when its heads are gone.
func TestWrongKey(t *testing.T) {
	for _, c := range []struct{ written, given string }{
		{"", testKey}, {testKey, ""}, {testKey, strings.ToUpper(testKey)}, {testKey, testKey[:16]},
	} {
		dir := t.TempDir()
		l, err := keyed(t, dir, c.written)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, l, 100)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for range suspicious + 1 {
			if _, err := keyed(t, dir, c.given); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "give the key") {
				t.Fatalf("written with %q, opened with %q: %v", c.written, c.given, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, headsFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := keyed(t, dir, c.given); !errors.Is(err, ErrKey) {
			t.Errorf("without heads, written with %q, opened with %q: %v", c.written, c.given, err)
		}
		now, err := keyed(t, dir, c.written)
		if err != nil || now.Epoch() != l.Epoch() || len(readAll(t, now, event.LaneAlarm)) != 100 {
			t.Errorf("opened with its own key: %v", err)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, corruptName+"*")); len(names) > 0 {
			t.Errorf("set aside: %v", names)
		}
	}
	if _, err := keyed(t, t.TempDir(), "short"); err == nil {
		t.Error("a key of five bytes was taken")
	}
}

// What is damaged is set aside with a key as without, and a log that is gone may begin again with another key.
func TestDamageWithKey(t *testing.T) {
	for _, file := range []string{"MANIFEST", "*.sst", "KEYREGISTRY"} {
		dir := t.TempDir()
		l, err := keyed(t, dir, testKey)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, l, 200)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		change(t, one(t, filepath.Join(dir, badgerName, file)), garbage)
		now, err := keyed(t, dir, testKey)
		if err != nil || now.Epoch() == l.Epoch() {
			t.Fatalf("%s: %v", file, err)
		}
		if err := errors.Join(now.Close(), os.RemoveAll(now.badgerDir())); err != nil {
			t.Fatal(err)
		}
		if _, err := keyed(t, dir, ""); err != nil {
			t.Errorf("%s: a new log without a key: %v", file, err)
		}
	}
}

// The check of every block reads them with their keys.
func TestDeepCheckWithKey(t *testing.T) {
	dir := t.TempDir()
	l, err := keyed(t, dir, testKey)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 300)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	opt := tiny(l.badgerDir(), []byte(testKey), l.opt.Log)
	if err := checkFiles(opt, true); err != nil {
		t.Error(err)
	}
	change(t, one(t, filepath.Join(dir, badgerName, "*.sst")), func(b []byte) []byte { garbage(b[100_000:100_100]); return b })
	if err := checkFiles(opt, true); !errors.Is(err, errDamage) {
		t.Errorf("a bad block: %v", err)
	}
}

func TestKillWithKey(t *testing.T) {
	t.Setenv(childKey, testKey)
	dir, all := t.TempDir(), make(acks)
	for k := range 3 {
		c := startChild(t, "append", dir)
		c.until("open", nil)
		for range 500 * (k + 1) {
			all.see(c.next())
		}
		c.kill()
		_ = c.wait(all.see) // killed
	}
	l, err := keyed(t, dir, testKey)
	if err != nil {
		t.Fatal(err)
	}
	all.check(t, l)
	if names, _ := filepath.Glob(filepath.Join(dir, corruptName+"*")); len(names) > 0 || len(all) == 0 {
		t.Errorf("%d acknowledged, set aside: %v", len(all), names)
	}
}

// After a new boot of the machine numbering goes on behind what may have been given, and the gap is told; a restart of the
// agent alone leaves none.
func TestNewBoot(t *testing.T) {
	dir := t.TempDir()
	boot := func(n byte) *Log {
		opt := testOptions(t, dir)
		opt.boot = [8]byte{n}
		l, err := Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	l := boot(1)
	mustAppend(t, l, draft(event.SeverityAlarm, "x"))
	was := asKilled(t, l) // what a disk that keeps nothing from here on gives back
	for range 50 {
		drafts := make([]event.Draft, 64)
		for i := range drafts {
			drafts[i] = draft(event.SeverityTrace, "lost")
		}
		mustAppend(t, l, drafts...)
	}
	last := l.LastSeq()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir = was
	for range 2 { // the same boot, though what was given is lost: the machine's own memory had it
		again := boot(1)
		if got := again.LastSeq(); got != 2 {
			t.Fatalf("last seq %d", got)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	now := boot(2)
	next := mustAppend(t, now, draft(event.SeverityAlarm, "y"))[0].Seq
	if next <= last || next > last+3*seqStep {
		t.Errorf("next seq is %d, %d were given", next, last)
	}
	told := 0
	for _, e := range readAll(t, now, event.LaneMain) {
		from, _ := e.Body.Uint(event.TagFrom)
		upto, _ := e.Body.Uint(event.TagUpto)
		if why, _ := e.Body.Text(event.TagReason); why == "unsure" && from == 3 && upto == e.Seq-1 && e.Seq == next-1 {
			told++
		}
	}
	if told != 1 || now.Stats().Holes != 0 {
		t.Errorf("the gap is told %d times; %+v", told, now.Stats())
	}
	if err := now.Close(); err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, boot(2), draft(event.SeverityAlarm, "z"))[0].Seq; got != next+1 {
		t.Errorf("with the same boot: seq %d after %d", got, next)
	}
}

// A log that was closed goes on without a gap, whatever boot comes next; one that was killed does not, though it was closed since.
func TestNewBootAfterClose(t *testing.T) {
	dir, seq := t.TempDir(), uint64(1)
	for n := range 8 {
		opt := testOptions(t, dir)
		opt.boot = [8]byte{byte(1 + n/2)} // each boot twice
		l, err := Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		seq++
		if got := mustAppend(t, l, draft(event.SeverityAlarm, "x"))[0].Seq; got != seq {
			t.Fatalf("life %d: seq %d, want %d", n, got, seq)
		}
		killed := asKilled(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if n == 6 {
			dir = killed
		}
	}
	opt := testOptions(t, dir)
	opt.boot = [8]byte{99}
	l, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if got := mustAppend(t, l, draft(event.SeverityAlarm, "x"))[0].Seq; got < seqStep {
		t.Errorf("seq %d after a kill and a new boot", got)
	}
}

// Seqs are promised before they are given, however many there are.
func TestPromise(t *testing.T) {
	l := testLog(t, t.TempDir())
	drafts := make([]event.Draft, MaxDrafts)
	for i := range drafts {
		drafts[i] = draft(event.SeverityTrace, fmt.Sprint(i))
	}
	for range 3 * seqStep / MaxDrafts {
		mustAppend(t, l, drafts...)
		if h, _ := readHeads(l.opt.Dir); h.promised < l.LastSeq() {
			t.Fatalf("seq %d was given, %d promised", l.LastSeq(), h.promised)
		}
	}
}
