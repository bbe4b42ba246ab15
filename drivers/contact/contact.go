// A contact is a door switch, a motion detector, a tamper switch or a panic button: one wire that is normal or active.
//
// The driver tells each change of each zone once, and keeps it until it is stored. A dead wire is the state missing, never
// normal; a wire that chatters is one fault instead of a thousand events; edges that the wire is known to have lost are
// told as an activation, because a zone whose line changed and changed back has been active.
package contact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// Pauses between two attempts to store a fact; they double from the first to the second.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second
)

// Driver is a set of contacts on the lines of one bus.
type Driver struct {
	o     Options
	zones []*zone

	mu sync.Mutex // guards machine and since of all zones
}

// zone is one contact at work.
type zone struct {
	cfg     Config
	queue   *queue
	machine *machine
	since   time.Time
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
)

// New checks the options; it does not touch the lines yet.
func New(o Options) (*Driver, error) {
	if o.Lines == nil {
		return nil, errors.New("contact: no bus to find the lines on")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Driver{o: o}
	zones, lines := map[string]bool{}, map[string]bool{}
	for _, c := range o.Contacts {
		switch {
		case c.Zone == "" || len(source(c.Zone)) > event.MaxName:
			return nil, fmt.Errorf("contact on line %q: a zone name has 1 to %d bytes", c.Line, event.MaxName-len(source("")))
		case !bus.ValidName(c.Line):
			return nil, fmt.Errorf("zone %s: line %q: want 1 to %d of a-z, 0-9, hyphen", c.Zone, c.Line, bus.MaxName)
		case zones[c.Zone] || lines[c.Line]:
			return nil, fmt.Errorf("zone %s on line %s: the zone or the line is taken by another contact", c.Zone, c.Line)
		case c.Severity < event.SeverityNotice || c.Severity > event.SeverityAlarm:
			return nil, fmt.Errorf("zone %s: severity must be notice, warning or alarm", c.Zone)
		case c.Debounce < 0:
			return nil, fmt.Errorf("zone %s: debounce %s is negative", c.Zone, c.Debounce)
		}
		zones[c.Zone], lines[c.Line] = true, true
		d.zones = append(d.zones, &zone{cfg: c, queue: newQueue(), machine: newMachine(c), since: o.Now()})
	}
	return d, nil
}

func source(zone string) string { return "line/" + zone }

// String names the driver as logs do.
func (d *Driver) String() string { return fmt.Sprintf("contacts (%d)", len(d.zones)) }

// Snapshot is the present state of each zone.
func (d *Driver) Snapshot() []drivers.Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := make([]drivers.Reading, 0, len(d.zones))
	for _, z := range d.zones {
		text := "line " + z.cfg.Line
		if n := z.queue.len(); n > 0 {
			text += fmt.Sprintf(", %d changes not stored yet", n)
		}
		r = append(r, drivers.Reading{Name: z.cfg.Zone, State: z.machine.told, Text: text, Since: z.since})
	}
	return r
}

// Run watches the lines until ctx ends. It returns an error only if the bus cannot be asked at all.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	edges := make(chan bus.Edge, 64)
	group.Go(func() error { return d.watch(ctx, edges) })
	group.Go(func() error { return d.listen(ctx, edges) })
	for _, z := range d.zones {
		group.Go(func() error { return d.store(ctx, z, sink) })
	}
	return group.Wait()
}

func (d *Driver) watch(ctx context.Context, edges chan<- bus.Edge) error {
	lines := make([]bus.LineConfig, 0, len(d.zones))
	for _, z := range d.zones {
		lines = append(lines, bus.LineConfig{Line: z.cfg.Line, Debounce: z.cfg.Debounce})
	}
	if err := d.o.Lines.Watch(ctx, lines, edges); err != nil {
		return fmt.Errorf("watching contacts: %w", err)
	}
	return nil
}

// listen runs the machines. It never waits for the sink, so that no line holds up another.
func (d *Driver) listen(ctx context.Context, edges <-chan bus.Edge) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d.arm(timer)
		select {
		case e := <-edges:
			for _, z := range d.zones {
				if z.cfg.Line == e.Line {
					d.step(z, func(now time.Time) []fact { return z.machine.edge(e, now) })
				}
			}
		case <-timer.C:
			for _, z := range d.zones {
				d.step(z, z.machine.tick)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// arm sets the timer to the next thing that time will bring, if any.
func (d *Driver) arm(timer *time.Timer) {
	timer.Stop()
	var next time.Time
	for _, z := range d.zones {
		if at, ok := z.machine.due(); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if !next.IsZero() {
		timer.Reset(next.Sub(d.o.Now()))
	}
}

func (d *Driver) step(z *zone, do func(time.Time) []fact) {
	now := d.o.Now()
	d.mu.Lock()
	before := z.machine.told
	facts := do(now)
	if z.machine.told != before {
		z.since = now
	}
	d.mu.Unlock()
	for _, f := range facts {
		d.o.Log.Info("zone changed", "zone", z.cfg.Zone, "state", f.state, "previous", f.previous, "lost", f.lost)
		z.queue.push(f)
	}
}

// store hands the zone's facts to the sink, in order, each until it is stored.
func (d *Driver) store(ctx context.Context, z *zone, sink drivers.Sink) error {
	pause, failing := retryMin, false
	for {
		f, ok := z.queue.head()
		if !ok {
			select {
			case <-z.queue.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		err := sink(ctx, z.draft(f))
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			if failing {
				d.o.Log.Info("zone's events are stored again", "zone", z.cfg.Zone)
			}
			z.queue.pop()
			pause, failing = retryMin, false
			continue
		}
		if !failing {
			d.o.Log.Error("zone's event is not stored, trying on", "zone", z.cfg.Zone, "error", err)
		}
		failing = true
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
		pause = min(2*pause, retryMax)
	}
}

// draft is the fact as an event.
func (z *zone) draft(f fact) event.Draft {
	fields := []event.Field{
		event.Text(event.TagState, f.state), event.Text(event.TagPrevious, f.previous),
		event.Text(event.TagReason, f.reason), event.Text(event.TagDetail, f.detail), event.Text(event.TagLine, z.cfg.Line),
	}
	if f.state == stateActive {
		fields = append(fields, event.Text(event.TagCode, z.cfg.Code))
	}
	if f.lost > 0 {
		fields = append(fields, event.Uint(event.TagLost, f.lost))
	}
	if f.count > 0 {
		fields = append(fields, event.Uint(event.TagCount, f.count))
	}
	if f.lineSeq > 0 {
		fields = append(fields, event.Uint(event.TagLineSeq, f.lineSeq))
	}
	return event.Draft{
		KernelNS: f.kernelNS, Kind: event.KindZoneChanged, Qualifier: f.qualifier, Zone: z.cfg.Zone, Source: source(z.cfg.Zone),
		Severity: f.severity, Body: event.NewBody(fields...), Once: f.once,
	}
}
