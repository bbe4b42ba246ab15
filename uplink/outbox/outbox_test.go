package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a Log in memory that can be told to fail.
type shelf struct {
	mu      sync.Mutex // guards the fields below
	book    *book
	wake    chan struct{}
	cursors map[event.Lane]uint64
	saves   error

	reads       map[event.Lane]error // what Read answers
	cursorReads error                // what Cursor answers
}

var (
	_ Log    = (*shelf)(nil)
	_ Header = (*shelf)(nil)
)

func newShelf() *shelf {
	return &shelf{book: newBook(), wake: make(chan struct{}), cursors: map[event.Lane]uint64{}, reads: map[event.Lane]error{}}
}

func (s *shelf) Epoch() event.Epoch { return epoch() }

func (s *shelf) Read(lane event.Lane, after uint64, n int) ([]event.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.read(lane, after, n), s.reads[lane]
}

func (s *shelf) Cursor(centre string, lane event.Lane) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if centre != "changshan" {
		return 0, errors.New("no such centre")
	}
	return s.cursors[lane], s.cursorReads
}

func (s *shelf) SetCursor(_ string, lane event.Lane, upto uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saves == nil {
		s.cursors[lane] = upto
	}
	return s.saves
}

func (s *shelf) Wake() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wake
}

func (s *shelf) Head(lane event.Lane) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.head(lane)
}

func (s *shelf) add(lane event.Lane, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.book.add(lane, "x")
	}
	close(s.wake)
	s.wake = make(chan struct{})
}

