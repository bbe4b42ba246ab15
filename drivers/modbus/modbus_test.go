package modbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/storage/event"
)

// shelf is a log that can be full.
type shelf struct {
	mu     sync.Mutex // guards the fields below
	drafts []event.Draft
	full   bool
}

func (s *shelf) sink(_ context.Context, d event.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return errors.New("the log is full")
	}
	s.drafts = append(s.drafts, d)
	return nil
}

// told is "zone previous>state severity reason" of each event since the last call, by zone and then in the order told.
func (s *shelf) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, d := range s.drafts {
		state, _ := d.Body.Text(event.TagState)
		previous, _ := d.Body.Text(event.TagPrevious)
		reason, _ := d.Body.Text(event.TagReason)
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s>%s %s %s", d.Zone, previous, state, d.Severity, reason)))
	}
	s.drafts = nil
	slices.SortStableFunc(list, func(a, b string) int {
		a, _, _ = strings.Cut(a, " ")
		b, _, _ = strings.Cut(b, " ")
		return strings.Compare(a, b)
	})
	return list
}

func (s *shelf) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	if got := strings.Join(s.told(), "\n"); got != strings.Join(lines, "\n") {
		t.Fatalf("told\n%s\nwant\n%s", got, strings.Join(lines, "\n"))
	}
}

// start runs a driver; what it gives stops it.
func start(t *testing.T, o Options, s *shelf) (*Driver, func()) {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Run(ctx, s.sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return d, func() { cancel(); wg.Wait() }
}

func zoneAt(name string, unit byte, number uint16) Input {
	return Input{Zone: name, Unit: unit, Number: number, Severity: event.SeverityAlarm, Code: "BA"}
}

func TestDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := oneSlave(), &shelf{}
		slave := k.units[3]
		slave.inputs[0], slave.inputs[1], slave.coils[7] = false, true, true
		slave.holding[100], slave.holding[101] = 0xffff, 0xfff6
		sluice := zoneAt("sluice", 3, 1)
		sluice.NormallyClosed = true
		pump := zoneAt("pump", 3, 7)
		pump.Coil, pump.Severity = true, event.SeverityWarning
		d, stop := start(t, Options{Bus: "rs485", Client: newLine(t, k, RTU{}), Inputs: []Input{zoneAt("hatch", 3, 0), sluice, pump},
			Values: []Value{{ID: "frost", Unit: 3, Number: 100, Type: Int32, Scale: 0.1, UnitName: "°C"}}}, s)
		defer stop()
		<-time.After(400 * time.Millisecond)
		s.want(t, "hatch unknown>normal notice", "pump unknown>active warning", "sluice unknown>normal notice")
		if r, err := d.Probe("frost").Measure(t.Context()); err != nil || len(r) != 1 || r[0].String() != "value -1 °C" {
			t.Errorf("%v, %v", r, err)
		}
		if n := len(slave.asked); n != 3 {
			t.Errorf("%d questions in a round for a coil, two inputs in a row and a value", n)
		}
		slave.set(func() { slave.inputs[0] = true })
		<-time.After(500 * time.Millisecond)
		synctest.Wait()
		draft := s.drafts[0]
		code, _ := draft.Body.Text(event.TagCode)
		line, _ := draft.Body.Text(event.TagLine)
		if draft.Kind != event.KindZoneChanged || draft.Source != "modbus/hatch" || draft.Qualifier != event.QualifierNew || draft.KernelNS <= 0 ||
			code != "BA" || line != "rs485/3/input 0" {
			t.Errorf("%+v", draft)
		}
		s.want(t, "hatch normal>active alarm")
		if r := d.Snapshot(); len(r) != 3 || r[0].Name != "hatch" || r[0].State != "active" || r[2].Text != "rs485/3/coil 7" {
			t.Errorf("%+v", r)
		}
		slave.set(func() { slave.dead = true })
		<-time.After(3 * time.Second)
		s.want(t, "hatch active>missing warning wire", "pump active>missing warning wire", "sluice normal>missing warning wire")
		if _, err := d.Probe("frost").Measure(t.Context()); err == nil {
			t.Error("a dead slave's value is still one")
		}
		slave.set(func() { slave.dead = false; slave.inputs[1] = false })
		<-time.After(11 * time.Second)
		s.want(t, "hatch missing>active notice wire", "pump missing>active notice wire", "sluice missing>active alarm")
		if d.Probe("heat") != nil || d.String() != "modbus rs485 (3 zones, 1 values)" {
			t.Errorf("%v", d)
		}
	})
}

