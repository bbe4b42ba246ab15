//lint:pure

package outbox

import (
	"fmt"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// MaxWindow is the most messages that may be under way to one broker.
const MaxWindow = 256

// readAhead is how many events of a lane are asked of the log at once.
const readAhead = 256

// mostRate is the largest BacklogRate that means something, in bytes a second.
const mostRate = 1 << 27

// mostQueued is how many messages of one lane may be beyond its receipt: brokers queue about a thousand for the centre
// (Mosquitto 1000, NATS 1024) and drop what is more.
const mostQueued = 960

// Settings shape how fast and how carefully an outbox sends. The zero value of a field is its default.
type Settings struct {
	// Lanes is what the centre is sent; nil = all lanes.
	Lanes []event.Lane
	// Window is how many messages may wait for their PUBACK: default 64, at most MaxWindow. An eighth of it is kept
	// free for the alarm lane.
	Window int
	// Ahead is how many events of one lane may be sent beyond the receipt: default 2048.
	Ahead int
	// BacklogRate is how many bytes of backlog may be sent a second; 0 = as many as the line takes without holding up an
	// alarm, which always bounds it.
	BacklogRate int
	// FrameEvents and FrameBytes bound a frame of the backlog: default 64 events and 64 KiB of records.
	FrameEvents int
	FrameBytes  int
	// StallAfter is how long acknowledged events may wait for their receipt before they are sent again: default 30 s.
	StallAfter time.Duration
}

func (s Settings) withDefaults() Settings {
	numbers := []struct {
		field             *int
		standard, largest int
	}{
		{&s.Window, 64, MaxWindow}, {&s.Ahead, 2048, 1 << 20},
		{&s.FrameEvents, 64, topic.MaxFrameEvents}, {&s.FrameBytes, 64 << 10, topic.MaxPayload / 2},
	}
	for _, n := range numbers {
		if *n.field <= 0 {
			*n.field = n.standard
		}
		*n.field = min(*n.field, n.largest)
	}
	s.BacklogRate = min(max(s.BacklogRate, 0), mostRate)
	if s.StallAfter <= 0 {
		s.StallAfter = 30 * time.Second
	}
	if s.Lanes == nil {
		all := event.Lanes()
		s.Lanes = all[:]
	}
	return s
}

// Item is an event and the size of its record in bytes.
type Item struct {
	Event event.Event
	Size  int
}

// Send is a frame to publish. Acked is called with its ID when the broker has acknowledged it.
type Send struct {
	ID    uint64
	Frame topic.Frame
}

// Cursor is a receipt to be made durable.
type Cursor struct {
	Lane event.Lane
	Upto uint64
}

// ReportKind says what a Report is about.
type ReportKind uint8

// The kinds of reports.
const (
	ReportStalled         ReportKind = iota + 1 // the broker acknowledged events, but the centre's receipt did not come
	ReportResumed                               // receipts come again
	ReportRefused                               // a receipt was not believed
	ReportCursor                                // a receipt could not be made durable
	ReportUnread                                // the log could not read the lane
	ReportAskedAgain                            // the centre has less than it gave a receipt for, and is sent it again
	ReportGap                                   // frames did not reach the centre, and are sent again
	ReportRefusedByBroker                       // links end whenever one event is sent: its lane waits
)

// Report is something about one lane that a person should know. A stall or refusal that goes on is reported at its first,
// second, fourth, eighth … time.
type Report struct {
	Kind  ReportKind
	Lane  event.Lane
	From  uint64 // stalled: the first seq without a receipt; else the first seq concerned, 0 = none
	Upto  uint64 // stalled: the last seq that the broker acknowledged; refused: what the receipt claimed
	Count int    // how often it happened since it last was well; gaps: since the start
	Text  string // for people, with a remedy
}

// span is one frame that is sent and not receipted.
type span struct {
	id          uint64
	first, last uint64
	count       int
	size        int // bytes of its records
	acked       bool
}

// lane is the chain of one lane to one centre.
type lane struct {
	name    event.Lane
	on      bool   // the centre is sent this lane
	receipt uint64 // stored at the centre
	saved   uint64 // handed out by TakeCursors
	sent    uint64 // the last seq sent since the last rewind: prev of the next frame
	ever    uint64 // the last seq that the centre may ever have been sent

	pending []Item // read from the log and not sent, all beyond sent
	more    bool   // the log may hold more than pending
	live    bool   // the backlog was drained: what comes now comes as it happens
	probing bool   // stalled: one event at a time until a receipt comes

	spans []span    // in order of sending
	ahead int       // events in spans
	quiet time.Time // since when acknowledged events wait for a receipt; zero = none wait

	word  uint64    // what the centre last said, if below is set
	below bool      // its last word is less than its receipt
	blind time.Time // since when the lane cannot be read; zero = it can

	asked   uint64    // the receipt from which the centre asked for what follows, plus one; 0 = it did not
	askedAt time.Time // when it was sent that again

	suspicion suspicion
	narrow    narrow

	stalls, refusals, unread, gaps int
}

// Core decides what one centre is sent next. It is pure: time comes in with each call, and what to publish, to save and
// to report is asked of it. It is not safe for concurrent use.
type Core struct {
	settings Settings
	epoch    event.Epoch
	lanes    [4]lane
	up       bool
	lastID   uint64
	flight   map[uint64]flown // published on this link, not acknowledged
	pace     pace
	bound    frameBound
	reports  []Report
}

// flown is a frame under way to the broker.
type flown struct {
	lane   event.Lane
	at     time.Time
	bytes  int  // on the wire, as far as is known
	charge bool // counts against Settings.BacklogRate
}

// Resume is where one lane stood when the agent started.
type Resume struct {
	Receipt uint64 // the durable cursor
	Head    uint64 // the last seq in the log that an earlier run may have sent; 0 = not known
}

// NewCore is the outbox of a log's epoch, resuming at the durable receipts.
func NewCore(s Settings, epoch event.Epoch, at map[event.Lane]Resume) *Core {
	c := &Core{settings: s.withDefaults(), epoch: epoch, flight: map[uint64]flown{}}
	for i, name := range event.Lanes() {
		r := at[name]
		c.lanes[i] = lane{name: name, receipt: r.Receipt, saved: r.Receipt, ever: max(r.Receipt, r.Head)}
	}
	for _, name := range c.settings.Lanes {
		if l := c.lane(name); l != nil {
			l.on = true
		}
	}
	return c
}

func (c *Core) lane(name event.Lane) *lane {
	for i := range c.lanes {
		if c.lanes[i].name == name {
			return &c.lanes[i]
		}
	}
	return nil
}

// LinkUp begins a link: every lane resumes after its receipt, and the line is measured afresh.
func (c *Core) LinkUp(now time.Time) {
	c.up = true
	clear(c.flight)
	c.pace.begin(now, c.settings.BacklogRate)
	for i := range c.lanes {
		c.lanes[i].rewind()
		c.lanes[i].probing, c.lanes[i].asked = false, 0
	}
}

// LinkDown ends a link: what is not acknowledged is forgotten, not lost.
func (c *Core) LinkDown(now time.Time) {
	if !c.up {
		return
	}
	c.up, c.pace.resume = false, time.Time{}
	clear(c.flight)
	for i := range c.lanes {
		c.suspect(now, &c.lanes[i])
		c.lanes[i].rewind()
	}
}

func (l *lane) rewind() {
	l.sent, l.pending, l.more, l.live = l.receipt, nil, true, false
	l.spans, l.ahead, l.quiet = nil, 0, time.Time{}
	l.below, l.blind = false, time.Time{}
}

// Woken says that the log has grown.
func (c *Core) Woken() {
	for i := range c.lanes {
		c.lanes[i].more = true
	}
}

// Want asks for events: up to n of a lane after a seq. The answer goes to Offer.
func (c *Core) Want() (name event.Lane, after uint64, n int, ok bool) {
	for i := range c.lanes {
		if l := &c.lanes[i]; l.more && len(l.pending) == 0 && c.open(l) {
			return l.name, l.sent, readAhead, true
		}
	}
	return 0, 0, 0, false
}

// open says whether the lane may send now, if it has something.
func (c *Core) open(l *lane) bool {
	limit := c.settings.Window
	if l.name != event.LaneAlarm {
		limit -= (limit + 7) / 8
		limit = max(limit, 1)
	}
	if c.careful() {
		limit = 1
	}
	return c.up && l.on && l.suspicion.until.IsZero() && len(c.flight) < limit &&
		l.ahead < c.settings.Ahead && len(l.spans) < mostQueued && l.narrow.allows(len(l.spans)) && !(l.probing && len(l.spans) > 0)
}

// Offer answers Want(name, after, n) with what the log holds; fewer than n events mean that it holds no more. An answer to
// a question from before a rewind is dropped.
func (c *Core) Offer(name event.Lane, after uint64, items []Item, n int) {
	l := c.lane(name)
	if after > l.sent || len(l.pending) > 0 {
		return
	}
	l.more, l.unread, l.blind = len(items) >= n, 0, time.Time{}
	for _, it := range items {
		if it.Event.Seq > l.sent {
			l.pending = append(l.pending, it)
		}
	}
	switch {
	case len(l.pending) == 0 && !l.more:
		l.live = true
	case len(l.pending) > c.settings.FrameEvents:
		l.live = false
	}
}

// Unread answers Want when the log could not be read. The lane is asked for again when the log has grown, on a new link or
// after StallAfter, and holds back no other meanwhile.
func (c *Core) Unread(now time.Time, name event.Lane, why error) {
	l := c.lane(name)
	l.more, l.blind = false, now
	if l.unread++; powerOfTwo(l.unread) {
		c.reports = append(c.reports, Report{Kind: ReportUnread, Lane: l.name, From: l.sent + 1, Count: l.unread,
			Text: fmt.Sprintf("%v: check the disk; the other lanes are sent all the same", why)})
	}
}

// Next is the frame to publish now, if there is one: of the alarm lane; else of a lane whose events are sent as they happen;
// else of the backlog, as the line allows. Answer Want before, or a lane that waits for its events holds back those behind it.
func (c *Core) Next(now time.Time) (Send, bool) {
	c.pace.resume = time.Time{}
	for i := range c.lanes {
		l := &c.lanes[i]
		if (l.name != event.LaneAlarm && !l.live) || !c.open(l) {
			continue
		}
		if len(l.pending) > 0 {
			return c.cut(now, l, c.settings.FrameBytes), true
		}
		if l.more {
			return Send{}, false
		}
	}
	for i := range c.lanes {
		l := &c.lanes[i]
		if l.name == event.LaneAlarm || l.live || !c.open(l) {
			continue
		}
		if len(l.pending) > 0 {
			room := c.pace.room(now, c.settings.FrameBytes)
			if room == 0 {
				return Send{}, false
			}
			return c.cut(now, l, room), true
		}
		if l.more {
			return Send{}, false
		}
	}
	return Send{}, false
}

// cut takes the next frame off a lane's pending events: one event if it is live or a probe, else as many as fit into so many
// bytes of records.
func (c *Core) cut(now time.Time, l *lane, bytes int) Send {
	s := span{id: c.lastID + 1, first: l.pending[0].Event.Seq, count: 1, size: l.pending[0].Size}
	if !l.live && !l.probing {
		bytes = c.bound.of(now, bytes)
		most := min(len(l.pending), c.settings.FrameEvents, c.settings.Ahead-l.ahead)
		for s.count < most && s.size+l.pending[s.count].Size <= bytes {
			s.size += l.pending[s.count].Size
			s.count++
		}
	}
	f := topic.Frame{Epoch: c.epoch, Lane: l.name, Prev: l.sent, Historical: !l.live, Events: make([]event.Event, s.count)}
	for i, it := range l.pending[:s.count] {
		f.Events[i] = it.Event
	}
	if l.pending = l.pending[s.count:]; len(l.pending) == 0 {
		l.pending = nil
		l.live = l.live || !l.more
	}
	s.last = f.Last()
	l.sent = s.last
	l.ever = max(l.ever, l.sent)
	l.ahead += s.count
	l.spans = append(l.spans, s)
	c.lastID = s.id
	fly := flown{lane: l.name, at: now, charge: f.Historical && l.name != event.LaneAlarm}
	c.flight[s.id] = c.pace.sent(fly, c.pace.packed(s.size))
	return Send{ID: s.id, Frame: f}
}

// Packed says how many bytes the payload of a frame that Next gave out has; without it, that is guessed from its records.
func (c *Core) Packed(id uint64, bytes int) {
	fly, ok := c.flight[id]
	if !ok {
		return
	}
	l := c.lane(fly.lane)
	if n := len(l.spans); n > 0 && l.spans[n-1].id == id {
		c.pace.learn(l.spans[n-1].size, bytes)
	}
	c.flight[id] = c.pace.sent(fly, bytes)
}

// Acked says that the broker took a frame. An id of an older link, or one told twice, changes nothing.
func (c *Core) Acked(now time.Time, id uint64) {
	fly, ok := c.flight[id]
	if !ok {
		return
	}
	delete(c.flight, id)
	c.pace.acked(now, id, c.lastID, fly)
	l := c.lane(fly.lane)
	for i := range l.spans {
		if l.spans[i].id == id {
			l.spans[i].acked = true
			c.absolve(l, l.spans[i].last)
			break
		}
	}
	if l.quiet.IsZero() && l.waiting() {
		l.quiet = now
	}
}

// TakeCursors hands out the receipts that moved since the last call.
func (c *Core) TakeCursors() []Cursor {
	var moved []Cursor
	for i := range c.lanes {
		if l := &c.lanes[i]; l.receipt > l.saved {
			l.saved = l.receipt
			moved = append(moved, Cursor{Lane: l.name, Upto: l.receipt})
		}
	}
	return moved
}

// TakeReports hands out what a person should know.
func (c *Core) TakeReports() []Report {
	r := c.reports
	c.reports = nil
	return r
}

// Stored is the receipt of each lane that the centre is sent.
func (c *Core) Stored() map[event.Lane]uint64 {
	m := make(map[event.Lane]uint64, len(c.lanes))
	for _, l := range c.lanes {
		if l.on {
			m[l.name] = l.receipt
		}
	}
	return m
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }
