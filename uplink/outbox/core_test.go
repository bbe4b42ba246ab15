package outbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

const stationID = "cs-baishi-caoping"

func epoch() event.Epoch { return event.Epoch{1, 2, 3, 4, 5, 6, 7, 8} }

// book is a log in memory: one line of seqs over four lanes.
type book struct {
	seq   uint64
	lanes map[event.Lane][]event.Event
}

func newBook() *book { return &book{lanes: map[event.Lane][]event.Event{}} }

func (b *book) add(lane event.Lane, text string) event.Event {
	b.seq++
	d := event.Draft{
		At: time.Unix(1_800_000_000, int64(b.seq)), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew,
		Source: "line/door", Severity: event.SeverityNotice, Body: event.NewBody(event.Text(event.TagText, text)),
	}
	e := d.Event(stationID, epoch(), b.seq)
	e.Lane = lane
	b.lanes[lane] = append(b.lanes[lane], e)
	return e
}

func (b *book) read(lane event.Lane, after uint64, n int) []event.Event {
	all := b.lanes[lane]
	i, _ := slices.BinarySearchFunc(all, after+1, func(e event.Event, seq uint64) int { return int(int64(e.Seq) - int64(seq)) })
	return slices.Clone(all[i:min(len(all), i+n)])
}

func (b *book) head(lane event.Lane) uint64 {
	if all := b.lanes[lane]; len(all) > 0 {
		return all[len(all)-1].Seq
	}
	return 0
}

func items(events []event.Event) []Item {
	list := make([]Item, len(events))
	for i, e := range events {
		record, err := event.AppendRecord(nil, e)
		if err != nil {
			panic(err)
		}
		list[i] = Item{Event: e, Size: len(record)}
	}
	return list
}

// feed answers what the core wants from the book.
func (b *book) feed(c *Core) {
	for {
		lane, after, n, ok := c.Want()
		if !ok {
			return
		}
		c.Offer(lane, after, items(b.read(lane, after, n)), n)
	}
}

// next feeds the core and takes one frame.
func (b *book) next(c *Core, at time.Time) (Send, bool) {
	b.feed(c)
	return c.Next(at)
}

// quick is a line so fast that nothing needs to be held back.
func quick(c *Core) {
	c.pace.window, c.pace.idle, c.pace.idleAt = mostWindow, time.Millisecond, now(0)
}

// drain takes every frame that the core would send on a fixed day.
func (b *book) drain(c *Core) []Send { return b.drainAt(c, now(0)) }

func (b *book) drainAt(c *Core, at time.Time) []Send {
	var list []Send
	for s, ok := b.next(c, at); ok; s, ok = b.next(c, at) {
		list = append(list, s)
	}
	return list
}

func receipt(lane event.Lane, upto uint64) topic.Receipt {
	return topic.Receipt{Station: stationID, Epoch: epoch(), Lane: lane, Upto: upto}
}

func show(list []Send) string {
	var parts []string
	for _, s := range list {
		history := ""
		if s.Frame.Historical {
			history = "h"
		}
		parts = append(parts, fmt.Sprintf("%s:%d<%d-%d%s", s.Frame.Lane, s.Frame.Prev, s.Frame.Events[0].Seq, s.Frame.Last(), history))
	}
	return strings.Join(parts, " ")
}

func expect(t *testing.T, got []Send, want string) {
	t.Helper()
	if show(got) != want {
		t.Fatalf("got  %s\nwant %s", show(got), want)
	}
}

// now counts seconds from a fixed day.
func now(s int) time.Time { return time.Unix(1_800_000_000+int64(s), 0) }

func TestAlarmsGoFirstAndABacklogInBatches(t *testing.T) {
	b := newBook()
	for i := range 100 {
		b.add(event.LaneTrace, "t")
		if i < 3 {
			b.add(event.LaneMain, "m")
		}
	}
	b.add(event.LaneAlarm, "a")
	b.add(event.LaneAlarm, "a")
	c := NewCore(Settings{}, epoch(), nil)
	expect(t, b.drain(c), "") // no link yet
	c.LinkUp(now(0))
	quick(c)
	expect(t, b.drain(c), "alarm:0<104-105h main:0<2-6h trace:0<1-67h trace:67<68-103h")
	b.add(event.LaneMain, "live")
	expect(t, b.drain(c), "") // nobody said that the log grew
	c.Woken()
	expect(t, b.drain(c), "main:6<106-106")
	b.add(event.LaneTrace, "live")
	b.add(event.LaneAlarm, "live")
	b.add(event.LaneAlarm, "live")
	c.Woken()
	expect(t, b.drain(c), "alarm:105<108-108 alarm:108<109-109 trace:103<107-107")
}

