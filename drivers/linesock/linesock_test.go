package linesock

import (
	"bufio"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	"watchpost/sim/board"
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

// bench is a simulated I/O box on a socket, which a test can switch off and on.
type bench struct {
	t     testing.TB
	board *board.Board
	path  string
	stop  func()
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b, err := board.New("door", "panic")
	must(t, err)
	must(t, b.Outputs("siren"))
	n := &bench{t: t, board: b, path: filepath.Join(t.TempDir(), "box")}
	n.on()
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *bench) on() {
	ln, err := net.Listen("unix", n.path)
	must(n.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return n.board.Serve(ctx, ln) })
	n.stop = func() {
		cancel()
		if err := group.Wait(); err != nil {
			n.t.Error(err)
		}
		n.stop = func() {}
	}
}

func (n *bench) set(line string, level bool) { must(n.t, n.board.Set(line, level)) }

// client is a patient box, or one that pings every tick if tick is not 0.
func (n *bench) client(tick time.Duration) *Box {
	n.t.Helper()
	b, err := New(Options{Socket: n.path, Ping: tick, BackOffMin: time.Millisecond, BackOffMax: 20 * time.Millisecond})
	must(n.t, err)
	return b
}

// TestConformance runs the contract against the simulated box, which has a codec of its own.
func TestConformance(t *testing.T) {
	bustest.Lines(t, func(t *testing.T) bustest.Bench {
		n := newBench(t)
		return bustest.Bench{Lines: n.client(0), Drive: n.set, Cut: func() { n.stop() }, Mend: n.on}
	})
}

// follow runs a Watch until the test ends.
func follow(t testing.TB, b *Box, lines ...string) <-chan bus.Edge {
	t.Helper()
	cfg := []bus.LineConfig{}
	for _, l := range lines {
		cfg = append(cfg, bus.LineConfig{Line: l})
	}
	ctx, cancel := context.WithCancel(context.Background())
	edges := make(chan bus.Edge, 64)
	var group errgroup.Group
	group.Go(func() error { return b.Watch(ctx, cfg, edges) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return edges
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

// TestSilentBox is a box that holds the connection and says nothing: the lines are missing, not quiet.
func TestSilentBox(t *testing.T) {
	n := newBench(t)
	edges := follow(t, n.client(20*time.Millisecond), "door")
	if e := next(t, edges); e.Quality != bus.Present {
		t.Fatalf("first word %+v", e)
	}
	n.board.Mute(true)
	n.set("door", true)
	if e := next(t, edges); e.Quality != bus.Missing || !strings.Contains(e.Reason, "no word in 3 pings") {
		t.Fatalf("mute box: %+v", e)
	}
	n.board.Mute(false)
	if e := next(t, edges); e.Quality != bus.Present || !e.Level || e.Lost != 1 {
		t.Fatalf("box speaks again: %+v", e)
	}
}

// TestLostEdges drops edges on a living wire: one before another edge, and one with none after it.
func TestLostEdges(t *testing.T) {
	n := newBench(t)
	edges := follow(t, n.client(50*time.Millisecond), "door")
	next(t, edges)
	n.board.DropEdges(2)
	n.set("door", true)
	n.set("door", false)
	n.set("door", true)
	e := next(t, edges)
	if e.Quality == bus.Present { // a ping came in between and found the two
		if e.Lost != 2 {
			t.Fatalf("found %+v, want 2 lost", e)
		}
		e = next(t, edges)
		e.Lost += 2
	}
	if e.LineSeq != 3 || !e.Level || e.Lost != 2 {
		t.Fatalf("edge after a gap: %+v", e)
	}
	n.board.DropEdges(1)
	n.set("door", false)
	if e := next(t, edges); e.Quality != bus.Present || e.Level || e.Lost != 1 || e.LineSeq != 4 {
		t.Fatalf("last edge dropped: %+v, want it found by the ping", e)
	}
}

// script is a box that says fixed lines after the greeting to every connection, then hangs.
func script(t *testing.T, lines ...string) *Box {
	t.Helper()
	path := filepath.Join(t.TempDir(), "box")
	ln, err := net.Listen("unix", path)
	must(t, err)
	var group errgroup.Group
	group.Go(func() error {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return nil
			}
			if _, err = conn.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
				t.Error(err)
			}
			_, _ = bufio.NewReader(conn).ReadString('\x00') // until the station hangs up
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		must(t, group.Wait())
	})
	b, err := New(Options{Socket: path, Ping: 50 * time.Millisecond, BackOffMin: time.Millisecond})
	must(t, err)
	return b
}

// TestWrongBoxes are boxes that do not keep to the protocol: the line is missing and the reason says why.
func TestWrongBoxes(t *testing.T) {
	for name, c := range map[string]struct {
		lines  []string
		reason string
	}{
		"no greeting":      {[]string{"hello"}, "not a linesock line"},
		"other version":    {[]string{"linesock 2"}, "not a linesock line"},
		"word not asked":   {[]string{"linesock 1", "ok read door 1"}, "answers no question"},
		"line not watched": {[]string{"linesock 1", "edge attic 1 5 1 1"}, "is not watched"},
		"endless line":     {[]string{"linesock 1", strings.Repeat("x", 900)}, "longer than 256"},
		"never answers":    {[]string{"linesock 1"}, "no word in 3 pings"},
		"second greeting":  {[]string{"linesock 1", "linesock 1"}, "answers no question"},
		"pong first":       {[]string{"pong"}, "no greeting"},
	} {
		t.Run(name, func(t *testing.T) {
			e := next(t, follow(t, script(t, c.lines...), "door"))
			if e.Quality != bus.Missing || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("%+v, want missing because %q", e, c.reason)
			}
		})
	}
}

