package eol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/ads1115"
	"watchpost/drivers/bus"
	"watchpost/drivers/zone"
)

// When loops are read.
const (
	scanEvery  = 100 * time.Millisecond // all of them
	againAfter = 10 * time.Millisecond  // one that reads otherwise than told
	agreeing   = 3                      // readings in a row that make a change
	unsteady   = 20                     // readings without an agreement that make a fault
	fullScan   = 10                     // each so many scans read the excitation, too, and ask the chips what they did
	retryAfter = 300 * time.Millisecond // the first failure of the bus; a watch over it turns users away for 250 ms
	stuckPause = time.Second            // between two attempts at a bus that does not work
)

// scan reads the loops until ctx ends. Scans begin at round tenths of a second, so that the drivers of several buses wake the
// processor together: what an idle scan costs is waking up.
func (d *Driver) scan(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	next := tenth(d.o.Now())
	for n := 0; ; {
		now, again := d.o.Now(), d.restless()
		if next.Sub(now) > stuckPause+scanEvery { // the clock was set back
			next = tenth(now)
		}
		at := next
		if again && now.Add(againAfter).Before(next) {
			at = now.Add(againAfter)
		}
		timer.Reset(at.Sub(now))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		all := !at.Before(next)
		if all {
			n++
			if next = next.Add(scanEvery); next.Before(d.o.Now()) {
				next = tenth(d.o.Now()) // a slow bus is not hurried
			}
		}
		err := d.pass(ctx, timer, all, n%fullScan == 1)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errBus) {
			next = tenth(d.o.Now().Add(d.fail(err)))
		} else {
			d.failing = false
		}
		for _, l := range d.loops {
			l.zone.Tick()
		}
	}
}

// tenth is the next round tenth of a second, by the wall clock.
func tenth(t time.Time) time.Time { return t.Truncate(scanEvery).Add(scanEvery) }

// restless says that some loop is to be read again soon.
func (d *Driver) restless() bool {
	for _, l := range d.loops {
		if l.restless() {
			return true
		}
	}
	return false
}

// restless says that the loop reads otherwise than told. One that never agreed, or whose bus does not work, waits for the scans.
func (l *loop) restless() bool {
	return l.equal > 0 && l.held.reason != "unsteady" && l.held.reason != "bus"
}

// pass reads all loops, or the restless ones: on every chip one channel at a time, on all chips at the same time. Careful
// passes, and all those of restless loops, read the excitation anew and ask each chip whether it did what it was told.
func (d *Driver) pass(ctx context.Context, timer *time.Timer, all, careful bool) error {
	careful = careful || !all
	longest := 0
	for _, c := range d.chips {
		c.todo = c.todo[:0]
		for _, l := range d.loops {
			if l.chip == c && (all || l.restless()) {
				if len(c.todo) == 0 {
					if careful || c.reference == 0 || c.err != nil { // after a fault the excitation may be another
						c.todo = append(c.todo, nil)
					}
					c.err = nil
				}
				c.todo = append(c.todo, l)
			}
		}
		longest = max(longest, len(c.todo))
	}
	for i := range longest {
		if err := d.round(ctx, timer, i, careful); err != nil {
			return err
		}
	}
	return nil
}

// round converts the i-th channel of what each chip has to do. It returns an error for a bus that does not work, and when
// ctx has ended; a chip's own error is kept with the chip and told with its loops.
func (d *Driver) round(ctx context.Context, timer *time.Timer, i int, careful bool) (err error) {
	started := false
	for _, c := range d.chips {
		if c.busy = false; i < len(c.todo) && c.err == nil && err == nil {
			c.err = c.cfg.ADC.Start(c.channel(i), ads1115.Range6V144)
			c.busy = c.err == nil
			started = started || c.busy
			err = broken(c.err)
		}
	}
	if started && err == nil {
		timer.Reset(ads1115.Conversion)
		select {
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	for _, c := range d.chips {
		switch {
		case c.busy && err != nil:
			c.cfg.ADC.Release()
		case c.busy:
			var code ads1115.Code
			if code, c.err = c.finish(careful); broken(c.err) == nil {
				d.take(c, i, code)
			}
			err = broken(c.err)
		case i < len(c.todo) && err == nil:
			d.take(c, i, 0)
		}
	}
	return err
}

// finish reads the result of the conversion under way.
func (c *chip) finish(careful bool) (ads1115.Code, error) {
	if careful {
		if err := c.cfg.ADC.Check(); err != nil {
			c.cfg.ADC.Release()
			return 0, err
		}
	}
	return c.cfg.ADC.Finish()
}

// channel is that of the i-th thing that the chip has to do.
func (c *chip) channel(i int) int {
	if c.todo[i] == nil {
		return c.cfg.Reference
	}
	return c.todo[i].cfg.Channel
}

// broken is errBus with its cause if the error is one of the bus rather than of a chip.
func broken(err error) error {
	if bus.Down(err) {
		return fmt.Errorf("%w: %w", errBus, err)
	}
	return nil
}

// take hears the i-th result of a chip, or why there is none.
func (d *Driver) take(c *chip, i int, code ads1115.Code) {
	l := c.todo[i]
	switch {
	case l == nil && c.err == nil:
		d.mu.Lock()
		c.reference = code
		d.mu.Unlock()
	case l == nil:
	case c.err != nil:
		d.observe(l, 0, class{zone.Missing, "chip", -1}, c.err)
	default:
		d.observe(l, code, l.scheme.classify(code, c.reference, l.pull, l.held), nil)
	}
}

// observe counts a reading, and tells a change when enough of them agree.
func (d *Driver) observe(l *loop, code ads1115.Code, c class, why error) {
	if c == l.held {
		l.equal, l.tries = 0, max(l.tries-1, 0)
		d.mu.Lock()
		l.code = code
		d.mu.Unlock()
		return
	}
	if c != l.candidate {
		l.candidate, l.equal = c, 0
	}
	l.equal++
	l.tries += 2
	switch {
	case l.equal >= agreeing:
		d.settle(l, code, c, why)
	case l.tries >= 2*unsteady && l.held.reason != "unsteady":
		d.settle(l, code, class{zone.Fault, "unsteady", -1}, errors.New("its readings do not agree"))
	}
}

// fail hears that the bus does not work, and says when to try it again. No reading counts until there are new ones. Once may be
// an interference, and while armed a missing zone is an alarm; twice in a row is told of all loops.
func (d *Driver) fail(why error) time.Duration {
	for _, c := range d.chips {
		c.err = why
	}
	for _, l := range d.loops {
		if c := (class{zone.Missing, "bus", -1}); d.failing && l.held != c {
			d.settle(l, 0, c, why)
		}
		l.equal = 0
	}
	if d.failing {
		return stuckPause
	}
	d.failing = true
	return retryAfter
}

// settle makes a class the one that holds, and tells it.
func (d *Driver) settle(l *loop, code ads1115.Code, c class, why error) {
	before := l.held
	d.mu.Lock()
	l.held, l.code = c, code
	text := l.text()
	d.mu.Unlock()
	l.equal, l.tries, l.candidate = 0, 0, class{}
	w := zone.Word{State: c.state, Reason: c.reason, Detail: text}
	if why != nil {
		w.Detail = why.Error()
	}
	if c.band >= 0 {
		l.edges++
		w.Changed, w.KernelNS, w.LineSeq = before.band >= 0, bus.Monotonic(), l.edges
	}
	l.zone.Hear(w)
}
