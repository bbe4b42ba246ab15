// A technician at the box wants to know how the station is, without a network and without a manual. These are the
// words of that answer: the types that the agent's local door sends, and that the station's tools read.
package status

import "time"

// Path is where the local door answers a Status, as JSON.
const Path = "/v1/status"

// Socket is the name of the local door in the station's data directory: HTTP on a Unix socket of mode 0600.
const Socket = "door.sock"

// Status is how a station is, now.
type Status struct {
	Station      string         `json:"station"`
	Jurisdiction string         `json:"jurisdiction"`
	Name         string         `json:"name"`
	Version      string         `json:"version"`
	Started      time.Time      `json:"started"`
	At           time.Time      `json:"at"`
	Clock        string         `json:"clock"` // synced, unsynced, unknown
	Log          Log            `json:"log"`
	Drivers      []Driver       `json:"drivers"`
	Centres      []Centre       `json:"centres"`
	Viewings     []Viewing      `json:"viewings"`
	Faults       map[string]int `json:"faults,omitempty"` // tasks that had to be started again, and how often

	Gauges map[string]float64 `json:"gauges,omitempty"` // by the names in Gauges
}

// Log is how the event log is.
type Log struct {
	Epoch   string            `json:"epoch"`
	Heads   map[string]uint64 `json:"heads"` // last seq of each lane
	Full    bool              `json:"full"`  // new events are refused
	Refused uint64            `json:"refused"`
	Bytes   int64             `json:"bytes"`
	Free    int64             `json:"free"` // bytes left on the disk
}

// Driver is how one driver is.
type Driver struct {
	Name     string    `json:"name"`
	Readings []Reading `json:"readings,omitempty"`
}

// Reading is the present state of one input.
type Reading struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Text  string    `json:"text,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Centre is how the link to one centre is.
type Centre struct {
	ID       string            `json:"id"`
	Online   bool              `json:"online"`
	Since    time.Time         `json:"since,omitzero"`
	Reason   string            `json:"reason,omitempty"` // why it is not online
	Receipts map[string]uint64 `json:"receipts"`         // what the centre has stored of each lane

	Gauges map[string]float64 `json:"gauges,omitempty"` // by the names in CentreGauges
}

// Viewing is one live viewing.
type Viewing struct {
	ID      string    `json:"id"`
	Camera  string    `json:"camera"`
	Who     string    `json:"who"`
	Role    string    `json:"role"`
	State   string    `json:"state"` // opening, connecting, live, waiting for the camera
	Since   time.Time `json:"since"`
	Packets uint64    `json:"packets"`
}
