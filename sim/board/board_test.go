package board

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

const patience = 10 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustNew(t testing.TB, lines ...string) *Board {
	t.Helper()
	b, err := New(lines...)
	must(t, err)
	return b
}

// serve runs the box on a socket until the test ends.
func serve(t testing.TB, b *Board) string {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	path := filepath.Join(t.TempDir(), "box")
	ln, err := net.Listen("unix", path)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return b.Serve(ctx, ln) })
	t.Cleanup(func() {
		cancel()
		must(t, group.Wait())
		goleak.VerifyNone(t, leaks)
	})
	return path
}

// caller is the station's end of a connection.
type caller struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func connect(t testing.TB, path string) *caller {
	t.Helper()
	conn, err := net.Dial("unix", path)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	w := &caller{t, conn, bufio.NewReader(conn)}
	w.want("linesock 1")
	return w
}

func (w *caller) say(text string) {
	w.t.Helper()
	_, err := w.conn.Write([]byte(text + "\n"))
	must(w.t, err)
}

func (w *caller) hear() string {
	w.t.Helper()
	text, err := w.r.ReadString('\n')
	must(w.t, err)
	return strings.TrimSuffix(text, "\n")
}

func (w *caller) want(text string) {
	w.t.Helper()
	if got := w.hear(); got != text {
		w.t.Fatalf("heard %q, want %q", got, text)
	}
}

// edge reads an edge of which it returns all but the time.
func (w *caller) edge() string {
	w.t.Helper()
	words := strings.Fields(w.hear())
	if len(words) != 6 || words[0] != "edge" {
		w.t.Fatalf("heard %q, want an edge", words)
	}
	return strings.Join(append(words[1:3:3], words[4:]...), " ")
}

func TestConversation(t *testing.T) {
	b := mustNew(t, "door", "panic")
	must(t, b.Outputs("siren"))
	must(t, b.Set("panic", true))
	w := connect(t, serve(t, b))
	w.say("ping")
	w.want("pong")
	w.say("watch door 0")
	if got := w.hear(); !strings.HasPrefix(got, "ok watch door 0 ") || !strings.HasSuffix(got, " 0") {
		t.Errorf("watch door: %q", got)
	}
	w.say("watch panic 0")
	if got := w.hear(); !strings.HasPrefix(got, "ok watch panic 1 ") || !strings.HasSuffix(got, " 1") {
		t.Errorf("watch panic: %q", got)
	}
	must(t, b.Set("door", true))
	must(t, b.Set("door", true)) // no change, no edge
	must(t, b.Set("panic", false))
	for _, want := range []string{"door 1 2 1", "panic 0 3 2"} {
		if got := w.edge(); got != want {
			t.Errorf("edge %q, want %q", got, want)
		}
	}
	w.say("read door")
	w.want("ok read door 1")
	w.say("set siren 1")
	w.want("ok set siren 1")
	if on, err := b.Level("siren"); err != nil || !on {
		t.Errorf("siren %v, %v", on, err)
	}
}

func TestLoop(t *testing.T) {
	b := mustNew(t, "test-loop", "door")
	must(t, b.Outputs("test-out"))
	must(t, b.Loop("test-out", "test-loop"))
	w := connect(t, serve(t, b))
	w.say("watch test-loop 0")
	w.hear()
	for _, level := range []string{"1", "0"} {
		w.say("set test-out " + level)
		var edge, answer string
		for range 2 { // which comes first does not matter
			if text := w.hear(); strings.HasPrefix(text, "edge ") {
				edge = text
			} else {
				answer = text
			}
		}
		if answer != "ok set test-out "+level || !strings.HasPrefix(edge, "edge test-loop "+level+" ") {
			t.Errorf("set %s: %q, %q", level, answer, edge)
		}
	}
	w.say("set test-out 1")
	w.hear()
	w.hear()
	must(t, b.Loop("test-out", "")) // the wire is cut
	w.say("set test-out 0")
	w.want("ok set test-out 0")
	if on, err := b.Level("test-loop"); err != nil || !on {
		t.Errorf("the input of a cut wire moved: %v, %v", on, err)
	}
	must(t, b.Loop("test-out", "test-loop"))
	if on, err := b.Level("test-loop"); err != nil || on {
		t.Errorf("the input of a mended wire: %v, %v", on, err)
	}
	for _, wrong := range [][2]string{{"door", "test-loop"}, {"x", "door"}, {"test-out", "x"}, {"test-out", "test-out"}} {
		if err := b.Loop(wrong[0], wrong[1]); err == nil {
			t.Errorf("a loop from %s to %s was taken", wrong[0], wrong[1])
		}
	}
}

