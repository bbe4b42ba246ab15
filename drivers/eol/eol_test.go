package eol

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/drivers"
	"watchpost/drivers/ads1115"
	simchip "watchpost/sim/board/chip"
	"watchpost/sim/board/circuit"
	"watchpost/sim/board/wire"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is a bus of simulated chips, each with three loops and the excitation on its last channel.
type bench struct {
	t     testing.TB
	bus   *wire.I2C
	d     *Driver
	loops []*circuit.Loop // by chip and channel

	mu     sync.Mutex // guards the fields below
	volts  float64
	drafts []event.Draft
	at     []time.Time
}

func newBench(t testing.TB, chips int, scheme string) *bench {
	b := &bench{t: t, bus: wire.NewI2C(), volts: 3.3}
	resistors, err := circuit.SchemeOf(scheme)
	must(t, err)
	o := Options{}
	for i := range chips {
		addr := uint16(0x48 + i)
		c := simchip.NewADS1115(time.Now)
		must(t, b.bus.Put(addr, c))
		adc, err := ads1115.New(b.bus, addr)
		must(t, err)
		one := Chip{ID: fmt.Sprintf("loops-%d", i), ADC: adc, Reference: 3}
		for channel := range 3 {
			l := circuit.NewLoop(resistors, b.excitation)
			c.Wire(channel, l.Volts)
			b.loops = append(b.loops, l)
			one.Loops = append(one.Loops, Loop{Zone: fmt.Sprintf("z%d", 3*i+channel), Channel: channel, Scheme: scheme, Code: "BA", Severity: event.SeverityAlarm})
		}
		c.Wire(3, b.excitation)
		o.Chips = append(o.Chips, one)
	}
	b.d, err = New(o)
	must(t, err)
	return b
}

func (b *bench) excitation() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.volts
}

func (b *bench) feed(volts float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.volts = volts
}

func (b *bench) sink(_ context.Context, d event.Draft) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drafts, b.at = append(b.drafts, d), append(b.at, time.Now())
	return nil
}

// run starts the driver; the function it gives stops it.
func (b *bench) run() func() {
	ctx, cancel := context.WithCancel(b.t.Context())
	var group errgroup.Group
	group.Go(func() error { return b.d.Run(ctx, b.sink) })
	return func() {
		cancel()
		must(b.t, group.Wait())
	}
}

// told is "zone previous>state reason severity" of each event since the last call.
func (b *bench) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []string{}
	for _, d := range b.drafts {
		state, _ := d.Body.Text(event.TagState)
		previous, _ := d.Body.Text(event.TagPrevious)
		reason, _ := d.Body.Text(event.TagReason)
		list = append(list, fmt.Sprintf("%s %s>%s %s %s", d.Zone, previous, state, reason, d.Severity))
	}
	b.drafts, b.at = nil, nil
	slices.Sort(list)
	return list
}

func (b *bench) want(after time.Duration, lines ...string) {
	b.t.Helper()
	<-time.After(after)
	synctest.Wait()
	if got := b.told(); !slices.Equal(got, lines) {
		b.t.Fatalf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// TestStates drives each scheme through each state of a loop: they are different facts.
func TestStates(t *testing.T) {
	for scheme, states := range map[string]map[circuit.State]string{
		"4k7-dual":     {circuit.Active: "active  alarm", circuit.Short: "short  alarm", circuit.Cut: "open  alarm"},
		"10k-dual":     {circuit.Active: "active  alarm", circuit.Short: "short  alarm", circuit.Cut: "open  alarm"},
		"5k6-single":   {circuit.Active: "active  alarm", circuit.Short: "active  alarm", circuit.Cut: "active  alarm"},
		"4k7-22k-mask": {circuit.Active: "active  alarm", circuit.Mask: "masked  alarm", circuit.Short: "short  alarm", circuit.Cut: "open  alarm"},
	} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 1, scheme)
				defer b.run()()
				b.want(time.Second, "z0 unknown>normal  notice", "z1 unknown>normal  notice", "z2 unknown>normal  notice")
				for s, want := range states {
					b.loops[1].Set(s)
					b.want(time.Second, "z1 normal>"+want)
					state, _, _ := strings.Cut(want, " ")
					b.loops[1].Set(circuit.Normal)
					b.want(time.Second, "z1 "+state+">normal  notice")
				}
			})
		})
	}
}

