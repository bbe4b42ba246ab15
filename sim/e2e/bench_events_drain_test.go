package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// drainEvents is the backlog of the figures: with fewer a drain is over before it can be measured.
const drainEvents = 100_000

// drainBridge is how many events a second a subscriber at the central broker gets of the bridge's backlog, with the settings
// that cost it least.
func drainBridge(t *testing.T) float64 {
	central, broker := newCentral(t)
	gate := newRelay(t, central, nil)
	hears := newListener(t, central)
	edge := newBridge(t, bridgeSteady, gate.addr)
	p := publisher{client: benchClient(t, "publisher", edge.address), window: 256, acked: func(int) {}}
	if err := p.publish(t.Context(), drainEvents); err != nil {
		t.Fatal(err)
	}
	gate.open.Store(true)
	hears.settled(t, drainEvents, 10*time.Second)
	edge.kill()
	broker.kill()
	hears.mu.Lock()
	defer hears.mu.Unlock()
	if n := len(hears.marks.seen); n < drainEvents*99/100 {
		t.Fatalf("%d of %d arrived", n, drainEvents)
	}
	return float64(len(hears.marks.seen)-1) / hears.last.Sub(hears.first).Seconds()
}

// backlog writes a log of n events for childStation or the shipped agent.
func backlog(t *testing.T, dir string, n int) {
	t.Helper()
	runChild(t, "write", dir, strconv.Itoa(n), "notice")
}

// drainOurs is drainBridge for the station.
func drainOurs(t *testing.T) float64 {
	central, broker := newCentral(t)
	gate := newRelay(t, central, nil)
	gate.open.Store(true)
	hears := newEar(t, central)
	dir := filepath.Join(t.TempDir(), "log")
	backlog(t, dir, drainEvents)
	agent := startChild(t, "station", dir, gate.addr)
	hears.heard(drainEvents)
	agent.kill()
	broker.kill()
	return hears.rate()
}

// TestBenchEventsDrain compares how fast a backlog reaches a subscriber at the same central broker.
func TestBenchEventsDrain(t *testing.T) {
	var ours, bridge []float64
	for range rounds {
		bridge = append(bridge, drainBridge(t))
		ours = append(ours, drainOurs(t))
	}
	fact("events-drain/bridge", median(bridge), "events/s")
	fact("events-drain/ours", median(ours), "events/s")
	figureAtLeast("events-drain/ours-to-bridge", median(ratios(ours, bridge)), "x", 1)
}

// TestBenchEventsDrainStored measures the same with the shipped programs, until the last receipt: all of it over TLS, and
// stored at the centre.
func TestBenchEventsDrainStored(t *testing.T) {
	c := newCentreOn(t, mosquitto)
	v := caoping(c).build(t)
	backlog(t, filepath.Join(v.dir, "data"), drainEvents)
	v.start()
	var begun time.Time
	var first uint64
	within(t, 10*time.Minute, "receipts for the backlog", func() error {
		st, err := v.door()
		if err != nil {
			return err
		}
		got := st.Centres[0].Receipts["main"]
		if got > 0 && begun.IsZero() {
			begun, first = time.Now(), got
		}
		if got < drainEvents {
			return fmt.Errorf("receipt up to %d", got)
		}
		fact("events-drain/stored-at-the-centre", float64(got-first)/time.Since(begun).Seconds(), "events/s")
		return nil
	})
}

// TestBenchEventsLive measures from the append of an alarm to its arrival at a subscriber, while a backlog drains and when
// nothing else is to be sent.
func TestBenchEventsLive(t *testing.T) {
	const every = 10 // ms
	var busy, idle []float64
	for range rounds {
		central, broker := newCentral(t, "set_tcp_nodelay true") // or up to 40 ms are those of TCP
		hears := newEar(t, central)
		dir := filepath.Join(t.TempDir(), "log")
		backlog(t, dir, 2*drainEvents)
		agent := startChild(t, "station", dir, central)
		agent.line("ready")
		agent.say("beat %d", every)
		hears.heard(2 * drainEvents)
		hears.mu.Lock()
		begun, drained := hears.first, hears.last
		hears.mu.Unlock()
		settle(max(5*time.Second, drained.Sub(begun)))
		hears.mu.Lock()
		for _, a := range hears.alarms {
			switch {
			case a.at.Before(drained) && a.at.Add(-time.Duration(a.took*1e6)).After(begun):
				busy = append(busy, a.took)
			case a.at.After(drained.Add(time.Second)):
				idle = append(idle, a.took)
			}
		}
		hears.mu.Unlock()
		agent.kill()
		broker.kill()
	}
	if len(busy) < 100 || len(idle) < 100 {
		t.Fatalf("%d alarms while draining, %d when idle: too few", len(busy), len(idle))
	}
	fact("events-live/idle-p50", median(idle), "ms")
	fact("events-live/idle-p99", percentile(idle, 99), "ms")
	fact("events-live/draining-p50", median(busy), "ms")
	fact("events-live/draining-p99", percentile(busy, 99), "ms")
	figure("events-live/draining-p99-to-idle", percentile(busy, 99)/percentile(idle, 99), "x", 2)
}
