package contactid

import (
	"fmt"
	"testing"

	"watchpost/storage/event"
)

// TestLookup holds the codes that the field notes name, class by class.
func TestLookup(t *testing.T) {
	tests := []struct {
		code  string
		text  string
		class Class
		sev   event.Severity
		user  bool
	}{
		{"110", "fire alarm", ClassAlarm, event.SeverityAlarm, false},
		{"120", "panic alarm", ClassAlarm, event.SeverityAlarm, false},
		{"121", "duress", ClassAlarm, event.SeverityAlarm, true},
		{"130", "burglary", ClassAlarm, event.SeverityAlarm, false},
		{"144", "sensor tamper", ClassAlarm, event.SeverityAlarm, false},
		{"154", "water leakage", ClassAlarm, event.SeverityAlarm, false},
		{"162", "carbon monoxide", ClassAlarm, event.SeverityAlarm, false},
		{"203", "gate valve", ClassSupervisory, event.SeverityWarning, false},
		{"301", "mains failure", ClassTrouble, event.SeverityWarning, false},
		{"313", "engineer reset", ClassTrouble, event.SeverityWarning, true},
		{"344", "radio receiver jammed", ClassTrouble, event.SeverityWarning, false},
		{"384", "radio sensor battery low", ClassTrouble, event.SeverityWarning, false},
		{"401", "open or close by user", ClassOpenClose, event.SeverityNotice, true},
		{"410", "unknown code", ClassUnknown, event.SeverityWarning, false},
		{"421", "access denied", ClassAccess, event.SeverityNotice, true},
		{"432", "access relay trouble", ClassAccess, event.SeverityNotice, false},
		{"454", "failed to close", ClassOpenClose, event.SeverityWarning, true},
		{"461", "wrong code entered", ClassOpenClose, event.SeverityWarning, true},
		{"570", "zone bypassed", ClassBypass, event.SeverityNotice, false},
		{"602", "periodic test", ClassTest, event.SeverityNotice, false},
		{"607", "walk test", ClassTest, event.SeverityNotice, true},
		{"623", "event log 90 % full", ClassSystem, event.SeverityNotice, false},
		{"653", "unknown code", ClassUnknown, event.SeverityWarning, true},
		{"700", "unknown code", ClassUnknown, event.SeverityWarning, false}, // Trikdis, Eldes
		{"900", "unknown code", ClassUnknown, event.SeverityWarning, false},
		{"1A0", "unknown code", ClassUnknown, event.SeverityWarning, false},
		{"", "unknown code", ClassUnknown, event.SeverityWarning, false},
		{"13", "unknown code", ClassUnknown, event.SeverityWarning, false},
		{"1300", "unknown code", ClassUnknown, event.SeverityWarning, false},
	}
	for _, c := range tests {
		m, ok := Lookup(c.code)
		want := Meaning{Text: c.text, Kind: m.Kind, Class: c.class, Severity: c.sev, User: c.user}
		if m != want || ok != (c.class != ClassUnknown) {
			t.Errorf("%q = %+v, %v; want %+v", c.code, m, ok, want)
		}
	}
}

// TestEveryCode holds what is true of the whole table: an alarm is in group 1 and nowhere else, users are where
// dc09_spt has them, and no code has a class without a text.
func TestEveryCode(t *testing.T) {
	known := 0
	for n := range 1000 {
		code := fmt.Sprintf("%03d", n)
		m, ok := Lookup(code)
		if ok {
			known++
		}
		if ok != (m.Class != ClassUnknown) || m.Text == "" {
			t.Errorf("%s: %+v, %v", code, m, ok)
		}
		if (m.Severity == event.SeverityAlarm) != (ok && code[0] == '1') {
			t.Errorf("%s: severity %s", code, m.Severity)
		}
		user := n >= 400 && n <= 409 || n >= 411 && n <= 415 || n >= 421 && n <= 431 || n >= 441 && n <= 466
		switch n {
		case 121, 313, 574, 604, 607, 625, 642, 652, 653:
			user = true
		}
		if known := m.Kind != KindUnknown && m.Kind != ""; known != ok {
			t.Errorf("%s: kind %q", code, m.Kind)
		}
		if m.User != user {
			t.Errorf("%s: user = %v", code, m.User)
		}
	}
	if known < 180 {
		t.Errorf("only %d codes are known", known)
	}
}

func BenchmarkLookup(b *testing.B) {
	for b.Loop() {
		if _, ok := Lookup("130"); !ok {
			b.Fatal("130 is unknown")
		}
	}
}
