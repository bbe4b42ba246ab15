// Around the chips is a circuit: a detector's relays and resistors at the end of a cable, a battery under a shelf.
//
// A [Loop] is such a cable: a resistor at the board feeds it, and what hangs at its end makes the voltage that the board
// measures. A [Battery] is filled by the mains and emptied by the station. Both have faults as they happen: a cut cable, a
// shorted one, a mains that fails.
package circuit

import (
	"fmt"
	"math"
	"sync"
)

// State is what a loop's end says, or what became of its cable.
type State uint8

// The states of a loop.
const (
	Normal State = iota
	// Active is an open alarm contact.
	Active
	// Mask is an open contact of a detector that something covers.
	Mask
	// Cut is a cable without an end.
	Cut
	// Short is a cable whose wires touch.
	Short
)

// StateNames are the names of the states, in their order.
func StateNames() []string { return []string{"normal", "active", "mask", "cut", "short"} }

// ParseState finds a state by its name.
func ParseState(name string) (State, error) {
	for i, n := range StateNames() {
		if n == name {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("%q: a loop is normal, active, mask, cut or short", name)
}

// Scheme is the set of resistors of a loop, in ohm. The contacts are closed at rest. A resistor for the alarm lies beside the
// alarm contact and one for masking beside the masking contact, both in series with the one at the end of the line; 0 means
// that nothing lies beside the contact, so that it opens the loop.
type Scheme struct {
	// Pull is at the board, between the excitation and the loop.
	Pull float64
	// End is at the end of the line.
	End float64
	// Alarm is beside the alarm contact.
	Alarm float64
	// Mask is beside the masking contact.
	Mask float64
}

// SchemeOf is one of the usual sets by its name: 4k7-dual, 10k-dual, 5k6-single and 4k7-22k-mask.
func SchemeOf(name string) (Scheme, error) {
	switch name {
	case "4k7-dual":
		return Scheme{Pull: 4700, End: 4700, Alarm: 4700}, nil
	case "10k-dual":
		return Scheme{Pull: 10000, End: 10000, Alarm: 10000}, nil
	case "5k6-single":
		return Scheme{Pull: 5600, End: 5600}, nil
	case "4k7-22k-mask":
		return Scheme{Pull: 4700, End: 4700, Alarm: 4700, Mask: 22000}, nil
	}
	return Scheme{}, fmt.Errorf("scheme %q: use 4k7-dual, 10k-dual, 5k6-single or 4k7-22k-mask", name)
}

// ohms is the resistance of the loop without its cable.
func (s Scheme) ohms(state State) float64 {
	beside := func(r float64) float64 {
		if r == 0 {
			return math.Inf(1)
		}
		return r
	}
	switch state {
	case Active:
		return s.End + beside(s.Alarm)
	case Mask:
		return s.End + beside(s.Mask)
	case Cut:
		return math.Inf(1)
	case Short:
		return 0
	}
	return s.End
}

// Loop is a supervised cable.
type Loop struct {
	scheme     Scheme
	excitation func() float64 // volts

	mu    sync.Mutex // guards the fields below
	state State
	cable float64 // ohms of both wires
}

// NewLoop is a loop at rest, with a cable of no resistance, that a voltage feeds.
func NewLoop(s Scheme, excitation func() float64) *Loop {
	return &Loop{scheme: s, excitation: excitation}
}

// Set changes the state.
func (l *Loop) Set(s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
}

// Cable is the resistance of the cable in ohm, also of one that touches itself at its end.
func (l *Loop) Cable(ohms float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cable = ohms
}

// Volts is what the board measures.
func (l *Loop) Volts() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.scheme.ohms(l.state) + l.cable
	if math.IsInf(r, 1) {
		return l.excitation()
	}
	return l.excitation() * r / (r + l.scheme.Pull)
}