// A lane whose events were not read yet holds back those behind it.
func TestAnUnreadAlarmIsNotOvertaken(t *testing.T) {
	b := newBook()
	b.add(event.LaneMain, "m")
	b.add(event.LaneMain, "m")
	c := NewCore(Settings{FrameEvents: 1}, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	if s, ok := b.next(c, now(0)); !ok || s.Frame.Lane != event.LaneMain {
		t.Fatalf("%+v", s)
	}
	b.add(event.LaneAlarm, "a")
	c.Woken()
	if s, ok := c.Next(now(0)); ok {
		t.Fatalf("before the alarm lane was read: %s", show([]Send{s}))
	}
	expect(t, b.drain(c), "alarm:0<3-3 main:1<2-2h")
}

func TestFramesAreBoundedByBytes(t *testing.T) {
	b := newBook()
	for range 10 {
		b.add(event.LaneMain, strings.Repeat("x", 900))
	}
	c := NewCore(Settings{FrameBytes: 3000, FrameEvents: 5}, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	expect(t, b.drain(c), "main:0<1-3h main:3<4-6h main:6<7-9h main:9<10-10h")
	b = newBook()
	b.add(event.LaneMain, strings.Repeat("x", 9000))
	c = NewCore(Settings{FrameBytes: 3000}, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	expect(t, b.drain(c), "main:0<1-1h") // larger than the bound alone: it goes alone
}

func TestTheWindowKeepsRoomForAlarms(t *testing.T) {
	b := newBook()
	for range 100 {
		b.add(event.LaneMain, "m")
	}
	c := NewCore(Settings{Window: 8, FrameEvents: 2}, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	sent := b.drain(c)
	if len(sent) != 7 {
		t.Fatalf("%d frames of the main lane in a window of 8", len(sent))
	}
	b.add(event.LaneAlarm, "a")
	b.add(event.LaneAlarm, "a")
	c.Woken()
	expect(t, b.drain(c), "alarm:0<101-101")
	c.Acked(now(0), sent[3].ID) // acknowledged out of order: room is room
	c.Acked(now(0), sent[3].ID) // and only once
	c.Acked(now(0), 99999)
	expect(t, b.drain(c), "alarm:101<102-102")
	c.Acked(now(0), sent[0].ID)
	expect(t, b.drain(c), "")
	c.Acked(now(0), sent[1].ID)
	expect(t, b.drain(c), "main:14<15-16h")
}

func TestOnlyAReceiptMovesTheCursor(t *testing.T) {
	b := newBook()
	for range 6 {
		b.add(event.LaneMain, "m")
	}
	c := NewCore(Settings{FrameEvents: 2}, epoch(), map[event.Lane]Resume{event.LaneMain: {Receipt: 1}})
	c.LinkUp(now(0))
	quick(c)
	sent := b.drain(c)
	expect(t, sent, "main:1<2-3h main:3<4-5h main:5<6-6h")
	for _, s := range sent {
		c.Acked(now(0), s.ID)
	}
	if got := c.TakeCursors(); got != nil {
		t.Fatalf("acknowledgements moved the cursor: %v", got)
	}
	if err := c.Receipt(now(1), receipt(event.LaneMain, 4)); err != nil { // in the middle of a frame
		t.Fatal(err)
	}
	if err := c.Receipt(now(1), receipt(event.LaneMain, 3)); err != nil { // an old one, late
		t.Fatal(err)
	}
	if got := c.TakeCursors(); len(got) != 1 || got[0] != (Cursor{event.LaneMain, 4}) || c.TakeCursors() != nil {
		t.Fatalf("cursors %v", got)
	}
	c.LinkDown(now(0))
	expect(t, b.drain(c), "")
	c.LinkUp(now(0))
	quick(c)
	expect(t, b.drain(c), "main:4<5-6h")
	if got := c.Stored()[event.LaneMain]; got != 4 {
		t.Fatalf("stored %d", got)
	}
}

func TestReceiptsThatCannotBeTrue(t *testing.T) {
	b := newBook()
	for range 3 {
		b.add(event.LaneMain, "m")
	}
	c := NewCore(Settings{Lanes: []event.Lane{event.LaneAlarm, event.LaneMain}}, epoch(), map[event.Lane]Resume{event.LaneMain: {Head: 2}})
	c.LinkUp(now(0))
	quick(c)
	other := receipt(event.LaneMain, 1)
	other.Epoch = event.Epoch{9}
	for want, r := range map[string]topic.Receipt{
		"another life of this log": other, "nothing beyond 2": receipt(event.LaneMain, 3), "is not sent": receipt(event.LaneTrace, 1),
		"no lane": receipt(event.Lane(9), 1),
	} {
		if err := c.Receipt(now(0), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := c.Receipt(now(0), receipt(event.LaneMain, 2)); err != nil { // an earlier run sent it
		t.Errorf("for what an earlier run sent: %v", err)
	}
	expect(t, b.drain(c), "main:2<3-3h")
	reports := c.TakeReports()
	if len(reports) != 3 || reports[0].Kind != ReportRefused || c.TakeReports() != nil {
		t.Fatalf("reports %+v", reports)
	}
	if _, ok := c.Stored()[event.LaneTrace]; ok {
		t.Fatal("a lane that is not sent has a receipt")
	}
}

func TestARefusalThatGoesOnIsReportedLessAndLess(t *testing.T) {
	c := NewCore(Settings{}, epoch(), nil)
	for range 100 {
		if err := c.Receipt(now(0), receipt(event.LaneMain, 5)); err == nil {
			t.Fatal("believed")
		}
	}
	var counts []int
	for _, r := range c.TakeReports() {
		counts = append(counts, r.Count)
	}
	if !slices.Equal(counts, []int{1, 2, 4, 8, 16, 32, 64}) {
		t.Fatalf("reported at %v", counts)
	}
}

// A broker that acknowledges and drops shows as a missing receipt: the lane is sent again, one event at a time so that it
// costs little, and goes back to full speed with the first receipt.
func TestAStalledLaneIsSentAgain(t *testing.T) {
	b := newBook()
	for range 200 {
		b.add(event.LaneMain, "m")
	}
	c := NewCore(Settings{}, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	sent := b.drain(c)
	for _, s := range sent[:3] {
		c.Acked(now(0), s.ID)
	}
	if d := c.Deadline(); !d.Equal(now(30)) {
		t.Fatalf("deadline %s", d)
	}
	c.Tick(now(29))
	expect(t, b.drain(c), "")
	c.Tick(now(30))
	reports := c.TakeReports()
	if len(reports) != 1 || reports[0].Kind != ReportStalled || reports[0].From != 1 || reports[0].Upto != 192 {
		t.Fatalf("reports %+v", reports)
	}
	again := b.drain(c)
	expect(t, again, "main:0<1-1h")
	c.Acked(now(31), sent[3].ID) // of the sending that was given up
	if d := c.Deadline(); !d.IsZero() {
		t.Fatalf("an old acknowledgement counts: %s", d)
	}
	for i := range 7 {
		c.Acked(now(40+30*i), again[0].ID)
		c.Tick(now(70 + 30*i))
		again = b.drain(c)
		expect(t, again, "main:0<1-1h")
	}
	if reports = c.TakeReports(); len(reports) != 3 {
		t.Fatalf("%d reports of eight stalls, want those at 2, 4 and 8", len(reports))
	}
	if err := c.Receipt(now(400), receipt(event.LaneMain, 1)); err != nil {
		t.Fatal(err)
	}
	c.pace.begin(now(400), 0)
	quick(c)
	smaller := b.drain(c)
	expect(t, smaller[:1], "main:1<2-36h") // it may have been the size
	if reports = c.TakeReports(); len(reports) != 1 || reports[0].Kind != ReportResumed {
		t.Fatalf("reports %+v", reports)
	}
}

func TestALaneDoesNotRunAwayFromItsReceipt(t *testing.T) {
	b := newBook()
	for range 50 {
		b.add(event.LaneTrace, "t")
	}
	c := NewCore(Settings{Ahead: 20, FrameEvents: 8}, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	sent := b.drain(c)
	expect(t, sent, "trace:0<1-8h trace:8<9-16h trace:16<17-20h")
	for _, s := range sent {
		c.Acked(now(0), s.ID)
	}
	expect(t, b.drain(c), "")
	b.add(event.LaneAlarm, "a")
	c.Woken()
	expect(t, b.drain(c), "alarm:0<51-51") // another lane goes on
	if err := c.Receipt(now(1), receipt(event.LaneTrace, 16)); err != nil {
		t.Fatal(err)
	}
	if d := c.Deadline(); !d.Equal(now(31)) {
		t.Fatalf("progress begins a new wait: %s", d)
	}
	expect(t, b.drain(c), "trace:20<21-28h trace:28<29-36h")
}

// What was evicted or filtered out leaves no false gap: prev is the seq that the centre has, not the one before.
func TestAnEvictedRangeLeavesNoGap(t *testing.T) {
	b := newBook()
	for range 10 {
		b.add(event.LaneTrace, "t")
	}
	b.lanes[event.LaneTrace] = b.lanes[event.LaneTrace][6:]
	c := NewCore(Settings{}, epoch(), map[event.Lane]Resume{event.LaneTrace: {Receipt: 2}})
	c.LinkUp(now(0))
	quick(c)
	expect(t, b.drain(c), "trace:2<7-10h")
}

// An answer from before a rewind must not be taken for one after it: that would be a hole.
func TestAStaleAnswerIsDropped(t *testing.T) {
	b := newBook()
	for range 3 {
		b.add(event.LaneMain, "m")
	}
	c := NewCore(Settings{}, epoch(), nil)
	c.LinkUp(now(0))
	quick(c)
	b.drain(c)
	b.add(event.LaneMain, "m")
	c.Woken()
	lane, after, n, ok := c.Want()
	for ; lane != event.LaneMain; lane, after, n, ok = c.Want() {
		c.Offer(lane, after, nil, n)
	}
	if !ok || after != 3 {
		t.Fatalf("wants after %d", after)
	}
	c.LinkDown(now(0))
	c.LinkUp(now(0))
	quick(c)
	c.Offer(lane, after, items(b.read(lane, after, n)), n)
	expect(t, b.drain(c), "main:0<1-4h")
	if _, _, _, ok := c.Want(); ok {
		t.Fatal("wants more of an empty log")
	}
}

func TestSettingsAreBounded(t *testing.T) {
	s := Settings{Window: 10_000, FrameEvents: 10_000, FrameBytes: 1 << 30, BacklogRate: 1 << 30}.withDefaults()
	if s.Window != MaxWindow || s.FrameEvents != topic.MaxFrameEvents || s.FrameBytes > topic.MaxPayload || len(s.Lanes) != 4 || s.BacklogRate != mostRate || s.StallAfter != 30*time.Second {
		t.Fatalf("%+v", s)
	}
}

func BenchmarkCore(b *testing.B) {
	bk := newBook()
	for range 4096 {
		bk.add(event.LaneMain, "m")
	}
	all := items(bk.lanes[event.LaneMain])
	for b.Loop() {
		c := NewCore(Settings{Ahead: 1 << 20}, epoch(), nil)
		c.LinkUp(now(0))
		quick(c)
		for n := 0; n < len(all); {
			for lane, after, most, ok := c.Want(); ok; lane, after, most, ok = c.Want() {
				if lane != event.LaneMain {
					c.Offer(lane, after, nil, most)
					continue
				}
				c.Offer(lane, after, all[after:min(len(all), int(after)+most)], most)
			}
			s, ok := c.Next(now(0))
			if !ok {
				b.Fatal("stuck")
			}
			c.Acked(now(0), s.ID)
			n += len(s.Frame.Events)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(all)), "ns/event")
}