// TestThreeFacts: a cut loop, a shorted loop and a chip that is gone.
func TestThreeFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 2, "4k7-dual")
		defer b.run()()
		<-time.After(time.Second)
		b.told()
		b.loops[0].Set(circuit.Cut)
		b.loops[1].Set(circuit.Short)
		must(t, b.bus.Pull(0x49))
		b.want(time.Second, "z0 normal>open  alarm", "z1 normal>short  alarm",
			"z3 normal>missing chip warning", "z4 normal>missing chip warning", "z5 normal>missing chip warning")
		for i, want := range []string{"more than 1 MΩ, 3.3 V of 3.3 V", "0 Ω, 0 V of", "4700 Ω, 1.65 V of 3.3 V", "missing chip", "missing chip", "missing chip"} {
			if r := b.d.Snapshot()[i]; !strings.Contains(r.Text, want) {
				t.Errorf("%s: %q, want %q", r.Name, r.Text, want)
			}
		}
		b.loops[4].Set(circuit.Active)
		must(t, b.bus.Plug(0x49))
		b.want(time.Second, "z3 missing>normal chip notice", "z4 missing>active  alarm", "z5 missing>normal chip notice")
	})
}

// TestDraft holds what the event of a zone carries.
func TestDraft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "4k7-dual")
		defer b.run()()
		<-time.After(time.Second)
		b.told()
		b.loops[2].Set(circuit.Active)
		<-time.After(time.Second)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.drafts) != 1 {
			t.Fatalf("%d events", len(b.drafts))
		}
		d := b.drafts[0]
		detail, _ := d.Body.Text(event.TagDetail)
		line, _ := d.Body.Text(event.TagLine)
		code, _ := d.Body.Text(event.TagCode)
		seq, _ := d.Body.Uint(event.TagLineSeq)
		if d.Source != "loop/z2" || d.KernelNS <= 0 || d.Once == "" || seq != 2 || line != "loops-0 channel 2" || code != "BA" || !strings.HasPrefix(detail, "9400 Ω, 2.2") {
			t.Errorf("%+v: seq %d, line %q, code %q, detail %q", d, seq, line, code, detail)
		}
	})
}

// TestExcitation: without it every loop reads as shorted, and that is not told.
func TestExcitation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "10k-dual")
		defer b.run()()
		<-time.After(time.Second)
		b.told()
		b.feed(2.7) // within bounds, and no change of any ratio
		b.want(3 * time.Second)
		b.feed(0)
		b.want(time.Second, "z0 normal>fault excitation warning", "z1 normal>fault excitation warning", "z2 normal>fault excitation warning")
		b.loops[0].Set(circuit.Cut)
		b.feed(3.3)
		b.want(time.Second, "z0 fault>open  alarm", "z1 fault>normal excitation notice", "z2 fault>normal excitation notice")
	})
}

// TestStuckBus holds that a bus that works no more is told within a second of the driver's part, and never as normal.
func TestStuckBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 4, "4k7-dual")
		defer b.run()()
		<-time.After(time.Second)
		b.told()
		b.bus.Stick(true)
		<-time.After(1200 * time.Millisecond)
		synctest.Wait()
		if got := b.told(); len(got) != 12 || got[0] != "z0 normal>missing bus warning" {
			t.Fatalf("told %q", got)
		}
		b.loops[7].Set(circuit.Active)
		b.want(time.Minute)
		b.bus.Stick(false)
		<-time.After(3 * time.Second)
		synctest.Wait()
		got := b.told()
		if len(got) != 12 || !slices.Contains(got, "z7 missing>active  alarm") {
			t.Errorf("told %q", got)
		}
	})
}

