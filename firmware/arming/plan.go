// A village arms its partitions when it goes home, and an alarm is what the armed part of it feels then; smoke, hold-up,
// tamper, gas and water are alarms at any hour.
//
// The Machine decides: it takes one Input at one Instant and answers with Effects, it reads no clock and touches nothing.
// Whoever runs it puts the Journal on disk before any Effect acts, so that an armed village is armed after every restart,
// and a restart alone raises no alarm.
package arming

import (
	"time"

	"watchpost/storage/event"
)

// Mode is how a partition is armed.
type Mode string

// The modes, which also say when a zone counts.
const (
	Away  Mode = "away"  // nobody is in
	Stay  Mode = "stay"  // people are in and awake: the outer zones count
	Night Mode = "night" // people are in and asleep: the outer zones count, and what lies between them and the beds
)

// Instant is a moment. Delays run on Up, which also counts while the box sleeps and which nobody can set; schedules and people
// go by Wall.
type Instant struct {
	Wall time.Time
	Up   time.Duration // since the boot named by Boot (CLOCK_BOOTTIME)
	Boot uint32        // which life of the kernel's clock Up belongs to
}

// Plan is what a technician has laid down: partitions, zones and who may arm them.
type Plan struct {
	Partitions []Partition
	Zones      []Zone
	Users      []User
}

// Kind is what a zone is for. Zones of the kinds that AlwaysOn names raise alarms in every state of their partition.
type Kind string

// The kinds of zones.
const (
	Intrusion Kind = "intrusion"
	Panic     Kind = "panic"
	HoldUp    Kind = "hold-up"
	Tamper    Kind = "tamper"
	Fire      Kind = "fire"
	Gas       Kind = "gas"
	CO        Kind = "co"
	Flood     Kind = "flood"
	Medical   Kind = "medical"
)

// Zone is one supervised input of one partition.
type Zone struct {
	ID        string
	Partition string
	Kind      Kind
	Code      string // SIA code (DC-03) of its alarm, such as BA
	// Modes are those in which an intrusion zone counts; always-on kinds count whatever this says. Empty = all.
	Modes []Mode
	// Entry makes the zone a way in and out: active while armed, it begins the entry delay instead of an alarm.
	Entry bool
	// Follow makes the zone wait with an entry delay that runs already, as the hall does behind the door.
	Follow bool
	// Swinger is how many alarms of one armed period silence the zone for the rest of it, 1 to 6; 0 = never. Kinds that are
	// always on are never silenced.
	Swinger int
	// Confirm names a group of intrusion zones: they raise an alarm when Needed of them were active within Within (the partition's).
	Confirm string
}

// Partition is zones that are armed together.
type Partition struct {
	ID     string
	Exit   time.Duration // delay from arming to armed (EN 50131, CP-01: 45 s to 255 s; 0 = none)
	Entry  time.Duration // delay from an entry zone to the alarm (30 s to 4 min; 0 = none)
	Settle time.Duration // after a power-up, how long detectors are not yet believed to be active (CP-01 4.4.3: at least 60 s)
	Siren  time.Duration // how long the outputs sound for one alarm; 0 = they stay quiet
	// Outputs are driven for an alarm, SilentKinds leaves them quiet.
	Outputs     []string
	SilentKinds []Kind
	// Needed zones of one Confirm group within Within are an alarm.
	Needed int
	Within time.Duration
	// ArmAt arms by itself and DisarmAt disarms, "HH:MM" local time, "" = never; LateAfter is how long after ArmAt a partition
	// that could not be armed, or was put off, is told as late to close.
	ArmAt, DisarmAt string
	ArmMode         Mode
	LateAfter       time.Duration
}

// User is somebody who may arm; who it is was found out by code or card before the machine hears of it.
type User struct {
	ID         string
	Partitions []string // empty = all
	Arm        bool
	Disarm     bool
	Bypass     bool
	Engineer   bool // may walk-test, put zones under test, and bypass hard
}

// Effect is what a step asks for: an event to store, or an output to drive. Exactly one of them is set.
type Effect struct {
	Event  *event.Draft // with a Once key that is the same however often the step is told
	Output *Output
}

// Output is an output to be driven.
type Output struct {
	ID    string
	On    bool
	For   time.Duration // how much longer at most; the driver holds it, too
	Cause string        // for the event of the output
}