// TestBlips holds that one or two answers that do not come change nothing.
func TestBlips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := oneSlave(), &shelf{}
		_, stop := start(t, Options{Client: newLine(t, k, RTU{}), Inputs: []Input{zoneAt("hatch", 3, 0)}}, s)
		defer stop()
		<-time.After(600 * time.Millisecond)
		s.told()
		for range 10 {
			k.units[3].set(func() { k.units[3].dead = true })
			<-time.After(time.Second) // two rounds
			k.units[3].set(func() { k.units[3].dead = false })
			<-time.After(500 * time.Millisecond)
		}
		s.want(t)
	})
}

// TestFullLog holds that facts wait for the log, and polls do not.
func TestFullLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := oneSlave(), &shelf{full: true}
		d, stop := start(t, Options{Client: newLine(t, k, RTU{}), Inputs: []Input{zoneAt("hatch", 3, 1)}}, s)
		defer stop()
		<-time.After(time.Second)
		for _, level := range []bool{true, false, true} {
			k.units[3].set(func() { k.units[3].inputs[1] = level })
			<-time.After(2 * time.Second)
		}
		if r := d.Snapshot()[0]; r.State != "active" || !strings.HasSuffix(r.Text, ", 4 changes not stored yet") {
			t.Errorf("%+v", r)
		}
		s.mu.Lock()
		s.full = false
		s.mu.Unlock()
		<-time.After(10 * time.Second)
		s.want(t, "hatch unknown>normal notice", "hatch normal>active alarm", "hatch active>normal notice", "hatch normal>active alarm")
	})
}

// TestRefusals is a slave that has not all of a block, and one that refuses for good.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := oneSlave(), &shelf{}
		slave := k.units[3]
		slave.inputs = [1 << 16]bool{}
		slave.refuse[1] = 2
		_, stop := start(t, Options{Client: newLine(t, k, RTU{}), Inputs: []Input{zoneAt("a", 3, 0), zoneAt("b", 3, 1), zoneAt("c", 3, 2)}}, s)
		defer stop()
		<-time.After(900 * time.Millisecond)
		s.want(t, "a unknown>normal notice", "c unknown>normal notice")
		<-time.After(5 * time.Second)
		s.want(t, "b unknown>missing warning wire")
		slave.set(func() { slave.inputs[2] = true; delete(slave.refuse, 1) })
		<-time.After(11 * time.Second)
		s.want(t, "b missing>normal notice", "c normal>active alarm")
		slave.set(func() { slave.refuse[2] = 4 })
		<-time.After(3 * time.Second)
		s.want(t, "c active>missing warning wire")
	})
}

// TestDeadPart is a slave that answers all but one question: what it answers goes on being told.
func TestDeadPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		level := true
		ask := asker(func(r Request) (Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			if r.Address == 10 {
				return Answer{}, errors.New("no answer")
			}
			return Answer{Bits: []bool{level}}, nil
		})
		s := &shelf{}
		_, stop := start(t, Options{Client: ask, Inputs: []Input{zoneAt("first", 3, 0), zoneAt("dead", 3, 10), zoneAt("last", 3, 20)}}, s)
		defer stop()
		<-time.After(5 * time.Second)
		s.want(t, "dead unknown>missing warning wire", "first unknown>active alarm", "last unknown>active alarm")
		mu.Lock()
		level = false
		mu.Unlock()
		<-time.After(time.Second)
		s.want(t, "first active>normal notice", "last active>normal notice")
	})
}

type asker func(Request) (Answer, error)

func (f asker) Do(_ context.Context, _ byte, r Request) (Answer, error) { return f(r) }

// gateway is two slaves behind one address: of the dead one it says so, after it has waited for it.
type gateway struct {
	says  Exception
	last  time.Time // that the living one was asked
	worst time.Duration
}

