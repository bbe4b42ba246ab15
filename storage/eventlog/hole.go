package eventlog

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"

	"watchpost/storage/event"
)

// reason is why a range cannot be had any more. The numbers are on disk.
type reason byte

const (
	reasonDamaged reason = 1 // the disk does not give it back
	reasonSpace   reason = 2 // it was evicted to make room
	reasonUnsure  reason = 3 // numbers left out after a power cut, in case the disk had not kept what it acknowledged
)

// String is the reason's word in a log.evicted event.
func (r reason) String() string {
	switch r {
	case reasonSpace:
		return "space"
	case reasonUnsure:
		return "unsure"
	default:
		return "damaged"
	}
}

// maxUntold bounds the holes that wait for the writer; the others are found again by the next reader.
const maxUntold = 16

// span is a range of seqs, both ends in it.
type span struct{ from, upto uint64 }

func (s span) holds(o span) bool { return s.from <= o.from && o.upto <= s.upto }

// hole is a range of a lane that cannot be had any more. The marker is the log.evicted event that tells it: as long as that
// stands and a centre may not have it, a note of the hole is kept, so that eviction does not make it silent.
type hole struct {
	lane event.Lane // 0 = of all lanes
	span
	why         reason
	count       uint64 // events in it, 0 = unknown
	unreceipted uint64 // how many of them some required centre had given no receipt for
	marker      uint64 // seq of the event that tells it, 0 = not told yet
}

const holeLength = 4*8 + 1

func (h hole) key() []byte { return laneKey(keyHole, h.lane, h.marker) }

// entry is the note of a hole that is told.
func (h hole) entry() (key, value []byte) {
	key = h.key()
	value = make([]byte, 0, holeLength+4)
	for _, n := range []uint64{h.from, h.upto, h.count, h.unreceipted} {
		value = binary.BigEndian.AppendUint64(value, n)
	}
	return key, seal(key, append(value, byte(h.why)))
}

func decodeHole(key, sealed []byte) (hole, error) {
	b, err := unseal(key, sealed)
	if err != nil {
		return hole{}, err
	}
	if len(b) != holeLength || len(key) != 10 {
		return hole{}, errors.New("hole note is cut")
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return hole{
		lane: event.Lane(key[1]), marker: seqOfKey(key),
		span: span{at(0), at(1)}, count: at(2), unreceipted: at(3), why: reason(b[4*8]),
	}, nil
}

// draft is the marker event that tells the hole.
func (h hole) draft() event.Draft {
	fields := []event.Field{
		event.Text(event.TagReason, h.why.String()), event.Uint(event.TagFrom, h.from), event.Uint(event.TagUpto, h.upto),
	}
	if h.lane > 0 {
		fields = append(fields, event.Uint(event.TagLane, uint64(h.lane)))
	}
	if h.count > 0 {
		fields = append(fields, event.Uint(event.TagCount, h.count))
	}
	severity := event.SeverityNotice
	if h.why == reasonSpace {
		fields = append(fields, event.Uint(event.TagUnreceipted, h.unreceipted))
	}
	if h.why == reasonDamaged || h.unreceipted > 0 {
		severity = event.SeverityWarning
	}
	return event.Draft{
		Kind: event.KindLogEvicted, Qualifier: event.QualifierStatus, Source: "station",
		Severity: severity, Body: event.NewBody(fields...),
	}
}

// lost notes a hole that a reader came upon, for the writer to tell, unless it was told before.
func (l *Log) lost(h hole) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.from = max(h.from, l.gone[h.lane].seq+1); h.from > h.upto {
		return // evicted while it was being read
	}
	for _, known := range append(l.untold[:len(l.untold):len(l.untold)], l.holes...) {
		if known.lane == h.lane && known.holds(h.span) {
			return
		}
	}
	if len(l.untold) >= maxUntold {
		return
	}
	l.untold = append(l.untold, h)
	l.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: events cannot be read any more",
		slog.String("lane", h.lane.String()), slog.Uint64("from", h.from), slog.Uint64("upto", h.upto))
	signal(l.kick)
}
