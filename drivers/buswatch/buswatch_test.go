package buswatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a bus that a test can spoil: every transaction takes a while, and fails with fault if that is not nil.
type wire struct {
	mu    sync.Mutex // guards the fields below
	chips *bustest.Chips
	fault error
	takes time.Duration
	calls int
}

func newWire() *wire {
	return &wire{chips: bustest.NewChips(map[uint16]*bustest.Registers{0x48: {}, 0x49: {}, 0x4a: {}})}
}

func (w *wire) Tx(addr uint16, out, in []byte) error {
	w.mu.Lock()
	fault, takes := w.fault, w.takes
	w.calls++
	w.mu.Unlock()
	if takes > 0 {
		<-time.NewTimer(takes).C
	}
	if fault != nil {
		return fault
	}
	return w.chips.Tx(addr, out, in)
}

func (w *wire) spoil(fault error, takes time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.takes = fault, takes
}

// told keeps what the bus tells, as words, with the time since the test began.
type told struct {
	mu    sync.Mutex // guards the fields below
	begun time.Time
	words []string
	at    []time.Duration
}

func (s *told) sink(_ context.Context, d event.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, _ := d.Body.Text(event.TagState)
	previous, _ := d.Body.Text(event.TagPrevious)
	id, _ := d.Body.Text(event.TagBus)
	s.words = append(s.words, fmt.Sprintf("%s %s>%s", id, previous, state))
	s.at = append(s.at, time.Since(s.begun))
	if d.Kind != event.KindBusChanged || d.Source != "bus/chips" || (state == "up") != (d.Qualifier == event.QualifierRestore) {
		return fmt.Errorf("wrong draft %+v", d)
	}
	return nil
}

func (s *told) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.words)
}

// watched runs a bus over w in the bubble of the test, which stop ends.
func watched(t *testing.T, w *wire) (b *Bus, s *told, stop func()) {
	t.Helper()
	b, err := New(Options{ID: "chips", Bus: w})
	if err != nil {
		t.Fatal(err)
	}
	s = &told{begun: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return b.Run(ctx, s.sink) })
	return b, s, func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// poll asks the three chips in turn for a while, as drivers do.
func poll(b *Bus, every, span time.Duration) (failed int) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
		for addr := uint16(0x48); addr <= 0x4a; addr++ {
			if b.Tx(addr, []byte{0}, make([]byte, 1)) != nil {
				failed++
			}
		}
	}
	return failed
}

func wantTold(t *testing.T, s *told, want ...string) {
	t.Helper()
	if got := s.all(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestConformance holds that a watched bus is a bus.
func TestConformance(t *testing.T) {
	bustest.I2C(t, func(t *testing.T) bustest.I2CBench {
		chips := bustest.NewChips(map[uint16]*bustest.Registers{0x48: {}})
		b, err := New(Options{ID: "chips", Bus: chips})
		if err != nil {
			t.Fatal(err)
		}
		return bustest.I2CBench{Bus: b, Stick: func() { chips.Stick(true) }, Free: func() { chips.Stick(false) }}
	})
}

// TestStuck holds that a stuck bus is told within a second of its first fault, once, that its users do not wait a second each,
// and that it is told when it works again.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		b, s, stop := watched(t, w)
		poll(b, 100*time.Millisecond, 2*time.Second)
		wantTold(t, s)
		w.spoil(fmt.Errorf("SDA is low: %w", bus.ErrStuck), time.Second-time.Millisecond)
		stuck := time.Since(s.begun)
		poll(b, 100*time.Millisecond, 10*time.Second)
		wantTold(t, s, "chips up>stuck")
		// The first fault itself took a second to be known.
		if after := s.at[0] - stuck - time.Second; after > time.Second {
			t.Errorf("told %s after the first fault was known", after)
		}
		err := b.Tx(0x48, []byte{0}, nil)
		begun, calls := time.Now(), w.calls
		err = b.Tx(0x48, []byte{0}, nil)
		if took := time.Since(begun); !errors.Is(err, bus.ErrStuck) || took > 0 || w.calls != calls {
			t.Errorf("a user of a stuck bus waits %s, %v", took, err)
		}
		if r := b.Snapshot()[0]; r.State != "stuck" || !strings.Contains(r.Text, "SDA is low") {
			t.Errorf("%+v", r)
		}
		w.spoil(nil, 0)
		poll(b, 100*time.Millisecond, 10*time.Second)
		wantTold(t, s, "chips up>stuck", "chips stuck>up")
		if r := b.Snapshot()[0]; r.State != "up" || strings.Contains(r.Text, "failed") {
			t.Errorf("%+v", r)
		}
		stop()
	})
}

