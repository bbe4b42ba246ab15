// A station lives from the mains, and from a battery when the mains fails; somebody must hear of it while the battery lasts.
//
// The driver watches an INA219 between the battery (VIN+) and the station (VIN−). A current out of the battery for half a
// minute is a mains failure, a low voltage is a battery that will soon be empty. A chip that does not answer says neither:
// the supply is missing then, not the mains.
package power

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/backlog"
	"watchpost/drivers/ina219"
	"watchpost/drivers/measure"
	"watchpost/storage/event"
)

// ID is the name of the supply in events and states.
const ID = "power"

// every is how often the chip is asked.
const every = time.Second

// Bounds of MainsAfter.
const (
	minMainsAfter = 10 * time.Second
	maxMainsAfter = time.Minute
)

// Meter measures the battery: its voltage, and the current out of it.
type Meter interface {
	Sample(ctx context.Context) (ina219.Sample, error)
}

var _ Meter = (*ina219.Chip)(nil)

// Options are the supply of a station.
type Options struct {
	Meter Meter
	// MainsAfter is how long the battery feeds the station before the mains has failed, 10 s to 1 min; 0 = 30 s.
	MainsAfter time.Duration
	// Low is the voltage of a battery that is low; 0 = 11.6 V, for 12 V of lead.
	Low measure.Voltage
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// Driver watches the supply.
type Driver struct {
	o       Options
	backlog *backlog.Backlog

	mu      sync.Mutex // guards the fields below
	machine machine
	since   time.Time
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
)

// New checks the options; it does not ask the chip yet.
func New(o Options) (*Driver, error) {
	if o.MainsAfter == 0 {
		o.MainsAfter = 30 * time.Second
	}
	if o.Low == 0 {
		o.Low = 116 * measure.Volt / 10
	}
	switch {
	case o.Meter == nil:
		return nil, errors.New("power: no chip to ask")
	case o.MainsAfter < minMainsAfter || o.MainsAfter > maxMainsAfter:
		return nil, fmt.Errorf("power: a mains failure after %s: take %s to %s", o.MainsAfter, minMainsAfter, maxMainsAfter)
	case o.Low < measure.Volt || o.Low > 60*measure.Volt:
		return nil, fmt.Errorf("power: a battery low at %s: take 1 V to 60 V", o.Low)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Driver{o: o, backlog: backlog.New(ID, o.Log), since: o.Now(), machine: machine{mainsAfter: o.MainsAfter, lowVolts: o.Low, told: Unknown}}, nil
}

// String names the driver as logs do.
func (d *Driver) String() string { return ID }

// Snapshot is the present state of the supply with voltage and current.
func (d *Driver) Snapshot() []drivers.Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	return []drivers.Reading{{Name: ID, State: d.machine.told, Text: d.machine.text(), Since: d.since}}
}

// Run asks the chip until ctx ends.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		d.backlog.Run(ctx, sink)
		return nil
	})
	group.Go(func() error { return d.watch(ctx) })
	return group.Wait()
}

func (d *Driver) watch(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		s, err := d.o.Meter.Sample(ctx)
		if ctx.Err() != nil {
			return nil
		}
		now := d.o.Now()
		d.mu.Lock()
		facts := d.machine.hear(s, err, now)
		if len(facts) > 0 {
			d.since = now
		}
		d.mu.Unlock()
		for _, f := range facts {
			d.o.Log.Warn("supply changed", "state", f.state, "previous", f.previous, "reason", f.reason, "detail", f.detail)
			d.backlog.Add(draft(f))
		}
		timer.Reset(every)
	}
}

// draft is the fact as an event, with the voltage.
func draft(f fact) event.Draft {
	fields := []event.Field{
		event.Text(event.TagState, f.state), event.Text(event.TagPrevious, f.previous), event.Text(event.TagReason, f.reason),
		event.Text(event.TagDetail, f.detail),
	}
	if f.sample != nil {
		fields = append(fields, event.Text(event.TagValue, measure.Micro(f.sample.Voltage).String()), event.Text(event.TagUnit, measure.UnitVoltage))
	}
	if f.limit != 0 {
		fields = append(fields, event.Text(event.TagLimit, measure.Micro(f.limit).String()))
	}
	return event.Draft{Kind: event.KindSensorChanged, Qualifier: f.qualifier, Zone: ID, Source: ID, Severity: f.severity, Body: event.NewBody(fields...)}
}
