package arming

import "slices"

// The words of a zone's state, as its driver tells them.
const (
	unknown = "unknown" // nothing is known: never taken for normal
	normal  = "normal"
	active  = "active"
	short   = "short"
	open    = "open"
	masked  = "masked"
	fault   = "fault"
	missing = "missing"
)

func validWord(s string) bool {
	return slices.Contains([]string{unknown, normal, active, short, open, masked, fault, missing}, s)
}

// Causes of alarms besides the kinds of zones. They are the reason of alarm.raised.
const (
	CauseTamper          = "tamper"            // a wire is cut or shorted, a detector covered, a chip gone
	CauseFault           = "fault"             // an armed zone cannot be read: chatter; told, never sounded
	CauseOpenedWhileDown = "opened-while-down" // normal when last known, active when the station heard it again
	CauseExitError       = "exit-error"        // still active when the exit delay ended
)

// zone is a zone at work.
type zone struct {
	Zone
	p *partition

	// What is known of this run only.
	level  string // the driver's last word
	reason string // and why
	edge   edge   // and when
	heard  bool   // there was a word, other than unknown

	// What outlives the run, where durable.
	judged      string // the last word that was judged
	stood       string // normal or active, as last judged; "" = never known
	alarm, wire string // causes of alarms that have not ended, of being active and of its wire; "" = none
	alarms      int    // of this armed period
	trip        deadline
	walked      bool
	soft        bool
	swinger     bool
	hard, test  work
}

// edge is when the kernel saw a line change.
type edge struct {
	KernelNS int64  `json:"kernel,omitempty"`
	LineSeq  uint64 `json:"seq,omitempty"`
}

// durable says that the zone's level must outlive the run.
func (z *zone) durable() bool { return z.p.mode != "" || z.Kind.alwaysOn() }

// counts says that an intrusion zone matters in mode.
func (z *zone) counts(mode Mode) bool { return len(z.Modes) == 0 || slices.Contains(z.Modes, mode) }

// word takes a driver's word. The first one of a run is compared with what was last known before it.
func (m *Machine) word(w Word) {
	z := m.byZone[w.Zone]
	z.level, z.reason, z.edge = w.State, clip(w.Reason), edge{w.KernelNS, w.LineSeq}
	if w.State == unknown {
		return
	}
	first := !z.heard
	z.heard = true
	z.walked = z.walked || z.p.walk != 0 && z.level == active
	if m.believes(z) {
		m.judge(z, first)
	}
}

// believes says that the zone's level may be acted upon: after a power-up detectors settle first (CP-01 4.4.3).
func (m *Machine) believes(z *zone) bool {
	return z.level != unknown && (z.p.settle == 0 || z.Kind.button())
}

// judge compares the zone's level with what it was. An alarm is a change from normal: what was active before its wire, its driver
// or the station was gone is active still, and not anew. Only an always-on zone that was never known is an alarm as it is found, and
// what such a zone says while it is left out is judged when it counts again.
func (m *Machine) judge(z *zone, first bool) {
	if z.Kind.alwaysOn() && z.level != normal && m.silenced(z) {
		return
	}
	before := z.judged
	z.judged = z.level
	switch z.level {
	case normal:
		z.stood = normal
		m.ended(z)
	case active:
		was := z.stood
		z.stood = active
		m.ended(z)
		if was == normal || was == "" && z.Kind.alwaysOn() {
			m.activated(z, first && was == normal)
		}
	default:
		if before != z.level {
			m.broken(z)
		}
	}
}

// activated gives the verdict on a zone that has become active.
func (m *Machine) activated(z *zone, whileDown bool) {
	p, cause := z.p, string(z.Kind)
	if whileDown {
		cause = CauseOpenedWhileDown
	}
	switch {
	case m.silenced(z):
	case z.Kind.alwaysOn():
		m.raiseActive(z, cause, z.edge)
	case p.exit != 0:
		m.leave(z)
	case p.mode == "" || !z.counts(p.mode):
	case p.Entry > 0 && (z.Entry || z.Follow && p.entry != 0):
		m.wait(z, cause)
	case z.Confirm == "" || m.confirmed(z):
		m.raiseActive(z, cause, z.edge)
	}
}

// confirmed notes the trip of a zone, and says whether enough of its group tripped within the time that counts.
func (m *Machine) confirmed(z *zone) bool {
	z.trip = m.after(z.p.Within)
	n := 0
	for _, other := range z.p.zones {
		if other.Confirm == z.Confirm && other.trip != 0 && !other.trip.due(m.now) {
			n++
		}
	}
	return n >= z.p.Needed
}

// broken gives the verdict on a zone that can no longer be read as normal or active. On a disarmed partition its own event tells
// that; while armed it is an alarm, once until it can be read again. A tamper zone is there to tell it at any hour.
func (m *Machine) broken(z *zone) {
	armed := z.p.mode != ""
	switch {
	case m.silenced(z):
	case z.level == fault:
		if armed && z.wire == "" {
			z.wire = CauseFault
			m.raise(z, CauseFault, fault, z.edge)
		}
	case (armed || z.Kind == Tamper) && z.wire != CauseTamper:
		m.restored(z, &z.wire)
		z.wire = CauseTamper
		m.raise(z, CauseTamper, z.level, z.edge)
	}
}

// raiseActive raises the alarm of a zone that is or was active.
func (m *Machine) raiseActive(z *zone, cause string, e edge) {
	z.alarm = cause
	m.raise(z, cause, active, e)
}

// ended tells the end of alarms whose cause is over. A swinger's are held until it counts again.
func (m *Machine) ended(z *zone) {
	if z.swinger {
		return
	}
	if z.judged == normal || z.judged == active {
		m.restored(z, &z.wire)
	}
	if z.stood == normal {
		m.restored(z, &z.alarm)
	}
}

func (m *Machine) restored(z *zone, cause *string) {
	if *cause != "" {
		m.tellRestored(z, *cause)
		*cause = ""
	}
}

// again judges an always-on zone that counts again: what it is now is an alarm if it stands. An intrusion zone must be normal first.
func (m *Machine) again(z *zone) {
	if z.Kind.alwaysOn() && m.believes(z) {
		m.judge(z, false)
	}
}
