// A driver is what a station feels or sees with: a wire, a panel, a camera.
//
// Every driver makes events of what happens at its rim and hands them to a Sink. It never returns for a fault of its
// device or peer: it tells the fault as an event, backs off and goes on, so that one bad device stops no other.
package drivers

import (
	"context"
	"time"

	"watchpost/storage/event"
)

// Sink takes a fact to the station, which stores it. An error means that it is not stored, and that the driver must
// not tell its device otherwise: no ACK to a panel, no forgetting of an edge.
type Sink func(ctx context.Context, d event.Draft) error

// Driver is one supervised source of events. Run blocks until ctx ends, then returns nil; it returns an error only for
// what no waiting mends, such as an address that cannot be listened on.
type Driver interface {
	Run(ctx context.Context, sink Sink) error
	String() string
}

// Prober is a Driver that can say before Run whether its device answers.
type Prober interface {
	Probe(ctx context.Context) Outcome
}

// Snapshotter is a Driver that can say how its inputs stand now.
type Snapshotter interface {
	Snapshot() []Reading
}

// Reading is the present state of one input. A state of "unknown" or "missing" is never to be shown as normal.
type Reading struct {
	Name  string    // zone, account or camera id
	State string    // a word of the glossary: unknown, normal, active, missing, up, down, …
	Text  string    // for people: raw value with unit, reason
	Since time.Time // when State began
}

// Outcome is how a driver's start went: ready, skipped(why) or failed(why).
type Outcome struct {
	State string // "ready", "skipped" or "failed"
	Why   string // "" when ready
}

// Ready says that the device answers.
func Ready() Outcome { return Outcome{State: "ready"} }

// Skipped says that the driver has nothing to do here.
func Skipped(why string) Outcome { return Outcome{State: "skipped", Why: why} }

// Failed says that the device does not answer yet; Run will go on trying.
func Failed(why string) Outcome { return Outcome{State: "failed", Why: why} }

// String is the outcome as the start table prints it.
func (o Outcome) String() string {
	if o.Why == "" {
		return o.State
	}
	return o.State + "(" + o.Why + ")"
}
