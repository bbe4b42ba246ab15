package config

import (
	"strings"
	"testing"
)

func TestCards(t *testing.T) {
	for text, want := range map[string]string{
		"26:0123ab40": "26:0123ab40", "26:0123AB40": "26:0123ab40", "1:80": "1:80", "8:ff": "8:ff", "512:" + strings.Repeat("5a", 64): "512:" + strings.Repeat("5a", 64),
		"01-00000FB3A2C1": "01-00000fb3a2c1",
	} {
		var c, again Card
		if err := c.UnmarshalText([]byte(text)); err != nil || c.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, c, err, want)
		}
		if err := again.UnmarshalText([]byte(c)); err != nil || again != c {
			t.Errorf("%s is read again as %s, %v", c, again, err)
		}
		rom, isButton := c.ROM()
		if isButton != strings.Contains(want, "-") || isButton && rom.String() != want {
			t.Errorf("%s: button %v, %s", text, isButton, rom)
		}
	}
	for text, says := range map[string]string{
		"": "such as 26:0123ab40", "26": "such as 26:0123ab40", ":": "count", "0:": "count", "026:0123ab40": "count", "+8:ff": "count", " 8:ff": "count", "-8:ff": "count",
		"513:" + strings.Repeat("00", 65): "count", "26:": "8 hex digits", "26:0123ab": "8 hex digits", "26:0123ab4": "8 hex digits", "26:0123ab4000": "8 hex digits",
		"8:gg": "2 hex digits", "26:0123ab41": "more than 26 bits", "26:0123ab60": "more than 26 bits", "7:01": "more than 7 bits",
	} {
		c := Card("as it was")
		if err := c.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), says) || c != "as it was" {
			t.Errorf("%q: %s, %v; want %q", text, c, err, says)
		}
	}
}

const osdpReaders = `
station: {id: cs-one, jurisdiction: changshan}
boards: [{id: main, socket: b.sock}]
buses: [{id: doors, kind: serial, device: /dev/ttyUSB0}, {id: plc, kind: serial, device: /dev/ttyUSB1}, {id: wire, kind: onewire, backend: linesock, board: main}]
partitions: [{id: house}]
zones: [{id: hall, board: main, line: hall, partition: house}, {id: sluice, modbus: {bus: plc, unit: 3, input: 0}}]
users: [{id: li, cards: [01-00000fb3a2c1, "26:0123AB40"]}]
readers:
  - {id: porch, bus: wire, partition: house}
  - {id: gate, osdp: {bus: doors, address: 1, key_hex: 000102030405060708090A0B0C0D0E0F}, partition: house}
  - {id: shed, osdp: {bus: doors, address: 2, plain: true}, partition: house, mode: night}
`

func TestOSDPReaders(t *testing.T) {
	c, err := Parse("s.yaml", []byte(osdpReaders))
	if err != nil {
		t.Fatal(err)
	}
	if c.Users[0].Cards[1] != "26:0123ab40" || c.Readers[1].OSDP != (OSDP{Bus: "doors", Address: 1, KeyHex: "000102030405060708090A0B0C0D0E0F"}) ||
		c.Readers[2].OSDP != (OSDP{Bus: "doors", Address: 2, Plain: true}) || c.Readers[2].Mode != "night" {
		t.Errorf("%+v", c.Readers)
	}
	const gate = "{id: gate, osdp: {bus: doors, address: 1, key_hex: 000102030405060708090A0B0C0D0E0F}, partition: house}"
	for says, change := range map[string][2]string{
		"readers[1].osdp: both a onewire bus and an OSDP reader":             {"{id: gate, ", "{id: gate, bus: wire, "},
		"readers[0].bus: missing":                                            {"{id: porch, bus: wire, ", "{id: porch, "},
		"readers[1].osdp.bus: missing":                                       {"bus: doors, address: 1", "address: 1"},
		"readers[1].osdp.bus: no serial bus is called \"wire\"":              {"bus: doors, address: 1", "bus: wire, address: 1"},
		"readers[1].osdp.bus: bus \"plc\" has Modbus slaves":                 {"bus: doors, address: 1", "bus: plc, address: 1"},
		"readers[1].osdp.address: 127 is outside 0 to 126":                   {"address: 1,", "address: 127,"},
		"readers[2].osdp.address: 1 on bus \"doors\" is reader gate already": {"address: 2", "address: 1"},
		"readers[1].osdp.key_hex: missing":                                   {", key_hex: 000102030405060708090A0B0C0D0E0F", ""},
		"readers[1].osdp.key_hex: want 32 hex digits":                        {"key_hex: 000102030405060708090A0B0C0D0E0F", "key_hex: 0001"},
		"readers[1].osdp.key_hex: this is the key":                           {"key_hex: 000102030405060708090A0B0C0D0E0F", "key_hex: 303132333435363738393a3b3c3d3e3f"},
		"readers[2].osdp.plain: a reader with a key":                         {"plain: true", "plain: true, key_hex: 000102030405060708090A0B0C0D0E0F"},
		"readers[1].id: \"hall\" is a zone":                                  {"id: gate", "id: hall"},
	} {
		text := strings.Replace(osdpReaders, change[0], change[1], 1)
		if text == osdpReaders {
			t.Fatalf("%q is not in %s", change[0], gate)
		}
		if _, err := Parse("s.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
}
