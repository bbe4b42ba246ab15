package config

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Reader is a card reader that arms and disarms a partition: the card of a user is touched to it, or held before it.
type Reader struct {
	ID        string `yaml:"id"`
	Bus       string `yaml:"bus"` // the onewire bus of a reader of iButtons
	OSDP      OSDP   `yaml:"osdp"`
	Partition string `yaml:"partition"`
	Mode      string `yaml:"mode"` // that it arms in: away (default), stay or night
}

// OSDP is where a reader of cards hangs on an RS-485 line, and how it is believed.
type OSDP struct {
	Bus     string `yaml:"bus"`     // a serial bus that has readers only
	Address int    `yaml:"address"` // 0 to 126
	KeyHex  string `yaml:"key_hex"` // its base key (SCBK), 32 hex digits
	Plain   bool   `yaml:"plain"`   // believe it without a key, and so whoever gets at its wire
}

func (c *Config) fillReaders() {
	for i := range c.Readers {
		c.Readers[i].Mode = cmp.Or(c.Readers[i].Mode, "away")
	}
}

func (c *Config) validateReaders(s *sheet, p *plant, partitions []string) {
	seen, buses := map[string]bool{}, map[string]string{}
	for i, r := range c.Readers {
		key := fmt.Sprintf("readers[%d]", i)
		s.id(key+".id", r.ID, seen)
		if r.OSDP != (OSDP{}) {
			c.validateOSDP(s, key, r, p)
		} else {
			s.required(key+".bus", r.Bus, "the id of the onewire bus of its reader, or osdp for a reader on RS-485")
			s.known(key+".bus", r.Bus, "onewire bus", p.buses[BusOneWire])
			if other := buses[r.Bus]; other != "" && r.Bus != "" {
				s.add(key+".bus", "bus %q is that of reader %s: a touch would be of both, each reader needs a bus of its own", r.Bus, other)
			}
			buses[r.Bus] = r.ID
		}
		s.required(key+".partition", r.Partition, "the id of the partition that it arms")
		s.known(key+".partition", r.Partition, "partition", partitions)
		s.word(key+".mode", r.Mode, Modes()...)
	}
	if len(c.Readers) > 0 && !slices.ContainsFunc(c.Users, func(u User) bool { return len(u.Cards) > 0 }) {
		s.add("readers", "no user has a card: give users cards, or leave readers out")
	}
	c.validateShared(s, buses)
}

// defaultKey is what readers come with from the factory (SIA OSDP v2.2 Annex D.1.2).
const defaultKey = "303132333435363738393a3b3c3d3e3f"

// validateOSDP complains of a reader on RS-485 that cannot be, or would be believed without anybody having said so.
func (c *Config) validateOSDP(s *sheet, key string, r Reader, p *plant) {
	if r.Bus != "" {
		s.add(key+".osdp", "both a onewire bus and an OSDP reader: keep one")
	}
	if slices.ContainsFunc(c.Zones, func(z Zone) bool { return z.ID == r.ID }) {
		s.add(key+".id", "%q is a zone already, and the reader has a zone of its name for its tamper switch", r.ID)
	}
	key += ".osdp"
	o := r.OSDP
	s.required(key+".bus", o.Bus, "the id of the serial bus that the reader is on")
	s.known(key+".bus", o.Bus, "serial bus", p.buses[BusSerial])
	slave := slices.ContainsFunc(c.Zones, func(z Zone) bool { return z.Modbus.Bus == o.Bus }) ||
		slices.ContainsFunc(c.Sensors, func(v Sensor) bool { return v.Modbus.Bus == o.Bus })
	if slave && o.Bus != "" {
		s.add(key+".bus", "bus %q has Modbus slaves: readers need a line of their own", o.Bus)
	}
	s.within(key+".address", o.Address, 0, 126)
	at := fmt.Sprintf("%s/%d", o.Bus, o.Address)
	if other := p.chips[at]; other != "" {
		s.add(key+".address", "%d on bus %q is %s already: each reader needs an address of its own", o.Address, o.Bus, other)
	}
	p.chips[at] = "reader " + r.ID
	switch raw, err := hex.DecodeString(o.KeyHex); {
	case o.Plain && o.KeyHex != "":
		s.add(key+".plain", "a reader with a key is not believed in plain: keep one")
	case o.Plain:
	case o.KeyHex == "":
		s.add(key+".key_hex", "missing: make one with openssl rand -hex 16; plain: true would believe whoever gets at the wire")
	case err != nil || len(raw) != 16:
		s.add(key+".key_hex", "want 32 hex digits")
	case strings.EqualFold(o.KeyHex, defaultKey):
		s.add(key+".key_hex", "this is the key that readers come with, which everybody knows: make one with openssl rand -hex 16")
	}
}

// validateShared complains of buttons that would both walk a tour and arm. A checkpoint and a reader on one bus are one place
// to touch: that is sound as long as the button says which of the two is meant.
func (c *Config) validateShared(s *sheet, readers map[string]string) {
	owners := map[string]string{}
	for _, u := range c.Users {
		for _, card := range u.Cards {
			owners[card.String()] = u.ID
		}
	}
	for i, t := range c.Tours {
		for _, point := range t.Checkpoints {
			if readers[point.Bus] == "" {
				continue
			}
			for j, g := range t.Roster {
				if who := owners[g.Button.String()]; who != "" {
					s.add(fmt.Sprintf("tours[%d].roster[%d].button", i, j),
						"%s is also a card of user %s, and checkpoint %s is on the bus of reader %s: one touch would be both; take another button, or another bus",
						g.Button, who, point.ID, readers[point.Bus])
				}
			}
		}
	}
}
