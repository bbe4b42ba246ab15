package watch

import (
	"testing"
	"time"
)

func TestTheStageAtWhichATestStops(t *testing.T) {
	now := clock()
	ago := func(h float64) time.Time { return now.Add(-time.Duration(h * float64(time.Hour))) }
	for name, c := range map[string]struct {
		test Test
		want Stage
	}{
		"all is well":                              {Test{ago(99), ago(3), ago(3), ago(3), time.Time{}}, StageNone},
		"just within its time":                     {Test{ago(99), ago(26), ago(26), ago(26), time.Time{}}, StageNone},
		"the station has only begun to test":       {Test{Since: ago(25)}, StageNone},
		"it says that it tested, and nothing came": {Test{ago(99), ago(3), ago(27), ago(27), time.Time{}}, StageUplink},
		"nothing ever came":                        {Test{Since: ago(27), Claimed: ago(3)}, StageUplink},
		"its clock runs ahead":                     {Test{Since: ago(27), Claimed: ago(-9)}, StageUplink},
		"it does not test, and says nothing":       {Test{ago(99), ago(27), ago(27), ago(27), time.Time{}}, StageLine},
		"it says itself that the test failed":      {Test{ago(99), ago(27), ago(27), ago(27), ago(3)}, StageNone},
		"it said so long ago":                      {Test{ago(99), ago(75), ago(75), ago(75), ago(51)}, StageLine},
		"no page shows it":                         {Test{ago(99), ago(3), ago(3), ago(27), time.Time{}}, StageScreen},
		"no page ever did":                         {Test{Since: ago(27), Stored: ago(3)}, StageScreen},
	} {
		if got := c.test.Stage(now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Whichever link is broken is named within a day of the test that should have come, and taken back when it works again.
func TestABrokenLinkIsNamedWithinADay(t *testing.T) {
	w := newWorld(t)
	w.tick = 20 * time.Second
	s := w.station("a", "")
	s.Tests, s.Test.Since = true, w.now
	var broken Stage
	day := func(n int) { // at noon of each day the station tests
		for range n {
			w.run(23 * time.Hour)
			switch broken {
			case StageNone:
				s.Test.Claimed, s.Test.Stored, s.Test.Confirmed = w.now, w.now, w.now
			case StageScreen:
				s.Test.Claimed, s.Test.Stored = w.now, w.now
			case StageUplink:
				s.Test.Claimed = w.now
			}
			w.run(time.Hour)
		}
	}
	day(3)
	w.expect("three good days")
	for _, c := range []struct {
		stage Stage
		said  []string
	}{
		{StageScreen, []string{"test.failed new a screen"}},
		{StageNone, []string{"test.failed restore a screen"}},
		{StageUplink, []string{"test.failed new a uplink"}},
		{StageLine, []string{"test.failed restore a uplink", "test.failed new a line"}},
		{StageNone, []string{"test.failed restore a line"}},
	} {
		broken = c.stage
		day(2)
		w.expect(string(c.stage), c.said...)
	}
}

func TestOfASilentStationNoTestIsMissed(t *testing.T) {
	w := newWorld(t)
	s := w.station("a", "")
	s.Tests, s.Test = true, Test{Since: w.now.Add(-48 * time.Hour), Stored: w.now, Confirmed: w.now}
	w.mute("a")
	w.run(48 * time.Hour)
	w.expect("its silence says more", "station.silent new a")
}

func TestAfterTheStartWhatWaitedComesInFirst(t *testing.T) {
	w := newWorld(t)
	s := w.station("a", "")
	s.Tests, s.Test = true, Test{Since: w.now.Add(-99 * time.Hour), Claimed: w.now}
	w.step()
	w.run(testSettle - time.Second)
	w.expect("not at once")
	w.run(time.Second)
	w.expect("then", "test.failed new a uplink")
}
