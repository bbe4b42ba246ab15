package eol

import (
	"fmt"

	"watchpost/drivers/ads1115"
	"watchpost/drivers/measure"
	"watchpost/drivers/zone"
)

// class is what one reading of a loop says.
type class struct {
	state  string // of the zone
	reason string // while state is Missing or Fault
	band   int    // of the scheme, -1 while state is Missing or Fault
}

// band is a range of the loop's resistance.
type band struct {
	state string
	to    measure.Resistance // where it ends; 0 = never
	text  string             // for people, where the state says too little
}

// scheme is a way of wiring resistors into a loop.
type scheme struct {
	pull  measure.Resistance // from the excitation to the loop, unless configured otherwise
	bands []band             // ascending
}

// schemeOf finds a scheme by its name. All have the alarm contact closed at rest.
//
//   - 4k7-dual: 4.7 kΩ at the end, 4.7 kΩ across the alarm contact. The borders 1.00, 6.67 and 16.84 kΩ are those of Aritech
//     panels.
//   - 10k-dual: the same with 10 kΩ each; borders 3.33, 6.67, 13.33 and 26.67 kΩ, midway in voltage. A contact that is open at
//     rest and closes over 10 kΩ halves the loop, which is active, too.
//   - 5k6-single: 5.6 kΩ at the end, the contact in series (DSC). It cannot tell a contact from tampering: short and open are
//     both active, and the detail says which.
//   - 4k7-22k-mask: 4k7-dual (5.6 kΩ across the contact will do, too) with 22 kΩ across the contact for masking, in series;
//     26.7 kΩ is masked, 31 kΩ and more masked and active. The border to open, 50 kΩ, leaves room for both.
func schemeOf(name string) (scheme, error) {
	const k10 = measure.Kiloohm / 100 // the borders are given to 10 Ω
	switch name {
	case "4k7-dual":
		return scheme{4700 * measure.Ohm, []band{
			{state: zone.Short, to: 100 * k10}, {state: zone.Normal, to: 667 * k10}, {state: zone.Active, to: 1684 * k10}, {state: zone.Open},
		}}, nil
	case "10k-dual":
		return scheme{10 * measure.Kiloohm, []band{
			{state: zone.Short, to: 333 * k10}, {state: zone.Active, to: 667 * k10}, {state: zone.Normal, to: 1333 * k10},
			{state: zone.Active, to: 2667 * k10}, {state: zone.Open},
		}}, nil
	case "5k6-single":
		return scheme{5600 * measure.Ohm, []band{
			{state: zone.Active, to: 280 * k10, text: "shorted, "}, {state: zone.Normal, to: 1120 * k10}, {state: zone.Active, text: "open, "},
		}}, nil
	case "4k7-22k-mask":
		return scheme{4700 * measure.Ohm, []band{
			{state: zone.Short, to: 100 * k10}, {state: zone.Normal, to: 667 * k10}, {state: zone.Active, to: 1684 * k10},
			{state: zone.Masked, to: 5000 * k10}, {state: zone.Open},
		}}, nil
	}
	return scheme{}, fmt.Errorf("scheme %q: take 4k7-dual, 10k-dual, 5k6-single or 4k7-22k-mask", name)
}

// hysteresis is by how many per cent a border is passed before the class on its other side is left.
const hysteresis = 5

// The excitation, and what no loop can make of it, in codes of a chip's widest range (187.5 µV each).
const (
	excitationMin ads1115.Code = 13333 // 2.5 V
	excitationMax ads1115.Code = 29333 // 5.5 V
)

// classify says what a reading means, next to the class that holds. It compares ratios, so that it does not matter how many
// volts the excitation has, as long as it is one.
func (s scheme) classify(loop, reference ads1115.Code, pull measure.Resistance, held class) class {
	if reference < excitationMin || reference > excitationMax {
		return class{zone.Fault, "excitation", -1}
	}
	if 100*int(loop) > 105*int(reference) || 100*int(loop) < -5*int(reference) {
		return class{zone.Fault, "voltage", -1} // nothing but a foreign supply does that
	}
	i := 0
	for ; i < len(s.bands)-1; i++ {
		border := 100 * s.bands[i].to
		if held.band >= 0 && held.band <= i {
			border += hysteresis * s.bands[i].to
		} else if held.band > i {
			border -= hysteresis * s.bands[i].to
		}
		// r < border, as loop/reference = r/(r+pull)
		if int64(loop)*int64(border+100*pull) < int64(reference)*int64(border) {
			break
		}
	}
	return class{s.bands[i].state, "", i}
}

// resistance is that of the loop, to 10 Ω; false when it is more than 1 MΩ, which no reading tells from a cut.
func resistance(loop, reference ads1115.Code, pull measure.Resistance) (measure.Resistance, bool) {
	const most, ten = 1000 * measure.Kiloohm, 10 * measure.Ohm
	if loop <= 0 {
		return 0, true
	}
	if loop >= reference {
		return 0, false
	}
	r := pull * measure.Resistance(loop) / measure.Resistance(reference-loop)
	return (r + ten/2) / ten * ten, r <= most
}
