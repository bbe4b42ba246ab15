package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// lane names one chain.
type lane struct {
	address topic.Address
	epoch   event.Epoch
	lane    event.Lane
}

// due is a receipt that is owed.
type due struct {
	upto   uint64
	events int       // stored since the last receipt
	since  time.Time // of the oldest of them
	urgent bool
	again  bool // ask for what follows upto
}

// asked is a question for what follows a gap. All that was under way behind the gap comes in before the answer.
type asked struct {
	upto uint64
	at   time.Time
}

// clerk works off one link's messages: stores, then answers.
type clerk struct {
	*Intake
	out    chan<- wish
	due    map[lane]*due
	asked  map[lane]asked
	frames topic.Unpacker
}

// work runs until ctx ends or the ledger fails.
func (c *clerk) work(ctx context.Context, in inbox) error {
	tick := time.NewTicker(receiptWithin / 4)
	defer tick.Stop()
	for {
		var first message
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case first = <-in.urgent:
		case first = <-in.states:
		case first = <-in.rest:
		}
		if first.topic != "" {
			ms := in.gather(first)
			c.late(oldest(ms))
			if err := c.handle(ctx, ms); err != nil {
				return err
			}
		}
		if in.empty() {
			c.late(time.Time{})
		}
		if err := c.answer(ctx, time.Now()); err != nil {
			return err
		}
	}
}

