package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"watchpost/drivers"
	"watchpost/drivers/bustest"
	"watchpost/drivers/linesock"
	"watchpost/sim/board"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a driver at work over a box whose lines can fail, and the log that it tells.
type rig struct {
	t      *testing.T
	box    *bustest.Box
	driver *Driver
	stop   func()

	mu     sync.Mutex // guards the fields below
	drafts []event.Draft
	broken map[string]error // by verb: "set" or "read"
	stuck  bool             // sets are taken and do nothing
	sets   int
	full   bool // the log takes nothing
}

func (g *rig) sink(_ context.Context, d event.Draft) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full {
		return errors.New("the log is full")
	}
	g.drafts = append(g.drafts, d)
	return nil
}

// lines is the rig's box as the driver sees it.
type lines struct {
	*bustest.Box
	g *rig
}

func (l lines) Set(ctx context.Context, line string, level bool) error {
	l.g.mu.Lock()
	l.g.sets++
	err, stuck := l.g.broken["set"], l.g.stuck
	l.g.mu.Unlock()
	if err != nil || stuck {
		return err
	}
	return l.Box.Set(ctx, line, level)
}

func (l lines) Read(ctx context.Context, line string) (bool, error) {
	l.g.mu.Lock()
	err := l.g.broken["read"]
	l.g.mu.Unlock()
	if err != nil {
		return false, err
	}
	return l.Box.Read(ctx, line)
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, box: bustest.NewBox("siren", "strobe"), broken: map[string]error{}, stop: func() {}}
}

// start starts a run of the agent.
func (g *rig) start() *rig {
	g.t.Helper()
	var err error
	g.driver, err = New(Options{Lines: lines{g.box, g}, Outputs: []Config{
		{ID: "siren", Line: "siren", Role: "siren", MaxOn: 3 * time.Minute},
		{ID: "strobe", Line: "strobe", ActiveLow: true, MaxOn: 10 * time.Minute},
	}})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(g.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.driver.Run(ctx, g.sink); err != nil {
			g.t.Errorf("Run: %v", err)
		}
	})
	g.stop = func() { cancel(); wg.Wait() }
	synctest.Wait()
	return g
}

func (g *rig) set(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
}

func (g *rig) drive(on bool, most time.Duration, cause string) {
	g.t.Helper()
	if err := g.driver.Drive(g.t.Context(), "siren", on, most, cause); err != nil {
		g.t.Fatal(err)
	}
	synctest.Wait()
}

// after lets time pass.
func (g *rig) after(d time.Duration) *rig { <-time.After(d); synctest.Wait(); return g }

// sounds holds the siren's wire.
func (g *rig) sounds(want bool) {
	g.t.Helper()
	synctest.Wait()
	if got, err := g.box.Read(g.t.Context(), "siren"); err != nil || got != want {
		g.t.Fatalf("the siren's line is %v (%v), want %v", got, err, want)
	}
}

// told holds what the log has of the siren since the last call, "previous>state reason severity" each.
func (g *rig) told(want ...string) {
	g.t.Helper()
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	var got []string
	for _, d := range g.drafts {
		if id, _ := d.Body.Text(event.TagOutput); id != "siren" {
			continue
		}
		state, _ := d.Body.Text(event.TagState)
		previous, _ := d.Body.Text(event.TagPrevious)
		reason, _ := d.Body.Text(event.TagReason)
		if d.Kind != event.KindOutputChanged || d.Source != "output/siren" || d.At.IsZero() {
			g.t.Errorf("draft %+v", d)
		}
		got = append(got, fmt.Sprintf("%s>%s %s %s", previous, state, reason, d.Severity))
	}
	g.drafts = nil
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		g.t.Fatalf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOnOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		g.box.Drive("strobe", true) // off: it is active low
		g.start()
		defer g.stop()
		g.told("unknown>off found notice")
		g.drive(true, time.Minute, "hall")
		g.sounds(true)
		g.mu.Lock()
		last := g.drafts[len(g.drafts)-1]
		g.mu.Unlock()
		if n, _ := last.Body.Uint(event.TagDuration); time.Duration(n) != time.Minute || last.Qualifier != event.QualifierNew {
			t.Errorf("on for %s, %v", time.Duration(n), last.Qualifier)
		}
		g.told("off>on hall notice")
		if r := g.driver.Snapshot()[0]; r.State != "on" || r.Text != "siren, line siren, on for 1m0s more (hall)" {
			t.Errorf("%+v", r)
		}
		g.drive(false, 0, "disarmed")
		g.sounds(false)
		g.told("on>off disarmed notice")
		if r := g.driver.Snapshot()[1]; r.Name != "strobe" || r.State != "off" || r.Text != "line strobe" {
			t.Errorf("%+v", r)
		}
		if err := g.driver.Drive(t.Context(), "strobe", true, 0, "hall"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if level, err := g.box.Read(t.Context(), "strobe"); level || err != nil {
			t.Errorf("an active low output that is on reads %v, %v", level, err)
		}
	})
}

