package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// wired is the standard village with everything that a box can carry: loops, an expander, sensors, a battery, keys and slaves.
func wired(t testing.TB) (*centre, *village) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	line := filepath.Join(dir, "rs485")
	c := newCentre(t)
	p := caoping(c)
	p.box = boxFile(t, fmt.Sprintf(`
lines: [int-a]
buses:
  - name: chips
    kind: i2c
    chips:
      - {name: loops-1, chip: ads1115, address: 0x48}
      - {name: loops-2, chip: ads1115, address: 0x49}
      - {name: attic, chip: mcp23017, address: 0x20, interrupt: int-a}
      - {name: air, chip: bme280, address: 0x76}
      - {name: ups, chip: ina219, address: 0x41}
loops:
  - {name: window, adc: loops-1, channel: 0, scheme: 4k7-22k-mask}
  - {name: shed, adc: loops-1, channel: 1, scheme: 4k7-dual}
  - {name: barn, adc: loops-2, channel: 0, scheme: 4k7-dual}
modbus:
  - {name: rs485, link: %s, slaves: [{unit: 3, discrete: {0: 0}}, {unit: 4, discrete: {0: 0}}]}
`, line))
	p.zones = `
  - {id: window, loop: {adc: loops-1, channel: 0, scheme: 4k7-22k-mask}}
  - {id: shed, loop: {adc: loops-1, channel: 1, scheme: 4k7-dual}}
  - {id: barn, loop: {adc: loops-2, channel: 0, scheme: 4k7-dual}}
  - {id: hatch, board: attic, line: a3, rest: open}
  - {id: sluice, modbus: {bus: rs485, unit: 3, input: 0}, rest: open}
  - {id: pump, modbus: {bus: rs485, unit: 4, input: 0}, rest: open}
`
	p.extra = fmt.Sprintf(`
buses:
  - {id: chips, kind: i2c, backend: linesock, board: main}
  - {id: rs485, kind: serial, device: %s}
adcs:
  - {id: loops-1, chip: ads1115, bus: chips, address: 0x48}
  - {id: loops-2, chip: ads1115, bus: chips, address: 0x49}
sensors:
  - {id: air, chip: bme280, bus: chips, address: 0x76, every: 1s, high: {temperature: 40}}
`, line)
	v := p.build(t)
	text, err := os.ReadFile(v.config)
	if err != nil {
		t.Fatal(err)
	}
	const board = "boards: [{id: main, socket: board.sock}"
	text = []byte(strings.Replace(string(text), board,
		board+", {id: attic, backend: mcp23017, bus: chips, address: 0x20, interrupt: {board: main, line: int-a}}", 1))
	if err := os.WriteFile(v.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	v.board.say("pin attic 3 0") // a contact to ground, against the chip's pull-up
	v.start()
	v.online()
	for _, zone := range []string{"window", "shed", "barn", "hatch", "sluice", "pump"} {
		c.awaitStored(v.id, zone+" at rest", zoneTold(zone, "normal", time.Time{}))
	}
	return c, v
}

// zoneTold is a zone that was told in a state after a moment.
func zoneTold(zone, state string, after time.Time) func(event.Event) bool {
	return func(e event.Event) bool {
		now, _ := e.Body.Text(event.TagState)
		return e.Kind == event.KindZoneChanged && e.Zone == zone && now == state && e.At.After(after)
	}
}

// TestFaultWires does to the wires of a village what happens to wires. Each fault is a fact of its own at the centre, each end of
// a fault is told, and nothing that cannot be read is told as normal.
func TestFaultWires(t *testing.T) {
	t.Parallel()
	c, v := wired(t)
	for _, f := range []struct{ word, zone, state, end string }{
		{"loop window cut", "window", "open", "loop window normal"},
		{"loop window short", "window", "short", "loop window normal"},
		{"loop window active", "window", "active", "loop window normal"},
		{"loop window mask", "window", "masked", "loop window normal"},
		{"chip loops-2 pull", "barn", "missing", "chip loops-2 plug"},
		{"pin attic 3 1", "hatch", "active", "pin attic 3 0"},
		{"chip attic pull", "hatch", "missing", "chip attic plug"},
		{"register 3 discrete 0 1", "sluice", "active", "register 3 discrete 0 0"},
		{"slave 4 dead", "pump", "missing", "slave 4 alive"},
	} {
		begun := time.Now()
		v.board.say("%s", f.word)
		told := c.awaitStored(v.id, f.word, zoneTold(f.zone, f.state, begun))
		v.board.say("%s", f.end)
		c.awaitStored(v.id, f.end, zoneTold(f.zone, "normal", told.At))
		for _, e := range c.stored(v.id) {
			if e.Kind == event.KindZoneChanged && e.At.After(begun) && e.Zone != f.zone {
				state, _ := e.Body.Text(event.TagState)
				t.Errorf("%s: %s is told as %s", f.word, e.Zone, state)
			}
		}
	}
	begun := time.Now()
	v.board.say("sensor air 45")
	hot := c.awaitStored(v.id, "the hot air", func(e event.Event) bool {
		return e.Kind == event.KindSensorChanged && e.Qualifier == event.QualifierNew && e.At.After(begun)
	})
	v.board.say("sensor air 20")
	c.awaitStored(v.id, "the cooled air", func(e event.Event) bool {
		return e.Kind == event.KindSensorChanged && e.Qualifier == event.QualifierRestore && e.At.After(hot.At)
	})

	stuck := time.Now()
	v.board.say("bus chips stick")
	told := c.awaitStored(v.id, "the stuck bus", func(e event.Event) bool {
		state, _ := e.Body.Text(event.TagState)
		return e.Kind == event.KindBusChanged && state == "stuck" && e.At.After(stuck)
	})
	if took := told.At.Sub(stuck); took > time.Second {
		t.Logf("the stuck bus was told after %s", took) // make bench-feel measures it
	}
	for _, zone := range []string{"window", "shed", "barn", "hatch"} {
		c.awaitStored(v.id, zone+" of the stuck bus", zoneTold(zone, "missing", stuck))
	}
	freed := time.Now()
	v.board.say("bus chips free")
	for _, zone := range []string{"window", "shed", "barn", "hatch"} {
		back := c.awaitStored(v.id, zone+" of the bus that works again", zoneTold(zone, "normal", stuck))
		if back.At.Before(freed) {
			t.Errorf("%s was told as normal while its bus was stuck", zone)
		}
	}
	checkOnce(t, c.stored(v.id))
}
