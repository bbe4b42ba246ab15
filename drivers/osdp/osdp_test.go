package osdp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/drivers/hostbus"
	"watchpost/drivers/zone"
	"watchpost/sim/board/modbus"
	sim "watchpost/sim/board/osdp"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 10 * time.Second
	keyText  = "000102030405060708090a0b0c0d0e0f"
)

func simKey() []byte {
	b, _ := hex.DecodeString(keyText) // a constant
	return b
}

// rig is a driver with readers on a pseudo terminal.
type rig struct {
	t *testing.T
	d *Driver

	mu      sync.Mutex // guards the fields below
	facts   []event.Draft
	touches []string // reader, =, card or #code
	accept  bool
	changed chan struct{} // one place
}

func (r *rig) tell(_ context.Context, d event.Draft) error {
	r.do(func() { r.facts = append(r.facts, d) })
	return nil
}

func (r *rig) do(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// start runs a driver for readers of a simulated line until the test ends. Options may change what is configured.
func start(t *testing.T, configured []Reader, options func(*Options), hung ...*sim.Reader) *rig {
	t.Helper()
	pty, err := modbus.OpenLine()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, accept: true, changed: make(chan struct{}, 1)}
	felt := func(reader, what string, show func(bool)) {
		r.do(func() { r.touches = append(r.touches, reader+"="+what); show(r.accept) })
	}
	o := Options{
		Bus: "rs485", Baud: 115200, Readers: configured, Interval: 5 * time.Millisecond, Touch: felt,
		Code: func(reader, code string, show func(bool)) { felt(reader, "#"+code, show) },
		Open: func() (bus.Serial, error) { return hostbus.OpenSerial(pty.Path, hostbus.SerialConfig{Baud: 115200}) },
	}
	if options != nil {
		options(&o)
	}
	if r.d, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return sim.Serve(ctx, pty, hung...) })
	group.Go(func() error { return r.d.Run(ctx, r.tell) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		_ = pty.Close()
	})
	return r
}

// until waits for what is to become true after some fact or touch, and looks besides every 10 ms.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		r.mu.Lock()
		ok := is()
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-r.changed:
		case <-look.C:
		case <-end.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("%s: not within %s; facts %s, touches %q, readers %+v", what, patience, r.told(), r.touches, r.d.Snapshot())
		}
	}
}

// told is the facts as words. It needs the mutex.
func (r *rig) told() (list []string) {
	for _, f := range r.facts {
		state, _ := f.Body.Text(event.TagState)
		reason, _ := f.Body.Text(event.TagReason)
		list = append(list, strings.TrimSuffix(f.Zone+" "+state+" "+reason, " "))
	}
	return list
}

// stands waits until the reader's zone is in a state.
func (r *rig) stands(reader, state string) {
	r.t.Helper()
	r.until(reader+" "+state, func() bool {
		return slices.ContainsFunc(r.d.Snapshot(), func(x drivers.Reading) bool { return x.Name == reader && x.State == state })
	})
}

func keyed(t *testing.T, id string, address byte) Reader {
	t.Helper()
	k, err := ParseKey(keyText)
	if err != nil {
		t.Fatal(err)
	}
	return Reader{ID: id, Address: address, Key: k, Severity: event.SeverityAlarm}
}

// TestSecureReader is a day of a reader: cards, keys, its tamper switch, its supply, and what it shows.
func TestSecureReader(t *testing.T) {
	door := sim.NewReader(sim.Options{Address: 1, Key: simKey()})
	r := start(t, []Reader{keyed(t, "door", 1)}, nil, door)
	r.stands("door", zone.Normal)
	door.Present(26, []byte{0x01, 0x23, 0xab, 0x40})
	r.until("a card", func() bool { return slices.Equal(r.touches, []string{"door=26:0123ab40"}) })
	r.until("green", func() bool { c, n := door.Shown(); return c == byte(ColorGreen) && n == 1 })
	r.do(func() { r.accept = false })
	door.Present(34, []byte{1, 2, 3, 4, 0x80})
	r.until("another card", func() bool { return len(r.touches) == 2 && r.touches[1] == "door=34:0102030480" })
	r.until("red", func() bool { c, n := door.Shown(); return c == byte(ColorRed) && n == 3 })
	door.Type("99*12")
	door.Type("34#")
	r.until("a code", func() bool { return len(r.touches) == 3 && r.touches[2] == "door=#1234" })
	door.Unscrew(true, false)
	r.stands("door", zone.Active)
	door.Unscrew(false, true)
	r.stands("door", zone.Fault)
	door.Unscrew(false, false)
	r.stands("door", zone.Normal)
	r.until("the facts", func() bool {
		return slices.Equal(r.told(), []string{"door normal", "door active", "door fault power", "door normal"})
	})
	if f := r.facts[1]; f.Severity != event.SeverityAlarm || f.Source != "reader/door" || f.Kind != event.KindZoneChanged {
		t.Errorf("%+v", f)
	}
	if c := door.Commands(); slices.Contains(c, byte(CommandKeySet)) {
		t.Errorf("it was given a key: % x", c)
	}
}

