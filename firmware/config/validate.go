package config

import (
	"cmp"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

func defaults() *Config {
	return &Config{
		Data:     "data",
		Log:      Log{Reserve: 64 << 20, Keep: Keep{Main: 256 << 20, Read: 512 << 20, Trace: 64 << 20}},
		Viewings: Viewings{Max: 8, MaxDuration: 30 * time.Minute},
	}
}

// fill gives each entry of a list its defaults.
func (c *Config) fill(s *sheet) {
	c.fillWiring(s)
	c.fillZones()
	c.fillSensors(s)
	c.fillArming(s)
	c.fillReaders()
	for i := range c.Cameras {
		c.Cameras[i].Pull = cmp.Or(c.Cameras[i].Pull, "on-demand")
		c.Cameras[i].Linger = cmp.Or(c.Cameras[i].Linger, 10*time.Second)
	}
	for i := range c.Centres {
		c.Centres[i].Window = cmp.Or(c.Centres[i].Window, 64)
		c.Centres[i].Heartbeat = cmp.Or(c.Centres[i].Heartbeat, 30*time.Second)
		if c.Centres[i].Lanes == nil {
			c.Centres[i].Lanes = []string{"alarm", "main", "read", "trace"}
		}
	}
	if c.Test != (Test{}) {
		c.Test.At = cmp.Or(c.Test.At, "04:00")
		c.Test.Within = cmp.Or(c.Test.Within, 5*time.Second)
	}
	for i := range c.Panels.Accounts {
		c.Panels.Accounts[i].ID = strings.ToUpper(c.Panels.Accounts[i].ID)
	}
	c.fillReceivers(s)
}

func (s *sheet) sort() {
	slices.SortStableFunc(s.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// word complains unless v is one of words.
func (s *sheet) word(key, v string, words ...string) {
	if !slices.Contains(words, v) {
		s.add(key, "%q is no word for it%s", v, nearest(v, words))
	}
}

// id complains unless v may name a thing: it stands in topics, events and file names.
func (s *sheet) id(key, v string, seen map[string]bool) {
	switch {
	case v == "":
		s.add(key, "missing: give it a short name of a-z, 0-9 and -")
	case len(v) > 32 || !regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`).MatchString(v):
		s.add(key, "%q: only a-z, 0-9 and - may stand in it, at most 32", v)
	case seen[v]:
		s.add(key, "%q is there twice: each needs a name of its own", v)
	}
	if seen != nil {
		seen[v] = true
	}
}

func (s *sheet) required(key, v, remedy string) {
	if v == "" {
		s.add(key, "missing: %s", remedy)
	}
}

// given reports whether the file says anything under key.
func (s *sheet) given(key string) bool { return s.lines[key] != 0 }

// foreign complains of a key that is given where it says nothing.
func (s *sheet) foreign(key string, belongs bool, format string, args ...any) {
	if !belongs && s.given(key) {
		s.add(key, format, args...)
	}
}

// within complains of a whole number outside low to high.
func (s *sheet) within(key string, v, low, high int) {
	if v < low || v > high {
		s.add(key, "%d is outside %d to %d", v, low, high)
	}
}

// real complains of a number outside low to high, and of one that is none.
func (s *sheet) real(key string, v, low, high float64) {
	if !(v >= low && v <= high) {
		s.add(key, "%v is outside %v to %v", v, low, high)
	}
}

func (s *sheet) between(key string, v, low, high time.Duration) {
	if v < low || v > high {
		s.add(key, "%s is outside %s to %s", v, low, high)
	}
}

// known complains if v is given and is none of the ids.
func (s *sheet) known(key, v, what string, ids []string) {
	if v != "" && !slices.Contains(ids, v) {
		s.add(key, "no %s is called %q%s", what, v, nearest(v, ids))
	}
}

func (s *sheet) hostPort(key, v string) {
	if _, _, err := net.SplitHostPort(v); err != nil {
		s.add(key, "%q: want HOST:PORT, such as 127.0.0.1:5093", v)
	}
}

func (c *Config) validate(s *sheet) {
	s.id("station.id", c.Station.ID, nil)
	s.id("station.jurisdiction", c.Station.Jurisdiction, nil)
	c.validateLog(s)
	cameras := c.validateCameras(s)
	c.validateCounts(s)
	plant := c.validateWiring(s)
	partitions := c.validatePartitions(s, plant.outs)
	c.validateZones(s, plant, cameras, partitions)
	c.validateOutputs(s, plant)
	if len(s.problems) == 0 {
		c.validateGroups(s)
	}
	c.validateUsers(s, partitions)
	c.validateCodes(s)
	c.validateSensors(s, plant)
	c.validateTours(s, plant)
	c.validateReaders(s, plant, partitions)
	c.validateTest(s)
	c.validatePanels(s, cameras)
	c.validateReceivers(s, partitions)
	centres := c.validateCentres(s)
	c.validateAccess(s, centres, cameras)
	if c.Viewings.Max < 1 || c.Viewings.Max > 256 {
		s.add("viewings.max", "%d is outside 1 to 256; for no viewings at all leave access out", c.Viewings.Max)
	}
	s.between("viewings.max_duration", c.Viewings.MaxDuration, time.Minute, 24*time.Hour)
	if c.Viewings.Port < 0 || c.Viewings.Port > 65535 {
		s.add("viewings.port", "%d is outside 0 to 65535", c.Viewings.Port)
	}
}

// validateCounts bounds the lists.
func (c *Config) validateCounts(s *sheet) {
	for _, list := range []struct {
		key      string
		has, max int
	}{
		{"buses", len(c.Buses), 32}, {"boards", len(c.Boards), 32}, {"adcs", len(c.ADCs), 32}, {"zones", len(c.Zones), maxZones},
		{"sensors", len(c.Sensors), 128}, {"outputs", len(c.Outputs), 32}, {"partitions", len(c.Partitions), 32},
		{"users", len(c.Users), 32}, {"readers", len(c.Readers), 16}, {"tours", len(c.Tours), 16},
	} {
		if list.has > list.max {
			s.add(list.key, "%d are too many for one station: at most %d", list.has, list.max)
		}
	}
}

func (c *Config) validateLog(s *sheet) {
	if c.Log.Reserve < 16<<20 {
		s.add("log.reserve", "%d bytes are too few for the log to open on a full disk: at least 16MiB", c.Log.Reserve)
	}
	for _, lane := range []struct {
		name string
		keep Size
	}{{"main", c.Log.Keep.Main}, {"read", c.Log.Keep.Read}, {"trace", c.Log.Keep.Trace}} {
		if lane.keep < 1<<20 {
			s.add("log.keep."+lane.name, "%d bytes are too few: at least 1MiB", lane.keep)
		}
	}
}
