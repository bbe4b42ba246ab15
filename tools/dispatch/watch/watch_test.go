package watch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/intake"
	"watchpost/tools/dispatch/ledger"
	"watchpost/tools/dispatch/ledger/ledgertest"
	"watchpost/uplink/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ear hears the broker, or does not.
type ear struct{ since, behind time.Time }

var _ Ear = (*ear)(nil)

func (e *ear) Status() intake.Status {
	return intake.Status{Connected: !e.since.IsZero(), Since: e.since, Behind: e.behind}
}

// centre is a real ledger with stations that speak when the test says so.
type centre struct {
	t    *testing.T
	book *ledger.Ledger
	ear  *ear
	w    *Watch
	now  time.Time
	seq  map[string]uint64
}

func open(t *testing.T, stations ...string) *centre {
	t.Helper()
	var roster []ledger.Station
	for _, id := range stations {
		roster = append(roster, ledger.Station{Address: topic.Address{Jurisdiction: "changshan", Station: id}, Name: id})
	}
	book := ledgertest.Open(t, roster...)
	c := &centre{t: t, book: book, ear: &ear{since: clock()}, now: clock(), seq: make(map[string]uint64)}
	c.restart()
	return c
}

func (c *centre) restart() {
	c.t.Helper()
	var err error
	if c.w, err = New(c.t.Context(), c.book, c.ear, slog.New(slog.DiscardHandler)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *centre) speak(ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		word := topic.State{V: 1, Station: id, Jurisdiction: "changshan", Online: true, At: c.now, Carrier: "中国移动",
			Gauges: map[string]float64{"link_rtt_ms": 34.5, "battery_volts": 11.9, "rss_bytes": 1e7}}
		if err := c.book.Heard(c.t.Context(), ledger.Word{State: word, Heard: c.now}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// alarm comes in from a station.
func (c *centre) alarm(id string) event.Event {
	c.t.Helper()
	d := event.Draft{At: c.now, Kind: event.KindPanelEvent, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "dc09/1",
		Body: event.NewBody(event.Text(event.TagCode, "PA"))}
	e := d.Event(id, event.Epoch{1}, c.seq[id]+1)
	_, err := c.book.Store(c.t.Context(), []ledger.Arrival{{Address: topic.Address{Jurisdiction: "changshan", Station: id}, Received: c.now,
		Frame: topic.Frame{Epoch: event.Epoch{1}, Lane: e.Lane, Prev: c.seq[id], Events: []event.Event{e}}}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.seq[id]++
	return e
}

// pass lets time go by, a step each second.
func (c *centre) pass(d time.Duration) {
	c.t.Helper()
	for range int(d / time.Second) {
		c.now = c.now.Add(time.Second)
		if err := c.w.step(c.t.Context(), c.now); err != nil {
			c.t.Fatal(err)
		}
	}
}

// cards are the open alarms of the centre's own.
func (c *centre) cards() (as []ledger.Alarm) {
	c.t.Helper()
	all, _, err := c.book.Open(c.t.Context(), 100)
	if err != nil {
		c.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(a ledger.Alarm) bool { return a.Event.Station != ledger.Centre })
}

func TestASilenceBecomesAnAlarmThatSaysWhatWasKnown(t *testing.T) {
	c := open(t, "a", "b")
	c.speak("a", "b")
	threat := c.alarm("a")
	if err := c.w.step(t.Context(), c.now); err != nil {
		t.Fatal(err)
	}
	c.pass(2 * time.Minute)
	cards := c.cards()
	if len(cards) != 2 {
		t.Fatalf("%d cards", len(cards))
	}
	a, b := cards[0].Event, cards[1].Event
	if reason, _ := a.Body.Text(event.TagReason); a.Source != "station/a" || reason != ReasonThreat {
		t.Errorf("the first is %s, %q", a.Source, reason)
	}
	detail, _ := a.Body.Text(event.TagDetail)
	for _, want := range []string{"heard ", "alarm " + threat.Name(), "alarm_at ", "carrier 中国移动", "link_rtt_ms 34.5", "battery_volts 11.9"} {
		if !strings.Contains(detail, want) {
			t.Errorf("the detail %q lacks %q", detail, want)
		}
	}
	if n, _ := a.Body.Uint(event.TagCount); n != 1 || strings.Contains(detail, "rss") {
		t.Errorf("%d open alarms; %q", n, detail)
	}
	if d, _ := b.Body.Uint(event.TagDuration); time.Duration(d) != limit {
		t.Errorf("b was silent for %s when it was told", time.Duration(d))
	}
	c.speak("a", "b")
	c.pass(time.Second)
	for _, x := range c.cards() {
		if x.Restored.IsZero() {
			t.Errorf("%s is heard and its card does not say so", x.Event.Source)
		}
	}
}

func TestACarriersCardCountsDownAndOutlivesARestart(t *testing.T) {
	ids := []string{"a", "b", "c", "d"}
	c := open(t, ids...)
	c.speak(ids...)
	c.pass(10 * time.Second)
	c.pass(3 * time.Minute)
	missing := func(want ...string) {
		t.Helper()
		cards := c.cards()
		if len(cards) != 1 || cards[0].Event.Kind != event.KindCarrierSilent {
			t.Fatalf("%d cards: %+v", len(cards), cards)
		}
		now := cards[0].Event.Body
		if cards[0].Latest.Kind != 0 {
			now = cards[0].Latest.Body
		}
		n, _ := now.Uint(event.TagCount)
		if got := Stations(now); !slices.Equal(got, want) || int(n) != len(want) {
			t.Errorf("missing %v (%d), want %v", got, n, want)
		}
	}
	missing(ids...)
	c.speak("b")
	c.pass(time.Second)
	missing("a", "c", "d")
	c.restart()
	c.pass(90 * time.Second)
	c.speak("a")
	c.pass(time.Second)
	missing("c", "d")
	c.speak("a", "b", "c", "d")
	c.pass(time.Second)
	if cards := c.cards(); len(cards) != 1 || cards[0].Restored.IsZero() {
		t.Errorf("all are back: %+v", cards)
	}
	c.pass(time.Minute)
	if cards := c.cards(); len(cards) != 1 {
		t.Errorf("%d cards", len(cards))
	}
}

func TestATestThatStopsIsNamed(t *testing.T) {
	c := open(t, "a")
	c.speak("a")
	word := topic.State{V: 1, Station: "a", Online: true, At: c.now, Gauges: map[string]float64{"last_test_at_s": float64(c.now.Unix()), "last_test_ok": 1}}
	if err := c.book.Heard(t.Context(), ledger.Word{State: word, Heard: c.now.Add(-27 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for range 16 {
		c.speak("a")
		c.pass(time.Minute)
	}
	cards := c.cards()
	if len(cards) != 1 || cards[0].Event.Kind != event.KindTestFailed {
		t.Fatalf("%+v", cards)
	}
	if stage, _ := cards[0].Event.Body.Text(event.TagStage); stage != string(StageUplink) {
		t.Errorf("stage %q", stage)
	}
	c.restart()
	for range 16 {
		c.speak("a")
		c.pass(time.Minute)
	}
	if n := len(c.cards()); n != 1 {
		t.Errorf("after a restart: %d cards", n)
	}
}

// broken is a ledger that cannot be told.
type broken struct {
	*ledger.Ledger
	fault error
}

var _ Book = (*broken)(nil)

func (b *broken) Tell(ctx context.Context, now time.Time, ds ...event.Draft) ([]ledger.Key, error) {
	if b.fault != nil {
		return nil, b.fault
	}
	return b.Ledger.Tell(ctx, now, ds...)
}

func TestWhatCannotBeToldIsToldLater(t *testing.T) {
	c := open(t, "a")
	book := &broken{c.book, errors.New("the disk is full")}
	c.w.book = book
	c.speak("a")
	var failed int
	for range 120 {
		c.now = c.now.Add(time.Second)
		err := c.w.step(t.Context(), c.now)
		c.w.note(err, c.now)
		if err != nil {
			failed++
		}
	}
	if failed < 10 || len(c.cards()) != 0 {
		t.Fatalf("%d steps failed", failed)
	}
	book.fault = nil
	c.pass(2 * time.Second)
	if n := len(c.cards()); n != 1 {
		t.Errorf("%d cards, want one", n)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	cancel()
	running.Wait()
}

// A disk that stands still for minutes makes the centre deaf: what the stations said waits to be stored.
func TestACentreThatIsBehindCallsNobodySilent(t *testing.T) {
	c := open(t, "a", "b", "c")
	c.speak("a", "b", "c")
	c.pass(10 * time.Second)
	c.ear.behind = c.now
	c.pass(10 * time.Minute)
	c.ear.behind = time.Time{} // the watch may look before it sees what was stored
	c.pass(limit - time.Second)
	if cards := c.cards(); len(cards) != 0 {
		t.Errorf("%d cards", len(cards))
	}
	c.pass(correlation + 2*time.Second)
	if cards := c.cards(); len(cards) == 0 {
		t.Error("nobody is called silent afterwards")
	}
}

// A line that comes and goes all day is one card that waits, not hundreds.
func TestAFlappingStationHasOneCard(t *testing.T) {
	c := open(t, "a")
	c.speak("a")
	for range 5 {
		c.pass(2 * time.Minute)
		if cards := c.cards(); len(cards) != 1 || !cards[0].Restored.IsZero() {
			t.Fatalf("silent: %d cards", len(cards))
		}
		c.restart() // knows from the ledger when it was told last
		c.pass(time.Second)
		if cards := c.cards(); !cards[0].Restored.IsZero() {
			t.Fatal("a restart of the centre ends the silence")
		}
		c.speak("a")
		c.pass(time.Second)
		if cards := c.cards(); len(cards) != 1 || cards[0].Restored.IsZero() {
			t.Fatalf("heard again: %d cards", len(cards))
		}
	}
	// What is more urgent is told anew, and so is what somebody has settled.
	c.alarm("a")
	c.pass(2 * time.Minute)
	cards := c.cards()
	if len(cards) != 2 {
		t.Fatalf("a silence after an alarm: %d cards", len(cards))
	}
	for _, a := range cards {
		k := ledger.Key{Station: ledger.Centre, Epoch: a.Event.Epoch, Seq: a.Event.Seq}
		if _, err := c.book.Act(t.Context(), k, ledger.VerbAcknowledge, "li", c.now); err != nil {
			t.Fatal(err)
		}
	}
	c.speak("a")
	c.pass(2 * time.Minute)
	if cards := c.cards(); len(cards) != 1 {
		t.Errorf("after the acknowledgement: %d cards", len(cards))
	}
}
