// A supervised loop has resistors at the far end of its cable, so that a cut cable, a shorted one and a covered detector are
// each another resistance than a door that stands open.
//
// The driver measures the loops of one bus over ADS1115 chips. It compares each with the excitation that feeds it, which one
// channel of the chip reads. All loops are read every 100 ms; one that reads otherwise than told is read again every 10 ms,
// and counts when three readings agree. What cannot be read is missing, and what cannot be believed (the excitation is not
// there, a foreign voltage is, the readings do not agree) is a fault: neither is ever normal.
package eol

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/ads1115"
	"watchpost/drivers/measure"
	"watchpost/drivers/zone"
	"watchpost/storage/event"
)

// Loop is one zone on one channel of a chip.
type Loop struct {
	// Zone is the station's name of the zone.
	Zone string
	// Channel is the chip's input, 0 to 3.
	Channel int
	// Scheme is 4k7-dual, 10k-dual, 5k6-single or 4k7-22k-mask.
	Scheme string
	// Pull is the resistor between the excitation and the loop; 0 = that of the scheme, 4.7, 10, 5.6 and 4.7 kΩ.
	Pull measure.Resistance
	// Code is the SIA code of the zone's activation, "" = none; Severity is that of an activation.
	Code     string
	Severity event.Severity
}

// Chip is a converter with loops on it.
type Chip struct {
	// ID is the chip's name in the configuration.
	ID  string
	ADC *ads1115.ADC
	// Reference is the channel that reads the excitation, 2.5 V to 5.5 V.
	Reference int
	Loops     []Loop
}

// Options are the loops of one bus.
type Options struct {
	// Chips are all on the same bus: where it is stuck, none of them is asked on its own.
	Chips []Chip
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// Driver is the loops of one bus.
type Driver struct {
	o       Options
	chips   []*chip
	loops   []*loop
	failing bool // the last pass found that the bus does not work

	mu sync.Mutex // guards reference of all chips, and code and held of all loops
}

// chip is a converter at work.
type chip struct {
	cfg       Chip
	reference ads1115.Code
	err       error   // of the last pass
	todo      []*loop // of this pass, nil = the reference
	busy      bool    // a conversion is under way
}

// loop is a zone at work.
type loop struct {
	cfg    Loop
	chip   *chip
	zone   *zone.Zone
	scheme scheme
	pull   measure.Resistance

	code      ads1115.Code
	held      class // as told
	candidate class
	equal     int // readings of candidate in a row
	tries     int // twice the readings other than held, less those like it
	edges     uint64
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
)

// New checks the options; it does not touch the chips yet.
func New(o Options) (*Driver, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Driver{o: o}
	zones := map[string]bool{}
	for _, cfg := range o.Chips {
		if cfg.ADC == nil || cfg.Reference < 0 || cfg.Reference >= ads1115.Channels {
			return nil, fmt.Errorf("chip %s: reference channel %d: a chip has channels 0 to %d", cfg.ID, cfg.Reference, ads1115.Channels-1)
		}
		c := &chip{cfg: cfg}
		channels := map[int]string{cfg.Reference: "the excitation"}
		for _, l := range cfg.Loops {
			if taken := channels[l.Channel]; taken != "" || l.Channel < 0 || l.Channel >= ads1115.Channels {
				return nil, fmt.Errorf("zone %s on %s: channel %d is not there, or taken by %s", l.Zone, cfg.ID, l.Channel, taken)
			}
			if zones[l.Zone] {
				return nil, fmt.Errorf("zone %s on %s: it is on another channel already", l.Zone, cfg.ID)
			}
			channels[l.Channel], zones[l.Zone] = l.Zone, true
			one, err := d.loop(c, l)
			if err != nil {
				return nil, err
			}
			d.loops = append(d.loops, one)
		}
		d.chips = append(d.chips, c)
	}
	return d, nil
}

func (d *Driver) loop(c *chip, cfg Loop) (*loop, error) {
	s, err := schemeOf(cfg.Scheme)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", cfg.Zone, err)
	}
	l := &loop{cfg: cfg, chip: c, scheme: s, pull: cfg.Pull, held: class{zone.Unknown, "", -1}}
	if l.pull == 0 {
		l.pull = s.pull
	}
	if l.pull < 100*measure.Ohm || l.pull > 100*measure.Kiloohm {
		return nil, fmt.Errorf("zone %s: pull-up %s: take 100 Ω to 100 kΩ", cfg.Zone, l.pull)
	}
	l.zone, err = zone.New(zone.Config{Zone: cfg.Zone, Source: "loop/" + cfg.Zone, Line: fmt.Sprintf("%s channel %d", c.cfg.ID, cfg.Channel),
		Code: cfg.Code, Severity: cfg.Severity}, d.o.Log, d.o.Now)
	if err != nil {
		return nil, fmt.Errorf("loop on %s: %w", c.cfg.ID, err)
	}
	return l, nil
}

// String names the driver as logs do.
func (d *Driver) String() string { return fmt.Sprintf("loops (%d)", len(d.loops)) }

// Snapshot is the present state of each zone, with its resistance and the voltages behind it.
func (d *Driver) Snapshot() []drivers.Reading {
	r := make([]drivers.Reading, 0, len(d.loops))
	for _, l := range d.loops {
		d.mu.Lock()
		text := l.text()
		d.mu.Unlock()
		r = append(r, l.zone.Reading(fmt.Sprintf("%s channel %d: %s", l.chip.cfg.ID, l.cfg.Channel, text)))
	}
	return r
}

// text is the last reading for people; one that cannot be believed has no number.
func (l *loop) text() string {
	if l.held.band < 0 {
		return l.held.state + " " + l.held.reason
	}
	volts := fmt.Sprintf("%s of %s", millivolts(l.code), millivolts(l.chip.reference))
	text := l.scheme.bands[l.held.band].text
	if r, ok := resistance(l.code, l.chip.reference, l.pull); ok {
		return text + r.String() + ", " + volts
	}
	return text + "more than 1 MΩ, " + volts
}

// millivolts is the voltage of a code, to as many digits as people read.
func millivolts(c ads1115.Code) measure.Voltage {
	const mV = measure.Volt / 1000
	return (ads1115.Range6V144.Voltage(c) + mV/2) / mV * mV
}

// Run reads the loops until ctx ends.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.scan(ctx) })
	for _, l := range d.loops {
		group.Go(func() error { return l.zone.Store(ctx, sink) })
	}
	return group.Wait()
}

// errBus says that the bus, not one chip, does not work.
var errBus = errors.New("the bus does not work")