// TestNobodyEndsIt is a caller that dies, and one that asks every second for an hour.
func TestNobodyEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t).start()
		defer g.stop()
		g.drive(true, time.Hour, "hall")
		g.after(3*time.Minute - time.Millisecond).sounds(true)
		g.after(2 * time.Millisecond).sounds(false)
		g.told("unknown>off found notice", "off>on hall notice", "on>off time notice")
		g.after(Rest)
		on := 0
		for range 3600 {
			if err := g.driver.Drive(t.Context(), "siren", true, time.Hour, "hall"); err != nil && !errors.Is(err, ErrSpent) {
				t.Fatal(err)
			}
			g.after(time.Second)
			if level, _ := g.box.Read(t.Context(), "siren"); level {
				on++
			}
		}
		if on > 2700 || on < 2600 { // three of every four minutes
			t.Errorf("on for %d of 3600 s", on)
		}
	})
}

// TestKilledRun leaves the siren on.
func TestKilledRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t).start()
		g.drive(true, 0, "hall")
		g.after(time.Minute)
		g.stop()
		g.after(time.Hour).sounds(true) // a dead agent moves no line
		g.told("unknown>off found notice", "off>on hall notice")
		g.start()
		g.told("unknown>on found notice")
		g.after(3*time.Minute - time.Second).sounds(true)
		g.after(2 * time.Second).sounds(false)
		g.told("on>off time notice")
		g.stop()

		g.box.Drive("siren", true)
		g.start()
		g.told("unknown>on found notice")
		g.drive(true, time.Minute, "gate") // claimed again, for a shorter time
		g.after(59 * time.Second).sounds(true)
		g.after(2 * time.Second).sounds(false)
		g.told("on>off time notice")
		g.stop()

		g.box.Drive("siren", true)
		g.start()
		g.drive(false, 0, "disarmed")
		g.sounds(false)
		g.told("unknown>on found notice", "on>off disarmed notice")
		g.stop()
	})
}

// TestWishBeforeTheStart is driven before Run has seen the line.
func TestWishBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t).start()
		g.stop()
		g.told("unknown>off found notice")
		d, err := New(g.driver.o)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Drive(t.Context(), "siren", true, time.Minute, "hall"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = d.Run(ctx, g.sink) })
		g.sounds(true)
		g.told("unknown>on hall notice")
		cancel()
		wg.Wait()
	})
}

// TestOffBeforeTheStart silences what a killed run has left on before Run has seen the line: the event says for what.
func TestOffBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t).start()
		g.stop()
		g.told("unknown>off found notice")
		g.box.Drive("siren", true)
		d, err := New(g.driver.o)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Drive(t.Context(), "siren", false, 0, "restart"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = d.Run(ctx, g.sink) })
		g.sounds(false)
		g.told("unknown>off restart notice")
		cancel()
		wg.Wait()
	})
}

// TestLineFails holds that a fault is told once, tried on, and that the siren's time does not get longer by it.
func TestLineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, broken := range map[string]func(*rig){
			"set refused":      func(g *rig) { g.broken["set"] = errors.New("no power") },
			"wire cut":         func(g *rig) { g.box.Cut("cable pulled") },
			"set does nothing": func(g *rig) { g.stuck = true },
			"no reading back":  func(g *rig) { g.broken["read"] = errors.New("short answer") },
		} {
			g := newRig(t).start()
			g.told("unknown>off found notice")
			g.set(func() { broken(g) })
			g.drive(true, 0, "hall")
			g.told("off>fault line warning")
			g.after(time.Minute)
			if r := g.driver.Snapshot()[0]; r.State != "fault" || !strings.Contains(r.Text, ": ") {
				t.Errorf("%s: %+v", name, r)
			}
			if g.sets > 20 {
				t.Errorf("%s: set %d times in a minute", name, g.sets)
			}
			g.told()
			g.set(func() { g.broken, g.stuck = map[string]error{}, false; g.box.Mend() })
			g.after(6 * time.Second).sounds(true)
			g.told("fault>on hall notice")
			g.after(2 * time.Minute).sounds(false)
			g.told("on>off time notice")
			g.stop()
		}
	})
}

// TestCannotSwitchOff holds that a siren whose time is over is tried on until it is off.
func TestCannotSwitchOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t).start()
		defer g.stop()
		g.drive(true, 0, "hall")
		g.set(func() { g.broken["set"] = errors.New("no power") })
		g.after(time.Hour).sounds(true)
		g.told("unknown>off found notice", "off>on hall notice", "on>fault line warning")
		g.set(func() { delete(g.broken, "set") })
		g.after(6 * time.Second).sounds(false)
		g.told("fault>off time notice")
		if err := g.driver.Drive(t.Context(), "siren", true, 0, "hall"); !errors.Is(err, ErrSpent) {
			t.Errorf("the rest counts from when it should have been off: %v", err)
		}
		g.after(Rest)
		g.drive(true, 0, "hall")
		g.sounds(true)
	})
}

