package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"watchpost/sim/disk"
	"watchpost/storage/event"
)

// longRun in the environment makes the tests of power cuts ten times as long.
const longRun = "WATCHPOST_LONG"

// powerDisk is a disk that loses what was not synced.
func powerDisk(t *testing.T, opt disk.Options) *disk.Disk {
	t.Helper()
	if testing.Short() {
		t.Skip("power cuts are tested without -short, on the machine's own processor")
	}
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") == "" {
			t.Skip("a disk is mounted by root over /dev/fuse, which is not to be had here")
		}
		t.Fatal("CI has no /dev/fuse, or is not root: ", err)
	}
	opt.Mount = filepath.Join(t.TempDir(), "disk")
	d, err := disk.Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	// The data directory is there since the station was installed.
	if err := errors.Join(os.Mkdir(filepath.Join(d.Mount, "log"), 0o700), d.Settle()); err != nil {
		t.Fatal(err)
	}
	return d
}

// powerWork is a child's: sources that append, and a centre that gets what they appended. It says what it is about to do
// ("try WRITER N", "ask LANE SEQ") and what is done ("ack SEQ WRITER N", "cursor LANE SEQ").
func powerWork(l *Log, out io.Writer) {
	var mu sync.Mutex
	say := func(words ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(out, words...)
	}
	say("epoch", l.Epoch())
	var wg sync.WaitGroup
	first := int(l.LastSeq()) // no source says the same twice, in any life
	for w := range 4 {
		wg.Go(func() {
			for n := first; ; n++ {
				say("try", w, n)
				got, err := l.Append(context.Background(), childDraft(w, n, 400))
				if err != nil {
					say("error", err)
					return
				}
				say("ack", got[0].Seq, w, n)
				if n%8 == 0 {
					say("ask", int(got[0].Lane), got[0].Seq)
					if err := l.SetCursor("changshan", got[0].Lane, got[0].Seq); err != nil {
						say("error", err)
						return
					}
					say("cursor", int(got[0].Lane), got[0].Seq)
				}
			}
		})
	}
	wg.Wait()
}

// witness is what the other end of the pipe was told, over all lives of the log.
type witness struct {
	acks    acks
	tries   map[string]bool // that nobody was told of yet what became of them
	asked   map[event.Lane]uint64
	cursors map[event.Lane]uint64
	epoch   string
	twice   []string // seqs of one epoch that were given to different events
	failed  bool
}

func newWitness() *witness {
	return &witness{acks: make(acks), tries: map[string]bool{}, asked: map[event.Lane]uint64{}, cursors: map[event.Lane]uint64{}}
}

func (w *witness) see(line string) {
	word, rest, _ := strings.Cut(line, " ")
	var lane event.Lane
	var seq uint64
	_, _ = fmt.Sscan(rest, &lane, &seq)
	switch word {
	case "epoch":
		if rest != w.epoch {
			w.acks, w.epoch = make(acks), rest
		}
	case "try":
		w.tries[rest] = true
	case "ack":
		_, _ = fmt.Sscan(rest, &seq)
		_, text, _ := strings.Cut(rest, " ")
		delete(w.tries, text)
		if before, ok := w.acks[seq]; ok && before != text {
			w.twice = append(w.twice, fmt.Sprintf("seq %d was %q and is %q", seq, before, text))
		}
		w.acks.see(line)
	case "ask":
		w.asked[lane] = max(w.asked[lane], seq)
	case "cursor":
		w.cursors[lane] = max(w.cursors[lane], seq)
	case "error":
		w.failed = true
	}
}

// live runs a child until it has acknowledged so many events, and takes its power away. It answers how many appends were in
// flight then.
func (w *witness) live(t *testing.T, d *disk.Disk, events int, torn, killFirst bool) (inFlight int) {
	t.Helper()
	w.tries, w.failed = map[string]bool{}, false
	c := startChild(t, "power", filepath.Join(d.Mount, "log"))
	c.until("epoch", w.see)
	w.count(t, c, events)
	w.lose(t, d, c, torn, killFirst)
	return len(w.tries)
}

// count listens to a child until it has acknowledged so many more events.
func (w *witness) count(t *testing.T, c *child, events int) {
	t.Helper()
	for goal := len(w.acks) + events; len(w.acks) < goal; {
		line := c.next()
		if line == "" || strings.HasPrefix(line, "error") {
			t.Fatalf("child said %q; %v", line, c.cmd.Wait())
		}
		w.see(line)
	}
}

