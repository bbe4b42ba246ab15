package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sensor is what is measured now and then: by a chip, by a level transmitter on an ADC, or by a Modbus slave.
type Sensor struct {
	ID      string `yaml:"id"`
	Name    string `yaml:"name"`
	Chip    string `yaml:"chip"` // a key of SensorChips
	Bus     string `yaml:"bus"`
	Address int    `yaml:"address"` // on an i2c bus; default: the chip's first
	ROM     ROM    `yaml:"rom"`     // on a onewire bus

	ADC     string  `yaml:"adc"` // level
	Channel int     `yaml:"channel"`
	Span    Length  `yaml:"span"`  // level: what 20 mA mean
	Shunt   float64 `yaml:"shunt"` // in ohm: level, 10 to 270, default 120; ina219, 0.001 to 10, default 0.1

	Modbus Register `yaml:"modbus"`

	Every    time.Duration      `yaml:"every"`  // 1 s to 1 h, default 10 s
	Report   time.Duration      `yaml:"report"` // of the value as it is; 0 (never) or 10 s to 24 h, default 10 min
	Low      map[string]float64 `yaml:"low"`    // by what is measured, in the unit of SensorChips
	High     map[string]float64 `yaml:"high"`
	Severity string             `yaml:"severity"` // of a value outside its limits: warning (default), alarm or notice
}

// SensorChips are what a sensor may be, and what each measures, with the unit that limits are written in.
func SensorChips() map[string]map[string]string {
	return map[string]map[string]string{
		"bme280":  {"temperature": "°C", "humidity": "%", "pressure": "hPa"},
		"ds18b20": {"temperature": "°C"},
		"ds3231":  {"temperature": "°C"},
		"ina219":  {"voltage": "V", "current": "A"},
		"level":   {"level": "mm"},
	}
}

// MeasuredByModbus is what the limits of a Modbus sensor call its value, in its own unit.
const MeasuredByModbus = "value"

// Register is one value in the registers of a Modbus slave.
type Register struct {
	Bus      string       `yaml:"bus"`
	Unit     int          `yaml:"unit"` // 1 to 247
	Register RegisterName `yaml:"register"`
	Type     string       `yaml:"type"`      // uint16 (default), int16, uint32, int32 or float32; two registers are high word first
	Scale    float64      `yaml:"scale"`     // the value is the register times this; default 1
	UnitName string       `yaml:"unit_name"` // for people, such as V; at most 16 bytes
}

// RegisterName is a register's table and number, written as "holding 100".
type RegisterName struct {
	Table  string // holding or input
	Number uint16 // from 0, as it goes over the wire
}

// UnmarshalText reads a table and a number.
func (r *RegisterName) UnmarshalText(b []byte) error {
	table, number, _ := strings.Cut(string(b), " ")
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 16)
	if err != nil || table != "holding" && table != "input" {
		return fmt.Errorf("register %.40q: want holding or input and a number from 0, such as holding 100", b)
	}
	*r = RegisterName{table, uint16(n)}
	return nil
}

// Length is in millimetres, written as 5m, 2.5m or 3200mm.
type Length int64

// UnmarshalText reads a number with its unit.
func (l *Length) UnmarshalText(b []byte) error {
	text, factor := string(b), 1.0
	number, ok := strings.CutSuffix(text, "mm")
	if !ok {
		number, ok = strings.CutSuffix(text, "m")
		factor = 1000
	}
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v >= 0 && v*factor <= 1e9) {
		return fmt.Errorf("length %.40q: want a number with m or mm, such as 5m", text)
	}
	*l = Length(v*factor + 0.5)
	return nil
}

// Power is the chip between the mains supply, the battery and the station; without a Bus there is none.
type Power struct {
	Bus        string        `yaml:"bus"`
	Address    int           `yaml:"address"`     // of the INA219, default 0x40
	Shunt      float64       `yaml:"shunt"`       // in ohm, default 0.1
	MainsAfter time.Duration `yaml:"mains_after"` // how long on battery is a mains failure, 10 s (default 30 s) to 1 min
	Low        float64       `yaml:"low"`         // battery low, in volt: 5 to 60, default 11.6
}

func (c *Config) fillSensors(s *sheet) {
	for i := range c.Sensors {
		v := &c.Sensors[i]
		v.Every, v.Severity = cmp.Or(v.Every, 10*time.Second), cmp.Or(v.Severity, "warning")
		if !s.given(fmt.Sprintf("sensors[%d].report", i)) {
			v.Report = 10 * time.Minute
		}
		switch v.Chip {
		case "bme280":
			v.Address = cmp.Or(v.Address, 0x76)
		case "ds3231":
			v.Address = cmp.Or(v.Address, 0x68)
		case "ina219":
			v.Address, v.Shunt = cmp.Or(v.Address, 0x40), cmp.Or(v.Shunt, 0.1)
		case "level":
			v.Shunt = cmp.Or(v.Shunt, 120)
		}
		if v.Modbus != (Register{}) {
			v.Modbus.Type, v.Modbus.Scale = cmp.Or(v.Modbus.Type, "uint16"), cmp.Or(v.Modbus.Scale, 1)
		}
	}
	if c.Power.Bus != "" {
		w := &c.Power
		w.Address, w.Shunt, w.Low = cmp.Or(w.Address, 0x40), cmp.Or(w.Shunt, 0.1), cmp.Or(w.Low, 11.6)
		w.MainsAfter = cmp.Or(w.MainsAfter, 30*time.Second)
	}
}

