package outbox

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// wire is a line of a given bandwidth and one-way latency to a broker that acknowledges in order, in virtual time.
type wire struct {
	core      *Core
	book      *book
	clock     time.Time
	bandwidth int // bytes a second, up
	latency   time.Duration
	jitter    func() time.Duration // of an acknowledgement; nil = none
	free      time.Time            // when the line has sent all that it was given
	way       []carried            // in order

	alarms  map[uint64]time.Time // when each alarm was appended
	delays  []time.Duration      // of alarms, until the broker has them
	carried int                  // payload bytes of the backlog that arrived
	events  int                  // of the backlog that arrived
}

type carried struct {
	send    Send
	bytes   int
	arrives time.Time
	acked   time.Time
}

func newWire(s Settings, bandwidth int, latency time.Duration) *wire {
	s.Ahead = 1 << 20
	w := &wire{core: NewCore(s, epoch(), nil), book: newBook(), clock: now(0), bandwidth: bandwidth, latency: latency, alarms: map[uint64]time.Time{}}
	w.free = w.clock
	w.core.LinkUp(w.clock)
	return w
}

// push gives the line whatever the core wants sent now.
func (w *wire) push() {
	for {
		w.book.feed(w.core)
		s, ok := w.core.Next(w.clock)
		if !ok {
			return
		}
		size := 20
		for _, it := range items(s.Frame.Events) {
			size += it.Size * 2 / 5 // packed
		}
		w.core.Packed(s.ID, size)
		start := w.clock
		if w.free.After(start) {
			start = w.free
		}
		w.free = start.Add(time.Duration(int64(size+perMessage) * int64(time.Second) / int64(w.bandwidth)))
		arrives := w.free.Add(w.latency)
		acked := arrives.Add(w.latency)
		if w.jitter != nil {
			acked = acked.Add(w.jitter())
		}
		if n := len(w.way); n > 0 && acked.Before(w.way[n-1].acked) {
			acked = w.way[n-1].acked // in order
		}
		w.way = append(w.way, carried{s, size, arrives, acked})
	}
}

// run goes on until a moment, appending an alarm at every step.
func (w *wire) run(until time.Time, every time.Duration) {
	alarm := w.clock.Add(every)
	for w.clock.Before(until) {
		w.push()
		next := until
		if len(w.way) > 0 && w.way[0].acked.Before(next) {
			next = w.way[0].acked
		}
		if every > 0 && alarm.Before(next) {
			next = alarm
		}
		if d := w.core.Deadline(); !d.IsZero() && d.Before(next) {
			next = d
		}
		if !next.After(w.clock) {
			next = w.clock.Add(time.Millisecond) // as the outbox does
		}
		w.clock = next
		for len(w.way) > 0 && !w.way[0].acked.After(w.clock) {
			w.arrive(w.way[0])
			w.way = w.way[1:]
		}
		w.core.Tick(w.clock)
		if every > 0 && !alarm.After(w.clock) {
			e := w.book.add(event.LaneAlarm, "a")
			w.alarms[e.Seq] = w.clock
			w.core.Woken()
			alarm = w.clock.Add(every)
		}
	}
}

func (w *wire) arrive(c carried) {
	w.core.Acked(w.clock, c.send.ID)
	f := c.send.Frame
	if f.Lane == event.LaneAlarm {
		w.delays = append(w.delays, c.arrives.Sub(w.alarms[f.Last()]))
	} else {
		w.carried += c.bytes + perMessage
		w.events += len(f.Events)
	}
	if err := w.core.Receipt(w.clock, receipt(f.Lane, f.Last())); err != nil {
		panic(err)
	}
}

func (w *wire) p99() time.Duration {
	slices.Sort(w.delays)
	d := w.delays[len(w.delays)*99/100]
	w.delays = nil
	return d
}

