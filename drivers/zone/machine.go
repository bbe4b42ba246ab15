package zone

import (
	"strconv"
	"strings"
	"time"

	"watchpost/storage/event"
)

// The states of a zone, words of the glossary.
const (
	Unknown = "unknown" // nothing heard yet
	Normal  = "normal"
	Active  = "active"
	Short   = "short"   // the wires of a supervised loop touch
	Open    = "open"    // a supervised loop is cut
	Masked  = "masked"  // the detector is covered
	Missing = "missing" // what would say it cannot be read
	Fault   = "fault"   // it is read and cannot be believed: it chatters, its excitation failed
)

// Chatter: more than chatterChanges changes in chatterSpan latch a fault, which ends after chatterSpan of quiet. A zone that went
// missing, or into another fault, as often stays so until then.
const (
	chatterChanges = 8
	chatterSpan    = 10 * time.Second
)

// Word is what a driver has read of a zone.
type Word struct {
	// State is any but Unknown.
	State string
	// Changed says that the zone was seen to change to State, rather than found in it.
	Changed bool
	// KernelNS is CLOCK_MONOTONIC at the edge, or at the reading that confirmed it; 0 = not known.
	KernelNS int64
	// LineSeq counts the edges of the zone's line from 1; 0 = none yet.
	LineSeq uint64
	// Lost is how many edges, before this word and after the last one, were never seen.
	Lost uint64
	// Reason says in one word why a zone is Missing or in Fault; Detail says it for people.
	Reason, Detail string
}

// level says that the word is how the zone itself stands, not that it cannot be told.
func (w Word) level() bool { return w.State != Missing && w.State != Fault }

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

// machine is the pure state of one zone: words and time go in, facts come out.
type machine struct {
	severity event.Severity // of an activation
	told     string         // the state that holds, as told
	reason   string         // of told, while it is Missing or Fault
	level    string         // the zone as last read, Unknown before the first such word
	blind    bool           // the last word said nothing of the zone
	latched  bool           // told is Fault for chatter, or a state that came and went
	changes  []time.Time
	blinks   []time.Time // when it went blind
	quietAt  time.Time   // of a latched chatter
	held     uint64      // changes not told while latched
}

func newMachine(severity event.Severity) *machine {
	return &machine{severity: severity, told: Unknown, level: Unknown}
}

// hear takes one word of the zone.
func (m *machine) hear(w Word, now time.Time) []fact {
	if !w.level() {
		return m.lose(w, now)
	}
	before, blind := m.level, m.blind
	m.level, m.blind = w.State, false
	m.latched = m.latched || blind && burst(m.blinks, now)
	if m.chatters(w, before != w.State && before != Unknown, now) {
		return m.latch(w, now)
	}
	switch {
	case before == Unknown:
		return m.first(w)
	case before != w.State:
		return []fact{m.change(w, w.State)}
	case w.Lost > 0:
		return m.unseen(w)
	case m.told == Missing || m.told == Fault:
		return []fact{m.back(w)}
	}
	return nil
}

// lose takes a word that says nothing of the zone itself.
func (m *machine) lose(w Word, now time.Time) []fact {
	if !m.blind {
		m.blind, m.blinks = true, last(append(m.blinks, now))
	}
	if m.told == w.State && m.reason == w.Reason {
		m.latched = false
		return nil
	}
	f := fact{state: w.State, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning,
		reason: w.Reason, detail: strings.ToValidUTF8(w.Detail, "?"), count: m.held}
	m.told, m.reason, m.latched, m.changes, m.held = w.State, w.Reason, false, nil, 0
	return []fact{f}
}

// first tells the state found at the start of this run. The Once key is that of the edge, so that an alarm that the run
// before has told is not told again. A normal state has none: whatever was told last, this is how it stands now.
func (m *machine) first(w Word) []fact {
	f := m.change(w, w.State)
	if w.State == Normal {
		f.qualifier, f.once = event.QualifierStatus, ""
	}
	return []fact{f}
}

// change moves to the next state and tells it. Tampering is a warning at least.
func (m *machine) change(w Word, next string) fact {
	f := fact{state: next, previous: m.told, qualifier: event.QualifierNew, severity: m.severity,
		kernelNS: w.KernelNS, lineSeq: w.LineSeq, lost: w.Lost, detail: strings.ToValidUTF8(w.Detail, "?")}
	switch next {
	case Normal:
		f.qualifier, f.severity = event.QualifierRestore, event.SeverityNotice
	case Short, Open, Masked:
		f.severity = max(m.severity, event.SeverityWarning)
	}
	if w.KernelNS > 0 {
		f.once = strconv.FormatUint(w.LineSeq, 10) + "/" + strconv.FormatInt(w.KernelNS, 10)
	}
	m.told, m.reason = next, ""
	return f
}

// unseen tells a zone that stands as before although edges were lost: it has been active, or active anew, meanwhile.
func (m *machine) unseen(w Word) []fact {
	pulse := m.change(w, Active)
	pulse.reason = "lost"
	if w.State == Active {
		return []fact{pulse}
	}
	pulse.kernelNS, pulse.lineSeq, pulse.once = 0, 0, "" // the edge that we know of is the one back
	w.Lost = 0
	return []fact{pulse, m.change(w, w.State)}
}

// back tells a zone that can be told again, as it was before.
func (m *machine) back(w Word) fact {
	reason := m.reason
	f := m.change(w, w.State)
	f.qualifier, f.severity, f.once, f.reason = event.QualifierStatus, event.SeverityNotice, "", reason
	if w.State == Normal {
		f.qualifier = event.QualifierRestore
	}
	return f
}

// chatters notes a change and reports whether the zone is latched, or is to be.
func (m *machine) chatters(w Word, changed bool, now time.Time) bool {
	n := uint64(0)
	if w.Changed {
		n = 1 + w.Lost
	} else if changed {
		n = 1
	}
	if m.latched {
		m.held += n
		return true
	}
	for range min(n, chatterChanges+1) {
		m.changes = append(m.changes, now)
	}
	m.changes = last(m.changes)
	return burst(m.changes, now)
}

// last keeps as many times as burst looks at.
func last(times []time.Time) []time.Time { return times[max(0, len(times)-chatterChanges-1):] }

// burst says that the times are more than chatterChanges, and none longer ago than chatterSpan.
func burst(times []time.Time, now time.Time) bool {
	return len(times) > chatterChanges && now.Sub(times[0]) <= chatterSpan
}

// latch tells the chatter once, and waits for quiet from here on.
func (m *machine) latch(w Word, now time.Time) []fact {
	m.quietAt = now.Add(chatterSpan)
	if m.latched {
		return nil
	}
	f := fact{state: Fault, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning,
		kernelNS: w.KernelNS, lineSeq: w.LineSeq, lost: w.Lost, reason: "chatter"}
	m.told, m.reason, m.latched, m.held = Fault, "chatter", true, 0
	return []fact{f}
}

// due is when tick wants to be called; false: not at all.
func (m *machine) due() (time.Time, bool) { return m.quietAt, m.latched }

// tick ends a chatter after quiet.
func (m *machine) tick(now time.Time) []fact {
	if !m.latched || now.Before(m.quietAt) {
		return nil
	}
	m.latched = false
	f := m.change(Word{}, m.level)
	f.reason, f.count = "chatter", m.held
	m.changes, m.blinks, m.held = nil, nil, 0
	return []fact{f}
}
