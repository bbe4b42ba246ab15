// A siren, a strobe or a relay is one wire that the station drives, and nothing but the station ever switches off again.
//
// The driver holds the maximum on-time itself: an output goes off when its time is over, also when whoever asked for it is
// dead, and asking again and again makes no siren longer. One cause may have an output on for its maximum on-time, all causes
// together for [MaxOnLimit]; then it rests for [Rest] before the same cause has it again.
//
// # Fail safe
//
// The death of the agent neither fires nor silences an output: no back end moves a line by itself. An I/O box (linesock) and an
// MCP23017 hold the level in hardware of their own, also when the station's kernel dies; the GPIO character device holds it
// while the agent lives, and most controllers keep the pad as it is after that (the kernel promises nothing: gpio-v2 line
// requests, "the state of a line is undefined after release"). A power cut of the box lets all of them fall to their
// power-up level, so the wiring must make that the quiet one. What a killed or stopped run has left on is read at the next
// start, told, and ended after the maximum on-time unless somebody asks for it again: an agent that never starts again ends
// nothing, so a siren also wants a cut-off of its own.
//
// A line is read back after it was set and every ten seconds, where its bus can (errors.ErrUnsupported from Read means that it
// cannot); one that does not follow is told as the state fault, and tried again until it does.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/backlog"
	"watchpost/storage/event"
)

// Times of the work on a line.
const (
	setTimeout = 2 * time.Second
	retryMin   = 100 * time.Millisecond // pauses after a line did not follow; they double from this
	retryMax   = 5 * time.Second        // to this
	checkEvery = 10 * time.Second       // a quiet line is read
	maxText    = 256                    // bytes of a cause or an error in an event
)

// The states of an output, words of the glossary.
const (
	stateUnknown = "unknown" // not read yet
	stateOn      = "on"
	stateOff     = "off"
	stateFault   = "fault" // the line does not follow or cannot be read
)

// errDrift means that a line has moved although nobody here has set it.
var errDrift = errors.New("the line does not hold its level: was the box switched off, or does somebody else drive it?")

// ErrUnknown means that the station has no output of that name.
var ErrUnknown = errors.New("no such output")

// Driver is a set of outputs on the lines of one bus.
type Driver struct {
	o       Options
	outputs []*output

	mu sync.Mutex // guards core, wished, told, detail and since of all outputs
}

// output is one wire at work.
type output struct {
	cfg     Config
	backlog *backlog.Backlog
	wake    chan struct{} // one place: there is a new wish

	core   core
	wished bool   // somebody has asked since the start
	told   string // the state that holds, as told
	detail string // of a fault
	since  time.Time

	known, level bool // the line as last read or set; only its own goroutine looks
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
)

// New checks the options; it does not touch the lines yet.
func New(o Options) (*Driver, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	d := &Driver{o: o}
	for _, c := range o.Outputs {
		d.outputs = append(d.outputs, &output{cfg: c, backlog: backlog.New(source(c.ID), o.Log), wake: make(chan struct{}, 1),
			core: core{maxOn: c.MaxOn}, told: stateUnknown, since: o.Now()})
	}
	return d, nil
}

// String names the driver as logs do.
func (d *Driver) String() string { return fmt.Sprintf("outputs (%d)", len(d.outputs)) }

// Snapshot is the present state of each output: on, off, fault or unknown.
func (d *Driver) Snapshot() []drivers.Reading {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	r := make([]drivers.Reading, 0, len(d.outputs))
	for _, o := range d.outputs {
		text := "line " + o.cfg.Line
		if o.cfg.Role != "" {
			text = o.cfg.Role + ", " + text
		}
		if o.core.on {
			text += fmt.Sprintf(", on for %s more (%s)", max(0, o.core.until.Sub(now)).Round(time.Second), o.core.cause)
		}
		if o.told == stateFault {
			text += ": " + o.detail
		}
		r = append(r, drivers.Reading{Name: o.cfg.ID, State: o.told, Text: text, Since: o.since})
	}
	return r
}

// Drive takes the wish that an output be on, for at most the time given (0 = as long as it may), or off, whoever wanted it on.
// It does not wait for the line: what became of it is told as output.changed, and a line that does not follow is tried on
// until its time is over. The error is [ErrUnknown], which changes nothing, or [ErrSpent] when this cause has used up its time
// and must wait for the output's rest. A wish whose ctx has ended is not taken.
func (d *Driver) Drive(ctx context.Context, id string, on bool, most time.Duration, cause string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("output %s: %w", id, err)
	}
	for _, o := range d.outputs {
		if o.cfg.ID == id {
			return d.wish(o, on, most, clip(cause))
		}
	}
	return fmt.Errorf("output %s: %w", id, ErrUnknown)
}

func (d *Driver) wish(o *output, on bool, most time.Duration, cause string) error {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if on {
		if err := o.core.drive(cause, most, now); err != nil {
			return fmt.Errorf("output %s: %w", o.cfg.ID, err)
		}
	} else {
		o.core.off(cause, now)
	}
	o.wished = true
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run reads every line, drives what is wished and ends what is over, until ctx ends. It moves no line when it ends.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	var wg sync.WaitGroup
	for _, o := range d.outputs {
		wg.Go(func() { o.backlog.Run(ctx, sink) })
		wg.Go(func() { d.keep(ctx, o) })
	}
	wg.Wait()
	return nil
}

