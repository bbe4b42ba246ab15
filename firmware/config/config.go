// A station is told everything about itself in one YAML file, which the technician writes once and the agent reads at
// its start. Parsing turns the text into a Config that is complete and consistent, or into a list of problems that
// name the line, the key and the remedy; there is nothing in between.
package config

import (
	_ "embed"
	"time"
)

// Reference is the annotated example that the agent prints with -reference. It parses.
//
//go:embed reference.yaml
var Reference string

// Config is one station's configuration: validated, with defaults filled in and paths anchored at the file.
type Config struct {
	Station    Station     `yaml:"station"`
	Data       string      `yaml:"data"`
	Log        Log         `yaml:"log"`
	Buses      []Bus       `yaml:"buses"`
	Boards     []Board     `yaml:"boards"`
	ADCs       []ADC       `yaml:"adcs"`
	Zones      []Zone      `yaml:"zones"`
	Sensors    []Sensor    `yaml:"sensors"`
	Power      Power       `yaml:"power"`
	Outputs    []Output    `yaml:"outputs"`
	Partitions []Partition `yaml:"partitions"`
	Users      []User      `yaml:"users"`
	Readers    []Reader    `yaml:"readers"`
	Tours      []Tour      `yaml:"tours"`
	Watchdog   Watchdog    `yaml:"watchdog"`
	Panels     Panels      `yaml:"panels"`
	Receivers  []Receiver  `yaml:"receivers"`
	Cameras    []Camera    `yaml:"cameras"`
	Centres    []Centre    `yaml:"centres"`
	Access     []Rule      `yaml:"access"`
	Viewings   Viewings    `yaml:"viewings"`
	Test       Test        `yaml:"test"`
}

// Station says which station this is.
type Station struct {
	ID           string `yaml:"id"`
	Jurisdiction string `yaml:"jurisdiction"`
	Name         string `yaml:"name"`
}

// Log sets up the event log.
type Log struct {
	Reserve Size   `yaml:"reserve"` // default 64 MiB
	Keep    Keep   `yaml:"keep"`
	KeyFile string `yaml:"key_file"`
	Key     []byte `yaml:"-"` // 32 bytes from KeyFile; nil = the log is not encrypted
}

// Keep bounds what each lane may hold on disk, in bytes of its events; the oldest go first. Alarms have no bound.
type Keep struct {
	Main  Size `yaml:"main"`  // default 256 MiB
	Read  Size `yaml:"read"`  // default 512 MiB
	Trace Size `yaml:"trace"` // default 64 MiB
}

// Panels sets up the DC-09 receiver; without Listen there is none.
type Panels struct {
	Listen   string    `yaml:"listen"`
	Accounts []Account `yaml:"accounts"`
}

// Account is one alarm panel that the receiver believes.
type Account struct {
	ID          string            `yaml:"id"`
	Name        string            `yaml:"name"`
	KeyHex      string            `yaml:"key_hex"`
	KeyASCII    string            `yaml:"key_ascii"`
	CRCOverCR   bool              `yaml:"crc_over_cr"`
	Zones       map[string]string `yaml:"zones"` // the panel's zone as it sends it → what people call it
	Supervision time.Duration     `yaml:"supervision"`
	Camera      string            `yaml:"camera"`
}

// Camera is one IP camera.
type Camera struct {
	ID           string        `yaml:"id"`
	Name         string        `yaml:"name"`
	URL          string        `yaml:"url"`
	User         string        `yaml:"user"`
	Password     string        `yaml:"password"` // filled from PasswordFile where that is given
	PasswordFile string        `yaml:"password_file"`
	Pull         string        `yaml:"pull"` // on-demand or always
	Linger       time.Duration `yaml:"linger"`
}

// Centre is one jurisdiction's broker and dispatch, as seen from the station.
type Centre struct {
	ID          string   `yaml:"id"`
	Broker      string   `yaml:"broker"`
	CA          string   `yaml:"ca"`
	Certificate string   `yaml:"certificate"`
	Key         string   `yaml:"key"`
	CommandKey  Key      `yaml:"command_key"`
	Lanes       []string `yaml:"lanes"`
	Window      int      `yaml:"window"`

	BacklogRate Size          `yaml:"backlog_rate"` // a second; 0 = as fast as the line takes it
	Carrier     string        `yaml:"carrier"`      // whose network carries the uplink; "" = not told
	Heartbeat   time.Duration `yaml:"heartbeat"`    // default 30 s
}

// Rule allows an action; what no rule allows is denied.
type Rule struct {
	Action        string   `yaml:"action"`
	Jurisdictions []string `yaml:"jurisdictions"` // whose people: ids of centres
	Roles         []string `yaml:"roles"`
	Cameras       []string `yaml:"cameras"` // empty = all
	Hours         string   `yaml:"hours"`   // HH:MM-HH:MM, empty = always
}

// Viewings bounds the live pictures.
type Viewings struct {
	Max         int           `yaml:"max"`
	MaxDuration time.Duration `yaml:"max_duration"`
	Port        int           `yaml:"port"` // UDP; 0 = a free one for each viewing
	Loopback    bool          `yaml:"loopback"`
}

// Test sets up the daily test alarm; without a Zone there is none.
type Test struct {
	At     string        `yaml:"at"`     // HH:MM local time, default 04:00
	Output string        `yaml:"output"` // an output line of the zone's board, wired to the zone's line
	Zone   string        `yaml:"zone"`   // id of the zone of KindTest
	Within time.Duration `yaml:"within"` // how soon the zone has to be active, default 5 s
}
