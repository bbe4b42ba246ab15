package arming

import "time"

// State is how a partition stands, one of twelve words.
type State string

// The states of a partition. The first that holds counts, in the order alarm, tamper, entry, arming, armed, walk_test,
// maintenance, alarm_memory, fault, disarmed.
const (
	StateDisarmed    State = "disarmed"
	StateArming      State = "arming"       // the exit delay runs
	StateArmedAway   State = "armed_away"   // nobody is in
	StateArmedStay   State = "armed_stay"   // people are in and awake
	StateArmedNight  State = "armed_night"  // people are in and asleep
	StateEntry       State = "entry"        // the entry delay runs
	StateAlarm       State = "alarm"        // the siren time runs; also of a partition that is disarmed
	StateAlarmMemory State = "alarm_memory" // disarmed, and there was an alarm that nobody has cleared
	StateTamper      State = "tamper"       // as alarm, and all of its causes are tampering
	StateFault       State = "fault"        // disarmed, and a zone cannot be read as normal or active; View only, no event
	StateWalkTest    State = "walk_test"
	StateMaintenance State = "maintenance" // disarmed, and the station or a zone of the partition is under test
)

// How a zone is left out.
const (
	LeftOutSoft    = "soft"    // by a person, until the next disarming
	LeftOutHard    = "hard"    // by an engineer, for at most two hours
	LeftOutSwinger = "swinger" // by the machine, after too many alarms in one armed period
	LeftOutTest    = "test"    // under test, for at most two hours
)

// View is how all stands, for screens and pages. It never says anything of duress.
type View struct {
	Partitions []PartitionView // as in the plan
	Zones      []ZoneView      // as in the plan
	TestUntil  time.Time       // when the test of the whole station ends; zero = it is not under test
}

// PartitionView is how a partition stands.
type PartitionView struct {
	ID      string
	State   State
	Mode    Mode      // how it is armed or being armed; "" = disarmed
	Since   time.Time // of the state, fault left aside
	Until   time.Time // when the exit, entry or siren time of the state ends; zero = none runs
	LeftOut []string  // zones that do not count, in the plan's order
	Memory  []Alarm   // what was raised since the last Clear, oldest first
	Trouble []string  // zones that are neither normal nor active, in the plan's order
	Walked  []string  // in a walk test: zones that were seen active, in the plan's order
}

// ZoneView is how a zone stands.
type ZoneView struct {
	ID        string
	Partition string
	State     string    // the last word of its driver; unknown until there is one in this run
	LeftOut   string    // soft, hard, swinger or test; "" = it counts
	Until     time.Time // when hard or test ends
}

// Alarm is one entry of an alarm memory.
type Alarm struct {
	Zone   string
	Reason string // the cause, as in alarm.raised
	State  string // of the zone
	At     time.Time
	Count  uint64 // how often it was raised since At
}