func (c *Config) validateSensors(s *sheet, p *plant) {
	seen := map[string]bool{}
	for i, v := range c.Sensors {
		key := fmt.Sprintf("sensors[%d]", i)
		s.id(key+".id", v.ID, seen)
		c.validateSensorWire(s, p, key, v)
		s.between(key+".every", v.Every, time.Second, time.Hour)
		if v.Report != 0 {
			s.between(key+".report", v.Report, 10*time.Second, 24*time.Hour)
		}
		s.word(key+".severity", v.Severity, "alarm", "warning", "notice")
		c.validateLimits(s, key, v)
	}
	if c.Power == (Power{}) {
		return
	}
	p.chip(s, "power", c.Power.Bus, c.Power.Address, 0x40, 0x4f, "power")
	s.real("power.shunt", c.Power.Shunt, 0.001, 10)
	s.real("power.low", c.Power.Low, 5, 60)
	s.between("power.mains_after", c.Power.MainsAfter, 10*time.Second, time.Minute)
}

// validateSensorWire complains unless the sensor is one chip, or one register.
func (c *Config) validateSensorWire(s *sheet, p *plant, key string, v Sensor) {
	user := "sensor " + v.ID
	modbus := v.Modbus != Register{}
	if modbus && v.Chip != "" {
		s.add(key+".chip", "a sensor is a chip or a modbus register: keep one")
		return
	}
	switch v.Chip {
	case "bme280":
		p.chip(s, key, v.Bus, v.Address, 0x76, 0x77, user)
	case "ds3231":
		p.chip(s, key, v.Bus, v.Address, 0x68, 0x68, user)
	case "ina219":
		p.chip(s, key, v.Bus, v.Address, 0x40, 0x4f, user)
		s.real(key+".shunt", v.Shunt, 0.001, 10)
	case "ds18b20":
		s.required(key+".bus", v.Bus, "the id of the onewire bus that the chip is on")
		s.known(key+".bus", v.Bus, "onewire bus", p.buses[BusOneWire])
		if byte(v.ROM) != 0x28 {
			s.add(key+".rom", "want the chip's code, such as 28-0316a2795cff: a DS18B20 is of family 28")
		}
	case "level":
		p.channel(s, c.ADCs, key, v.ADC, v.Channel, user)
		s.real(key+".shunt", v.Shunt, 10, 270) // so that 22 mA are within 6 V
		s.within(key+".span", int(v.Span), 100, 100_000)
	default:
		if modbus {
			c.validateRegister(s, p, key+".modbus", v.Modbus)
		} else {
			s.word(key+".chip", v.Chip, slices.Sorted(maps.Keys(SensorChips()))...)
		}
	}
	i2c, level := v.Chip != "ds18b20" && v.Chip != "level" && !modbus, v.Chip == "level"
	for _, k := range []struct {
		name string
		here bool
	}{
		{"bus", !level && !modbus}, {"address", i2c}, {"rom", v.Chip == "ds18b20"},
		{"adc", level}, {"channel", level}, {"span", level}, {"shunt", level || v.Chip == "ina219"},
	} {
		s.foreign(key+"."+k.name, k.here, "a sensor of this sort has none: leave it out")
	}
}

func (c *Config) validateRegister(s *sheet, p *plant, key string, r Register) {
	p.slave(s, key, r.Bus, r.Unit)
	s.required(key+".register", r.Register.Table, "the register, such as holding 100")
	s.word(key+".type", r.Type, "uint16", "int16", "uint32", "int32", "float32")
	if len(r.UnitName) > 16 {
		s.add(key+".unit_name", "at most 16 bytes")
	}
	if !(r.Scale >= -1e6 && r.Scale <= 1e6) {
		s.add(key+".scale", "%v is outside -1000000 to 1000000", r.Scale)
	}
}

// maxLimit is the largest limit of a sensor, in any unit.
const maxLimit = 1e9

// validateLimits holds the limits to what the sensor measures.
func (c *Config) validateLimits(s *sheet, key string, v Sensor) {
	measured := slices.Sorted(maps.Keys(SensorChips()[v.Chip]))
	if v.Modbus != (Register{}) {
		measured = []string{MeasuredByModbus}
	}
	if len(measured) == 0 {
		return // that the chip is unknown was told
	}
	for _, limits := range []struct {
		name   string
		values map[string]float64
	}{{"low", v.Low}, {"high", v.High}} {
		for _, what := range slices.Sorted(maps.Keys(limits.values)) {
			if !slices.Contains(measured, what) {
				s.add(key+"."+limits.name, "this sensor measures no %q%s", what, nearest(what, measured))
			} else {
				s.real(key+"."+limits.name, limits.values[what], -maxLimit, maxLimit)
			}
		}
	}
	for what, low := range v.Low {
		if high, ok := v.High[what]; ok && low >= high {
			s.add(key+".low", "%s: %v is not below high, %v", what, low, high)
		}
	}
}
