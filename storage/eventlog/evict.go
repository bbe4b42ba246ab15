package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// gone is the front of a lane that was evicted: all of it up to and including its last event, which is what tail describes.
type gone struct {
	tail
	unreceipted uint64 // how many events of it some required centre had given no receipt for
}

const goneLength = 4 * 8

func (g gone) entry(lane event.Lane) (key, value []byte) {
	key = lanePrefix(keyGone, lane)
	value = make([]byte, 0, goneLength+4)
	for _, n := range []uint64{g.seq, g.count, g.bytes, g.unreceipted} {
		value = binary.BigEndian.AppendUint64(value, n)
	}
	return key, seal(key, value)
}

func (l *Log) loadGone(key, sealed []byte) error {
	b, err := unseal(key, sealed)
	if err != nil {
		return err
	}
	if len(b) != goneLength || len(key) != 2 || int(key[1]) >= laneSlots {
		return errors.New("note of what was evicted is cut")
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	l.gone[key[1]] = gone{tail: tail{seq: at(0), count: at(1), bytes: at(2)}, unreceipted: at(3)}
	return nil
}

// evictable are the lanes that may be evicted, the one to go first at the front.
func evictable() []event.Lane { return []event.Lane{event.LaneTrace, event.LaneRead, event.LaneMain} }

// eviction is a lane's front that is to go.
type eviction struct {
	lane event.Lane
	gone
}

// covered is how far all required centres have given receipts, by lane. Without a required centre nothing is covered.
func (l *Log) covered() (seqs [laneSlots]uint64) {
	for _, lane := range event.Lanes() {
		for i, centre := range l.opt.Centres {
			if at := l.cursors[cursorName{centre, lane}]; i == 0 || at < seqs[lane] {
				seqs[lane] = at
			}
		}
	}
	return seqs
}

// over is how many bytes of a lane are to go because it is over its bound, with some more so that evictions are few.
func (l *Log) over(lane event.Lane) uint64 {
	keep := uint64(l.opt.Keep[lane])
	if held := l.tails[lane].bytes - min(l.gone[lane].bytes, l.tails[lane].bytes); keep > 0 && held > keep {
		return held - keep + max(keep/16, min(1<<20, keep/4))
	}
	return 0
}

// plan finds the shortest front of a lane that has so many bytes, or all of it but its last event; with receipted set, no more
// than all required centres have. It answers false when there is none.
func (l *Log) plan(lane event.Lane, need uint64, receipted bool) (e eviction, ok bool, err error) {
	l.mu.Lock()
	before, last, covered := l.gone[lane], l.tails[lane].seq, l.covered()[lane]
	l.mu.Unlock()
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed.Load() {
		return eviction{}, false, ErrClosed
	}
	err = l.db.View(func(txn *badger.Txn) error {
		f := finder{log: l, txn: txn, lane: lane}
		from, upto := before.seq+1, last // the first event behind what is to go
		if receipted {
			upto = min(upto, covered+1)
		}
		for from < upto {
			mid := from + (upto-from)/2
			s, found := f.first(mid)
			if found && s.bytes-uint64(s.size) < before.bytes+need {
				from = max(mid, min(s.seq, upto-1)) + 1
			} else {
				upto = mid
			}
		}
		next, found := f.first(from)
		if !found || next.seq > last || next.prev <= before.seq {
			return nil
		}
		e, ok = eviction{lane: lane, gone: gone{tail: next.before()}}, true
		switch s, found := f.first(covered + 1); {
		case covered >= e.seq:
		case covered <= before.seq || !found:
			e.unreceipted = e.count - min(before.count, e.count)
		default:
			e.unreceipted = e.count - min(s.before().count, e.count)
		}
		return nil
	})
	if err != nil {
		return eviction{}, false, fmt.Errorf("looking for what may go of lane %s: %w", lane, err)
	}
	return e, ok, nil
}

// finder looks for events by seq, around what cannot be read.
type finder struct {
	log  *Log
	txn  *badger.Txn
	lane event.Lane
}

// first is the first event of the lane that can be read from a seq on.
func (f finder) first(seq uint64) (s stored, found bool) {
	for step := uint64(1); !found && step < 1<<32; step *= 2 {
		err := sound(func() error {
			it := walk(f.txn, f.lane, false)
			defer it.Close()
			for it.begin(seq); it.Valid() && !found; it.next() {
				var err error
				s, err = f.log.item(it.Item())
				found = err == nil
			}
			return nil
		})
		if err == nil {
			break
		}
		seq += step
	}
	return s, found
}

// evict stages that the front of a lane goes: the marker that says so, in the main lane, and a note; the keys are deleted
// later. Markers that go themselves, and that some required centre has not, are told again, those of one lane as one.
func (b *batch) evict(e eviction) error {
	before := b.gone[e.lane]
	if e.seq <= before.seq {
		return nil
	}
	l := b.log
	l.mu.Lock()
	covered := l.covered()[event.LaneMain]
	l.mu.Unlock()
	tell := []hole{{
		lane: e.lane, span: span{before.seq + 1, e.seq}, why: reasonSpace,
		count: e.count - min(before.count, e.count), unreceipted: e.unreceipted,
	}}
	kept := make([]hole, 0, len(b.holes)+1)
	for _, h := range b.holes {
		switch {
		case h.lane == e.lane && h.why == reasonDamaged && h.upto <= e.seq: // the new marker tells it
		case e.lane == event.LaneMain && h.marker <= e.seq:
			if h.marker > covered {
				tell = join(tell, h)
			}
		default:
			kept = append(kept, h)
			continue
		}
		b.dead = append(b.dead, h.key())
	}
	b.holes = kept
	for _, h := range tell {
		if err := b.tellHole(h); err != nil {
			return err
		}
	}
	e.unreceipted += before.unreceipted
	b.gone[e.lane] = e.gone
	b.add(e.entry(e.lane))
	return nil
}

// join adds a hole to those that are to be told. What was evicted from one lane is one range; of the others there are few,
// or they become one as well.
func join(tell []hole, h hole) []hole {
	const few = 64
	for i, t := range tell {
		if t.lane == h.lane && t.why == h.why && (h.why == reasonSpace || len(tell) > few) {
			tell[i].span = span{min(t.from, h.from), max(t.upto, h.upto)}
			tell[i].count += h.count
			tell[i].unreceipted += h.unreceipted
			return tell
		}
	}
	h.marker = 0
	return append(tell, h)
}

// tellHole stages the marker of a hole and its note.
func (b *batch) tellHole(h hole) (err error) {
	if h.marker, err = b.stageOwn(h.draft()); err != nil {
		return err
	}
	b.holes = append(b.holes, h)
	b.add(h.entry())
	return nil
}