// TestSameCard holds that a card is told once while it is held to the reader, and that another is told at once.
func TestSameCard(t *testing.T) {
	h, now := &hand{}, time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	var told []string
	card := func(text string) found {
		return found{card: Card{Bits: 8, Raw: raw(t, text)}}
	}
	for _, x := range []struct {
		after time.Duration
		f     found
		want  int
	}{
		{0, card("aa"), 1}, {time.Second, card("aa"), 1}, {2900 * time.Millisecond, card("aa"), 1}, {3 * time.Second, card("aa"), 2},
		{0, card("bb"), 3}, {-time.Hour, card("bb"), 4}, {0, found{}, 4},
		{0, found{keys: "12"}, 4}, {11 * time.Second, found{keys: "3#"}, 5}, {0, found{keys: "#"}, 5}, {0, found{keys: strings.Repeat("1", 17) + "#"}, 5},
		{0, found{keys: strings.Repeat("1", 16) + "#"}, 6}, {0, found{keys: "1*#"}, 6},
	} {
		now = now.Add(x.after)
		if card, code := h.felt(x.f, now); card+code != "" {
			told = append(told, card+code)
		}
		if len(told) != x.want {
			t.Fatalf("after %v of %+v: %q, want %d", x.after, x.f, told, x.want)
		}
	}
	if told[4] != "3" {
		t.Errorf("digits of 11 s ago are in the code %q", told[4])
	}
}

// TestNotTheReader is everybody who answers in a reader's place. No card counts, the zone says why, and a well one besides is
// heard all the time.
func TestNotTheReader(t *testing.T) {
	card := []byte{0xde, 0xad, 0xbe, 0x40}
	for name, c := range map[string]struct {
		mood  sim.Mood
		key   []byte
		state string
		want  string
		cards int // that count before it is found out
	}{
		"plain":         {sim.Plain, simKey(), zone.Fault, "bad fault plain", 0},
		"default key":   {sim.Well, nil, zone.Fault, "bad fault plain", 0},
		"another key":   {sim.Well, []byte("another key of16"), zone.Fault, "bad fault key", 0},
		"wrong MAC":     {sim.WrongMAC, simKey(), zone.Fault, "bad fault mac", 0},
		"replay":        {sim.Replay, simKey(), zone.Fault, "bad fault mac", 1},
		"downgrade":     {sim.Downgrade, simKey(), zone.Fault, "bad fault plain", 0},
		"dead":          {sim.Dead, simKey(), zone.Missing, "bad missing wire", 0},
		"babble":        {sim.Babble, simKey(), zone.Missing, "bad missing wire", 0},
		"another's":     {sim.Stolen, simKey(), zone.Missing, "bad missing wire", 0},
		"busy for ever": {sim.Busy, simKey(), zone.Missing, "bad missing wire", 0},
		"forgets":       {sim.Forgets, simKey(), zone.Fault, "bad fault plain", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is a second in which the bad one is not asked
			bad, well := sim.NewReader(sim.Options{Address: 1, Key: c.key, Mood: c.mood}), sim.NewReader(sim.Options{Address: 2, Key: simKey()})
			r := start(t, []Reader{keyed(t, "bad", 1), keyed(t, "well", 2)}, func(o *Options) { o.Timeout = 20 * time.Millisecond }, bad, well)
			bad.Present(26, card)
			r.stands("bad", c.state)
			r.stands("well", zone.Normal)
			r.until(c.want, func() bool { return slices.Contains(r.told(), c.want) })
			well.Present(8, []byte{0x5a})
			r.until("the other's card", func() bool { return slices.Contains(r.touches, "well=8:5a") })
			if n := len(r.touches) - 1; n != c.cards {
				t.Errorf("cards %q, want %d of the bad one", r.touches, c.cards)
			}
			if c.cards > 0 || c.key == nil || name == "another key" {
				return
			}
			bad.Be(sim.Well)
			bad.Forget()
			r.stands("bad", zone.Normal)
		})
	}
}

