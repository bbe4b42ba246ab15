package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// KindTest is the kind of the zone that the daily test alarm comes in by.
const KindTest = "test"

// ZoneKinds are what a zone may be for, and the SIA code (DC-03) of its alarm.
func ZoneKinds() map[string]string {
	return map[string]string{
		"intrusion": "BA", "panic": "PA", "hold-up": "HA", "tamper": "TA", "fire": "FA", "gas": "GA", "co": "GA", "flood": "WA",
		"medical": "MA", KindTest: "RP",
	}
}

// Zone is one supervised input: on a line of a board, in a loop on an ADC, or an input of a Modbus slave.
type Zone struct {
	ID       string        `yaml:"id"`
	Name     string        `yaml:"name"`
	Board    string        `yaml:"board"`
	Line     string        `yaml:"line"`
	Loop     Loop          `yaml:"loop"`
	Modbus   Input         `yaml:"modbus"`
	Rest     string        `yaml:"rest"` // closed or open; of a line or a Modbus input
	Kind     string        `yaml:"kind"` // a key of ZoneKinds
	Debounce time.Duration `yaml:"debounce"`
	Severity string        `yaml:"severity"` // alarm, warning or notice; of a zone without a partition
	Camera   string        `yaml:"camera"`

	Partition string   `yaml:"partition"` // "" = always on, an event of the severity above
	Entry     bool     `yaml:"entry"`     // a way in: begins the entry delay
	Follow    bool     `yaml:"follow"`    // waits with an entry delay that runs already
	Modes     []string `yaml:"modes"`     // of away, stay, night: when it counts; empty = all
	Swinger   int      `yaml:"swinger"`   // alarms of one armed period that silence it, 1 to 6; 0 = never
	Confirm   string   `yaml:"confirm"`   // group of zones of which several must be active
}

// Loop is a resistor-supervised loop on one channel of an ADC.
type Loop struct {
	ADC     string `yaml:"adc"`
	Channel int    `yaml:"channel"` // 0 to 3
	Scheme  string `yaml:"scheme"`  // one of LoopSchemes
}

// LoopSchemes are the resistors that a loop may be ended with, as installers name them.
func LoopSchemes() []string { return []string{"4k7-dual", "10k-dual", "5k6-single", "4k7-22k-mask"} }

// Input is one discrete input of a Modbus slave.
type Input struct {
	Bus   string `yaml:"bus"`
	Unit  int    `yaml:"unit"`  // 1 to 247
	Input int    `yaml:"input"` // from 0
}

// maxZones bounds the station's own zones; a panel's are its own.
const maxZones = 320

func (c *Config) fillZones() {
	for i := range c.Zones {
		c.Zones[i].Rest = cmp.Or(c.Zones[i].Rest, "closed")
		c.Zones[i].Kind = cmp.Or(c.Zones[i].Kind, "intrusion")
		c.Zones[i].Severity = cmp.Or(c.Zones[i].Severity, "alarm")
	}
}

func (c *Config) validateZones(s *sheet, p *plant, cameras, partitions []string) {
	zones := map[string]bool{}
	for i, z := range c.Zones {
		key := fmt.Sprintf("zones[%d]", i)
		s.id(key+".id", z.ID, zones)
		c.validateZoneWire(s, p, key, z)
		s.word(key+".rest", z.Rest, "closed", "open")
		s.word(key+".kind", z.Kind, slices.Sorted(maps.Keys(ZoneKinds()))...)
		s.word(key+".severity", z.Severity, "alarm", "warning", "notice")
		s.between(key+".debounce", z.Debounce, 0, time.Second)
		s.known(key+".camera", z.Camera, "camera", cameras)
		c.validateZoneArming(s, key, z, partitions)
	}
}

// validateZoneWire complains unless the zone has exactly one wire.
func (c *Config) validateZoneWire(s *sheet, p *plant, key string, z Zone) {
	user := "zone " + z.ID
	onLine, loop, modbus := z.Board != "" || z.Line != "", z.Loop != Loop{}, z.Modbus != Input{}
	switch {
	case onLine && loop, onLine && modbus, loop && modbus:
		s.add(key, "zone %s has two wires: keep one of board and line, loop, modbus", z.ID)
	case loop:
		p.channel(s, c.ADCs, key+".loop", z.Loop.ADC, z.Loop.Channel, user)
		s.word(key+".loop.scheme", z.Loop.Scheme, LoopSchemes()...)
		s.foreign(key+".rest", false, "the loop's scheme says how it rests: leave it out")
	case modbus:
		p.slave(s, key+".modbus", z.Modbus.Bus, z.Modbus.Unit)
		s.within(key+".modbus.input", z.Modbus.Input, 0, 65535)
	default:
		p.line(s, key, z.Board, z.Line, user)
	}
	s.foreign(key+".debounce", !loop && !modbus, "only a line is debounced: leave it out")
}

// channel takes one channel of an ADC for user.
func (p *plant) channel(s *sheet, adcs []ADC, key, adc string, channel int, user string) {
	s.required(key+".adc", adc, "the id of the adc that measures it")
	s.known(key+".adc", adc, "adc", p.adcs)
	s.within(key+".channel", channel, 0, 3)
	for _, a := range adcs {
		if a.ID == adc && a.Reference == channel {
			s.add(key+".channel", "channel %d of adc %q reads the loops' supply: take another one", channel, adc)
		}
	}
	at := fmt.Sprintf("%s:%d", adc, channel)
	if p.chips[at] != "" {
		s.add(key+".channel", "channel %d of adc %q is that of %s already", channel, adc, p.chips[at])
	}
	p.chips[at] = user
}

// slave complains of a Modbus slave that cannot be.
func (p *plant) slave(s *sheet, key, bus string, unit int) {
	s.required(key+".bus", bus, "the id of the serial or tcp bus that the slave is on")
	s.known(key+".bus", bus, "serial or tcp bus", slices.Concat(p.buses[BusSerial], p.buses[BusTCP]))
	s.within(key+".unit", unit, 1, 247)
}

func (c *Config) validateZoneArming(s *sheet, key string, z Zone, partitions []string) {
	s.known(key+".partition", z.Partition, "partition", partitions)
	if z.Partition == "" {
		for _, name := range []string{"entry", "follow", "modes", "swinger", "confirm"} {
			s.foreign(key+"."+name, false, "only a zone with a partition has it: name the partition, or leave it out")
		}
		return
	}
	if z.Kind == KindTest {
		s.add(key+".partition", "the daily test is armed with nothing: leave partition out")
	}
	s.foreign(key+".severity", false, "the partition says when it is an alarm: leave severity out")
	if z.Entry && z.Follow {
		s.add(key+".follow", "an entry zone begins the delay, a follow zone waits with it: keep one")
	}
	for _, name := range []string{"entry", "follow", "modes", "confirm"} {
		s.foreign(key+"."+name, z.Kind == "intrusion", "only a zone of kind intrusion has it: a %s counts at any hour", z.Kind)
	}
	for j, m := range z.Modes {
		s.word(fmt.Sprintf("%s.modes[%d]", key, j), m, Modes()...)
	}
	s.within(key+".swinger", z.Swinger, 0, 6)
	if z.Confirm != "" {
		s.id(key+".confirm", z.Confirm, nil)
	}
}
