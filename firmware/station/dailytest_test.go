package station

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/firmware/config"
	"watchpost/sim/board"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

const withTest = `
station: {id: cs-one, jurisdiction: changshan, name: 草坪村}
boards: [{id: main, backend: linesock, socket: board.sock}]
zones:
  - {id: test-loop, kind: test, board: main, line: loop-in, rest: open}
  - {id: door, board: main, line: door, rest: open}
test: {at: "%s", zone: test-loop, output: %s, within: %s}
`

// tested is a station whose daily test is due at its start, over an I/O box.
type tested struct {
	*Station
	box *board.Board
	log *storagetest.MemLog
}

func startTested(t *testing.T, output string, within time.Duration, prepare func(*board.Board, *storagetest.MemLog)) tested {
	t.Helper()
	dir := t.TempDir()
	box, err := board.New("loop-in", "door")
	if err == nil {
		err = box.Outputs("loop-out")
	}
	if err == nil {
		err = box.Loop("loop-out", "loop-in")
	}
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "board.sock"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), fmt.Appendf(nil, withTest, time.Now().Format("15:04"), output, within))
	if err != nil {
		t.Fatal(err)
	}
	x := tested{box: box, log: storagetest.NewMemLog("cs-one")}
	prepare(box, x.log)
	if x.Station, err = New(Options{Config: c, Log: slog.New(slog.DiscardHandler), Events: x.log, NoDoor: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := box.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := x.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return x
}

func nothing(*board.Board, *storagetest.MemLog) {}

// failed waits for the word that the test did not come through.
func (x tested) failed(t *testing.T) (stage, detail string) {
	t.Helper()
	e := awaitIn(t, x.log, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindTestFailed })
	stage, _ = e.Body.Text(event.TagStage)
	detail, _ = e.Body.Text(event.TagDetail)
	if zone, _ := e.Body.Text(event.TagZone); zone != "test-loop" || e.Severity != event.SeverityAlarm {
		t.Errorf("event %+v", e)
	}
	if r := x.memo.read().Test; r.OK || r.At.IsZero() {
		t.Errorf("remembered as %+v", r)
	}
	return stage, detail
}

func (x tested) alarmOfZone(t *testing.T, zone string) event.Event {
	t.Helper()
	return awaitIn(t, x.log, event.LaneAlarm, func(e event.Event) bool { return e.Zone == zone })
}

func TestTheDailyTestWalksTheWayOfAnAlarm(t *testing.T) {
	x := startTested(t, "loop-out", 20*time.Second, nothing)
	e := x.alarmOfZone(t, "test-loop")
	code, _ := e.Body.Text(event.TagCode)
	state, _ := e.Body.Text(event.TagState)
	reason, _ := e.Body.Text(event.TagReason)
	detail, _ := e.Body.Text(event.TagDetail)
	if e.Kind != event.KindZoneChanged || e.Severity != event.SeverityAlarm || code != "RP" || state != "active" || reason != event.ReasonTest || detail != testAsked {
		t.Errorf("alarm %+v: %s %s %s %s", e, code, state, reason, detail)
	}
	awaitIn(t, x.log, event.LaneMain, func(e event.Event) bool {
		state, _ := e.Body.Text(event.TagState)
		return e.Zone == "test-loop" && e.Qualifier == event.QualifierRestore && state == "normal"
	})
	within(t, "remembered", func() bool { return x.memo.read().Test.OK })
	g := x.gauges(x.log.Stats())
	if ago := time.Now().Unix() - int64(g["last_test_at_s"]); g["last_test_ok"] != 1 || ago < 0 || ago > 60 {
		t.Errorf("gauges %v", g)
	}
	if n := x.log.Head(event.LaneAlarm); n != e.Seq {
		t.Errorf("more than one alarm: the last is %d, the test was %d", n, e.Seq)
	}
	// Somebody pulls the wire: that nobody asked for.
	if err := x.box.Set("loop-in", true); err != nil {
		t.Fatal(err)
	}
	again := awaitIn(t, x.log, event.LaneAlarm, func(again event.Event) bool { return again.Seq > e.Seq })
	detail, _ = again.Body.Text(event.TagDetail)
	if reason, ok := again.Body.Text(event.TagReason); ok || detail != testUnasked || again.Severity != event.SeverityAlarm {
		t.Errorf("alarm that nobody asked for: %s %s", reason, detail)
	}
	if err := x.box.Set("door", true); err != nil {
		t.Fatal(err)
	}
	if detail, ok := x.alarmOfZone(t, "door").Body.Text(event.TagDetail); ok {
		t.Errorf("an alarm of another zone says %q", detail)
	}
}

// within waits until ok.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for begin := time.Now(); !ok(); <-again.C {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("not %s", what)
		}
	}
}

func TestTheDailyTestNamesAPulledWire(t *testing.T) {
	x := startTested(t, "loop-out", 200*time.Millisecond, func(b *board.Board, _ *storagetest.MemLog) {
		if err := b.Loop("loop-out", ""); err != nil {
			t.Error(err)
		}
	})
	if stage, detail := x.failed(t); stage != stageLine || !strings.Contains(detail, "loop-in did not become active within 200ms") {
		t.Errorf("%s: %s", stage, detail)
	}
	if on, err := x.box.Level("loop-out"); err != nil || on {
		t.Errorf("the output stays high: %v, %v", on, err)
	}
}

func TestTheDailyTestNamesAnOutputThatIsNotThere(t *testing.T) {
	x := startTested(t, "nowhere", time.Minute, nothing)
	if stage, detail := x.failed(t); stage != stageLine || !strings.Contains(detail, "output nowhere cannot be driven") || !strings.Contains(detail, "this box has") {
		t.Errorf("%s: %s", stage, detail)
	}
}

// A log that takes nothing is told as soon as it takes that.
func TestTheDailyTestNamesALogThatRefuses(t *testing.T) {
	x := startTested(t, "loop-out", 300*time.Millisecond, func(_ *board.Board, log *storagetest.MemLog) { log.Refuse(eventlog.ErrFull) })
	within(t, "judged", func() bool { return !x.memo.read().Test.At.IsZero() })
	x.log.Refuse(nil)
	if stage, detail := x.failed(t); stage != stageLog || !strings.Contains(detail, "the log does not take the alarm") {
		t.Errorf("%s: %s", stage, detail)
	}
	// The driver has kept the alarm itself, which says whose it is although the test is long over.
	if detail, _ := x.alarmOfZone(t, "test-loop").Body.Text(event.TagDetail); detail != testAsked {
		t.Errorf("the alarm says %q", detail)
	}
}
