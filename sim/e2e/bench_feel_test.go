package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// boxFile writes the description of a box and answers the flags that it is served by.
func boxFile(t testing.TB, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "box.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--box", path}
}

// numbered joins n pieces of text, of which each holds its number as often as %[1]d says.
func numbered(n int, format, between string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return strings.Join(list, between)
}

// lane waits until a lane of the station's log has grown beyond a head, and answers the new one.
func (v *village) lane(lane string, head uint64) uint64 {
	v.t.Helper()
	for limit := time.Now().Add(patience); ; {
		st, err := v.door()
		if err != nil {
			v.t.Fatal(err)
		}
		if now := st.Log.Heads[lane]; now != head {
			return now
		}
		if time.Now().After(limit) {
			v.t.Fatalf("nothing new in lane %s within %s:\n%s", lane, patience, v.agent.tail(10))
		}
	}
}

// TestBenchFeelEdge measures from the kernel's time of an edge to the moment when the local door says that arming's verdict on
// it is in the log: the zone's change, the journal and the alarm are on disk then. Every part is a process of its own, and the
// door is asked again and again, so the figure is an upper bound.
func TestBenchFeelEdge(t *testing.T) {
	c := newCentre(t)
	var ms []float64
	for i := range 3 { // stations, one after the other
		ms = append(ms, edgesToDisk(t, c, fmt.Sprintf("cs-village-%d", i))...)
	}
	figure("feel/edge-to-alarm-on-disk-p50", percentile(ms, 50), "ms", 20)
	figure("feel/edge-to-alarm-on-disk-p99", percentile(ms, 99), "ms", 20)
}

// edgesToDisk raises the alarms of 64 zones of a partition, one by one, and answers how long each took.
func edgesToDisk(t *testing.T, c *centre, station string) (ms []float64) {
	t.Helper()
	const lines = 64
	p := caoping(c)
	p.id = station
	p.box = []string{"--lines", numbered(lines, "p%d", ",")}
	p.zones = numbered(lines, "  - {id: p%[1]d, kind: panic, board: main, line: p%[1]d, rest: open, debounce: 0s, partition: house}\n", "")
	p.extra = "partitions: [{id: house, settle: 0s}]\n"
	v := p.build(t)
	v.start()
	v.online()
	seen := map[string]float64{} // zone → Unix time in ms
	var head uint64
	for i := range lines {
		zone := fmt.Sprintf("p%d", i)
		v.set(zone, 1)
		head = v.lane("alarm", head)
		seen[zone] = float64(time.Now().UnixNano()) / 1e6
	}
	raised := func(e event.Event) bool { return e.Kind == event.KindAlarmRaised && e.Qualifier == event.QualifierNew }
	c.awaitStored(v.id, "the last alarm", func(e event.Event) bool { return raised(e) && e.Zone == fmt.Sprintf("p%d", lines-1) })
	offset := wallOfMonotonic(t)
	for _, e := range c.stored(v.id) {
		if at, ok := seen[e.Zone]; ok && raised(e) {
			if e.KernelNS == 0 {
				t.Fatalf("an alarm without its kernel time: %+v", e)
			}
			ms = append(ms, at-float64(e.KernelNS)/1e6-offset)
		}
	}
	if len(ms) != lines {
		t.Fatalf("%d of %d alarms have arrived", len(ms), lines)
	}
	v.agent.stop()
	return ms
}

// feelLoops is twelve loops on the four converters that one bus can have, three beside each reference.
func feelLoops(t testing.TB) (p plan) {
	var chips, adcs, loops, zones []string
	for chip := range 4 {
		chips = append(chips, fmt.Sprintf("{name: adc-%d, chip: ads1115, address: %#x}", chip, 0x48+chip))
		adcs = append(adcs, fmt.Sprintf("{id: adc-%d, chip: ads1115, bus: chips, address: %#x}", chip, 0x48+chip))
		for channel := range 3 {
			loops = append(loops, fmt.Sprintf("{name: loop-%d, adc: adc-%d, channel: %d, scheme: 4k7-dual}", len(loops), chip, channel))
			zones = append(zones, fmt.Sprintf("  - {id: loop-%d, loop: {adc: adc-%d, channel: %d, scheme: 4k7-dual}}\n", len(zones), chip, channel))
		}
	}
	list := func(s []string) string { return "[" + strings.Join(s, ", ") + "]" }
	p.box = boxFile(t, fmt.Sprintf("buses: [{name: chips, kind: i2c, chips: %s}]\nloops: %s\n", list(chips), list(loops)))
	p.zones = strings.Join(zones, "")
	p.extra = fmt.Sprintf("buses: [{id: chips, kind: i2c, backend: linesock, board: main}]\nadcs: %s\n", list(adcs))
	return p
}

// feelVillage is the standard village with the loops.
func feelVillage(t testing.TB) (*centre, *village) {
	c := newCentre(t)
	p, with := caoping(c), feelLoops(t)
	p.box, p.zones, p.extra = with.box, with.zones, with.extra
	v := p.build(t)
	v.start()
	v.online()
	return c, v
}

// TestBenchFeelLoop measures from the word that opens a contact at the end of a supervised loop to the moment when the local
// door says that the alarm is in the log. The converters are behind the I/O box, so that each of their transactions crosses a
// socket.
func TestBenchFeelLoop(t *testing.T) {
	const loops, samples = 12, 120
	_, v := feelVillage(t)
	settle(2 * time.Second) // every loop has been read
	random := rand.New(rand.NewPCG(1, 2))
	var ms []float64
	st, err := v.door()
	if err != nil {
		t.Fatal(err)
	}
	head := st.Log.Heads["alarm"]
	for i := range samples {
		settle(150*time.Millisecond + time.Duration(random.IntN(int(100*time.Millisecond)))) // any moment between two scans
		begun := time.Now()
		v.board.say("loop loop-%d active", i%loops)
		head = v.lane("alarm", head)
		ms = append(ms, float64(time.Since(begun).Microseconds())/1e3)
		v.board.say("loop loop-%d normal", i%loops)
	}
	figure("feel/loop-to-disk-p50", percentile(ms, 50), "ms", 150)
	figure("feel/loop-to-disk-p99", percentile(ms, 99), "ms", 150)
}

// TestBenchFeelStuckBus measures from the moment when a chip holds its bus to the moment when the log says so; meanwhile no loop
// of the bus may be told as normal.
func TestBenchFeelStuckBus(t *testing.T) {
	const rounds = 5
	c, v := feelVillage(t)
	settle(2 * time.Second)
	var ms []float64
	for range rounds {
		begun := time.Now()
		v.board.say("bus chips stick")
		told := c.awaitStored(v.id, "the stuck bus", func(e event.Event) bool {
			return e.Kind == event.KindBusChanged && e.Qualifier == event.QualifierNew && e.At.After(begun)
		})
		ms = append(ms, 1e3*told.At.Sub(begun).Seconds())
		settle(1500 * time.Millisecond)
		for _, e := range c.stored(v.id) {
			state, _ := e.Body.Text(event.TagState)
			if e.Kind == event.KindZoneChanged && strings.HasPrefix(e.Zone, "loop-") && state == "normal" && e.At.After(begun) {
				t.Errorf("%s is told as normal while its bus is stuck", e.Zone)
			}
		}
		v.board.say("bus chips free")
		c.awaitStored(v.id, "the bus that works again", func(e event.Event) bool {
			return e.Kind == event.KindBusChanged && e.Qualifier == event.QualifierRestore && e.At.After(told.At)
		})
	}
	figure("feel/stuck-bus-told-max", percentile(ms, 100), "ms", 1000)
}
