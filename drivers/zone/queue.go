package zone

import (
	"sync"

	"watchpost/storage/event"
)

// queueSize is how many facts of one zone wait for a sink that does not store. Chatter is latched long before it is full.
const queueSize = 256

// queue holds the facts of one zone that are not stored yet, in order.
type queue struct {
	wake chan struct{} // one place: something waits

	mu    sync.Mutex // guards the fields below
	facts []fact
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push adds a fact. When the queue is full it gives up one fact, of less than alarm severity if there is any, and never
// the first, which may be on its way to the sink; the fact after it tells how much was lost.
func (q *queue) push(f fact) {
	q.mu.Lock()
	q.facts = append(q.facts, f)
	if len(q.facts) > queueSize {
		drop := 1
		for i, c := range q.facts[1 : len(q.facts)-1] {
			if c.severity < event.SeverityAlarm {
				drop = i + 1
				break
			}
		}
		q.facts[drop+1].lost += 1 + q.facts[drop].lost
		q.facts = append(q.facts[:drop], q.facts[drop+1:]...)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// head is the oldest fact, which stays until pop.
func (q *queue) head() (fact, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.facts) == 0 {
		return fact{}, false
	}
	return q.facts[0], true
}

// pop forgets the oldest fact: it is stored.
func (q *queue) pop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.facts = q.facts[1:]
	if len(q.facts) == 0 {
		q.facts = nil
	}
}

// len is how many facts wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.facts)
}
