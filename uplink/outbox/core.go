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

// Settings shape how fast and how carefully an outbox sends. The zero value of a field is its default.
type Settings struct {
	// Lanes is what the centre is sent; nil = all lanes.
	Lanes []event.Lane
	// Window is how many messages may wait for their PUBACK: default 64, at most MaxWindow. An eighth of it is kept
	// free for the alarm lane.
	Window int
	// Ahead is how many events of one lane may be sent beyond the receipt: default 960. It belongs below the number
	// of messages that the broker queues for the centre (Mosquitto: 1000), because beyond that brokers drop.
	Ahead int
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
		{&s.Window, 64, MaxWindow}, {&s.Ahead, 960, 1 << 20},
		{&s.FrameEvents, 64, topic.MaxFrameEvents}, {&s.FrameBytes, 64 << 10, topic.MaxPayload / 2},
	}
	for _, n := range numbers {
		if *n.field <= 0 {
			*n.field = n.standard
		}
		*n.field = min(*n.field, n.largest)
	}
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
	ReportStalled    ReportKind = iota + 1 // the broker acknowledged events, but the centre's receipt did not come
	ReportResumed                          // receipts come again
	ReportRefused                          // a receipt was not believed
	ReportCursor                           // a receipt could not be made durable
	ReportUnread                           // the log could not read the lane
	ReportAskedAgain                       // the centre has less than it gave a receipt for, and is sent it again
)

// Report is something about one lane that a person should know. A stall or refusal that goes on is reported at its first,
// second, fourth, eighth … time.
type Report struct {
	Kind  ReportKind
	Lane  event.Lane
	From  uint64 // stalled: the first seq without a receipt
	Upto  uint64 // stalled: the last seq that the broker acknowledged; refused: what the receipt claimed
	Count int    // how often it happened since it last was well
	Text  string // for people, with a remedy
}

// span is one frame that is sent and not receipted.
type span struct {
	id    uint64
	last  uint64
	count int
	acked bool
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

	stalls, refusals, unread int
}

// Core decides what one centre is sent next. It is pure: time comes in with each call, and what to publish, to save and
// to report is asked of it. It is not safe for concurrent use.
type Core struct {
	settings Settings
	epoch    event.Epoch
	lanes    [4]lane
	up       bool
	lastID   uint64
	flight   map[uint64]event.Lane // published on this link, not acknowledged
	reports  []Report
}

// Resume is where one lane stood when the agent started.
type Resume struct {
	Receipt uint64 // the durable cursor
	Head    uint64 // the last seq in the log that an earlier run may have sent; 0 = not known
}