// TestTimeout: a bus that does not come back in time is stuck, and answers that came damaged, or one chip's silence, are a bus
// that works.
func TestTimeout(t *testing.T) {
	for name, works := range map[string]func(*wire){
		"damaged": func(w *wire) { w.spoil(bus.ErrChecksum, 0) },
		"silent":  func(w *wire) { w.spoil(nil, 0); w.chips.Put(0x48, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				b, s, stop := watched(t, w)
				defer stop()
				poll(b, 100*time.Millisecond, time.Second)
				w.spoil(fmt.Errorf("no word from the box: %w", bus.ErrTimeout), time.Second)
				poll(b, 100*time.Millisecond, 3*time.Second)
				wantTold(t, s, "chips up>stuck")
				works(w)
				<-time.After(tryEvery)
				_ = b.Tx(0x48, []byte{0}, make([]byte, 1))
				if r := b.Snapshot()[0]; r.State != "up" {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// TestFewTries holds how often a stuck bus is touched.
func TestFewTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		b, _, stop := watched(t, w)
		w.spoil(bus.ErrStuck, 0)
		poll(b, 10*time.Millisecond, 10*time.Second)
		if w.calls < 30 || w.calls > 42 {
			t.Errorf("%d transactions in 10 s of a stuck bus, want about 40", w.calls)
		}
		stop()
	})
}

// TestOneSilentChip holds that a chip without an answer is no dead bus, and that all of them are one.
func TestOneSilentChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		b, s, stop := watched(t, w)
		poll(b, 100*time.Millisecond, time.Second)
		w.chips.Put(0x48, nil)
		if failed := poll(b, 100*time.Millisecond, 5*time.Second); failed != 50 {
			t.Errorf("%d transactions failed, want those of one chip", failed)
		}
		w.chips.Put(0x49, nil)
		poll(b, 100*time.Millisecond, 5*time.Second)
		wantTold(t, s)
		w.chips.Put(0x4a, nil)
		poll(b, 100*time.Millisecond, 900*time.Millisecond)
		wantTold(t, s, "chips up>missing")
		w.chips.Put(0x49, &bustest.Registers{})
		poll(b, 100*time.Millisecond, 6*time.Second)
		wantTold(t, s, "chips up>missing", "chips missing>up")
		stop()
	})
}

// TestOnlyChip holds that the silence of the only chip is the chip's: its driver tells it.
func TestOnlyChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		b, s, stop := watched(t, w)
		for range 10 {
			if err := b.Tx(0x20, nil, nil); !errors.Is(err, bus.ErrNoAnswer) {
				t.Error(err)
			}
		}
		synctest.Wait()
		wantTold(t, s)
		if r := b.Snapshot()[0]; r.State != "unknown" {
			t.Errorf("%+v", r)
		}
		stop()
	})
}

// TestGone are the faults of a bus that is not there.
func TestGone(t *testing.T) {
	for name, fault := range map[string]error{
		"device": fmt.Errorf("opening: %w", fs.ErrNotExist), "box": fmt.Errorf("%w: %w", bus.ErrTimeout, unix.ECONNREFUSED), "pulled": unix.ENODEV,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			w.spoil(fault, 0)
			b, s, stop := watched(t, w)
			poll(b, 100*time.Millisecond, time.Second)
			wantTold(t, s, "chips unknown>missing")
			if err := b.Tx(0x48, nil, nil); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: a user of a bus that is gone: %v", name, err)
			}
			stop()
		})
	}
}

// TestGlitch holds that a fault of a moment is no event, and one that comes and goes is one until it stays away.
func TestGlitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		b, s, stop := watched(t, w)
		poll(b, 100*time.Millisecond, time.Second)
		w.spoil(bus.ErrStuck, 0)
		poll(b, 100*time.Millisecond, 200*time.Millisecond)
		w.spoil(nil, 0)
		poll(b, 100*time.Millisecond, 10*time.Second)
		wantTold(t, s)
		for range 20 {
			w.spoil(bus.ErrStuck, 0)
			poll(b, 100*time.Millisecond, time.Second)
			w.spoil(nil, 0)
			poll(b, 100*time.Millisecond, time.Second)
		}
		wantTold(t, s, "chips up>stuck")
		poll(b, 100*time.Millisecond, 6*time.Second)
		wantTold(t, s, "chips up>stuck", "chips stuck>up")
		stop()
	})
}

// TestFaultPlan runs a bus that fails by a seeded plan: every user gets a fault or the right byte.
func TestFaultPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chips := bustest.NewChips(map[uint16]*bustest.Registers{0x48: {Start: map[uint8]uint16{0: 0x5a}}, 0x49: {}})
		faults := bustest.NewFaults(3, bustest.Plan{NoAnswer: 0.05, Stuck: 0.02, StuckFor: 20, Slow: 0.05, SlowFor: 300 * time.Millisecond})
		b, err := New(Options{ID: "chips", Bus: faults.I2C(chips)})
		if err != nil {
			t.Fatal(err)
		}
		good := 0
		for range 2000 {
			r := make([]byte, 1)
			if err := b.Tx(0x48, []byte{0}, r); err == nil {
				if good++; r[0] != 0x5a {
					t.Fatalf("read %x without an error", r)
				}
			}
			<-time.NewTimer(50 * time.Millisecond).C
		}
		if good < 500 || faults.Count("stuck") == 0 {
			t.Errorf("%d good of 2000, %d stuck", good, faults.Count("stuck"))
		}
	})
}

func TestNew(t *testing.T) {
	for _, o := range []Options{{}, {ID: "chips"}, {Bus: newWire()}, {ID: strings.Repeat("x", event.MaxName), Bus: newWire()}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	b, err := New(Options{ID: "chips", Bus: newWire()})
	if err != nil || b.String() != "bus/chips" {
		t.Errorf("%s, %v", b, err)
	}
}
