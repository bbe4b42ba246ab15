package intake

import (
	"fmt"
	"strings"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// inbox is what waits to be stored. Alarms and replies do not stand behind a backlog, and what stations say of themselves
// comes all at once when they all come back. Within a lane of a station the order is kept; between lanes there is none.
type inbox struct {
	urgent chan message // alarms, and replies that somebody waits for
	states chan message
	rest   chan message
}

func newInbox(size int) inbox {
	return inbox{make(chan message, size), make(chan message, statesPerQueue*size), make(chan message, size)}
}

func (b inbox) queues() []chan message { return []chan message{b.urgent, b.states, b.rest} }

// queueOf is where a message waits; a topic that is none of ours waits with the rest, to be refused.
func (b inbox) queueOf(name string) chan message {
	switch {
	case strings.HasSuffix(name, "/"+string(topic.LeafState)):
		return b.states
	case strings.HasSuffix(name, "/"+string(topic.LeafEvent)+"/"+event.LaneAlarm.String()), strings.Contains(name, "/"+string(topic.LeafReply)+"/"):
		return b.urgent
	default:
		return b.rest
	}
}

// put takes a message in without waiting, or says why it cannot.
func (b inbox) put(m message) error {
	q := b.queueOf(m.topic)
	select {
	case q <- m:
		return nil
	default:
		return fmt.Errorf("more than %d messages are waiting to be stored: hanging up, the stations will send them again", cap(q))
	}
}

// gather takes what else is waiting, a share of each queue, so that one commit serves all of it.
func (b inbox) gather(first message) []message {
	ms := []message{first}
	for _, q := range b.queues() {
		for n := 0; n < batchLimit && len(q) > 0; n++ { // nobody else takes from it
			ms = append(ms, <-q)
		}
	}
	return ms
}

func (b inbox) empty() bool {
	for _, q := range b.queues() {
		if len(q) > 0 {
			return false
		}
	}
	return true
}

// oldest is when the first of some messages came in.
func oldest(ms []message) time.Time {
	at := ms[0].received
	for _, m := range ms {
		if m.received.Before(at) {
			at = m.received
		}
	}
	return at
}
