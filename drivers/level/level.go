// A level transmitter at a river or a tank says with a current of 4 mA to 20 mA how high the water stands.
//
// The current flows through a shunt whose voltage an ADC channel measures. Currents outside of 3.6 mA to 21 mA are how a
// transmitter says that it has failed, or what a cut wire makes (NAMUR NE 43): they are no level.
package level

import (
	"context"
	"errors"
	"fmt"

	"watchpost/drivers/ads1115"
	"watchpost/drivers/measure"
)

// The currents (NAMUR NE 43).
const (
	mA      = measure.Ampere / 1000
	broken  = 36 * mA / 10 // below it
	empty   = 4 * mA
	full    = 20 * mA
	failing = 21 * mA // above it
)

// ErrBroken means a current that no working transmitter sends: the wire is cut.
var ErrBroken = errors.New("the wire is cut, or the transmitter has failed low")

// ErrFailed means that the transmitter says that it has failed, or that its wires touch.
var ErrFailed = errors.New("the transmitter has failed high, or its wires touch")

// ADC measures the voltage of one channel.
type ADC interface {
	Read(ctx context.Context, channel int, r ads1115.Range) (measure.Voltage, error)
}

var _ ADC = (*ads1115.ADC)(nil)

// Transmitter is one level transmitter.
type Transmitter struct {
	adc     ADC
	channel int
	shunt   measure.Resistance
	span    measure.Length
	scale   ads1115.Range
}

// New is a transmitter over a shunt of 10 Ω to 270 Ω, whose 20 mA mean a level of span.
func New(adc ADC, channel int, shunt measure.Resistance, span measure.Length) (*Transmitter, error) {
	switch {
	case adc == nil || channel < 0 || channel >= ads1115.Channels:
		return nil, fmt.Errorf("level: channel %d: an ADC has 0 to %d", channel, ads1115.Channels-1)
	case shunt < 10*measure.Ohm || shunt > 270*measure.Ohm:
		return nil, fmt.Errorf("level on channel %d: shunt %s: take 10 Ω to 270 Ω, so that 22 mA are within 6 V", channel, shunt)
	case span <= 0 || span > 1000*measure.Metre:
		return nil, fmt.Errorf("level on channel %d: span %s: take 1 mm to 1,000 m", channel, span)
	}
	t := &Transmitter{adc: adc, channel: channel, shunt: shunt, span: span}
	for r := ads1115.Range0V256; r > ads1115.Range6V144; r-- { // the finest range that shows what is too much
		if r.Voltage(1<<15-1) > measure.Voltage(int64(22*mA)*int64(shunt)/int64(measure.Ohm)) {
			t.scale = r
			break
		}
	}
	return t, nil
}

// Measure is the level, as a reading of that name.
func (t *Transmitter) Measure(ctx context.Context) ([]measure.Reading, error) {
	v, err := t.adc.Read(ctx, t.channel, t.scale)
	if err != nil {
		return nil, fmt.Errorf("level on channel %d: %w", t.channel, err)
	}
	l, err := t.level(v)
	if err != nil {
		return nil, fmt.Errorf("level on channel %d: %w", t.channel, err)
	}
	return []measure.Reading{l.Reading("level")}, nil
}

// level is what a voltage over the shunt means: 0 to a little more than the span.
func (t *Transmitter) level(v measure.Voltage) (measure.Length, error) {
	i := measure.Current(int64(v) * int64(measure.Ohm) / int64(t.shunt))
	switch {
	case i < broken:
		return 0, fmt.Errorf("%s: %w", i, ErrBroken)
	case i > failing:
		return 0, fmt.Errorf("%s: %w", i, ErrFailed)
	}
	const steps = int64(full - empty)
	return measure.Length((max(int64(i-empty), 0)*int64(t.span) + steps/2) / steps), nil
}
