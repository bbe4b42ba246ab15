package station

import (
	"testing"
	"time"

	"watchpost/storage/event"
)

func TestStamp(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.FixedZone("", 8*3600))
	c := clock{func() time.Time { return now }, func() event.ClockQuality { return event.ClockSynced }, 0xb007}
	before := now.Add(-time.Minute)
	for _, tt := range []struct {
		name    string
		d       event.Draft
		at      time.Time
		quality event.ClockQuality
	}{
		{"nothing known", event.Draft{}, now, event.ClockSynced},
		{"a driver that had to wait", event.Draft{At: before}, before, event.ClockSynced},
		{"a driver that knows its clock", event.Draft{At: before, ClockQuality: event.ClockUnsynced}, before, event.ClockUnsynced},
	} {
		got := c.stamp(tt.d)
		if !got.At.Equal(tt.at) || got.At.Location() != time.UTC || got.ClockQuality != tt.quality || got.BootID != 0xb007 {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestBootID(t *testing.T) {
	id, err := bootID()
	if again, _ := bootID(); err != nil || id == 0 || id != again {
		t.Errorf("boot id %08x, then %08x: %v", id, again, err)
	}
	if q := clockQuality(); q == event.ClockUnknown {
		t.Error("the kernel does not say how good its clock is")
	}
}
