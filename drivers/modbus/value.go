package modbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"watchpost/drivers/measure"
)

// Type is how a value lies in its registers.
type Type string

// The types. Two registers are high word first, unless Value.LowFirst.
const (
	Uint16  Type = "uint16"
	Int16   Type = "int16"
	Uint32  Type = "uint32"
	Int32   Type = "int32"
	Float32 Type = "float32" // IEEE 754
)

// registers is how many registers a type has, 0 for none of the types.
func (t Type) registers() int {
	switch t {
	case Uint16, Int16:
		return 1
	case Uint32, Int32, Float32:
		return 2
	}
	return 0
}

var errNoNumber = errors.New("the registers hold no number that fits")

// decode is the number in the registers times scale, rounded to millionths. It fails for a NaN, an infinity and what is too large.
func (t Type) decode(r []uint16, lowFirst bool, scale float64) (measure.Micro, error) {
	word := uint32(r[0])
	if len(r) == 2 {
		word = word<<16 | uint32(r[1])
		if lowFirst {
			word = uint32(r[1])<<16 | uint32(r[0])
		}
	}
	var x float64
	switch t {
	case Int16:
		x = float64(int16(word))
	case Int32:
		x = float64(int32(word))
	case Float32:
		x = float64(math.Float32frombits(word))
	default:
		x = float64(word)
	}
	v, ok := measure.MicroOf(x * scale)
	if !ok {
		return 0, fmt.Errorf("%w: % 04x as %s", errNoNumber, r, t)
	}
	return v, nil
}

// valueName is what the reading of a value is called; limits in the configuration call it so, too.
const valueName = "value"

// Probe is one value as the driver has last polled it. It never asks the slave itself, so that many readers cost the line
// nothing.
type Probe struct {
	cfg   Value
	now   func() time.Time
	stale time.Duration // how old a value may be

	mu      sync.Mutex // guards the fields below
	reading measure.Reading
	at      time.Time // of reading
}

// Measure is the value, named "value". The error says why there is none; a slave that has not been asked for a while, because
// the driver does not run, is one reason.
func (p *Probe) Measure(context.Context) ([]measure.Reading, error) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.at.IsZero():
		return nil, fmt.Errorf("value %s: not polled yet", p.cfg.ID)
	case p.reading.Err != nil:
		return nil, fmt.Errorf("value %s: %w", p.cfg.ID, p.reading.Err)
	case now.Sub(p.at) > p.stale:
		return nil, fmt.Errorf("value %s: last polled %s ago", p.cfg.ID, now.Sub(p.at).Round(time.Second))
	}
	return []measure.Reading{p.reading}, nil
}

// take notes what was polled.
func (p *Probe) take(a Answer, err error) {
	var v measure.Micro
	if err == nil {
		v, err = p.cfg.Type.decode(a.Registers, p.cfg.LowFirst, p.cfg.Scale)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = p.now()
	if err != nil {
		p.reading = measure.Failed(valueName, p.cfg.UnitName, err)
		return
	}
	p.reading = measure.Good(valueName, v, p.cfg.UnitName)
}
