package mqtt

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// stationBackoff is the back-off of a station with the default times.
func stationBackoff(id string) *backoff {
	o := Options{Centre: "changshan", Address: station(id)}
	o.setDefaults()
	return newBackoff(o)
}

// Full jitter: waits spread over the whole of a bound that doubles up to the fault's largest; two stations do not wait alike.
func TestBackoff(t *testing.T) {
	for fault, most := range map[Fault]time.Duration{
		FaultAway: 20 * time.Second, FaultLost: 20 * time.Second, FaultName: 20 * time.Second,
		FaultSilent: time.Minute, FaultNotAuthorised: time.Minute, FaultFiles: time.Minute, FaultTooLarge: time.Minute, FaultUntrusted: time.Minute,
	} {
		waits := func(id string) (list []time.Duration) {
			b := stationBackoff(id)
			for range 1000 {
				list = append(list, b.next(0, fault))
			}
			return list
		}
		a, b := waits("cs-1"), waits("cs-2")
		if slices.Equal(a, b) || !slices.Equal(a, waits("cs-1")) {
			t.Fatalf("%s: the waits are not the station's own", fault)
		}
		bound, sum := time.Second, time.Duration(0)
		for i, w := range a {
			if w < 0 || w > bound {
				t.Fatalf("%s: wait %d is %s, at most %s", fault, i, w, bound)
			}
			bound = min(most, 2*bound)
			sum += w
		}
		if mean := sum / 1000; mean < most*5/12 || mean > most*7/12 {
			t.Errorf("%s: the mean wait is %s, want about half of %s", fault, mean, most)
		}
	}
}

func TestALinkThatLivedStartsAfresh(t *testing.T) {
	b := stationBackoff("cs-1")
	for range 10 {
		b.next(time.Second, FaultLost)
	}
	if w := b.next(21*time.Second, FaultLost); w > time.Second {
		t.Errorf("after a link that lived, the wait is %s", w)
	}
	for range 10 {
		b.next(0, FaultNotAuthorised)
	}
	if b.next(0, FaultAway); b.bound > 20*time.Second {
		t.Errorf("after a refusal, a broker that is away is waited for under a bound of %s", b.bound)
	}
}

// A thousand stations lose their broker in one moment. Whenever it comes back, all have knocked within the largest wait,
// and they have not knocked together.
func TestAThousandStationsComeBack(t *testing.T) {
	const stations = 1000
	for _, down := range []time.Duration{2 * time.Second, 20 * time.Second, time.Minute, 10 * time.Minute, 24 * time.Hour} {
		var slots [20]int // of how many come in each second after its return
		last := time.Duration(0)
		for i := range stations {
			b := stationBackoff(fmt.Sprintf("cs-%d", i))
			at := b.next(time.Hour, FaultLost)
			for at < down {
				at += b.next(0, FaultAway)
			}
			last = max(last, at-down)
			slots[min(int((at-down)/time.Second), len(slots)-1)]++
		}
		if last > 20*time.Second {
			t.Errorf("down for %s: the last station comes after %s", down, last)
		}
		// A bound that doubles is at most about the time that the broker was away, so half of it is the width to expect.
		width := min(20, max(1, int(down/time.Second)/2))
		if most := slices.Max(slots[:]); most > 4*stations/width {
			t.Errorf("down for %s: %d of %d stations in one second: %v", down, most, stations, slots)
		}
	}
}
