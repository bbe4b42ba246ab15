package station

import (
	"time"

	"watchpost/uplink/mqtt"
)

// How many changes of one link become events: so many at once, and one more whenever flapEvery has passed.
const (
	flapsAtOnce = 80
	flapEvery   = 3 * time.Minute
)

// flaps are the changes of one link that are still to be told. A link that comes and goes all day is one fact after the first
// few: its last change is told, and how many there were, so that it neither wears the flash nor drives other events out.
type flaps struct {
	last  mqtt.Change
	count uint64    // changes to be told, last among them
	spent int       // events, less what time has given back
	since time.Time // when spent was right
}

func (f *flaps) take(c mqtt.Change) { f.last, f.count = c, f.count+1 }

// due is what is to be told now, of how many changes; without any, wait says when to look again.
func (f *flaps) due(now time.Time) (c mqtt.Change, count uint64, wait time.Duration) {
	back := min(f.spent, int(now.Sub(f.since)/flapEvery))
	if f.spent -= back; f.spent == 0 {
		f.since = now
	} else {
		f.since = f.since.Add(time.Duration(back) * flapEvery)
	}
	switch {
	case f.count == 0:
		return c, 0, time.Hour
	case f.spent >= flapsAtOnce:
		return c, 0, f.since.Add(flapEvery).Sub(now)
	}
	c, count = f.last, f.count
	f.spent, f.count = f.spent+1, 0
	return c, count, 0
}
