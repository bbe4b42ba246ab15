package ring

import (
	"sort"
	"time"
)

// Reader is one position in a ring. It needs no closing; it is not safe for concurrent use, but any number of
// readers may share a ring.
type Reader struct {
	ring   *Ring
	next   uint64 // number of the unit to hand out next
	key    bool   // only a key unit will do
	missed uint64
}

// Join makes a reader that begins with the last GOP: at the newest key unit held, or at the next to come.
func (r *Ring) Join() *Reader {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rd := &Reader{ring: r, next: r.first + uint64(len(r.units)), key: true}
	if n := len(r.keys); n > 0 {
		rd.next = r.keys[n-1]
	}
	return rd
}

// Await makes a reader that begins with the next key unit to come, whatever is held.
func (r *Ring) Await() *Reader {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return &Reader{ring: r, next: r.first + uint64(len(r.units)), key: true}
}

// Since makes a reader for what was recorded from t on: it begins at the last key unit that arrived not after
// t, or else at the oldest key unit held, or at the next to come.
func (r *Ring) Since(t time.Time) *Reader {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rd := &Reader{ring: r, next: r.first + uint64(len(r.units)), key: true}
	if len(r.keys) == 0 {
		return rd
	}
	after := sort.Search(len(r.keys), func(i int) bool { return r.units[r.keys[i]-r.first].At.After(t) })
	rd.next = r.keys[max(after-1, 0)]
	return rd
}

// Next hands out the next unit; false when there is none yet. If the reader has fallen behind what the ring
// holds, or has been told to skip, units are passed over up to a key unit and counted by Missed.
func (rd *Reader) Next() (Unit, bool) {
	r := rd.ring
	r.mu.RLock()
	defer r.mu.RUnlock()
	end := r.first + uint64(len(r.units))
	if rd.next < r.first {
		rd.key = true
	}
	if rd.key {
		to := end
		if i := sort.Search(len(r.keys), func(i int) bool { return r.keys[i] >= rd.next }); i < len(r.keys) {
			to = r.keys[i]
		}
		rd.missed += to - rd.next
		rd.next = to
	}
	if rd.next >= end {
		return Unit{}, false
	}
	u := r.units[rd.next-r.first]
	rd.next++
	rd.key = false
	return u, true
}

// Ready returns a channel that is closed once the ring holds something that this reader has not been handed.
// A reader that waits for a key unit may be woken by others: call Next and wait again.
func (rd *Reader) Ready() <-chan struct{} {
	rd.ring.mu.RLock()
	defer rd.ring.mu.RUnlock()
	if rd.next < rd.ring.first+uint64(len(rd.ring.units)) {
		return rd.ring.closed
	}
	return rd.ring.changed
}

// Skip lets a slow reader catch up: it goes to the newest key unit not yet handed out; if there is none, it
// stays where it is and Skip returns false. What is passed over counts as missed.
func (rd *Reader) Skip() bool {
	r := rd.ring
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := len(r.keys)
	if n == 0 || r.keys[n-1] <= rd.next {
		return false
	}
	rd.missed += r.keys[n-1] - rd.next
	rd.next = r.keys[n-1]
	return true
}

// Lag is how far, in arrival time, the unit to be handed out next lies behind the newest one; zero when the
// reader has everything.
func (rd *Reader) Lag() time.Duration {
	r := rd.ring
	r.mu.RLock()
	defer r.mu.RUnlock()
	if rd.next >= r.first+uint64(len(r.units)) {
		return 0
	}
	at := r.units[max(rd.next, r.first)-r.first].At
	return r.units[len(r.units)-1].At.Sub(at)
}

// Missed counts the units that were passed over because this reader was too slow, or had to wait for a key.
func (rd *Reader) Missed() uint64 { return rd.missed }
