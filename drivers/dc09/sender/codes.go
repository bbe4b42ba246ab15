//lint:pure

package sender

import "watchpost/drivers/contactid"

// word is one condition in both vocabularies.
type word struct {
	contactid.Codes
	class contactid.Class
}

// particular are conditions that the general way back from their kind would make something else of.
func particular() []word {
	return []word{
		{contactid.Codes{CID: "441", New: "OP", Over: "NL"}, contactid.ClassOpenClose},
		{contactid.Codes{CID: "403", New: "OA", Over: "CA"}, contactid.ClassOpenClose},
		{contactid.Codes{CID: "407", New: "OQ", Over: "CQ"}, contactid.ClassOpenClose},
		{contactid.Codes{CID: "409", New: "OS", Over: "CS"}, contactid.ClassOpenClose},
		{contactid.Codes{CID: "454", New: "CI", Over: "CI"}, contactid.ClassTrouble},
		{contactid.Codes{CID: "305", New: "RR", Over: "RR"}, contactid.ClassTrouble},
		{contactid.Codes{CID: "384", New: "XT", Over: "XR"}, contactid.ClassTrouble},
		{contactid.Codes{CID: "421", New: "DD", Over: "DD"}, contactid.ClassAccess},
		{contactid.Codes{CID: "422", New: "DG", Over: "DG"}, contactid.ClassAccess},
		{contactid.Codes{CID: "601", New: "RX", Over: "RX"}, contactid.ClassTest},
		{contactid.Codes{CID: "607", New: "TS", Over: "TE"}, contactid.ClassTest},
		{contactid.Codes{CID: "608", New: "RY", Over: "RY"}, contactid.ClassTrouble},
	}
}

// unknown is what has no word in the other vocabulary: it is told as what it is, for somebody to look.
func unknown() word {
	return word{contactid.Codes{CID: "000", New: "YN", Over: "YN"}, contactid.ClassUnknown}
}

// wordOf is the condition of a SIA code, that of its beginning or of its end.
func wordOf(sia string) word {
	for _, w := range particular() {
		if sia != "OP" && (w.New == sia || w.Over == sia) {
			return w
		}
	}
	m, _, _ := contactid.LookupSIA(sia)
	return general(m)
}

// wordOfCID is the condition of a Contact ID code.
func wordOfCID(cid string) word {
	for _, w := range particular() {
		if w.CID == cid {
			return w
		}
	}
	m, _ := contactid.Lookup(cid)
	return general(m)
}

// general is the way back from a meaning; one whose kind has no word is told as one of no kind.
func general(m contactid.Meaning) word {
	class := m.Class
	switch class {
	case contactid.ClassUnknown:
		return unknown()
	case contactid.ClassSupervisory:
		class = contactid.ClassTrouble
	}
	for _, k := range []contactid.Kind{m.Kind, contactid.KindOther, contactid.KindSystem} {
		if c, ok := contactid.CodesOf(k, class); ok {
			return word{c, m.Class}
		}
	}
	w := unknown()
	w.class = m.Class
	return w
}
