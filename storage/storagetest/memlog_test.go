package storagetest

import (
	"errors"
	"testing"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

func TestMemLog(t *testing.T) {
	TestLog(t, func(*testing.T) Log { return NewMemLog("cs-baishi-caoping") })
}

func TestMemLogRefuses(t *testing.T) {
	l := NewMemLog("cs-baishi-caoping")
	l.Refuse(eventlog.ErrFull)
	if _, err := l.Append(t.Context(), Draft(event.SeverityAlarm, "x")); !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("append: %v", err)
	}
	if err := l.SetCursor("changshan", event.LaneMain, 1); !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("cursor: %v", err)
	}
	l.Refuse(nil)
	if got := must(t, l, Draft(event.SeverityAlarm, "x")); got[0].Seq != 2 {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestMemLogCounts(t *testing.T) {
	l := NewMemLog("cs-baishi-caoping")
	d := Draft(event.SeverityAlarm, "x")
	d.Once = "k"
	must(t, l, d, d, Draft(event.SeverityAlarm, "longer"))
	s := l.Stats()
	alarms := s.Lanes[event.LaneAlarm]
	if len(s.Lanes) != 4 || alarms.Count != 2 || alarms.First != 2 || alarms.Head != 3 || alarms.Bytes < 40 || s.Lanes[event.LaneMain].Count != 1 {
		t.Errorf("lanes %+v", s.Lanes)
	}
	if s.Epoch != l.Epoch() || s.Full || s.Err != nil || s.FreeBytes != -1 {
		t.Errorf("stats %+v", s)
	}
	if l.Refuse(eventlog.ErrFull); !l.Stats().Full {
		t.Error("a full log does not say so")
	}
}
