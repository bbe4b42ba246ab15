package topic

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"watchpost/storage/event"
)

// Version is the version that every JSON payload of this contract carries as "v".
const Version = 1

// ErrMessage is wrapped by every error about a JSON payload that is not of this contract.
var ErrMessage = errors.New("not a message of wp/v1")

// State is what a station says of its present, retained under its state topic.
type State struct {
	V            int         `json:"v"`
	Station      string      `json:"station"`
	Jurisdiction string      `json:"jurisdiction"`
	Name         string      `json:"name"`   // for people, such as 草坪村
	Online       bool        `json:"online"` // false: the will, or a stop in good order
	At           time.Time   `json:"at"`     // the station's clock
	Started      time.Time   `json:"started,omitzero"`
	Version      string      `json:"version,omitempty"`
	Carrier      string      `json:"carrier,omitempty"`     // whose network carries the uplink to this centre
	Heartbeat    int         `json:"heartbeat_s,omitempty"` // seconds between states, at most
	Epoch        event.Epoch `json:"epoch"`

	Heads   map[event.Lane]uint64 `json:"heads,omitempty"`  // last seq of each lane in the log
	Stored  map[event.Lane]uint64 `json:"stored,omitempty"` // what this centre's receipts say
	Full    bool                  `json:"full,omitempty"`   // the log refuses new events
	Zones   []ZoneState           `json:"zones,omitempty"`
	Panels  []PanelState          `json:"panels,omitempty"`
	Cameras []CameraState         `json:"cameras,omitempty"`
	Gauges  map[string]float64    `json:"gauges,omitempty"` // name with unit, such as disk_free_bytes

	Partitions []PartitionState `json:"partitions,omitempty"`
	Sensors    []SensorState    `json:"sensors,omitempty"`
}

// PartitionState is how a partition stands. Nothing of duress is ever in it: the station's own screen shows the same.
type PartitionState struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	State    string    `json:"state"`          // disarmed, arming, armed_away, armed_stay, armed_night, entry, alarm, alarm_memory, tamper, fault, walk_test, maintenance
	Mode     string    `json:"mode,omitempty"` // away, stay or night while it is armed
	Since    time.Time `json:"since,omitzero"`
	Bypassed []string  `json:"bypassed,omitempty"` // ids of the zones that are left out
}

// SensorState is what a sensor measured last.
type SensorState struct {
	ID    string    `json:"id"`
	Name  string    `json:"name,omitempty"`
	State string    `json:"state"`          // normal, low, high, fault, missing, unknown; of the power: mains, battery, battery-low
	Text  string    `json:"text,omitempty"` // values with their units, for people
	Since time.Time `json:"since,omitzero"`
}

// ZoneState is the present state of one zone.
type ZoneState struct {
	ID     string    `json:"id"`
	Name   string    `json:"name,omitempty"`
	State  string    `json:"state"`
	Since  time.Time `json:"since,omitzero"`
	Camera string    `json:"camera,omitempty"` // the camera that sees the zone
}

// PanelState is the present state of one alarm panel's link.
type PanelState struct {
	Account string    `json:"account"`
	Name    string    `json:"name,omitempty"`
	State   string    `json:"state"` // up, lost (silent for longer than its supervision), unknown
	Since   time.Time `json:"since,omitzero"`
	Camera  string    `json:"camera,omitempty"`
}

// CameraState is the present state of one camera.
type CameraState struct {
	ID     string    `json:"id"`
	Name   string    `json:"name,omitempty"`
	State  string    `json:"state"` // up, down, idle (pulled only when somebody needs it), unknown
	Since  time.Time `json:"since,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// The kinds of commands.
const (
	CommandReceipt      = "receipt"       // body Receipt; no reply
	CommandViewingOpen  = "viewing.open"  // body ViewingOpen; reply body ViewingAnswer
	CommandViewingClose = "viewing.close" // body ViewingClose; reply without body
)

// Command is a wish of the centre. On the wire it is an Ed25519 signature followed by this JSON; what is signed is the
// addressed station's cmd topic, a NUL byte and the JSON, so that no broker can replay it to another station.
type Command struct {
	V       int             `json:"v"`
	ID      string          `json:"id"` // a topic segment; the centre's own, never used again
	Now     time.Time       `json:"now"`
	Expires time.Time       `json:"expires"`
	Kind    string          `json:"kind"`
	Body    json.RawMessage `json:"body"`
}

// Receipt is the centre's word that it has stored a lane up to a seq: chain unbroken and committed.
type Receipt struct {
	Station string      `json:"station"`
	Epoch   event.Epoch `json:"epoch"`
	Lane    event.Lane  `json:"lane"`
	Upto    uint64      `json:"upto"`
	// Again asks for what follows upto, at once: a frame came whose prev is beyond it.
	Again bool `json:"again,omitempty"`
}

// ViewingOpen asks for a live viewing of one camera by one person.
type ViewingOpen struct {
	Viewing string `json:"viewing"` // id, a topic segment
	Camera  string `json:"camera"`
	Profile string `json:"profile"` // main or sub
	Purpose string `json:"purpose"` // never empty
	Who     string `json:"who"`     // the person
	Role    string `json:"role"`
	Offer   string `json:"offer"` // complete SDP
}

// ViewingAnswer is the reply to a ViewingOpen.
type ViewingAnswer struct {
	Viewing string `json:"viewing"`
	Answer  string `json:"answer"` // complete SDP
}

// ViewingClose ends a viewing.
type ViewingClose struct {
	Viewing string `json:"viewing"`
	Who     string `json:"who"`
	Reason  string `json:"reason,omitempty"`
}

// Reply answers a command.
type Reply struct {
	V       int             `json:"v"`
	ID      string          `json:"id"` // of the command
	Station string          `json:"station"`
	OK      bool            `json:"ok"`
	Error   *Problem        `json:"error,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// Problem says why a command was not obeyed. Kind is one of an append-only list; Message is for people.
type Problem struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// Error is the problem in one line.
func (p *Problem) Error() string { return p.Kind + ": " + p.Message }

// DecodeMessage reads a State, Command or Reply, and refuses one of another version or beyond MaxPayload.
func DecodeMessage[M State | Command | Reply](b []byte) (M, error) {
	var m M
	var head struct {
		V int `json:"v"`
	}
	if len(b) > MaxPayload {
		return m, fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(b), MaxPayload)
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return m, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if head.V != Version {
		return m, fmt.Errorf("%w: version %d, this side speaks %d", ErrMessage, head.V, Version)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return m, nil
}