// NewCore is the outbox of a log's epoch, resuming at the durable receipts.
func NewCore(s Settings, epoch event.Epoch, at map[event.Lane]Resume) *Core {
	c := &Core{settings: s.withDefaults(), epoch: epoch, flight: map[uint64]event.Lane{}}
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

// LinkUp begins a link: every lane resumes after its receipt.
func (c *Core) LinkUp(_ time.Time) {
	c.up = true
	clear(c.flight)
	for i := range c.lanes {
		c.lanes[i].rewind()
		c.lanes[i].probing = false
	}
}

// LinkDown ends a link: what is not acknowledged is forgotten, not lost.
func (c *Core) LinkDown(_ time.Time) {
	c.up = false
	clear(c.flight)
	for i := range c.lanes {
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
	return c.up && l.on && len(c.flight) < limit && l.ahead < c.settings.Ahead && !(l.probing && len(l.spans) > 0)
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

// Next is the frame to publish now, if there is one: the first lane's that has anything to send. Answer Want before, or
// a lane that waits for its events holds back those behind it.
func (c *Core) Next(_ time.Time) (Send, bool) {
	for i := range c.lanes {
		l := &c.lanes[i]
		if !c.open(l) {
			continue
		}
		if len(l.pending) > 0 {
			return c.cut(l), true
		}
		if l.more {
			return Send{}, false
		}
	}
	return Send{}, false
}

// cut takes the next frame off a lane's pending events: one event if it is live or a probe, else as many as fit.
func (c *Core) cut(l *lane) Send {
	n, bytes := 1, l.pending[0].Size
	if !l.live && !l.probing {
		most := min(len(l.pending), c.settings.FrameEvents, c.settings.Ahead-l.ahead)
		for n < most && bytes+l.pending[n].Size <= c.settings.FrameBytes {
			bytes += l.pending[n].Size
			n++
		}
	}
	f := topic.Frame{Epoch: c.epoch, Lane: l.name, Prev: l.sent, Historical: !l.live, Events: make([]event.Event, n)}
	for i, it := range l.pending[:n] {
		f.Events[i] = it.Event
	}
	if l.pending = l.pending[n:]; len(l.pending) == 0 {
		l.pending = nil
		l.live = l.live || !l.more
	}
	l.sent = f.Last()
	l.ever = max(l.ever, l.sent)
	c.lastID++
	c.flight[c.lastID] = l.name
	l.spans = append(l.spans, span{id: c.lastID, last: l.sent, count: n})
	l.ahead += n
	return Send{ID: c.lastID, Frame: f}
}

// Packed says how many bytes the frame that Next gave out has on the wire; without it, the size of its records counts.
func (c *Core) Packed(_ uint64, _ int) {}

// Acked says that the broker took a frame. An id of an older link, or one told twice, changes nothing.
func (c *Core) Acked(now time.Time, id uint64) {
	name, ok := c.flight[id]
	if !ok {
		return
	}
	delete(c.flight, id)
	l := c.lane(name)
	for i := range l.spans {
		if l.spans[i].id == id {
			l.spans[i].acked = true
			break
		}
	}
	if l.quiet.IsZero() && l.waiting() {
		l.quiet = now
	}
}

// waiting says whether the acknowledged prefix is ahead of the receipt.
func (l *lane) waiting() bool { return len(l.spans) > 0 && l.spans[0].acked }

// Receipt takes the centre's word. The durable cursor only ever moves forward; a receipt that cannot be true is refused. A
// word below the receipt is an old one that came late, or a centre restored from a backup that asks again: Tick decides.
func (c *Core) Receipt(now time.Time, r topic.Receipt) error {
	l := c.lane(r.Lane)
	if l == nil {
		return fmt.Errorf("receipt for %s, which is no lane", r.Lane)
	}
	if err := c.doubt(l, r); err != nil {
		if l.refusals++; powerOfTwo(l.refusals) {
			c.reports = append(c.reports, Report{Kind: ReportRefused, Lane: l.name, Upto: r.Upto, Count: l.refusals, Text: err.Error()})
		}
		return err
	}
	l.refusals = 0
	if r.Upto <= l.receipt {
		l.hear(now, r.Upto)
		return nil
	}
	l.settle(now, r.Upto)
	if l.stalls > 0 {
		c.reports = append(c.reports, Report{Kind: ReportResumed, Lane: l.name, Upto: r.Upto, Count: l.stalls, Text: "receipts come again"})
	}
	l.probing, l.stalls = false, 0
	return nil
}

// hear notes a word that moves nothing forward.
func (l *lane) hear(now time.Time, upto uint64) {
	l.word, l.below = upto, upto < l.receipt
	switch {
	case l.below && l.quiet.IsZero():
		l.quiet = now
	case !l.below && !l.waiting():
		l.quiet = time.Time{}
	}
}

// doubt says why a receipt cannot be true.
func (c *Core) doubt(l *lane, r topic.Receipt) error {
	switch {
	case !l.on:
		return fmt.Errorf("receipt for lane %s, which this centre is not sent: check its lanes in the station's configuration", l.name)
	case r.Epoch != c.epoch:
		return fmt.Errorf("receipt for epoch %s, the log's is %s: the centre speaks of another life of this log", r.Epoch, c.epoch)
	case r.Upto > l.ever:
		return fmt.Errorf("receipt for lane %s up to %d, but nothing beyond %d was ever sent: the centre mixes up stations or logs", l.name, r.Upto, l.ever)
	}
	return nil
}

// settle moves the receipt forward.
func (l *lane) settle(now time.Time, upto uint64) {
	l.receipt = upto
	for len(l.spans) > 0 && l.spans[0].last <= upto {
		l.ahead -= l.spans[0].count
		l.spans = l.spans[1:]
	}
	if l.sent < upto { // sent on an older link and stored after all
		l.sent = upto
		for len(l.pending) > 0 && l.pending[0].Event.Seq <= upto {
			l.pending = l.pending[1:]
		}
	}
	l.quiet, l.below = time.Time{}, false
	if l.waiting() {
		l.quiet = now
	}
}

// Tick rewinds every lane whose acknowledged events have waited too long for a receipt. It then sends one event at a time
// until a receipt comes, so that a centre that stores nothing costs the line next to nothing. A lane whose centre has stood
// by a lower word for as long is sent again from there.
func (c *Core) Tick(now time.Time) {
	for i := range c.lanes {
		l := &c.lanes[i]
		if !l.blind.IsZero() && now.Sub(l.blind) >= c.settings.StallAfter {
			l.blind, l.more = time.Time{}, true
		}
		if l.quiet.IsZero() || now.Sub(l.quiet) < c.settings.StallAfter {
			continue
		}
		if l.below {
			c.reports = append(c.reports, Report{Kind: ReportAskedAgain, Lane: l.name, From: l.word + 1, Upto: l.receipt, Count: 1,
				Text: fmt.Sprintf("lane %s: the centre gave a receipt up to %d and now has %d: it was restored from a backup or lost its store, and is sent the rest again",
					l.name, l.receipt, l.word)})
			l.receipt = l.word
			l.rewind()
			continue
		}
		upto := l.receipt
		for _, s := range l.spans {
			if !s.acked {
				break
			}
			upto = s.last
		}
		if l.stalls++; powerOfTwo(l.stalls) {
			c.reports = append(c.reports, Report{
				Kind: ReportStalled, Lane: l.name, From: l.receipt + 1, Upto: upto, Count: l.stalls,
				Text: fmt.Sprintf("lane %s: the broker took events up to %d but the centre's receipt stands at %d: check the broker's permissions for this station, its queue limits and the centre's store",
					l.name, upto, l.receipt),
			})
		}
		l.rewind()
		l.probing = true
	}
}

// Deadline is when Tick has something to do next; zero = nothing is waited for.
func (c *Core) Deadline() time.Time {
	var d time.Time
	for i := range c.lanes {
		for _, since := range [2]time.Time{c.lanes[i].quiet, c.lanes[i].blind} {
			if t := since.Add(c.settings.StallAfter); !since.IsZero() && (d.IsZero() || t.Before(d)) {
				d = t
			}
		}
	}
	return d
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
