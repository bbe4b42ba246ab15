package fleet

import (
	"cmp"
	"container/heap"
	"time"
)

// entry is one thing to come.
type entry struct {
	at    time.Duration // since the beginning of the world
	order uint64        // of two at the same moment, the one that was planned first
	do    func()
}

// agenda is the heap of all things to come; its order is total, so that one seed is one history.
type agenda struct {
	entries []entry
	planned uint64
}

var _ heap.Interface = (*agenda)(nil)

func (a *agenda) plan(at time.Duration, do func()) {
	a.planned++
	heap.Push(a, entry{at, a.planned, do})
}

// next takes the earliest entry.
func (a *agenda) next() (entry, bool) {
	if len(a.entries) == 0 {
		return entry{}, false
	}
	return heap.Pop(a).(entry), true
}

// Len, Less, Swap, Push and Pop are the heap's.
func (a *agenda) Len() int { return len(a.entries) }

// Less is the agenda's order.
func (a *agenda) Less(i, j int) bool {
	x, y := a.entries[i], a.entries[j]
	return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.order, y.order)) < 0
}

// Swap swaps two entries.
func (a *agenda) Swap(i, j int) { a.entries[i], a.entries[j] = a.entries[j], a.entries[i] }

// Push is called by heap.Push.
func (a *agenda) Push(x any) { a.entries = append(a.entries, x.(entry)) }

// Pop is called by heap.Pop.
func (a *agenda) Pop() any {
	last := len(a.entries) - 1
	e := a.entries[last]
	a.entries[last] = entry{}
	a.entries = a.entries[:last]
	return e
}
