package contactid

import "watchpost/storage/event"

// Codes are how the formats say one thing.
type Codes struct {
	CID  string // three digits of DC-05, the same for an event and its restore: the qualifier tells them apart
	New  string // two letters of DC-03
	Over string // two letters of DC-03 for the restore
}

// SIA is the two-letter code of DC-03 for an event of this qualifier; a status is told as new.
func (c Codes) SIA(q event.Qualifier) string {
	if q == event.QualifierRestore {
		return c.Over
	}
	return c.New
}

// CodesOf is the way back from [Lookup] and [LookupSIA]: what an event of this kind and class is called. Of the many codes of a
// kind it is the general one. False: the formats have no word for it, such as the alarm of a mains supply.
func CodesOf(k Kind, c Class) (Codes, bool) {
	for _, b := range backTable() {
		if b.kind == k && b.class == c {
			return b.codes, true
		}
	}
	return Codes{}, false
}

type back struct {
	kind  Kind
	class Class
	codes Codes
}

func backTable() []back {
	return []back{
		{KindIntrusion, ClassAlarm, Codes{"130", "BA", "BR"}},
		{KindPanic, ClassAlarm, Codes{"120", "PA", "PR"}},
		{KindHoldUp, ClassAlarm, Codes{"122", "HA", "HR"}},
		{KindTamper, ClassAlarm, Codes{"137", "TA", "TR"}},
		{KindFire, ClassAlarm, Codes{"110", "FA", "FR"}},
		{KindGas, ClassAlarm, Codes{"151", "GA", "GR"}},
		{KindCO, ClassAlarm, Codes{"162", "GA", "GR"}}, // DC-03 has no carbon monoxide
		{KindFlood, ClassAlarm, Codes{"154", "WA", "WR"}},
		{KindMedical, ClassAlarm, Codes{"100", "MA", "MR"}},
		{KindDuress, ClassAlarm, Codes{"121", "HA", "HR"}}, // as pysiaalarm translates 121
		{KindHeat, ClassAlarm, Codes{"158", "KA", "KR"}},
		{KindCold, ClassAlarm, Codes{"159", "ZA", "ZR"}},
		{KindOther, ClassAlarm, Codes{"150", "UA", "UR"}},

		{KindIntrusion, ClassTrouble, Codes{"370", "BT", "BJ"}},
		{KindPanic, ClassTrouble, Codes{"375", "PT", "PJ"}},
		{KindHoldUp, ClassTrouble, Codes{"376", "HT", "HJ"}},
		{KindTamper, ClassTrouble, Codes{"383", "TT", "TJ"}},
		{KindFire, ClassTrouble, Codes{"373", "FT", "FJ"}},
		{KindMains, ClassTrouble, Codes{"301", "AT", "AR"}},
		{KindBattery, ClassTrouble, Codes{"302", "YT", "YR"}},
		{KindSupply, ClassTrouble, Codes{"312", "YP", "YQ"}},
		{KindSiren, ClassTrouble, Codes{"321", "YA", "YH"}},
		{KindBus, ClassTrouble, Codes{"333", "ET", "ER"}},
		{KindRadio, ClassTrouble, Codes{"344", "XQ", "XH"}},
		{KindCommunication, ClassTrouble, Codes{"350", "YC", "YK"}},
		{KindArming, ClassTrouble, Codes{"374", "EE", "EE"}}, // the end of an exit error is told by nobody
		{KindSystem, ClassTrouble, Codes{"300", "YX", "YZ"}},
		{KindOther, ClassTrouble, Codes{"380", "UT", "UJ"}},

		{KindArming, ClassOpenClose, Codes{"401", "OP", "CL"}},

		{KindIntrusion, ClassBypass, Codes{"573", "BB", "BU"}},
		{KindFire, ClassBypass, Codes{"571", "FB", "FU"}},
		{KindOther, ClassBypass, Codes{"570", "UB", "UU"}},

		{KindSystem, ClassTest, Codes{"602", "RP", "RP"}},
	}
}
