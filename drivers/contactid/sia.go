package contactid

import (
	"strings"

	"watchpost/storage/event"
)

// LookupSIA is the meaning of a two-letter code of SIA DC-03, as pysiaalarm lists them (data/sia_codes.py), and what it says of
// its subject: new, over, or just so. Most codes are a subject and a verb: BA is a burglary alarm, FJ the end of a fire trouble.
// False: the code is not known, and the meaning is of class unknown.
func LookupSIA(code string) (Meaning, event.Qualifier, bool) {
	text, class, q := siaSpecial(code)
	if text == "" && len(code) == 2 {
		if subject := siaSubject(code[0]); subject != "" {
			var verb string
			if verb, class, q = siaVerb(code[1]); verb != "" {
				text = subject + " " + verb
			}
		}
	}
	if text == "" {
		return Meaning{Text: "unknown code", Kind: KindUnknown, Class: ClassUnknown, Severity: ClassUnknown.Severity()}, event.QualifierStatus, false
	}
	return Meaning{Text: text, Kind: siaKind(code, class), Class: class, Severity: class.Severity(), User: siaUser(code)}, q, class != ClassUnknown
}

// siaUser knows the codes whose number is a user's (pysiaalarm data/sia_codes.py, "concerns").
func siaUser(code string) bool {
	const users = "BC CE CF CJ CK CL CP CQ CR DA DB EE JD JH JK JP JS JT JV JX JY JZ OC OH OJ OK OL OP OQ OR OT"
	return len(code) == 2 && strings.Contains(users, code)
}

// siaKind is the kind of a code that is known: mostly its first letter says it.
func siaKind(code string, class Class) Kind {
	switch code {
	case "ND":
		return KindDuress
	case "EA", "EZ", "CM", "XM", "DF", "DL":
		return KindIntrusion
	case "AA", "JA", "JB", "JC", "ES", "EJ", "XS", "XJ":
		return KindTamper
	case "AT", "AR":
		return KindMains
	case "YT", "YR", "YM", "XT", "XR":
		return KindBattery
	case "YP", "YQ", "YI", "YJ":
		return KindSupply
	case "YA", "YH", "OU", "OV":
		return KindSiren
	case "ET", "ER", "EM", "EN":
		return KindBus
	case "XQ", "XH":
		return KindRadio
	case "YC", "YK", "YS", "LT", "LR", "NC", "NR", "NT", "RA":
		return KindCommunication
	case "CI", "CC", "EE", "NE", "OI":
		return KindArming
	}
	switch class {
	case ClassOpenClose:
		return KindArming
	case ClassAccess:
		return KindAccess
	case ClassSystem:
		return KindSystem
	case ClassUnknown:
		return KindUnknown
	}
	return siaSubjectKind(code[0])
}

func siaSubjectKind(c byte) Kind {
	switch c {
	case 'B':
		return KindIntrusion
	case 'F', 'S':
		return KindFire
	case 'G':
		return KindGas
	case 'H':
		return KindHoldUp
	case 'K':
		return KindHeat
	case 'M', 'Q':
		return KindMedical
	case 'P':
		return KindPanic
	case 'T':
		return KindTamper
	case 'W':
		return KindFlood
	case 'Z':
		return KindCold
	case 'C', 'O':
		return KindArming
	case 'D':
		return KindAccess
	case 'I', 'R', 'V', 'Y':
		return KindSystem
	}
	return KindOther
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
func siaVerb(c byte) (string, Class, event.Qualifier) {
	switch c {
	case 'A':
		return "alarm", ClassAlarm, event.QualifierNew
	case 'B':
		return "bypass", ClassBypass, event.QualifierNew
	case 'C':
		return "alarm cancelled", ClassAlarm, event.QualifierRestore
	case 'H':
		return "alarm over", ClassAlarm, event.QualifierRestore
	case 'J':
		return "trouble over", ClassTrouble, event.QualifierRestore
	case 'M':
		return "alarm, cross point", ClassAlarm, event.QualifierNew
	case 'R':
		return "restored", ClassAlarm, event.QualifierRestore
	case 'S':
		return "supervisory", ClassSupervisory, event.QualifierNew
	case 'T':
		return "trouble", ClassTrouble, event.QualifierNew
	case 'U':
		return "bypass over", ClassBypass, event.QualifierRestore
	case 'V':
		return "verified", ClassAlarm, event.QualifierNew
	case 'X':
		return "test", ClassTest, event.QualifierStatus
	case 'Y', 'Z':
		return "point missing", ClassTrouble, event.QualifierNew
	}
	return "", ClassUnknown, event.QualifierStatus
}
