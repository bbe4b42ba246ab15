package supervise

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// hardware is a file in the place of a watchdog's device: what is written to it is kept.
type hardware struct {
	t    *testing.T
	path string
	set  time.Duration // what the agent wished
	most time.Duration // the longest that it can wait; 0 = any
	err  error
	read int // bytes
}

func newHardware(t *testing.T) *hardware {
	h := &hardware{t: t, path: filepath.Join(t.TempDir(), "watchdog")}
	if err := os.WriteFile(h.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hardware) timeout(_ *os.File, want time.Duration) (time.Duration, error) {
	if h.set = want; h.most > 0 {
		want = min(want, h.most)
	}
	return want, h.err
}

// said is what was written since the last look: one letter p for each pet, and V.
func (h *hardware) said() string {
	h.t.Helper()
	b, err := os.ReadFile(h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	b, h.read = b[h.read:], len(b)
	return strings.ReplaceAll(string(b), "\x00", "p")
}

// start runs a watchdog of 12 s, which asks every 3 s; what it gives stops it.
func (h *hardware) start(log *slog.Logger, tasks ...Task) (stop func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	w := &Watchdog{Device: h.path, Timeout: 12 * time.Second, Tasks: tasks, Log: log, timeout: h.timeout}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// mood is a task whose answer can be changed.
type mood struct {
	mu     sync.Mutex // guards the fields below
	answer func(context.Context) error
	asked  int
}

func (m *mood) be(answer func(context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

func (m *mood) well(ctx context.Context) error {
	m.mu.Lock()
	m.asked++
	answer := m.answer
	m.mu.Unlock()
	return answer(ctx)
}

func (m *mood) questions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func fine(context.Context) error { return nil }

func TestPetsWhileAllAreWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, m := newHardware(t), &mood{answer: fine}
		stop := h.start(quiet(), Task{Name: "log", Well: m.well}, Task{Name: "panel"})
		<-time.After(30*time.Second + time.Millisecond)
		synctest.Wait()
		stop()
		if got := h.said(); got != strings.Repeat("p", 11)+"V" || h.set != 12*time.Second {
			t.Errorf("%q after a timeout of %s", got, h.set)
		}
	})
}

// TestUnwell holds for each way of not being well that no pet follows it, that it is told once, and that pets follow its end.
func TestUnwell(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(context.Context) error
		told   string
	}{
		"fails":          {func(context.Context) error { return errors.New("no mutex") }, "task log: no mutex"},
		"panics":         {func(context.Context) error { panic("nil map") }, "task log: panic: nil map"},
		"answers late":   {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "task log: "},
		"always another": {func(context.Context) error { return errors.New(time.Now().String()) }, "task log: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told strings.Builder
				h, m := newHardware(t), &mood{answer: fine}
				stop := h.start(slog.New(slog.NewTextHandler(&told, nil)), Task{Name: "log", Well: m.well}, Task{Name: "panel", Well: fine})
				<-time.After(time.Second)
				m.be(c.answer)
				_ = h.said()
				<-time.After(time.Hour)
				if got := h.said(); got != "" {
					t.Errorf("petted %q while a task was not well", got)
				}
				m.be(fine)
				<-time.After(10 * time.Second)
				stop()
				if got := h.said(); len(got) < 3 || !strings.HasSuffix(got, "pV") {
					t.Errorf("afterwards %q", got)
				}
				if n := strings.Count(told.String(), "not petted"); n != 1 || !strings.Contains(told.String(), c.told) || !strings.Contains(told.String(), "well again") {
					t.Errorf("told %d times:\n%s", n, told.String())
				}
			})
		})
	}
}

// TestHangs is a task that never answers: it is asked once, and holds up neither the others' questions nor the stop.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, stuck, other := newHardware(t), &mood{answer: func(context.Context) error { <-release; return nil }}, &mood{answer: fine}
		stop := h.start(quiet(), Task{Name: "stuck", Well: stuck.well}, Task{Name: "other", Well: other.well})
		<-time.After(time.Minute)
		if got := h.said(); got != "" || stuck.questions() != 1 || other.questions() < 10 {
			t.Errorf("petted %q, asked %d and %d times", got, stuck.questions(), other.questions())
		}
		close(release)
		<-time.After(7 * time.Second)
		if got := h.said(); got == "" || stuck.questions() < 2 {
			t.Errorf("petted %q after it was free, asked %d times", got, stuck.questions())
		}
		again := make(chan struct{})
		stuck.be(func(context.Context) error { <-again; return nil })
		<-time.After(time.Minute)
		begun := time.Now()
		stop()
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("the stop took %s", took)
		}
		close(again)
	})
}

// TestShortHardware is petted as it needs.
func TestShortHardware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHardware(t)
		h.most = 4 * time.Second
		stop := h.start(quiet())
		<-time.After(10*time.Second + time.Millisecond)
		synctest.Wait()
		stop()
		if got := h.said(); got != strings.Repeat("p", 11)+"V" {
			t.Errorf("%q", got)
		}
	})
}

// TestNoMagicWithoutGoodStop holds that a device that fails is left waiting.
func TestNoMagicWithoutGoodStop(t *testing.T) {
	h := newHardware(t)
	h.err = errors.New("no such timeout")
	w := &Watchdog{Device: h.path, Timeout: time.Second, Log: quiet(), timeout: h.timeout}
	if err := w.Run(t.Context()); !errors.Is(err, h.err) {
		t.Errorf("Run = %v", err)
	}
	if got := h.said(); got != "" {
		t.Errorf("%q", got)
	}
	w.Device = filepath.Join(t.TempDir(), "none")
	if err := w.Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no device: %v", err)
	}
	w.Device, h.err = "/dev/full", nil
	if err := w.Run(t.Context()); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a device that takes nothing: %v", err)
	}
}

// TestNoWatchdog is a file that is none, asked as the kernel is.
func TestNoWatchdog(t *testing.T) {
	h := newHardware(t)
	err := (&Watchdog{Device: h.path, Timeout: time.Second, Log: quiet()}).Run(t.Context())
	if !errors.Is(err, unix.ENOTTY) || h.said() != "" {
		t.Errorf("Run = %v", err)
	}
}

// TestUnderASupervisor has the watchdog stop last, after a task that takes its time: it is petted until then.
func TestUnderASupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHardware(t)
		slow := Task{Name: "slow", Well: fine, Run: func(ctx context.Context) error {
			<-ctx.Done()
			<-time.After(9 * time.Second)
			return nil
		}}
		broken := Task{Name: "camera", Run: func(context.Context) error { return errors.New("no route") }}
		w := &Watchdog{Device: h.path, Timeout: 12 * time.Second, Tasks: []Task{slow, broken}, Log: quiet(), timeout: h.timeout}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := New(quiet(), Task{Name: "watchdog", Run: w.Run}, slow, broken).Run(ctx, 20*time.Second); err != nil {
			t.Error(err)
		}
		if got := h.said(); got != strings.Repeat("p", 13)+"V" && got != strings.Repeat("p", 14)+"V" {
			t.Errorf("%q", got)
		}
	})
}
