package contact

import (
	"strconv"
	"strings"
	"time"

	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// The states of a contact's zone, words of the glossary.
const (
	stateUnknown = "unknown" // nothing heard yet
	stateNormal  = "normal"
	stateActive  = "active"
	stateMissing = "missing" // the wire is dead
	stateFault   = "fault"   // the contact chatters
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
	kernelNS        int64
	lineSeq         uint64
	lost, count     uint64
	reason, detail  string
	once            string
}

// machine is the pure state of one zone: edges and time go in, facts come out.
type machine struct {
	cfg     Config
	told    string // the state that holds, as told
	level   string // normal or active as last read, stateUnknown before the first word
	changes []time.Time
	quietAt time.Time // of a latched chatter
	held    uint64    // changes not told while latched
}

func newMachine(cfg Config) *machine {
	return &machine{cfg: cfg, told: stateUnknown, level: stateUnknown}
}

// edge takes one word of the line.
func (m *machine) edge(e bus.Edge, now time.Time) []fact {
	if e.Quality == bus.Missing {
		return m.missing(e)
	}
	next := stateNormal
	if e.Level != m.cfg.NormallyClosed {
		next = stateActive
	}
	before := m.level
	m.level = next
	if m.chatters(e, before != next && before != stateUnknown, now) {
		return m.latch(e, now)
	}
	switch {
	case m.told == stateUnknown:
		return m.first(e, next)
	case m.told == stateMissing && before == stateUnknown:
		return m.first(e, next)
	case before != next:
		return []fact{m.change(e, next)}
	case e.Lost > 0:
		return m.unseen(e, next)
	case m.told == stateMissing:
		return []fact{m.back(e, next)}
	}
	return nil
}

func (m *machine) missing(e bus.Edge) []fact {
	if m.told == stateMissing {
		return nil
	}
	f := fact{state: stateMissing, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning,
		reason: "wire", detail: strings.ToValidUTF8(e.Reason, "?"), count: m.held}
	m.told, m.changes, m.held = stateMissing, nil, 0
	return []fact{f}
}

// first tells the level found at the start of this run. The Once key is that of the edge, so that an alarm that the run
// before has told is not told again. A normal state has none: whatever was told last, this is how it stands now.
func (m *machine) first(e bus.Edge, next string) []fact {
	f := m.change(e, next)
	if next == stateNormal {
		f.qualifier, f.once = event.QualifierStatus, ""
	}
	return []fact{f}
}

// change moves to the next state and tells it.
func (m *machine) change(e bus.Edge, next string) fact {
	f := fact{state: next, previous: m.told, qualifier: event.QualifierRestore, severity: event.SeverityNotice,
		kernelNS: e.KernelNS, lineSeq: e.LineSeq, lost: e.Lost}
	if next == stateActive {
		f.qualifier, f.severity = event.QualifierNew, m.cfg.Severity
	}
	if e.KernelNS > 0 {
		f.once = strconv.FormatUint(e.LineSeq, 10) + "/" + strconv.FormatInt(e.KernelNS, 10)
	}
	m.told = next
	return f
}

// unseen tells a zone that stands as before although edges were lost: it has been active, or active anew, meanwhile.
func (m *machine) unseen(e bus.Edge, next string) []fact {
	pulse := m.change(e, stateActive)
	pulse.reason = "lost"
	if next == stateActive {
		return []fact{pulse}
	}
	pulse.kernelNS, pulse.lineSeq, pulse.once = 0, 0, "" // the edge that we know of is the one back
	e.Lost = 0
	return []fact{pulse, m.change(e, next)}
}

// back tells a wire that is alive again, its zone as it was before.
func (m *machine) back(e bus.Edge, next string) fact {
	f := m.change(e, next)
	f.qualifier, f.severity, f.once, f.reason = event.QualifierStatus, event.SeverityNotice, "", "wire"
	if next == stateNormal {
		f.qualifier = event.QualifierRestore
	}
	return f
}

// chatters notes a change and reports whether the zone is latched, or is to be.
func (m *machine) chatters(e bus.Edge, changed bool, now time.Time) bool {
	n := uint64(0)
	if e.Quality == bus.Changed {
		n = 1 + e.Lost
	} else if changed {
		n = 1
	}
	if m.told == stateFault {
		m.held += n
		return true
	}
	for range min(n, chatterChanges+1) {
		m.changes = append(m.changes, now)
	}
	m.changes = m.changes[max(0, len(m.changes)-chatterChanges-1):]
	return len(m.changes) > chatterChanges && now.Sub(m.changes[0]) <= chatterSpan
}

// latch tells the chatter once, and waits for quiet from here on.
func (m *machine) latch(e bus.Edge, now time.Time) []fact {
	m.quietAt = now.Add(chatterSpan)
	if m.told == stateFault {
		return nil
	}
	f := fact{state: stateFault, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning,
		kernelNS: e.KernelNS, lineSeq: e.LineSeq, lost: e.Lost, reason: "chatter"}
	m.told, m.held = stateFault, 0
	return []fact{f}
}

// due is when tick wants to be called; false: not at all.
func (m *machine) due() (time.Time, bool) { return m.quietAt, m.told == stateFault }

// tick ends a chatter after quiet.
func (m *machine) tick(now time.Time) []fact {
	if m.told != stateFault || now.Before(m.quietAt) {
		return nil
	}
	f := m.change(bus.Edge{}, m.level)
	f.reason, f.count = "chatter", m.held
	m.changes, m.held = nil, 0
	return []fact{f}
}
