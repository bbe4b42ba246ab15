//lint:pure

package station

import (
	"fmt"
	"time"
)

// Bounds of the daily test. Between them it is raised in the hour that begins at its time of day. They are counted by the
// monotonic clock, so that a wall clock that jumps makes the test neither come twice a day nor never.
const (
	testWindow = time.Hour
	testSoon   = 20 * time.Hour // after one test, before the next
	testLate   = 28 * time.Hour // without a test; before the first, of uptime
)

// testPlan says when the daily test is due.
type testPlan struct {
	at    time.Duration // since midnight, local time
	since time.Time     // of the last test, or of the start; by the process's clock
	ran   bool          // since is of a test
}

// newTestPlan begins at now. last is when the test was raised by an earlier run, by the wall clock; one that the wall
// clock puts into the future is not believed. One of long ago counts: a station without power at that hour, night after night,
// is tested when it is up again.
func newTestPlan(at string, now, last time.Time) (testPlan, error) {
	var hour, minute int
	if _, err := fmt.Sscanf(at, "%2d:%2d", &hour, &minute); err != nil {
		return testPlan{}, fmt.Errorf("time of day %q: want HH:MM", at)
	}
	p := testPlan{at: time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute, since: now}
	if ago := now.Round(0).Sub(last); !last.IsZero() && ago >= 0 {
		p.since, p.ran = now.Add(-ago), true
	}
	return p, nil
}

// due says whether the test is to be raised now. now is local time, with its monotonic reading.
func (p testPlan) due(now time.Time) bool {
	passed := now.Sub(p.since)
	if p.ran && passed < testSoon {
		return false
	}
	day := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute
	late := (day - p.at + 24*time.Hour) % (24 * time.Hour)
	return late < testWindow || passed >= testLate
}

// raised notes a test.
func (p *testPlan) raised(now time.Time) { p.since, p.ran = now, true }

// The stages of the daily test that the station itself can judge; uplink and screen are the centre's.
const (
	stageLine = "line"
	stageLog  = "log"
)

// testSeen is what came of raising the output.
type testSeen struct {
	set, reset error // of driving the output high, and low again
	stored     bool  // the zone's alarm is in the log
	refused    error // why the log did not take it; nil = it was not asked, or took it
	state      string
}

// testFailure says where a test got stuck, and what to do; "" = it came through.
func testFailure(o testWiring, seen testSeen) (stage, detail string) {
	switch {
	case seen.set != nil:
		return stageLine, fmt.Sprintf("output %s cannot be driven: %v: check board %s and the name of the output", o.output, seen.set, o.board)
	case !seen.stored && seen.refused != nil:
		return stageLog, fmt.Sprintf("the log does not take the alarm: %v", seen.refused)
	case !seen.stored:
		return stageLine, fmt.Sprintf("line %s did not become active within %s of driving output %s, its zone is %s: check the wire between them, and board %s",
			o.line, o.within, o.output, seen.state, o.board)
	case seen.reset != nil:
		return stageLine, fmt.Sprintf("output %s cannot be driven low again: %v: check board %s", o.output, seen.reset, o.board)
	}
	return "", ""
}

// testWiring is what the daily test goes by.
type testWiring struct {
	zone, line, board, output string
	within                    time.Duration
}
