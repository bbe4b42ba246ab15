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

// anew is a stored frame, as a sum without its time, that was answered with NAK because its panel repeated it for too long.
type anew struct {
	sum   uint64
	until time.Time
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

// expectAnew notes a frame that gets a NAK, if it has been stored: the ACK was lost, and its panel will send it under a new time.
// A frame that was not stored is not noted: a panel whose clock and number begin anew after each power cut loses no alarm.
func (a *account) expectAnew(f *Frame, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.replays
	r.anew = slices.DeleteFunc(r.anew, func(x anew) bool { return !now.Before(x.until) })
	if !r.stored(f) {
		return
	}
	sum := r.sum(f, "")
	r.anew = slices.DeleteFunc(r.anew, func(x anew) bool { return x.sum == sum })
	if len(r.anew) == remembered {
		r.anew = slices.Delete(r.anew, 0, 1)
	}
	r.anew = append(r.anew, anew{sum: sum, until: now.Add(anewFor)})
}

// stampedAnew says that this frame is such a one under a new time.
func (a *account) stampedAnew(f *Frame, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.replays.anew) == 0 {
		return false
	}
	sum := a.replays.sum(f, "")
	return slices.ContainsFunc(a.replays.anew, func(x anew) bool { return x.sum == sum && now.Before(x.until) })
}

// remember notes a frame as stored.
func (a *account) remember(f *Frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.replays
	if len(r.sums) == 0 {
		r.seed = maphash.MakeSeed()
	}
	if len(r.sums) < remembered {
		r.sums = append(r.sums, r.sum(f, f.Stamp))
		return
	}
	r.sums[r.next] = r.sum(f, f.Stamp)
	r.next = (r.next + 1) % remembered
}

func (r *replays) sum(f *Frame, stamp string) uint64 {
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
