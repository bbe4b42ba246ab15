package arming

import (
	"slices"
	"time"
)

// maxWork is how long a walk test, a test or an engineer's bypass lasts at most.
const maxWork = 2 * time.Hour

// partition is a partition at work; all of it outlives the run.
type partition struct {
	Partition
	zones []*zone

	mode      Mode // "" = disarmed
	exit      deadline
	leaves    int // entry zones opened while the exit delay runs
	entry     deadline
	waiting   []waiting
	sounding  deadline // siren time
	cause     string   // of the last alarm that sounds
	tampering bool     // all causes that sound are tampering
	settle    deadline
	walk      deadline
	memory    []Alarm
	told      State
	since     time.Time
	schedule  schedule

	note note // of this step only
}

// note is who and what changes a partition's state in this step.
type note struct{ who, why, detail string }

// because notes why the state is about to change, if nothing else is noted.
func (p *partition) because(cause string) {
	if p.note.why == "" {
		p.note.why = cause
	}
}

// by notes whose wish changes the state.
func (p *partition) by(a Actor) { p.note.who, p.note.why = a.name(), clip(a.Via) }

// state is how the partition stands, but for fault.
func (p *partition) state(m *Machine) State {
	switch {
	case p.sounding != 0 && p.tampering:
		return StateTamper
	case p.sounding != 0:
		return StateAlarm
	case p.entry != 0:
		return StateEntry
	case p.exit != 0:
		return StateArming
	case p.mode == Away:
		return StateArmedAway
	case p.mode == Stay:
		return StateArmedStay
	case p.mode == Night:
		return StateArmedNight
	case p.walk != 0:
		return StateWalkTest
	case m.test.until != 0 || m.underTest(p):
		return StateMaintenance
	case len(p.memory) > 0:
		return StateAlarmMemory
	}
	return StateDisarmed
}

// arm does a wish to arm.
func (m *Machine) arm(in Arm) *Refusal {
	p, refused := m.partitionFor(in.By, in.Partition, func(u User) bool { return u.Arm && (u.Bypass || len(in.Force) == 0) })
	if refused == nil {
		refused = m.mayArm(p, in)
	}
	if refused != nil {
		return refused
	}
	for _, z := range p.zones {
		if slices.Contains(in.Force, z.ID) && z.level != normal && !z.Kind.alwaysOn() && !m.silenced(z) {
			z.soft = true
			m.tellBypassed(z, LeftOutSoft, in.By.name(), RefusedNotNormal)
		}
		z.alarms, z.trip = 0, 0
		if z.Entry && z.level == active {
			p.leaves = 1
		}
	}
	p.mode = in.Mode
	if !in.Now && p.Exit > 0 {
		p.exit = m.after(p.Exit)
	}
	p.by(in.By)
	return nil
}

// mayArm says what is in the way of arming.
func (m *Machine) mayArm(p *partition, in Arm) *Refusal {
	if !in.Mode.valid() {
		return &Refusal{Reason: RefusedMode}
	}
	var strangers []string
	for _, id := range in.Force {
		if z := m.byZone[id]; z == nil || z.p != p {
			strangers = append(strangers, id)
		}
	}
	switch {
	case len(strangers) > 0:
		return &Refusal{RefusedZone, strangers}
	case p.mode != "":
		return &Refusal{Reason: RefusedArmed}
	case p.sounding != 0:
		return &Refusal{Reason: RefusedAlarm}
	case p.walk != 0:
		return &Refusal{Reason: RefusedWalkTest}
	case m.test.until != 0:
		return &Refusal{Reason: RefusedMaintenance}
	}
	if bad := m.obstacles(p, in); len(bad) > 0 {
		return &Refusal{RefusedNotNormal, bad}
	}
	return nil
}

// obstacles are the zones that must be normal first, or forced. With an exit delay the way out may be active.
func (m *Machine) obstacles(p *partition, in Arm) []string {
	var bad []string
	for _, z := range p.zones {
		switch {
		case z.level == normal || m.silenced(z) || slices.Contains(in.Force, z.ID):
		case z.level == active && !z.Kind.alwaysOn() && !z.counts(in.Mode):
		case z.level == active && (z.Entry || z.Follow) && !in.Now && p.Exit > 0:
		default:
			bad = append(bad, z.ID)
		}
	}
	return bad
}

func (m *Machine) disarmWish(in Disarm) *Refusal {
	p, refused := m.partitionFor(in.By, in.Partition, func(u User) bool { return u.Disarm })
	if refused == nil {
		m.disarm(p, in.By)
	}
	return refused
}

// disarm ends all but the memory.
func (m *Machine) disarm(p *partition, by Actor) {
	p.by(by)
	if p.sounding != 0 {
		p.sounding = 0
		m.quieten(p, causeDisarmed)
	}
	if p.mode == "" {
		return
	}
	p.mode, p.exit, p.entry, p.waiting, p.leaves = "", 0, 0, nil, 0
	for _, z := range p.zones {
		m.countAgain(z, by)
	}
}

// countAgain ends what leaves a zone out for one armed period only.
func (m *Machine) countAgain(z *zone, by Actor) {
	z.alarms, z.trip = 0, 0
	if z.soft {
		z.soft = false
		m.tellCounts(z, LeftOutSoft, by.name(), causeDisarmed)
	}
	if z.swinger {
		z.swinger = false
		m.tellCounts(z, LeftOutSwinger, by.name(), causeDisarmed)
		m.ended(z)
	}
}

// clear does a wish to forget the alarm memory. What is an alarm still is not forgotten.
func (m *Machine) clear(in Clear) *Refusal {
	p, refused := m.partitionFor(in.By, in.Partition, func(u User) bool { return u.Disarm })
	if refused != nil {
		return refused
	}
	var standing []string
	for _, z := range p.zones {
		if z.Kind.alwaysOn() && (z.alarm != "" || z.wire != "") {
			standing = append(standing, z.ID)
		}
	}
	switch {
	case p.mode != "":
		return &Refusal{Reason: RefusedArmed}
	case p.sounding != 0:
		return &Refusal{Reason: RefusedAlarm}
	case len(standing) > 0:
		return &Refusal{RefusedStanding, standing}
	}
	p.memory = nil
	p.by(in.By)
	return nil
}

// remember keeps an alarm, once for each zone and cause.
func (p *partition) remember(a Alarm) {
	for i := range p.memory {
		if p.memory[i].Zone == a.Zone && p.memory[i].Reason == a.Reason {
			p.memory[i].Count++
			return
		}
	}
	p.memory = append(p.memory, a)
}

// walkTest begins or ends a walk test.
func (m *Machine) walkTest(in WalkTest) *Refusal {
	p, refused := m.partitionFor(in.By, in.Partition, func(u User) bool { return u.Engineer })
	switch {
	case refused != nil:
		return refused
	case in.Off:
		p.endWalk()
	case p.mode != "":
		return &Refusal{Reason: RefusedArmed}
	case p.sounding != 0:
		return &Refusal{Reason: RefusedAlarm}
	case p.walk == 0:
		p.walk = m.after(maxWork)
		for _, z := range p.zones {
			z.walked = false
		}
	}
	p.by(in.By)
	return nil
}

// endWalk ends a walk test and names the zones that nobody has walked past.
func (p *partition) endWalk() {
	if p.walk == 0 {
		return
	}
	p.walk = 0
	var unseen []string
	for _, z := range p.zones {
		if !z.walked {
			unseen = append(unseen, z.ID)
		}
		z.walked = false
	}
	p.note.detail = notWalked(unseen)
}
