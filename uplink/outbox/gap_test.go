package outbox

import (
	"strings"
	"testing"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// far is a centre at the end of a line that a test works by hand: what it says is in the order of what it heard.
type far struct {
	heads map[event.Lane]uint64
	says  []topic.Receipt
}

func (f *far) hear(list ...Send) {
	if f.heads == nil {
		f.heads = map[event.Lane]uint64{}
	}
	for _, s := range list {
		v, _ := topic.Accept(f.heads[s.Frame.Lane], s.Frame)
		if v == topic.VerdictStore {
			f.heads[s.Frame.Lane] = s.Frame.Last()
		}
		r := receipt(s.Frame.Lane, f.heads[s.Frame.Lane])
		r.Again = v == topic.VerdictGap
		f.says = append(f.says, r)
	}
}

// tell hands what the centre says over, and answers how often it asked again.
func (f *far) tell(t *testing.T, c *Core, at int) (asked int) {
	t.Helper()
	for _, r := range f.says {
		if err := c.Receipt(now(at), r); err != nil {
			t.Fatal(err)
		}
		if r.Again {
			asked++
		}
	}
	f.says = nil
	return asked
}

func tens(n int) *book {
	b := newBook()
	for range n {
		b.add(event.LaneMain, "m")
	}
	return b
}

func started(s Settings) *Core {
	c := NewCore(s, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	return c
}

// One frame is lost, and every frame behind it makes the centre ask: it is sent again once, at once, and no wait for a stall.
func TestABurstOfQuestionsIsAnsweredOnce(t *testing.T) {
	b, c, centre := tens(100), started(Settings{FrameEvents: 10}), far{}
	first := b.drain(c)
	centre.hear(first[0])
	centre.hear(first[2:]...) // first[1] is lost
	half := centre.says[5:]
	centre.says = centre.says[:5]
	if asked := centre.tell(t, c, 1); asked != 4 {
		t.Fatalf("asked %d times", asked)
	}
	again := b.drain(c)
	expect(t, again[:1], "main:10<11-20h")
	if len(again) != 4 { // half of the nine that the broker may have had no room for
		t.Fatalf("%d frames sent again: %s", len(again), show(again))
	}
	for _, s := range again {
		c.Acked(now(1), s.ID) // the broker has them while the rest of the questions is still on its way
	}
	centre.says = half
	if asked := centre.tell(t, c, 2); asked != 4 {
		t.Fatalf("asked %d times more", asked)
	}
	expect(t, b.drain(c), "")
	for centre.hear(again...); centre.tell(t, c, 3) == 0 && len(again) > 0; centre.hear(again...) {
		again = b.drain(c)
	}
	if c.Stored()[event.LaneMain] != 100 || !c.Deadline().IsZero() {
		t.Fatalf("stored %v", c.Stored())
	}
	reports := c.TakeReports()
	if len(reports) != 1 || reports[0].Kind != ReportGap || reports[0].From != 11 || reports[0].Upto != 100 || !strings.Contains(reports[0].Text, "sent again") {
		t.Fatalf("reports %+v", reports)
	}
}

// Each gap is another one; one that stays open is asked for once per StallAfter.
func TestEachGapIsHeeded(t *testing.T) {
	b, c, centre := tens(100), started(Settings{FrameEvents: 10}), far{}
	sendings := 0
	for lost := range 5 { // the next frame each time
		list := b.drain(c)
		sendings++
		centre.hear(list[0])
		centre.hear(list[2:]...)
		if centre.tell(t, c, lost) == 0 {
			t.Fatal("no question")
		}
	}
	list := b.drain(c)
	centre.hear(list[1:]...)
	centre.tell(t, c, 6)
	if got := b.drain(c); sendings != 5 || len(got) != 0 {
		t.Fatalf("the same gap was heeded again at once: %s", show(got))
	}
	centre.hear(list[1:]...)
	centre.tell(t, c, 36)
	for i := range 3 { // less at a time
		centre.hear(b.drain(c)...)
		centre.tell(t, c, 37+i)
	}
	if c.Stored()[event.LaneMain] != 100 {
		t.Fatalf("stored %v", c.Stored())
	}
}

// A restored centre asks from where it stands now: it is heeded at once, told once, and the durable cursor stays. An old
// question that comes late costs one event.
func TestARestoredCentreAsks(t *testing.T) {
	b, c, centre := tens(100), started(Settings{FrameEvents: 10}), far{}
	list := b.drain(c)
	centre.hear(list...)
	centre.tell(t, c, 1)
	for _, s := range list {
		c.Acked(now(1), s.ID)
	}
	if got := c.TakeCursors(); len(got) != 1 || got[0].Upto != 100 {
		t.Fatalf("cursors %v", got)
	}
	centre.heads[event.LaneMain] = 40
	for range 3 {
		b.add(event.LaneMain, "live")
	}
	c.Woken()
	centre.hear(b.drain(c)...)
	if asked := centre.tell(t, c, 2); asked != 3 {
		t.Fatalf("asked %d times", asked)
	}
	probe := b.drain(c)
	expect(t, probe, "main:40<41-41h")
	centre.hear(probe...)
	centre.tell(t, c, 3)
	centre.hear(b.drain(c)...)
	centre.tell(t, c, 4)
	if c.Stored()[event.LaneMain] != 103 {
		t.Fatalf("stored %v", c.Stored())
	}
	if got := c.TakeCursors(); len(got) != 1 || got[0].Upto != 103 {
		t.Fatalf("cursors %v", got)
	}
	reports := c.TakeReports()
	if len(reports) != 1 || reports[0].Kind != ReportAskedAgain || reports[0].From != 41 || reports[0].Upto != 100 {
		t.Fatalf("reports %+v", reports)
	}
	late := receipt(event.LaneMain, 70)
	late.Again = true
	if err := c.Receipt(now(5), late); err != nil {
		t.Fatal(err)
	}
	probe = b.drain(c)
	expect(t, probe, "main:70<71-71h")
	centre.hear(probe...)
	centre.tell(t, c, 6)
	expect(t, b.drain(c), "")
	if c.Stored()[event.LaneMain] != 103 || c.TakeCursors() != nil {
		t.Fatalf("stored %v", c.Stored())
	}
}

// Old words without a question change nothing, and a question for what was not sent yet is answered by sending it.
func TestWordsThatAskForNothing(t *testing.T) {
	b, c, centre := tens(30), started(Settings{FrameEvents: 10}), far{}
	asks := receipt(event.LaneMain, 0)
	asks.Again = true
	if err := c.Receipt(now(0), asks); err != nil {
		t.Fatal(err)
	}
	list := b.drain(c)
	expect(t, list, "main:0<1-10h main:10<11-20h main:20<21-30h")
	centre.hear(list...)
	old := centre.says[0]
	centre.tell(t, c, 1)
	if err := c.Receipt(now(2), old); err != nil {
		t.Fatal(err)
	}
	expect(t, b.drain(c), "")
	if got := c.TakeReports(); got != nil {
		t.Fatalf("reports %+v", got)
	}
}

// What the log evicted while it was under way, or before it was read, leaves no gap for the centre to ask about.
func TestEvictionWhileSending(t *testing.T) {
	b, c, centre := tens(100), started(Settings{FrameEvents: 10, Ahead: 30}), far{}
	list := b.drain(c)
	centre.hear(list[0])
	centre.tell(t, c, 1)
	b.lanes[event.LaneMain] = b.lanes[event.LaneMain][60:] // 11 to 60 are gone; 11 to 30 are under way
	c.LinkDown(now(2))
	c.LinkUp(now(2))
	quick(c)
	centre.hear(list[1]) // arrived all the same
	again := b.drain(c)
	expect(t, again, "main:10<61-70h main:70<71-80h main:80<81-90h")
	centre.hear(again...)
	if asked := centre.tell(t, c, 3); asked != 0 {
		t.Fatal("the centre saw a gap")
	}
	centre.hear(b.drain(c)...)
	centre.tell(t, c, 4)
	if c.Stored()[event.LaneMain] != 100 {
		t.Fatalf("stored %v", c.Stored())
	}
}

// A lane that a centre is sent from now on is sent from its cursor, in one chain; one that it is sent no longer is silent.
func TestALaneSwitchedOn(t *testing.T) {
	b, centre := tens(20), far{}
	b.add(event.LaneAlarm, "a")
	only := Settings{Lanes: []event.Lane{event.LaneAlarm}, FrameEvents: 10}
	c := started(only)
	centre.hear(b.drain(c)...)
	centre.tell(t, c, 1)
	for _, resume := range []Resume{{}, {Receipt: 7, Head: 20}} { // it was never sent; it had been, once
		both := Settings{FrameEvents: 10}
		c = NewCore(both, epoch(), map[event.Lane]Resume{event.LaneAlarm: {Receipt: 21, Head: 21}, event.LaneMain: resume})
		c.LinkUp(now(2))
		quick(c)
		centre.heads[event.LaneMain] = resume.Receipt
		list := b.drain(c)
		if len(list) == 0 || list[0].Frame.Lane != event.LaneMain || list[0].Frame.Prev != resume.Receipt {
			t.Fatalf("sent %s", show(list))
		}
		centre.hear(list...)
		if centre.tell(t, c, 3) != 0 || c.Stored()[event.LaneMain] != 20 {
			t.Fatalf("stored %v", c.Stored())
		}
	}
}

// A broker that keeps few messages for its centre, and drops the others, is sent what it can keep: the lane gets through, with no
// wait for a stall, and finds out when there is room again.
func TestABrokerWithAShortQueueIsSentLess(t *testing.T) {
	for _, room := range []int{5, 12, 40} {
		b, c, centre := tens(4000), started(Settings{FrameEvents: 10}), far{}
		at := 1
		for ; c.Stored()[event.LaneMain] < 4000; at++ {
			if at > 400 {
				t.Fatalf("room for %d: stored %v after %d s", room, c.Stored(), at)
			}
			c.Tick(now(at))
			list := b.drainAt(c, now(at))
			for _, s := range list {
				c.Acked(now(at), s.ID)
			}
			centre.hear(list[:min(room, len(list))]...)
			centre.tell(t, c, at)
		}
		for _, r := range c.TakeReports() {
			if r.Kind != ReportGap {
				t.Errorf("room for %d: report %+v", room, r)
			}
		}
		t.Logf("room for %d: %d s", room, at)
	}
}
