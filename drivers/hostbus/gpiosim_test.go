package hostbus

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
)

// Where the kernel's gpio-sim is, when these tests run in a guest that has it: the chip's label and the folder of its lines,
// label:/sys/devices/platform/gpio-sim.0/gpiochip1, and the file that switches the chip on and off, if that is wanted too.
const (
	simVariable  = "WATCHPOST_GPIOSIM"
	liveVariable = "WATCHPOST_GPIOSIM_LIVE"
)

// simulated is a GPIO chip of the kernel's gpio-sim, with hands on its wires.
type simulated struct {
	t     testing.TB
	label string
	dir   string
	names map[string]uint32
}

func newSimulated(t testing.TB, names ...string) *simulated {
	t.Helper()
	label, dir, ok := strings.Cut(os.Getenv(simVariable), ":")
	if !ok {
		t.Skipf("no gpio-sim here: %s is not set (label:folder)", simVariable)
	}
	s := &simulated{t: t, label: label, dir: dir, names: map[string]uint32{}}
	for i, n := range names {
		s.names[n] = uint32(i)
		s.drive(n, false)
	}
	return s
}

func (s *simulated) file(line, name string) string {
	return filepath.Join(s.dir, fmt.Sprintf("sim_gpio%d", s.names[line]), name)
}

// drive pulls a line as a switch would.
func (s *simulated) drive(line string, level bool) {
	s.t.Helper()
	word := "pull-down"
	if level {
		word = "pull-up"
	}
	if err := os.WriteFile(s.file(line, "pull"), []byte(word), 0o200); err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulated) lines() *Lines {
	s.t.Helper()
	l, err := OpenLines(s.label, s.names, nil)
	must(s.t, err)
	s.t.Cleanup(func() { must(s.t, l.Close()) })
	return l
}

// TestSimulatedChip runs the contract against the kernel.
func TestSimulatedChip(t *testing.T) {
	newSimulated(t)
	bustest.Lines(t, func(t *testing.T) bustest.Bench {
		s := newSimulated(t, "door", "panic", "siren")
		return bustest.Bench{Lines: s.lines(), Drive: s.drive, Blind: true}
	})
}

// TestSimulatedEdges has 20 edges told with the kernel's time and sequence, and none beside them.
func TestSimulatedEdges(t *testing.T) {
	s := newSimulated(t, "door")
	edges, _ := follow(t, s.lines(), named("door")...)
	if e := next(t, edges); e.Quality != bus.Present || e.Level {
		t.Fatalf("%+v", e)
	}
	const count = 20
	var took []time.Duration
	for i := range uint64(count) {
		before := bus.Monotonic()
		s.drive("door", i%2 == 0)
		e := next(t, edges)
		after := bus.Monotonic()
		if e.Quality != bus.Changed || e.Level != (i%2 == 0) || e.LineSeq != i+1 || e.Seq != i+1 || e.Lost != 0 {
			t.Fatalf("edge %d: %+v", i+1, e)
		}
		if e.KernelNS < before || e.KernelNS > after {
			t.Errorf("edge %d: kernel time %d is not between %d and %d", i+1, e.KernelNS, before, after)
		}
		took = append(took, time.Duration(after-e.KernelNS))
	}
	slices.Sort(took)
	t.Logf("%d of %d edges with kernel time and sequence; kernel to watcher: median %s, worst %s", count, count, took[count/2], took[count-1])
}

// TestSimulatedDebounce bounces a line: the kernel tells one edge, once the line has stood still.
func TestSimulatedDebounce(t *testing.T) {
	s := newSimulated(t, "door")
	edges, _ := follow(t, s.lines(), bus.LineConfig{Line: "door", Debounce: 500 * time.Millisecond})
	next(t, edges)
	for i := range 7 {
		s.drive("door", i%2 == 0)
	}
	if e := next(t, edges); e.Quality != bus.Changed || !e.Level || e.LineSeq != 1 {
		t.Errorf("%+v: want one edge", e)
	}
	select {
	case e := <-edges:
		t.Errorf("another edge: %+v", e)
	case <-time.After(time.Second):
	}
}

