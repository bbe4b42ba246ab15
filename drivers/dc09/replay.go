package dc09

import (
	"hash/maphash"
	"slices"
	"time"
)

// remembered is how many encrypted frames of an account are known as stored: the log knows the last [event.OnceKept] events, and
// who replays a frame can wait until that many have followed it, as long as its time is within the window.
const remembered = 1024

// replays are the newest encrypted frames that were stored, as sums. It is guarded by its account's mutex.
type replays struct {
	seed maphash.Seed
	sums []uint64
	next int // where the oldest is overwritten, once there are enough
	anew []anew
}

// anewFor is how long a stored frame may come under a new time after a NAK: the panel sets its clock and sends it at once.
const anewFor = 2 * time.Minute

// anew is a frame that was answered with NAK. Whether it has been stored is known for certain only when it comes again: a busy store
// may still be at it.
type anew struct {
	stamped, sum uint64 // with its time and without
	until        time.Time
}

// replayed says that this frame has been stored: same number, time and content.
func (a *account) replayed(f *Frame) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.replays.stored(f)
}

func (r *replays) stored(f *Frame) bool {
	return len(r.sums) > 0 && slices.Contains(r.sums, r.sum(f, f.Stamp))
}

// expectAnew notes a frame that gets a NAK: its panel will send it under a new time.
func (a *account) expectAnew(f *Frame, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.replays
	x := anew{stamped: r.sum(f, f.Stamp), sum: r.sum(f, ""), until: now.Add(anewFor)}
	r.anew = slices.DeleteFunc(r.anew, func(y anew) bool { return !now.Before(y.until) || y.stamped == x.stamped })
	if len(r.anew) == remembered {
		r.anew = slices.Delete(r.anew, 0, 1)
	}
	r.anew = append(r.anew, x)
}

// stampedAnew says that this is such a frame under a new time, and that it has been stored under the old one: the ACK was lost. What was
// not stored is not known by it: a panel whose clock and number begin anew after each power cut loses no alarm.
func (a *account) stampedAnew(f *Frame, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.replays
	if len(r.anew) == 0 {
		return false
	}
	sum := r.sum(f, "")
	return slices.ContainsFunc(r.anew, func(x anew) bool {
		return x.sum == sum && now.Before(x.until) && slices.Contains(r.sums, x.stamped)
	})
}

// remember notes a frame as stored.
func (a *account) remember(f *Frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.replays
	if len(r.sums) < remembered {
		r.sums = append(r.sums, r.sum(f, f.Stamp))
		return
	}
	r.sums[r.next] = r.sum(f, f.Stamp)
	r.next = (r.next + 1) % remembered
}

func (r *replays) sum(f *Frame, stamp string) uint64 {
	if r.seed == (maphash.Seed{}) {
		r.seed = maphash.MakeSeed()
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, s := range [...]string{f.ID, f.Seq, stamp, f.Data} {
		_, _ = h.WriteString(s) // never fails
		_ = h.WriteByte('\r')   // stands in no part of a frame
	}
	for _, x := range f.Extended {
		_, _ = h.WriteString(x)
		_ = h.WriteByte('\r')
	}
	return h.Sum64()
}
