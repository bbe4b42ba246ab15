package config

import (
	"errors"
	"strings"
	"testing"
)

func TestMistakesInReaders(t *testing.T) {
	const porch = "{id: porch, bus: porch-wire, partition: house, mode: away}"
	with := func(old, new string) string { return strings.Replace(porch, old, new, 1) }
	explained(t, []mistake{
		{"no bus", porch, with("bus: porch-wire, ", ""), "readers[0].bus", "the id of the onewire bus"},
		{"reader on i2c", porch, with("porch-wire", "chips"), "readers[0].bus", "no onewire bus"},
		{"reader on a misspelt bus", porch, with("porch-wire", "porchwire"), "readers[0].bus", "did you mean porch-wire?"},
		{"no partition", porch, with("partition: house, ", ""), "readers[0].partition", "the partition that it arms"},
		{"no such partition", porch, with("house", "hose"), "readers[0].partition", "did you mean house?"},
		{"mode", porch, with("away", "awy"), "readers[0].mode", "did you mean away?"},
	})
}

// A checkpoint and a reader share a bus if no button is of both.
func TestAReaderAtACheckpoint(t *testing.T) {
	const shared = `
station: {id: cs-one, jurisdiction: changshan}
boards: [{id: main, socket: b.sock}]
buses: [{id: wire, kind: onewire, backend: linesock, board: main}, {id: far, kind: onewire, backend: linesock, board: main}]
partitions: [{id: house}]
users: [{id: li, cards: [01-00000fb3a2c1]}]
readers: [{id: porch, bus: wire, partition: house}]
tours: [{id: round, checkpoints: [{id: dyke, bus: far}, {id: gate, bus: wire}], windows: ["22:00-23:00"], roster: [{button: 01-0000000000aa, name: 王}, {button: BUTTON, name: 李}]}]
`
	c, err := Parse("s.yaml", []byte(strings.Replace(shared, "BUTTON", "01-0000000000bb", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if c.Readers[0] != (Reader{ID: "porch", Bus: "wire", Partition: "house", Mode: "away"}) {
		t.Errorf("%+v", c.Readers[0])
	}
	own := strings.Replace(shared, "BUTTON", "01-00000fb3a2c1", 1)
	_, err = Parse("s.yaml", []byte(own))
	p, ok := errors.AsType[*Problems](err)
	if !ok || len(p.List) != 1 || p.List[0].Key != "tours[0].roster[1].button" || p.List[0].Line != 8 ||
		!strings.Contains(p.List[0].Message, "card of user li") || !strings.Contains(p.List[0].Message, "checkpoint gate is on the bus of reader porch") {
		t.Errorf("%v", err)
	}
	if _, err := Parse("s.yaml", []byte(strings.Replace(own, "bus: wire, partition", "bus: far, partition", 1))); err == nil {
		t.Error("the other checkpoint's bus: no problem")
	}
	if _, err := Parse("s.yaml", []byte(strings.Replace(own, ", {id: gate, bus: wire}", "", 1))); err != nil {
		t.Errorf("a guard who is a user, too, at places apart: %v", err)
	}
}

func TestReadersAmongThemselves(t *testing.T) {
	const head = `
station: {id: cs-one, jurisdiction: changshan}
boards: [{id: main, socket: b.sock}]
buses: [{id: wire, kind: onewire, backend: linesock, board: main}, {id: far, kind: onewire, backend: linesock, board: main}]
partitions: [{id: house}]
`
	const li = "users: [{id: li, cards: [01-00000fb3a2c1]}]\n"
	for says, text := range map[string]string{
		`readers[1].bus: bus "wire" is that of reader porch`:   li + "readers: [{id: porch, bus: wire, partition: house}, {id: back, bus: wire, partition: house}]\n",
		`readers[1].id: "porch" is there twice`:                li + "readers: [{id: porch, bus: wire, partition: house}, {id: porch, bus: far, partition: house}]\n",
		"readers: no user has a card":                          "readers: [{id: porch, bus: wire, partition: house}]\n",
		"readers: 17 are too many for one station: at most 16": li + "readers: [" + strings.Repeat("{}, ", 17) + "]\n",
	} {
		if _, err := Parse("s.yaml", []byte(head+text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
}
