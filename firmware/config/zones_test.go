package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestMistakesInZones(t *testing.T) {
	const loop = "loop: {adc: loops-1, channel: 0, scheme: 4k7-dual}"
	explained(t, []mistake{
		{"two wires", "id: window\n", "id: window\n    modbus: {bus: plc, unit: 4, input: 0}\n", "zones[4]", "keep one of board and line, loop, modbus"},
		{"unknown adc", loop, "loop: {adc: loop-1, channel: 0, scheme: 4k7-dual}", "zones[4].loop.adc", "did you mean loops-1?"},
		{"scheme", loop, "loop: {adc: loops-1, channel: 0, scheme: 4k7}", "zones[4].loop.scheme", "known here: 4k7-dual, 10k-dual"},
		{"channel of the supply", loop, "loop: {adc: loops-1, channel: 3, scheme: 4k7-dual}", "zones[4].loop.channel", "reads the loops' supply"},
		{"channel past the chip", loop, "loop: {adc: loops-1, channel: 4, scheme: 4k7-dual}", "zones[4].loop.channel", "outside 0 to 3"},
		{"debounce of a loop", "    " + loop, "    debounce: 30ms\n    " + loop, "zones[4].debounce", "only a line is debounced"},
		{"rest of a loop", "    " + loop, "    rest: open\n    " + loop, "zones[4].rest", "scheme says how it rests"},
		{"slave on i2c", "{bus: plc, unit: 3, input: 0}", "{bus: chips, unit: 3, input: 0}", "zones[5].modbus.bus", "no serial or tcp bus"},
		{"broadcast", "{bus: plc, unit: 3, input: 0}", "{bus: plc, unit: 0, input: 0}", "zones[5].modbus.unit", "outside 1 to 247"},
		{"input past the map", "{bus: plc, unit: 3, input: 0}", "{bus: plc, unit: 3, input: 65536}", "zones[5].modbus.input", "outside 0 to 65535"},
		{"no such partition", "partition: house           #", "partition: hause #", "zones[3].partition", "did you mean house?"},
		{"modes", "modes: [away, night]", "modes: [away, nite]", "zones[3].modes[1]", "did you mean night?"},
		{"swinger", "swinger: 3 ", "swinger: 7 ", "zones[3].swinger", "outside 0 to 6"},
		{"entry and follow", "    follow: true ", "    follow: true\n    entry: true ", "zones[3].follow", "keep one"},
		{"severity of arming's", "    follow: true ", "    severity: notice\n    follow: true ", "zones[3].severity", "the partition says when it is an alarm"},
		{"entry without a partition", "    kind: panic", "    entry: true\n    kind: panic", "zones[1].entry", "only a zone with a partition has it"},
	})
}

// A line that a mistake moves by one is told where it stands: the line of the problem is that of the key.
func TestProblemsOfOneZoneStandAtIt(t *testing.T) {
	_, err := Parse("s.yaml", []byte(`
station: {id: cs-one, jurisdiction: changshan}
boards: [{id: main, socket: b.sock}]
partitions: [{id: house}]
zones:
  - id: fire
    kind: fire
    partition: house
    board: main
    line: smoke
    entry: true
  - {id: daily, kind: test, partition: house, board: main, line: loop}
  - {id: nowhere}
test: {zone: daily, output: out}
`))
	for _, want := range []string{
		"s.yaml:11: zones[0].entry: only a zone of kind intrusion has it: a fire counts at any hour",
		"s.yaml:12: zones[1].partition: the daily test is armed with nothing",
		"s.yaml:13: zones[2].board: missing", "s.yaml:13: zones[2].line: missing",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if p, ok := errors.AsType[*Problems](err); !ok || len(p.List) != 4 {
		t.Errorf("%v: want four problems", err)
	}
}

func TestListsAreBounded(t *testing.T) {
	text := "station: {id: cs-one, jurisdiction: changshan}\nboards: [{id: main, socket: b.sock}]\nzones:\n"
	for i := range maxZones {
		text += fmt.Sprintf("  - {id: z%d, board: main, line: l%d}\n", i, i)
	}
	if _, err := Parse("s.yaml", []byte(text)); err != nil {
		t.Errorf("%d zones: %v", maxZones, err)
	}
	_, err := Parse("s.yaml", []byte(text+"  - {id: last, board: main, line: last}\n"))
	if want := "s.yaml:3: zones: 321 are too many for one station: at most 320"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// A group that is too small could never raise an alarm, and that is told once for the group.
func TestGroupsAreBigEnough(t *testing.T) {
	text := strings.Replace(Reference, "confirm: {zones: 2, within: 5m}", "confirm: {zones: 3, within: 5m}", 1)
	_, err := Parse("s.yaml", []byte(text))
	p, ok := errors.AsType[*Problems](err)
	if !ok || len(p.List) != 1 || p.List[0].Key != "zones[3].confirm" || !strings.Contains(err.Error(), `group "inside" has 2 zones in partition house, which wants 3`) {
		t.Errorf("%v", err)
	}
}
