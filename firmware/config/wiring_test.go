package config

import (
	"testing"
	"time"
)

func TestMistakesInTheWiring(t *testing.T) {
	explained(t, []mistake{
		{"unknown back end", "backend: linesock          #", "backend: linesok #", "boards[0].backend", "did you mean linesock?"},
		{"host without a chip", "chip: pinctrl-bcm2835 ", `chip: "" `, "boards[1].chip", "gpiodetect"},
		{"offset that is a name", `int-a: "17"`, "int-a: GPIO17", "boards[1].lines", `"GPIO17" is no offset`},
		{"offset past any chip", `int-a: "17"`, `int-a: "512"`, "boards[1].lines", "0 to 511"},
		{"line of capitals", `siren: "27"`, `Siren: "27"`, "boards[1].lines", "a-z, 0-9, hyphen"},
		{"socket of a chip", "    chip: pinctrl-bcm2835 ", "    socket: x.sock\n    chip: pinctrl-bcm2835 ", "boards[1].socket", "only a board of back end linesock"},
		{"unknown bus", "bus: chips\n    address: 0x20", "bus: chip\n    address: 0x20", "boards[2].bus", `no i2c bus is called "chip"; did you mean chips?`},
		{"interrupt on no board", "{board: own, line: int-a}", "{board: onw, line: int-a}", "boards[2].interrupt.board", "did you mean own?"},
		{"interrupt of itself", "{board: own, line: int-a}", "{board: attic, line: a7}", "boards[2].interrupt.board", "too slow to hear it"},
		{"line that the chip has not", "line: a0", "line: a8", "zones[3].line", "a0 to a7 and b0 to b7"},
		{"kind of bus", "kind: onewire, backend", "kind: 1wire, backend", "buses[1].kind", "did you mean onewire?"},
		{"bus on no box", "backend: linesock, board: main}", "backend: linesock, board: own}", "buses[1].board", "no linesock board"},
		{"i2c without a device", "kind: i2c, device: /dev/i2c-1", "kind: i2c", "buses[0].device", "/dev/i2c-1"},
		{"baud on i2c", "kind: i2c, device: /dev/i2c-1", "kind: i2c, device: /dev/i2c-1, baud: 9600", "buses[0].baud", "of kind i2c has none"},
		{"parity", "parity: none, stop", "parity: evn, stop", "buses[2].parity", "did you mean even?"},
		{"baud", "baud: 9600", "baud: 96", "buses[2].baud", "outside 300 to 1000000"},
		{"stop bits", "stop: 1}", "stop: 3}", "buses[2].stop", "outside 1 to 2"},
		{"tcp without a port", `"192.0.2.7:502"`, "192.0.2.7", "buses[3].address", "HOST:PORT"},
		{"adc at no address", "address: 0x48 ", "address: 0x50 ", "adcs[0].address", "0x50: this chip can be set to 0x48 to 0x4b"},
		{"adc of another make", "chip: ads1115", "chip: ads1015", "adcs[0].chip", "did you mean ads1115?"},
		{"reference past the chip", "reference: 3 ", "reference: 4 ", "adcs[0].reference", "outside 0 to 3"},
		{"role", "role: siren, active", "role: sirene, active", "outputs[0].role", "did you mean siren?"},
		{"active level", "active: high", "active: hi", "outputs[0].active", "no word for it"},
		{"on for ever", "max_on: 3m}", "max_on: 1h}", "outputs[0].max_on", "outside 1s to 15m0s"},
		{"output on an input", "board: main, line: strobe", "board: main, line: door", "outputs[1].line", ""},
		{"two chips of one address", "power: {bus: chips, address: 0x41", "power: {bus: chips, address: 0x44", "power.address", "is sensor solar already"},
		{"dog that sleeps", "# watchdog: {device: /dev/watchdog, timeout: 15s}", "watchdog: {device: /dev/watchdog, timeout: 1h}", "watchdog.timeout", "outside 5s to 5m0s"},
		{"dog without a house", "# watchdog: {device: /dev/watchdog, timeout: 15s}", "watchdog: {timeout: 15s}", "watchdog.device", "/dev/watchdog"},
	})
}

func TestDefaultsOfTheWiring(t *testing.T) {
	c, err := Parse("s.yaml", []byte(`
station: {id: cs-one, jurisdiction: changshan}
boards:
  - {id: main, socket: b.sock}
  - {id: attic, backend: mcp23017, bus: chips}
  - {id: usb, backend: periph, lines: {door: D0}}
buses:
  - {id: chips, kind: i2c, device: /dev/i2c-1}
  - {id: rs485, kind: serial, device: /dev/ttyS1}
adcs: [{id: a, bus: chips}, {id: b, bus: chips, address: 0x49, reference: 0}]
outputs: [{id: bell, board: main, line: bell}]
watchdog: {device: /dev/watchdog}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Boards[0].Backend != BackendLinesock || c.Boards[1].Address != 0x20 || c.Boards[2].Lines["door"] != "D0" {
		t.Errorf("boards = %+v", c.Boards)
	}
	if c.Buses[0].Backend != BackendHost || c.Buses[1] != (Bus{ID: "rs485", Kind: BusSerial, Device: "/dev/ttyS1", Baud: 9600, Parity: "none", Stop: 1}) {
		t.Errorf("buses = %+v", c.Buses)
	}
	if c.ADCs[0] != (ADC{"a", "ads1115", "chips", 0x48, 3}) || c.ADCs[1].Reference != 0 {
		t.Errorf("adcs = %+v: a reference on channel 0 is one", c.ADCs)
	}
	if c.Outputs[0] != (Output{ID: "bell", Board: "main", Line: "bell", Role: "siren", Active: "high", MaxOn: 3 * time.Minute}) ||
		c.Watchdog.Timeout != 15*time.Second {
		t.Errorf("outputs = %+v, %+v", c.Outputs, c.Watchdog)
	}
}