// TestBrownOut holds that a chip that loses its settings now and then is no event: three equal readings are.
func TestBrownOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "4k7-dual")
		defer b.run()()
		<-time.After(time.Second)
		b.told()
		for range 50 {
			must(t, b.bus.BrownOut(0x48))
			<-time.After(137 * time.Millisecond)
		}
		b.want(time.Second)
	})
}

// TestUnsteady is a loop that never reads the same three times: it must not stay normal.
func TestUnsteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "4k7-dual")
		n := 0
		dice := rand.New(rand.NewPCG(1, 2))
		foreign := func() float64 { // each reading another
			n = (n + 1 + dice.IntN(2)) % 3
			return []float64{1.65, 2.2, 0.1}[n]
		}
		c := simchip.NewADS1115(time.Now)
		c.Wire(0, foreign)
		c.Wire(1, b.loops[1].Volts)
		c.Wire(2, b.loops[2].Volts)
		c.Wire(3, b.excitation)
		b.bus = wire.NewI2C()
		must(t, b.bus.Put(0x48, c))
		adc, err := ads1115.New(b.bus, 0x48)
		must(t, err)
		b.d.chips[0].cfg.ADC = adc
		defer b.run()()
		<-time.After(20 * time.Second)
		if r := b.d.Snapshot()[0]; r.State != "fault" || !strings.Contains(r.Text, "unsteady") {
			t.Errorf("%+v", r)
		}
		if got := b.told(); !slices.Contains(got, "z0 unknown>fault unsteady warning") || len(got) != 3 {
			t.Errorf("told %q", got)
		}
		c.Wire(0, b.loops[0].Volts)
		b.want(time.Second, "z0 fault>normal  notice")
	})
}

// TestChatter: a loop that comes and goes is one fault.
func TestChatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "4k7-dual")
		defer b.run()()
		<-time.After(time.Second)
		b.told()
		for range 20 {
			b.loops[0].Set(circuit.Active)
			<-time.After(200 * time.Millisecond)
			b.loops[0].Set(circuit.Normal)
			<-time.After(200 * time.Millisecond)
		}
		synctest.Wait()
		got := b.told()
		if n := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.Contains(s, "fault chatter") })); n != 1 || len(got) != 9 {
			t.Fatalf("told %q", got)
		}
		b.want(15*time.Second, "z0 fault>normal chatter notice")
	})
}

// TestLatency holds the time from a change at the loop to the event: 150 ms at most, wherever in a scan it falls.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 4, "4k7-dual")
		defer b.run()()
		<-time.After(time.Second)
		dice, worst := rand.New(rand.NewPCG(3, 4)), time.Duration(0)
		for i := range 300 {
			b.told()
			l := b.loops[dice.IntN(len(b.loops))]
			<-time.After(2*time.Second + time.Duration(dice.IntN(200_000))*time.Microsecond)
			begun := time.Now()
			l.Set([]circuit.State{circuit.Active, circuit.Cut, circuit.Short}[i%3])
			<-time.After(time.Second)
			synctest.Wait()
			b.mu.Lock()
			if len(b.at) == 1 {
				worst = max(worst, b.at[0].Sub(begun))
			} else {
				t.Errorf("%d events", len(b.at))
			}
			b.mu.Unlock()
			l.Set(circuit.Normal)
			<-time.After(10 * time.Second)
		}
		if worst > 150*time.Millisecond {
			t.Errorf("edge to event: %s at most", worst)
		}
	})
}

