package command

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// maxDetail is how much of a refusal's message goes into an event, in bytes.
const maxDetail = 200

// clerk keeps account of refusals, so that they can be told without a forger filling the log: at most one event per
// reason and interval, with a count.
type clerk struct {
	poke chan struct{}

	mu      sync.Mutex // guards the field below
	tallies map[Reason]*tally
}

// tally is the account of one reason.
type tally struct {
	total  uint64
	untold uint64
	told   time.Time // when an event was last written for it
	last   topic.Command
	text   string
}

func (c *clerk) tally(why Reason) *tally {
	t := c.tallies[why]
	if t == nil {
		t = &tally{}
		c.tallies[why] = t
	}
	return t
}

func (c *clerk) count(why Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally(why).total++
}

// note keeps a refusal to be told. cmd is empty unless the centre signed it: nothing of a forger's goes into an event.
func (c *clerk) note(cmd topic.Command, r *Refusal) {
	c.mu.Lock()
	t := c.tally(r.Reason)
	t.untold++
	t.last, t.text = cmd, r.Message
	c.mu.Unlock()
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

func (c *clerk) totals() map[Reason]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[Reason]uint64, len(c.tallies))
	for why, t := range c.tallies {
		m[why] = t.total
	}
	return m
}

// due takes what may be told now, and says how long to wait for the rest; 0 = there is none.
func (c *clerk) due(now time.Time, interval time.Duration) (ready map[Reason]tally, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ready = map[Reason]tally{}
	for why, t := range c.tallies {
		if t.untold == 0 {
			continue
		}
		if left := interval - now.Sub(t.told); !t.told.IsZero() && left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		ready[why] = *t
		t.untold, t.told = 0, now
	}
	return ready, wait
}

// giveBack returns the count of an event that could not be stored; it is told after another interval.
func (c *clerk) giveBack(why Reason, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally(why).untold += n
}

// tell writes the audit events, until ctx ends.
func (d *Desk) tell(ctx context.Context) {
	timer := time.NewTimer(d.o.Interval)
	defer timer.Stop()
	for {
		ready, wait := d.clerk.due(time.Now(), d.o.Interval)
		for _, why := range slices.Sorted(maps.Keys(ready)) {
			t := ready[why]
			d.log.Warn("commands refused", logReason, string(why), logKind, t.last.Kind, logCommand, t.last.ID, logCount, t.untold, logError, t.text)
			if err := d.o.Audit(ctx, d.draft(why, t)); err != nil {
				d.log.Warn("a refusal is not in the event log; it will be told again", logReason, string(why), logError, err)
				d.clerk.giveBack(why, t.untold)
				wait = d.o.Interval
			}
		}
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.clerk.poke:
		}
	}
}

func (d *Desk) draft(why Reason, t tally) event.Draft {
	severity := event.SeverityNotice
	if slices.Contains([]Reason{ReasonBadSignature, ReasonMalformed, ReasonOversized}, why) {
		severity = event.SeverityWarning
	}
	text := t.text
	if len(text) > maxDetail {
		text = text[:maxDetail]
	}
	return event.Draft{
		Kind: event.KindCommandRefused, Qualifier: event.QualifierNew, Severity: severity, Source: "centre/" + d.o.Centre,
		Body: event.NewBody(
			event.Text(event.TagCentre, d.o.Centre), event.Text(event.TagReason, string(why)),
			event.Text(event.TagDetail, strings.ToValidUTF8(text, "�")), event.Uint(event.TagCount, t.untold),
			event.Text(event.TagCommand, t.last.ID), event.Text(event.TagAction, t.last.Kind),
		),
	}
}
