// A PLC, a meter or a remote I/O block is a Modbus slave: it says nothing until it is asked, so a station polls it, many on
// one line, and a slave that is dead must not make the others wait.
//
// The codec follows MODBUS Application Protocol V1.1b3, the serial line MODBUS over Serial Line V1.02 (RTU), the network MODBUS
// Messaging on TCP/IP V1.0b. A [Client] asks; the [Driver] polls zones and values with it.
//
// # A round
//
// Once per interval each slave is asked for its points, merged into as few requests as possible. What fails three times on end
// is missing. A slave that does not answer is not asked again in that round. What is missing is asked for again after 1 s, then
// 2 s and so on up to 10 s, and at most one such request in a round: so however many slaves are dead, the living wait for one
// answer that does not come, and not for more. A slave that refuses a merged request is asked for each point alone from then on.
//
// A zone that is active when it is first polled is told as such, whatever the run before has told: nobody knows when that was.
package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/drivers/zone"
)

// Of a round.
const (
	lostAfter  = 3 // failures on end
	backOffMin = time.Second
	backOffMax = 10 * time.Second
	maxText    = 256 // bytes of an error in an event
)

// Driver polls the slaves of one bus.
type Driver struct {
	o      Options
	slaves []*slave
	inputs []*input
	probes []*Probe
	noWire error // why the wire could not be opened when it was last needed; only Run looks
}

// slave is one unit at work. Only Run looks.
type slave struct {
	unit byte
	jobs []*job
}

// input is one zone at work.
type input struct {
	cfg   Input
	place string // for people: bus, unit and number
	zone  *zone.Zone
	heard string // the last word to the zone; only Run looks
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
	_ Asker               = (*Client)(nil)
)

// New checks the options; it asks nobody yet.
func New(o Options) (*Driver, error) {
	o = o.filled()
	if err := o.check(); err != nil {
		return nil, err
	}
	d := &Driver{o: o}
	var points []point
	for _, c := range o.Inputs {
		in := &input{cfg: c, place: c.place(o.Bus)}
		var err error
		in.zone, err = zone.New(zone.Config{Zone: c.Zone, Source: source(c.Zone), Line: in.place, Code: c.Code, Severity: c.Severity}, o.Log, o.Now)
		if err != nil {
			return nil, fmt.Errorf("modbus %s: %w", in.place, err)
		}
		d.inputs = append(d.inputs, in)
		points = append(points, point{unit: c.Unit, function: c.function(), first: int(c.Number), count: 1, take: in.take})
	}
	for _, c := range o.Values {
		p := &Probe{cfg: c, now: o.Now, stale: 2*backOffMax + lostAfter*o.Interval}
		d.probes = append(d.probes, p)
		points = append(points, point{unit: c.Unit, function: c.function(), first: int(c.Number), count: c.Type.registers(), take: p.take})
	}
	for _, j := range plan(points) {
		if n := len(d.slaves); n == 0 || d.slaves[n-1].unit != j.unit {
			d.slaves = append(d.slaves, &slave{unit: j.unit})
		}
		s := d.slaves[len(d.slaves)-1]
		s.jobs = append(s.jobs, j)
	}
	return d, nil
}

// String names the driver as logs do.
func (d *Driver) String() string {
	return fmt.Sprintf("modbus %s (%d zones, %d values)", d.o.Bus, len(d.inputs), len(d.probes))
}

// Probe is the value of that id, to be measured by a sensor; nil if there is none.
func (d *Driver) Probe(id string) *Probe {
	for _, p := range d.probes {
		if p.cfg.ID == id {
			return p
		}
	}
	return nil
}

// Snapshot is the present state of each zone.
func (d *Driver) Snapshot() []drivers.Reading {
	r := make([]drivers.Reading, 0, len(d.inputs))
	for _, in := range d.inputs {
		r = append(r, in.zone.Reading(in.place))
	}
	return r
}

// Run polls until ctx ends.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, in := range d.inputs {
		group.Go(func() error { return in.zone.Store(ctx, sink) })
	}
	group.Go(func() error { return d.poll(ctx) })
	return group.Wait()
}

