package station

import (
	"context"
	"fmt"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

// sourceStation is the Source of what the station says of itself.
const sourceStation = "station"

// intake is where every fact of the station becomes an event: stamped, then on disk, then true.
type intake struct {
	clock clock
	log   *eventlog.Log
}

// store is the drivers' Sink: nil means that d is on disk, or was already.
func (in *intake) store(ctx context.Context, d event.Draft) error {
	_, err := in.append(ctx, d)
	return err
}

// append stores d and reports whether the log had it already, by its Once key.
func (in *intake) append(ctx context.Context, d event.Draft) (repeat bool, err error) {
	got, err := in.log.Append(ctx, in.clock.stamp(d))
	if err != nil {
		return false, fmt.Errorf("storing %s of %s: %w", d.Kind, d.Source, err)
	}
	return got[0].Repeat, nil
}