// lose takes the power away from a child. Killed first it leaves no sync half done; otherwise its syncs fail.
func (w *witness) lose(t *testing.T, d *disk.Disk, c *child, torn, killFirst bool) {
	t.Helper()
	if killFirst {
		c.kill()
	}
	if err := d.Off(torn); err != nil {
		t.Fatal(err)
	}
	if !killFirst {
		c.kill()
	}
	_ = c.wait(w.see) // killed
	if err := d.On(); err != nil {
		t.Fatal(err)
	}
}

// check opens the log, without anybody's help, and holds it against what its writers were told.
func (w *witness) check(t *testing.T, d *disk.Disk) {
	t.Helper()
	l := testLog(t, filepath.Join(d.Mount, "log"))
	if w.epoch != "" && l.Epoch().String() != w.epoch {
		t.Fatalf("epoch %s, then %s", w.epoch, l.Epoch())
	}
	w.acks.check(t, l)
	if s := l.Stats(); s.Holes != 0 || s.Err != nil {
		t.Errorf("%d holes; %v", s.Holes, s.Err)
	}
	last := map[int]int{}
	for _, e := range slices.SortedFunc(maps.Values(everything(t, l)), func(a, b event.Event) int { return cmp.Compare(a.Seq, b.Seq) }) {
		var writer, n int
		text, _ := e.Body.Text(event.TagText)
		if _, err := fmt.Sscan(text, &writer, &n); err != nil {
			continue // the log's own
		}
		if before, ok := last[writer]; ok && n <= before {
			t.Errorf("seq %d: source %d says %d after %d", e.Seq, writer, n, before)
		}
		last[writer] = n
	}
	for _, lane := range event.Lanes() {
		upto, err := l.Cursor("changshan", lane)
		if err != nil || upto < w.cursors[lane] || upto > w.asked[lane] {
			t.Errorf("lane %s: cursor %d (%v), set to %d, asked for %d", lane, upto, err, w.cursors[lane], w.asked[lane])
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func everything(t *testing.T, l *Log) map[uint64]event.Event {
	t.Helper()
	all := make(map[uint64]event.Event)
	for _, lane := range event.Lanes() {
		for _, e := range readAll(t, l, lane) {
			all[e.Seq] = e
		}
	}
	return all
}

// cuts is how often the power is cut: so often in CI.
func cuts(short int) int {
	if os.Getenv(longRun) != "" {
		return 10 * short
	}
	return short
}

// TestPowerCut cuts the power at random moments: what was acknowledged is there, in order, and nobody had to help.
func TestPowerCut(t *testing.T) {
	const seed = 3
	d := powerDisk(t, disk.Options{Seed: seed})
	random, w, cuts, hit, torn := rand.New(rand.NewPCG(seed, 0)), newWitness(), cuts(20), 0, 0
	for cut := range cuts {
		tear, killFirst := random.IntN(2) == 0, random.IntN(4) == 0
		if w.live(t, d, 50+random.IntN(1000), tear, killFirst) > 0 {
			hit++
		}
		if tear {
			torn++
		}
		if random.IntN(3) > 0 || cut == cuts-1 { // else the next life finds what the cut left
			w.check(t, d)
		}
		if t.Failed() {
			t.Fatalf("cut %d, torn: %t", cut, tear)
		}
	}
	if hit < cuts/2 {
		t.Errorf("%d of %d cuts hit appends in flight, want at least half", hit, cuts)
	}
	s, err := d.Stats()
	if err != nil || s.LostPages == 0 {
		t.Errorf("the cuts lost nothing: %+v, %v", s, err)
	}
	t.Logf("%d cuts, %d of them torn, %d hit appends in flight; %d events acknowledged; lost %d pages and %d changes of names, %d pages torn",
		cuts, torn, hit, len(w.acks), s.LostPages, s.LostNames, s.Torn)
}

// TestPowerCutAtOpen cuts the power while the log is being opened, again and again over what the cut before has left.
func TestPowerCutAtOpen(t *testing.T) {
	const seed = 5
	d := powerDisk(t, disk.Options{Seed: seed})
	random, w := rand.New(rand.NewPCG(seed, 0)), newWitness()
	w.live(t, d, 3000, true, false)
	during := 0
	for cut := range cuts(10) {
		before, err := d.Stats()
		if err != nil {
			t.Fatal(err)
		}
		c := startChild(t, "power", filepath.Join(d.Mount, "log"))
		for syncs := before.Syncs + before.DirSyncs + random.IntN(8); ; {
			now, err := d.Stats()
			if err != nil {
				t.Fatal(err)
			}
			if now.Syncs+now.DirSyncs >= syncs {
				break
			}
		}
		var said []string
		w.tries = map[string]bool{}
		if err := d.Off(random.IntN(2) == 0); err != nil {
			t.Fatal(err)
		}
		c.kill()
		_ = c.wait(func(line string) { said = append(said, line); w.see(line) })
		if err := d.On(); err != nil {
			t.Fatal(err)
		}
		if len(said) == 0 || strings.HasPrefix(said[0], "error") {
			during++
		}
		if cut%4 == 3 {
			w.check(t, d)
			w.live(t, d, 200, false, false)
		}
	}
	w.check(t, d)
	if during < cuts(10)/2 {
		t.Errorf("%d of %d cuts came while the log was being opened", during, cuts(10))
	}
	t.Logf("%d of %d cuts came while the log was being opened", during, cuts(10))
}

// TestLyingDisk: a disk that from some moment on answers syncs and does nothing loses what it has acknowledged, which nobody can
// help. But a centre may have got it: no seq of the same epoch may mean another event afterwards.
func TestLyingDisk(t *testing.T) {
	const seed = 7
	d := powerDisk(t, disk.Options{Seed: seed})
	random, w, lost := rand.New(rand.NewPCG(seed, 0)), newWitness(), map[string]bool{}
	for range cuts(6) {
		c := startChild(t, "power", filepath.Join(d.Mount, "log"))
		c.until("epoch", w.see)
		w.count(t, c, 300)
		if err := d.Set(disk.Mode{Lies: true}); err != nil {
			t.Fatal(err)
		}
		w.count(t, c, 50+random.IntN(1000))
		w.lose(t, d, c, random.IntN(2) == 0, false)
		if err := d.Set(disk.Mode{}); err != nil {
			t.Fatal(err)
		}
		l := testLog(t, filepath.Join(d.Mount, "log"))
		all := everything(t, l)
		for seq := range w.acks {
			if _, ok := all[seq]; !ok || l.Epoch().String() != w.epoch {
				lost[fmt.Sprint(w.epoch, seq)] = true
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	w.live(t, d, 300, false, false)
	if len(lost) == 0 {
		t.Error("a disk that lies has lost nothing")
	}
	if len(w.twice) > 0 {
		t.Errorf("%d seqs were used twice, such as: %s", len(w.twice), w.twice[0])
	}
	t.Logf("%d acknowledged events lost by the lying disk", len(lost))
}

// TestBrokenDisk: when a sync of the log's files fails, the log says ErrFailed and takes no more; opened again on a disk that
// works, it has all that it acknowledged.
func TestBrokenDisk(t *testing.T) {
	d := powerDisk(t, disk.Options{})
	dir, w := filepath.Join(d.Mount, "log"), newWitness()
	for _, fault := range []disk.Fault{
		{Op: disk.OpSync, Name: "*" + walSuffix, After: 20, Count: 1},
		{Op: disk.OpWrite, Name: "*" + walSuffix, After: 20, Count: 1},
	} {
		l := testLog(t, dir)
		if err := d.Set(disk.Mode{Faults: []disk.Fault{fault}}); err != nil {
			t.Fatal(err)
		}
		var err error
		for n := 0; err == nil && n < 1000; n++ {
			var got []Appended
			if got, err = l.Append(t.Context(), childDraft(0, n, 400)); err == nil {
				w.see(fmt.Sprint("ack ", got[0].Seq, " 0 ", n))
			}
		}
		if !errors.Is(err, ErrFailed) || !errors.Is(err, unix.EIO) && !strings.Contains(err.Error(), unix.EIO.Error()) {
			t.Errorf("%s: append answered %v, want ErrFailed and the system's error", fault.Op, err)
		}
		if _, again := l.Append(t.Context(), childDraft(0, 0, 1)); !errors.Is(again, ErrFailed) {
			t.Errorf("%s: the next append answered %v", fault.Op, again)
		}
		if !errors.Is(l.Err(), ErrFailed) {
			t.Errorf("%s: the log says of itself: %v", fault.Op, l.Err())
		}
		if err := d.Set(disk.Mode{}); err != nil {
			t.Fatal(err)
		}
		_ = l.Close() // it may say what it could not do
		if err := d.Cut(true); err != nil {
			t.Fatal(err)
		}
		l = testLog(t, dir)
		all := everything(t, l)
		for seq, text := range w.acks {
			if got, _ := all[seq].Body.Text(event.TagText); !strings.HasPrefix(got, text+" ") {
				t.Errorf("%s: seq %d is %.20q, acknowledged as %q", fault.Op, seq, got, text)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
