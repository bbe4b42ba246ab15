package outbox

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// strict is a broker that hangs up on a frame beyond its limit, and may lose the acknowledgements that were on their way.
type strict struct {
	limit  int // bytes of records in a frame
	core   *Core
	book   *book
	centre far
	clock  time.Time
	losses int
	forget bool // acknowledgements and receipts are lost with the link
}

// link lives until the broker hangs up, or until all is sent, which it answers with true.
func (s *strict) link(t testing.TB) bool {
	s.clock = s.clock.Add(time.Second)
	s.core.Tick(s.clock)
	s.core.LinkUp(s.clock)
	var taken []Send
	for {
		batch := s.book.drainAt(s.core, s.clock)
		if len(batch) == 0 {
			return true
		}
		for _, f := range batch {
			size := 0
			for _, it := range items(f.Frame.Events) {
				size += it.Size
			}
			if size > s.limit {
				if !s.forget {
					s.settle(t)
				}
				s.core.LinkDown(s.clock)
				s.losses++
				return false
			}
			s.centre.hear(f)
			taken = append(taken, f)
			s.clock = s.clock.Add(time.Millisecond)
			if !s.forget {
				s.core.Acked(s.clock, f.ID)
			}
		}
		if s.forget {
			for _, f := range taken {
				s.core.Acked(s.clock, f.ID)
			}
		}
		s.settle(t)
		taken = nil
	}
}

func (s *strict) settle(t testing.TB) {
	for _, r := range s.centre.says {
		if err := s.core.Receipt(s.clock, r); err != nil {
			t.Fatal(err)
		}
	}
	s.centre.says = nil
}

func (s *strict) until(t testing.TB, links int) {
	for range links {
		if s.link(t) {
			return
		}
	}
	t.Fatalf("no end after %d links: stored %v", links, s.core.Stored())
}

// Frames that a broker hangs up on become smaller, and everything arrives.
func TestFramesBeyondTheBrokersLimitBecomeSmaller(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook()
		for range rapid.IntRange(1, 400).Draw(rt, "events") {
			lanes := event.Lanes()
			b.add(rapid.SampledFrom(lanes[:]).Draw(rt, "lane"), strings.Repeat("x", rapid.IntRange(0, 900).Draw(rt, "size")))
		}
		s := &strict{limit: rapid.IntRange(1100, 40_000).Draw(rt, "limit"), core: NewCore(Settings{}, epoch(), nil), book: b, clock: now(0), forget: rapid.Bool().Draw(rt, "forget")}
		done := false
		for range 60 {
			if done = s.link(t); done {
				break
			}
		}
		if !done {
			rt.Fatalf("no end after %d links: stored %v", s.losses, s.core.Stored())
		}
		for _, lane := range event.Lanes() {
			if s.core.Stored()[lane] != b.head(lane) {
				rt.Fatalf("lane %s: stored %d of %d", lane, s.core.Stored()[lane], b.head(lane))
			}
		}
		for _, r := range s.core.TakeReports() {
			if r.Kind == ReportRefusedByBroker {
				rt.Fatalf("%+v", r)
			}
		}
	})
}

// An event that no frame is small enough for is kept: its lane waits, the others go on, a person is told, and it is tried
// again, less and less, until the broker takes it.
func TestAnEventBeyondTheBrokersLimit(t *testing.T) {
	b := newBook()
	for range 100 {
		b.add(event.LaneMain, "m")
	}
	large := b.add(event.LaneMain, strings.Repeat("x", 9000))
	b.add(event.LaneMain, "after")
	for range 200 {
		b.add(event.LaneTrace, "t")
	}
	s := &strict{limit: 8000, core: NewCore(Settings{}, epoch(), nil), book: b, clock: now(0)}
	s.until(t, 40)
	stored := s.core.Stored()
	if stored[event.LaneMain] != large.Seq-1 || stored[event.LaneTrace] != b.head(event.LaneTrace) {
		t.Fatalf("stored %v after %d links", stored, s.losses)
	}
	var told []Report
	for _, r := range s.core.TakeReports() {
		if r.Kind == ReportRefusedByBroker {
			told = append(told, r)
		}
	}
	if len(told) != 1 || told[0].Lane != event.LaneMain || told[0].From != large.Seq || !strings.Contains(told[0].Text, "message size limit") {
		t.Fatalf("reports %+v", told)
	}
	b.add(event.LaneAlarm, "a")
	s.core.Woken()
	s.until(t, 1) // alarms go on
	before := s.losses
	for range 24 * 60 {
		s.clock = s.clock.Add(time.Minute)
		s.link(t)
	}
	if n := s.losses - before; n < 20 || n > 35 {
		t.Fatalf("tried %d times in a day", n)
	}
	s.limit = 10_000
	s.clock = s.clock.Add(time.Hour)
	s.until(t, 1)
	if stored := s.core.Stored(); stored[event.LaneMain] != b.head(event.LaneMain) || stored[event.LaneAlarm] != b.head(event.LaneAlarm) {
		t.Fatalf("stored %v", stored)
	}
	reports := s.core.TakeReports()
	if last := reports[len(reports)-1]; last.Kind != ReportResumed || last.Lane != event.LaneMain {
		t.Fatalf("last report %+v", last)
	}
}

