package config

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Receiver is one alarm receiving centre that the station reports to in DC-09.
type Receiver struct {
	ID          string         `yaml:"id"`
	Address     string         `yaml:"address"`     // HOST:PORT
	Transport   string         `yaml:"transport"`   // a Transport… constant
	CA          string         `yaml:"ca"`          // tls
	Certificate string         `yaml:"certificate"` // tls, may be left out
	PrivateKey  string         `yaml:"private_key"` // of the certificate
	Account     string         `yaml:"account"`
	Receiver    string         `yaml:"receiver"`
	Line        string         `yaml:"line"` // default "0"
	KeyHex      string         `yaml:"key_hex"`
	KeyASCII    string         `yaml:"key_ascii"`
	Format      string         `yaml:"format"`      // sia (default) or cid
	Events      []string       `yaml:"events"`      // words of ReportClasses; default alarm, openclose, trouble, test
	Supervision time.Duration  `yaml:"supervision"` // default 60 s; 0 = never
	Zones       map[string]int `yaml:"zones"`
	Partitions  map[string]int `yaml:"partitions"`
	Users       map[string]int `yaml:"users"`
}

// Transports to an alarm receiving centre.
const (
	TransportTLS      = "tls"
	TransportTCPLocal = "tcp-local" // to an address of the station's own networks
)

// ReportClasses are what a receiver may be sent.
func ReportClasses() []string {
	return []string{"alarm", "openclose", "trouble", "bypass", "access", "test"}
}

// maxReceivers bounds the alarm receiving centres of one station.
const maxReceivers = 4

func (c *Config) fillReceivers(s *sheet) {
	for i := range c.Receivers {
		r := &c.Receivers[i]
		r.Account = strings.ToUpper(r.Account)
		r.Line, r.Format = cmp.Or(r.Line, "0"), cmp.Or(r.Format, "sia")
		if r.Events == nil {
			r.Events = []string{"alarm", "openclose", "trouble", "test"}
		}
		if !s.given(fmt.Sprintf("receivers[%d].supervision", i)) {
			r.Supervision = time.Minute
		}
	}
}

func (c *Config) validateReceivers(s *sheet, partitions []string) {
	if len(c.Receivers) > maxReceivers {
		s.add("receivers", "%d are too many for one station: at most %d", len(c.Receivers), maxReceivers)
	}
	var zones, users []string
	for _, z := range c.Zones {
		zones = append(zones, z.ID)
	}
	for _, a := range c.Panels.Accounts {
		zones = slices.AppendSeq(zones, maps.Values(a.Zones))
	}
	for _, u := range c.Users {
		users = append(users, u.ID)
	}
	ids := map[string]bool{}
	for i, r := range c.Receivers {
		key := fmt.Sprintf("receivers[%d]", i)
		s.id(key+".id", r.ID, ids)
		r.validateWay(s, key)
		if !regexp.MustCompile(`^[0-9A-F]{3,16}$`).MatchString(r.Account) {
			s.add(key+".account", "%q: want 3 to 16 hex digits, in quotes", r.Account)
		}
		for name, v := range map[string]string{"receiver": r.Receiver, "line": r.Line} {
			if !regexp.MustCompile(`^[0-9A-Fa-f]{0,6}$`).MatchString(v) {
				s.add(key+"."+name, "%q: want up to 6 hex digits, in quotes", v)
			}
		}
		s.aesKey(key, r.KeyHex, r.KeyASCII)
		s.word(key+".format", r.Format, "sia", "cid")
		for j, v := range r.Events {
			s.word(fmt.Sprintf("%s.events[%d]", key, j), v, ReportClasses()...)
		}
		if len(r.Events) == 0 {
			s.add(key+".events", "empty: leave it out, or name what the receiver is sent")
		}
		if r.Supervision != 0 {
			s.between(key+".supervision", r.Supervision, 5*time.Second, 24*time.Hour)
		}
		s.numbers(key+".zones", "zone", r.Zones, zones, 999)
		s.numbers(key+".partitions", "partition", r.Partitions, partitions, 99)
		s.numbers(key+".users", "user", r.Users, users, 999)
	}
}

// validateWay complains of a way that is neither in TLS nor on a network of the station's own.
func (r *Receiver) validateWay(s *sheet, key string) {
	s.word(key+".transport", r.Transport, TransportTLS, TransportTCPLocal)
	switch r.Transport {
	case TransportTLS:
		if _, _, err := net.SplitHostPort(r.Address); err != nil {
			s.add(key+".address", "%q: want HOST:PORT", r.Address)
		}
		s.required(key+".ca", r.CA, "the PEM file of who may vouch for the receiver")
		if (r.Certificate == "") != (r.PrivateKey == "") {
			s.add(key+".certificate", "certificate and private_key are one: give both, or neither")
		}
	case TransportTCPLocal:
		at, err := netip.ParseAddrPort(r.Address)
		if ip := at.Addr().Unmap(); err != nil {
			s.add(key+".address", "%q: want the IP address and port of the receiver, such as 192.168.8.20:5093", r.Address)
		} else if !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() {
			s.add(key+".address", "%s is on no private network: reports cross the wide area in TLS only, set transport: tls", ip)
		}
		for _, name := range []string{"ca", "certificate", "private_key"} {
			s.foreign(key+"."+name, false, "only tls has it: leave it out, or set transport: tls")
		}
	}
}

// aesKey complains of a DC-09 key that is none; none at all is one for plain frames.
func (s *sheet) aesKey(key, asHex, asText string) {
	switch raw, err := hex.DecodeString(asHex); {
	case asHex != "" && asText != "":
		s.add(key+".key_ascii", "both key_hex and key_ascii are given: keep the one that the other side typed")
	case err != nil || asHex != "" && !aesLength(len(raw)):
		s.add(key+".key_hex", "want 32, 48 or 64 hex digits")
	case asText != "" && !aesLength(len(asText)):
		s.add(key+".key_ascii", "want 16, 24 or 32 characters; a key of hex digits goes under key_hex")
	}
}

// numbers complains of numbers for what is not there, outside 1 to most, or given twice.
func (s *sheet) numbers(key, what string, numbers map[string]int, ids []string, most int) {
	whose := map[int]string{}
	for _, id := range slices.Sorted(maps.Keys(numbers)) {
		n := numbers[id]
		s.known(key, id, what, ids)
		if n < 1 || n > most {
			s.add(key, "%s: %d is outside 1 to %d", id, n, most)
		}
		if whose[n] != "" {
			s.add(key, "%s: %d is that of %s already", id, n, whose[n])
		}
		whose[n] = id
	}
}
