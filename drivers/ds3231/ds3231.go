// The DS3231 keeps the time while the station has no power, and says when it could not; figures and registers here are those
// of Maxim 19-5170, Rev 10.
//
// The chip sets its oscillator-stop flag when its crystal stood still: what it shows since is no time, and none is given until
// somebody sets it. It keeps UTC. As a sensor the chip is a fault for as long, with the reason oscillator-stopped, although its
// thermometer goes on. The agent neither sets the chip nor takes the time from it.
package ds3231

import (
	"context"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
)

// Address is the one that every chip has (table of the slave address byte).
const Address = 0x68

// Registers (figure 1), and bits in them.
const (
	regSeconds = 0x00
	regControl = 0x0e
	regStatus  = 0x0f
	regCelsius = 0x11
	regCount   = 0x13

	controlStopped = 1 << 7 // EOSC: the oscillator stops without the main supply
	statusStopped  = 1 << 7 // OSF
	hourTwelve     = 1 << 6
	hourPM         = 1 << 5
	monthCentury   = 1 << 7
	celsiusZero    = 0x3f // of the lower byte, always 0
)

// ErrNoTime means that the registers hold no date.
var ErrNoTime = errors.New("the registers hold no date")

// ErrStopped means that the oscillator stood still: the chip has no time until it is set.
const ErrStopped stopped = "the clock has stood still: set it"

// stopped is an error with a word of its own in events.
type stopped string

// Error says what to do.
func (s stopped) Error() string { return string(s) }

// Reason is that word.
func (stopped) Reason() string { return "oscillator-stopped" }

// Chip is the clock of one bus. Its methods belong to one goroutine.
type Chip struct{ bus bus.I2C }

// New is the chip on a bus; it does not touch it yet.
func New(b bus.I2C) (*Chip, error) {
	if b == nil {
		return nil, errors.New("ds3231: no bus to find the chip on")
	}
	return &Chip{bus: b}, nil
}

// String names the chip as logs do.
func (c *Chip) String() string { return fmt.Sprintf("ds3231 at %#02x", Address) }

// Time is what the clock shows, in UTC, 2000 to 2199, in whole seconds. It fails with ErrStopped or ErrNoTime.
func (c *Chip) Time() (time.Time, error) {
	r, err := c.registers()
	if err != nil {
		return time.Time{}, err
	}
	if err := c.runs(r); err != nil {
		return time.Time{}, err
	}
	t, err := parseTime([7]byte(r[:7]))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", c, err)
	}
	return t, nil
}

// Set sets the clock and clears the flag, and reads back whether it runs. A fraction of a second is lost: the clock begins
// the second anew when it is set.
func (c *Chip) Set(t time.Time) error {
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 2000 || t.Year() > 2199 {
		return fmt.Errorf("%s: year %d: the chip knows 2000 to 2199", c, t.Year())
	}
	r, err := c.registers()
	if err != nil {
		return err
	}
	set := formatTime(t)
	for _, w := range [][]byte{ // the flag goes last: until then there is no time
		append([]byte{regSeconds}, set[:]...),
		{regControl, r[regControl] &^ controlStopped, r[regStatus] &^ statusStopped},
	} {
		if err := c.bus.Tx(Address, w, nil); err != nil {
			return fmt.Errorf("%s: setting: %w", c, err)
		}
	}
	got, err := c.Time()
	if err == nil && (got.Before(t) || got.Sub(t) > 2*time.Second) {
		err = fmt.Errorf("%s: it shows %s and was set to %s", c, got.Format(time.RFC3339), t.Format(time.RFC3339))
	}
	return err
}

// runs fails with ErrStopped if the flag is set.
func (c *Chip) runs(r [regCount]byte) error {
	if r[regStatus]&statusStopped != 0 {
		return fmt.Errorf("%s: %w", c, ErrStopped)
	}
	return nil
}

// Measure is the temperature of the chip, as a reading of that name. It fails with ErrStopped, too: that a clock has stood
// still is to be known while the station runs.
func (c *Chip) Measure(context.Context) ([]measure.Reading, error) {
	r, err := c.registers()
	if err != nil {
		return nil, err
	}
	high, low := r[regCelsius], r[regCelsius+1]
	if low&celsiusZero != 0 { // as a wire reads that nobody pulls low
		return nil, fmt.Errorf("%s: temperature %02x %02x: %w", c, high, low, bus.ErrChecksum)
	}
	if err := c.runs(r); err != nil {
		return nil, err
	}
	return []measure.Reading{parseCelsius(high, low).Reading("temperature")}, nil
}

// registers reads all, as they were at one moment.
func (c *Chip) registers() (r [regCount]byte, err error) {
	if err := c.bus.Tx(Address, []byte{regSeconds}, r[:]); err != nil {
		return r, fmt.Errorf("%s: reading: %w", c, err)
	}
	return r, nil
}

// parseCelsius is ten bits in steps of 0.25 °C, the upper byte whole degrees (registers 11h and 12h).
func parseCelsius(high, low byte) measure.Temperature {
	return measure.Temperature(int8(high))*measure.Celsius + measure.Temperature(low>>6)*measure.Celsius/4
}

// parseTime reads registers 00h to 06h, also in the 12-hour form.
func parseTime(r [7]byte) (time.Time, error) {
	hour := r[2]
	var twelve, pm bool
	if twelve, pm = hour&hourTwelve != 0, hour&hourPM != 0; twelve {
		hour &^= hourTwelve | hourPM
	}
	var n [6]int // seconds to years, without the day of the week
	for i, b := range []byte{r[0], r[1], hour, r[4], r[5] &^ monthCentury, r[6]} {
		if b&0xf > 9 || b>>4 > 9 {
			return time.Time{}, fmt.Errorf("%w: % x", ErrNoTime, r)
		}
		n[i] = int(b>>4)*10 + int(b&0xf)
	}
	if twelve {
		if n[2] < 1 || n[2] > 12 {
			return time.Time{}, fmt.Errorf("%w: % x", ErrNoTime, r)
		}
		n[2] %= 12
		if pm {
			n[2] += 12
		}
	}
	year := 2000 + n[5]
	if r[5]&monthCentury != 0 {
		year += 100
	}
	t := time.Date(year, time.Month(n[4]), n[3], n[2], n[1], n[0], 0, time.UTC)
	if t.Second() != n[0] || t.Minute() != n[1] || t.Hour() != n[2] || t.Day() != n[3] || int(t.Month()) != n[4] {
		return time.Time{}, fmt.Errorf("%w: % x", ErrNoTime, r)
	}
	return t, nil
}

// formatTime is the time as registers 00h to 06h hold it, in the 24-hour form; Sunday is day 1.
func formatTime(t time.Time) [7]byte {
	bcd := func(n int) byte { return byte(n/10<<4 | n%10) }
	month := bcd(int(t.Month()))
	if t.Year() >= 2100 {
		month |= monthCentury
	}
	return [7]byte{bcd(t.Second()), bcd(t.Minute()), bcd(t.Hour()), byte(t.Weekday()) + 1, bcd(t.Day()), month, bcd(t.Year() % 100)}
}
