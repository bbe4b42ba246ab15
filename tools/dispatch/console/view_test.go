package console

import (
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

func TestPriorities(t *testing.T) {
	panel := func(code string) event.Event {
		return event.Event{Kind: event.KindPanelEvent, Body: event.NewBody(event.Text(event.TagCode, code))}
	}
	zone := func(state string) event.Event {
		return event.Event{Kind: event.KindZoneChanged, Body: event.NewBody(event.Text(event.TagState, state))}
	}
	active := func(code string) event.Event {
		return event.Event{Kind: event.KindZoneChanged, Body: event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagCode, code))}
	}
	for want, es := range map[int][]event.Event{
		priorityLife:     {active("PA"), active("FA"), panel("PA"), panel("HA"), panel("FA"), panel("MA"), panel("GA"), panel("QA"), panel("120"), panel("110"), panel("100"), panel("151")},
		priorityProperty: {panel("BA"), panel("130"), panel("134"), panel("140"), panel("BV"), panel("UA"), panel(""), zone("active"), active("BA")},
		priorityDevice: {active("TA"), panel("TA"), panel("137"), panel("145"), panel("154"), panel("161"), panel("301"), panel("FT"), panel("YC"), panel("1"),
			zone("missing"), zone("short"), zone(""), {Kind: event.KindPanelLink}, {Kind: event.KindCameraState}},
	} {
		for _, e := range es {
			if got := priority(e); got != want {
				t.Errorf("%s %v: P%d, want P%d", e.Kind, wordsOf(e.Body), got, want)
			}
		}
	}
}

func TestTheCameraToShow(t *testing.T) {
	s := topic.State{
		Zones:   []topic.ZoneState{{ID: "door", Camera: "square"}, {ID: "window"}},
		Panels:  []topic.PanelState{{Account: "1409", Camera: "yard"}},
		Cameras: []topic.CameraState{{ID: "gate"}, {ID: "square"}, {ID: "yard"}},
	}
	account := event.NewBody(event.Text(event.TagAccount, "1409"))
	for name, c := range map[string]struct {
		state topic.State
		event event.Event
		want  string
	}{
		"its zone's":                   {s, event.Event{Zone: "door"}, "square"},
		"its panel's":                  {s, event.Event{Body: account}, "yard"},
		"its own":                      {s, event.Event{Zone: "door", Body: event.NewBody(event.Text(event.TagCamera, "yard"))}, "yard"},
		"the first, no mapping":        {s, event.Event{Zone: "window"}, "gate"},
		"the first, unknown zone":      {s, event.Event{Zone: "cellar"}, "gate"},
		"the first, its own is gone":   {s, event.Event{Body: event.NewBody(event.Text(event.TagCamera, "old"))}, "gate"},
		"none, the station never said": {topic.State{}, event.Event{Zone: "door"}, ""},
	} {
		if got := cameraFor(c.state, c.event).ID; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Unknown is never shown as normal: a station that says nothing is not online, whatever it said last.
func TestHealth(t *testing.T) {
	now := time.Unix(1e9, 0)
	for name, c := range map[string]struct {
		online bool
		silent time.Duration
		want   string
	}{
		"just heard":      {true, 0, "fresh"},
		"in its interval": {true, staleAfter, "fresh"},
		"late":            {true, staleAfter + time.Second, "stale"},
		"long silent":     {true, offlineAfter + time.Second, "offline"},
		"its will":        {false, 0, "offline"},
	} {
		if got := health(ledger.Station{Online: c.online, LastWord: now.Add(-c.silent)}, now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	v := stationViewOf(ledger.Station{}, now)
	if v.Health != "never" || v.Age != -1 || v.Cameras == nil || v.Zones == nil || v.Panels == nil {
		t.Errorf("never heard: %+v", v)
	}
}
