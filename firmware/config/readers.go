package config

import (
	"cmp"
	"fmt"
	"slices"
)

// Reader is a card reader that arms and disarms a partition: the card of a user is touched to it, or held before it.
type Reader struct {
	ID        string `yaml:"id"`
	Bus       string `yaml:"bus"` // the onewire bus of a reader of iButtons
	Partition string `yaml:"partition"`
	Mode      string `yaml:"mode"` // that it arms in: away (default), stay or night
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
		s.required(key+".bus", r.Bus, "the id of the onewire bus of its reader")
		s.known(key+".bus", r.Bus, "onewire bus", p.buses[BusOneWire])
		if other := buses[r.Bus]; other != "" && r.Bus != "" {
			s.add(key+".bus", "bus %q is that of reader %s: a touch would be of both, each reader needs a bus of its own", r.Bus, other)
		}
		buses[r.Bus] = r.ID
		s.required(key+".partition", r.Partition, "the id of the partition that it arms")
		s.known(key+".partition", r.Partition, "partition", partitions)
		s.word(key+".mode", r.Mode, Modes()...)
	}
	if len(c.Readers) > 0 && !slices.ContainsFunc(c.Users, func(u User) bool { return len(u.Cards) > 0 }) {
		s.add("readers", "no user has a card: give users cards, or leave readers out")
	}
	c.validateShared(s, buses)
}

// validateShared complains of buttons that would both walk a tour and arm. A checkpoint and a reader on one bus are one place
// to touch: that is sound as long as the button says which of the two is meant.
func (c *Config) validateShared(s *sheet, readers map[string]string) {
	owners := map[ROM]string{}
	for _, u := range c.Users {
		for _, rom := range u.Cards {
			owners[rom] = u.ID
		}
	}
	for i, t := range c.Tours {
		for _, point := range t.Checkpoints {
			if readers[point.Bus] == "" {
				continue
			}
			for j, g := range t.Roster {
				if who := owners[g.Button]; who != "" {
					s.add(fmt.Sprintf("tours[%d].roster[%d].button", i, j),
						"%s is also a card of user %s, and checkpoint %s is on the bus of reader %s: one touch would be both; take another button, or another bus",
						g.Button, who, point.ID, readers[point.Bus])
				}
			}
		}
	}
}
