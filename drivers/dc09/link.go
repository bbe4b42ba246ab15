package dc09

import (
	"context"
	"fmt"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// The states of a panel's link.
const (
	linkUnknown = "unknown" // not heard since the station started
	linkUp      = "up"
	linkLost    = "lost" // silent for longer than its supervision
)

// alive notes that a panel was heard. Only frames that are believed count: nobody keeps a link up with forged ones.
func (r *Receiver) alive(a *account) {
	now := r.o.Now()
	a.mu.Lock()
	a.heard = now
	wake := a.Supervision > 0 && a.link != linkUp
	a.mu.Unlock()
	if wake {
		nudge(r.nudge)
	}
}

// change says what is to be told of the link now, "" for nothing, and when to look again.
func (a *account) change(now time.Time) (state string, look time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.heard
	if last.IsZero() {
		last = a.since
	}
	look = last.Add(a.Supervision)
	switch {
	case !now.Before(look):
		if a.link == linkLost {
			return "", time.Time{} // only a word of the panel changes that
		}
		return linkLost, look
	case a.link != linkUp && !a.heard.IsZero():
		return linkUp, look
	}
	return "", look
}

// tell makes the event of a change of link.
func (a *account) tell(state string, now time.Time) event.Draft {
	a.mu.Lock()
	previous, since, heard := a.link, a.since, a.heard
	a.mu.Unlock()
	d := event.Draft{
		KernelNS: bus.Monotonic(), Kind: event.KindPanelLink, Qualifier: event.QualifierRestore, Severity: event.SeverityNotice, Source: a.source,
	}
	fields := []event.Field{event.Text(event.TagAccount, a.ID), event.Text(event.TagState, state), event.Text(event.TagPrevious, previous)}
	if state == linkLost {
		d.Qualifier, d.Severity = event.QualifierNew, event.SeverityWarning
		fields = append(fields, event.Text(event.TagReason, "silent"))
		if !heard.IsZero() {
			since = heard
		}
	}
	fields = append(fields, event.Uint(event.TagDuration, uint64(max(0, now.Sub(since)))))
	d.Body = event.NewBody(fields...)
	return d
}

// superviseLinks tells each panel that falls silent for too long, and each that speaks again. It waits for time or for a
// word, so panels that are well cost nothing.
func (r *Receiver) superviseLinks(ctx context.Context, sink drivers.Sink) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := time.Time{}
		for _, a := range r.order {
			if a.Supervision == 0 {
				continue
			}
			look := r.supervise(ctx, sink, a)
			if !look.IsZero() && (next.IsZero() || look.Before(next)) {
				next = look
			}
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(max(next.Sub(r.o.Now()), time.Millisecond))
		}
		select {
		case <-r.nudge:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// supervise tells what has changed of one link, and says when to look again: soon, if that was not stored.
func (r *Receiver) supervise(ctx context.Context, sink drivers.Sink, a *account) time.Time {
	now := r.o.Now()
	state, look := a.change(now)
	if state == "" {
		return look
	}
	if err := sink(ctx, a.tell(state, now)); err != nil {
		return now.Add(time.Second)
	}
	a.mu.Lock()
	previous := a.link
	a.link, a.since = state, now
	a.mu.Unlock()
	r.o.Log.Info("panel link", "account", a.ID, "state", state, "previous", previous)
	return now.Add(time.Millisecond) // the panel may have spoken while the sink was at work
}

// Snapshot is the link of each account, as "dc09/<id>", and the receiver itself as "dc09".
func (r *Receiver) Snapshot() []drivers.Reading {
	list := make([]drivers.Reading, 0, len(r.order)+1)
	for _, a := range r.order {
		a.mu.Lock()
		x := drivers.Reading{Name: a.name, State: a.link, Text: "not heard yet", Since: a.since}
		if !a.heard.IsZero() {
			x.Text = "last heard " + a.heard.UTC().Format(time.RFC3339)
		}
		if a.Supervision == 0 {
			x.Text += ", not supervised"
		}
		a.mu.Unlock()
		list = append(list, x)
	}
	self := drivers.Reading{Name: "dc09", State: linkUp, Since: r.started, Text: fmt.Sprintf("%d wrong frames, %d answers received, %d over a limit",
		r.bad.Load(), r.answers.Load(), r.dropped.Load())}
	if r.listening.Load() < r.sockets() {
		self.State = "missing"
	}
	return append(list, self)
}
