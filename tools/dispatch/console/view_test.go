package console

import (
	"reflect"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/tools/dispatch/watch"
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
	silent := func(reason string) event.Event {
		return event.Event{Kind: event.KindStationSilent, Body: event.NewBody(event.Text(event.TagReason, reason))}
	}
	raised := func(reason, code string) event.Event {
		return event.Event{Kind: event.KindAlarmRaised, Body: event.NewBody(event.Text(event.TagReason, reason), event.Text(event.TagCode, code))}
	}
	sensor := func(state string) event.Event {
		return event.Event{Kind: event.KindSensorChanged, Body: event.NewBody(event.Text(event.TagState, state))}
	}
	for want, es := range map[int][]event.Event{
		priorityLife:     {{Kind: event.KindDuress}, raised("hold-up", "HA"), raised("opened-while-down", "FA"), active("PA"), active("FA"), silent(watch.ReasonThreat), panel("PA"), panel("HA"), panel("FA"), panel("MA"), panel("GA"), panel("QA"), panel("120"), panel("110"), panel("100"), panel("151")},
		priorityProperty: {raised("intrusion", "BA"), sensor("high"), sensor("low"), panel("BA"), panel("130"), panel("134"), panel("140"), panel("BV"), panel("UA"), panel(""), zone("active"), active("BA"), {Kind: event.KindCarrierSilent}},
		priorityDevice: {raised("tamper", "TA"), raised("fault", ""), sensor("fault"), sensor("battery"), {Kind: event.KindBusChanged}, {Kind: event.KindTourChecked}, active("TA"), active("RP"), panel("TA"), panel("137"), panel("145"), panel("154"), panel("161"), panel("301"), panel("FT"), panel("YC"), panel("1"),
			zone("missing"), zone("short"), zone(""), {Kind: event.KindPanelLink}, {Kind: event.KindCameraState}, silent(""), silent(watch.ReasonFarewell), {Kind: event.KindTestFailed}, {Kind: event.KindCentreStalled}},
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

func TestThePlaceOfAnAlarm(t *testing.T) {
	s := topic.State{
		Zones: []topic.ZoneState{{ID: "door", Name: "大门"}}, Sensors: []topic.SensorState{{ID: "cellar", Name: "地窖"}},
		Partitions: []topic.PartitionState{{ID: "house", Name: "警务室"}},
	}
	house := event.NewBody(event.Text(event.TagPartition, "house"))
	for want, e := range map[string]event.Event{
		"大门": {Zone: "door", Body: house}, "地窖": {Zone: "cellar"}, "警务室": {Body: house}, "": {Zone: "attic", Body: house},
	} {
		if got := placeName(s, e); got != want {
			t.Errorf("zone %q: %q, want %q", e.Zone, got, want)
		}
	}
}

// Unknown is never shown as normal: a station that says nothing is not online, whatever it said last.
func TestHealth(t *testing.T) {
	now := time.Unix(1e9, 0)
	staleAfter, offlineAfter := patience(topic.State{})
	if stale, offline := patience(topic.State{Heartbeat: 60}); stale != 2*staleAfter || offline != 2*offlineAfter {
		t.Errorf("a slow heartbeat: stale after %s, offline after %s", stale, offline)
	}
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

func TestTheCardOfADeadCarrier(t *testing.T) {
	v := villages{"a": {Name: "草坪村"}, "b": {Name: "球川村"}, "c": {Name: "双明镇"}}
	body := func(ids ...string) event.Body {
		fields := []event.Field{event.Text(event.TagCarrier, "中国移动"), event.Uint(event.TagCount, uint64(len(ids))), event.Uint(event.TagDuration, uint64(time.Minute))}
		for _, id := range ids {
			fields = append(fields, event.Text(event.TagStation, id))
		}
		return event.NewBody(fields...)
	}
	a := ledger.Alarm{Event: event.Event{Station: ledger.Centre, Kind: event.KindCarrierSilent, Body: body("b", "a")}}
	check := func(what string, missing uint64, want ...behindView) {
		t.Helper()
		got := v.alarm(a)
		if !reflect.DeepEqual(got.Behind, want) || got.Missing != missing || got.Carrier != "中国移动" || got.Silence != 60 || got.Village != "" || got.Camera != "" {
			t.Errorf("%s: %+v", what, got)
		}
	}
	check("at first", 2, behindView{"a", "草坪村", true}, behindView{"b", "球川村", true})
	a.Latest = event.Event{Kind: event.KindCarrierSilent, Body: body("b", "c")}
	check("one back, another gone", 2, behindView{"a", "草坪村", false}, behindView{"b", "球川村", true}, behindView{"c", "双明镇", true})
	a.Restored = time.Unix(1e9, 0)
	check("all back", 0, behindView{"a", "草坪村", false}, behindView{"b", "球川村", false}, behindView{"c", "双明镇", false})
}

func TestTheCardOfASilentStationIsAboutIt(t *testing.T) {
	v := villages{"a": {Name: "草坪村", Address: caoping(), State: topic.State{Cameras: []topic.CameraState{{ID: "gate"}}}}}
	a := v.alarm(ledger.Alarm{Event: event.Event{Station: ledger.Centre, Kind: event.KindStationSilent,
		Body: event.NewBody(event.Text(event.TagStation, "a"), event.Uint(event.TagCount, 3))}})
	if a.Station != ledger.Centre || a.About != "a" || a.Village != "草坪村" || a.Jurisdiction != "changshan" || a.Count != 3 || a.Camera != "" {
		t.Errorf("%+v", a)
	}
}
