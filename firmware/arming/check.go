package arming

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"watchpost/storage/event"
)

// maxDelay bounds every delay of a plan; the longest that people know are exit 255 s, entry 4 min, siren 15 min.
const maxDelay = time.Hour

// maxID keeps the name of a partition, and "arming/" before it, within what an event's Source holds.
const maxID = event.MaxName - len(sourceName+"/")

// check finds what is wrong with a plan, all of it at once.
func (p Plan) check() error {
	var bad []error
	complain := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	partitions, zones, users := map[string]Partition{}, map[string]bool{}, map[string]bool{}
	for _, part := range p.Partitions {
		if _, twice := partitions[part.ID]; twice || !validID(part.ID) {
			complain("partition %q: a name of its own with 1 to %d bytes is wanted", part.ID, maxID)
		}
		partitions[part.ID] = part
		part.check(complain)
	}
	for _, z := range p.Zones {
		if zones[z.ID] || !validID(z.ID) {
			complain("zone %q: a name of its own with 1 to %d bytes is wanted", z.ID, maxID)
		}
		zones[z.ID] = true
		part, known := partitions[z.Partition]
		if !known {
			complain("zone %s: partition %q is not in the plan", z.ID, z.Partition)
		}
		z.check(part, complain)
	}
	for _, u := range p.Users {
		if users[u.ID] || !validID(u.ID) {
			complain("user %q: a name of its own with 1 to %d bytes is wanted", u.ID, maxID)
		}
		users[u.ID] = true
		for _, id := range u.Partitions {
			if _, known := partitions[id]; !known {
				complain("user %s: partition %q is not in the plan", u.ID, id)
			}
		}
	}
	return errors.Join(bad...)
}

func validID(id string) bool { return id != "" && len(id) <= maxID }

func (p Partition) check(complain func(string, ...any)) {
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"exit", p.Exit}, {"entry", p.Entry}, {"settle", p.Settle}, {"siren", p.Siren}, {"within", p.Within}, {"late after", p.LateAfter}} {
		if d.d < 0 || d.d > maxDelay {
			complain("partition %s: %s of %s: 0 to %s is wanted", p.ID, d.name, d.d, maxDelay)
		}
	}
	for _, at := range []string{p.ArmAt, p.DisarmAt} {
		if _, err := time.Parse(clockTime, at); at != "" && err != nil {
			complain("partition %s: %q is no time of the day: HH:MM is wanted", p.ID, at)
		}
	}
	if p.ArmAt != "" && !p.ArmMode.valid() {
		complain("partition %s arms by itself in mode %q: away, stay or night is wanted", p.ID, p.ArmMode)
	}
	for _, k := range p.SilentKinds {
		if !k.valid() {
			complain("partition %s: silent kind %q is not known", p.ID, k)
		}
	}
}

func (z Zone) check(p Partition, complain func(string, ...any)) {
	if !z.Kind.valid() {
		complain("zone %s: kind %q is not known", z.ID, z.Kind)
	}
	for _, m := range z.Modes {
		if !m.valid() {
			complain("zone %s: mode %q: away, stay or night is wanted", z.ID, m)
		}
	}
	switch {
	case z.Kind != Intrusion && (z.Entry || z.Follow || z.Confirm != ""):
		complain("zone %s: a %s zone is always on, it takes no entry, follow or confirm", z.ID, z.Kind)
	case z.Entry && (z.Follow || z.Confirm != ""):
		complain("zone %s: an entry zone begins the delay by itself, it takes no follow or confirm", z.ID)
	case z.Confirm != "" && (p.Needed < 2 || p.Within <= 0):
		complain("zone %s: confirm %s wants at least 2 zones within some time, partition %s has %d within %s", z.ID, z.Confirm, p.ID, p.Needed, p.Within)
	}
	if z.Swinger < 0 || z.Swinger > 6 {
		complain("zone %s: swinger %d: 0 to 6 is wanted", z.ID, z.Swinger)
	}
}

func (m Mode) valid() bool { return m == Away || m == Stay || m == Night }

func (k Kind) valid() bool { return k == Intrusion || k.alwaysOn() }

// alwaysOn says that zones of this kind are alarms in every state of their partition.
func (k Kind) alwaysOn() bool {
	return slices.Contains([]Kind{Panic, HoldUp, Tamper, Fire, Gas, CO, Flood, Medical}, k)
}

// button says that a person presses it: it need not settle after a power-up as detectors must.
func (k Kind) button() bool { return k == Panic || k == HoldUp || k == Medical }

// lifeSafety kinds are heard even while the whole station is under test.
func (k Kind) lifeSafety() bool { return k.button() || k == Fire || k == Gas || k == CO }