func TestRefusals(t *testing.T) {
	w := connect(t, serve(t, mustNew(t, "door")))
	for text, want := range map[string]string{
		"watch window 0":                      `err watch window no line "window": this box has door`,
		"watch door":                          "err watch door 2 arguments are needed",
		"watch door -1":                       "err watch door debounce: 0 to 10000000 microseconds",
		"watch door 99999999":                 "err watch door debounce: 0 to 10000000 microseconds",
		"set door 1":                          "err set door this line is an input",
		"set door 2":                          "err set door the level is 0 or 1",
		"jump door":                           "err jump door unknown request: use watch, read, set, i2c, w1, w1search or ping",
		"":                                    "err  - unknown request: use watch, read, set, i2c, w1, w1search or ping",
		"read \xff":                           `err read - no line "-": this box has door`,
		"\xff" + strings.Repeat("x", 60):      "err ?xxxxxxxxxxxxxxx - unknown request: use watch, read, set, i2c, w1, w1search or ping",
		"read " + strings.Repeat("x", 33):     `err read - no line "-": this box has door`,
		"read door extra":                     "err read door 1 arguments are needed",
		"ping ping":                           "err ping ping unknown request: use watch, read, set, i2c, w1, w1search or ping",
		"set " + strings.Repeat("a", 32) + "": "err set " + strings.Repeat("a", 32) + " 2 arguments are needed",
	} {
		w.say(text)
		if got := w.hear(); got != want {
			t.Errorf("%q: heard %q, want %q", text, got, want)
		}
	}
	w.say(strings.Repeat("x", 300))
	if text, err := w.r.ReadString('\n'); err == nil {
		t.Errorf("a line over the limit was answered with %q", text)
	}
}

func TestNames(t *testing.T) {
	for _, names := range [][]string{{"Door"}, {""}, {"a b"}, {"ä"}, {strings.Repeat("x", 33)}, {"door", "door"}} {
		if _, err := New(names...); err == nil {
			t.Errorf("%q was accepted", names)
		}
	}
	b := mustNew(t, "door")
	for name, err := range map[string]error{
		"Set": b.Set("x", true), "Storm": b.Storm(t.Context(), "x", 1, 0), "Outputs": b.Outputs("door"),
	} {
		if err == nil {
			t.Errorf("%s took a wrong name", name)
		}
	}
	if _, err := b.Level("x"); err == nil || !strings.Contains(err.Error(), "this box has door") {
		t.Errorf("Level: %v", err)
	}
	if _, err := b.Edges("x"); err == nil {
		t.Error("Edges took a wrong name")
	}
}

func TestEveryStationHearsWhatItWatches(t *testing.T) {
	b := mustNew(t, "door", "panic")
	path := serve(t, b)
	both, one := connect(t, path), connect(t, path)
	for _, line := range []string{"door", "panic"} {
		both.say("watch " + line + " 0")
		both.hear()
	}
	one.say("watch panic 0")
	one.hear()
	must(t, b.Set("door", true))
	must(t, b.Set("panic", true))
	if got := both.edge() + ", " + both.edge(); got != "door 1 1 1, panic 1 2 1" {
		t.Errorf("one station heard %s", got)
	}
	if got := one.edge(); got != "panic 1 2 1" {
		t.Errorf("the other heard %s", got)
	}
	if n := b.Stations(); n != 2 {
		t.Errorf("%d stations", n)
	}
}

func TestFaults(t *testing.T) {
	b := mustNew(t, "door")
	path := serve(t, b)
	w := connect(t, path)
	w.say("watch door 0")
	w.hear()
	b.DropEdges(2)
	must(t, b.Storm(t.Context(), "door", 3, 0))
	if got := w.edge(); got != "door 1 3 3" {
		t.Errorf("behind two lost edges came %q", got)
	}
	b.Mute(true)
	w.say("ping")
	must(t, b.Set("door", false))
	must(t, w.conn.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	if text, err := w.r.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a mute box said %q, %v", text, err)
	}
	b.Mute(false)
	must(t, w.conn.SetReadDeadline(time.Now().Add(patience)))
	w.say("ping")
	w.want("pong")
	b.Disconnect()
	if text, err := w.r.ReadString('\n'); err == nil {
		t.Errorf("after the end came %q", text)
	}
	again := connect(t, path)
	again.say("watch door 0")
	if got := again.hear(); !strings.HasPrefix(got, "ok watch door 0 ") || !strings.HasSuffix(got, " 4") {
		t.Errorf("a new connection learns %q, want level 0 and four edges", got)
	}
}

