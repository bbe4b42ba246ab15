package config

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// validateTest holds the daily test alarm and its zone to each other. The zones must be valid.
func (c *Config) validateTest(s *sheet) {
	at := -1 // the test zone's index
	var ids []string
	for i, z := range c.Zones {
		key := fmt.Sprintf("zones[%d]", i)
		switch {
		case z.Kind != KindTest:
			continue
		case at >= 0:
			ids = append(ids, z.ID)
			s.add(key+".kind", "zone %s is for the daily test already: one is enough", c.Zones[at].ID)
			continue
		case z.Severity != "alarm":
			s.add(key+".severity", "the daily test goes the way of an alarm: leave severity out")
		}
		at = i
		ids = append(ids, z.ID)
	}
	switch {
	case at < 0 && c.Test == (Test{}):
		return
	case at < 0:
		s.add("test", "there is no zone for it: give a zone kind: test, and wire an output of its board to the zone's line")
		return
	case c.Test == (Test{}):
		s.add(fmt.Sprintf("zones[%d].kind", at), "nothing tests by it: add test: {zone: %s, output: LINE}", c.Zones[at].ID)
		return
	}
	zone := c.Zones[at]
	if !slices.Contains(ids, c.Test.Zone) {
		s.add("test.zone", "%q is no zone of kind test%s", c.Test.Zone, nearest(c.Test.Zone, ids))
	}
	if !regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`).MatchString(c.Test.At) {
		s.add("test.at", "%q: want HH:MM, in quotes, such as \"04:00\"", c.Test.At)
	}
	s.between("test.within", c.Test.Within, 100*time.Millisecond, time.Minute)
	if !validLine(c.Test.Output) {
		s.add("test.output", "%q: want the name of an output line of board %s, 1 to 32 of a-z, 0-9, hyphen", c.Test.Output, zone.Board)
	}
	for _, z := range c.Zones {
		if z.Board == zone.Board && z.Line == c.Test.Output {
			s.add("test.output", "line %q feeds zone %s: name an output that is wired to line %q", z.Line, z.ID, zone.Line)
		}
	}
}

func validLine(name string) bool { return regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(name) }
