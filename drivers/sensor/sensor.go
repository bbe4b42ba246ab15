// A sensor is asked now and then how warm, how wet or how high it is, and somebody is told when that leaves its limits.
//
// A sensor that does not answer is missing, one that is not to be believed is a fault; both are told as soon as three
// readings in a row have failed, and have no value until it works again. Values inside their limits are kept as a trace.
package sensor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/backlog"
	"watchpost/drivers/measure"
	"watchpost/storage/event"
)

// Probe measures once. The names of its readings are the same each time. It returns within seconds, and soon after ctx ends.
type Probe interface {
	Measure(ctx context.Context) ([]measure.Reading, error)
}

// again is how soon a measurement that failed is tried again, until it is told.
const again = time.Second

// crowd is how many facts may wait before a trace of values, which can be had again, is not added to them.
const crowd = 16

// Options are one sensor.
type Options struct {
	// ID is the sensor's name in the configuration.
	ID    string
	Probe Probe
	// Every is how often it is asked, at least 100 ms.
	Every time.Duration
	// Report is how often its values are kept as a trace; 0 = never.
	Report time.Duration
	// Low and High are limits by the names of readings, in millionths of their units.
	Low, High map[string]measure.Micro
	// Severity is that of a value which leaves its limits.
	Severity event.Severity
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// Driver is one sensor at work.
type Driver struct {
	o       Options
	backlog *backlog.Backlog

	mu      sync.Mutex // guards the fields below
	machine *machine
	since   time.Time
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
)

// New checks the options; it does not ask the probe yet.
func New(o Options) (*Driver, error) {
	switch {
	case o.ID == "" || len(source(o.ID)) > event.MaxName:
		return nil, fmt.Errorf("sensor %q: a name has 1 to %d bytes", o.ID, event.MaxName-len(source("")))
	case o.Probe == nil:
		return nil, fmt.Errorf("sensor %s: nothing to ask", o.ID)
	case o.Every < 100*time.Millisecond || o.Report < 0:
		return nil, fmt.Errorf("sensor %s: asked every %s, kept every %s: take 100 ms or more, and 0 or more", o.ID, o.Every, o.Report)
	case o.Severity < event.SeverityNotice || o.Severity > event.SeverityAlarm:
		return nil, fmt.Errorf("sensor %s: severity must be notice, warning or alarm", o.ID)
	}
	for name, low := range o.Low {
		if high, ok := o.High[name]; ok && low >= high {
			return nil, fmt.Errorf("sensor %s: low %s %s is not below high %s", o.ID, name, low, high)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Driver{o: o, backlog: backlog.New(source(o.ID), o.Log), since: o.Now(),
		machine: &machine{low: o.Low, high: o.High, severity: o.Severity, quantities: map[string]*quantity{}}}, nil
}

func source(id string) string { return "sensor/" + id }

// String names the driver as logs do.
func (d *Driver) String() string { return "sensor " + d.o.ID }

// Snapshot is the present state of the sensor with its values.
func (d *Driver) Snapshot() []drivers.Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	return []drivers.Reading{{Name: d.o.ID, State: d.machine.state(), Text: d.machine.text(), Since: d.since}}
}

// Run asks the probe until ctx ends.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		d.backlog.Run(ctx, sink)
		return nil
	})
	group.Go(func() error { return d.ask(ctx) })
	return group.Wait()
}

func (d *Driver) ask(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var report time.Time
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		begun := d.o.Now()
		readings, err := d.o.Probe.Measure(ctx)
		if ctx.Err() != nil {
			return nil
		}
		now := d.o.Now()
		keep := d.o.Report > 0 && !now.Before(report)
		if d.take(readings, err, keep, now) && keep {
			report = now.Add(d.o.Report)
		}
		pause := d.o.Every - now.Sub(begun)
		if d.failing() {
			pause = min(pause, again)
		}
		timer.Reset(pause)
	}
}

// failing says that a measurement has failed, and that it is not told yet.
func (d *Driver) failing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.fails > 0 && d.machine.fails < failures
}

// take puts what a measurement tells into the backlog, and says whether there were values.
func (d *Driver) take(readings []measure.Reading, err error, keep bool, now time.Time) bool {
	d.mu.Lock()
	before := d.machine.state()
	facts := d.machine.hear(readings, err)
	if d.machine.state() != before {
		d.since = now
	}
	reads := d.machine.reads()
	d.mu.Unlock()
	for _, f := range facts {
		d.o.Log.Info("sensor changed", "sensor", d.o.ID, "quantity", f.quantity, "state", f.state, "previous", f.previous, "detail", f.detail)
		d.backlog.Add(d.draft(f))
	}
	if keep && d.backlog.Len() < crowd {
		for _, f := range reads {
			d.backlog.Add(d.draft(f))
		}
	}
	return len(reads) > 0
}

// maxDetail is how many bytes of a detail go into an event.
const maxDetail = 256

// clip makes text of a probe fit for an event.
func clip(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

// draft is the fact as an event.
func (d *Driver) draft(f fact) event.Draft {
	from := source(d.o.ID)
	if f.quantity != "" {
		from += "/" + f.quantity
	}
	fields := []event.Field{
		event.Text(event.TagState, f.state), event.Text(event.TagPrevious, f.previous), event.Text(event.TagReason, f.reason),
		event.Text(event.TagDetail, clip(f.detail, maxDetail)), event.Text(event.TagUnit, clip(f.unit, event.MaxName)),
	}
	if f.valued {
		fields = append(fields, event.Text(event.TagValue, f.value.String()))
	}
	if f.limit != nil {
		fields = append(fields, event.Text(event.TagLimit, f.limit.String()))
	}
	return event.Draft{Kind: f.kind, Qualifier: f.qualifier, Zone: d.o.ID, Source: clip(from, event.MaxName), Severity: f.severity, Body: event.NewBody(fields...)}
}