func (d *Driver) poll(ctx context.Context) error {
	ticker := time.NewTicker(d.o.Interval) // a round that takes longer is followed at once, and none is made up for
	defer ticker.Stop()
	for {
		d.round(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// round asks each slave that answers, and the missing request that has waited longest past its time.
func (d *Driver) round(ctx context.Context) {
	now := d.o.Now()
	var due *job
	var of *slave
	for _, s := range d.slaves {
		var well []*job
		for _, j := range s.jobs {
			switch {
			case !j.missing():
				well = append(well, j)
			case now.Before(j.retryAt):
			case due == nil || j.retryAt.Before(due.retryAt):
				due, of = j, s
			}
		}
		if !d.ask(ctx, s, well) {
			d.dead(ctx)
			return
		}
	}
	if due == nil {
		return
	}
	again := []*job{due}
	for _, j := range of.jobs {
		if j.missing() && j != due {
			again = append(again, j) // if due is answered, so may these
		}
	}
	if !d.ask(ctx, of, again) {
		d.dead(ctx)
	}
}

// ask does jobs of one slave until one is not answered; false means that the whole wire is dead.
func (d *Driver) ask(ctx context.Context, s *slave, jobs []*job) bool {
	answered := false
	for i, j := range jobs {
		a, err := d.o.Client.Do(ctx, s.unit, j.request)
		if ctx.Err() != nil {
			return true
		}
		var refused Exception
		switch isRefused := errors.As(err, &refused); {
		case err == nil:
			d.answered(s, j, a)
		case errors.Is(err, ErrNoWire):
			d.noWire = err
			return false
		case !isRefused || refused.ofGateway():
			d.failed(s, j, err)
			if !answered { // the slave is silent, so the rest would wait in vain
				for _, j := range jobs[i+1:] {
					d.failed(s, j, err)
				}
			}
			return true
		case refused.ofAddress() && len(j.points) > 1:
			at := slices.Index(s.jobs, j)
			s.jobs = slices.Replace(s.jobs, at, at+1, j.split()...)
		default:
			d.failed(s, j, err)
		}
		answered = true
		d.alive()
	}
	return true
}

func (d *Driver) answered(s *slave, j *job, a Answer) {
	if j.missing() {
		d.o.Log.Info("modbus slave answers again", "unit", s.unit, "at", j.request.Address)
	}
	j.fails, j.pause = 0, 0
	j.deliver(a, nil)
}

// failed counts a request that brought nothing. When that is often enough its points are missing, and it waits.
func (d *Driver) failed(s *slave, j *job, err error) {
	j.fails++
	if !j.missing() {
		return
	}
	if j.fails == lostAfter {
		d.o.Log.Warn("modbus slave does not answer", "unit", s.unit, "at", j.request.Address, "error", err)
	}
	j.pause = min(max(2*j.pause, backOffMin), backOffMax)
	j.retryAt = d.o.Now().Add(j.pause)
	j.deliver(Answer{}, err)
}

// dead counts a round in which the wire could not be opened: that is nobody's silence, and nobody else needs to be asked.
func (d *Driver) dead(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	for _, s := range d.slaves {
		for _, j := range s.jobs {
			d.failed(s, j, d.noWire)
		}
	}
}

// alive has all slaves asked again at once after the wire was dead.
func (d *Driver) alive() {
	if d.noWire == nil {
		return
	}
	d.noWire = nil
	for _, s := range d.slaves {
		for _, j := range s.jobs {
			j.fails, j.pause = min(j.fails, lostAfter-1), 0
		}
	}
}

// take hears one poll. The zone is told what is new: it counts changes.
func (in *input) take(a Answer, err error) {
	w := zone.Word{State: zone.Normal, Changed: in.heard != "" && in.heard != zone.Missing, KernelNS: bus.Monotonic()}
	switch {
	case err != nil:
		w = zone.Word{State: zone.Missing, Reason: "wire", Detail: clip(err.Error())}
	case a.Bits[0] != in.cfg.NormallyClosed:
		w.State = zone.Active
	}
	if w.State != in.heard {
		in.heard = w.State
		in.zone.Hear(w)
	}
	in.zone.Tick()
}

// clip makes text fit for an event.
func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "?")
}
