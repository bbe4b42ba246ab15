package arming

import (
	"slices"
	"time"
)

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
	Zone   string    `json:"zone"`
	Reason string    `json:"reason"` // the cause, as in alarm.raised
	State  string    `json:"state"`  // of the zone
	At     time.Time `json:"at"`     // UTC
	Count  uint64    `json:"count"`  // how often it was raised since At
}

// View is how all stands after the last step.
func (m *Machine) View() View {
	v := View{
		Partitions: make([]PartitionView, 0, len(m.partitions)), Zones: make([]ZoneView, 0, len(m.zones)),
		TestUntil: m.test.until.wall(m.now),
	}
	for _, p := range m.partitions {
		v.Partitions = append(v.Partitions, m.viewPartition(p))
	}
	for _, z := range m.zones {
		until := z.hard.until
		if until == 0 {
			until = z.test.until
		}
		if until == 0 && !z.Kind.lifeSafety() {
			until = m.test.until
		}
		v.Zones = append(v.Zones, ZoneView{ID: z.ID, Partition: z.p.ID, State: z.level, LeftOut: m.leftOut(z), Until: until.wall(m.now)})
	}
	return v
}

func (m *Machine) viewPartition(p *partition) PartitionView {
	v := PartitionView{ID: p.ID, State: p.told, Mode: p.mode, Since: p.since, Memory: slices.Clone(p.memory)}
	for _, z := range p.zones {
		if m.silenced(z) {
			v.LeftOut = append(v.LeftOut, z.ID)
		}
		if z.level != normal && z.level != active {
			v.Trouble = append(v.Trouble, z.ID)
		}
		if z.walked {
			v.Walked = append(v.Walked, z.ID)
		}
	}
	if v.State == StateDisarmed && len(v.Trouble) > 0 {
		v.State = StateFault
	}
	switch v.State {
	case StateAlarm, StateTamper:
		v.Until = p.sounding.wall(m.now)
	case StateEntry:
		v.Until = p.entry.wall(m.now)
	case StateArming:
		v.Until = p.exit.wall(m.now)
	case StateWalkTest:
		v.Until = p.walk.wall(m.now)
	}
	return v
}
