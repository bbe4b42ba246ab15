//lint:pure

package sender

import (
	"watchpost/drivers/contactid"
)

// pair is one condition in both vocabularies.
type pair struct {
	sia  string // it begins
	over string // it ends; the same code where it has no end
	cid  string // Contact ID, where the qualifier says which
}

func (p pair) class() contactid.Class {
	m, _ := contactid.Lookup(p.cid)
	return m.Class
}

// pairs are the conditions that have a code of their own in both vocabularies; the first that fits is taken. After pysiaalarm's
// data/adm_mapping.py, and DC-05's list.
func pairs() []pair {
	return []pair{
		{"BA", "BR", "130"}, {"PA", "PR", "120"}, {"HA", "HR", "122"}, {"HA", "HR", "121"}, {"FA", "FR", "110"}, {"KA", "KR", "114"},
		{"GA", "GR", "151"}, {"GA", "GR", "162"}, {"WA", "WR", "154"}, {"MA", "MR", "100"}, {"QA", "QR", "101"}, {"TA", "TR", "144"},
		{"TA", "TR", "137"}, {"TA", "TR", "145"}, {"TA", "TR", "383"}, {"ZA", "ZR", "159"}, {"KA", "KR", "158"}, {"UA", "UR", "150"},
		{"UX", "UR", "140"}, {"BV", "BR", "139"}, {"SS", "SR", "200"},
		{"AT", "AR", "301"}, {"YT", "YR", "302"}, {"RR", "RR", "305"}, {"YM", "YR", "311"}, {"YP", "YQ", "300"}, {"YA", "YH", "321"},
		{"ET", "ER", "330"}, {"ET", "ER", "333"}, {"XQ", "XH", "344"}, {"YS", "YK", "350"}, {"LT", "LR", "351"}, {"YC", "YK", "354"},
		{"FT", "FJ", "373"}, {"BT", "BJ", "370"}, {"UT", "UJ", "380"}, {"XT", "XR", "384"}, {"EE", "EE", "374"},
		{"OP", "CL", "401"}, {"OA", "CA", "403"}, {"OQ", "CQ", "407"}, {"OS", "CS", "409"}, {"OP", "NL", "441"}, {"CI", "CI", "454"},
		{"CG", "CG", "456"}, {"CR", "CR", "459"}, {"OC", "OC", "406"}, {"DD", "DD", "421"}, {"DG", "DG", "422"}, {"JA", "JA", "461"},
		{"BB", "BU", "573"}, {"FB", "FU", "571"}, {"UB", "UU", "570"},
		{"RP", "RP", "602"}, {"RX", "RX", "601"}, {"TS", "TE", "607"}, {"RY", "RY", "608"}, {"JL", "JL", "623"}, {"JO", "JO", "624"},
		{"JT", "JT", "625"},
	}
}

// unknown is what has no code in the other vocabulary: it is told as what it is, for somebody to look.
func unknown() pair { return pair{"YN", "YN", "000"} }

// pairOf is the condition of a SIA code, that of its beginning or of its end.
func pairOf(sia string) pair {
	for _, p := range pairs() {
		if p.sia == sia || p.over == sia {
			return p
		}
	}
	return unknown()
}

// pairOfCID is the condition of a Contact ID code; of one that is not in the list, that of its group.
func pairOfCID(cid string) pair {
	for _, p := range pairs() {
		if p.cid == cid {
			return p
		}
	}
	if _, known := contactid.Lookup(cid); !known {
		return unknown()
	}
	p := pairOf(group(cid))
	p.cid = cid
	return p
}

// group is the SIA code that says of a known Contact ID code what sort of thing it is.
func group(cid string) string {
	switch cid[:2] {
	case "10":
		return "MA"
	case "11":
		return "FA"
	case "12":
		return "PA"
	case "13":
		return "BA"
	case "14":
		return "TA"
	case "15", "16":
		return "UA"
	case "30", "31":
		return "YP"
	case "35":
		return "YS"
	}
	switch cid[0] {
	case '2':
		return "SS"
	case '3':
		return "UT"
	case '4':
		return "OP"
	case '5':
		return "UB"
	}
	return "RX"
}
