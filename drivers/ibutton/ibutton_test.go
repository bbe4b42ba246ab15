package ibutton

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Buttons of the tests. The first is the code of application note 27, figure 3.
const (
	liButton       bus.ROM = 0xa2_000000_01b81c_02
	familyUnlisted         = 0x28
)

func wuButton() bus.ROM { return bus.NewROM(familyDS1990A, 0xfb3a2c1) }

// village is a station's tour over wires in memory, from 8 in the morning in China, with a log and a memo that outlive its runs.
type village struct {
	t      *testing.T
	gate   *bustest.Wires
	bank   *bustest.Wires
	driver *Driver
	stop   func()

	mu     sync.Mutex // guards the fields below
	drafts []event.Draft
	keys   map[string]bool
	full   bool
	room   int // 0 = any; so many are stored until the log is full
	memo   []byte
	saves  int
	broken error // of the memo
	jumped time.Duration
}

func (v *village) Load() ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.memo, v.broken
}

func (v *village) Save(b []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.saves++
	if v.broken == nil {
		v.memo = b
	}
	return v.broken
}

// remembered is what is in the memo.
func (v *village) remembered() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.memo)
}

func (v *village) set(do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	do()
}

func (v *village) sink(_ context.Context, d event.Draft) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full {
		return errors.New("the log is full")
	}
	if k := d.Source + " " + d.Once; d.Once != "" {
		if v.keys[k] {
			return nil // as the log does
		}
		v.keys[k] = true
	}
	v.drafts = append(v.drafts, d)
	if v.room > 0 {
		v.room--
		v.full = v.room == 0
	}
	return nil
}

func newVillage(t *testing.T) *village {
	return &village{t: t, gate: bustest.NewWires(nil), bank: bustest.NewWires(nil), keys: map[string]bool{}, stop: func() {}}
}

func (v *village) options() Options {
	now := func() time.Time {
		v.mu.Lock()
		defer v.mu.Unlock()
		return time.Now().Add(v.jumped).In(china())
	}
	return Options{Memo: v, Now: now, Tours: []Tour{{
		ID: "morning", Checkpoints: []Checkpoint{{"gate", "wire-1", v.gate}, {"bank", "wire-2", v.bank}},
		Windows: []string{"08:30-09:00"}, Roster: map[bus.ROM]string{liButton: "li", wuButton(): "wu"},
	}}}
}

// start starts a run of the agent.
func (v *village) start() *village {
	v.t.Helper()
	d, err := New(v.options())
	if err != nil {
		v.t.Fatal(err)
	}
	v.driver = d
	ctx, cancel := context.WithCancel(v.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Run(ctx, v.sink); err != nil {
			v.t.Errorf("Run: %v", err)
		}
	})
	v.stop = func() { cancel(); wg.Wait() }
	synctest.Wait()
	return v
}

func (v *village) after(d time.Duration) *village { <-time.After(d); synctest.Wait(); return v }

// skip sets the clock forward by all but the last two minutes, and lets those pass: readers are polled very often.
func (v *village) skip(d time.Duration) *village {
	v.set(func() { v.jumped += d - 2*time.Minute })
	return v.after(2 * time.Minute)
}

func (v *village) aDay() *village { return v.skip(24 * time.Hour) }

// touch holds a button to a reader for half a second.
func (v *village) touch(w *bustest.Wires, rom bus.ROM) *village {
	w.Put(rom, nil)
	v.after(500 * time.Millisecond)
	w.Take(rom)
	return v.after(time.Second)
}

// told holds what the log has got since the last call.
func (v *village) told(want ...string) {
	v.t.Helper()
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	var got []string
	for _, d := range v.drafts {
		words := []string{}
		for _, tag := range []event.Tag{event.TagTour, event.TagCheckpoint, event.TagBus, event.TagState, event.TagWho, event.TagReason} {
			if s, ok := d.Body.Text(tag); ok {
				words = append(words, s)
			}
		}
		got = append(got, strings.Join(words, " "))
		if d.At.IsZero() || (d.Kind != event.KindTourChecked && d.Kind != event.KindBusChanged) {
			v.t.Errorf("%+v", d)
		}
	}
	v.drafts = nil
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		v.t.Fatalf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := liButton.Check(); err != nil {
			t.Fatal(err)
		}
		v := newVillage(t).start()
		defer v.stop()
		v.skip(31*time.Minute).touch(v.gate, liButton)
		first := v.drafts[0]
		if n, _ := first.Body.Int(event.TagExpires); first.Source != "tour/morning" || first.Severity != event.SeverityNotice ||
			!time.Unix(0, n).Equal(time.Date(2000, 1, 1, 9, 0, 0, 0, china())) {
			t.Errorf("%+v", first)
		}
		v.told("morning gate checked li")
		v.touch(v.gate, liButton).told()
		if r := v.driver.Snapshot(); len(r) != 2 || r[0].Name != "morning/gate" || r[0].State != "up" || r[0].Text != "reader wire-1, checked at 08:31:00" || r[1].Text != "reader wire-2" {
			t.Errorf("%+v", r)
		}
		v.touch(v.bank, bus.NewROM(familyUnlisted, 7)).told() // a thermometer
		v.touch(v.bank, bus.NewROM(familyDS1990A, 7)).told("morning bank stranger")
		v.skip(30 * time.Minute).told("morning bank missed")
		v.touch(v.bank, wuButton()).told("morning bank late wu")
		v.aDay().told("morning gate missed", "morning bank missed")
		if v.driver.String() != "tours (1)" {
			t.Error(v.driver)
		}
	})
}

