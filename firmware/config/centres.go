package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
)

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
