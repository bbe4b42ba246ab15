package contactid

import (
	"slices"
	"testing"

	"watchpost/storage/event"
)

// TestBothWays holds that what CodesOf names is understood as what it was asked for, in both formats.
func TestBothWays(t *testing.T) {
	shared := map[Kind]Kind{KindCO: KindGas, KindDuress: KindHoldUp} // what DC-03 has one word for
	seen := map[back]bool{}
	for _, b := range backTable() {
		codes, ok := CodesOf(b.kind, b.class)
		if !ok || codes != b.codes {
			t.Errorf("%s %s: %+v, %v: is it there twice?", b.kind, b.class, codes, ok)
		}
		if seen[back{b.kind, b.class, Codes{}}] {
			t.Errorf("%s %s is there twice", b.kind, b.class)
		}
		seen[back{b.kind, b.class, Codes{}}] = true
		if m, ok := Lookup(codes.CID); !ok || m.Kind != b.kind || m.Class != b.class {
			t.Errorf("%s %s: CID %s is understood as %s %s", b.kind, b.class, codes.CID, m.Kind, m.Class)
		}
		kind := b.kind
		if other, ok := shared[kind]; ok {
			kind = other
		}
		for _, q := range []event.Qualifier{event.QualifierNew, event.QualifierRestore} {
			code := codes.SIA(q)
			m, got, ok := LookupSIA(code)
			if !ok || m.Kind != kind || m.Class != b.class {
				t.Errorf("%s %s: SIA %s is understood as %s %s", b.kind, b.class, code, m.Kind, m.Class)
			}
			if codes.New != codes.Over && got != q {
				t.Errorf("%s %s: SIA %s is %s, want %s", b.kind, b.class, code, got, q)
			}
		}
		if got := codes.SIA(event.QualifierStatus); got != codes.New {
			t.Errorf("%s %s: a status is %s", b.kind, b.class, got)
		}
	}
	for _, k := range []Kind{KindIntrusion, KindPanic, KindHoldUp, KindTamper, KindFire, KindGas, KindCO, KindFlood, KindMedical, KindDuress} {
		if _, ok := CodesOf(k, ClassAlarm); !ok {
			t.Errorf("the alarm of a zone of kind %s has no code", k)
		}
	}
	if c, ok := CodesOf(KindMains, ClassAlarm); ok {
		t.Errorf("an alarm of the mains is called %+v", c)
	}
}

// TestTranslated holds that both formats give one kind and class to what pysiaalarm (data/adm_mapping.py) takes for the same.
func TestTranslated(t *testing.T) {
	for cid, sia := range map[string]string{
		"100": "MA", "101": "QA", "110": "FA", "111": "FA", "112": "FA", "117": "FA", "120": "PA", "122": "HA", "130": "BA", "131": "BA",
		"132": "BA", "133": "BA", "134": "BA", "135": "BA", "136": "BA", "137": "TA", "138": "BA", "139": "BA", "144": "TA", "145": "TA",
		"150": "UA", "151": "GA", "158": "KA", "159": "ZA", "301": "AT", "302": "YT", "305": "YW", "309": "YT", "311": "YM", "312": "YP",
		"333": "ET", "337": "ET", "350": "YC", "351": "LT", "352": "LT", "354": "YC", "373": "FT", "375": "PT", "376": "HT", "384": "XT",
		"400": "OP", "401": "OP", "402": "OB", "403": "OA", "407": "OQ", "409": "OS", "421": "DD", "571": "FB", "573": "BB",
		"602": "RP", "625": "JT", "627": "LB", "628": "LX",
	} {
		c, known := Lookup(cid)
		s, _, ok := LookupSIA(sia)
		if !known || !ok || c.Kind != s.Kind || c.Class != s.Class {
			t.Errorf("%s is %s %s, %s is %s %s", cid, c.Kind, c.Class, sia, s.Kind, s.Class)
		}
	}
	for digit, q := range map[int]event.Qualifier{1: event.QualifierNew, 3: event.QualifierRestore, 6: event.QualifierStatus} {
		if Qualifier(digit) != q || Digit(q) != digit {
			t.Errorf("qualifier %d is %s, and back %d", digit, Qualifier(digit), Digit(q))
		}
	}
	if Qualifier(9) != event.QualifierStatus {
		t.Error("an unknown qualifier is not a status")
	}
}

// TestEverySIACode holds what is true of all two-letter codes, and that hardly one of those that DC-03 lists is unknown.
func TestEverySIACode(t *testing.T) {
	known := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string(a) + string(b)
			m, q, ok := LookupSIA(code)
			if ok {
				known++
			}
			if ok != (m.Class != ClassUnknown) || ok != (m.Kind != KindUnknown) || m.Text == "" || m.Kind == "" || q == 0 || m.Severity == 0 {
				t.Errorf("%s: %+v, %s, %v", code, m, q, ok)
			}
			if (m.Severity == event.SeverityAlarm) != (m.Class == ClassAlarm) {
				t.Errorf("%s: severity %s of class %s", code, m.Severity, m.Class)
			}
			if m.User && !slices.Contains([]Class{ClassOpenClose, ClassAlarm, ClassAccess, ClassSystem, ClassTrouble}, m.Class) {
				t.Errorf("%s names a user, and is of class %s", code, m.Class)
			}
		}
	}
	if known < 330 {
		t.Errorf("only %d codes are known", known)
	}
	for _, code := range []string{"", "B", "BAA", "ba", "12", "\xff\xff"} {
		if m, q, ok := LookupSIA(code); ok || m.Text != "unknown code" || m.Severity != event.SeverityWarning || q != event.QualifierStatus {
			t.Errorf("%q: %+v %s", code, m, q)
		}
	}
	for code, user := range map[string]bool{"OP": true, "CL": true, "OR": true, "BC": true, "BA": false, "NL": false, "OA": false, "CG": false, "DD": false} {
		if m, _, _ := LookupSIA(code); m.User != user {
			t.Errorf("%s: user = %v", code, m.User)
		}
	}
}
