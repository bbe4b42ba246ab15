// The INA219 measures what flows through a shunt, and the voltage behind it: how a battery does; tables and paragraphs here
// are those of TI SBOS448G.
//
// The driver reads the shunt's own voltage and divides by its resistance (§8.5.3), so that the calibration register, which a
// chip forgets with its supply, does not matter. One conversion is asked for at a time, the mean of sixteen.
package ina219

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
)

// Registers (table 2).
const (
	regConfig = 0
	regShunt  = 1
	regBus    = 2
)

// config asks for one conversion (table 6): 32 V, ±320 mV over the shunt, each the mean of 16 (table 5), triggered.
const config = 1<<13 | 0b11<<11 | 0b1100<<7 | 0b1100<<3 | 0b011

// conversion is how long both take, at most (table 5: 8.51 ms each).
const conversion = 19 * time.Millisecond

// Bits and steps of the results (§8.6.3).
const (
	busReady   = 1 << 1                 // CNVR
	busShift   = 3                      // the voltage stands above the flags
	busStep    = 4 * measure.Volt / 1e3 // 4 mV
	shuntStep  = 10                     // µV
	shuntLimit = 32000                  // ±320 mV
)

// MinAddress and MaxAddress are what the pins A0 and A1 choose (table 1).
const (
	MinAddress = 0x40
	MaxAddress = 0x4f
)

// ErrNotDone means that the chip has not done the conversion that was asked for: it is busy, or lost its supply meanwhile.
var ErrNotDone = errors.New("the conversion is not the one asked for")

// Chip is one chip. Its methods belong to one goroutine.
type Chip struct {
	bus   bus.I2C
	addr  uint16
	shunt measure.Resistance
}

// New is the chip at an address with a shunt of 1 mΩ to 10 Ω; it does not touch the bus yet.
func New(b bus.I2C, addr uint16, shunt measure.Resistance) (*Chip, error) {
	if b == nil {
		return nil, errors.New("ina219: no bus to find the chip on")
	}
	if addr < MinAddress || addr > MaxAddress {
		return nil, fmt.Errorf("ina219: address %#02x: its pins choose %#02x to %#02x", addr, MinAddress, MaxAddress)
	}
	if shunt < measure.Ohm/1000 || shunt > 10*measure.Ohm {
		return nil, fmt.Errorf("ina219 at %#02x: shunt %s: take 0.001 Ω to 10 Ω", addr, shunt)
	}
	return &Chip{bus: b, addr: addr, shunt: shunt}, nil
}

// String names the chip as logs do.
func (c *Chip) String() string { return fmt.Sprintf("ina219 at %#02x", c.addr) }

// Sample is one measurement.
type Sample struct {
	Voltage measure.Voltage // behind the shunt, against ground: 0 V to 26 V
	Current measure.Current // from VIN+ to VIN−
}

// Power is what flows.
func (s Sample) Power() measure.Power {
	return measure.Power(int64(s.Voltage) / 1000 * int64(s.Current) / 1e6)
}

// Measure is the sample as the readings voltage and current.
func (c *Chip) Measure(ctx context.Context) ([]measure.Reading, error) {
	s, err := c.Sample(ctx)
	if err != nil {
		return nil, err
	}
	return []measure.Reading{s.Voltage.Reading("voltage"), s.Current.Reading("current")}, nil
}

// Sample measures once, which takes 19 ms.
func (c *Chip) Sample(ctx context.Context) (Sample, error) {
	s, err := c.sample(ctx)
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w", c, err)
	}
	return s, nil
}

func (c *Chip) sample(ctx context.Context) (Sample, error) {
	if err := c.bus.Tx(c.addr, []byte{regConfig, config >> 8, config & 0xff}, nil); err != nil {
		return Sample{}, fmt.Errorf("starting: %w", err)
	}
	t := time.NewTimer(conversion)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return Sample{}, ctx.Err()
	}
	var shunt, volts, did uint16
	for _, r := range []struct {
		register byte
		value    *uint16
	}{{regBus, &volts}, {regShunt, &shunt}, {regConfig, &did}} {
		var b [2]byte
		if err := c.bus.Tx(c.addr, []byte{r.register}, b[:]); err != nil {
			return Sample{}, fmt.Errorf("reading register %02x: %w", r.register, err)
		}
		*r.value = binary.BigEndian.Uint16(b[:])
	}
	if did != config || volts&busReady == 0 {
		return Sample{}, fmt.Errorf("%w: config register %04x, bus voltage %04x", ErrNotDone, did, volts)
	}
	return sampleOf(int16(shunt), volts, c.shunt)
}

// sampleOf is what the registers mean. A current at the end of the range is an error: it is a bound, not a value.
func sampleOf(shunt int16, volts uint16, resistance measure.Resistance) (Sample, error) {
	if shunt >= shuntLimit || shunt <= -shuntLimit {
		return Sample{}, fmt.Errorf("%d mV over the shunt: the current is more than the chip can measure", int(shunt)/100)
	}
	return Sample{
		Voltage: measure.Voltage(volts>>busShift) * busStep,
		Current: measure.Current(int64(shunt) * shuntStep * int64(measure.Ohm) / int64(resistance)),
	}, nil
}
