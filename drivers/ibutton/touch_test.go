package ibutton

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	"watchpost/storage/event"
)

// TestTouches polls every 150 ms, as TestPresence does: a letter is a button that is found, - is an empty reader, x a failed
// poll, each with how often. What is wanted are the buttons that touch, in order.
func TestTouches(t *testing.T) {
	for name, c := range map[string]struct{ polls, want string }{
		"a touch":                               {"-1 a3 -1", "a"},
		"one read is none":                      {"-1 a1 -40 a1", ""},
		"held for ten seconds":                  {"-1 a67 -1", "a"},
		"taken away and brought at once":        {"-1 a3 -19 a3", "a"},
		"away for three seconds":                {"-1 a3 -21 a3", "aa"},
		"a dirty contact":                       {"-1 a2 -3 a1 -4 a2 -5 a2 -10 a1 -18 a2", "a"},
		"dirty before it is good":               {"-1 a1 -3 a1 -3 a2 -3 a2", "a"},
		"dirty for long, then anew":             {"-1 a2 -15 a2 -15 a2 -25 a2", "aa"},
		"a contact that shorts the wire":        {"-1 a2 x40 a2 x3 -4 a3", "a"},
		"away, and the wire cannot be read":     {"-1 a2 -1 x40 a2", "a"},
		"there when the agent starts":           {"a20 -5 a5 -30", ""},
		"there when the wire can first be read": {"x9 a20 -30 a3", "a"},
		"taken away and brought after a start":  {"a20 -25 a3", "a"},
		"two at once":                           {"-1 ab4 -1", "ab"},
		"two, one after the other":              {"-1 a3 b3 a3 b3", "ab"},
	} {
		var p presence
		var e touches
		got, now := "", time.Unix(1e9, 0)
		for _, part := range strings.Fields(c.polls) {
			letters := strings.TrimRight(part, "0123456789")
			times := 0
			if _, err := fmt.Sscan(part[len(letters):], &times); err != nil {
				t.Fatal(part)
			}
			for range times {
				now = now.Add(defaultEvery)
				var found []bus.ROM
				var err error
				switch letters {
				case "-":
				case "x":
					err = bus.ErrStuck
				default:
					for _, l := range letters {
						found = append(found, bus.NewROM(familyDS1990A, uint64(l)))
					}
				}
				come, err := p.heard(found, err)
				if err != nil {
					continue
				}
				for _, rom := range e.heard(found, come, now) {
					got += string(rune(rom.Serial()))
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestTouchesAreApart holds that between two touches of a button there are three seconds in which no poll found it, that nothing
// touches which presence has not heard, and that no rain of codes is kept.
func TestTouchesAreApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p presence
		var e touches
		now, last, counted := time.Unix(1e9, 0), map[bus.ROM]time.Time{}, map[bus.ROM]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "polls") {
			now = now.Add(rapid.SampledFrom([]time.Duration{defaultEvery, time.Second}).Draw(t, "after"))
			var found []bus.ROM
			for range rapid.SampledFrom([]int{0, 0, 1, 1, 2, 30}).Draw(t, "buttons") {
				found = append(found, bus.NewROM(familyDS1990A, rapid.Uint64Range(1, 40).Draw(t, "serial")%(1+uint64(len(found)))))
			}
			come, err := p.heard(found, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, rom := range found {
				if now.Sub(last[rom]) > awayFor {
					counted[rom] = false
				}
				last[rom] = now
			}
			for _, rom := range e.heard(found, come, now) {
				if counted[rom] || last[rom] != now {
					t.Fatalf("%s touches twice", rom)
				}
				counted[rom] = true
			}
			if len(e.buttons) > maxThere {
				t.Fatalf("%d buttons", len(e.buttons))
			}
		}
	})
}

// porch is a card reader on a wire in memory, with a tour's checkpoint on it or without.
type porch struct {
	t     *testing.T
	wire  *bustest.Wires
	d     *Driver
	told  []event.Draft
	mu    sync.Mutex // guards the field below
	moved []string
}

// Buttons of the porch.
const familyThermometer = 0x28

func wangCard() bus.ROM { return bus.NewROM(familyDS1990A, 0xc0ffee) }

func startPorch(t *testing.T, change func(*Options, *porch)) (p *porch, stop func()) {
	t.Helper()
	p = &porch{t: t, wire: bustest.NewWires(nil)}
	o := Options{Readers: []Reader{{"porch", "wire", p.wire}}, Cards: []bus.ROM{wangCard()}, Touch: func(_ context.Context, reader string, rom bus.ROM) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.moved = append(p.moved, fmt.Sprintf("%s %x", reader, rom.Serial()))
	}}
	if change != nil {
		change(&o, p)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.d = d
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = d.Run(ctx, func(_ context.Context, e event.Draft) error { p.told = append(p.told, e); return nil })
	})
	p.after(time.Second)
	return p, func() { cancel(); wg.Wait() }
}

func (p *porch) after(d time.Duration) { <-time.After(d); synctest.Wait() }

// hold has a button on the reader for a time, and takes it away for another.
func (p *porch) hold(rom bus.ROM, on, off time.Duration) {
	p.wire.Put(rom, nil)
	p.after(on)
	p.wire.Take(rom)
	p.after(off)
}

// touched holds which touches were handed on since the last call.
func (p *porch) touched(want ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Join(p.moved, ", ") != strings.Join(want, ", ") {
		p.t.Fatalf("touches %q, want %q", p.moved, want)
	}
	p.moved = nil
}

