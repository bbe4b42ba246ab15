package dc09

import "hash/maphash"

// remembered is how many encrypted frames of an account are known as stored: the log knows the last [event.OnceKept] events, and
// who replays a frame can wait until that many have followed it, as long as its time is within the window.
const remembered = 1024

// replays are the newest encrypted frames that were stored, as sums. It is guarded by its account's mutex.
type replays struct {
	seed maphash.Seed
	sums []uint64
	next int // where the oldest is overwritten, once there are enough
}

// replayed says that this frame has been stored: same number, time and content.
func (a *account) replayed(f *Frame) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.replays.sums) == 0 {
		return false
	}
	sum := a.replays.sum(f)
	for _, s := range a.replays.sums {
		if s == sum {
			return true
		}
	}
	return false
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
		r.sums = append(r.sums, r.sum(f))
		return
	}
	r.sums[r.next] = r.sum(f)
	r.next = (r.next + 1) % remembered
}

func (r *replays) sum(f *Frame) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, s := range [...]string{f.ID, f.Seq, f.Stamp, f.Data} {
		_, _ = h.WriteString(s) // never fails
		_ = h.WriteByte('\r')   // stands in no part of a frame
	}
	for _, x := range f.Extended {
		_, _ = h.WriteString(x)
		_ = h.WriteByte('\r')
	}
	return h.Sum64()
}
