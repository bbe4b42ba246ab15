// A village's box is a shelf of parts and the cables that leave it: terminals, chips, loops, a battery, and slaves on a serial
// line. A page of text describes it, and people work it by words: cut this cable, fail the mains, touch that key.
package box

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
)

// maxPlan is the longest description of a box, in bytes.
const maxPlan = 256 << 10

// Plan describes a box.
type Plan struct {
	Lines   []string          `yaml:"lines"`   // input terminals
	Outputs []string          `yaml:"outputs"` // output terminals
	Wires   map[string]string `yaml:"wires"`   // from an output to the input that follows it
	Buses   []Bus             `yaml:"buses"`
	Loops   []Loop            `yaml:"loops"`
	Levels  []Level           `yaml:"levels"`
	Battery *Battery          `yaml:"battery"`
	Modbus  []Modbus          `yaml:"modbus"`
}

// Bus is a bus of chips.
type Bus struct {
	Name  string `yaml:"name"`
	Kind  string `yaml:"kind"` // i2c or onewire
	Chips []Chip `yaml:"chips"`
}

// Chip is one chip; which of the fields count depends on what it is.
type Chip struct {
	Name       string   `yaml:"name"`
	Chip       string   `yaml:"chip"`        // ads1115, mcp23017, ina219, bme280, ds3231, ds18b20 or ds1990a
	Address    uint16   `yaml:"address"`     // on I2C
	Serial     uint64   `yaml:"serial"`      // on 1-wire: 48 bits of the code
	Reference  *int     `yaml:"reference"`   // of an ADS1115: the input at the excitation of 3.3 V, default 3
	Interrupt  string   `yaml:"interrupt"`   // of an MCP23017: the line that INTA and INTB pull low
	Shunt      float64  `yaml:"shunt"`       // of an INA219 at the battery, in ohm, default 0.1
	Volts      *float64 `yaml:"volts"`       // of an INA219 that is not at the battery
	Parasite   bool     `yaml:"parasite"`    // of a DS18B20 that lives from the wire
	NeverRight bool     `yaml:"never_right"` // of a DS3231 that was never set
}

// Loop is a supervised cable at an input of an ADS1115.
type Loop struct {
	Name    string `yaml:"name"`
	ADC     string `yaml:"adc"` // name of the chip
	Channel int    `yaml:"channel"`
	Scheme  string `yaml:"scheme"` // 4k7-dual, 10k-dual, 5k6-single or 4k7-22k-mask
}

// Level is a 4–20 mA transmitter over a shunt at an input of an ADS1115.
type Level struct {
	Name    string  `yaml:"name"`
	ADC     string  `yaml:"adc"`
	Channel int     `yaml:"channel"`
	Shunt   float64 `yaml:"shunt"` // ohm, default 120
	MA      float64 `yaml:"ma"`    // to begin with, default 12
}

// Battery is the battery that each INA219 without volts of its own measures.
type Battery struct {
	Capacity float64 `yaml:"capacity"` // watt-hours, default 84 (7 Ah)
	Load     float64 `yaml:"load"`     // watts, default 6
	Charger  float64 `yaml:"charger"`  // watts, default 20
}

// Modbus is a serial line or a TCP port with slaves.
type Modbus struct {
	Name   string  `yaml:"name"`
	Link   string  `yaml:"link"`   // of a serial line: path of a link to the station's side
	Listen string  `yaml:"listen"` // of TCP: host:port
	Slaves []Slave `yaml:"slaves"`
}

// Slave is one slave; its number is unique in the box.
type Slave struct {
	Unit     byte              `yaml:"unit"`
	Coils    map[uint16]uint16 `yaml:"coils"`
	Discrete map[uint16]uint16 `yaml:"discrete"`
	Holding  map[uint16]uint16 `yaml:"holding"`
	Input    map[uint16]uint16 `yaml:"input"`
}

// Parse reads a description; what it does not know is an error that names the line.
func Parse(text []byte) (Plan, error) {
	var p Plan
	if len(text) > maxPlan {
		return p, fmt.Errorf("a box of %d bytes: at most %d", len(text), maxPlan)
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return p, fmt.Errorf("reading a box: %w", err)
	}
	return p, nil
}
