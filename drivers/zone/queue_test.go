package zone

import (
	"testing"

	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// TestQueueOverflow holds, for any order of facts: the queue is bounded, the first fact stays (it may be with the sink),
// what is dropped is counted by a later fact, and no alarm goes while something lesser could.
func TestQueueOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, pushed, alarms := newQueue(), 0, 0
		n := rapid.IntRange(queueSize-2, queueSize*2).Draw(t, "facts")
		mark := rapid.IntRange(0, 3).Draw(t, "alarm share")
		for i := range n {
			f := fact{state: Normal, severity: event.SeverityNotice, kernelNS: int64(i)}
			if i%4 < mark {
				f.state, f.severity = Active, event.SeverityAlarm
				alarms++
			}
			q.push(f)
			pushed++
		}
		if q.len() > queueSize {
			t.Fatalf("%d facts wait", q.len())
		}
		kept, lost, last := 0, 0, int64(-1)
		for {
			f, ok := q.head()
			if !ok {
				break
			}
			if f.kernelNS <= last || kept == 0 && f.kernelNS != 0 {
				t.Fatalf("fact %d after %d", f.kernelNS, last)
			}
			last = f.kernelNS
			kept++
			lost += int(f.lost)
			if f.severity == event.SeverityAlarm {
				alarms--
			}
			q.pop()
		}
		if kept+lost != pushed || last != int64(pushed-1) {
			t.Fatalf("%d kept and %d told as lost of %d, last is %d", kept, lost, pushed, last)
		}
		if mark <= 1 && alarms != 0 { // then lesser facts are enough to drop
			t.Fatalf("%d alarms were dropped", alarms)
		}
	})
}
