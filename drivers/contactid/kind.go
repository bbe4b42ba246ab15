package contactid

import "watchpost/storage/event"

// Kind is what an event is about, the same word in every format. The first nine are the kinds of a station's own zones.
type Kind string

// The kinds. Words of the wire: append only.
const (
	KindIntrusion     Kind = "intrusion"
	KindPanic         Kind = "panic"
	KindHoldUp        Kind = "hold-up"
	KindTamper        Kind = "tamper"
	KindFire          Kind = "fire"
	KindGas           Kind = "gas"
	KindCO            Kind = "co"
	KindFlood         Kind = "flood"
	KindMedical       Kind = "medical"
	KindDuress        Kind = "duress"
	KindHeat          Kind = "heat"
	KindCold          Kind = "cold"
	KindMains         Kind = "mains"
	KindBattery       Kind = "battery"
	KindSupply        Kind = "supply" // power supply but for mains and battery
	KindSiren         Kind = "siren"  // bell, sounder, relay
	KindBus           Kind = "bus"    // expansion modules and their loop
	KindRadio         Kind = "radio"  // of detectors
	KindCommunication Kind = "communication"
	KindArming        Kind = "arming"
	KindAccess        Kind = "access"
	KindSystem        Kind = "system" // the panel itself
	KindOther         Kind = "other"  // a zone of none of these kinds
	KindUnknown       Kind = "unknown"
)

// Qualifier is the first digit of a Contact ID event: 1 is new or opening, 3 restore or closing; 6, as any other, is the status of
// what has been told before.
func Qualifier(digit int) event.Qualifier {
	switch digit {
	case 1:
		return event.QualifierNew
	case 3:
		return event.QualifierRestore
	}
	return event.QualifierStatus
}

// Digit is the first digit of a Contact ID event: the inverse of [Qualifier].
func Digit(q event.Qualifier) int {
	switch q {
	case event.QualifierNew:
		return 1
	case event.QualifierRestore:
		return 3
	}
	return 6
}

// span is a range of codes of one kind.
type span struct {
	from, upto string
	kind       Kind
}

// kindOf is the kind of a code that is known. The first span that holds it counts.
func kindOf(code string) Kind {
	for _, s := range [...]span{
		{"100", "102", KindMedical}, {"110", "118", KindFire}, {"121", "121", KindDuress}, {"122", "122", KindHoldUp}, {"120", "123", KindPanic}, {"124", "125", KindDuress},
		{"129", "129", KindHoldUp}, {"137", "137", KindTamper}, {"130", "139", KindIntrusion}, {"141", "143", KindBus}, {"144", "145", KindTamper},
		{"146", "146", KindIntrusion}, {"151", "151", KindGas}, {"152", "152", KindHeat}, {"153", "153", KindCold}, {"154", "154", KindFlood},
		{"155", "156", KindIntrusion}, {"157", "157", KindGas}, {"158", "158", KindHeat}, {"159", "159", KindCold}, {"162", "162", KindCO},
		{"200", "299", KindFire},
		{"301", "301", KindMains}, {"302", "302", KindBattery}, {"309", "309", KindBattery}, {"311", "311", KindBattery}, {"312", "312", KindSupply},
		{"300", "319", KindSystem}, {"320", "329", KindSiren}, {"341", "341", KindTamper}, {"344", "344", KindRadio}, {"330", "349", KindBus},
		{"350", "359", KindCommunication}, {"370", "372", KindIntrusion}, {"373", "373", KindFire}, {"374", "374", KindArming}, {"375", "375", KindPanic},
		{"376", "376", KindHoldUp}, {"381", "381", KindRadio}, {"382", "382", KindBus}, {"383", "383", KindTamper}, {"384", "384", KindBattery},
		{"385", "386", KindFire}, {"387", "387", KindIntrusion}, {"393", "393", KindSystem},
		{"461", "462", KindAccess}, {"465", "465", KindPanic}, {"411", "416", KindSystem}, {"421", "434", KindAccess}, {"400", "466", KindArming},
		{"501", "501", KindAccess}, {"520", "525", KindSiren}, {"531", "532", KindBus}, {"551", "553", KindCommunication}, {"571", "571", KindFire},
		{"573", "573", KindIntrusion}, {"576", "577", KindAccess}, {"604", "604", KindFire}, {"613", "613", KindIntrusion}, {"614", "614", KindFire},
		{"615", "615", KindPanic}, {"611", "612", KindOther}, {"600", "699", KindSystem},
	} {
		if code >= s.from && code <= s.upto {
			return s.kind
		}
	}
	return KindOther
}
