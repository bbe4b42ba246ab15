package arming

import (
	"slices"
	"strings"
)

// How a wish came, as far as the machine makes a difference.
const (
	ViaSchedule = "schedule" // the plan's own wish; from outside it is nobody's
	ViaCentre   = "centre"   // of a person at a centre, whose rights the rim has judged
)

// Why a wish is not done: the words of Refusal.Reason, besides Actor.Why.
const (
	RefusedNobody      = "unknown-user" // nobody of the plan
	RefusedRight       = "no-right"     // the user may not do this, or not here
	RefusedPartition   = "no-partition" // the plan has none of this name
	RefusedZone        = "no-zone"      // the plan, or the partition, has none of these names
	RefusedMode        = "no-mode"      // neither away, stay nor night
	RefusedDuration    = "duration"     // not above zero and up to two hours
	RefusedArmed       = "armed"        // the partition is armed or being armed
	RefusedAlarm       = "alarm"        // the siren time runs: disarm first
	RefusedWalkTest    = "walk-test"    // a walk test runs
	RefusedMaintenance = "maintenance"  // the station is under test
	RefusedNotNormal   = "not-normal"   // these zones are not normal
	RefusedAlwaysOn    = "always-on"    // only an engineer leaves such a zone out
	RefusedStanding    = "alarm-stands" // the cause of an alarm of these zones has not ended
)

// Refusal is a wish that was not done. Effects of the step hold all the same: the refusal's own event is among them.
type Refusal struct {
	Reason string   // one of the Refused words, or Actor.Why
	Zones  []string // that are in the way, in the plan's order
}

// Error says the reason and the zones.
func (r *Refusal) Error() string {
	if len(r.Zones) == 0 {
		return "refused: " + r.Reason
	}
	return "refused: " + r.Reason + ": " + strings.Join(r.Zones, ", ")
}

// name is the actor in an event; "" = nobody known.
func (a Actor) name() string {
	if a.own {
		return ViaSchedule
	}
	return clip(a.User)
}

// may judges an actor. A person of a centre was judged by the rim, and is no engineer of the station.
func (m *Machine) may(by Actor, has func(User) bool, partitions ...string) *Refusal {
	u, known := m.users[by.User]
	switch {
	case by.own:
		return nil
	case by.Via == ViaCentre && by.User != "":
		u = User{Arm: true, Disarm: true, Bypass: true}
	case by.User == "" && by.Why != "":
		return &Refusal{Reason: clip(by.Why)}
	case !known:
		return &Refusal{Reason: RefusedNobody}
	}
	for _, id := range partitions {
		if len(u.Partitions) > 0 && !slices.Contains(u.Partitions, id) {
			return &Refusal{Reason: RefusedRight}
		}
	}
	if !has(u) {
		return &Refusal{Reason: RefusedRight}
	}
	return nil
}

func (m *Machine) partitionFor(by Actor, id string, has func(User) bool) (*partition, *Refusal) {
	p := m.byID[id]
	if p == nil {
		return nil, &Refusal{Reason: RefusedPartition}
	}
	return p, m.may(by, has, id)
}

func (m *Machine) zoneFor(by Actor, id string, has func(User) bool) (*zone, *Refusal) {
	z := m.byZone[id]
	if z == nil {
		return nil, &Refusal{RefusedZone, []string{id}}
	}
	return z, m.may(by, has, z.p.ID)
}

// stationFor judges a wish that concerns all partitions.
func (m *Machine) stationFor(by Actor) *Refusal {
	all := make([]string, 0, len(m.partitions))
	for _, p := range m.partitions {
		all = append(all, p.ID)
	}
	return m.may(by, func(u User) bool { return u.Engineer }, all...)
}
