package sensor

import (
	"errors"
	"fmt"
	"strings"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
	"watchpost/storage/event"
)

// The states of a sensor, words of the glossary.
const (
	Unknown = "unknown" // nothing read yet
	Normal  = "normal"
	Low     = "low"     // a value is below its limit
	High    = "high"    // a value is above its limit
	Missing = "missing" // it does not answer
	Fault   = "fault"   // it answers, and what it says is not to be believed
)

// failures is how many readings in a row fail before it is told; a bus that does not work is told at once.
const failures = 3

// fact is one thing to tell.
type fact struct {
	kind            event.Kind
	state, previous string
	qualifier       event.Qualifier
	severity        event.Severity
	quantity        string // "" = the sensor as a whole
	value           measure.Micro
	valued          bool // there is a value
	unit            string
	limit           *measure.Micro
	reason, detail  string
}

// quantity is one of the values that a sensor gives.
type quantity struct {
	state   string // Normal, Low or High
	reading measure.Reading
}

// machine is the pure state of one sensor.
type machine struct {
	low, high  map[string]measure.Micro
	severity   event.Severity
	failed     string // Missing or Fault as told, "" = it works
	reason     string // of failed
	fails      int    // readings in a row
	heard      bool   // it has worked once
	order      []string
	quantities map[string]*quantity
}

// hear takes one measurement.
func (m *machine) hear(readings []measure.Reading, err error) []fact {
	if err == nil {
		err = check(readings)
	}
	if err != nil {
		return m.fail(err)
	}
	facts := m.works()
	back := len(facts) > 0
	for _, r := range readings {
		q := m.quantities[r.Name]
		if q == nil {
			q = &quantity{state: Normal}
			m.quantities[r.Name], m.order = q, append(m.order, r.Name)
		}
		before := q.state
		limit := m.judge(q, r)
		f := fact{kind: event.KindSensorChanged, state: q.state, previous: before, qualifier: event.QualifierNew, severity: m.severity, quantity: r.Name,
			value: r.Value, valued: true, unit: r.Unit, limit: limit, detail: r.String()}
		switch {
		case q.state == before && (q.state == Normal || !back):
			continue
		case q.state == before: // as it was before the sensor failed
			f.qualifier, f.severity = event.QualifierStatus, event.SeverityNotice
		case q.state == Normal:
			f.qualifier, f.severity = event.QualifierRestore, event.SeverityNotice
		}
		facts = append(facts, f)
	}
	return facts
}

// works tells that the sensor works, for the first time or again; its values are told beside that.
func (m *machine) works() []fact {
	f := fact{kind: event.KindSensorChanged, state: Normal, previous: m.failed, qualifier: event.QualifierRestore, severity: event.SeverityNotice, reason: m.reason}
	told := m.failed != "" || !m.heard
	if m.failed == "" {
		f.qualifier, f.previous = event.QualifierStatus, Unknown
	}
	m.failed, m.reason, m.fails, m.heard = "", "", 0, true
	if !told {
		return nil
	}
	return []fact{f}
}

// check says what is wrong with a measurement that is none.
func check(readings []measure.Reading) error {
	if len(readings) == 0 {
		return errors.New("it gives no value")
	}
	for _, r := range readings {
		if r.Quality != measure.Fresh {
			return fmt.Errorf("%s is %s: %w", r.Name, r.Quality, errOr(r.Err))
		}
	}
	return nil
}

// errOr is the error, or one for a reading that says no more.
func errOr(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}

// fail counts a measurement that failed. What was read before is not shown as a number any more once it is told.
func (m *machine) fail(err error) []fact {
	m.fails++
	for _, q := range m.quantities {
		q.reading.Quality = measure.Stale
	}
	state, reason := Why(err)
	if m.fails < failures && reason != "bus" || m.failed == state && m.reason == reason {
		return nil
	}
	previous := m.state()
	m.failed, m.reason = state, reason
	return []fact{{kind: event.KindSensorChanged, state: state, previous: previous, qualifier: event.QualifierNew, severity: event.SeverityWarning, reason: reason,
		detail: strings.ToValidUTF8(err.Error(), "?")}}
}

// Why says what a measurement that failed makes of its sensor: missing for a bus that does not work (reason bus) or a chip that
// does not answer (chip), fault for what is not to be believed (reading, or the word that the error has for itself).
func Why(err error) (state, reason string) {
	switch {
	case bus.Down(err):
		return Missing, "bus"
	case errors.Is(err, bus.ErrNoAnswer):
		return Missing, "chip"
	}
	if own, ok := errors.AsType[interface {
		error
		Reason() string
	}](err); ok {
		return Fault, own.Reason()
	}
	return Fault, "reading"
}

// judge compares a reading with its limits, and gives the limit that it left. One that has left a limit comes back when it is
// inside by 1 % of the limit, and by two tenths at least.
func (m *machine) judge(q *quantity, r measure.Reading) *measure.Micro {
	q.reading = r
	low, hasLow := m.low[r.Name]
	high, hasHigh := m.high[r.Name]
	band := func(limit measure.Micro, left bool) measure.Micro {
		if !left {
			return 0
		}
		return max(max(limit, -limit)/100, 200_000)
	}
	switch {
	case hasHigh && r.Value > high-band(high, q.state == High):
		q.state = High
		return &high
	case hasLow && r.Value < low+band(low, q.state == Low):
		q.state = Low
		return &low
	}
	q.state = Normal
	return nil
}

// state is that of the sensor as a whole.
func (m *machine) state() string {
	if m.failed != "" {
		return m.failed
	}
	if !m.heard {
		return Unknown
	}
	for _, name := range m.order {
		if s := m.quantities[name].state; s != Normal {
			return s
		}
	}
	return Normal
}

// text is the values for people; a sensor that failed has none.
func (m *machine) text() string {
	if m.failed != "" {
		return "no value (" + m.reason + ")"
	}
	list := make([]string, 0, len(m.order))
	for _, name := range m.order {
		list = append(list, m.quantities[name].reading.String())
	}
	return strings.Join(list, ", ")
}

// reads are the values as they are, unless they are old.
func (m *machine) reads() []fact {
	var facts []fact
	for _, name := range m.order {
		if r := m.quantities[name].reading; r.Quality == measure.Fresh {
			facts = append(facts, fact{kind: event.KindSensorRead, qualifier: event.QualifierStatus, severity: event.SeverityTrace, quantity: name, value: r.Value, valued: true, unit: r.Unit})
		}
	}
	return facts
}
