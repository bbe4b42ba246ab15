package event_test

import (
	"encoding/json"
	"testing"

	"watchpost/storage/event"
)

func TestWordsComeBack(t *testing.T) {
	for _, l := range event.Lanes() {
		if got, err := event.ParseLane(l.String()); err != nil || got != l {
			t.Errorf("lane %v: %v, %v", l, got, err)
		}
	}
	for s := event.SeverityTrace; s <= event.SeverityAlarm; s++ {
		if got, err := event.ParseSeverity(s.String()); err != nil || got != s {
			t.Errorf("severity %v: %v, %v", s, got, err)
		}
	}
	if _, err := event.ParseLane("live"); err == nil {
		t.Error("lane live was taken")
	}
	if _, err := event.ParseSeverity(""); err == nil {
		t.Error("severity \"\" was taken")
	}
	m := map[event.Lane]event.Epoch{event.LaneRead: testEpoch}
	b, err := json.Marshal(m)
	if err != nil || string(b) != `{"read":"c0ffee0102030405"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back map[event.Lane]event.Epoch
	if err := json.Unmarshal(b, &back); err != nil || back[event.LaneRead] != testEpoch {
		t.Errorf("%v, %v", back, err)
	}
	var s event.Severity
	if err := s.UnmarshalText([]byte("loud")); err == nil {
		t.Error("severity loud was taken")
	}
}

func TestEveryNumberHasAWord(t *testing.T) {
	for k := event.KindLogOpened; k <= event.KindReportRefused; k++ {
		if s := k.String(); s == "" || s[:4] == "kind" {
			t.Errorf("kind %d has no word", k)
		}
	}
	for tag := event.TagState; tag <= event.TagLimit; tag++ {
		if s := tag.String(); s == "" || s[:3] == "tag" {
			t.Errorf("tag %d has no word", tag)
		}
	}
	for got, want := range map[string]string{
		event.Kind(999).String(): "kind-999", event.Tag(999).String(): "tag-999", event.Lane(7).String(): "lane-7",
		event.Severity(0).String(): "severity-0", event.Qualifier(9).String(): "qualifier-9", event.ClockQuality(3).String(): "clock-3",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLaneIsFixedByKindAndSeverity(t *testing.T) {
	for s, want := range map[event.Severity]event.Lane{
		event.SeverityAlarm: event.LaneAlarm, event.SeverityWarning: event.LaneMain,
		event.SeverityNotice: event.LaneMain, event.SeverityTrace: event.LaneTrace,
	} {
		if got := event.LaneOf(event.KindZoneChanged, s); got != want {
			t.Errorf("%s goes to %s, want %s", s, got, want)
		}
	}
}

func TestBodyAnswersByForm(t *testing.T) {
	b := event.NewBody(event.Int(event.TagPanelTime, -5), event.Text(event.TagDetail, ""), event.Bytes(event.TagPrevEpoch, []byte{1}))
	if n, ok := b.Int(event.TagPanelTime); !ok || n != -5 {
		t.Errorf("int: %d %v", n, ok)
	}
	if _, ok := b.Uint(event.TagPanelTime); ok {
		t.Error("an int was answered as a uint")
	}
	if raw, ok := b.Bytes(event.TagPrevEpoch); !ok || len(raw) != 1 {
		t.Errorf("bytes: %v %v", raw, ok)
	}
	if len(b) != 2 {
		t.Errorf("an empty text was kept: %v", b)
	}
	if event.NewBody() != nil {
		t.Error("an empty body is nil")
	}
}

func TestParseEpoch(t *testing.T) {
	for _, s := range []string{"", "c0ffee", "c0ffee010203040g", "c0ffee010203040506"} {
		if _, err := event.ParseEpoch(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	if (event.Epoch{}).IsZero() != true || testEpoch.IsZero() {
		t.Error("IsZero")
	}
	if got := door().Name(); got != "cs-baishi-caoping/c0ffee0102030405/4711" {
		t.Errorf("Name = %s", got)
	}
}
