package station

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

// BenchmarkGuard is from an edge at the I/O box to its event on disk, through the box's socket, the driver, the machine, its
// journal and the log. The zone is of a disarmed partition, of an armed one that it alarms, and of none.
func BenchmarkGuard(b *testing.B) {
	for _, c := range []struct {
		name, line string
		lane       event.Lane
		armed      bool
	}{{"disarmed", "hall", event.LaneMain, false}, {"alarm", "hall", event.LaneAlarm, true}, {"alone", "shed", event.LaneAlarm, false}} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			var calm atomic.Int64 // seconds that pass between two edges, so that they are no chatter
			x := startGuarded(b, dir, boxIn(b, dir), "", func(o *Options, x *guardedStation) {
				x.sirens.journal = ""
				o.Now = func() time.Time { return time.Now().Add(time.Duration(calm.Load()) * time.Second) }
			})
			if c.armed {
				x.arm()
			}
			log := x.events.(*eventlog.Log)
			move := func(lane event.Lane, level bool) time.Duration {
				head, begun := log.Head(lane), time.Now()
				x.set(c.line, level)
				for {
					wake := log.Wake()
					if log.Head(lane) != head {
						return time.Since(begun)
					}
					<-wake
				}
			}
			var took []time.Duration
			for b.Loop() {
				took = append(took, move(c.lane, true))
				b.StopTimer()
				calm.Add(11)
				move(event.LaneMain, false)
				calm.Add(11)
				b.StartTimer()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		})
	}
}
