package hostbus

import (
	"sync"

	"watchpost/drivers/bus"
)

// queueDepth is how many words of one line wait for a watcher that does not take them.
const queueDepth = 256

// queue holds what one watcher has not taken yet. A line that storms pushes out its own words and no other line's.
type queue struct {
	wake chan struct{} // one place: something waits

	mu      sync.Mutex // guards the fields below
	words   []bus.Edge
	waiting map[string]int
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1), waiting: map[string]int{}} }

// push adds a word. If the line has too many the oldest of them goes, and the next one tells that it is lost.
func (q *queue) push(e bus.Edge) {
	q.mu.Lock()
	q.words = append(q.words, e)
	if q.waiting[e.Line]++; q.waiting[e.Line] > queueDepth {
		q.dropOldest(e.Line)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// dropOldest needs the mutex, and a second word of the line.
func (q *queue) dropOldest(line string) {
	gone := -1
	for i := range q.words {
		w := &q.words[i]
		switch {
		case w.Line != line:
		case gone < 0:
			gone = i
		default:
			w.Lost += q.words[gone].Lost
			if q.words[gone].Quality == bus.Changed {
				w.Lost++
			}
			q.words = append(q.words[:gone], q.words[gone+1:]...)
			q.waiting[line]--
			return
		}
	}
}

// take gives all that waits.
func (q *queue) take() []bus.Edge {
	q.mu.Lock()
	defer q.mu.Unlock()
	words := q.words
	q.words = nil
	clear(q.waiting)
	return words
}
