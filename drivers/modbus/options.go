package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"watchpost/storage/event"
)

// Asker asks one unit one thing, as a [Client] does.
type Asker interface {
	Do(ctx context.Context, unit byte, r Request) (Answer, error)
}

// Input is a zone on one bit of a slave.
type Input struct {
	// Zone is the station's name of the zone.
	Zone string
	// Unit is the slave, 1 to 247; over TCP also 0 and 255.
	Unit byte
	// Number is the bit's address from 0, as it goes over the wire.
	Number uint16
	// Coil reads a coil (function 1) instead of a discrete input (function 2).
	Coil bool
	// NormallyClosed says that 1 is the normal state; false: 1 is active.
	NormallyClosed bool
	// Code says what the zone is for, a SIA code (DC-03) such as BA; "" = not told.
	Code string
	// Severity is that of the event when the zone becomes active: alarm, warning or notice.
	Severity event.Severity
}

func (c Input) function() Function {
	if c.Coil {
		return ReadCoils
	}
	return ReadDiscreteInputs
}

func (c Input) place(bus string) string {
	table := "input"
	if c.Coil {
		table = "coil"
	}
	return fmt.Sprintf("%s/%d/%s %d", bus, c.Unit, table, c.Number)
}

// Value is a number in the registers of a slave.
type Value struct {
	// ID is the station's name of the value.
	ID string
	// Unit is the slave, 1 to 247; over TCP also 0 and 255.
	Unit byte
	// Number is the first register's address from 0, as it goes over the wire.
	Number uint16
	// InputRegister reads an input register (function 4) instead of a holding register (function 3).
	InputRegister bool
	// Type is how the number lies there.
	Type Type
	// LowFirst says that of two registers the low word comes first.
	LowFirst bool
	// Scale is what the number is multiplied by; 0 = 1.
	Scale float64
	// UnitName is the unit of the scaled number, such as V.
	UnitName string
}

func (c Value) function() Function {
	if c.InputRegister {
		return ReadInputRegisters
	}
	return ReadHoldingRegisters
}

// Options are the slaves of one bus.
type Options struct {
	// Bus is the station's name of the bus.
	Bus string
	// Client asks the slaves.
	Client Asker
	// Interval is from the start of one round to that of the next, 500 ms by default.
	Interval time.Duration
	// Inputs are the zones, and Values the numbers; zones and ids are unique.
	Inputs []Input
	Values []Value
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

func (o Options) filled() Options {
	o.Interval = cmp.Or(o.Interval, 500*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	values := make([]Value, len(o.Values))
	for i, v := range o.Values {
		v.Scale, v.Type = cmp.Or(v.Scale, 1), cmp.Or(v.Type, Uint16)
		values[i] = v
	}
	o.Values = values
	return o
}

func (o Options) check() error {
	if o.Client == nil {
		return errors.New("modbus: no client to ask the slaves with")
	}
	if o.Interval < 0 {
		return fmt.Errorf("modbus %s: interval %s is negative", o.Bus, o.Interval)
	}
	seen := map[string]bool{}
	for _, c := range o.Inputs {
		if seen[c.Zone] {
			return fmt.Errorf("modbus %s: zone %s is given twice", o.Bus, c.Zone)
		}
		seen[c.Zone] = true
	}
	seen = map[string]bool{}
	for _, c := range o.Values {
		switch n := c.Type.registers(); {
		case c.ID == "" || seen[c.ID]:
			return fmt.Errorf("modbus %s: value %q has no name, or that of another", o.Bus, c.ID)
		case n == 0:
			return fmt.Errorf("value %s: type %q: want uint16, int16, uint32, int32 or float32", c.ID, c.Type)
		case int(c.Number)+n > 1<<16:
			return fmt.Errorf("value %s: register %d and the next: the last is 65535", c.ID, c.Number)
		case math.IsNaN(c.Scale) || math.IsInf(c.Scale, 0):
			return fmt.Errorf("value %s: a scale of %v", c.ID, c.Scale)
		}
		seen[c.ID] = true
	}
	return nil
}

func source(zone string) string { return "modbus/" + zone }
