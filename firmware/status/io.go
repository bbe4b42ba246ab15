package status

import "time"

// PathIO is where the local door answers an IO, as JSON.
const PathIO = "/v1/io"

// IO is what the station's inputs and outputs are like now, with the raw values behind each state.
type IO struct {
	At     time.Time `json:"at"`
	Groups []IOGroup `json:"groups"` // one a driver, in the order of the configuration
}

// IOGroup is the inputs or outputs of one driver.
type IOGroup struct {
	Driver string  `json:"driver"`
	Points []Point `json:"points"`
}

// Point is one input or output.
type Point struct {
	ID    string    `json:"id"`
	State string    `json:"state"` // unknown and missing are never normal
	Text  string    `json:"text,omitempty"`
	Raw   string    `json:"raw,omitempty"` // what was read, with its unit; "" = it cannot be had
	Since time.Time `json:"since,omitzero"`
}
