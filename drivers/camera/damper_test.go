package camera

import (
	"errors"
	"testing"
	"time"

	"watchpost/drivers/rtsp/h264"
	"watchpost/storage/event"
)

// TestFlappingCameraIsOneFact: a camera that drops its connection every second for an hour costs a handful of events, and how
// it stands in the end is told.
func TestFlappingCameraIsOneFact(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	c, err := New(Options{ID: "gate", URL: "rtsp://192.0.2.1/main", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var told []event.Draft
	drain := func() {
		for d, ok := c.tell.take(); ok; d, ok = c.tell.take() {
			told = append(told, d)
		}
	}
	info := h264.Info{Width: 640, Height: 360}
	for range 3600 {
		c.up(info)
		c.down(errors.New("connection reset"))
		now = now.Add(time.Second)
		drain()
	}
	if len(told) != flapEvents+1 {
		t.Fatalf("%d events of an hour of flapping, want %d", len(told), flapEvents+1)
	}
	last := told[len(told)-1]
	if why, _ := last.Body.Text(event.TagReason); why != reasonFlapping || last.Severity != event.SeverityWarning {
		t.Errorf("last event %+v", last)
	}
	c.up(info)
	for range 90 { // a key picture a second
		now = now.Add(time.Second)
		c.up(info)
	}
	drain()
	last = told[len(told)-1]
	state, _ := last.Body.Text(event.TagState)
	held, _ := last.Body.Uint(event.TagLost)
	if len(told) != flapEvents+2 || state != StateUp || held != 2*3600+1-flapEvents {
		t.Errorf("%d events; it keeps still and is told as %q with %d held back", len(told), state, held)
	}
	c.down(errors.New("connection reset"))
	if drain(); len(told) != flapEvents+3 {
		t.Error("a change long after the flapping is not told")
	}
}

// TestFlappingCameraThatStaysAway: attempts that fail are looks at the clock, too.
func TestFlappingCameraThatStaysAway(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	c, err := New(Options{ID: "gate", URL: "rtsp://192.0.2.1/main", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for range flapEvents {
		c.up(h264.Info{})
		c.down(errors.New("connection reset"))
	}
	for range 15 {
		now = now.Add(5 * time.Second)
		c.down(errors.New("connection reset"))
	}
	var last event.Draft
	for d, ok := c.tell.take(); ok; d, ok = c.tell.take() {
		last = d
	}
	if state, _ := last.Body.Text(event.TagState); state != StateDown {
		t.Errorf("last told is %+v, want that it is down", last)
	}
}
