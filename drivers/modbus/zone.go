//lint:pure

package modbus

import (
	"time"

	"watchpost/storage/event"
)

// The states of a zone, words of the glossary.
const (
	stateUnknown = "unknown" // not polled yet
	stateNormal  = "normal"
	stateActive  = "active"
	stateMissing = "missing" // the slave does not answer, or refuses
	stateFault   = "fault"   // the input chatters
)

// Chatter: more than chatterChanges changes in chatterSpan latch a fault, which ends after chatterSpan of quiet.
const (
	chatterChanges = 8
	chatterSpan    = 10 * time.Second
)

// fact is one thing to tell of a zone.
type fact struct {
	state, previous string
	qualifier       event.Qualifier
	severity        event.Severity
	reason, detail  string
	count           uint64 // changes that a chatter has swallowed
}

// machine is the pure state of one zone: what was polled goes in, at most one fact comes out.
type machine struct {
	severity event.Severity // of active
	told     string
	level    string // normal or active as last polled, stateUnknown before that
	changes  []time.Time
	held     uint64 // changes not told while the zone chatters
}

func newMachine(active event.Severity) *machine {
	return &machine{severity: active, told: stateUnknown, level: stateUnknown}
}

// polled takes the level of one poll.
func (m *machine) polled(active bool, now time.Time) (fact, bool) {
	next := stateNormal
	if active {
		next = stateActive
	}
	before := m.level
	m.level = next
	if before != next && before != stateUnknown {
		m.changes = append(m.changes[max(0, len(m.changes)-chatterChanges):], now)
		if m.told == stateFault {
			m.held++
		}
	}
	rapid := len(m.changes) > chatterChanges && now.Sub(m.changes[0]) <= chatterSpan
	quiet := len(m.changes) == 0 || now.Sub(m.changes[len(m.changes)-1]) >= chatterSpan
	switch {
	case m.told == stateFault && !quiet, m.told == next:
		return fact{}, false
	case m.told == stateFault:
		f := m.change(next, "chatter")
		f.count, m.held, m.changes = m.held, 0, nil
		return f, true
	case rapid:
		f := fact{state: stateFault, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning, reason: "chatter"}
		m.told = stateFault
		return f, true
	case m.told == stateMissing && before == next:
		f := m.change(next, "wire") // as it was before the wire died: nothing new
		f.severity = event.SeverityNotice
		if next == stateActive {
			f.qualifier = event.QualifierStatus
		}
		return f, true
	}
	f := m.change(next, "")
	if f.previous == stateUnknown && next == stateNormal {
		f.qualifier = event.QualifierStatus
	}
	return f, true
}

// change moves to the next state.
func (m *machine) change(next, reason string) fact {
	f := fact{state: next, previous: m.told, qualifier: event.QualifierRestore, severity: event.SeverityNotice, reason: reason}
	if next == stateActive {
		f.qualifier, f.severity = event.QualifierNew, m.severity
	}
	m.told = next
	return f
}

// lost takes that the slave does not answer.
func (m *machine) lost(why string) (fact, bool) {
	if m.told == stateMissing {
		return fact{}, false
	}
	f := fact{state: stateMissing, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning, reason: "wire",
		detail: why, count: m.held}
	m.told, m.changes, m.held = stateMissing, nil, 0
	return f, true
}
