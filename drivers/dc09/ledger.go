package dc09

import (
	"context"
	"sync"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// Why a frame was refused. Words of the wire: append only.
const (
	refusedUnknown = "unknown account"
	refusedNoKey   = "encrypted, no key"
	refusedPlain   = "plain, key required"
	refusedKey     = "wrong key"
	refusedClock   = "out of time window"
)

// refusal counts one reason of one account. All unknown accounts are one, so that nobody can fill the memory.
type refusal struct {
	account, reason string
}

type tally struct {
	claimed, remote string    // of the last frame
	count           uint64    // not told yet
	toldAt          time.Time // zero: never
}

// ledger counts refusals until they are told.
type ledger struct {
	wake chan struct{}

	mu      sync.Mutex // guards the fields below
	tallies map[refusal]*tally
}

func newLedger() *ledger {
	return &ledger{wake: make(chan struct{}, 1), tallies: map[refusal]*tally{}}
}

// maxClaimed is how much is kept of an account that a refused frame names: a header's has 16 bytes, data may hold anything.
const maxClaimed = 32

// note counts a refused frame. It never waits.
func (l *ledger) note(account, claimed, reason, remote string) {
	l.mu.Lock()
	k := refusal{account: account, reason: reason}
	t := l.tallies[k]
	if t == nil {
		t = &tally{}
		l.tallies[k] = t
	}
	t.count++
	t.claimed, t.remote = UTF8(claimed[:min(len(claimed), maxClaimed)]), remote
	l.mu.Unlock()
	nudge(l.wake)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// due takes the first refusal to be told now; otherwise it says when the next is, zero: none.
func (l *ledger) due(now time.Time, every time.Duration) (k refusal, t tally, ok bool, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, c := range l.tallies {
		if c.count == 0 {
			continue
		}
		at := c.toldAt.Add(every)
		if c.toldAt.IsZero() || !at.After(now) {
			return key, *c, true, time.Time{}
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return refusal{}, tally{}, false, next
}

// told takes off what has been stored.
func (l *ledger) told(k refusal, t tally, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.tallies[k]
	c.count -= t.count
	c.toldAt = now
}

// tellRefusals tells each refusal at once, and its repeats once per interval with their count.
func (r *Receiver) tellRefusals(ctx context.Context, sink drivers.Sink) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := r.o.Now()
		k, t, ok, next := r.refused.due(now, r.o.TellEvery)
		if ok {
			if err := sink(ctx, k.draft(t)); err == nil {
				r.o.Log.Warn("panel frames refused", "account", t.claimed, "reason", k.reason, "remote", t.remote, "count", t.count)
				r.refused.told(k, t, now)
			} else if !sleep(ctx, time.Second) {
				return nil
			}
			continue
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(next.Sub(now))
		}
		select {
		case <-r.refused.wake:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// draft is the refusal as an event. A plain frame for an account with a key is an alarm: somebody plays the panel.
func (k refusal) draft(t tally) event.Draft {
	d := event.Draft{
		KernelNS: bus.Monotonic(), Kind: event.KindPanelRefused, Qualifier: event.QualifierNew, Severity: event.SeverityWarning,
		Source: "dc09/unknown",
		Body: event.NewBody(event.Text(event.TagAccount, t.claimed), event.Text(event.TagReason, k.reason),
			event.Text(event.TagRemote, t.remote), event.Uint(event.TagCount, t.count)),
	}
	if k.account != "" {
		d.Source = "dc09/" + k.account
	}
	if k.reason == refusedPlain {
		d.Severity = event.SeverityAlarm
	}
	return d
}