// TestDrift is a box that loses its outputs in a power cut, and one that somebody else drives.
func TestDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t).start()
		defer g.stop()
		g.drive(true, 0, "hall")
		g.box.Drive("siren", false)
		g.after(11 * time.Second).sounds(true)
		g.told("unknown>off found notice", "off>on hall notice", "on>fault line warning", "fault>on hall notice")
		g.drive(false, 0, "disarmed")
		g.box.Drive("siren", true)
		g.after(11 * time.Second).sounds(false)
		g.told("on>off disarmed notice", "off>fault line warning", "fault>off disarmed notice")
	})
}

// TestFoundLater is a line that nobody here has asked for yet: it is taken as it is, and told.
func TestFoundLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		g.box.Cut("cable pulled")
		g.start()
		defer g.stop()
		g.told("unknown>fault line warning")
		g.box.Drive("siren", true)
		g.box.Mend()
		g.after(6 * time.Second)
		g.told("fault>on found notice")
		g.box.Drive("siren", false)
		g.after(11 * time.Second)
		g.told("on>off found notice")
		if r := g.driver.Snapshot()[0]; r.Text != "siren, line siren" {
			t.Errorf("%+v", r)
		}
		if g.sets != 0 {
			t.Errorf("%d sets although nobody asked", g.sets)
		}
	})
}

// TestUnreadable is a bus that cannot read its outputs: nothing is claimed of them, and what may be on is ended.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		g.broken["read"] = fmt.Errorf("this box: %w", errors.ErrUnsupported)
		g.box.Drive("siren", true)
		g.start()
		defer g.stop()
		g.after(time.Minute).told()
		if r := g.driver.Snapshot()[0]; r.State != "unknown" {
			t.Errorf("%+v", r)
		}
		g.after(3 * time.Minute).sounds(false)
		g.told("unknown>off time notice")
		g.after(time.Minute)
		g.drive(true, time.Minute, "hall")
		g.sounds(true)
		g.told("off>on hall notice")
	})
}

// TestFullLog holds that no output waits for the log.
func TestFullLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		g.full = true
		g.start()
		defer g.stop()
		g.drive(true, time.Minute, "hall")
		g.sounds(true)
		g.after(2 * time.Minute).sounds(false)
		g.set(func() { g.full = false })
		g.after(6*time.Second).told("unknown>off found notice", "off>on hall notice", "on>off time notice")
	})
}

func TestWrongWishes(t *testing.T) {
	d, err := New(Options{Lines: bustest.NewBox("siren"), Outputs: []Config{{ID: "siren", Line: "siren", MaxOn: time.Second}}})
	if err != nil || d.String() != "outputs (1)" || d.Snapshot()[0].State != "unknown" {
		t.Fatalf("%v, %v", d, err)
	}
	if err := d.Drive(t.Context(), "bell", true, 0, "x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("no such output: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Drive(ctx, "siren", true, 0, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("a wish from the past: %v", err)
	}
	if err := d.Drive(t.Context(), "siren", true, 0, strings.Repeat("警", 200)+"\xff"); err != nil || len(d.outputs[0].core.cause) != 255 {
		t.Errorf("%v, a cause of %d bytes", err, len(d.outputs[0].core.cause))
	}
}

func TestWrongOptions(t *testing.T) {
	box := bustest.NewBox()
	ok := Config{ID: "a", Line: "a", MaxOn: time.Second}
	for name, list := range map[string][]Config{
		"no name":   {{Line: "a", MaxOn: 1}},
		"long name": {{ID: strings.Repeat("x", 90), Line: "a", MaxOn: 1}},
		"line":      {{ID: "a", Line: "A", MaxOn: 1}},
		"same name": {ok, {ID: "a", Line: "b", MaxOn: 1}},
		"same line": {ok, {ID: "b", Line: "a", MaxOn: 1}},
		"for ever":  {{ID: "a", Line: "a"}},
		"too long":  {{ID: "a", Line: "a", MaxOn: MaxOnLimit + 1}},
	} {
		if _, err := New(Options{Lines: box, Outputs: list}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{Outputs: []Config{ok}}); err == nil {
		t.Error("no bus: no error")
	}
}

// TestRealBox drives the simulated I/O box, which has a codec of its own, over its socket.
func TestRealBox(t *testing.T) {
	b, err := board.New("door")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Outputs("siren"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "box")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = b.Serve(ctx, ln) })
	box, err := linesock.New(linesock.Options{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Options{Lines: box, Outputs: []Config{{ID: "siren", Line: "siren", MaxOn: 200 * time.Millisecond}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	states := make(chan string, 16)
	wg.Go(func() {
		_ = d.Run(ctx, drivers.Sink(func(_ context.Context, e event.Draft) error {
			state, _ := e.Body.Text(event.TagState)
			level, err := b.Level("siren")
			states <- fmt.Sprint(state, " ", level, " ", err)
			return nil
		}))
	})
	want := func(s string) {
		t.Helper()
		select {
		case got := <-states:
			if got != s {
				t.Fatalf("told %q, want %q", got, s)
			}
		case <-ctx.Done():
			t.Fatalf("nothing told, want %q", s)
		}
	}
	want("off false <nil>")
	if err := d.Drive(ctx, "siren", true, 0, "hall"); err != nil {
		t.Fatal(err)
	}
	want("on true <nil>")
	want("off false <nil>")
}
