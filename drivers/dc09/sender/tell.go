package sender

import (
	"context"
	"errors"
	"strings"
	"time"

	"watchpost/drivers"
	"watchpost/storage/event"
)

// lost tells, once, that the link is down.
func (s *Sender) lost(ctx context.Context, sink drivers.Sink, err error) {
	was := s.setState(stateDown, err.Error())
	if was == stateDown {
		return
	}
	s.downSince = time.Now()
	s.o.Log.Warn("link lost", "err", err)
	s.tell(ctx, sink, event.KindCentreLink, event.QualifierNew, event.SeverityWarning, event.Text(event.TagReason, reason(err)), event.Text(event.TagDetail, clip(err.Error())))
}

// restored tells, once, that the receiver answers.
func (s *Sender) restored(ctx context.Context, sink drivers.Sink) {
	if s.setState(stateUp, "") == stateUp {
		return
	}
	s.o.Log.Info("link is up")
	s.tell(ctx, sink, event.KindCentreLink, event.QualifierRestore, event.SeverityNotice, event.Uint(event.TagDuration, uint64(max(0, time.Since(s.downSince)))))
}

func (s *Sender) setState(state, why string) (was string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was = s.state; was != state {
		s.since = s.o.Now()
	}
	s.state, s.why = state, why
	return was
}

// clockStep is how far the receiver's clock must be off for people to be told.
const clockStep = 2 * time.Second

// setClock adopts the receiver's clock for stamps, and tells of it.
func (s *Sender) setClock(ctx context.Context, sink drivers.Sink, at time.Time) {
	off := at.Sub(s.o.Now())
	moved := (off - s.mem.Offset).Abs()
	s.mem.Offset = off
	if moved < clockStep || !s.due(&s.clockTold) {
		return
	}
	s.o.Log.Warn("the receiver's clock is not ours: messages go by it", "offset", off.Round(time.Second))
	ahead := "ahead of"
	if off < 0 {
		ahead = "behind"
	}
	s.tell(ctx, sink, event.KindReportRefused, event.QualifierStatus, event.SeverityWarning, event.Text(event.TagReason, "clock"),
		event.Uint(event.TagDuration, uint64(off.Abs())),
		event.Text(event.TagDetail, "the receiver's clock is "+off.Abs().Round(time.Second).String()+" "+ahead+" the station's: its messages go by it"))
}

// tellRefused tells that the receiver will not take an event, by its seq and what it was sent as. Of a silent event nothing is told:
// the centres have it themselves, and whoever stands at the station must not see that there is one.
func (s *Sender) tellRefused(ctx context.Context, sink drivers.Sink, e event.Event, payload string) {
	if e.Kind.Silent() {
		return
	}
	s.o.Log.Warn("the receiver will not take an event, which is left out", "kind", e.Kind, "seq", e.Seq)
	s.tell(ctx, sink, event.KindReportRefused, event.QualifierNew, event.SeverityWarning, event.Text(event.TagReason, "duh"),
		event.Uint(event.TagFrom, e.Seq), event.Text(event.TagDetail, clip(payload)))
}

// faults are those of one sort that were not logged yet.
type faults struct {
	count  int
	logged time.Time
}

// trouble logs a fault that repeats, once per interval with its count.
func (s *Sender) trouble(f *faults, says string, err error) {
	f.count++
	if s.due(&f.logged) {
		s.o.Log.Warn(says, "err", err, "count", f.count)
		f.count = 0
	}
}

// due reports whether something that repeats may be told again.
func (s *Sender) due(last *time.Time) bool {
	now := time.Now()
	if !last.IsZero() && now.Sub(*last) < s.o.TellEvery {
		return false
	}
	*last = now
	return true
}

func (s *Sender) tell(ctx context.Context, sink drivers.Sink, k event.Kind, q event.Qualifier, v event.Severity, fields ...event.Field) {
	err := sink(ctx, event.Draft{
		Kind: k, Qualifier: q, Source: s.o.source(), Severity: v, Body: event.NewBody(append(fields, event.Text(event.TagCentre, s.o.ID))...),
	})
	if err != nil && ctx.Err() == nil {
		s.o.Log.Warn("what the sender has to tell is not kept as an event", "kind", k, "err", err)
	}
}

// reason is one word for why a link is down.
func reason(err error) string {
	switch {
	case errors.Is(err, errSilent):
		return "silent"
	case errors.Is(err, errWrong), errors.Is(err, errJunk):
		return "answers"
	case errors.Is(err, errRefused):
		return "refused"
	case errors.Is(err, errClock):
		return "clock"
	case errors.Is(err, errHungUp):
		return "closed"
	}
	return "network"
}

// maxDetail bounds a detail, in bytes.
const maxDetail = 256

func clip(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxDetail)], "?")
}