// TestBoxThatHangsUp holds that a box that answers and hangs up, again and again, is tried less and less often: it must not
// fill the log with a zone that comes and goes.
func TestBoxThatHangsUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	ln, err := net.Listen("unix", path)
	must(t, err)
	const tries, first, longest = 8, 2 * time.Millisecond, 40 * time.Millisecond
	took := make(chan time.Duration, 1)
	var group errgroup.Group
	group.Go(func() error {
		begun := time.Now()
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return nil
			}
			if n == tries {
				took <- time.Since(begun)
			}
			_, err = conn.Write([]byte("linesock 1\nok watch door 0 5 0\n"))
			if err = errors.Join(err, conn.Close()); err != nil {
				return err
			}
		}
	})
	b, err := New(Options{Socket: path, BackOffMin: first, BackOffMax: longest})
	must(t, err)
	edges := follow(t, b, "door")
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	least := time.Duration(0)
	for pause, n := first, 0; n < tries; pause, n = min(2*pause, longest), n+1 {
		least += pause
	}
	for {
		select {
		case <-edges:
			continue
		case d := <-took:
			if d < least {
				t.Errorf("%d tries within %s, want %s at least", tries, d, least)
			}
		case <-limit.C:
			t.Error("not tried again")
		}
		break
	}
	_ = ln.Close()
	must(t, group.Wait())
}

// TestBoxRestarts is a box whose counts begin again: what it has counted since is lost to us.
func TestBoxRestarts(t *testing.T) {
	n := newBench(t)
	edges := follow(t, n.client(0), "door")
	next(t, edges)
	n.set("door", true)
	n.set("door", false)
	next(t, edges)
	next(t, edges)
	n.stop()
	if e := next(t, edges); e.Quality != bus.Missing {
		t.Fatalf("%+v", e)
	}
	again, err := board.New("door")
	must(t, err)
	must(t, again.Set("door", true))
	n.board = again
	n.on()
	if e := next(t, edges); e.Quality != bus.Present || e.LineSeq != 1 || e.Lost != 1 || !e.Level {
		t.Fatalf("%+v: want one edge lost, which the new box counted before we came", e)
	}
}

// TestUncountedEdge is a box that finds another level than it told and has counted no edge: the level is believed, not the count.
func TestUncountedEdge(t *testing.T) {
	edges := follow(t, script(t, "linesock 1", "ok watch door 0 5 3", "ok watch door 1 5 3", "ok watch door 0 4 2"), "door")
	if e := next(t, edges); e.Quality != bus.Present || e.Level {
		t.Fatalf("%+v", e)
	}
	if e := next(t, edges); e.Quality != bus.Present || !e.Level || e.LineSeq != 3 {
		t.Fatalf("%+v: want the level that the box reads now", e)
	}
	if e := next(t, edges); e.Quality != bus.Missing { // the third answer is older than what is known
		t.Fatalf("%+v", e)
	}
}

// TestAnswersOfOthers are boxes that answer another question than was asked.
func TestAnswersOfOthers(t *testing.T) {
	for _, answer := range []string{"ok read panic 1", "ok set door 1", "pong", "err set door no", "ok set siren 0"} {
		b := script(t, "linesock 1", answer)
		if v, err := b.Read(t.Context(), "door"); err == nil {
			t.Errorf("%q: Read = %v", answer, v)
		}
		if err := b.Set(t.Context(), "siren", true); err == nil {
			t.Errorf("%q: Set is done", answer)
		}
	}
	b := script(t, "linesock 1", "err read door it is on fire")
	if _, err := b.Read(t.Context(), "door"); err == nil || !strings.Contains(err.Error(), "it is on fire") {
		t.Errorf("refusal: %v", err)
	}
	if _, err := b.Read(t.Context(), "Door"); err == nil {
		t.Error("a wrong name was sent")
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no socket: no error")
	}
	b, err := New(Options{Socket: "/run/box"})
	must(t, err)
	if b.o.Ping != 5*time.Second || b.o.BackOffMin != 100*time.Millisecond || b.o.BackOffMax != 5*time.Second {
		t.Errorf("defaults %+v", b.o)
	}
	if b.String() != "linesock /run/box" {
		t.Error(b.String())
	}
}

// BenchmarkEdge is one edge from the box to the watcher's channel.
func BenchmarkEdge(b *testing.B) {
	n := newBench(b)
	edges := follow(b, n.client(0), "door")
	next(b, edges)
	level := false
	for b.Loop() {
		level = !level
		n.set("door", level)
		next(b, edges)
	}
}
