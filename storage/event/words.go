package event

import "fmt"

// Lane is a queue of events that travels apart from the others: alarms go before the rest.
type Lane uint8

// The lanes, in the order in which they are sent. The numbers are on disk and on the wire.
const (
	LaneAlarm Lane = 1 // alarms and hits; never evicted
	LaneMain  Lane = 2 // warnings, notices, audit, evidence heads, markers
	LaneRead  Lane = 3 // plate reads
	LaneTrace Lane = 4 // traces; evicted first
)

// Lanes lists all lanes in the order in which they are sent.
func Lanes() [4]Lane { return [4]Lane{LaneAlarm, LaneMain, LaneRead, LaneTrace} }

// LaneOf is the lane of an event of kind k and severity s: alarms by severity, the rest by kind and severity.
func LaneOf(_ Kind, s Severity) Lane {
	switch s {
	case SeverityAlarm:
		return LaneAlarm
	case SeverityTrace:
		return LaneTrace
	default:
		return LaneMain
	}
}

// Severity says how much an event asks of people.
type Severity uint8

// The severities. The numbers are on disk and on the wire.
const (
	SeverityTrace   Severity = 1 // for engineers
	SeverityNotice  Severity = 2 // worth keeping
	SeverityWarning Severity = 3 // somebody should look, today
	SeverityAlarm   Severity = 4 // somebody must act, now
)

// Qualifier says whether an event begins a condition, ends it, or tells how it stands.
type Qualifier uint8

// The qualifiers, as in DC-05: 1 new or opening, 3 restore or closing, 6 status.
const (
	QualifierNew     Qualifier = 1
	QualifierRestore Qualifier = 2
	QualifierStatus  Qualifier = 3
)

// ClockQuality says how far the wall clock of an event may be believed.
type ClockQuality uint8

// The clock qualities, from adjtimex(2).
const (
	ClockUnknown  ClockQuality = 0 // nobody asked
	ClockUnsynced ClockQuality = 1 // the kernel says STA_UNSYNC
	ClockSynced   ClockQuality = 2 // disciplined by NTP or the like
)

// ReasonTest is the reason of a test zone's alarm that the station has asked for. One that nobody asked for has none.
const ReasonTest = "test"

func laneName(l Lane) string {
	switch l {
	case LaneAlarm:
		return "alarm"
	case LaneMain:
		return "main"
	case LaneRead:
		return "read"
	case LaneTrace:
		return "trace"
	}
	return ""
}

func severityName(s Severity) string {
	switch s {
	case SeverityTrace:
		return "trace"
	case SeverityNotice:
		return "notice"
	case SeverityWarning:
		return "warning"
	case SeverityAlarm:
		return "alarm"
	}
	return ""
}

func qualifierName(q Qualifier) string {
	switch q {
	case QualifierNew:
		return "new"
	case QualifierRestore:
		return "restore"
	case QualifierStatus:
		return "status"
	}
	return ""
}

func clockName(q ClockQuality) string {
	switch q {
	case ClockUnknown:
		return "unknown"
	case ClockUnsynced:
		return "unsynced"
	case ClockSynced:
		return "synced"
	}
	return ""
}

func nameOr(name, kind string, n uint64) string {
	if name == "" {
		return fmt.Sprintf("%s-%d", kind, n)
	}
	return name
}

// String is the lane's word: alarm, main, read or trace.
func (l Lane) String() string { return nameOr(laneName(l), "lane", uint64(l)) }

// String is the severity's word: trace, notice, warning or alarm.
func (s Severity) String() string { return nameOr(severityName(s), "severity", uint64(s)) }

// String is the qualifier's word: new, restore or status.
func (q Qualifier) String() string { return nameOr(qualifierName(q), "qualifier", uint64(q)) }

// String is the clock quality's word: unknown, unsynced or synced.
func (q ClockQuality) String() string { return nameOr(clockName(q), "clock", uint64(q)) }

// ParseLane reads a lane's word.
func ParseLane(s string) (Lane, error) {
	for _, l := range Lanes() {
		if l.String() == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("lane %q: want alarm, main, read or trace", s)
}

// ParseSeverity reads a severity's word.
func ParseSeverity(s string) (Severity, error) {
	for v := SeverityTrace; v <= SeverityAlarm; v++ {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("severity %q: want trace, notice, warning or alarm", s)
}

// MarshalText writes the lane's word.
func (l Lane) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the lane's word.
func (l *Lane) UnmarshalText(b []byte) error {
	v, err := ParseLane(string(b))
	if err != nil {
		return err
	}
	*l = v
	return nil
}

// MarshalText writes the severity's word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the severity's word.
func (s *Severity) UnmarshalText(b []byte) error {
	v, err := ParseSeverity(string(b))
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// MarshalText writes the qualifier's word.
func (q Qualifier) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// MarshalText writes the clock quality's word.
func (q ClockQuality) MarshalText() ([]byte, error) { return []byte(q.String()), nil }
