package eventlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// maxRead is how many events one Read answers at most.
const maxRead = 4096

// Read answers up to n events of a lane whose seq is greater than after, in order. Fewer mean that the lane ends there.
//
// What was evicted is stepped over. So is what cannot be read any more, and it is told once by a log.evicted event with
// reason "damaged", lane, from and upto, in the main lane.
func (l *Log) Read(lane event.Lane, after uint64, n int) ([]event.Event, error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed.Load() {
		return nil, ErrClosed
	}
	head := l.Head(lane)
	if n <= 0 || after >= head {
		return nil, nil
	}
	r := laneReader{log: l, lane: lane, head: head, last: after, n: min(n, maxRead)}
	if err := l.db.View(r.run); err != nil {
		return nil, fmt.Errorf("reading lane %s after %d: %w", lane, after, err)
	}
	return r.events, nil
}

// laneReader is one Read on its way.
type laneReader struct {
	log    *Log
	lane   event.Lane
	head   uint64 // no further: what stands beyond was never acknowledged
	last   uint64 // seq of the last good event
	count  uint64 // its place in the lane, 0 = unknown
	n      int
	events []event.Event
}

// run reads on behind each block over which Badger comes apart, in steps that double until they are beyond it.
func (r *laneReader) run(txn *badger.Txn) error {
	// What is evicted by now was there when its marker was stored, which was before it could vanish from this transaction.
	r.last = max(r.last, r.log.evicted(r.lane))
	for step := uint64(1); len(r.events) < r.n && r.last+step <= r.head; step *= 2 {
		before := r.last
		if err := sound(func() error { r.scan(txn, r.last+step); return nil }); err == nil {
			break
		}
		if r.last > before {
			step = 1
		}
	}
	if len(r.events) == r.n || r.last == r.head {
		return nil
	}
	s, err := r.get(txn, r.head)
	if err != nil {
		r.log.lost(hole{lane: r.lane, span: span{r.last + 1, r.head}, why: reasonDamaged})
		return nil
	}
	r.mend(txn, s)
	r.take(s)
	return nil
}

// scan takes what Badger's iterator gives from a seq on.
func (r *laneReader) scan(txn *badger.Txn, from uint64) {
	it := walk(txn, r.lane, false)
	defer it.Close()
	for it.begin(from); it.Valid() && len(r.events) < r.n; it.next() {
		s, err := r.log.item(it.Item())
		if seqOfKey(it.Item().Key()) > r.head {
			break
		}
		if err != nil {
			continue // the next good one does not follow on: that is how it shows
		}
		if s.prev > r.last {
			r.mend(txn, s)
		}
		r.take(s)
	}
}

func (r *laneReader) get(txn *badger.Txn, seq uint64) (s stored, err error) {
	err = sound(func() error {
		item, err := txn.Get(eventKey(r.lane, seq))
		if err == nil {
			s, err = r.log.item(item)
		}
		return err
	})
	return s, err
}

func (r *laneReader) take(s stored) {
	if len(r.events) < r.n {
		if r.log.read.Add(int64(s.size)) >= readOn {
			signal(r.log.chores)
		}
		r.events = append(r.events, s.event)
		r.last, r.count = s.seq, s.count
	}
}

// mend finds what stands between the last good event and the later event s. Badger's iterator leaves the rest of a table
// out when it meets a bad block, but the events behind that block can be had one by one, back along their chain. What is
// really gone is a hole.
func (r *laneReader) mend(txn *badger.Txn, s stored) {
	var found []stored
	first := s
	for first.prev > r.last {
		before, err := r.get(txn, first.prev)
		if err != nil {
			break
		}
		first = before
		found = append(found, before)
	}
	if first.prev > r.last {
		h := hole{lane: r.lane, span: span{r.last + 1, first.prev}, why: reasonDamaged}
		if r.count > 0 && first.count > r.count {
			h.count = first.count - r.count - 1
		}
		r.log.lost(h)
	}
	for _, before := range slices.Backward(found) {
		r.take(before)
	}
}

// item reads one event from Badger.
func (l *Log) item(item *badger.Item) (s stored, err error) {
	err = item.Value(func(sealed []byte) error {
		s, err = readValue(l.opt.Station, l.epoch, item.Key(), sealed)
		return err
	})
	return s, err
}

// evicted is the last seq of a lane that was evicted, 0 = none.
func (l *Log) evicted(lane event.Lane) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone[lane].seq
}

// Cursor is how far a centre has a lane, 0 = nothing yet.
func (l *Log) Cursor(centre string, lane event.Lane) (uint64, error) {
	if l.closed.Load() {
		return 0, ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursors[cursorName{centre, lane}], nil
}

// checkCursor refuses names that make no key and a place that the lane has not reached.
func (l *Log) checkCursor(centre string, lane event.Lane, upto uint64) error {
	if centre == "" || len(centre) > event.MaxName {
		return fmt.Errorf("cursor of centre %q: a centre's id has 1 to %d bytes", centre, event.MaxName)
	}
	if !slices.Contains(laneList(), lane) {
		return fmt.Errorf("cursor of centre %s: no lane %d", centre, lane)
	}
	if head := l.Head(lane); upto > head {
		return fmt.Errorf("cursor of centre %s at %d in lane %s: the lane ends at %d: is this a receipt of another log?", centre, upto, lane, head)
	}
	return nil
}

func laneList() []event.Lane {
	lanes := event.Lanes()
	return lanes[:]
}

var errNotFound = errors.New("nothing there")

// get reads one sealed value.
func get(txn *badger.Txn, key []byte) (value []byte, err error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	sealed, err := item.ValueCopy(nil)
	if err != nil {
		return nil, err
	}
	return unseal(key, sealed)
}
