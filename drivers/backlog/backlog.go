// A fact that the log has not stored yet waits in a backlog, so that a full disk loses none and holds up no device.
//
// A backlog keeps the order of one source's facts and hands each to the sink until it is stored. It is bounded: what has to
// go is of less than alarm severity where there is any, and the fact after it tells how many are lost.
package backlog

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"watchpost/drivers"
	"watchpost/storage/event"
)

// Size is how many facts wait at most.
const Size = 256

// Pauses between two attempts to store a fact; they double from the first to the second.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second
)

// Backlog holds the facts of one source, in order. Its methods may be called at once from several goroutines.
type Backlog struct {
	source string
	log    *slog.Logger
	wake   chan struct{} // one place: something waits

	mu    sync.Mutex // guards the fields below
	facts []waiting
}

type waiting struct {
	draft event.Draft
	lost  uint64 // facts before it that had to go, and what those had told as lost
}

// New is an empty backlog; source names it in the log, which takes one line for each change of state.
func New(source string, log *slog.Logger) *Backlog {
	return &Backlog{source: source, log: log, wake: make(chan struct{}, 1)}
}

// Add puts a fact at the end. When the backlog is full one fact goes, never the first: it may be on its way to the sink.
func (b *Backlog) Add(d event.Draft) {
	b.mu.Lock()
	b.facts = append(b.facts, waiting{draft: d})
	if len(b.facts) > Size {
		b.forget()
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// forget gives up the oldest fact but the first of less than alarm severity, or the oldest but the first. It needs the mutex.
func (b *Backlog) forget() {
	drop := 1
	for i, f := range b.facts[1 : len(b.facts)-1] {
		if f.draft.Severity < event.SeverityAlarm {
			drop = i + 1
			break
		}
	}
	b.facts[drop+1].lost += 1 + b.facts[drop].lost + told(b.facts[drop].draft)
	b.facts = append(b.facts[:drop], b.facts[drop+1:]...)
}

// told is what a fact tells as lost by itself, as a line's edges.
func told(d event.Draft) uint64 {
	n, _ := d.Body.Uint(event.TagLost)
	return n
}

// Len is how many facts wait.
func (b *Backlog) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.facts)
}

// Run hands the facts to the sink, each until it is stored, and blocks until ctx ends. What waits then is left.
func (b *Backlog) Run(ctx context.Context, sink drivers.Sink) {
	pause, failing := retryMin, false
	for ctx.Err() == nil {
		f, ok := b.head()
		if !ok {
			select {
			case <-b.wake:
			case <-ctx.Done():
			}
			continue
		}
		err := sink(ctx, f)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if failing {
				b.log.Info("events are stored again", "source", b.source)
			}
			b.pop()
			pause, failing = retryMin, false
			continue
		case !failing:
			b.log.Error("event is not stored, trying on", "source", b.source, "error", err)
			failing = true
		}
		wait(ctx, pause)
		pause = min(2*pause, retryMax)
	}
}

func wait(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// head is the oldest fact, which stays until pop.
func (b *Backlog) head() (event.Draft, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.facts) == 0 {
		return event.Draft{}, false
	}
	f := b.facts[0]
	if f.lost > 0 {
		rest := slices.DeleteFunc(slices.Clone(f.draft.Body), func(x event.Field) bool { return x.Tag == event.TagLost })
		f.draft.Body = event.NewBody(append(rest, event.Uint(event.TagLost, f.lost+told(f.draft)))...)
	}
	return f.draft, true
}

// pop forgets the oldest fact: it is stored.
func (b *Backlog) pop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.facts = b.facts[1:]
	if len(b.facts) == 0 {
		b.facts = nil
	}
}
