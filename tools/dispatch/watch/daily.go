//lint:pure

package watch

import (
	"time"

	"watchpost/storage/event"
)

// Stage is the link of the daily test's chain at which it stopped.
type Stage string

// The stages: line = the station did not see its own test; uplink = it saw it, and the centre has not stored it; screen = the
// centre has it, and no page showed it.
const (
	StageNone   Stage = ""
	StageLine   Stage = "line"
	StageUplink Stage = "uplink"
	StageScreen Stage = "screen"
)

// Figures of the daily test.
const (
	testWithin = 26 * time.Hour   // from one test to the next, at most
	testSettle = 15 * time.Minute // after the centre began to listen: what waited at the stations comes in first
)

// Test is how far a station's daily tests have come. Zero = never.
type Test struct {
	Since     time.Time // when the centre first knew that the station tests
	Claimed   time.Time // the last that came through to the station's log, by the station's own word
	Stored    time.Time // the last that the centre stored
	Confirmed time.Time // when a page last showed one
	Failed    time.Time // when the station last said itself that one failed
}

// Stage is where the test stops, as far as it can be told at a time. Of a failed line the station tells by itself: the centre
// speaks only where the station is mute about it.
func (t Test) Stage(now time.Time) Stage {
	old := func(at time.Time) bool { return at.IsZero() || now.Sub(at) > testWithin }
	switch {
	case !old(t.Since):
		return StageNone
	case old(t.Stored) && !old(t.Claimed):
		return StageUplink
	case old(t.Stored) && old(t.Failed):
		return StageLine
	case old(t.Stored):
		return StageNone
	case old(t.Confirmed):
		return StageScreen
	}
	return StageNone
}

// failures tells of tests that did not come through, and of those that do again. Of a station that is silent nothing is
// said: its silence says more.
func (r *round) failures() {
	if r.now.Sub(r.since) < testSettle {
		return
	}
	for _, s := range r.stations {
		if !s.Tests || !r.untold(s) || r.missing(s) {
			continue
		}
		stage, told := s.Test.Stage(r.now), r.tests[s.ID]
		if stage == told {
			continue
		}
		if told != StageNone {
			delete(r.tests, s.ID)
			r.tell(Effect{Kind: event.KindTestFailed, Qualifier: event.QualifierRestore, Station: s.ID, Stage: told})
		}
		if stage != StageNone {
			r.tests[s.ID] = stage
			r.tell(Effect{Kind: event.KindTestFailed, Qualifier: event.QualifierNew, Station: s.ID, Stage: stage})
		}
	}
}
