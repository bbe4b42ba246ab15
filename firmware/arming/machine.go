package arming

import (
	"errors"
	"strings"
	"time"
)

// Machine holds the partitions of one station. Its methods are not for use at once from several goroutines.
type Machine struct{}

// Refusal is a wish that was not done. Effects of the step hold all the same: the refusal's own event is among them.
type Refusal struct {
	Reason string   // one of the Refused words, or Actor.Why
	Zones  []string // that are in the way, in the plan's order
}

// Error says the reason and the zones.
func (r *Refusal) Error() string {
	if len(r.Zones) == 0 {
		return "refused: " + r.Reason
	}
	return "refused: " + r.Reason + ": " + strings.Join(r.Zones, ", ")
}

// New checks the plan. The machine begins disarmed; Restore comes next, then the input Started.
func New(p Plan) (*Machine, error) { return nil, errors.New("not yet") }

// Restore takes up a journal of an earlier run, before Started; nil is the first start. An error means that the journal
// cannot be believed, and leaves the machine as New made it.
func (m *Machine) Restore(journal []byte, now Instant) error { return nil }

// Step takes one input. The error is a *Refusal when a wish is not done; any other error is a mistake of the caller, and then
// nothing has changed.
func (m *Machine) Step(in Input, now Instant) ([]Effect, error) { return nil, nil }

// Journal is all that must outlive the run: JSON, the same bytes as before when nothing durable has changed.
func (m *Machine) Journal() []byte { return nil }

// Due says how long until a Tick is wanted; false: none is.
func (m *Machine) Due(now Instant) (time.Duration, bool) { return 0, false }

// View is how all stands after the last step.
func (m *Machine) View() View { return View{} }