// handle stores the batch's frames in one commit, then heeds its states and replies.
func (c *clerk) handle(ctx context.Context, ms []message) error {
	var frames []ledger.Arrival
	var words []ledger.Word
	var then []func() error
	enrolled := make(map[topic.Address]bool)
	for _, m := range ms {
		a, leaf, arg, err := topic.Parse(m.topic)
		if err != nil {
			c.refuse("", "topic", err)
			continue
		}
		if !enrolled[a] {
			if enrolled[a], err = c.known(ctx, a); err != nil {
				return err
			}
		}
		if !enrolled[a] {
			continue
		}
		switch leaf {
		case topic.LeafEvent:
			if f, ok := c.frame(a, arg, m.payload); ok {
				frames = append(frames, ledger.Arrival{Address: a, Frame: f, Received: m.received})
			}
		case topic.LeafState:
			if s, ok := c.state(a, m); ok {
				words = append(words, ledger.Word{State: s, Heard: spoken(s, m), Retained: m.retained})
				then = append(then, func() error { return c.welcome(ctx, a, s, m.received) })
			}
		case topic.LeafReply:
			then = append(then, func() error { return c.reply(ctx, a, arg, m) })
		}
	}
	if err := c.store(ctx, frames); err != nil {
		return err
	}
	if err := c.o.Ledger.Heard(ctx, words...); err != nil {
		return err
	}
	for _, f := range then {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// known reports whether the roster has the station under that jurisdiction.
func (c *clerk) known(ctx context.Context, a topic.Address) (bool, error) {
	enrolled, err := c.o.Ledger.StationOf(ctx, a.Station)
	if errors.Is(err, ledger.ErrNotFound) {
		c.refuse(a.Station, "not enrolled", err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if enrolled != a {
		c.refuse(a.Station, "wrong jurisdiction", fmt.Errorf("speaks as %s, enrolled for %s", a.Jurisdiction, enrolled.Jurisdiction))
		return false, nil
	}
	return true, nil
}

func (c *clerk) frame(a topic.Address, laneWord string, payload []byte) (topic.Frame, bool) {
	f, err := c.frames.DecodeFrame(a.Station, payload)
	if err != nil {
		c.refuse(a.Station, "frame", err)
		return f, false
	}
	if f.Lane.String() != laneWord {
		c.refuse(a.Station, "lane", fmt.Errorf("a frame of lane %s under the topic of %s", f.Lane, laneWord))
		return f, false
	}
	return f, true
}

// store commits the frames together. If one of them contradicts what is stored, each is tried by itself, so that one bad
// station stops no other.
func (c *clerk) store(ctx context.Context, frames []ledger.Arrival) error {
	if len(frames) == 0 {
		return nil
	}
	outcomes, err := c.o.Ledger.Store(ctx, frames)
	switch {
	case errors.Is(err, ledger.ErrConflict) && len(frames) > 1:
		for _, f := range frames {
			if err := c.store(ctx, []ledger.Arrival{f}); err != nil {
				return err
			}
		}
		return nil
	case errors.Is(err, ledger.ErrConflict):
		c.refuse(frames[0].Address.Station, "contradiction", err)
		return nil
	case err != nil:
		return err
	}
	for n, o := range outcomes {
		c.owe(frames[n], o)
	}
	return nil
}

// owe notes the receipt that an outcome calls for. A duplicate is answered at once: the station is waiting. So is a gap, with
// the question for what follows the head; but once for each gap, and again only when askAgain has passed without an answer.
func (c *clerk) owe(a ledger.Arrival, o ledger.Outcome) {
	key := lane{a.Address, a.Frame.Epoch, a.Frame.Lane}
	gap := o.Verdict == topic.VerdictGap
	if was, ok := c.asked[key]; gap && ok && was.upto == o.Head && a.Received.Sub(was.at) < askAgain {
		return
	}
	d := c.due[key]
	if d == nil {
		d = &due{since: a.Received}
		c.due[key] = d
	}
	d.upto = o.Head
	d.events += o.Stored
	d.again = d.again || gap // what was ahead of it is not kept, even if the gap closes in this very batch
	d.urgent = d.urgent || o.Verdict != topic.VerdictStore || a.Frame.Lane == event.LaneAlarm || d.events >= receiptEvery
}

// answer sends the receipts whose time has come. It runs after the commit, never before.
func (c *clerk) answer(ctx context.Context, now time.Time) error {
	for key, d := range c.due {
		if !d.urgent && now.Sub(d.since) < receiptWithin {
			continue
		}
		delete(c.due, key)
		if d.again {
			c.asked[key] = asked{d.upto, now}
		}
		if err := c.receipt(ctx, key, d, now); err != nil {
			return err
		}
	}
	for key, a := range c.asked {
		if now.Sub(a.at) >= askAgain {
			delete(c.asked, key)
		}
	}
	return nil
}

func (c *clerk) receipt(ctx context.Context, k lane, d *due, now time.Time) error {
	body, err := json.Marshal(topic.Receipt{Station: k.address.Station, Epoch: k.epoch, Lane: k.lane, Upto: d.upto, Again: d.again})
	if err != nil {
		return fmt.Errorf("encoding a receipt: %w", err)
	}
	return c.send(ctx, wish{k.address, newID(), topic.CommandReceipt, body, now.Add(receiptLife)})
}

func (c *clerk) send(ctx context.Context, w wish) error {
	select {
	case c.out <- w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// state reads what a station says of its present.
func (c *clerk) state(a topic.Address, m message) (s topic.State, ok bool) {
	if len(m.payload) == 0 { // a retained state was taken away
		return s, false
	}
	s, err := topic.DecodeMessage[topic.State](m.payload)
	if err != nil {
		c.refuse(a.Station, "state", err)
		return s, false
	}
	if s.Station != a.Station || s.Jurisdiction != a.Jurisdiction {
		c.refuse(a.Station, "state", fmt.Errorf("it speaks for %s of %s", s.Station, s.Jurisdiction))
		return s, false
	}
	return s, true
}

// welcome tells a station that is online what is stored of it, and sends it its open commands again. A station that has
// receipts for more than is stored here is asked for the rest at once: this ledger was restored from a backup, or is a new one.
func (c *clerk) welcome(ctx context.Context, a topic.Address, s topic.State, received time.Time) error {
	if !s.Online {
		return nil
	}
	heads, err := c.o.Ledger.Heads(ctx, a.Station, s.Epoch)
	if err != nil {
		return err
	}
	for _, l := range event.Lanes() {
		if heads[l] == 0 && s.Heads[l] == 0 && s.Stored[l] == 0 {
			continue
		}
		key := lane{a, s.Epoch, l}
		again := s.Stored[l] > heads[l] || c.due[key] != nil && c.due[key].again
		c.due[key] = &due{upto: heads[l], urgent: true, again: again}
	}
	open, err := c.o.Ledger.Commands(ctx, a, received)
	if err != nil {
		return err
	}
	for _, o := range open {
		if err := c.send(ctx, wish{a, o.ID, o.Kind, o.Body, o.Expires}); err != nil {
			return err
		}
	}
	return nil
}

// spoken is when a state was said as far as the centre can tell: now; for a retained one, which may be old, when the station
// says, but not in the future; for a will, which the broker says, never.
func spoken(s topic.State, m message) time.Time {
	switch {
	case !s.Online:
		return time.Time{}
	case m.retained && s.At.Before(m.received):
		return s.At
	default:
		return m.received
	}
}

func (c *clerk) reply(ctx context.Context, a topic.Address, id string, m message) error {
	r, err := topic.DecodeMessage[topic.Reply](m.payload)
	if err != nil {
		c.refuse(a.Station, "reply", err)
		return nil
	}
	if r.ID != id || r.Station != a.Station {
		c.refuse(a.Station, "reply", fmt.Errorf("to %s from %s, under the topic of %s", r.ID, r.Station, m.topic))
		return nil
	}
	known, err := c.o.Ledger.Answered(ctx, a, r, m.received)
	if err != nil {
		return err
	}
	if known {
		c.deliver(r)
	}
	return nil
}
