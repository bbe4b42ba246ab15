//lint:pure

package relay

import (
	"errors"
	"fmt"
	"time"
)

// How long outputs may be on. A run is the time from the first moment on until the output was off for rest.
const (
	// MaxOnLimit is the longest maximum on-time that an output may be given, and also bounds one whole run, whoever asks.
	// Installer manuals of EN 50131 panels give bells 2 to 15 minutes.
	MaxOnLimit = 15 * time.Minute
	// Rest is how long an output must be off before a cause that has used up its time may drive it again.
	Rest = time.Minute
	// maxCauses is how many causes of one run are told apart; further ones are refused.
	maxCauses = 64
)

// ErrSpent means that this cause has had the output on for as long as it may. Once the output has rested it has what is left then of
// what it asked for, by itself.
var ErrSpent = errors.New("the maximum on-time is used up")

// core decides whether one output is to be on. It takes the time and touches nothing.
type core struct {
	maxOn time.Duration

	on     bool
	found  bool // on since before this process ran, and nobody has asked for it yet
	cause  string
	until  time.Time            // when on ends
	offAt  time.Time            // when on last ended; zero = it never was on
	began  time.Time            // of the run
	limits map[string]time.Time // when the time of each cause of the run is used up
	owed   owed
}

// owed is what a cause that had used up its time asked for: it has the rest of that once the output has rested.
type owed struct {
	cause string
	until time.Time // zero = nothing is owed
}

// foundOn takes up an output that was left on: it ends as if it had been driven now.
func (c *core) foundOn(now time.Time) {
	c.on, c.found, c.cause, c.until, c.began = true, true, "found", now.Add(c.maxOn), now
	c.limits = map[string]time.Time{}
}

// drive switches on for at most the time given, 0 = as long as the output may. The time of a cause runs from its first
// asking in a run and never gets longer by asking again; nor does asking again make it shorter.
func (c *core) drive(cause string, span time.Duration, now time.Time) error {
	c.tick(now)
	if !c.on && (c.limits == nil || now.Sub(c.offAt) >= Rest) {
		c.began, c.limits = now, map[string]time.Time{}
	}
	limit, known := c.limits[cause]
	if !known {
		if len(c.limits) == maxCauses {
			return fmt.Errorf("%w: more than %d causes without a pause", ErrSpent, maxCauses)
		}
		limit = earlier(now.Add(c.maxOn), c.began.Add(MaxOnLimit))
		c.limits[cause] = limit
	}
	if !now.Before(limit) {
		if span <= 0 {
			span = c.maxOn
		}
		c.owed = owed{cause, now.Add(span)}
		return fmt.Errorf("%w by %s: again %s after it went off", ErrSpent, cause, Rest)
	}
	end := limit
	if span > 0 {
		end = earlier(limit, now.Add(span))
	}
	if c.on && !c.found && !end.After(c.until) {
		return nil
	}
	c.on, c.found, c.cause, c.until = true, false, cause, end
	return nil
}

// off ends it, whoever has asked for it. What was never on may be on all the same, left so by a run before.
func (c *core) off(cause string, now time.Time) {
	c.tick(now)
	c.owed = owed{}
	switch {
	case c.on:
		c.on, c.found, c.cause, c.offAt = false, false, cause, now
	case c.limits == nil:
		c.cause = cause
	}
}

// wentOff says that the line has followed: the rest counts from here.
func (c *core) wentOff(now time.Time) {
	if !c.on {
		c.offAt = now
	}
}

// tick ends what is over, and begins what is owed after the rest.
func (c *core) tick(now time.Time) {
	switch o := c.owed; {
	case c.on && !now.Before(c.until):
		c.on, c.found, c.cause, c.offAt = false, false, "time", c.until
	case !c.on && now.Sub(c.offAt) >= Rest && now.Before(o.until):
		c.owed = owed{}
		limit := now.Add(c.maxOn)
		c.on, c.cause, c.until, c.began, c.limits = true, o.cause, earlier(o.until, limit), now, map[string]time.Time{o.cause: limit}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
