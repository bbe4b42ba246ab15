package config

import (
	"strings"
	"testing"
	"time"
)

func TestMistakesInSensors(t *testing.T) {
	const river = "chip: level, adc: loops-1, channel: 2, span: 5m, shunt: 120"
	explained(t, []mistake{
		{"unknown chip", "chip: bme280 ", "chip: bmp280 ", "sensors[0].chip", "did you mean bme280?"},
		{"address", "address: 0x76 ", "address: 0x75 ", "sensors[0].address", "0x76 to 0x77"},
		{"too often", "every: 10s ", "every: 10ms ", "sensors[0].every", "outside 1s to 1h0m0s"},
		{"report", "report: 10m ", "report: 1s ", "sensors[0].report", "outside 10s to 24h0m0s"},
		{"not measured", "low: {temperature: 2}", "low: {temperatur: 2}", "sensors[0].low", "did you mean temperature?"},
		{"upside down", "low: {temperature: 2}", "low: {temperature: 50}", "sensors[0].low", "50 is not below high, 40"},
		{"limit that is none", "low: {temperature: 2}", "low: {temperature: .nan}", "sensors[0].low", "NaN is outside"},
		{"severity", "severity: warning          # of a value", "severity: trace # of a value", "sensors[0].severity", "no word for it"},
		{"1-wire on i2c", "chip: ds18b20, bus: wire", "chip: ds18b20, bus: chips", "sensors[1].bus", "no onewire bus"},
		{"family", "rom: 28-0316a2795cff", "rom: 01-0316a2795cff", "sensors[1].rom", "family 28"},
		{"rom", "rom: 28-0316a2795cff", "rom: 28-0316a2795c", "sensors[1].rom", "16 hex digits on the button"},
		{"channel of the supply", river, strings.Replace(river, "channel: 2", "channel: 3", 1), "sensors[4].channel", "reads the loops' supply"},
		{"channel of a loop", river, strings.Replace(river, "channel: 2", "channel: 0", 1), "sensors[4].channel", "that of zone window already"},
		{"span without a unit", river, strings.Replace(river, "span: 5m", "span: 5", 1), "sensors[4].span", "m or mm"},
		{"span of a puddle", river, strings.Replace(river, "span: 5m", "span: 50mm", 1), "sensors[4].span", "outside 100 to 100000"},
		{"shunt", river, strings.Replace(river, "shunt: 120", "shunt: 0.1", 1), "sensors[4].shunt", "outside 10 to 270"},
		{"shunt past the ADC", river, strings.Replace(river, "shunt: 120", "shunt: 271", 1), "sensors[4].shunt", "outside 10 to 270"},
		{"bus of a level", river, river + ", bus: chips", "sensors[4].bus", "has none"},
		{"register", "register: holding 100", "register: 40100", "sensors[5].modbus.register", "such as holding 100"},
		{"register past the map", "register: holding 100", "register: holding 65536", "sensors[5].modbus.register", "such as holding 100"},
		{"type", "type: uint16, scale", "type: uint61, scale", "sensors[5].modbus.type", "did you mean uint16?"},
		{"scale", "scale: 0.1,", "scale: .inf,", "sensors[5].modbus.scale", "outside"},
		{"unit name", "unit_name: V}", "unit_name: volts of the mains}", "sensors[5].modbus.unit_name", "at most 16 bytes"},
		{"limit of a register", "low: {value: 198}", "low: {voltage: 198}", "sensors[5].low", "did you mean value?"},
		{"mains", "mains_after: 30s", "mains_after: 1h", "power.mains_after", "outside 10s to 1m0s"},
		{"battery", "low: 11.6}", "low: 116}", "power.low", "outside 5 to 60"},
		{"no chip for the power", "power: {bus: chips, address: 0x41", "power: {address: 0x41", "power.bus", "missing"},
	})
}

func TestAChipOrARegister(t *testing.T) {
	for says, sensor := range map[string]string{
		"a sensor is a chip or a modbus register: keep one": "{id: a, chip: bme280, bus: chips, modbus: {bus: plc, unit: 1, register: input 0}}",
		`sensors[0].chip: "" is no word for it`:             "{id: a}",
		"sensors[0].modbus.register: missing":               "{id: a, modbus: {bus: plc, unit: 1}}",
	} {
		_, err := Parse("s.yaml", []byte(`
station: {id: cs-one, jurisdiction: changshan}
buses: [{id: chips, kind: i2c, device: /dev/i2c-1}, {id: plc, kind: tcp, address: "192.0.2.7:502"}]
sensors: [`+sensor+"]\n"))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", sensor, err, says)
		}
	}
}

func TestDefaultsOfSensors(t *testing.T) {
	c, err := Parse("s.yaml", []byte(`
station: {id: cs-one, jurisdiction: changshan}
buses: [{id: chips, kind: i2c, device: /dev/i2c-1}, {id: plc, kind: tcp, address: "192.0.2.7:502"}]
adcs: [{id: a, bus: chips}]
sensors:
  - {id: cellar, chip: bme280, bus: chips}
  - {id: solar, chip: ina219, bus: chips, address: 0x41, report: 0s}
  - {id: clock, chip: ds3231, bus: chips}
  - {id: river, chip: level, adc: a, span: 2.5m}
  - {id: meter, modbus: {bus: plc, unit: 1, register: input 7}}
power: {bus: chips}
`))
	if err != nil {
		t.Fatal(err)
	}
	v := c.Sensors
	if v[0].Address != 0x76 || v[0].Every != 10*time.Second || v[0].Report != 10*time.Minute || v[0].Severity != "warning" {
		t.Errorf("bme280: %+v", v[0])
	}
	if v[1].Address != 0x41 || v[1].Shunt != 0.1 || v[1].Report != 0 || v[2].Address != 0x68 || v[3].Shunt != 120 || v[3].Span != 2500 {
		t.Errorf("ina219 %+v\nds3231 %+v\nlevel %+v", v[1], v[2], v[3])
	}
	if v[4].Modbus != (Register{"plc", 1, RegisterName{"input", 7}, "uint16", 1, ""}) {
		t.Errorf("modbus %+v", v[4].Modbus)
	}
	if c.Power != (Power{"chips", 0x40, 0.1, 30 * time.Second, 11.6}) {
		t.Errorf("power %+v", c.Power)
	}
}