// TestSimulatedStorm has one line change 1,000 times a second while each of the others changes once.
func TestSimulatedStorm(t *testing.T) {
	names := []string{"storm"}
	for i := range 31 {
		names = append(names, fmt.Sprintf("zone-%d", i+1))
	}
	s := newSimulated(t)
	if _, err := os.Stat(filepath.Join(s.dir, "sim_gpio31")); err != nil {
		t.Skipf("the simulated chip has less than 32 lines: %v", err)
	}
	s = newSimulated(t, names...)
	edges, _ := follow(t, s.lines(), named(names...)...)
	for range names {
		if e := next(t, edges); e.Quality != bus.Present {
			t.Fatalf("%+v", e)
		}
	}
	seen := map[string]uint64{}
	take := func(e bus.Edge) {
		seen[e.Line] += 1 + e.Lost
		if e.Line != "storm" && e.Lost > 0 {
			t.Errorf("lost: %+v", e)
		}
	}
	const storm = 1000
	tick := time.NewTicker(time.Second / storm)
	defer tick.Stop()
	for i := range storm {
		<-tick.C
		s.drive("storm", i%2 == 0)
		if i%30 == 29 && i/30 < 31 {
			s.drive(names[1+i/30], true)
		}
		for len(edges) > 0 {
			take(<-edges)
		}
	}
	for seen["storm"] < storm {
		take(next(t, edges))
	}
	for _, n := range names[1:] {
		if seen[n] != 1 {
			t.Errorf("%s: %d edges, want 1", n, seen[n])
		}
	}
}

// TestSimulatedOutput drives a line and looks at it from the other side.
func TestSimulatedOutput(t *testing.T) {
	s := newSimulated(t, "door", "panic", "siren")
	l := s.lines()
	for _, level := range []bool{true, false, true} {
		must(t, l.Set(t.Context(), "siren", level))
		b, err := os.ReadFile(s.file("siren", "value"))
		if err != nil || strings.TrimSpace(string(b)) != map[bool]string{false: "0", true: "1"}[level] {
			t.Errorf("driven to %v the line has %q, %v", level, b, err)
		}
	}
	if err := l.Set(t.Context(), "attic", true); err == nil {
		t.Error("there is no such line")
	}
}

// TestSimulatedChipPulled pulls the chip and puts it back.
func TestSimulatedChipPulled(t *testing.T) {
	s := newSimulated(t, "door")
	live := os.Getenv(liveVariable)
	if live == "" {
		t.Skipf("nothing to pull the chip with: %s is not set", liveVariable)
	}
	edges, stop := follow(t, s.lines(), named("door")...)
	next(t, edges)
	must(t, os.WriteFile(live, []byte("0"), 0o200))
	e := next(t, edges)
	must(t, os.WriteFile(live, []byte("1"), 0o200))
	if e.Quality != bus.Missing {
		t.Errorf("pulled: %+v", e)
	}
	if e = next(t, edges); e.Quality != bus.Present {
		t.Errorf("back: %+v", e)
	}
	stop()
}

// TestIdle holds that watched lines that do not change wake nobody: the threads of this process are put to sleep as often as
// those of one that watches nothing, give or take what the runtime does for itself.
func TestIdle(t *testing.T) {
	var l *Lines
	if os.Getenv(simVariable) != "" {
		l = newSimulated(t, "door", "panic").lines()
	} else {
		l = newFakeChip(t, "door", "panic").lines()
	}
	edges, _ := follow(t, l, named("door", "panic")...)
	next(t, edges)
	next(t, edges)
	sleeps := func() int64 {
		settle := time.NewTimer(time.Second)
		var before, after unix.Rusage
		must(t, unix.Getrusage(unix.RUSAGE_SELF, &before))
		<-settle.C
		must(t, unix.Getrusage(unix.RUSAGE_SELF, &after))
		return int64(after.Nvcsw) - int64(before.Nvcsw)
	}
	n := sleeps() // whatever the tests before left behind
	for try := 0; n > 30 && try < 5; try++ {
		n = sleeps() // somebody who polls does so in every second
	}
	if n > 30 {
		t.Errorf("%d wake-ups in the quietest second of silence", n)
	}
}