func (g *gateway) Do(_ context.Context, unit byte, _ Request) (Answer, error) {
	if unit == 1 {
		<-time.After(time.Second)
		return Answer{}, g.says
	}
	if !g.last.IsZero() {
		g.worst = max(g.worst, time.Since(g.last))
	}
	g.last = time.Now()
	return Answer{Bits: []bool{true}}, nil
}

// TestGateway holds that a slave of which a gateway says that it is dead costs the others one such wait in a round, however much
// is to be read of it.
func TestGateway(t *testing.T) {
	for _, says := range []Exception{GatewayPathMissing, GatewayTargetNoAnswer} {
		synctest.Test(t, func(t *testing.T) {
			g, s := &gateway{says: says}, &shelf{}
			_, stop := start(t, Options{Client: g, Inputs: []Input{zoneAt("a", 1, 0), zoneAt("b", 1, 10), zoneAt("c", 1, 20), zoneAt("well", 2, 0)}}, s)
			<-time.After(30 * time.Second)
			s.want(t, "a unknown>missing warning wire", "b unknown>missing warning wire", "c unknown>missing warning wire", "well unknown>active alarm")
			stop()
			if g.worst > 1500*time.Millisecond {
				t.Errorf("%s: the other was not asked for %s, want one wait of 1 s and a pause of 500 ms at most", says, g.worst)
			}
		})
	}
}

// TestNoWire is a line that cannot be opened: all of it is missing after three rounds, nobody is asked in vain, and all of it
// is back when it is.
func TestNoWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := &bank{units: map[byte]*testSlave{}}, &shelf{}
		var inputs []Input
		for u := range byte(16) {
			k.units[u+1] = newTestSlave()
			inputs = append(inputs, zoneAt(fmt.Sprint("z", u), u+1, 1))
		}
		l := newLine(t, k, RTU{})
		l.fail(errors.New("no such device"))
		_, stop := start(t, Options{Client: l, Inputs: inputs}, s)
		defer stop()
		<-time.After(1100 * time.Millisecond)
		synctest.Wait()
		if n := len(s.told()); n != 16 {
			t.Errorf("%d zones told missing after three rounds, want 16", n)
		}
		<-time.After(time.Minute)
		l.fail(nil)
		<-time.After(11 * time.Second)
		synctest.Wait()
		if got := s.told(); len(got) != 16 || !strings.HasSuffix(got[0], " missing>normal notice") {
			t.Errorf("back: %d, %v", len(got), got)
		}
	})
}

// sixteen is a line with a zone on each of 16 slaves.
func sixteen() (*bank, []Input) {
	k := &bank{units: map[byte]*testSlave{}, baud: 19200, think: 5 * time.Millisecond}
	var inputs []Input
	for u := byte(1); u <= 16; u++ {
		k.units[u] = newTestSlave()
		inputs = append(inputs, zoneAt(fmt.Sprint("zone-", u), u, 1))
	}
	return k, inputs
}

// worst is the longest that any slave but the dead ones waited from one poll to the next, since it was last called.
func worst(k *bank) time.Duration {
	longest := time.Duration(0)
	for _, s := range k.units {
		s.set(func() {
			for i := 1; i < len(s.asked) && !s.dead; i++ {
				longest = max(longest, s.asked[i].Sub(s.asked[i-1]))
			}
			s.asked = s.asked[max(0, len(s.asked)-1):]
		})
	}
	return longest
}

// TestDeadSlaves measures what one dead slave of 16, and then 15, cost the others: at most one poll that brings nothing. It
// does so on a line with room between its rounds, and on one with none.
func TestDeadSlaves(t *testing.T) {
	for name, interval := range map[string]time.Duration{"with-room": 500 * time.Millisecond, "without-room": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deadSlaves(t, name, interval) })
		})
	}
}

