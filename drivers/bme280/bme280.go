// The BME280 measures the air: temperature, pressure and humidity; tables and paragraphs here are those of Bosch Sensortec
// BST-BME280-DS002, revision 1.6.
//
// The driver asks for one measurement at a time (forced mode, §3.3.3), with each channel once, so that the chip sleeps in
// between and does not warm itself. A result counts only if the chip says that it has done just that measurement.
package bme280

import (
	"context"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
)

// Registers (§5.3).
const (
	regTrimLow  = 0x88
	regID       = 0xd0
	regTrimHigh = 0xe1
	regHumidity = 0xf2
	regMeasure  = 0xf4
)

// What is written and read there (§5.4).
const (
	chipID    = 0x60
	onceHum   = 0b001         // ctrl_hum: humidity once
	onceTP    = 0b001_001_00  // ctrl_meas: temperature and pressure once, asleep
	forced    = onceTP | 0b01 // the same, now
	busy      = 1<<3 | 1<<0   // status: measuring, or copying the trimming
	took      = 9300          // µs at most with each channel once (§9.1)
	wait      = (took + 700) * time.Microsecond
	fromState = regMeasure - regHumidity // of ctrl_meas in what is read back
)

// MinAddress and MaxAddress are what the pin SDO chooses (§6.2).
const (
	MinAddress = 0x76
	MaxAddress = 0x77
)

// ErrNotDone means that the chip has not done the measurement that was asked for: it is busy, or lost its supply meanwhile.
var ErrNotDone = errors.New("the measurement is not the one asked for")

// Chip is one chip. Its methods belong to one goroutine.
type Chip struct {
	bus  bus.I2C
	addr uint16
	trim *trim // nil = not read since the last error: it may be another chip
}

// New is the chip at an address; it does not touch the bus yet.
func New(b bus.I2C, addr uint16) (*Chip, error) {
	if b == nil {
		return nil, errors.New("bme280: no bus to find the chip on")
	}
	if addr < MinAddress || addr > MaxAddress {
		return nil, fmt.Errorf("bme280: address %#02x: its pin chooses %#02x or %#02x", addr, MinAddress, MaxAddress)
	}
	return &Chip{bus: b, addr: addr}, nil
}

// String names the chip as logs do.
func (c *Chip) String() string { return fmt.Sprintf("bme280 at %#02x", c.addr) }

// Measure is temperature, humidity and pressure, each as a reading of that name.
func (c *Chip) Measure(ctx context.Context) ([]measure.Reading, error) {
	air, err := c.Air(ctx)
	if err != nil {
		return nil, err
	}
	return []measure.Reading{air.Temperature.Reading("temperature"), air.Humidity.Reading("humidity"), air.Pressure.Reading("pressure")}, nil
}

// Air measures once, which takes 10 ms.
func (c *Chip) Air(ctx context.Context) (Air, error) {
	air, err := c.air(ctx)
	if err != nil {
		c.trim = nil
		return Air{}, fmt.Errorf("%s: %w", c, err)
	}
	return air, nil
}

func (c *Chip) air(ctx context.Context) (Air, error) {
	if err := c.setUp(); err != nil {
		return Air{}, err
	}
	if err := c.bus.Tx(c.addr, []byte{regHumidity, onceHum, regMeasure, forced}, nil); err != nil {
		return Air{}, fmt.Errorf("starting: %w", err)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return Air{}, ctx.Err()
	}
	var r [13]byte // from ctrl_hum to the last data register
	if err := c.bus.Tx(c.addr, []byte{regHumidity}, r[:]); err != nil {
		return Air{}, fmt.Errorf("reading: %w", err)
	}
	if r[0]&7 != onceHum || r[1]&busy != 0 || r[fromState] != onceTP {
		return Air{}, fmt.Errorf("%w: ctrl_hum %02x, status %02x, ctrl_meas %02x", ErrNotDone, r[0], r[1], r[fromState])
	}
	return c.trim.compensate(parseCounts([8]byte(r[5:])))
}

// setUp finds out that it is a BME280, and how it was trimmed.
func (c *Chip) setUp() error {
	if c.trim != nil {
		return nil
	}
	var id [1]byte
	var low [trimLow]byte
	var high [trimHigh]byte
	for _, r := range []struct {
		from byte
		to   []byte
	}{{regID, id[:]}, {regTrimLow, low[:]}, {regTrimHigh, high[:]}} {
		if err := c.bus.Tx(c.addr, []byte{r.from}, r.to); err != nil {
			return fmt.Errorf("reading register %02x: %w", r.from, err)
		}
	}
	if id[0] != chipID {
		return fmt.Errorf("it has identity %02x, want %02x: another chip has that address", id[0], chipID)
	}
	t, err := parseTrim(low, high)
	if err == nil {
		c.trim = &t
	}
	return err
}