func (s *shelf) set(f func(*shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// centre is the far end: a broker that acknowledges after a while, and a store behind it.
type centre struct {
	t     *testing.T
	box   *Outbox
	delay time.Duration // of a PUBACK and of a receipt
	wg    sync.WaitGroup

	answers sync.Mutex // held while a receipt is given; taken before mu

	mu       sync.Mutex // guards the fields below
	refuse   error      // what Publish answers
	deaf     bool       // takes and drops
	heads    map[event.Lane]uint64
	store    map[event.Lane][]uint64
	arrived  []string // topic of each frame
	messages int
	history  int
	reports  []Report
	during   func() // called within each Publish
}

var _ Publisher = (*centre)(nil)

func newCentre(t *testing.T, log Log, s Settings) *centre {
	t.Helper()
	c := &centre{t: t, delay: 10 * time.Millisecond, heads: map[event.Lane]uint64{}, store: map[event.Lane][]uint64{}}
	box, err := New(Options{
		Log: log, Centre: "changshan", Address: topic.Address{Jurisdiction: "changshan", Station: stationID}, Settings: s,
		Report: func(r Report) { c.set(func(c *centre) { c.reports = append(c.reports, r) }) },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.box = box
	return c
}

func (c *centre) set(f func(*centre)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func (c *centre) Publish(_ context.Context, name string, payload []byte, acked func()) error {
	f, err := topic.DecodeFrame(stationID, payload)
	if err != nil {
		c.t.Errorf("not a frame: %v", err)
	}
	if c.during != nil {
		c.during()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return c.refuse
	}
	c.messages++
	c.arrived = append(c.arrived, name)
	if f.Historical {
		c.history++
	}
	c.wg.Go(func() {
		<-time.After(c.delay)
		acked()
	})
	if c.deaf {
		return nil
	}
	v, fresh := topic.Accept(c.heads[f.Lane], f)
	if v == topic.VerdictStore {
		for _, e := range fresh {
			c.store[f.Lane] = append(c.store[f.Lane], e.Seq)
		}
		c.heads[f.Lane] = f.Last()
	}
	c.wg.Go(func() {
		<-time.After(2 * c.delay)
		c.answer(f.Lane)
	})
	return nil
}

// answer tells the station what the centre has now, one answer after the other as on one connection.
func (c *centre) answer(lane event.Lane) {
	c.answers.Lock()
	defer c.answers.Unlock()
	c.mu.Lock()
	r := receipt(lane, c.heads[lane])
	c.mu.Unlock()
	if err := c.box.Receipt(r); err != nil {
		c.t.Errorf("a true receipt: %v", err)
	}
}

// linked runs body while the outbox runs on one link, and answers what Run did.
func (c *centre) linked(body func()) error {
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	c.wg.Go(func() { done <- c.box.Run(ctx, c) })
	body()
	cancel()
	return <-done
}

func pause(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// bubble runs body in synctest and joins what the centre started.
func bubble(t *testing.T, s Settings, body func(*shelf, *centre)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := newShelf()
		c := newCentre(t, log, s)
		body(log, c)
		c.wg.Wait()
	})
}

func TestRunDrainsAndGoesLive(t *testing.T) {
	bubble(t, Settings{}, func(log *shelf, c *centre) {
		log.add(event.LaneMain, 1000)
		log.add(event.LaneAlarm, 2)
		if err := c.linked(func() {
			pause(time.Second)
			if c.heads[event.LaneMain] != 1000 || c.heads[event.LaneAlarm] != 1002 || c.messages > 40 || c.history != c.messages {
				t.Fatalf("heads %v after %d messages, %d of them historical", c.heads, c.messages, c.history)
			}
			if !strings.HasSuffix(c.arrived[0], "/changshan/cs-baishi-caoping/event/alarm") {
				t.Fatalf("first came %s", c.arrived[0])
			}
			sent := c.messages
			for range 3 {
				log.add(event.LaneMain, 1)
				synctest.Wait() // no time passes
			}
			if c.messages != sent+3 || c.history != sent {
				t.Fatalf("%d messages, %d historical, after three live events", c.messages, c.history)
			}
			pause(time.Second)
		}); err != nil {
			t.Fatal(err)
		}
		if log.cursors[event.LaneMain] != 1005 || log.cursors[event.LaneAlarm] != 1002 || c.box.Stored()[event.LaneMain] != 1005 {
			t.Fatalf("cursors %v", log.cursors)
		}
	})
}

// An alarm that is appended while a backlog goes out is the very next message.
func TestAnAlarmOvertakesTheBacklog(t *testing.T) {
	bubble(t, Settings{}, func(log *shelf, c *centre) {
		log.add(event.LaneMain, 900)
		c.during = func() {
			if len(c.arrived) == 3 {
				log.add(event.LaneAlarm, 1)
			}
		}
		if err := c.linked(func() { pause(time.Second) }); err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(c.arrived, func(name string) bool { return strings.HasSuffix(name, "alarm") }); i != 4 {
			t.Fatalf("the alarm was message %d of %d", i, len(c.arrived))
		}
	})
}

// Links break at any moment; a fresh outbox takes over as after a kill -9; the store ends up whole.
func TestBrokenLinksAndRestarts(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, Settings{Window: 8, Ahead: 100, FrameEvents: 5}, func(log *shelf, c *centre) {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 30 {
				if err := c.linked(func() {
					for range 1 + random.IntN(3) {
						log.add(event.Lanes()[random.IntN(4)], 1+random.IntN(40))
						pause(time.Duration(random.IntN(30)) * time.Millisecond)
						c.set(func(c *centre) { c.deaf = random.IntN(4) == 0 })
					}
				}); err != nil {
					t.Fatal(err)
				}
				if random.IntN(3) == 0 {
					c.wg.Wait()
					old := c.box
					c.box = newCentre(t, log, old.o.Settings).box
				}
			}
			c.set(func(c *centre) { c.deaf = false })
			if err := c.linked(func() { pause(5 * time.Minute) }); err != nil {
				t.Fatal(err)
			}
			for _, lane := range event.Lanes() {
				var want []uint64
				for _, e := range log.book.lanes[lane] {
					want = append(want, e.Seq)
				}
				if !slices.Equal(c.store[lane], want) || log.cursors[lane] != log.book.head(lane) {
					t.Fatalf("seed %d, lane %s: %d of %d stored, cursor %d", seed, lane, len(c.store[lane]), len(want), log.cursors[lane])
				}
			}
		})
	}
}

// A centre that takes and drops is told by the outbox, costs little, and heals without a new link.
func TestADeafCentre(t *testing.T) {
	bubble(t, Settings{}, func(log *shelf, c *centre) {
		c.deaf = true
		log.add(event.LaneMain, 5000)
		if err := c.linked(func() {
			pause(time.Hour)
			if c.messages > 60+120 {
				t.Fatalf("%d messages into a hole within an hour", c.messages)
			}
			if len(c.reports) != 7 || c.reports[0].Kind != ReportStalled || c.reports[0].Upto != 2048 || c.reports[0].From != 1 {
				t.Fatalf("%d reports, the first %+v", len(c.reports), c.reports[0])
			}
			if c.box.Stored()[event.LaneMain] != 0 || log.cursors[event.LaneMain] != 0 {
				t.Fatal("a cursor moved without a receipt")
			}
			c.set(func(c *centre) { c.deaf = false })
			pause(time.Minute)
		}); err != nil {
			t.Fatal(err)
		}
		if len(c.store[event.LaneMain]) != 5000 || c.reports[len(c.reports)-1].Kind != ReportResumed {
			t.Fatalf("%d stored, last report %+v", len(c.store[event.LaneMain]), c.reports[len(c.reports)-1])
		}
	})
}

func TestWhatEndsALink(t *testing.T) {
	bubble(t, Settings{}, func(log *shelf, c *centre) {
		log.add(event.LaneMain, 1)
		c.refuse = errors.New("broken pipe")
		if err := c.linked(func() { pause(time.Second) }); err == nil || !strings.Contains(err.Error(), "broken pipe") {
			t.Fatalf("a link that refuses: %v", err)
		}
		log.set(func(s *shelf) { s.cursorReads = errors.New("bad sector") })
		if _, err := New(c.box.o); err == nil {
			t.Fatal("a cursor that cannot be read")
		}
	})
}

// One lane that the disk does not give back, or that holds what is no event, keeps no alarm from the centre, and is sent as
// soon as it can be read.
func TestAnUnreadableLaneHoldsUpNoOther(t *testing.T) {
	bubble(t, Settings{}, func(log *shelf, c *centre) {
		log.add(event.LaneMain, 3)
		log.set(func(s *shelf) { s.reads[event.LaneMain] = errors.New("bad sector") })
		if err := c.linked(func() {
			pause(time.Second)
			log.add(event.LaneAlarm, 1)
			pause(time.Second)
			if len(c.store[event.LaneAlarm]) != 1 || len(c.store[event.LaneMain]) != 0 {
				t.Fatalf("stored %v", c.store)
			}
			r := c.reports[0]
			if r.Kind != ReportUnread || r.Lane != event.LaneMain || !strings.Contains(r.Text, "reading lane main after seq 0: bad sector: check the disk") {
				t.Fatalf("report %+v", r)
			}
			log.set(func(s *shelf) { delete(s.reads, event.LaneMain); s.book.lanes[event.LaneMain][2].Kind = 0 })
			pause(31 * time.Second)
			if len(c.store[event.LaneMain]) != 0 {
				t.Fatalf("stored %v", c.store)
			}
			log.set(func(s *shelf) { s.book.lanes[event.LaneMain][2].Kind = event.KindZoneChanged })
			pause(31 * time.Second)
			if len(c.store[event.LaneMain]) != 3 {
				t.Fatalf("stored %v", c.store)
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// A receipt that the full disk cannot take is told; sending goes on.
func TestACursorThatCannotBeSaved(t *testing.T) {
	bubble(t, Settings{}, func(log *shelf, c *centre) {
		log.saves = errors.New("disk full")
		log.add(event.LaneMain, 1)
		if err := c.linked(func() {
			pause(time.Second)
			if len(c.reports) != 1 || c.reports[0].Kind != ReportCursor || !strings.Contains(c.reports[0].Text, "disk full") {
				t.Fatalf("reports %+v", c.reports)
			}
			log.set(func(s *shelf) { s.saves = nil })
			log.add(event.LaneMain, 1)
			pause(time.Second)
		}); err != nil {
			t.Fatal(err)
		}
		if log.cursors[event.LaneMain] != 2 {
			t.Fatalf("cursor %d", log.cursors[event.LaneMain])
		}
	})
}

func TestReceiptsOfOthers(t *testing.T) {
	c := newCentre(t, newShelf(), Settings{})
	r := receipt(event.LaneMain, 0)
	if err := c.box.Receipt(r); err != nil {
		t.Fatal(err)
	}
	r.Station = "cs-qiuchuan"
	if err := c.box.Receipt(r); err == nil {
		t.Fatal("another station's receipt was taken")
	}
	if err := c.box.Receipt(receipt(event.LaneMain, 1)); err == nil || len(c.reports) != 1 {
		t.Fatalf("%v, reports %+v", err, c.reports)
	}
}

func TestNewRefuses(t *testing.T) {
	good := Options{Log: newShelf(), Centre: "changshan", Address: topic.Address{Jurisdiction: "changshan", Station: stationID}}
	for name, change := range map[string]func(*Options){
		"no log": func(o *Options) { o.Log = nil }, "no centre": func(o *Options) { o.Centre = "" },
		"no address": func(o *Options) { o.Address.Station = "" }, "a centre unknown to the log": func(o *Options) { o.Centre = "x" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
}

// brisk is a broker that acknowledges at once, and a centre that does not store one lane. Each message takes 10 ms of its clock.
type brisk struct {
	box   *Outbox
	deaf  event.Lane
	clock time.Time
	done  func(lane event.Lane) // told each frame
}

var _ Publisher = (*brisk)(nil)

func (p *brisk) Publish(_ context.Context, _ string, payload []byte, acked func()) error {
	f, err := topic.DecodeFrame(stationID, payload)
	if err != nil {
		return err
	}
	p.clock = p.clock.Add(10 * time.Millisecond)
	acked()
	p.done(f.Lane)
	if f.Lane == p.deaf {
		return nil
	}
	return p.box.Receipt(receipt(f.Lane, f.Last()))
}

// A sender that never sleeps, because one lane goes out as fast as it can be read, still sends another one again whose receipts
// do not come.
func TestABusySenderKeepsTime(t *testing.T) {
	log := newShelf()
	log.add(event.LaneAlarm, 1)
	log.add(event.LaneMain, 30_000)
	p := &brisk{deaf: event.LaneAlarm, clock: now(0)}
	box, err := New(Options{
		Log: log, Centre: "changshan", Address: topic.Address{Jurisdiction: "changshan", Station: stationID},
		Settings: Settings{FrameEvents: 4}, Now: func() time.Time { return p.clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	p.box = box
	ctx, cancel := context.WithCancel(t.Context())
	alarms, frames := 0, 0
	p.done = func(lane event.Lane) {
		if lane == event.LaneAlarm {
			alarms++
		}
		if frames++; frames == 7000 { // 70 s
			cancel()
		}
	}
	if err := box.Run(ctx, p); err != nil {
		t.Fatal(err)
	}
	if alarms < 3 {
		t.Fatalf("the alarm was sent %d times in 70 s", alarms)
	}
}
