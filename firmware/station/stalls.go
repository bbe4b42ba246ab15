package station

import (
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/outbox"
)

// stallCalm is how long receipts have to come again before a stall is told to be over: one that comes and goes is one fact.
const stallCalm = 5 * time.Minute

// stalls are the lanes of one centre whose receipts do not come, as far as events tell of them. An event about a stalled
// lane may have to travel in that very lane: it is told once, whatever the outbox repeats.
type stalls struct {
	lanes [4]stall // in the order of event.Lanes
	count uint64   // reports of all times
}

// stall is one lane.
type stall struct {
	open, told bool      // receipts do not come; and an event says so
	over       time.Time // since when they come again; zero = they do not
	last       outbox.Report
	count      uint64 // of rewinds since open
}

func (s *stalls) lane(lane event.Lane) *stall {
	for i, name := range event.Lanes() {
		if name == lane {
			return &s.lanes[i]
		}
	}
	return nil
}

// take notes a report of the outbox, and says whether there may be something to tell.
func (s *stalls) take(now time.Time, r outbox.Report) bool {
	l := s.lane(r.Lane)
	switch {
	case l == nil:
		return false
	case r.Kind == outbox.ReportStalled || r.Kind == outbox.ReportRefusedByBroker:
		s.count++
		l.open, l.over, l.last, l.count = true, time.Time{}, r, uint64(max(r.Count, 1))
		return true
	case r.Kind == outbox.ReportResumed && l.open && l.over.IsZero():
		l.over, l.last.Upto = now, r.Upto
		return true
	}
	return false
}

// due is what is to be told now of which lane; without any, wait says when to look again, 0 = after the next report.
func (s *stalls) due(now time.Time, centre string) (draft event.Draft, lane event.Lane, wait time.Duration) {
	for i, name := range event.Lanes() {
		l := &s.lanes[i]
		switch calm := now.Sub(l.over); {
		case l.open && !l.told:
			return l.draft(event.QualifierNew, event.SeverityWarning, centre), name, 0
		case !l.told || l.over.IsZero():
		case calm >= stallCalm:
			return l.draft(event.QualifierRestore, event.SeverityNotice, centre), name, 0
		case wait == 0 || stallCalm-calm < wait:
			wait = stallCalm - calm
		}
	}
	return event.Draft{}, 0, wait
}

// told says that what due answered for a lane is stored.
func (s *stalls) told(lane event.Lane, q event.Qualifier) {
	l := s.lane(lane)
	if q == event.QualifierNew {
		l.told = true
		return
	}
	if l.told = false; !l.over.IsZero() { // else receipts have stopped again meanwhile
		*l = stall{}
	}
}

func (l *stall) draft(q event.Qualifier, severity event.Severity, centre string) event.Draft {
	body := []event.Field{
		event.Text(event.TagCentre, centre), event.Uint(event.TagLane, uint64(l.last.Lane)), event.Uint(event.TagUpto, l.last.Upto),
		event.Uint(event.TagCount, l.count),
	}
	if q == event.QualifierNew {
		body = append(body, event.Uint(event.TagFrom, l.last.From), event.Text(event.TagDetail, l.last.Text))
	}
	return event.Draft{Kind: event.KindCentreStalled, Qualifier: q, Source: "centre/" + centre, Severity: severity, Body: event.NewBody(body...)}
}
