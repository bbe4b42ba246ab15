// Alarm panels say what happened as three digits of Contact ID, fixed by SIA DC-05: 130 is a burglary, 401 somebody arming.
//
// The table follows DC-05's groups: 1xx alarms, 2xx fire supervisory, 3xx troubles, 4xx opening and closing, 5xx
// bypasses, 6xx tests. Which codes name a user in their third field is from dc09_spt (msg/dc05_msg.py). The two letters of SIA
// DC-03 say the same things in another alphabet: [LookupSIA] reads them, and [CodesOf] finds the words for what a station says.
package contactid

import "watchpost/storage/event"

// Class is the sort of thing that a panel's code tells.
type Class string

// The classes. Words of the wire: append only.
const (
	ClassAlarm       Class = "alarm"
	ClassSupervisory Class = "supervisory" // a detector or valve that is watched is off normal
	ClassTrouble     Class = "trouble"
	ClassOpenClose   Class = "openclose"
	ClassAccess      Class = "access"
	ClassBypass      Class = "bypass"
	ClassTest        Class = "test"
	ClassSystem      Class = "system" // programming, clock, log
	ClassUnknown     Class = "unknown"
)

// Severity is that of a new event of the class. What a panel sends and we do not know is a warning, so somebody looks.
func (c Class) Severity() event.Severity {
	switch c {
	case ClassAlarm:
		return event.SeverityAlarm
	case ClassSupervisory, ClassTrouble, ClassUnknown:
		return event.SeverityWarning
	default:
		return event.SeverityNotice
	}
}

// Meaning is what one code says.
type Meaning struct {
	Text     string // for people, in small letters
	Kind     Kind
	Class    Class
	Severity event.Severity // of a new event; a restore is a notice
	User     bool           // the third field is a user, not a zone
}

// Lookup is the meaning of a code of three digits; false: the code is not in DC-05, and the meaning is that of an unknown
// code of its group, of class unknown.
func Lookup(code string) (Meaning, bool) {
	text, class := find(code)
	m := Meaning{Text: text, Kind: kindOf(code), Class: class, Severity: class.Severity(), User: isUser(code)}
	switch code {
	case "313", "454", "461": // engineer reset, fail to close, wrong code
		m.Severity = event.SeverityWarning
	}
	if text == "" {
		return Meaning{Text: "unknown code", Kind: KindUnknown, Class: ClassUnknown, Severity: ClassUnknown.Severity(), User: m.User}, false
	}
	return m, true
}

// isUser follows dc09_spt/msg/dc05_msg.py: 121 313 400–409 411–415 421–431 441–466 574 604 607 625 642 652 653.
func isUser(code string) bool {
	in := func(from, upto string) bool { return len(code) == 3 && code >= from && code <= upto }
	switch code {
	case "121", "313", "574", "604", "607", "625", "642", "652", "653":
		return true
	}
	return in("400", "409") || in("411", "415") || in("421", "431") || in("441", "466")
}

func find(code string) (string, Class) {
	if len(code) != 3 || code[1] < '0' || code[1] > '9' || code[2] < '0' || code[2] > '9' {
		return "", ClassUnknown
	}
	n := int(code[1]-'0')*10 + int(code[2]-'0')
	switch code[0] {
	case '1':
		return alarm(n), ClassAlarm
	case '2':
		return supervisory(n), ClassSupervisory
	case '3':
		return trouble(n), ClassTrouble
	case '4':
		if n >= 11 && n <= 34 {
			return openClose(n), ClassAccess
		}
		return openClose(n), ClassOpenClose
	case '5':
		return bypass(n), ClassBypass
	case '6':
		if n >= 21 {
			return test(n), ClassSystem
		}
		return test(n), ClassTest
	}
	return "", ClassUnknown
}
