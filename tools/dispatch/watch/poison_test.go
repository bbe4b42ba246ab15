package watch

import (
	"math"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// What one station says of itself must not stop the centre from telling the silence of another.
func TestNoStationMutesTheWatch(t *testing.T) {
	for name, change := range map[string]func(*topic.State){
		"a carrier with control characters": func(s *topic.State) { s.Carrier = "a\x00b\nc; alarm x/y" },
		"a carrier that is too long":        func(s *topic.State) { s.Carrier = strings.Repeat("移", 1000) },
		"gauges beyond all measure": func(s *topic.State) {
			for _, g := range lastWords() {
				s.Gauges[g] = math.MaxFloat64
			}
		},
		"a heartbeat beyond all measure": func(s *topic.State) { s.Heartbeat = math.MaxInt },
		"a heartbeat below zero":         func(s *topic.State) { s.Heartbeat = math.MinInt },
		"an absurd clock":                func(s *topic.State) { s.At = time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC) },
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, "a", "b")
			s := topic.State{V: 1, Station: "a", Jurisdiction: "changshan", Online: true, At: c.now, Gauges: map[string]float64{"last_test_at_s": math.MaxFloat64}}
			change(&s)
			if err := c.book.Heard(t.Context(), ledger.Word{State: s, Heard: c.now}); err != nil {
				t.Fatal(err)
			}
			c.speak("b")
			for range 120 {
				c.now = c.now.Add(20 * time.Second)
				if err := c.w.step(t.Context(), c.now); err != nil {
					t.Fatal(err)
				}
			}
			told := map[string]bool{}
			open, _, err := c.book.Open(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range open {
				id, _ := a.Event.Body.Text(event.TagStation)
				told[id] = true
				if detail, _ := a.Event.Body.Text(event.TagDetail); strings.Contains(detail, "; alarm") || strings.ContainsAny(detail, "\x00\n") {
					t.Errorf("the station has put words into the centre's mouth: %q", detail)
				}
			}
			if !told["a"] || !told["b"] {
				t.Errorf("told are %v, want both", told)
			}
		})
	}
}
