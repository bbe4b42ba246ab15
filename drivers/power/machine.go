package power

import (
	"strings"
	"time"

	"watchpost/drivers/ina219"
	"watchpost/drivers/measure"
	"watchpost/drivers/sensor"
	"watchpost/storage/event"
)

// The states of the supply, words of the glossary; sensor.Missing and sensor.Fault are the others.
const (
	Unknown    = "unknown"
	Mains      = "mains"
	Battery    = "battery"     // the mains has failed
	BatteryLow = "battery-low" // whoever is to come should come now
)

// What counts as what. A current between the two bounds leaves it as it was.
const (
	discharging = 50 * measure.Ampere / 1000 // out of the battery, more than this
	resting     = 10 * measure.Ampere / 1000 // less than this, or into it
	backAfter   = 10 * time.Second           // without discharge until the mains is believed
	lowAfter    = 5 * time.Second            // below the bound: a siren that starts is no empty battery
	lowBand     = 3 * measure.Volt / 10      // above the bound until it is low no more
	failures    = 3                          // measurements in a row that fail until it is told
)

// fact is one thing to tell.
type fact struct {
	state, previous string
	qualifier       event.Qualifier
	severity        event.Severity
	sample          *ina219.Sample // nil = none
	limit           measure.Voltage
	reason, detail  string
}

// machine is the pure state of the supply.
type machine struct {
	mainsAfter time.Duration
	lowVolts   measure.Voltage

	told    string
	reason  string // while it is missing or a fault
	fails   int
	sample  ina219.Sample
	flowing bool      // out of the battery, as last clear
	since   time.Time // of flowing
	heard   bool      // flowing is known
	lowFor  time.Time // when the voltage fell below the bound, zero = it is not
	low     bool
	failed  bool // the mains
}

// hear takes one measurement.
func (m *machine) hear(s ina219.Sample, err error, now time.Time) []fact {
	if err != nil {
		return m.fail(err)
	}
	m.fails, m.sample = 0, s
	m.flow(now)
	m.volts(now)
	next := Mains
	switch {
	case m.low:
		next = BatteryLow
	case m.failed:
		next = Battery
	case m.flowing:
		return nil // whether the mains has failed will show
	}
	if next == m.told {
		return nil
	}
	f := fact{state: next, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning, sample: &s, reason: m.reason}
	switch {
	case next == BatteryLow:
		f.limit = m.lowVolts
	case next == Mains && m.told == Unknown:
		f.qualifier, f.severity = event.QualifierStatus, event.SeverityNotice
	case next == Mains:
		f.qualifier, f.severity = event.QualifierRestore, event.SeverityNotice
	case m.told == BatteryLow:
		f.qualifier, f.severity = event.QualifierStatus, event.SeverityNotice
	}
	m.told, m.reason = next, ""
	return []fact{f}
}

// flow follows the current: the mains has failed when the battery has fed the station for mainsAfter, and is back when it has
// not for backAfter.
func (m *machine) flow(now time.Time) {
	flowing := m.flowing
	if m.sample.Current > discharging {
		flowing = true
	} else if m.sample.Current < resting {
		flowing = false
	}
	if !m.heard || flowing != m.flowing {
		m.heard, m.flowing, m.since = true, flowing, now
	}
	switch held := now.Sub(m.since); {
	case m.flowing && held >= m.mainsAfter:
		m.failed = true
	case !m.flowing && held >= backAfter:
		if m.failed { // that it is back is told at once; a battery that stays low is told anew
			m.low, m.lowFor = false, time.Time{}
		}
		m.failed = false
	}
}

// volts follows the voltage.
func (m *machine) volts(now time.Time) {
	switch v := m.sample.Voltage; {
	case v >= m.lowVolts+lowBand:
		m.low, m.lowFor = false, time.Time{}
	case v >= m.lowVolts:
		m.lowFor = time.Time{}
	case m.lowFor.IsZero():
		m.lowFor = now
	case now.Sub(m.lowFor) >= lowAfter:
		m.low = true
	}
}

// fail counts a measurement that failed. What was measured before says nothing of now, so that the current is followed anew.
func (m *machine) fail(err error) []fact {
	m.fails++
	m.heard, m.lowFor = false, time.Time{}
	state, reason := sensor.Why(err)
	if m.fails < failures && reason != "bus" || m.told == state && m.reason == reason {
		return nil
	}
	f := fact{state: state, previous: m.told, qualifier: event.QualifierNew, severity: event.SeverityWarning, reason: reason,
		detail: strings.ToValidUTF8(err.Error(), "?")}
	m.told, m.reason = state, reason
	return []fact{f}
}

// text is the measurement for people; there is none where it failed.
func (m *machine) text() string {
	switch {
	case m.reason != "":
		return "no value (" + m.reason + ")"
	case m.fails > 0 || !m.heard:
		return "no value"
	}
	return m.sample.Voltage.String() + ", " + m.sample.Current.String() + " out of the battery"
}
