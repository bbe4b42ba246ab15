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
