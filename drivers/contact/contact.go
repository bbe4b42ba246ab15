// A contact is a door switch, a motion detector, a tamper switch or a panic button: one wire that is normal or active.
//
// The driver makes a word of its zone of each word of the wire. A dead wire is the state missing, never normal.
package contact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/drivers/zone"
)

// Driver is a set of contacts on the lines of one bus.
type Driver struct {
	o        Options
	contacts []contact
}

// contact is one contact at work.
type contact struct {
	cfg  Config
	zone *zone.Zone
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
		case !bus.ValidName(c.Line):
			return nil, fmt.Errorf("zone %s: line %q: want 1 to %d of a-z, 0-9, hyphen", c.Zone, c.Line, bus.MaxName)
		case zones[c.Zone] || lines[c.Line]:
			return nil, fmt.Errorf("zone %s on line %s: the zone or the line is taken by another contact", c.Zone, c.Line)
		case c.Debounce < 0:
			return nil, fmt.Errorf("zone %s: debounce %s is negative", c.Zone, c.Debounce)
		}
		z, err := zone.New(zone.Config{Zone: c.Zone, Source: "line/" + c.Zone, Line: c.Line, Code: c.Code, Severity: c.Severity}, o.Log, o.Now)
		if err != nil {
			return nil, fmt.Errorf("contact on line %s: %w", c.Line, err)
		}
		zones[c.Zone], lines[c.Line] = true, true
		d.contacts = append(d.contacts, contact{cfg: c, zone: z})
	}
	return d, nil
}

// String names the driver as logs do.
func (d *Driver) String() string { return fmt.Sprintf("contacts (%d)", len(d.contacts)) }

// Snapshot is the present state of each zone.
func (d *Driver) Snapshot() []drivers.Reading {
	r := make([]drivers.Reading, 0, len(d.contacts))
	for _, c := range d.contacts {
		r = append(r, c.zone.Reading("line "+c.cfg.Line))
	}
	return r
}

// Run watches the lines until ctx ends. It returns an error only if the bus cannot be asked at all.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	edges := make(chan bus.Edge, 64)
	group.Go(func() error { return d.watch(ctx, edges) })
	group.Go(func() error { return d.listen(ctx, edges) })
	for _, c := range d.contacts {
		group.Go(func() error { return c.zone.Store(ctx, sink) })
	}
	return group.Wait()
}

func (d *Driver) watch(ctx context.Context, edges chan<- bus.Edge) error {
	lines := make([]bus.LineConfig, 0, len(d.contacts))
	for _, c := range d.contacts {
		lines = append(lines, bus.LineConfig{Line: c.cfg.Line, Debounce: c.cfg.Debounce})
	}
	if err := d.o.Lines.Watch(ctx, lines, edges); err != nil {
		return fmt.Errorf("watching contacts: %w", err)
	}
	return nil
}

// listen hands the words on. It never waits for the sink, so that no line holds up another.
func (d *Driver) listen(ctx context.Context, edges <-chan bus.Edge) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d.arm(timer)
		select {
		case e := <-edges:
			for _, c := range d.contacts {
				if c.cfg.Line == e.Line {
					c.zone.Hear(c.cfg.word(e))
				}
			}
		case <-timer.C:
			for _, c := range d.contacts {
				c.zone.Tick()
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
	for _, c := range d.contacts {
		if at, ok := c.zone.Due(); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if !next.IsZero() {
		timer.Reset(next.Sub(d.o.Now()))
	}
}

// word is what an edge says of the zone.
func (c Config) word(e bus.Edge) zone.Word {
	if e.Quality == bus.Missing {
		return zone.Word{State: zone.Missing, Reason: "wire", Detail: e.Reason}
	}
	w := zone.Word{State: zone.Normal, Changed: e.Quality == bus.Changed, KernelNS: e.KernelNS, LineSeq: e.LineSeq, Lost: e.Lost}
	if e.Level != c.NormallyClosed {
		w.State = zone.Active
	}
	return w
}