// keep holds one line to what is wished of it.
func (d *Driver) keep(ctx context.Context, o *output) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := retryMin
	for ctx.Err() == nil {
		var next time.Duration
		if err := d.settle(ctx, o, d.target(o)); err != nil {
			if ctx.Err() != nil {
				return
			}
			d.fault(o, err)
			next, pause = pause, min(2*pause, retryMax)
		} else {
			next, pause = d.due(o), retryMin
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-o.wake:
		case <-ctx.Done():
		}
	}
}

// target is how a line should be.
type target struct {
	on     bool
	wished bool // by somebody here; false: as the line is found
	cause  string
	until  time.Time
}

// target ends what is over. What was found on is this driver's own from then on.
func (d *Driver) target(o *output) target {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	before := o.core.on
	o.core.tick(now)
	o.wished = o.wished || before && !o.core.on
	return target{on: o.core.on, wished: o.wished, cause: o.core.cause, until: o.core.until}
}

// due is how long nothing happens by itself.
func (d *Driver) due(o *output) time.Duration {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.core.on {
		return max(0, min(checkEvery, o.core.until.Sub(now)))
	}
	return checkEvery
}

// settle makes the line be as it should, or finds out how it is while nobody has asked for anything yet, and tells.
func (d *Driver) settle(ctx context.Context, o *output, to target) error {
	ctx, cancel := context.WithTimeout(ctx, setTimeout)
	defer cancel()
	if !to.wished {
		return d.find(ctx, o)
	}
	if !o.known || o.level != to.on {
		o.known = false
		if err := d.o.Lines.Set(ctx, o.cfg.Line, to.on != o.cfg.ActiveLow); err != nil {
			return err
		}
		o.known, o.level = true, to.on
	}
	if err := d.check(ctx, o); err != nil {
		return err
	}
	d.settled(o, to)
	return nil
}

// find takes up the line as it is: a run before has left it so. A line that cannot be read may be on.
func (d *Driver) find(ctx context.Context, o *output) error {
	level, err := d.o.Lines.Read(ctx, o.cfg.Line)
	readable := !errors.Is(err, errors.ErrUnsupported)
	if err != nil && readable {
		return err
	}
	on := !readable || level != o.cfg.ActiveLow
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case o.wished:
		return nil // since we looked; the wish waits in wake
	case on && !o.core.on:
		o.core.foundOn(now)
	case !on:
		o.core.off("found", now)
	}
	if readable {
		o.known, o.level = true, on
		d.tell(o, target{on: on, cause: "found", until: o.core.until}, event.QualifierStatus, now)
	}
	return nil
}

// check reads the line back.
func (d *Driver) check(ctx context.Context, o *output) error {
	level, err := d.o.Lines.Read(ctx, o.cfg.Line)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		o.known = false
		return err
	case (level != o.cfg.ActiveLow) != o.level:
		o.level = !o.level
		return errDrift
	}
	return nil
}

// settled tells a line that follows.
func (d *Driver) settled(o *output, to target) {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !to.on && o.told != stateOff {
		o.core.wentOff(now)
	}
	qualifier := event.QualifierRestore
	if to.on {
		qualifier = event.QualifierNew
	}
	d.tell(o, to, qualifier, now)
}

// tell notes a state and queues its event if it is new. It needs the mutex.
func (d *Driver) tell(o *output, to target, q event.Qualifier, now time.Time) {
	state, fields := stateOff, []event.Field{event.Text(event.TagReason, to.cause)}
	if to.on {
		state, fields = stateOn, append(fields, event.Uint(event.TagDuration, uint64(max(0, to.until.Sub(now)))))
	}
	if o.told == state {
		return
	}
	d.change(o, state, q, event.SeverityNotice, now, fields)
	d.o.Log.Info("output changed", "output", o.cfg.ID, "state", state, "reason", to.cause)
}

// fault tells a line that does not follow, once until it does.
func (d *Driver) fault(o *output, err error) {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	o.detail = clip(err.Error())
	if o.told == stateFault {
		return
	}
	d.change(o, stateFault, event.QualifierNew, event.SeverityWarning, now,
		[]event.Field{event.Text(event.TagReason, "line"), event.Text(event.TagDetail, o.detail)})
	d.o.Log.Error("output does not follow, trying on", "output", o.cfg.ID, "error", err)
}

func (d *Driver) change(o *output, state string, q event.Qualifier, s event.Severity, now time.Time, fields []event.Field) {
	fields = append(fields, event.Text(event.TagOutput, o.cfg.ID), event.Text(event.TagState, state),
		event.Text(event.TagPrevious, o.told), event.Text(event.TagLine, o.cfg.Line))
	o.told, o.since = state, now
	o.backlog.Add(event.Draft{At: now, Kind: event.KindOutputChanged, Qualifier: q, Source: source(o.cfg.ID), Severity: s,
		Body: event.NewBody(fields...)})
}
