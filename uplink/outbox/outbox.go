// What a station has written down reaches each of its centres once in effect and in order, however often links, brokers
// and machines break on the way.
//
// An outbox drains the event log to one centre. It counts twice: PUBACK, the broker's word, only slides the window of
// messages under way; a receipt, the centre's word that it has stored a lane up to a seq, alone moves the durable
// cursor. Every new link resumes at the receipt, so whatever a broker took and lost is sent again, and a broker that
// acknowledges and drops (a full stream, a denied topic) shows itself as a missing receipt, never as loss.
//
// Alarms go first, then what happens now, then the backlog, in packed frames and no faster than an alarm can bear: see pace.
// What the centre asks for again is sent again at once; a frame under which links end is made smaller.
//
// Core is the decision, pure; Outbox is its driver: it reads the log, publishes on the link that it is given, and saves
// cursors. Two centres are two outboxes over one log.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// Log is the event log as one outbox needs it.
type Log interface {
	// Epoch names this life of the log.
	Epoch() event.Epoch
	// Read answers up to n events of a lane after a seq, in order.
	Read(lane event.Lane, after uint64, n int) ([]event.Event, error)
	// Cursor is the seq up to which a centre has given a receipt for a lane; 0 = none.
	Cursor(centre string, lane event.Lane) (uint64, error)
	// SetCursor makes a receipt durable.
	SetCursor(centre string, lane event.Lane, upto uint64) error
	// Wake is closed at the next append. Taken before Read and waited on after it, it misses nothing.
	Wake() <-chan struct{}
}

// Header is a Log that knows the last seq of a lane. With it a receipt for what an earlier run of the agent sent is
// believed at once; without it those events are sent once more.
type Header interface {
	Head(lane event.Lane) uint64
}

// Publisher is one link to a centre's broker; a lost link is never used again.
type Publisher interface {
	// Publish hands a message to the broker at QoS 1 and returns without waiting for its PUBACK. acked is called once
	// if and when that comes, from any goroutine, and must not block. The payload is not kept after acked.
	Publish(ctx context.Context, topic string, payload []byte, acked func()) error
}

// Options is what an outbox needs to know. Log, Centre and Address must be given; the rest has defaults.
type Options struct {
	Log      Log
	Centre   string        // the centre's id
	Address  topic.Address // the station's
	Settings Settings
	// Report is told of what a person should know: see ReportKind. It must not block. nil = nobody.
	Report func(Report)
	Now    func() time.Time // nil = time.Now
	// Packer makes frames smaller. It holds about 1 MB, so outboxes of one process should share one; nil = one of its own.
	Packer *topic.Packer
}

// Outbox drains one log to one centre. Receipt and Stored may be called at any time, from any goroutine.
type Outbox struct {
	o    Options
	poke chan struct{} // the core changed from outside the sender
	save chan struct{} // a receipt moved

	mu   sync.Mutex // guards the field below
	core *Core
}

// New makes an outbox that resumes at the log's durable cursors.
func New(o Options) (*Outbox, error) {
	if o.Log == nil || o.Centre == "" {
		return nil, errors.New("an outbox needs a log and a centre")
	}
	if err := o.Address.Validate(); err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", o.Centre, err)
	}
	if o.Report == nil {
		o.Report = func(Report) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Packer == nil {
		p, err := topic.NewPacker()
		if err != nil {
			return nil, fmt.Errorf("outbox of %s: %w", o.Centre, err)
		}
		o.Packer = p
	}
	b := &Outbox{o: o, poke: make(chan struct{}, 1), save: make(chan struct{}, 1)}
	at := map[event.Lane]Resume{}
	heads, _ := o.Log.(Header)
	for _, lane := range event.Lanes() {
		receipt, err := o.Log.Cursor(o.Centre, lane)
		if err != nil {
			return nil, fmt.Errorf("outbox of %s: cursor of lane %s: %w", o.Centre, lane, err)
		}
		r := Resume{Receipt: receipt}
		if heads != nil {
			r.Head = heads.Head(lane)
		}
		at[lane] = r
	}
	b.core = NewCore(o.Settings, o.Log.Epoch(), at)
	return b, nil
}

