//lint:pure

package outbox

import (
	"fmt"
	"time"

	"watchpost/uplink/topic"
)

// waiting says whether the acknowledged prefix is ahead of the receipt.
func (l *lane) waiting() bool { return len(l.spans) > 0 && l.spans[0].acked }

// Receipt takes the centre's word. The durable cursor only ever moves forward; a receipt that cannot be true is refused. A
// word below the receipt is an old one that came late, or a centre restored from a backup: if it asks again in so many words
// it is sent the rest at once, else Tick decides.
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
	switch {
	case r.Upto > l.receipt:
		c.settle(now, l, r.Upto)
	case !r.Again:
		l.hear(now, r.Upto)
	}
	if r.Again {
		c.again(now, l, r.Upto)
	}
	return nil
}

// askedTwice is when a second word about the same place is about what was sent again: a centre repeats itself once a second, and its words may be late.
const askedTwice = 3 * time.Second

// again sends what follows upto once more, because a frame came to the centre whose prev is beyond it. Each of the frames
// behind one gap makes the centre ask, and what was sent again is behind all of them: only the first word counts until
// StallAfter has passed, unless what was sent again is missing as well, in which case it was too large. Below the receipt one event goes first: if the word was an old one, its receipt says so.
func (c *Core) again(now time.Time, l *lane, upto uint64) {
	switch {
	case upto < l.receipt:
		c.goBack(l, upto)
		l.probing = true
	case l.sent <= upto:
		return
	case l.asked == upto+1 && now.Sub(l.askedAt) < c.settings.StallAfter:
		if now.Sub(l.askedAt) < max(askedTwice, 4*c.pace.idle) || !c.doubtSize(now, l) {
			return
		}
		l.rewind()
	default:
		c.fill(l, upto)
	}
	l.asked, l.askedAt = upto+1, now
}

// fill sends again what was dropped behind a receipt, and less at a time.
func (c *Core) fill(l *lane, upto uint64) {
	if l.gaps++; powerOfTwo(l.gaps) {
		c.reports = append(c.reports, Report{Kind: ReportGap, Lane: l.name, From: upto + 1, Upto: l.sent, Count: l.gaps,
			Text: fmt.Sprintf("lane %s: what followed %d did not reach the centre and is sent again: if this goes on, check the broker's queue limits", l.name, upto)})
	}
	l.narrow.dropped(len(l.spans))
	l.rewind()
}

// goBack begins again at a word below the receipt.
func (c *Core) goBack(l *lane, upto uint64) {
	c.reports = append(c.reports, Report{Kind: ReportAskedAgain, Lane: l.name, From: upto + 1, Upto: l.receipt, Count: 1,
		Text: fmt.Sprintf("lane %s: the centre gave a receipt up to %d and now has %d: it was restored from a backup or lost its store, and is sent the rest again",
			l.name, l.receipt, upto)})
	l.receipt = upto
	l.rewind()
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
func (c *Core) settle(now time.Time, l *lane, upto uint64) {
	l.receipt = upto
	arrived := 0
	for ; len(l.spans) > 0 && l.spans[0].last <= upto; arrived++ {
		l.ahead -= l.spans[0].count
		l.spans = l.spans[1:]
	}
	if l.sent < upto { // sent on an older link and stored after all
		l.sent = upto
		for len(l.pending) > 0 && l.pending[0].Event.Seq <= upto {
			l.pending = l.pending[1:]
		}
	}
	l.narrow.came(arrived)
	l.quiet, l.below = time.Time{}, false
	if l.waiting() {
		l.quiet = now
	}
	c.absolve(l, upto)
	if l.stalls > 0 {
		c.reports = append(c.reports, Report{Kind: ReportResumed, Lane: l.name, Upto: upto, Count: l.stalls, Text: "receipts come again"})
	}
	l.probing, l.stalls = false, 0
}

// Tick rewinds every lane whose acknowledged events have waited too long for a receipt. It then sends one event at a time
// until a receipt comes, so that a centre that stores nothing costs the line next to nothing. A lane whose centre has stood
// by a lower word for as long is sent again from there; one that was set aside or could not be read is tried again.
func (c *Core) Tick(now time.Time) {
	for i := range c.lanes {
		l := &c.lanes[i]
		if !l.blind.IsZero() && now.Sub(l.blind) >= c.settings.StallAfter {
			l.blind, l.more = time.Time{}, true
		}
		if until := l.suspicion.until; !until.IsZero() && !now.Before(until) {
			l.suspicion.until = time.Time{}
		}
		wait := c.patience(l)
		switch {
		case l.quiet.IsZero() || now.Sub(l.quiet) < wait:
		case l.below:
			c.goBack(l, l.word)
		case wait < c.settings.StallAfter: // the last messages of a burst were dropped, too
			l.narrow.wait = 2 * wait
			c.doubtSize(now, l)
			c.fill(l, l.receipt)
		default:
			c.stall(now, l)
		}
	}
}

// stall sends a lane again that the broker took and the centre does not have.
func (c *Core) stall(now time.Time, l *lane) {
	c.doubtSize(now, l)
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
			Text: fmt.Sprintf("lane %s: the broker took events up to %d but the centre's receipt stands at %d: check the broker's permissions for this station, its limits of queues and of a message's size (256 KiB), and the centre's store",
				l.name, upto, l.receipt),
		})
	}
	l.rewind()
	l.probing = true
}

// Deadline is when time alone gives Tick or Next something to do; zero = nothing is waited for.
func (c *Core) Deadline() time.Time {
	d := c.pace.resume
	sooner := func(t time.Time) {
		if d.IsZero() || t.Before(d) {
			d = t
		}
	}
	for i := range c.lanes {
		l := &c.lanes[i]
		if !l.quiet.IsZero() {
			sooner(l.quiet.Add(c.patience(l)))
		}
		if !l.blind.IsZero() {
			sooner(l.blind.Add(c.settings.StallAfter))
		}
		if !l.suspicion.until.IsZero() {
			sooner(l.suspicion.until)
		}
	}
	return d
}
