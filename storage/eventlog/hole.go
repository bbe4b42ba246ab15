package eventlog

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"

	"watchpost/storage/event"
)

// reasonDamaged is the reason of a log.evicted event that tells a hole.
const reasonDamaged = "damaged"

// maxUntold bounds the holes that wait for the writer; the others are found again by the next reader.
const maxUntold = 16

// span is a range of seqs, both ends in it.
type span struct{ from, upto uint64 }

func (s span) holds(o span) bool { return s.from <= o.from && o.upto <= s.upto }

// hole is a range of a lane that cannot be read any more.
type hole struct {
	lane event.Lane
	span
	count uint64 // events in it, 0 = unknown
}

// entry is the note that the marker of seq tells this hole.
func (h hole) entry(marker uint64) (key, value []byte) {
	key = laneKey(keyHole, h.lane, h.from)
	value = binary.BigEndian.AppendUint64(nil, h.upto)
	return key, seal(key, binary.BigEndian.AppendUint64(value, marker))
}

func decodeHole(key, sealed []byte) (hole, error) {
	b, err := unseal(key, sealed)
	if err != nil {
		return hole{}, err
	}
	if len(b) != 16 || len(key) != 10 {
		return hole{}, errors.New("hole note is cut")
	}
	return hole{lane: event.Lane(key[1]), span: span{seqOfKey(key), binary.BigEndian.Uint64(b)}}, nil
}

// draft is the marker event that tells the hole.
func (h hole) draft() event.Draft {
	fields := []event.Field{
		event.Text(event.TagReason, reasonDamaged), event.Uint(event.TagLane, uint64(h.lane)),
		event.Uint(event.TagFrom, h.from), event.Uint(event.TagUpto, h.upto),
	}
	if h.count > 0 {
		fields = append(fields, event.Uint(event.TagCount, h.count))
	}
	return event.Draft{
		Kind: event.KindLogEvicted, Qualifier: event.QualifierStatus, Source: "station",
		Severity: event.SeverityWarning, Body: event.NewBody(fields...),
	}
}

// lost notes a hole that a reader came upon, for the writer to tell, unless it was told before.
func (l *Log) lost(h hole) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range l.holes[h.lane] {
		if known.holds(h.span) {
			return
		}
	}
	if len(l.untold) >= maxUntold {
		return
	}
	l.holes[h.lane] = append(l.holes[h.lane], h.span)
	l.untold = append(l.untold, h)
	l.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: events cannot be read any more",
		slog.String("lane", h.lane.String()), slog.Uint64("from", h.from), slog.Uint64("upto", h.upto))
	signal(l.kick)
}
