package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// testsDaily gives a village the daily test, due as soon as its agent has started: an output of its box, a line, and the wire
// between them unless that is cut.
func (p plan) testsDaily(wired bool) plan {
	p.box = []string{"--outputs", "test-out", "--lines", "test-loop"}
	if wired {
		p.box = append(p.box, "--wire", "test-out=test-loop")
	}
	p.zones = "  - {id: test-loop, name: 每日自检, kind: test, board: main, line: test-loop, rest: open}\n"
	p.extra = fmt.Sprintf("test: {at: \"%s\", zone: test-loop, output: test-out, within: 2s}\n", time.Now().Format("15:04"))
	return p
}

// dailyTest is what the console says of a station's last test.
type dailyTest struct {
	ID, Station string
	Painted     time.Time
}

// lastTests are each station's last test, as a page that opens now is told them.
func (p person) lastTests() []dailyTest {
	p.c.t.Helper()
	var v struct{ Tests []dailyTest }
	if code := p.ask("GET", "/api/alarms", nil, &v); code != http.StatusOK {
		p.c.t.Fatalf("alarms: HTTP %d", code)
	}
	return v.Tests
}

// TestE2EDailyTest walks the whole way of an alarm without troubling anybody: an output of the box drives a wire, the line's
// alarm is logged, sent, stored and painted, and the page tells the centre so. A broken wire is named by the station as an
// alarm; so is a wire that somebody pulls when no test is due. The stages uplink and screen are told after 26 hours: their
// clock is tools/dispatch/watch's, and so are their tests.
func TestE2EDailyTest(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	wired, cut := caoping(c).testsDaily(true), plan{id: "cs-qiuchuan-jiekou", jurisdiction: "changshan", name: "界口村", centres: []*centre{c}}.testsDaily(false)
	good, bad := wired.build(t), cut.build(t)
	good.start()
	bad.start()
	p := c.login()

	e := c.awaitStored(good.id, "the test alarm", zoneActive("test-loop"))
	if code, _ := e.Body.Text(event.TagCode); e.Lane != event.LaneAlarm || code != "RP" {
		t.Errorf("the test is %+v", e)
	}
	eventually(t, "the page is told of it", func() error {
		if !slices.ContainsFunc(p.lastTests(), func(d dailyTest) bool { return d.Station == good.id }) {
			return fmt.Errorf("tests %v", p.lastTests())
		}
		return nil
	})
	for _, x := range p.lastTests() {
		if x.ID != e.Name() || !x.Painted.IsZero() {
			t.Errorf("before a page is open: %+v", x)
		}
	}
	b := newBrowser(t, "zh-CN")
	b.enter(c)
	b.await("the quiet strip", fmt.Sprintf(`document.querySelector('.tests [data-test-id="%s"]') !== null`, e.Name()))
	eventually(t, "the page's word that it has painted the test", func() error {
		if x := p.lastTests(); len(x) != 1 || x[0].Painted.IsZero() {
			return fmt.Errorf("tests %+v", x)
		}
		return nil
	})

	failed := p.awaitAlarm("of the cut wire", func(a alarm) bool { return a.Kind == "test.failed" && a.Station == bad.id })
	if failed.Stage != "line" {
		t.Errorf("the cut wire is named as %+v", failed)
	}
	told := c.awaitStored(bad.id, "the failed test", func(e event.Event) bool { return e.Kind == event.KindTestFailed })
	if detail, _ := told.Body.Text(event.TagDetail); !strings.Contains(detail, "check the wire between them") {
		t.Errorf("it says %q", detail)
	}
	if open := p.openAlarms(); len(open) != 1 {
		t.Errorf("the test that came through troubles somebody: %+v", open)
	}
	b.choose(failed.ID)
	b.screenshot("test-failed-line")

	good.set("test-loop", 1)
	unasked := p.awaitAlarm("of the pulled wire", func(a alarm) bool { return a.Station == good.id && a.Zone == "test-loop" })
	b.choose(unasked.ID)
	b.screenshot("test-unasked")
	stopsWell(t, good.agent)
	stopsWell(t, bad.agent)
}