func TestKernelTimeIsTheClockOfTheKernel(t *testing.T) {
	b := mustNew(t, "door")
	w := connect(t, serve(t, b))
	w.say("watch door 0")
	w.hear()
	before := monotonic()
	must(t, b.Set("door", true))
	var level, seq, lineSeq, at int64
	if _, err := fmt.Sscanf(w.hear(), "edge door %d %d %d %d", &level, &at, &seq, &lineSeq); err != nil {
		t.Fatal(err)
	}
	if after := monotonic(); at < before || at > after || before == 0 {
		t.Errorf("the edge is at %d, it was made between %d and %d", at, before, after)
	}
}

func TestStationThatDoesNotReadIsCutOff(t *testing.T) {
	b := mustNew(t, "door")
	path := serve(t, b)
	w := connect(t, path)
	w.say("watch door 0")
	w.hear()
	deadline := time.Now().Add(patience)
	for b.Stations() > 0 {
		must(t, b.Storm(t.Context(), "door", queueLength, 0))
		if time.Now().After(deadline) {
			t.Fatal("it is still connected")
		}
	}
}

func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, "door")
		b.lines["door"].debounce = 20 * time.Millisecond
		set := func(level bool, wait time.Duration) {
			t.Helper()
			must(t, b.Set("door", level))
			<-time.After(wait)
			synctest.Wait()
		}
		check := func(level bool, edges uint64) {
			t.Helper()
			gotLevel, err := b.Level("door")
			must(t, err)
			gotEdges, err := b.Edges("door")
			must(t, err)
			if gotLevel != level || gotEdges != edges {
				t.Fatalf("level %v with %d edges, want %v with %d", gotLevel, gotEdges, level, edges)
			}
		}
		set(true, 19*time.Millisecond)
		check(false, 0)
		set(false, time.Second) // the bounce was too short
		check(false, 0)
		set(true, 19*time.Millisecond)
		set(false, time.Millisecond)
		set(true, 19*time.Millisecond) // the time starts again
		check(false, 0)
		set(true, 2*time.Millisecond)
		check(true, 1)
		set(false, 21*time.Millisecond)
		check(false, 2)
	})
}

// Whatever moves are made, an edge comes only for a level that stood still, the
// levels of edges alternate, and the box ends at the level of the terminal.
func TestDebounceProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		moves := rapid.SliceOfN(rapid.IntRange(1, 60), 1, 40).Draw(rt, "milliseconds")
		synctest.Test(t, func(t *testing.T) {
			b := mustNew(t, "door")
			b.lines["door"].debounce = 20 * time.Millisecond
			level, stable, edges := false, false, uint64(0)
			for _, ms := range moves {
				level = !level
				must(t, b.Set("door", level))
				<-time.After(time.Duration(ms)*time.Millisecond + time.Microsecond)
				if ms >= 20 && level != stable {
					stable = level
					edges++
				}
			}
			got, err := b.Edges("door")
			must(t, err)
			at, err := b.Level("door")
			must(t, err)
			if got != edges || at != stable {
				t.Errorf("%v: %d edges and level %v, want %d and %v", moves, got, at, edges, stable)
			}
			b.settleAll()
		})
	})
}

func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, "door")
		start := time.Now()
		must(t, b.Storm(t.Context(), "door", 50, 10*time.Millisecond))
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("50 moves took %v", took)
		}
		if n, err := b.Edges("door"); err != nil || n != 50 {
			t.Errorf("%d edges, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Millisecond)
		defer cancel()
		if err := b.Storm(ctx, "door", 50, 10*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a storm that was stopped: %v", err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"ping", "watch door 0", "read door", "set siren 1", "watch door 5000", "", "set  1", "err x", "watch \x00 \xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b := mustNew(t, "door")
		must(t, b.Outputs("siren"))
		s := &station{out: make(chan string, 4), watched: map[string]bool{}}
		got := b.answer(s, strings.ReplaceAll(text, "\n", ""))
		if got == "" || len(got) >= maxText || strings.Contains(got, "\n") {
			t.Errorf("%q is answered with %q", text, got)
		}
	})
}

func BenchmarkEdge(b *testing.B) {
	box := mustNew(b, "door")
	w := connect(b, serve(b, box))
	w.say("watch door 0")
	w.hear()
	level := false
	for b.Loop() {
		level = !level
		must(b, box.Set("door", level))
		if _, err := w.r.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
	}
}