func TestWrongOptions(t *testing.T) {
	adc, err := ads1115.New(wire.NewI2C(), 0x48)
	must(t, err)
	good := Loop{Zone: "a", Scheme: "4k7-dual", Severity: event.SeverityAlarm}
	with := func(change func(*Loop)) []Chip {
		l := good
		change(&l)
		return []Chip{{ID: "x", ADC: adc, Reference: 3, Loops: []Loop{good, l}}}
	}
	for name, chips := range map[string][]Chip{
		"no chip":        {{ID: "x", Loops: []Loop{good}}},
		"no reference":   {{ID: "x", ADC: adc, Reference: 4}},
		"on reference":   with(func(l *Loop) { l.Zone, l.Channel = "b", 3 }),
		"channel twice":  with(func(l *Loop) { l.Zone = "b" }),
		"zone twice":     with(func(l *Loop) { l.Channel = 1 }),
		"channel 4":      with(func(l *Loop) { l.Zone, l.Channel = "b", 4 }),
		"channel -1":     with(func(l *Loop) { l.Zone, l.Channel = "b", -1 }),
		"unknown scheme": with(func(l *Loop) { l.Zone, l.Channel, l.Scheme = "b", 1, "1k" }),
		"pull-up of 1 Ω": with(func(l *Loop) { l.Zone, l.Channel, l.Pull = "b", 1, 1000 }),
		"no severity":    with(func(l *Loop) { l.Zone, l.Channel, l.Severity = "b", 1, 0 }),
		"no name":        with(func(l *Loop) { l.Zone, l.Channel = "", 1 }),
	} {
		if _, err := New(Options{Chips: chips}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	d, err := New(Options{Chips: []Chip{{ID: "x", ADC: adc, Reference: 3, Loops: []Loop{good}}}})
	if err != nil || d.String() != "loops (1)" {
		t.Fatalf("%v, %v", d, err)
	}
	if r := d.Snapshot()[0]; r.State != "unknown" || strings.ContainsAny(r.Text, "ΩV") {
		t.Errorf("before Run: %+v", r)
	}
}

var _ drivers.Sink = (*bench)(nil).sink

// instant is a bus whose chips answer at once, so that a benchmark measures the driver.
type instant struct{ config [4]uint16 }

func (b *instant) Tx(addr uint16, w, r []byte) error {
	if len(w) == 3 {
		b.config[addr-0x48] = uint16(w[1])<<8 | uint16(w[2])
		return nil
	}
	v := b.config[addr-0x48]
	if w[0] == 0 {
		v = 8800
		if b.config[addr-0x48]>>12&3 == 3 {
			v = 17600
		}
	}
	r[0], r[1] = byte(v>>8), byte(v)
	return nil
}

// instants is a driver for four chips of three loops each.
func instants(t testing.TB) *Driver {
	o, bus := Options{}, &instant{}
	for i := range 4 {
		adc, err := ads1115.New(bus, uint16(0x48+i))
		must(t, err)
		c := Chip{ID: "x", ADC: adc, Reference: 3}
		for channel := range 3 {
			c.Loops = append(c.Loops, Loop{Zone: fmt.Sprint(i, channel), Channel: channel, Scheme: "4k7-dual", Severity: event.SeverityAlarm})
		}
		o.Chips = append(o.Chips, c)
	}
	d, err := New(o)
	must(t, err)
	return d
}

// BenchmarkScan is one idle scan of 12 loops on four chips, most of it waiting; a second has ten.
func BenchmarkScan(b *testing.B) {
	d, n := instants(b), 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	b.ReportAllocs()
	for b.Loop() {
		n++
		must(b, d.pass(b.Context(), timer, true, n%fullScan == 1))
	}
}

// BenchmarkIdle is one second of 60 loops on 20 chips at rest; cpu-µs is the processor time that it takes.
func BenchmarkIdle(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	var group errgroup.Group
	for range 5 {
		d := instants(b)
		group.Go(func() error { return d.Run(ctx, func(context.Context, event.Draft) error { return nil }) })
	}
	<-time.After(time.Second) // each has been told
	used := func() time.Duration {
		var u unix.Rusage
		must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	seconds, before := 0, used()
	for b.Loop() {
		<-time.After(time.Second)
		seconds++
	}
	b.ReportMetric(float64((used()-before).Microseconds())/float64(seconds), "cpu-µs/op")
	cancel()
	must(b, group.Wait())
}