// TestPlainReader is one that is configured without a key: it is believed in plain, also if it knows checksums only.
func TestPlainReader(t *testing.T) {
	for _, sumOnly := range []bool{false, true} {
		gate := sim.NewReader(sim.Options{Address: 126, Mood: sim.Plain, SumOnly: sumOnly})
		r := start(t, []Reader{{ID: "gate", Address: 126, Severity: event.SeverityWarning}}, nil, gate)
		r.stands("gate", zone.Normal)
		gate.Present(8, []byte{0xff})
		r.until("a card", func() bool { return slices.Equal(r.touches, []string{"gate=8:ff"}) })
		if text := r.d.Snapshot()[0].Text; text != "rs485 address 126, in plain" {
			t.Error(text)
		}
	}
}

// TestNoStatus is a reader that does not say how its tamper switch is: that is not normal.
func TestNoStatus(t *testing.T) {
	door := sim.NewReader(sim.Options{Address: 1, Key: simKey(), NoStatus: true})
	r := start(t, []Reader{keyed(t, "door", 1)}, nil, door)
	r.until("its fault", func() bool { return slices.Equal(r.told(), []string{"door fault status"}) })
	door.Present(8, []byte{1})
	r.until("a card", func() bool { return len(r.touches) == 1 })
}

// TestRestart cuts a reader's supply: its channel is gone, it is greeted again, and nothing is told.
func TestRestart(t *testing.T) {
	door := sim.NewReader(sim.Options{Address: 1, Key: simKey()})
	r := start(t, []Reader{keyed(t, "door", 1)}, nil, door)
	r.stands("door", zone.Normal)
	for i := range 3 {
		door.Forget()
		door.Present(8, []byte{byte(i)})
		r.until("a card", func() bool { return len(r.touches) == i+1 })
	}
	if told := r.told(); !slices.Equal(told, []string{"door normal"}) {
		t.Errorf("%s", told)
	}
}

