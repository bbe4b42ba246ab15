package hostbus

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines opens the lines of a fake chip.
func (f *fakeChip) lines() *Lines {
	f.t.Helper()
	l, err := OpenLines("fake-chip", nil, nil)
	must(f.t, err)
	l.kernel = f.kernel()
	f.t.Cleanup(func() { must(f.t, l.Close()) })
	return l
}

// follow runs a Watch until the test ends, or stop is called.
func follow(t testing.TB, l *Lines, lines ...bus.LineConfig) (edges chan bus.Edge, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	edges = make(chan bus.Edge, 64)
	var group errgroup.Group
	group.Go(func() error { return l.Watch(ctx, lines, edges) })
	stop = func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return edges, stop
}

func next(t testing.TB, edges <-chan bus.Edge) bus.Edge {
	t.Helper()
	select {
	case e := <-edges:
		return e
	case <-time.After(patience):
		t.Fatal("no word of any line")
		return bus.Edge{}
	}
}

func named(names ...string) (lines []bus.LineConfig) {
	for _, n := range names {
		lines = append(lines, bus.LineConfig{Line: n})
	}
	return lines
}

// TestLinesConformance runs the contract against a chip whose device file and event files are real and whose ioctl is not. In
// a guest with gpio-sim TestSimulatedChip runs it against the kernel.
func TestLinesConformance(t *testing.T) {
	bustest.Lines(t, func(t *testing.T) bustest.Bench {
		f := newFakeChip(t, "door", "panic", "siren")
		return bustest.Bench{Lines: f.lines(), Drive: f.drive, Cut: f.cut, Mend: f.mend, Blind: true}
	})
}

