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
	Station  Station  `yaml:"station"`
	Data     string   `yaml:"data"`
	Log      Log      `yaml:"log"`
	Boards   []Board  `yaml:"boards"`
	Zones    []Zone   `yaml:"zones"`
	Panels   Panels   `yaml:"panels"`
	Cameras  []Camera `yaml:"cameras"`
	Centres  []Centre `yaml:"centres"`
	Access   []Rule   `yaml:"access"`
	Viewings Viewings `yaml:"viewings"`
}

// Station says which station this is.
type Station struct {
	ID           string `yaml:"id"`
	Jurisdiction string `yaml:"jurisdiction"`
	Name         string `yaml:"name"`
}

// Log sets up the event log.
type Log struct {
	Reserve Size `yaml:"reserve"` // default 64 MiB
}

// Board is a box with input lines.
type Board struct {
	ID      string `yaml:"id"`
	Backend string `yaml:"backend"` // linesock
	Socket  string `yaml:"socket"`
}

// ZoneKinds are what a zone may be for, and the SIA code (DC-03) of its alarm.
func ZoneKinds() map[string]string {
	return map[string]string{
		"intrusion": "BA", "panic": "PA", "hold-up": "HA", "tamper": "TA", "fire": "FA", "gas": "GA", "medical": "MA",
	}
}

// Zone is one supervised input on one line of a board.
type Zone struct {
	ID       string        `yaml:"id"`
	Name     string        `yaml:"name"`
	Board    string        `yaml:"board"`
	Line     string        `yaml:"line"`
	Rest     string        `yaml:"rest"` // closed or open
	Kind     string        `yaml:"kind"` // a key of ZoneKinds
	Debounce time.Duration `yaml:"debounce"`
	Severity string        `yaml:"severity"` // alarm, warning or notice
	Camera   string        `yaml:"camera"`
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
