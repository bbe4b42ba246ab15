package camera

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"watchpost/drivers"
	"watchpost/storage/event"
)

// maxUntold bounds the events that wait for a log that takes none; the oldest go first.
const maxUntold = 64

// teller hands events to the sink in order, apart from the video, so that a slow disk never stops the picture.
type teller struct {
	wake chan struct{}

	mu      sync.Mutex // mu guards the fields below
	waiting []event.Draft
	dropped uint64
}

// add queues events.
func (t *teller) add(drafts ...event.Draft) {
	if len(drafts) == 0 {
		return
	}
	t.mu.Lock()
	t.waiting = append(t.waiting, drafts...)
	for len(t.waiting) > maxUntold {
		t.waiting = t.waiting[1:]
		t.dropped++
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// take removes the first event waiting.
func (t *teller) take() (event.Draft, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return event.Draft{}, false
	}
	d := t.waiting[0]
	t.waiting = t.waiting[1:]
	return d, true
}

// run tells until ctx ends. An event that was not stored is tried again every second.
func (t *teller) run(ctx context.Context, sink drivers.Sink, log *slog.Logger) {
	for {
		d, ok := t.take()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-t.wake:
			}
			continue
		}
		for told := false; ; told = true {
			err := sink(ctx, d)
			if err == nil {
				break
			}
			if !told && ctx.Err() == nil {
				log.Warn("camera event not stored, trying again", "source", d.Source, "err", err)
			}
			retry := time.NewTimer(time.Second)
			select {
			case <-ctx.Done():
				retry.Stop()
				return
			case <-retry.C:
			}
		}
	}
}