// Links that break for other reasons, with frames under way, set nothing aside while anything gets through.
func TestABadLineIsNotSuspected(t *testing.T) {
	b := newBook()
	for range 2000 {
		b.add(event.LaneMain, strings.Repeat("x", 100))
	}
	c := NewCore(Settings{}, epoch(), nil)
	centre := far{}
	for i := range 500 {
		c.LinkUp(now(i))
		list := b.drain(c)
		if len(list) == 0 {
			break
		}
		centre.hear(list[0]) // one frame gets through, and the line breaks
		c.Acked(now(i), list[0].ID)
		b.drain(c)
		centre.tell(t, c, i)
		c.LinkDown(now(i))
	}
	for _, r := range c.TakeReports() {
		t.Fatalf("%+v", r)
	}
	if c.bound.bytes != 0 {
		t.Fatalf("frames of at most %d bytes", c.bound.bytes)
	}
}

// A broker that acknowledges a frame beyond its limit and drops it gets smaller ones soon: no lane goes round in a loop.
func TestFramesThatABrokerDropsForTheirSizeAreMadeSmaller(t *testing.T) {
	for _, limit := range []int{1100, 4000} {
		b, c, centre := newBook(), started(Settings{}), far{}
		for range 400 {
			b.add(event.LaneMain, strings.Repeat("m", 100))
		}
		dropped := 0
		for at := 1; c.Stored()[event.LaneMain] < 400; at++ {
			if at > 300 {
				t.Fatalf("limit %d: stored %v after %d s, %d frames dropped", limit, c.Stored(), at, dropped)
			}
			c.Tick(now(at))
			for _, s := range b.drainAt(c, now(at)) {
				size := 0
				for _, it := range items(s.Frame.Events) {
					size += it.Size
				}
				if c.Acked(now(at), s.ID); size > limit {
					dropped++
				} else {
					centre.hear(s)
				}
			}
			centre.tell(t, c, at)
		}
		if dropped > 120 {
			t.Errorf("limit %d: %d frames dropped", limit, dropped)
		}
		t.Logf("limit %d: %d frames dropped", limit, dropped)
	}
}

// A broker that took alarms ill for hours has them again within a minute of being well: no wait of theirs grows.
func TestAlarmsAreNotSetAsideForLong(t *testing.T) {
	b := newBook()
	b.add(event.LaneAlarm, "a")
	s := &strict{limit: 0, core: NewCore(Settings{}, epoch(), nil), book: b, clock: now(0)}
	for range 6 * 60 {
		s.clock = s.clock.Add(time.Minute)
		s.link(t)
	}
	if s.losses < 300 {
		t.Fatalf("an alarm was tried %d times in six hours", s.losses)
	}
	s.limit = 1 << 10
	s.clock = s.clock.Add(asideFirst)
	s.until(t, 1)
	if s.core.Stored()[event.LaneAlarm] != 1 {
		t.Fatalf("stored %v", s.core.Stored())
	}
}

// A centre that is away, or a line that breaks, with a few small events under way says nothing of what the broker takes: the
// backlog that follows goes out in whole frames.
func TestSmallFramesAreNotSuspectedForTheirSize(t *testing.T) {
	for _, lines := range []bool{false, true} {
		b, c := tens(4), started(Settings{})
		for at := range 10 {
			for _, s := range b.drainAt(c, now(60*at)) {
				if !lines {
					c.Acked(now(60*at), s.ID)
				}
			}
			if lines {
				c.LinkDown(now(60*at + 1))
				c.LinkUp(now(60*at + 2))
				quick(c)
			}
			c.Tick(now(60*at + 40))
		}
		if n := c.bound.bytes; n != 0 && n < leastBound {
			t.Errorf("links that break %v: frames of at most %d bytes", lines, n)
		}
	}
}
