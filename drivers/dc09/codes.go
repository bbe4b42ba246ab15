package dc09

import (
	"watchpost/drivers/contactid"
	"watchpost/storage/event"
)

// meaning is what a report says in our words, whatever format it came in.
type meaning struct {
	contactid.Meaning
	qualifier event.Qualifier
}

// mean looks a report up. A restore of anything is a notice.
func mean(r Report) meaning {
	var m meaning
	if r.Format == FormatCID {
		m = meanCID(r)
	} else {
		m = meanSIA(r.Code)
	}
	if m.qualifier == event.QualifierRestore && m.Class != contactid.ClassUnknown {
		m.Severity = event.SeverityNotice
	}
	return m
}

// meanCID: qualifier 1 is new or opening, 3 restore or closing, 6 status of what has been told before.
func meanCID(r Report) meaning {
	m := meaning{qualifier: event.QualifierStatus}
	m.Meaning, _ = contactid.Lookup(r.Code)
	switch r.Qualifier {
	case 1:
		m.qualifier = event.QualifierNew
	case 3:
		m.qualifier = event.QualifierRestore
	}
	return m
}

// meanSIA knows the two-letter codes of DC-03, as pysiaalarm lists them (docs/codes.csv). Most are a subject and a verb:
// BA is a burglary alarm, FJ the end of a fire trouble.
func meanSIA(code string) meaning {
	if text, class, q := siaSpecial(code); text != "" {
		return siaMeaning(text, class, q)
	}
	if len(code) == 2 {
		if subject := siaSubject(code[0]); subject != "" {
			if verb, class, q := siaVerb(code[1]); verb != "" {
				return siaMeaning(subject+" "+verb, class, q)
			}
		}
	}
	return siaMeaning("unknown code", contactid.ClassUnknown, event.QualifierStatus)
}

func siaMeaning(text string, c contactid.Class, q event.Qualifier) meaning {
	return meaning{Meaning: contactid.Meaning{Text: text, Class: c, Severity: c.Severity()}, qualifier: q}
}

// siaSubject is the first letter of the codes that are made of subject and verb.
func siaSubject(c byte) string {
	switch c {
	case 'B':
		return "burglary"
	case 'F':
		return "fire"
	case 'G':
		return "gas"
	case 'H':
		return "hold-up"
	case 'K':
		return "heat"
	case 'M':
		return "medical"
	case 'P':
		return "panic"
	case 'Q':
		return "emergency"
	case 'S':
		return "sprinkler"
	case 'T':
		return "tamper"
	case 'U':
		return "untyped zone"
	case 'W':
		return "water"
	case 'Z':
		return "freeze"
	}
	return ""
}

// siaVerb is their second letter.
func siaVerb(c byte) (string, contactid.Class, event.Qualifier) {
	switch c {
	case 'A':
		return "alarm", contactid.ClassAlarm, event.QualifierNew
	case 'B':
		return "bypass", contactid.ClassBypass, event.QualifierNew
	case 'C':
		return "alarm cancelled", contactid.ClassAlarm, event.QualifierRestore
	case 'H':
		return "alarm over", contactid.ClassAlarm, event.QualifierRestore
	case 'J':
		return "trouble over", contactid.ClassTrouble, event.QualifierRestore
	case 'M':
		return "alarm, cross point", contactid.ClassAlarm, event.QualifierNew
	case 'R':
		return "restored", contactid.ClassAlarm, event.QualifierRestore
	case 'S':
		return "supervisory", contactid.ClassSupervisory, event.QualifierNew
	case 'T':
		return "trouble", contactid.ClassTrouble, event.QualifierNew
	case 'U':
		return "bypass over", contactid.ClassBypass, event.QualifierRestore
	case 'V':
		return "verified", contactid.ClassAlarm, event.QualifierNew
	case 'X':
		return "test", contactid.ClassTest, event.QualifierStatus
	case 'Y', 'Z':
		return "point missing", contactid.ClassTrouble, event.QualifierNew
	}
	return "", contactid.ClassUnknown, event.QualifierStatus
}
