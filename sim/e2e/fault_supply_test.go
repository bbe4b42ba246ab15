package e2e

import (
	"testing"
	"time"

	"watchpost/storage/event"
)

// told is an event of a kind, a zone and a state after a moment; tours are told without a zone.
func told(kind event.Kind, zone, state string, after time.Time) func(event.Event) bool {
	return func(e event.Event) bool {
		now, _ := e.Body.Text(event.TagState)
		return e.Kind == kind && e.Zone == zone && now == state && e.At.After(after)
	}
}

// TestFaultSupplyAndSensors lets the mains fail and the battery run down, breaks a transmitter's wire, pulls a thermometer, and
// sends a guard on a tour. Each is a fact at the centre. So is a clock chip that was never set.
func TestFaultSupplyAndSensors(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	p := caoping(c)
	p.box = boxFile(t, `
buses:
  - name: chips
    kind: i2c
    chips:
      - {name: loops-1, chip: ads1115}
      - {name: ups, chip: ina219, address: 0x41}
      - {name: clock, chip: ds3231, never_right: true}
  - {name: wire, kind: onewire, chips: [{name: cellar, chip: ds18b20, serial: 7}]}
  - {name: reader, kind: onewire, chips: [{name: key, chip: ds1990a, serial: 0xfb3a2c1}]}
levels: [{name: river, adc: loops-1, channel: 2}]
`)
	p.extra = `
buses:
  - {id: chips, kind: i2c, backend: linesock, board: main}
  - {id: wire, kind: onewire, backend: linesock, board: main}
  - {id: reader, kind: onewire, backend: linesock, board: main}
adcs: [{id: loops-1, chip: ads1115, bus: chips}]
sensors:
  - {id: cellar, chip: ds18b20, bus: wire, rom: 28-000000000007, every: 1s, high: {temperature: 30}}
  - {id: clock, chip: ds3231, bus: chips, every: 1s}
  - {id: river, chip: level, adc: loops-1, channel: 2, span: 5m, every: 1s, high: {level: 3200}}
power: {bus: chips, address: 0x41, mains_after: 10s}
tours:
  - {id: round, checkpoints: [{id: bridge, bus: reader}], windows: ["00:00-24:00"], roster: [{button: 01-00000fb3a2c1, name: 李}]}
`
	v := p.build(t)
	begun := time.Now()
	v.start()
	v.online()
	sensor := func(id, state string, after time.Time) event.Event {
		t.Helper()
		return c.awaitStored(v.id, id+" "+state, told(event.KindSensorChanged, id, state, after))
	}
	stopped := sensor("clock", "fault", begun)
	if why, _ := stopped.Body.Text(event.TagReason); why != "oscillator-stopped" {
		t.Errorf("the clock: %+v", stopped)
	}

	failed := time.Now()
	v.board.say("mains off")
	v.board.say("touch key 1500ms")
	c.awaitStored(v.id, "the guard at the bridge", told(event.KindTourChecked, "", "checked", begun))
	v.board.say("sensor river 18")
	high := sensor("river", "high", begun)
	v.board.say("sensor river 2")
	broken := sensor("river", "fault", high.At)
	v.board.say("sensor river 12")
	sensor("river", "normal", broken.At)
	v.board.say("chip cellar pull")
	gone := sensor("cellar", "missing", begun)
	v.board.say("chip cellar plug")
	sensor("cellar", "normal", gone.At)

	battery := sensor("power", "battery", failed)
	v.board.say("battery 10")
	low := sensor("power", "battery-low", battery.At)
	v.board.say("mains on")
	v.board.say("battery 60") // hours later
	sensor("power", "mains", low.At)
	checkOnce(t, c.stored(v.id))
}