// TestStranger holds that a stranger's code is in its event and nowhere else.
func TestStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t).start()
		defer v.stop()
		rom := bus.NewROM(familyDS1990A, 0xabcdef)
		v.touch(v.gate, rom)
		if d, _ := v.drafts[0].Body.Text(event.TagDetail); d != rom.String() || v.drafts[0].Severity != event.SeverityWarning {
			t.Errorf("%+v", v.drafts[0])
		}
		if s := fmt.Sprint(v.driver.Snapshot()); strings.Contains(s, "abcdef") || strings.Contains(v.remembered(), "abcdef") {
			t.Errorf("%s %s", s, v.remembered())
		}
	})
}

// TestBrokenReader holds that a wire that cannot be read is a fault of the reader, and no guard's.
func TestBrokenReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t)
		v.gate.Stick(true)
		v.start()
		defer v.stop()
		if r := v.driver.Snapshot()[0]; r.State != "unknown" {
			t.Errorf("after one failed poll %+v", r)
		}
		v.after(time.Second).told("wire-1 missing stuck")
		if r := v.driver.Snapshot(); r[0].State != "missing" || r[1].State != "up" {
			t.Errorf("%+v", r)
		}
		v.skip(time.Hour)
		v.told("morning gate missing reader", "morning bank missed")
		v.gate.Stick(false)
		v.after(time.Second).told("wire-1 up")
		v.aDay().told("morning gate missed", "morning bank missed")
		v.gate.Stick(true)
		v.after(160 * time.Millisecond)
		v.gate.Stick(false)
		v.after(time.Second).told()
	})
}

// TestDown stops the agent over the end of a window, and kills it between the log and the memo.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t).start()
		v.skip(31*time.Minute).touch(v.gate, liButton).told("morning gate checked li")
		v.stop()
		v.after(3 * time.Hour)
		v.start().told("morning bank missed down")
		v.stop()
		v.start().told()
		v.stop()

		v.after(22 * time.Hour) // 09:31
		old := []byte(v.remembered())
		v.start().told("morning gate missed down", "morning bank missed down")
		v.stop()
		v.set(func() { v.memo = old })
		v.start().told() // again, with the same keys
		v.stop()
		v.set(func() { v.broken = errors.New("disk full") })
		v.after(24 * time.Hour)
		v.start().told() // nothing is known of yesterday, and nothing is made up
		v.aDay().told("morning gate missed", "morning bank missed")
		v.stop()
	})
}

// TestMemoOfAnother is a memo that this agent cannot read.
func TestMemoOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, memo := range []string{"{", `{"version":2,"tours":{}}`, `{"version":1}`, "null"} {
			v := newVillage(t)
			v.memo = []byte(memo)
			v.start()
			v.touch(v.gate, liButton).told("morning gate early li")
			v.stop()
			if !strings.HasPrefix(v.remembered(), `{"version":1,"tours":{"morning":{"settled":`) {
				t.Errorf("after %s: %s", memo, v.remembered())
			}
			v.after(24*time.Hour - time.Duration(time.Now().Hour())*time.Hour) // the next at the same time
			v.set(func() { v.drafts = nil })
		}
	})
}

// TestFullLog holds that the memo says nothing that is not in the log, and that touches wait.
func TestFullLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t).start()
		v.skip(31 * time.Minute)
		v.set(func() { v.full = true })
		before := v.remembered()
		v.touch(v.gate, liButton).touch(v.bank, wuButton())
		if now := v.remembered(); now != before {
			t.Errorf("the memo is ahead of the log: %s", now)
		}
		v.stop() // and all of it is lost with the agent
		v.set(func() { v.full = false })
		v.start()
		v.skip(time.Hour).told("morning gate missed down", "morning bank missed down")
		v.set(func() { v.full = true })
		v.set(func() { v.jumped += 22 * time.Hour })
		v.skip(time.Hour).touch(v.gate, liButton) // 08:31
		v.set(func() { v.full = false })
		saves := 0
		v.set(func() { saves = v.saves })
		v.after(10 * time.Second).told("morning gate checked li")
		v.set(func() {
			if v.saves != saves+1 {
				t.Errorf("saved %d times for one fact", v.saves-saves)
			}
		})
		v.stop()
	})
}

