package station

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"watchpost/drivers/bus"
	"watchpost/firmware/config"
	"watchpost/storage/event"
)

// Pauses of the daily test.
const (
	testLook   = 15 * time.Second // between two looks at the clock
	testHurry  = time.Second      // the same, while a test that is due waits for its board
	testWait   = time.Minute      // after the start, for the board to answer
	testDrive  = 5 * time.Second  // for driving the output
	testRetry  = time.Second      // before a failure is told to a log that refuses, doubled up to
	testRetry2 = time.Minute
)

// What the detail of a test zone's alarm says.
const (
	testAsked   = "daily test"
	testUnasked = "nobody asked for this test: check the wire of the daily test"
)

// dailyTest raises an alarm of the station's own once a day, over a wire from an output to an input, so that the whole way
// of an alarm is walked and whatever breaks it is told within a day.
type dailyTest struct {
	testWiring
	lines bus.Lines
	in    *intake
	memo  *memo
	log   *slog.Logger
	state func() string // of the zone
	plan  testPlan
	low   bool // the output is known to be driven low

	mu      sync.Mutex // guards the fields below
	asked   bool       // the output is driven high
	from    int64      // when it was last driven high, and low, by the kernel's monotonic clock
	upto    int64
	refused error // why the log did not take the zone's last event
	stored  chan struct{}
}

// wireTest makes the daily test, if the configuration has one.
func (s *Station) wireTest(Options) (err error) {
	c := s.config.Test
	if c == (config.Test{}) {
		return nil
	}
	d := &dailyTest{in: s.in, memo: s.memo, log: s.log.With("zone", c.Zone), state: func() string { return readings(s.zones)[c.Zone].State }}
	for _, z := range s.config.Zones {
		if z.ID == c.Zone {
			d.testWiring = testWiring{zone: z.ID, line: z.Line, board: z.Board, output: c.Output, within: c.Within}
		}
	}
	d.lines = s.wires.boards[d.board]
	if d.plan, err = newTestPlan(c.At, s.clock.now(), s.memo.read().Test.At); err != nil {
		return fmt.Errorf("daily test: %w", err)
	}
	s.test = d
	return nil
}

// store is the Sink of the drivers: it adds to the test zone's alarms whether the station has asked for them.
func (d *dailyTest) store(ctx context.Context, draft event.Draft) error {
	if draft.Kind != event.KindZoneChanged || draft.Zone != d.zone {
		return d.in.store(ctx, draft)
	}
	state, _ := draft.Body.Text(event.TagState)
	alarm := state == "active"
	ours := alarm && d.mine(draft.KernelNS)
	if alarm {
		reason, detail := "", testUnasked
		if ours {
			reason, detail = event.ReasonTest, testAsked
		}
		draft.Body = event.NewBody(append(draft.Body[:len(draft.Body):len(draft.Body)],
			event.Text(event.TagReason, reason), event.Text(event.TagDetail, detail))...)
	}
	err := d.in.store(ctx, draft)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = err
	if ours && err == nil && d.asked {
		select {
		case d.stored <- struct{}{}:
		default: // the driver has told it twice
		}
	}
	return err
}

// mine says whether an edge at kernelNS was asked for. The driver keeps what the log refuses, so that the edge of a test
// may come when the test is over.
func (d *dailyTest) mine(kernelNS int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked || kernelNS >= d.from && kernelNS <= d.upto
}

// run raises the test whenever it is due.
func (d *dailyTest) run(ctx context.Context) error {
	told := false
	for begun := time.Now(); ; {
		if !d.low && ctx.Err() == nil { // an earlier run may have been killed in the middle of a test, or the board was away
			if err := d.drive(ctx, false); err != nil && !told && ctx.Err() == nil {
				told = true
				d.log.Warn("the output of the daily test cannot be driven", "err", err)
			}
		}
		wait := testLook
		switch now := d.in.clock.now().Local(); {
		case !d.plan.due(now):
		case !d.heard() && time.Since(begun) < testWait:
			wait = testHurry
		default:
			d.plan.raised(now)
			seen := d.raise(ctx)
			if ctx.Err() != nil {
				return nil
			}
			d.judge(ctx, now, seen)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// heard says whether the zone's wire has been read: just after the start its board may not have answered yet.
func (d *dailyTest) heard() bool {
	state := orUnknown(d.state())
	return state != "unknown" && state != "missing"
}

// raise drives the output high, waits for the zone's alarm to be stored, and drives it low.
func (d *dailyTest) raise(ctx context.Context) testSeen {
	d.mu.Lock()
	d.asked, d.from, d.stored = true, bus.Monotonic(), make(chan struct{}, 1)
	stored := d.stored
	d.mu.Unlock()
	seen := testSeen{state: orUnknown(d.state())}
	if seen.set = d.drive(ctx, true); seen.set == nil {
		timer := time.NewTimer(d.within)
		defer timer.Stop()
		select {
		case <-stored:
			seen.stored = true
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if !seen.stored {
		seen.state = orUnknown(d.state())
	}
	seen.reset = d.drive(context.WithoutCancel(ctx), false)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked, d.upto, seen.refused = false, bus.Monotonic(), d.refused
	return seen
}

func (d *dailyTest) drive(ctx context.Context, level bool) error {
	ctx, cancel := context.WithTimeout(ctx, testDrive)
	defer cancel()
	err := d.lines.Set(ctx, d.output, level)
	d.low = err == nil && !level
	return err
}

// judge tells what came of a test; a failure is kept until the log takes it.
func (d *dailyTest) judge(ctx context.Context, at time.Time, seen testSeen) {
	stage, detail := testFailure(d.testWiring, seen)
	if err := d.memo.change(func(m *memory) { m.Test = testResult{At: at.Round(0).UTC(), OK: stage == ""} }); err != nil {
		d.log.Warn("the daily test is not remembered", "err", err)
	}
	if stage == "" {
		d.log.Info("the daily test alarm came through to the log")
		return
	}
	d.log.Error("the daily test alarm did not come through", "stage", stage, "says", detail)
	draft := event.Draft{
		Kind: event.KindTestFailed, Qualifier: event.QualifierNew, Source: sourceStation, Severity: event.SeverityAlarm, At: at,
		Body: event.NewBody(event.Text(event.TagStage, stage), event.Text(event.TagZone, d.zone), event.Text(event.TagDetail, detail)),
	}
	for pause := testRetry; d.in.store(ctx, draft) != nil; pause = min(2*pause, testRetry2) {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
