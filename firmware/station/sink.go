package station

import (
	"context"
	"fmt"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/uplink/outbox"
)

// sourceStation is the Source of what the station says of itself.
const sourceStation = "station"

// EventLog is the log of one station, as far as the station uses it: what it writes, what its outboxes read, and how it does.
type EventLog interface {
	outbox.Log
	LogWriter
	LogTeller
}

// LogWriter takes events, and ends.
type LogWriter interface {
	// Append stores all drafts or none. nil = they are where they will be found again.
	Append(ctx context.Context, drafts ...event.Draft) ([]eventlog.Appended, error)
	Close() error
}

// LogTeller says what a log holds.
type LogTeller interface {
	// Head is the seq of the last event of a lane, 0 = none; Heads has every lane that has events.
	Head(lane event.Lane) uint64
	Heads() map[event.Lane]uint64
	Stats() eventlog.Stats
	Err() error // why it takes no more; nil = it does
}

var _ EventLog = (*eventlog.Log)(nil)

// intake is where every fact of the station becomes an event: stamped, then on disk, then true.
type intake struct {
	clock clock
	log   LogWriter
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