// TestGiveKey is a reader from the factory: it is refused, is given its key once when that is wished, and works.
func TestGiveKey(t *testing.T) {
	door := sim.NewReader(sim.Options{Address: 1})
	r := start(t, []Reader{keyed(t, "door", 1)}, nil, door)
	r.until("refused", func() bool { return slices.Equal(r.told(), []string{"door fault plain"}) })
	if key := door.Key(); key != nil {
		t.Fatalf("it was given a key that nobody wished: %x", key)
	}
	wait, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := r.d.GiveKey(wait, "door"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(door.Key(), simKey()) {
		t.Errorf("key %x", door.Key())
	}
	r.stands("door", zone.Normal)
	door.Present(8, []byte{1})
	r.until("a card", func() bool { return len(r.touches) == 1 })

	// A reader that has its key makes no channel with the default one.
	if err := r.d.GiveKey(wait, "door"); err == nil || !strings.Contains(err.Error(), "secure channel") {
		t.Errorf("a second time: %v", err)
	}
	r.stands("door", zone.Normal)
	if n := len(slices.DeleteFunc(door.Commands(), func(c byte) bool { return c != byte(CommandKeySet) })); n != 1 {
		t.Errorf("KEYSET was sent %d times", n)
	}
	if err := r.d.GiveKey(t.Context(), "gate"); err == nil {
		t.Error("a reader that is not there was given a key")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	door.Be(sim.Dead)
	if err := r.d.GiveKey(ctx, "door"); err == nil {
		t.Error("a dead reader took a key")
	}
}

// TestDeadReaders holds that however many are dead, the living are delayed by one answer that does not come.
func TestDeadReaders(t *testing.T) {
	var configured []Reader
	var hung []*sim.Reader
	for i := range 8 {
		mood := sim.Dead
		if i == 5 {
			mood = sim.Well
		}
		configured = append(configured, keyed(t, fmt.Sprintf("r%d", i), byte(i)))
		hung = append(hung, sim.NewReader(sim.Options{Address: byte(i), Key: simKey(), Mood: mood}))
	}
	const timeout = 50 * time.Millisecond
	var mu sync.Mutex
	var polls []time.Time
	r := start(t, configured, func(o *Options) {
		o.Timeout = timeout
		open := o.Open
		o.Open = func() (bus.Serial, error) {
			port, err := open()
			return &spy{port, func(b []byte) {
				if p, err := Parse(b); err == nil && p.Address == 5 {
					mu.Lock()
					defer mu.Unlock()
					polls = append(polls, time.Now())
				}
			}}, err
		}
	}, hung...)
	r.stands("r5", zone.Normal)
	r.until("all others", func() bool { return len(r.told()) == 7 })
	mu.Lock()
	defer mu.Unlock()
	var gaps []time.Duration
	for i := range polls[1:] {
		gaps = append(gaps, polls[i+1].Sub(polls[i]))
	}
	slices.Sort(gaps)
	if median, worst := gaps[len(gaps)/2], gaps[len(gaps)*9/10]; worst > 3*timeout/2+slack {
		t.Errorf("the living one was polled %d times, with gaps of %s and at the 90th percentile %s", len(polls), median, worst)
	}
}

// spy sees what is written to a line.
type spy struct {
	bus.Serial
	see func([]byte)
}

func (s *spy) Write(b []byte) (int, error) {
	s.see(b)
	return s.Serial.Write(b)
}

// TestLineFails holds that a line that cannot be opened is every reader's, and that it is opened again.
func TestLineFails(t *testing.T) {
	door := sim.NewReader(sim.Options{Address: 1, Key: simKey()})
	var mu sync.Mutex
	broken := true
	r := start(t, []Reader{keyed(t, "door", 1)}, func(o *Options) {
		open := o.Open
		o.Open = func() (bus.Serial, error) {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return nil, errors.New("no such device")
			}
			return open()
		}
	}, door)
	r.stands("door", zone.Missing)
	mu.Lock()
	broken = false
	mu.Unlock()
	r.stands("door", zone.Normal)
}

// TestPauses holds how long a reader that does not answer is left alone, that one that does begins anew, and that nothing of what
// was typed before is left.
func TestPauses(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	d, err := New(Options{
		Open: func() (bus.Serial, error) { return nil, errors.New("never") }, Touch: func(string, string, func(bool)) {},
		Readers: []Reader{{ID: "a", Severity: event.SeverityAlarm}}, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := d.readers[0]
	pauses := func(want ...time.Duration) {
		t.Helper()
		for _, w := range want {
			r.askedAt = now
			d.hands["a"].digits = []byte("12")
			d.lost(r, zone.Word{State: zone.Missing, Reason: reasonWire}, bus.ErrNoAnswer)
			if got := r.retryAt.Sub(now); got != w {
				t.Errorf("left alone for %s, want %s", got, w)
			}
			if d.hands["a"].digits != nil {
				t.Error("what was typed before it was lost is kept")
			}
		}
	}
	pauses(time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 10*time.Second, 10*time.Second)
	d.answered(r, found{}) // a greeting: anybody can
	pauses(10 * time.Second)
	r.phase = online
	d.answered(r, found{})
	pauses(time.Second)
}

func TestWrongOptions(t *testing.T) {
	open := func() (bus.Serial, error) { return nil, errors.New("never") }
	touch := func(string, string, func(bool)) {}
	one := []Reader{{ID: "a", Severity: event.SeverityAlarm}}
	for name, o := range map[string]Options{
		"no way to open":   {Touch: touch, Readers: one},
		"nobody to tell":   {Open: open, Readers: one},
		"no readers":       {Open: open, Touch: touch},
		"slow":             {Open: open, Touch: touch, Readers: one, Baud: 299},
		"negative":         {Open: open, Touch: touch, Readers: one, Timeout: -1},
		"two of a name":    {Open: open, Touch: touch, Readers: []Reader{{ID: "a", Severity: 3}, {ID: "a", Address: 1, Severity: 3}}},
		"two at a place":   {Open: open, Touch: touch, Readers: []Reader{{ID: "a", Severity: 3}, {ID: "b", Severity: 3}}},
		"all readers":      {Open: open, Touch: touch, Readers: []Reader{{ID: "a", Address: 127, Severity: 3}}},
		"nameless":         {Open: open, Touch: touch, Readers: []Reader{{Severity: event.SeverityAlarm}}},
		"without severity": {Open: open, Touch: touch, Readers: []Reader{{ID: "a"}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	d, err := New(Options{Bus: "rs485", Open: open, Touch: touch, Readers: one})
	if err != nil || d.String() != "osdp rs485 (1 readers)" {
		t.Errorf("%v, %v", d, err)
	}
	if err := d.GiveKey(t.Context(), "a"); err == nil {
		t.Error("a reader without a key was given one")
	}
}
