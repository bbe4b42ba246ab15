package circuit

import (
	"sync"
	"time"
)

// Battery is a 12 V lead-acid battery behind a station, and the charger that the mains feeds.
type Battery struct {
	now func() time.Time

	mu       sync.Mutex // guards the fields below
	capacity float64    // watt-hours
	charge   float64    // watt-hours
	load     float64    // watts of the station
	charger  float64    // watts that the charger has beyond the load
	mains    bool
	at       time.Time // when charge was true
}

// Voltages of a 12 V lead-acid battery: at rest full and empty, and where a charger holds it.
const (
	emptyVolts = 10.8
	fullVolts  = 12.8
	floatVolts = 13.6
)

// NewBattery is a full battery with the mains on: its capacity in watt-hours, the station's load in watts, and the watts with
// which its charger fills it while the mains is on. now is its clock; nil is the wall clock.
func NewBattery(capacity, load, charger float64, now func() time.Time) *Battery {
	if now == nil {
		now = time.Now
	}
	return &Battery{now: now, capacity: capacity, charge: capacity, load: load, charger: charger, mains: true, at: now()}
}

// Mains switches the mains.
func (b *Battery) Mains(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	b.mains = on
}

// Load is what the station draws from now on, in watts.
func (b *Battery) Load(watts float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	b.load = watts
}

// Fill sets the charge, as a part of the capacity from 0 to 1.
func (b *Battery) Fill(part float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	b.charge = min(max(part, 0), 1) * b.capacity
}

// pass lets the time since at go by. It needs b.mu.
func (b *Battery) pass() {
	now := b.now()
	watts := -b.load
	if b.mains {
		watts = b.charger
	}
	b.charge = min(max(b.charge+watts*now.Sub(b.at).Hours(), 0), b.capacity)
	b.at = now
}

// Part is how full the battery is, from 0 to 1.
func (b *Battery) Part() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	return b.charge / b.capacity
}

// Terminals are the battery's voltage in volts and the current out of it in amperes: positive while it feeds the station,
// negative while it is charged. An empty battery gives nothing.
func (b *Battery) Terminals() (volts, amps float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	part := b.charge / b.capacity
	volts = emptyVolts + (fullVolts-emptyVolts)*part
	switch {
	case b.mains && part >= 1:
		return floatVolts, 0
	case b.mains:
		volts += floatVolts - fullVolts
		return volts, -b.charger / volts
	case part <= 0:
		return 0, 0
	}
	return volts, b.load / volts
}
