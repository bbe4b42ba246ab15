// An event is one fact about a station, written once and named for ever by (station, epoch, seq).
//
// This package is the vocabulary that every other room shares: what an event carries, which lane it travels in, and
// its one canonical encoding. It uses the standard library only, so that every arrow of the house may end here.
//
// Order is Seq, never time: At is what the station's clock said, KernelNS is what the kernel's monotonic clock said
// when the edge or packet arrived, and ClockQuality says how far At may be believed.
package event

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Epoch is the random id of one life of a station's event log: a wiped disk starts a new one. Eight random bytes.
type Epoch [8]byte

// String is the epoch as 16 lower-case hex digits.
func (e Epoch) String() string { return hex.EncodeToString(e[:]) }

// IsZero reports whether e names no life of a log.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// ParseEpoch reads the 16 hex digits that String writes.
func ParseEpoch(s string) (Epoch, error) {
	var e Epoch
	if len(s) != hex.EncodedLen(len(e)) {
		return Epoch{}, fmt.Errorf("epoch %q: want 16 hex digits", s)
	}
	if _, err := hex.Decode(e[:], []byte(s)); err != nil {
		return Epoch{}, fmt.Errorf("epoch %q: %w", s, err)
	}
	return e, nil
}

// MarshalText writes the epoch as String does.
func (e Epoch) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (e *Epoch) UnmarshalText(b []byte) error {
	v, err := ParseEpoch(string(b))
	if err != nil {
		return err
	}
	*e = v
	return nil
}

// Event is one fact, as it stands in the log. (Station, Epoch, Seq) is its unique name everywhere.
type Event struct {
	Station string // station id, such as cs-baishi-caoping
	Epoch   Epoch
	Seq     uint64 // from 1, gap-free over all lanes of one (station, epoch)
	Lane    Lane   // fixed at Append by LaneOf(Kind, Severity)

	At           time.Time // the station's wall clock, UTC, nanoseconds
	KernelNS     int64     // CLOCK_MONOTONIC of the cause, ns since boot; 0 = none
	BootID       uint32    // first 32 bits of the kernel's boot id; tells two lives of KernelNS apart
	ClockQuality ClockQuality

	Kind      Kind
	Version   uint8 // of the kind's schema, from 1
	Qualifier Qualifier
	Zone      string // the supervised input concerned, "" = none; at most MaxName bytes
	Source    string // who told: line/<zone>, dc09/<account>, camera/<id>, centre/<id>, station; at most MaxName bytes
	Severity  Severity
	Body      Body
}

// Draft is a fact that is not in the log yet. Append gives it its station, epoch, seq and lane.
type Draft struct {
	At           time.Time
	KernelNS     int64
	BootID       uint32
	ClockQuality ClockQuality
	Kind         Kind
	Qualifier    Qualifier
	Zone, Source string
	Severity     Severity
	Body         Body

	// Once is the source's own key for this fact, "" = none: a panel repeats a frame whose ACK was lost. Append
	// answers the old seq if the key is among that Source's last OnceKept, in the same transaction.
	Once string
}

// OnceKept is how many Once keys the log remembers for each Source.
const OnceKept = 64

// Event names the draft: the next event of a log.
func (d Draft) Event(station string, epoch Epoch, seq uint64) Event {
	return Event{
		Station: station, Epoch: epoch, Seq: seq, Lane: LaneOf(d.Kind, d.Severity),
		At: d.At, KernelNS: d.KernelNS, BootID: d.BootID, ClockQuality: d.ClockQuality,
		Kind: d.Kind, Version: 1, Qualifier: d.Qualifier, Zone: d.Zone, Source: d.Source,
		Severity: d.Severity, Body: d.Body,
	}
}