func deadSlaves(t *testing.T, name string, interval time.Duration) {
	k, inputs := sixteen()
	s := &shelf{}
	timeout := 100 * time.Millisecond
	_, stop := start(t, Options{Client: newLine(t, k, RTU{Baud: 19200, Timeout: timeout}), Inputs: inputs, Interval: interval}, s)
	defer stop()
	<-time.After(time.Minute)
	alive := worst(k)
	k.units[5].set(func() { k.units[5].dead = true })
	<-time.After(time.Minute)
	one := worst(k)
	// The silence before a question, the question, the answer that does not come, and what an adapter may hold back.
	poll := silence(19200) + duration(19200, 8) + timeout + slack + duration(19200, rtuExtra+3)
	verdict := "ok"
	if one-alive > poll {
		verdict = "short"
		t.Errorf("one dead slave delays the others by %s, more than one poll of %s", one-alive, poll)
	}
	t.Logf("from poll to poll at most %s with 16 slaves alive, %s with one dead", alive, one)
	t.Logf("figure modbus-dead-slave-delay-%s %.1f ms goal %.1f %s", name, (one-alive).Seconds()*1e3, poll.Seconds()*1e3, verdict)
	for u := byte(1); u < 16; u++ {
		k.units[u].set(func() { k.units[u].dead = true })
	}
	<-time.After(20 * time.Second) // until all of them are missing
	worst(k)
	<-time.After(time.Minute)
	if fifteen := worst(k); fifteen-alive > poll {
		t.Errorf("fifteen dead slaves delay the last by %s, more than one poll of %s", fifteen-alive, poll)
	}
	synctest.Wait()
	if n := strings.Count(strings.Join(s.told(), "\n"), ">missing"); n != 15 {
		t.Errorf("%d slaves told missing, want 15", n)
	}
}

// TestBackOff holds that a dead slave is asked less and less, and that of more dead slaves than rounds none is forgotten.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, inputs := sixteen()
		s := &shelf{}
		for u := byte(1); u < 16; u++ {
			k.units[u].dead = true
		}
		_, stop := start(t, Options{Client: newLine(t, k, RTU{Baud: 19200}), Inputs: inputs, Interval: 4 * time.Second}, s)
		defer stop()
		<-time.After(time.Minute)
		s.told()
		for u := byte(1); u < 16; u++ {
			k.units[u].set(func() { k.units[u].asked = nil })
		}
		<-time.After(10 * time.Minute) // 150 rounds for 15 slaves
		for u := byte(1); u < 16; u++ {
			k.units[u].set(func() {
				if n := len(k.units[u].asked); n < 9 || n > 11 {
					t.Errorf("slave %d was asked %d times in 150 rounds", u, n)
				}
			})
		}
		k.units[15].set(func() { k.units[15].dead = false })
		<-time.After(16 * 4 * time.Second)
		s.want(t, "zone-15 missing>normal notice")
		for u := byte(1); u < 15; u++ {
			k.units[u].set(func() { k.units[u].dead = u > 1 })
		}
		<-time.After(16 * 4 * time.Second)
		s.want(t, "zone-1 missing>normal notice")
	})
}

// TestOneDead is asked 10 s apart when it has been dead for a while, however often the others are.
func TestOneDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := oneSlave(), &shelf{}
		k.units[3].dead = true
		_, stop := start(t, Options{Client: newLine(t, k, RTU{}), Inputs: []Input{zoneAt("hatch", 3, 0)}}, s)
		defer stop()
		<-time.After(10*time.Minute + 250*time.Millisecond)
		k.units[3].set(func() {
			if n := len(k.units[3].asked); n < 55 || n > 70 {
				t.Errorf("asked %d times in ten minutes", n)
			}
		})
	})
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		kind     Type
		words    []uint16
		lowFirst bool
		scale    float64
		want     string // "" = an error
	}{
		{Uint16, []uint16{0xffff}, false, 1, "65535"},
		{Int16, []uint16{0xffff}, false, 0.1, "-0.1"},
		{Uint32, []uint16{1, 2}, false, 1, "65538"},
		{Uint32, []uint16{1, 2}, true, 1, "131073"},
		{Uint32, []uint16{0xffff, 0xffff}, false, 1, "4294967295"},
		{Int32, []uint16{0xffff, 0xfffe}, false, 1, "-2"},
		{Int32, []uint16{0x8000, 0}, false, 1, "-2147483648"},
		{Float32, []uint16{0x4148, 0}, false, 1, "12.5"},
		{Float32, []uint16{0, 0xc148}, true, 10, "-125"},
		{Float32, []uint16{0x7fc0, 0}, false, 1, ""},
		{Float32, []uint16{0xff80, 0}, false, 1, ""},
		{Float32, []uint16{0x7f7f, 0xffff}, false, 1, ""},
		{Uint16, []uint16{1}, false, math.MaxFloat64, ""},
	} {
		v, err := c.kind.decode(c.words, c.lowFirst, c.scale)
		if (err != nil) != (c.want == "") || err == nil && v.String() != c.want {
			t.Errorf("%+v: %s, %v", c, v, err)
		}
	}
}