// An alarm that is raised while a backlog goes out takes at most twice as long as on the idle line, and the line is busy all
// the same.
func TestAnAlarmFindsTheLineAllButFree(t *testing.T) {
	text := strings.Repeat("x", 60)
	for _, line := range []struct {
		name      string
		bandwidth int
		latency   time.Duration
		busy      float64 // of the bandwidth, at least
	}{
		{"a modem", 4 << 10, 150 * time.Millisecond, 0.5},
		{"a weak mobile cell", 12 << 10, 50 * time.Millisecond, 0.5},
		{"a mobile uplink", 125 << 10, 25 * time.Millisecond, 0.6},
		{"a satellite", 60 << 10, 300 * time.Millisecond, 0.6},
		{"a village fibre", 2 << 20, 5 * time.Millisecond, 0.5},
	} {
		t.Run(line.name, func(t *testing.T) {
			w := newWire(Settings{Window: MaxWindow}, line.bandwidth, line.latency)
			w.run(w.clock.Add(time.Minute), 7*line.latency)
			idle := w.p99()
			drain := min(3*time.Minute, 500*time.Second*(16<<10)/time.Duration(line.bandwidth))
			for range int(drain.Seconds() * float64(line.bandwidth) / 40) {
				w.book.add(event.LaneMain, text)
			}
			w.core.Woken()
			w.run(w.clock.Add(drain), 7*line.latency)
			draining := w.p99()
			busy := float64(w.carried) / (float64(line.bandwidth) * drain.Seconds())
			t.Logf("an alarm takes %s idle, %s draining (%.2f); the line is %.0f%% busy; %d events", idle, draining, float64(draining)/float64(idle), 100*busy, w.events)
			if draining > 2*idle {
				t.Errorf("an alarm took %s, on the idle line %s", draining, idle)
			}
			if busy < line.busy {
				t.Errorf("the backlog used %.0f%% of the line", 100*busy)
			}
		})
	}
}

// On a line whose delay varies by itself, as it does in the air, the backlog gets on all the same; and so it does beside
// events that never stop coming.
func TestALineWhoseDelayVariesIsUsed(t *testing.T) {
	for _, line := range []struct {
		name             string
		bandwidth        int
		latency, variety time.Duration
		live             int     // events a second
		busy             float64 // of the bandwidth, by the backlog, at least
	}{
		{"a mobile uplink", 60 << 10, 20 * time.Millisecond, 60 * time.Millisecond, 0, 0.2},
		{"a mobile uplink, busy", 60 << 10, 20 * time.Millisecond, 60 * time.Millisecond, 10, 0.1},
		{"a satellite", 60 << 10, 225 * time.Millisecond, 300 * time.Millisecond, 0, 0.2},
		{"a satellite, busy", 60 << 10, 225 * time.Millisecond, 300 * time.Millisecond, 10, 0.1},
	} {
		t.Run(line.name, func(t *testing.T) {
			w, dice := newWire(Settings{Window: MaxWindow}, line.bandwidth, line.latency), rand.New(rand.NewPCG(1, 2))
			w.jitter = func() time.Duration { return time.Duration(dice.Int64N(int64(line.variety))) }
			for range 100_000 {
				w.book.add(event.LaneRead, strings.Repeat("x", 60))
			}
			for range 600 {
				if line.live > 0 {
					w.book.add(event.LaneMain, "live")
				}
				w.core.Woken()
				w.run(w.clock.Add(100*time.Millisecond), 0)
			}
			busy := float64(w.carried)/60/float64(line.bandwidth) - float64(line.live*160)/float64(line.bandwidth)
			t.Logf("the backlog uses %.0f%% of the line", 100*busy)
			if busy < line.busy {
				t.Errorf("the backlog uses %.1f%% of the line", 100*busy)
			}
		})
	}
}