// TestCardReader has a card held, flickering and on the reader from before the start, a stranger's, and a chip that is no card.
func TestCardReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := startPorch(t, nil)
		p.hold(wangCard(), 10*time.Second, 4*time.Second)
		p.touched("porch c0ffee")
		for range 6 {
			p.hold(wangCard(), 350*time.Millisecond, 500*time.Millisecond)
		}
		p.touched("porch c0ffee")
		p.after(3 * time.Second)
		p.hold(wangCard(), 400*time.Millisecond, 4*time.Second)
		p.hold(wuButton(), time.Second, 4*time.Second)
		p.hold(bus.NewROM(familyThermometer, 7), time.Second, 4*time.Second)
		p.touched("porch c0ffee", "porch fb3a2c1")
		if len(p.told) != 0 || p.d.String() != "tours (0), card readers (1)" {
			t.Errorf("%s tells %+v", p.d, p.told)
		}
		stop()
		p, stop = startPorch(t, func(o *Options, p *porch) { p.wire.Put(wangCard(), nil) })
		defer stop()
		p.after(time.Minute)
		p.touched()
	})
}

// TestCardReaderMissing holds that a reader that cannot be read is told, touches nothing, and works again.
func TestCardReaderMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := startPorch(t, nil)
		defer stop()
		state := func(want string) {
			t.Helper()
			if r := p.d.Snapshot(); len(r) != 1 || r[0].Name != "porch" || r[0].State != want || r[0].Text != "reader wire" {
				t.Errorf("%+v, want %s", r, want)
			}
		}
		state("up")
		p.wire.Stick(true)
		p.hold(wangCard(), 2*time.Second, time.Second)
		state("missing")
		p.touched()
		p.wire.Stick(false)
		p.after(time.Second)
		state("up")
		if len(p.told) != 2 || p.told[0].Kind != event.KindBusChanged || p.told[0].Source != "bus/wire" {
			t.Errorf("told %+v", p.told)
		}
		p.hold(wangCard(), time.Second, 0)
		p.touched("porch c0ffee")
		p.wire.Stick(true) // as a can that lies askew does
		p.after(5 * time.Second)
		p.wire.Stick(false)
		p.after(time.Second)
		p.hold(wangCard(), time.Second, 0)
		p.touched()
	})
}

// TestCardReaderAtACheckpoint has one reader for the cards and for a tour: a guard's button is for the tour, a card is for
// the reader, and whoever has neither is a stranger to both.
func TestCardReaderAtACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		thermometer := bus.NewROM(familyThermometer, 9)
		p, stop := startPorch(t, func(o *Options, p *porch) {
			o.Cards = append(o.Cards, thermometer) // whatever it is, it is somebody's
			o.Tours = []Tour{{ID: "round", Checkpoints: []Checkpoint{{"gate", "wire", p.wire}}, Windows: []string{"00:00-24:00"},
				Roster: map[bus.ROM]string{wuButton(): "wu"}}}
		})
		defer stop()
		said := func() (list []string) {
			for _, e := range p.told {
				state, _ := e.Body.Text(event.TagState)
				list = append(list, state)
			}
			p.told = nil
			return list
		}
		p.hold(wuButton(), time.Second, 4*time.Second)
		p.touched()
		if got := said(); len(got) != 1 || got[0] != checked {
			t.Errorf("the guard: %q", got)
		}
		p.hold(wangCard(), time.Second, 4*time.Second)
		p.hold(thermometer, time.Second, 4*time.Second)
		p.touched("porch c0ffee", "porch 9")
		if got := said(); len(got) != 0 {
			t.Errorf("a card on the tour: %q", got)
		}
		p.hold(bus.NewROM(familyDS1990A, 0xbad), time.Second, 4*time.Second)
		p.touched("porch bad")
		if got := said(); len(got) != 1 || got[0] != stranger {
			t.Errorf("a stranger: %q", got)
		}
		if r := p.d.Snapshot(); len(r) != 2 || r[0].Name != "round/gate" || r[1].Name != "porch" || p.d.String() != "tours (1), card readers (1)" {
			t.Errorf("%s: %+v", p.d, r)
		}
	})
}

// TestCardElsewhere holds that a card is a stranger at a checkpoint where no card reader is.
func TestCardElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := bustest.NewWires(nil)
		p, stop := startPorch(t, func(o *Options, p *porch) {
			o.Tours = []Tour{{ID: "round", Checkpoints: []Checkpoint{{"gate", "far", far}}, Windows: []string{"00:00-24:00"}}}
		})
		defer stop()
		far.Put(wangCard(), nil)
		p.after(time.Second)
		p.touched()
		if len(p.told) != 1 {
			t.Errorf("told %+v", p.told)
		}
	})
}

func TestWrongReaders(t *testing.T) {
	wire := bustest.NewWires(nil)
	touch := func(context.Context, string, bus.ROM) {}
	for name, o := range map[string]Options{
		"nobody listens": {Readers: []Reader{{"porch", "w", wire}}},
		"nameless":       {Readers: []Reader{{"", "w", wire}}, Touch: touch},
		"no bus":         {Readers: []Reader{{"porch", "w", nil}}, Touch: touch},
		"long bus":       {Readers: []Reader{{"porch", strings.Repeat("x", 93), wire}}, Touch: touch},
		"same name":      {Readers: []Reader{{"porch", "w", wire}, {"porch", "v", wire}}, Touch: touch},
		"same bus":       {Readers: []Reader{{"porch", "w", wire}, {"back", "w", wire}}, Touch: touch},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{Readers: []Reader{{"porch", "w", wire}, {"back", "v", wire}}, Touch: touch}); err != nil {
		t.Error(err)
	}
}
