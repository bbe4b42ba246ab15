package e2e

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"watchpost/sim/disk"
)

// settled brings what the kernel would write within half a minute to the medium, and counts.
func settled(t testing.TB, d *disk.Disk) disk.Stats {
	t.Helper()
	if err := d.Settle(); err != nil {
		t.Fatal(err)
	}
	return diskStats(t, d)
}

// TestBenchEventsFlash measures the bytes of a standard day that reach an eMMC, compressed in time: a start, and 2,000 events of a
// panel, each alone: it is stored, sent, and its receipt makes a cursor; then the kernel's flusher comes by, as it does in the
// 43 s that a day leaves. All are alarms here, not 20: a disk does not tell lanes apart, and the centre gives receipts for the
// others once a second. 8 GB of 3,000 cycles that are to last ten years take 6.57 GB a day. How sim/disk counts is told there.
func TestBenchEventsFlash(t *testing.T) {
	const events, goal = 2000, 6570.0 // MB
	c := newCentre(t)
	v := caoping(c).build(t)
	d := v.onDisk(disk.Options{})
	v.start()
	v.online()
	v.drained()
	stopsWell(t, v.agent)
	yesterday := settled(t, d)
	v.start()
	v.online()
	v.drained()
	begun := settled(t, d)
	figure("events-flash/start", float64(begun.Bytes()-yesterday.Bytes())/1e6, "MB", 20)

	const quiet = 35 * time.Second // some heartbeats
	timer := time.NewTimer(quiet)
	<-timer.C
	morning := settled(t, d)
	figure("events-flash/heartbeats", float64(morning.Bytes()-begun.Bytes()), "B", 0)

	file := filepath.Join(t.TempDir(), "panel.log")
	panel := start(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--log", file)
	for n := range events {
		panel.say("raise BA 001")
		eventually(t, "the ACK", func() error {
			if got := len(readRecord(t, file).acked); got <= n {
				return fmt.Errorf("%d of %d", got, n+1)
			}
			return nil
		})
		v.drained()
		if err := d.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	evening := settled(t, d)
	day := float64(evening.Bytes() - yesterday.Bytes())
	figure("events-flash/day", day/1e6, "MB", goal)
	fact("events-flash/years-of-8GB", 8e9*3000/day/365, "years")
	fact("events-flash/event", float64(evening.Bytes()-morning.Bytes())/events, "B")
	fact("events-flash/event-syncs", float64(evening.Syncs-morning.Syncs)/events, "syncs")
	fact("events-flash/event-journal", float64(evening.JournalBytes-morning.JournalBytes)/events, "B")
	for _, name := range slices.Sorted(maps.Keys(evening.ByName)) {
		if n := evening.ByName[name] - morning.ByName[name]; n > 0 {
			fact("events-flash/event-of-"+name, float64(n)/events, "B")
		}
	}
	checkMarks(t, c.stored(v.id), 1, events)
	stopsWell(t, v.agent)
}
