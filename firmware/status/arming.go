package status

import "time"

// Where the local door tells how the partitions are, and takes wishes: GET for PathArming, POST with JSON of at most MaxWish
// bytes for the others. The answer to a wish is 200 with an Arming as it is then; 400 when it cannot be read; 403 when the code is
// not known, 409 when the wish is refused and 429 when too many codes were wrong, each with a Refused; 503 when it could not be
// written to disk in time.
const (
	PathArming    = "/v1/arming"
	PathArm       = "/v1/arm"       // Arm
	PathDisarm    = "/v1/disarm"    // Disarm
	PathClear     = "/v1/clear"     // Clear
	PathBypass    = "/v1/bypass"    // Bypass
	PathWalkTest  = "/v1/walktest"  // WalkTest
	PathTest      = "/v1/test"      // Test
	PathReaderKey = "/v1/readerkey" // ReaderKey
)

// MaxWish bounds the body of a wish, in bytes.
const MaxWish = 4 << 10

// Arming is how all partitions and their zones are.
type Arming struct {
	At         time.Time   `json:"at"`
	Partitions []Partition `json:"partitions"`
	Zones      []Zone      `json:"zones"` // those that belong to a partition
	// TestUntil is when the test of the whole station ends by itself; zero = it is not under test.
	TestUntil time.Time `json:"test_until,omitzero"`
}

// Partition is how one partition is.
type Partition struct {
	ID    string    `json:"id"`
	Name  string    `json:"name,omitempty"`
	State string    `json:"state"` // one of the twelve: disarmed, arming, armed_away, …
	Mode  string    `json:"mode,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Until is when the exit, entry or siren time of the state ends; zero = none runs.
	Until    time.Time `json:"until,omitzero"`
	Bypassed []string  `json:"bypassed,omitempty"` // zones that are left out
	Memory   []Alarm   `json:"memory,omitempty"`   // what was raised since the memory was last cleared, oldest first
	Trouble  []string  `json:"trouble,omitempty"`  // zones that are neither normal nor active
	Walked   []string  `json:"walked,omitempty"`   // zones that the walk test has seen active
}

// Alarm is one entry of an alarm memory.
type Alarm struct {
	Zone   string    `json:"zone,omitempty"`
	Reason string    `json:"reason,omitempty"` // the cause
	State  string    `json:"state,omitempty"`  // of the zone then
	At     time.Time `json:"at"`
	Count  uint64    `json:"count"` // how often it was raised since At
}

// Zone is how one zone of a partition is.
type Zone struct {
	ID        string    `json:"id"`
	Name      string    `json:"name,omitempty"`
	Partition string    `json:"partition"`
	State     string    `json:"state"`              // unknown, normal, active, masked, short, open, fault, missing
	Bypassed  string    `json:"bypassed,omitempty"` // soft, hard, swinger or test; "" = it counts
	Until     time.Time `json:"until,omitzero"`     // when hard or test ends by itself
}

// Arm asks for a partition to be armed. Zones that are not normal are left out if Force names them, and refuse it otherwise.
type Arm struct {
	Partition string   `json:"partition"`
	Mode      string   `json:"mode"` // away, stay or night
	Force     []string `json:"force,omitempty"`
	Now       bool     `json:"now,omitempty"` // without exit delay
	Code      string   `json:"code"`
}

// Disarm asks for a partition to be disarmed.
type Disarm struct {
	Partition string `json:"partition"`
	Code      string `json:"code"`
}

// Clear asks for the alarm memory of a disarmed partition to be forgotten.
type Clear struct {
	Partition string `json:"partition"`
	Code      string `json:"code"`
}

// Bypass asks for a zone to be left out, or with Off to count again.
type Bypass struct {
	Zone string `json:"zone"`
	Off  bool   `json:"off,omitempty"`
	Hard bool   `json:"hard,omitempty"` // an engineer's, which ends by itself after For
	For  string `json:"for,omitempty"`  // a duration such as 30m, at most 2h
	Code string `json:"code"`
}

// WalkTest asks for the walk test of a disarmed partition to begin, or with Off to end.
type WalkTest struct {
	Partition string `json:"partition"`
	Off       bool   `json:"off,omitempty"`
	Code      string `json:"code"`
}

// Test asks for one zone, or with Station for all of the station, to be under test, or with Off not to be any more.
type Test struct {
	Zone    string `json:"zone,omitempty"`
	Station bool   `json:"station,omitempty"`
	For     string `json:"for,omitempty"` // a duration such as 30m, at most 2h
	Off     bool   `json:"off,omitempty"`
	Reason  string `json:"reason,omitempty"` // why, for the centre
	Code    string `json:"code"`
}

// ReaderKey asks for a card reader on RS-485 that has the default key to be given its own of the configuration.
type ReaderKey struct {
	Reader string `json:"reader"`
	Code   string `json:"code"` // an engineer's
}

// Refused says why a wish was not done.
type Refused struct {
	Reason string   `json:"reason"`
	Zones  []string `json:"zones,omitempty"`   // that are in the way
	RetryS int      `json:"retry_s,omitempty"` // seconds until codes are taken again
}
