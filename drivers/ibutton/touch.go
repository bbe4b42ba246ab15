package ibutton

import (
	"slices"
	"time"

	"watchpost/drivers/bus"
)

// awayFor is how long a button must be gone from a card reader before it can touch it anew: a dirty contact, or a hand that
// trembles, is one touch.
const awayFor = 3 * time.Second

// touches makes edges of what comes to a card reader. What lies on it when it is first read has not come: an agent that starts
// again does nothing of its own accord.
type touches struct {
	begun   bool
	buttons map[bus.ROM]*visit
}

// visit is from when a button is first found until it has been gone for awayFor.
type visit struct {
	counted bool
	gone    time.Time // the first good poll of late that did not find it; zero = it was found
}

// heard takes a poll that did not fail, what presence says has come by it, and when it was; it gives those that touch the
// reader now. Of more buttons than maxThere, some do not count.
func (t *touches) heard(found, come []bus.ROM, now time.Time) []bus.ROM {
	if t.buttons == nil {
		t.buttons = map[bus.ROM]*visit{}
	}
	for _, rom := range found {
		if v := t.buttons[rom]; v != nil {
			v.gone = time.Time{}
		} else if len(t.buttons) < maxThere {
			t.buttons[rom] = &visit{counted: !t.begun}
		}
	}
	t.begun = true
	for rom, v := range t.buttons {
		switch {
		case slices.Contains(found, rom):
		case v.gone.IsZero():
			v.gone = now
		case now.Sub(v.gone) >= awayFor:
			delete(t.buttons, rom)
		}
	}
	var list []bus.ROM
	for _, rom := range come {
		if v := t.buttons[rom]; v != nil && !v.counted {
			v.counted = true
			list = append(list, rom)
		}
	}
	return list
}