// A rate of a few bytes a second is kept as well.
func TestARateThatIsHardlyOneGetsOn(t *testing.T) {
	w := newWire(Settings{BacklogRate: 5}, 1<<20, time.Millisecond)
	for range 100 {
		w.book.add(event.LaneMain, "x")
	}
	w.core.Woken()
	w.run(w.clock.Add(10*time.Minute), 0)
	if w.events < 10 {
		t.Fatalf("%d events in ten minutes", w.events)
	}
}

// The line is measured again and again: a way that has become longer is no reason to send less for ever.
func TestALongerWayIsMeasuredAfresh(t *testing.T) {
	w := newWire(Settings{}, 100<<10, 10*time.Millisecond)
	text := strings.Repeat("x", 400)
	for range 200_000 {
		w.book.add(event.LaneMain, text)
	}
	w.core.Woken()
	w.run(w.clock.Add(time.Minute), 0)
	w.latency = 200 * time.Millisecond
	w.run(w.clock.Add(2*time.Minute), 0)
	before := w.carried
	w.run(w.clock.Add(time.Minute), 0)
	if busy := float64(w.carried-before) / (100 << 10) / 60; busy < 0.4 {
		t.Fatalf("the backlog uses %.0f%% of a line that became longer", 100*busy)
	}
}

// Nobody's own rate is exceeded over any stretch of time, and it is used.
func TestTheBacklogKeepsToItsRate(t *testing.T) {
	text := strings.Repeat("x", 400)
	for _, rate := range []int{500, 8 << 10, 64 << 10} {
		w := newWire(Settings{BacklogRate: rate}, 10<<20, 5*time.Millisecond)
		for range 100_000 {
			w.book.add(event.LaneMain, text)
		}
		w.core.Woken()
		for minute := range 3 {
			before := w.carried
			w.run(w.clock.Add(time.Minute), time.Second)
			got := float64(w.carried-before) / 60 / float64(rate)
			if got > 1.15 || got < 0.85 {
				t.Errorf("minute %d at a rate of %d: %.2f of it", minute, rate, got)
			}
		}
		if d := w.p99(); d > 6*time.Millisecond {
			t.Errorf("an alarm waited %s for the backlog's rate", d)
		}
	}
}

// What happens now goes before what happened, whichever lane it is in; alarms before all.
func TestLiveEventsGoBeforeTheBacklog(t *testing.T) {
	b := newBook()
	for range 500 {
		b.add(event.LaneMain, "old")
	}
	c := NewCore(Settings{BacklogRate: 1000}, epoch(), nil)
	c.LinkUp(now(0))
	first := b.drain(c)
	expect(t, first, "main:0<1-1h") // to measure the line
	b.add(event.LaneTrace, "live")
	b.add(event.LaneRead, "live")
	b.add(event.LaneAlarm, "live")
	b.add(event.LaneTrace, "live")
	c.Woken()
	live := b.drain(c)
	expect(t, live, "alarm:0<503-503 read:0<502-502 trace:0<501-501 trace:501<504-504")
	for _, s := range append(first, live...) {
		c.Acked(now(1), s.ID)
	}
	if b.drain(c) == nil {
		t.Fatal("the backlog waits for nothing")
	}
	if d := c.Deadline(); d.IsZero() {
		expect(t, b.drain(c), "")
		if d = c.Deadline(); d.IsZero() {
			t.Fatal("nobody will look again when the bucket is full")
		}
	}
}

// On a line where nothing is ever acknowledged, one frame at a time is at stake.
func TestAnUnknownLineIsNotFlooded(t *testing.T) {
	b := newBook()
	for range 5000 {
		b.add(event.LaneMain, strings.Repeat("x", 200))
	}
	c := NewCore(Settings{}, epoch(), nil)
	c.LinkUp(now(0))
	size := 0
	for _, s := range b.drain(c) {
		for _, it := range items(s.Frame.Events) {
			size += it.Size
		}
	}
	if size == 0 || size > 2*firstWindow {
		t.Fatalf("%d bytes before the first acknowledgement", size)
	}
}
