package config

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"watchpost/firmware/status"
)

func defaults() *Config {
	return &Config{
		Data:     "data",
		Log:      Log{Reserve: 64 << 20, Keep: Keep{Main: 256 << 20, Read: 512 << 20, Trace: 64 << 20}},
		Viewings: Viewings{Max: 8, MaxDuration: 30 * time.Minute},
	}
}

// fill gives each entry of a list its defaults.
func (c *Config) fill() {
	for i := range c.Boards {
		c.Boards[i].Backend = cmp.Or(c.Boards[i].Backend, "linesock")
	}
	for i := range c.Zones {
		c.Zones[i].Rest = cmp.Or(c.Zones[i].Rest, "closed")
		c.Zones[i].Kind = cmp.Or(c.Zones[i].Kind, "intrusion")
		c.Zones[i].Severity = cmp.Or(c.Zones[i].Severity, "alarm")
	}
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
	c.validateZones(s, cameras)
	c.validateTest(s)
	c.validatePanels(s, cameras)
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

func (c *Config) validateZones(s *sheet, cameras []string) {
	boards, seen := []string{}, map[string]bool{}
	for i, b := range c.Boards {
		key := fmt.Sprintf("boards[%d]", i)
		s.id(key+".id", b.ID, seen)
		s.word(key+".backend", b.Backend, "linesock")
		s.required(key+".socket", b.Socket, "the path of the box's Unix socket")
		boards = append(boards, b.ID)
	}
	zones, lines := map[string]bool{}, map[string]bool{}
	for i, z := range c.Zones {
		key := fmt.Sprintf("zones[%d]", i)
		s.id(key+".id", z.ID, zones)
		s.required(key+".board", z.Board, "the id of the board that has the line")
		s.known(key+".board", z.Board, "board", boards)
		switch {
		case z.Line == "":
			s.add(key+".line", "missing: the line's name as the board calls it")
		case !validLine(z.Line):
			s.add(key+".line", "%q: a line's name is 1 to 32 of a-z, 0-9, hyphen", z.Line)
		}
		s.word(key+".rest", z.Rest, "closed", "open")
		s.word(key+".kind", z.Kind, slices.Sorted(maps.Keys(ZoneKinds()))...)
		s.word(key+".severity", z.Severity, "alarm", "warning", "notice")
		s.between(key+".debounce", z.Debounce, 0, time.Second)
		s.known(key+".camera", z.Camera, "camera", cameras)
		if wire := z.Board + "/" + z.Line; lines[wire] {
			s.add(key+".line", "line %q of board %q feeds two zones", z.Line, z.Board)
		} else {
			lines[wire] = true
		}
	}
}

func (c *Config) validatePanels(s *sheet, cameras []string) {
	if c.Panels.Listen == "" {
		if len(c.Panels.Accounts) > 0 {
			s.add("panels.listen", "missing: accounts are there, but no address to listen on")
		}
		return
	}
	s.hostPort("panels.listen", c.Panels.Listen)
	seen := map[string]bool{}
	for i, a := range c.Panels.Accounts {
		key := fmt.Sprintf("panels.accounts[%d]", i)
		if !regexp.MustCompile(`^[0-9A-F]{3,16}$`).MatchString(a.ID) {
			s.add(key+".id", "%q: want 3 to 16 hex digits, in quotes", a.ID)
		} else if seen[a.ID] {
			s.add(key+".id", "%q is there twice", a.ID)
		}
		seen[a.ID] = true
		switch raw, err := hex.DecodeString(a.KeyHex); {
		case a.KeyHex != "" && a.KeyASCII != "":
			s.add(key+".key_ascii", "both key_hex and key_ascii are given: keep the one that the panel's installer typed")
		case err != nil || a.KeyHex != "" && !aesLength(len(raw)):
			s.add(key+".key_hex", "want 32, 48 or 64 hex digits")
		case a.KeyASCII != "" && !aesLength(len(a.KeyASCII)):
			s.add(key+".key_ascii", "want 16, 24 or 32 characters; a key of hex digits goes under key_hex")
		}
		for number, name := range a.Zones {
			if name == "" || len(name) > 64 {
				s.add(key+".zones", "zone %q: want a name of 1 to 64 bytes", number)
			}
		}
		s.between(key+".supervision", a.Supervision, 0, 24*time.Hour)
		s.known(key+".camera", a.Camera, "camera", cameras)
	}
}

func aesLength(n int) bool { return n == 16 || n == 24 || n == 32 }

func (c *Config) validateCameras(s *sheet) []string {
	ids, seen := []string{}, map[string]bool{}
	for i, v := range c.Cameras {
		key := fmt.Sprintf("cameras[%d]", i)
		s.id(key+".id", v.ID, seen)
		ids = append(ids, v.ID)
		switch u, err := url.Parse(v.URL); {
		case v.URL == "":
			s.add(key+".url", "missing: want rtsp://HOST:PORT/PATH")
		case err != nil || u.Scheme != "rtsp" || u.Hostname() == "" || strings.ContainsAny(v.URL, " \t"):
			s.add(key+".url", "want rtsp://HOST:PORT/PATH")
		case u.User != nil:
			s.add(key+".url", "keep name and password out of the URL: use user and password_file")
		}
		if v.Password != "" && v.PasswordFile != "" {
			s.add(key+".password", "both password and password_file are given: keep one")
		}
		s.word(key+".pull", v.Pull, "on-demand", "always")
		s.between(key+".linger", v.Linger, 0, time.Hour)
	}
	return ids
}

func (c *Config) validateCentres(s *sheet) []string {
	ids, seen := []string{}, map[string]bool{}
	for i, v := range c.Centres {
		key := fmt.Sprintf("centres[%d]", i)
		s.id(key+".id", v.ID, seen)
		ids = append(ids, v.ID)
		if u, err := url.Parse(v.Broker); err != nil || u.Scheme != "tls" || u.Hostname() == "" || u.Port() == "" {
			s.add(key+".broker", "%q: want tls://HOST:PORT", v.Broker)
		}
		s.required(key+".ca", v.CA, "the PEM file of the centre's CA, from dispatch enrol")
		s.required(key+".certificate", v.Certificate, "the station's own PEM file, from dispatch enrol")
		s.required(key+".key", v.Key, "the PEM file of the station's private key, from dispatch enrol")
		if len(v.CommandKey) == 0 {
			s.add(key+".command_key", "missing: the base64 key that dispatch enrol prints")
		}
		if len(v.Lanes) == 0 {
			s.add(key+".lanes", "empty: leave it out for all lanes, or name those that the centre is sent")
		}
		for j, l := range v.Lanes {
			s.word(fmt.Sprintf("%s.lanes[%d]", key, j), l, "alarm", "main", "read", "trace")
		}
		if v.Window < 1 || v.Window > 256 {
			s.add(key+".window", "%d is outside 1 to 256", v.Window)
		}
		if v.BacklogRate != 0 && (v.BacklogRate < 1<<10 || v.BacklogRate > 1<<30) {
			s.add(key+".backlog_rate", "%d bytes a second are outside 1KiB to 1GiB; leave it out for as much as the line takes", v.BacklogRate)
		}
		if len(v.Carrier) > maxCarrier || strings.ContainsFunc(v.Carrier, unicode.IsControl) {
			s.add(key+".carrier", "want the name of the network on one line, at most %d bytes", maxCarrier)
		}
		s.between(key+".heartbeat", v.Heartbeat, 5*time.Second, 10*time.Minute)
	}
	return ids
}

// maxCarrier bounds a carrier's name in bytes: it stands in each heartbeat.
const maxCarrier = 64

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

func (c *Config) validateAccess(s *sheet, centres, cameras []string) {
	for i, r := range c.Access {
		key := fmt.Sprintf("access[%d]", i)
		s.word(key+".action", r.Action, "viewing.open")
		if len(r.Jurisdictions) == 0 {
			s.add(key+".jurisdictions", "missing: name the jurisdictions whose people the rule is for")
		}
		if len(r.Roles) == 0 {
			s.add(key+".roles", "missing: name the roles that the rule is for")
		}
		for j, v := range r.Jurisdictions {
			s.known(fmt.Sprintf("%s.jurisdictions[%d]", key, j), v, "centre", centres)
		}
		for j, v := range r.Cameras {
			s.known(fmt.Sprintf("%s.cameras[%d]", key, j), v, "camera", cameras)
		}
		from, to, _ := strings.Cut(r.Hours, "-")
		switch {
		case r.Hours == "":
		case from == to:
			s.add(key+".hours", "%q begin and end at the same time: leave hours out to allow all day", r.Hours)
		case !regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$`).MatchString(r.Hours):
			s.add(key+".hours", "%q: want HH:MM-HH:MM, such as 07:30-19:00", r.Hours)
		}
	}
}

// maxSocket is the longest path of a Unix socket in bytes (unix(7): sun_path, with its NUL).
const maxSocket = 107

// validateSockets complains of paths that the kernel takes for no socket. They must be anchored.
func (c *Config) validateSockets(s *sheet) {
	const suffix = len(".new") // the door is made under another name first
	if path := filepath.Join(c.Data, status.Socket); len(path)+suffix > maxSocket {
		s.add("data", "%s is too long for the local door in it: at most %d bytes", c.Data, maxSocket-suffix-len("/"+status.Socket))
	}
	for i, b := range c.Boards {
		if len(b.Socket) > maxSocket {
			s.add(fmt.Sprintf("boards[%d].socket", i), "%s is too long for a Unix socket: at most %d bytes", b.Socket, maxSocket)
		}
	}
}

// anchor makes relative paths start at dir.
func (c *Config) anchor(dir string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	abs(&c.Data)
	abs(&c.Log.KeyFile)
	for i := range c.Boards {
		abs(&c.Boards[i].Socket)
	}
	for i := range c.Cameras {
		abs(&c.Cameras[i].PasswordFile)
	}
	for i := range c.Centres {
		abs(&c.Centres[i].CA)
		abs(&c.Centres[i].Certificate)
		abs(&c.Centres[i].Key)
	}
}

// readFiles takes in what the configuration keeps in files of its own.
func (c *Config) readFiles(s *sheet) {
	if c.Log.KeyFile != "" {
		key, err := readKey(c.Log.KeyFile)
		if err != nil {
			s.add("log.key_file", "%v", err)
		}
		c.Log.Key = key
	}
	for i := range c.Cameras {
		v := &c.Cameras[i]
		if v.PasswordFile == "" {
			continue
		}
		b, err := os.ReadFile(v.PasswordFile)
		if err != nil {
			s.add(fmt.Sprintf("cameras[%d].password_file", i), "%v: put the password there, or write it under password", err)
			continue
		}
		v.Password = strings.TrimRight(string(b), "\r\n")
	}
}
