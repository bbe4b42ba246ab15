package mqtt

import (
	"testing"
	"time"
)

func TestQuality(t *testing.T) {
	var m meter
	now := time.Now()
	if q := m.quality(now); q.RTTMedian != 0 || q.RTTWorst != 0 || q.Up != 0 || q.Connects != 0 || len(q.Faults) != 0 {
		t.Errorf("of nothing: %+v", q)
	}
	m.rtt(time.Second)
	if q := m.quality(now); q.RTTMedian != time.Second || q.RTTWorst != time.Second {
		t.Errorf("of one: %+v", q)
	}
	for i := range 3 * rttKept { // only the last of them count
		m.rtt(time.Duration(i) * time.Millisecond)
	}
	q := m.quality(now)
	if first := 2 * rttKept * time.Millisecond; q.RTTMedian != first+rttKept/2*time.Millisecond || q.RTTWorst != first+121*time.Millisecond {
		t.Errorf("of %d: %+v", 3*rttKept, q)
	}
	m.linkUp(now)
	if q := m.quality(now.Add(time.Minute)); q.Up != time.Minute || q.Connects != 1 {
		t.Errorf("up: %+v", q)
	}
	m.linkDown(FaultSilent)
	m.linkDown(FaultAway)
	m.linkDown(FaultAway)
	q = m.quality(now)
	if q.Up != 0 || q.Faults[FaultAway] != 2 || q.Faults[FaultSilent] != 1 {
		t.Errorf("down: %+v", q)
	}
	q.Faults[FaultAway] = 9 // the answer is the caller's
	if m.quality(now).Faults[FaultAway] != 2 {
		t.Error("the counts can be changed from outside")
	}
}

func BenchmarkQuality(b *testing.B) {
	var m meter
	for i := range rttKept {
		m.rtt(time.Duration(i))
	}
	for b.Loop() {
		m.quality(time.Time{})
	}
}