// TestOneRequest holds that all lines of a watch are had at once, with their debounce times and the largest buffer.
func TestOneRequest(t *testing.T) {
	f := newFakeChip(t, "DOOR", "pir", "", "panic")
	l := f.lines()
	l.names = map[string]uint32{"panel": 3}
	edges, _ := follow(t, l, bus.LineConfig{Line: "door", Debounce: 30 * time.Millisecond}, bus.LineConfig{Line: "pir", Debounce: 200 * time.Millisecond},
		bus.LineConfig{Line: "line-2"}, bus.LineConfig{Line: "panel", Debounce: 30 * time.Millisecond})
	for range 4 {
		if e := next(t, edges); e.Quality != bus.Present {
			t.Fatalf("%+v", e)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) != 1 {
		t.Fatalf("%d requests", len(f.asked))
	}
	r := f.asked[0]
	if got := r.Offsets[:r.NumLines]; len(got) != 4 || got[0] != 0 || got[1] != 1 || got[2] != 2 || got[3] != 3 || r.BufferSize != 1024 {
		t.Errorf("lines %v, buffer %d", got, r.BufferSize)
	}
	c := r.Config
	if c.Flags != 1<<2|1<<4|1<<5 || c.NumAttrs != 2 || text(r.Consumer[:]) != "watchpost" {
		t.Errorf("flags %x, %d attributes, consumer %q", c.Flags, c.NumAttrs, text(r.Consumer[:]))
	}
	for i, want := range []struct {
		us   uint32
		mask uint64
	}{{30_000, 0b1001}, {200_000, 0b0010}} {
		if a := c.Attrs[i]; a.Attr.ID != 3 || debounceOf(a.Attr) != want.us || a.Mask != want.mask {
			t.Errorf("attribute %d: %+v", i, a)
		}
	}
}

// TestManyDebounceTimes holds that more of them than a request can have, or more lines, become several requests.
func TestManyDebounceTimes(t *testing.T) {
	names := make([]string, 70)
	for i := range names {
		names[i] = "in-" + strings.Repeat("x", i/26) + string(rune('a'+i%26))
	}
	for name, c := range map[string]struct {
		step time.Duration
		want int
	}{"all alike": {0, 2}, "all different": {time.Millisecond, 7}} {
		f := newFakeChip(t, names...)
		cfg := named(names...)
		for i := range cfg {
			cfg[i].Debounce = time.Duration(i+1) * c.step
		}
		edges, stop := follow(t, f.lines(), cfg...)
		for range names {
			if e := next(t, edges); e.Quality != bus.Present {
				t.Fatalf("%s: %+v", name, e)
			}
		}
		if len(f.asked) != c.want {
			t.Errorf("%s: %d requests, want %d", name, len(f.asked), c.want)
		}
		stop()
	}
}

// TestKernelDropsEdges loses edges in the kernel's buffer: before another edge of the line, and with none after them.
func TestKernelDropsEdges(t *testing.T) {
	f := newFakeChip(t, "door", "panic")
	edges, _ := follow(t, f.lines(), named("door", "panic")...)
	next(t, edges)
	next(t, edges)
	drop := func(n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.drop = n
	}
	drop(2)
	f.drive("door", true)
	f.drive("door", false)
	f.drive("door", true)
	if e := next(t, edges); e.Quality != bus.Changed || !e.Level || e.Lost != 2 || e.LineSeq != 3 || e.Seq != 3 {
		t.Fatalf("edge after a gap of its line: %+v", e)
	}
	drop(1)
	f.drive("panic", true)
	f.drive("door", false)
	if e := next(t, edges); e.Line != "door" || e.Lost != 0 || e.LineSeq != 4 || e.Seq != 5 {
		t.Fatalf("edge after a gap of another line: %+v", e)
	}
	if e := next(t, edges); e.Line != "panic" || e.Quality != bus.Present || !e.Level || e.Lost != 1 || e.LineSeq != 1 {
		t.Fatalf("the level was not read again: %+v", e)
	}
	f.drive("panic", false)
	if e := next(t, edges); e.Line != "panic" || e.Lost != 0 || e.LineSeq != 2 || e.Level {
		t.Fatalf("what a reading told is lost twice: %+v", e)
	}
}

// TestLineOfAnother is a line that another program holds, until it does not.
func TestLineOfAnother(t *testing.T) {
	f := newFakeChip(t, "door", "panic")
	f.users[0] = "fan-control"
	edges, _ := follow(t, f.lines(), named("door", "panic")...)
	if e := next(t, edges); e.Quality != bus.Missing || !strings.Contains(e.Reason, `used by "fan-control"`) {
		t.Fatalf("%+v", e)
	}
	if e := next(t, edges); e.Line != "panic" || e.Quality != bus.Present {
		t.Fatalf("%+v", e)
	}
	f.mu.Lock()
	f.users[0] = ""
	f.mu.Unlock()
	if e := next(t, edges); e.Line != "door" || e.Quality != bus.Present {
		t.Fatalf("%+v", e)
	}
}

// TestFileEnds is a newer kernel, where a read of the lines of a pulled chip ends, and a chip that is replaced at once.
func TestFileEnds(t *testing.T) {
	f := newFakeChip(t, "door")
	edges, _ := follow(t, f.lines(), named("door")...)
	next(t, edges)
	f.mend() // closes what was open
	if e := next(t, edges); e.Quality != bus.Missing {
		t.Fatalf("%+v", e)
	}
	if e := next(t, edges); e.Quality != bus.Present {
		t.Fatalf("%+v", e)
	}
}

// TestSlowWatcher holds that a storm on one line pushes out only its own words while nobody takes any.
func TestSlowWatcher(t *testing.T) {
	f := newFakeChip(t, "storm", "door")
	ctx, cancel := context.WithCancel(t.Context())
	edges := make(chan bus.Edge)
	var group errgroup.Group
	l := f.lines()
	group.Go(func() error { return l.Watch(ctx, named("storm", "door"), edges) })
	defer func() { cancel(); must(t, group.Wait()) }()
	next(t, edges)
	const storm = 4*queueDepth + 1
	f.drive("door", true)
	for i := range storm {
		f.drive("storm", i%2 == 0)
	}
	f.drive("door", false)
	var doors, seen, lost uint64
	for seen+lost < storm || doors < 2 {
		switch e := next(t, edges); {
		case e.Quality != bus.Changed:
		case e.Line == "door":
			if doors++; e.Lost != 0 || e.LineSeq != doors {
				t.Fatalf("door: %+v", e)
			}
		default:
			seen++
			lost += e.Lost
			if e.LineSeq != seen+lost {
				t.Fatalf("%d seen, %d lost: %+v", seen, lost, e)
			}
		}
	}
}

func TestSetKeepsItsLevel(t *testing.T) {
	f := newFakeChip(t, "siren", "door")
	l := f.lines()
	must(t, l.Set(t.Context(), "siren", true))
	if r := f.asked[0]; r.Config.Flags != gpioFlagOutput || r.Config.Attrs[0].Attr.Value != 1 {
		t.Errorf("the line was not high from the first moment: %+v", r.Config)
	}
	f.mu.Lock()
	if f.taken(0) == "" || !f.level[0] {
		t.Error("the output is not held")
	}
	f.mu.Unlock()
	must(t, l.Set(t.Context(), "siren", false))
	if len(f.asked) != 1 || f.level[0] {
		t.Errorf("%d requests for one output", len(f.asked))
	}
	f.cut()
	if err := l.Set(t.Context(), "siren", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("output of a pulled chip: %v", err)
	}
	f.mend()
	must(t, l.Set(t.Context(), "siren", true))
	edges, stop := follow(t, l, named("door")...)
	next(t, edges)
	if err := l.Set(t.Context(), "door", true); err == nil {
		t.Error("a watched line was driven")
	}
	stop()
	must(t, l.Close())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.taken(0) != "" {
		t.Error("closed, and the output is still held")
	}
}

func TestOpenLines(t *testing.T) {
	for name, names := range map[string]map[string]uint32{"": nil, "gpio": {"Door": 1}} {
		if _, err := OpenLines(name, names, nil); err == nil {
			t.Errorf("chip %q, lines %v: no error", name, names)
		}
	}
	f := newFakeChip(t, "door")
	for _, chip := range []string{"gpiochip0", "fake-chip", f.path} {
		l := f.lines()
		l.chip = chip
		if _, err := l.Read(t.Context(), "door"); err != nil {
			t.Errorf("chip %s: %v", chip, err)
		}
	}
	for line, why := range map[string]string{"line-1": "it has 1", "line-01": "no line called", "attic": "no line called"} {
		if _, err := f.lines().Read(t.Context(), line); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("line %s: %v", line, err)
		}
	}
	l := f.lines()
	l.chip = "other"
	if _, err := l.Read(t.Context(), "door"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "fake-chip") {
		t.Errorf("a chip that is not there: %v, want the chips that are", err)
	}
	must(t, unix.Link(f.path, filepath.Join(filepath.Dir(f.path), "gpiochip1")))
	if _, err := f.lines().Read(t.Context(), "door"); err == nil || !strings.Contains(err.Error(), "name the chip by its path") {
		t.Errorf("two chips of one label: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Read(ctx, "door"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := l.Set(ctx, "door", true); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestNoSuchDevice opens what this machine does not have through the real kernel calls: nothing here is a double.
func TestNoSuchDevice(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gpiochip9")
	l, err := OpenLines(path, nil, nil)
	must(t, err)
	edges, stop := follow(t, l, named("door")...)
	if e := next(t, edges); e.Quality != bus.Missing || !strings.Contains(e.Reason, path) {
		t.Errorf("%+v", e)
	}
	stop()
	if _, err := l.Read(t.Context(), "door"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := OpenI2C(filepath.Join(dir, "i2c-9")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := OpenSPI(filepath.Join(dir, "spidev9.9"), 1_000_000, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := OpenSerial(filepath.Join(dir, "ttyUSB9"), SerialConfig{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"lines": func() error {
			l, _ := OpenLines("/dev/null", nil, nil)
			_, err := l.Read(t.Context(), "door")
			return err
		}(),
		"i2c": func() error { _, err := OpenI2C("/dev/null"); return err }(),
		"spi": func() error { _, err := OpenSPI("/dev/null", 1000, 0); return err }(),
		"tty": func() error { _, err := OpenSerial("/dev/null", SerialConfig{}); return err }(),
	} {
		if !errors.Is(err, unix.ENOTTY) {
			t.Errorf("%s over /dev/null: %v", name, err)
		}
	}
}

// BenchmarkEdge is one edge from the kernel's file to the watcher's channel.
func BenchmarkEdge(b *testing.B) {
	f := newFakeChip(b, "door")
	edges, _ := follow(b, f.lines(), named("door")...)
	next(b, edges)
	level := false
	for b.Loop() {
		level = !level
		f.drive("door", level)
		next(b, edges)
	}
}
