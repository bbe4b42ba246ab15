package station

import (
	"testing"
	"time"

	"watchpost/uplink/mqtt"
)

// A link that flaps every five seconds for a day is told a few hundred times, loses no change in the count, and its last state
// is told at the end.
func TestALinkThatFlapsIsToldNowAndThen(t *testing.T) {
	var f flaps
	now, told, counted := time.Now(), 0, uint64(0)
	var last mqtt.Change
	look := func() time.Duration {
		for {
			c, n, wait := f.due(now)
			if n == 0 {
				return wait
			}
			last, told, counted = c, told+1, counted+n
		}
	}
	const changes = 24 * 60 * 12
	for i := range changes {
		f.take(mqtt.Change{Up: i%2 == 1})
		look()
		if i < flapsAtOnce && told != i+1 {
			t.Fatalf("%d changes, %d told", i+1, told)
		}
		now = now.Add(5 * time.Second)
	}
	for wait := look(); wait < time.Hour; wait = look() {
		if wait <= 0 || wait > flapEvery {
			t.Fatalf("looks again after %s", wait)
		}
		now = now.Add(wait)
	}
	if told < 400 || told > 600 || counted != changes || !last.Up {
		t.Errorf("%d events tell of %d changes of %d, the last up: %v", told, counted, changes, last.Up)
	}
	now = now.Add(24 * time.Hour)
	for range flapsAtOnce {
		f.take(mqtt.Change{})
		if look(); f.count != 0 {
			t.Fatal("a calm day gives nothing back")
		}
	}
}
