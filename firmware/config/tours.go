package config

import (
	"fmt"
	"regexp"
)

// Tour is a guard's round: at each checkpoint hangs an iButton reader, and the guard touches it with a button of his own.
type Tour struct {
	ID          string       `yaml:"id"`
	Name        string       `yaml:"name"`
	Checkpoints []Checkpoint `yaml:"checkpoints"`
	Order       bool         `yaml:"order"`   // in the order given
	Windows     []string     `yaml:"windows"` // HH:MM-HH:MM local time, each a round that is due; may pass midnight
	Roster      []Guard      `yaml:"roster"`
}

// Checkpoint is one reader of a tour.
type Checkpoint struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
	Bus  string `yaml:"bus"` // the onewire bus of its reader
}

// Guard is somebody who walks a tour.
type Guard struct {
	Button ROM    `yaml:"button"`
	Name   string `yaml:"name"`
}

// window is a span of local time within a day, which may pass midnight.
func (s *sheet) window(key, v string) {
	switch m := regexp.MustCompile(`^((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d|24:00)$`).FindStringSubmatch(v); {
	case m == nil:
		s.add(key, "%q: want HH:MM-HH:MM, such as 22:00-23:00", v)
	case m[1] == m[2]:
		s.add(key, "%q begins and ends at the same time", v)
	}
}

func (c *Config) validateTours(s *sheet, p *plant) {
	seen := map[string]bool{}
	for i, t := range c.Tours {
		key := fmt.Sprintf("tours[%d]", i)
		s.id(key+".id", t.ID, seen)
		if len(t.Checkpoints) == 0 {
			s.add(key+".checkpoints", "missing: name the readers that the guard passes")
		}
		if len(t.Roster) == 0 {
			s.add(key+".roster", "missing: name the guards and their buttons")
		}
		if len(t.Windows) == 0 {
			s.add(key+".windows", "missing: say when a round is due, such as 22:00-23:00")
		}
		points, buses, buttons := map[string]bool{}, map[string]bool{}, map[ROM]bool{}
		for j, point := range t.Checkpoints {
			key := fmt.Sprintf("%s.checkpoints[%d]", key, j)
			s.id(key+".id", point.ID, points)
			s.required(key+".bus", point.Bus, "the id of the onewire bus of its reader")
			s.known(key+".bus", point.Bus, "onewire bus", p.buses[BusOneWire])
			if buses[point.Bus] && point.Bus != "" {
				s.add(key+".bus", "bus %q is that of another checkpoint: each reader needs a bus of its own", point.Bus)
			}
			buses[point.Bus] = true
		}
		for j, g := range t.Roster {
			key := fmt.Sprintf("%s.roster[%d]", key, j)
			s.required(key+".name", g.Name, "who carries the button")
			switch {
			case g.Button == 0:
				s.add(key+".button", "missing: the code of the guard's iButton, such as 01-00000fb3a2c1")
			case buttons[g.Button]:
				s.add(key+".button", "%s is another guard's already", g.Button)
			}
			buttons[g.Button] = true
		}
		for j, w := range t.Windows {
			s.window(fmt.Sprintf("%s.windows[%d]", key, j), w)
		}
	}
}