// Run drains the log over one link until ctx ends, which it answers with nil. An error means that the link should be
// dropped and another one tried. Only one Run may be under way.
func (b *Outbox) Run(ctx context.Context, p Publisher) error {
	b.change(func(c *Core) { c.LinkUp(b.o.Now()) })
	defer b.change(func(c *Core) { c.LinkDown(b.o.Now()) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.send(ctx, p) })
	g.Go(func() error { return b.saveCursors(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("outbox of %s: %w", b.o.Centre, err)
	}
	return nil
}

// Receipt takes the centre's word for what it has stored. It does not wait for the disk.
func (b *Outbox) Receipt(r topic.Receipt) error {
	if r.Station != b.o.Address.Station {
		return fmt.Errorf("receipt for station %.80q, this is %s", r.Station, b.o.Address.Station)
	}
	var err error
	b.change(func(c *Core) { err = c.Receipt(b.o.Now(), r) })
	poke(b.save)
	return err
}

// Stored is what this centre's receipts say, for the lanes that it is sent.
func (b *Outbox) Stored() map[event.Lane]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.core.Stored()
}

// change lets the core take something in, wakes the sender and tells what came of it.
func (b *Outbox) change(f func(*Core)) {
	b.mu.Lock()
	f(b.core)
	reports := b.core.TakeReports()
	b.mu.Unlock()
	poke(b.poke)
	for _, r := range reports {
		b.o.Report(r)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send is the one goroutine that reads the log and publishes.
func (b *Outbox) send(ctx context.Context, p Publisher) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	wake := b.o.Log.Wake()
	for {
		for busy := true; busy; {
			select {
			case <-ctx.Done():
				return nil
			case <-wake:
				wake = b.o.Log.Wake()
				b.change((*Core).Woken)
			default:
			}
			b.tick()
			var err error
			if busy, err = b.step(ctx, p); err != nil {
				return err
			}
		}
		timer.Reset(b.untilTick())
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			wake = b.o.Log.Wake()
			b.change((*Core).Woken)
		case <-b.poke:
		case <-timer.C:
		}
	}
}

// tick tells the core the time if it waits for that: before each step, since a sender that is busy may never sleep.
func (b *Outbox) tick() {
	now := b.o.Now()
	b.mu.Lock()
	deadline := b.core.Deadline()
	b.mu.Unlock()
	if !deadline.IsZero() && !now.Before(deadline) {
		b.change(func(c *Core) { c.Tick(now) })
	}
}

// untilTick is how long the sender may sleep.
func (b *Outbox) untilTick() time.Duration {
	b.mu.Lock()
	deadline := b.core.Deadline()
	b.mu.Unlock()
	if deadline.IsZero() {
		return time.Hour
	}
	return max(deadline.Sub(b.o.Now()), time.Millisecond)
}

// step reads what the core wants, or publishes one frame; busy = there may be more to do at once.
func (b *Outbox) step(ctx context.Context, p Publisher) (busy bool, err error) {
	b.mu.Lock()
	lane, after, n, want := b.core.Want()
	b.mu.Unlock()
	if want {
		b.read(lane, after, n)
		return true, nil
	}
	b.mu.Lock()
	s, ok := b.core.Next(b.o.Now())
	b.mu.Unlock()
	if !ok {
		return false, nil
	}
	payload, err := b.o.Packer.AppendFrame(nil, s.Frame)
	if err != nil {
		return false, fmt.Errorf("lane %s after seq %d cannot be sent: %w", s.Frame.Lane, s.Frame.Prev, err)
	}
	b.mu.Lock()
	b.core.Packed(s.ID, len(payload))
	b.mu.Unlock()
	acked := func() { b.change(func(c *Core) { c.Acked(b.o.Now(), s.ID) }) }
	if err := p.Publish(ctx, b.o.Address.Event(s.Frame.Lane), payload, acked); err != nil {
		if ctx.Err() != nil {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// read answers what the core wants, with events or with why there are none.
func (b *Outbox) read(lane event.Lane, after uint64, n int) {
	items, err := b.items(lane, after, n)
	if err != nil {
		b.change(func(c *Core) { c.Unread(b.o.Now(), lane, err) })
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.core.Offer(lane, after, items, n)
}

func (b *Outbox) items(lane event.Lane, after uint64, n int) ([]Item, error) {
	events, err := b.o.Log.Read(lane, after, n)
	if err != nil {
		return nil, fmt.Errorf("reading lane %s after seq %d: %w", lane, after, err)
	}
	items := make([]Item, len(events))
	var record []byte
	for i, e := range events {
		if record, err = event.AppendRecord(record[:0], e); err != nil {
			return nil, fmt.Errorf("reading lane %s: %w", lane, err)
		}
		items[i] = Item{Event: e, Size: len(record)}
	}
	return items, nil
}

// saveCursors makes receipts durable, off the sender's path; what moved meanwhile goes into the next save.
func (b *Outbox) saveCursors(ctx context.Context) error {
	for {
		b.mu.Lock()
		moved := b.core.TakeCursors()
		b.mu.Unlock()
		for _, c := range moved {
			if err := b.o.Log.SetCursor(b.o.Centre, c.Lane, c.Upto); err != nil {
				b.o.Report(Report{Kind: ReportCursor, Lane: c.Lane, Upto: c.Upto, Count: 1,
					Text: fmt.Sprintf("the receipt of lane %s up to %d is not on disk: %v: after a restart its events are sent again", c.Lane, c.Upto, err)})
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.save:
		}
	}
}