// TestProbe holds that a value has to be fresh.
func TestProbe(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := &Probe{cfg: Value{ID: "v", Type: Uint16, Scale: 1}, now: func() time.Time { return now }, stale: time.Minute}
	if _, err := p.Measure(t.Context()); err == nil || !strings.Contains(err.Error(), "not polled yet") {
		t.Error(err)
	}
	p.take(Answer{Registers: []uint16{7}}, nil)
	now = now.Add(time.Minute)
	if r, err := p.Measure(t.Context()); err != nil || r[0].String() != "value 7" {
		t.Errorf("%v, %v", r, err)
	}
	now = now.Add(time.Second)
	if _, err := p.Measure(t.Context()); err == nil || !strings.Contains(err.Error(), "last polled 1m1s ago") {
		t.Error(err)
	}
	p.take(Answer{}, IllegalFunction)
	if _, err := p.Measure(t.Context()); !errors.Is(err, IllegalFunction) {
		t.Error(err)
	}
}

func TestWrongOptions(t *testing.T) {
	client := asker(func(Request) (Answer, error) { return Answer{}, nil })
	zone := zoneAt("a", 1, 0)
	for name, o := range map[string]Options{
		"no client":     {},
		"interval":      {Client: client, Interval: -1},
		"no zone":       {Client: client, Inputs: []Input{{Severity: event.SeverityAlarm}}},
		"long zone":     {Client: client, Inputs: []Input{zoneAt(strings.Repeat("x", 90), 1, 0)}},
		"zone twice":    {Client: client, Inputs: []Input{zone, zone}},
		"severity":      {Client: client, Inputs: []Input{{Zone: "a"}}},
		"no id":         {Client: client, Values: []Value{{}}},
		"id twice":      {Client: client, Values: []Value{{ID: "a"}, {ID: "a"}}},
		"type":          {Client: client, Values: []Value{{ID: "a", Type: "bcd"}}},
		"past the last": {Client: client, Values: []Value{{ID: "a", Type: Uint32, Number: 65535}}},
		"scale":         {Client: client, Values: []Value{{ID: "a", Scale: math.NaN()}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{Client: client, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Error(err)
	}
}

// BenchmarkRound polls 16 slaves once, codec and framing included, on a line that takes no time.
func BenchmarkRound(b *testing.B) {
	_, inputs := sixteen()
	slave := newTestSlave()
	d, err := New(Options{Inputs: inputs, Client: asker(func(r Request) (Answer, error) {
		pdu, err := r.Append(make([]byte, 0, MaxPDU))
		if err != nil {
			return Answer{}, err
		}
		frame := appendRTU(make([]byte, 0, maxRTU), 3, pdu)
		answer := slave.answer(frame[1 : len(frame)-2])
		return parseRTU(r, 3, appendRTU(make([]byte, 0, maxRTU), 3, answer))
	})})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d.round(b.Context())
	}
}

// BenchmarkRTU frames a question for 125 registers and reads its answer.
func BenchmarkRTU(b *testing.B) {
	r := Request{Function: ReadInputRegisters, Count: 125}
	answer := appendRTU(nil, 3, newTestSlave().answer([]byte{4, 0, 0, 0, 125}))
	frame := make([]byte, 0, maxRTU)
	b.ReportAllocs()
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		pdu, err := r.Append(frame[:0])
		if err != nil {
			b.Fatal(err)
		}
		_ = appendRTU(frame[len(pdu):len(pdu)], 3, pdu)
		if _, err := parseRTU(r, 3, answer); err != nil {
			b.Fatal(err)
		}
	}
}