// TestHalfStored kills the agent when one of two facts is stored: the other is not forgotten.
func TestHalfStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t).start()
		v.set(func() { v.full = true })
		v.skip(61 * time.Minute)
		v.set(func() { v.full, v.room = false, 1 })
		v.after(10 * time.Second).told("morning gate missed")
		v.stop()
		v.set(func() { v.full = false })
		v.start().told("morning bank missed down")
		v.stop()
		v.start().told()
		v.stop()
	})
}

// TestMemoFails holds that a memo that cannot be written stops nothing and is tried again with the next fact.
func TestMemoFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t).start()
		defer v.stop()
		v.skip(31 * time.Minute)
		v.set(func() { v.broken = errors.New("disk full") })
		v.touch(v.gate, liButton).told("morning gate checked li")
		v.set(func() { v.broken = nil })
		v.touch(v.bank, liButton).told("morning bank checked li")
		if !strings.Contains(v.remembered(), `["gate","bank"]`) {
			t.Errorf("%s", v.remembered())
		}
	})
}

// TestSharedReader has one reader on two tours: a touch counts for the tours that have the guard on their roster.
func TestSharedReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t)
		o := v.options()
		o.Memo = nil
		o.Tours = append(o.Tours, Tour{ID: "dyke", Checkpoints: []Checkpoint{{"north", "wire-1", v.gate}},
			Windows: []string{"08:00-10:00"}, Roster: map[bus.ROM]string{wuButton(): "wu"}})
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = d.Run(ctx, v.sink) })
		defer wg.Wait()
		defer cancel()
		v.skip(31*time.Minute).touch(v.gate, wuButton()).told("morning gate checked wu", "dyke north checked wu")
		v.touch(v.gate, liButton).told() // not on the dyke's roster, and checked already on the other
		v.skip(2 * time.Hour).told("morning bank missed")
	})
}

// TestPollsOften counts: a touch of 300 ms is seen, so is one on a reader beside one that hangs.
func TestPollsOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t).start()
		defer v.stop()
		for i := range 20 {
			v.after(2*time.Minute + time.Duration(i)*7*time.Millisecond)
			v.gate.Put(liButton, nil)
			v.after(300 * time.Millisecond)
			v.gate.Take(liButton)
			v.after(time.Second)
			if i < 12 { // until it is 08:30 it is early each time
				v.told("morning gate early li")
			}
		}
	})
}

func TestWrongOptions(t *testing.T) {
	wires := bustest.NewWires(nil)
	good := func() Tour {
		return Tour{ID: "t", Checkpoints: []Checkpoint{{"gate", "w", wires}}, Windows: []string{"22:00-23:00"}, Roster: map[bus.ROM]string{liButton: "li"}}
	}
	for name, spoil := range map[string]func(*Tour){
		"no name":         func(t *Tour) { t.ID = "" },
		"long name":       func(t *Tour) { t.ID = strings.Repeat("x", 92) },
		"no checkpoint":   func(t *Tour) { t.Checkpoints = nil },
		"no window":       func(t *Tour) { t.Windows = nil },
		"wrong window":    func(t *Tour) { t.Windows = []string{"22:00-22:00"} },
		"nameless":        func(t *Tour) { t.Checkpoints[0].ID = "" },
		"no bus":          func(t *Tour) { t.Checkpoints[0].Wire = nil },
		"long bus":        func(t *Tour) { t.Checkpoints[0].Bus = strings.Repeat("x", 93) },
		"same checkpoint": func(t *Tour) { t.Checkpoints = append(t.Checkpoints, Checkpoint{"gate", "v", wires}) },
		"same bus":        func(t *Tour) { t.Checkpoints = append(t.Checkpoints, Checkpoint{"bank", "w", wires}) },
		"wrong button":    func(t *Tour) { t.Roster[liButton+1] = "wu" },
		"nobody's button": func(t *Tour) { t.Roster[liButton] = "" },
	} {
		tour := good()
		spoil(&tour)
		if _, err := New(Options{Tours: []Tour{tour}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{Tours: []Tour{good(), good()}}); err == nil {
		t.Error("the same tour twice: no error")
	}
	for _, every := range []time.Duration{-1, 201 * time.Millisecond} {
		if _, err := New(Options{Tours: []Tour{good()}, Every: every}); err == nil {
			t.Errorf("every %s: no error", every)
		}
	}
	if d, err := New(Options{Tours: []Tour{good()}}); err != nil || d.Snapshot()[0].State != "unknown" {
		t.Errorf("%v", err)
	}
}

func TestWhy(t *testing.T) {
	for want, err := range map[string]error{
		"no-answer": bus.ErrNoAnswer, "stuck": fmt.Errorf("w1: %w", bus.ErrStuck), "checksum": bus.ErrChecksum, "timeout": bus.ErrTimeout,
		"error": errors.New("x"),
	} {
		if got := why(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}
