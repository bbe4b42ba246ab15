package contactid

import (
	"strings"
	"testing"
)

func TestNext(t *testing.T) {
	for s, want := range map[string]struct {
		e    Event
		rest string
	}{
		"1130 01 012":         {Event{1, "130", "01", "012"}, ""},
		"3401 00 057":         {Event{3, "401", "00", "057"}, ""},
		"6602 00 000 1130 …":  {Event{6, "602", "00", "000"}, " 1130 …"},
		"1130 01 012^hall^":   {Event{1, "130", "01", "012"}, "^hall^"},
		"113001012":           {Event{1, "130", "01", "012"}, ""},
		"1130  1  2":          {Event{1, "130", "1", "2"}, ""},
		"9700 A 1234567":      {Event{9, "700", "A", "123456"}, "7"},
		"1b3f 01 0aF/next":    {Event{1, "b3f", "01", "0aF"}, "/next"},
		"1130 01 012/3130 0…": {Event{1, "130", "01", "012"}, "/3130 0…"},
	} {
		if e, rest, ok := Next(s); e != want.e || rest != want.rest || !ok {
			t.Errorf("%q = %+v, %q, %v", s, e, rest, ok)
		}
	}
	for _, s := range []string{"", "1", "113", "1130", "1130 ", "1130 01", "1130 01 ", "0130 01 001", "x130 01 001", "11x0 01 001", "11300101", " 1130 01 001", "1130 x 001"} {
		if e, rest, ok := Next(s); ok || e != (Event{}) || rest != s {
			t.Errorf("%q = %+v, %q, %v", s, e, rest, ok)
		}
	}
}

// FuzzNext reads event after event of what a panel sends, and looks each up.
func FuzzNext(f *testing.F) {
	for _, s := range []string{"1130 01 012", "3401 01 057/6602 00 000", "113001012", "1900 00 001^x^", "1130 01", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for {
			e, rest, ok := Next(s)
			if !strings.HasSuffix(s, rest) || ok == (len(rest) == len(s)) {
				t.Fatalf("%q leaves %q, %v", s, rest, ok)
			}
			if !ok {
				return
			}
			if e.Qualifier < 1 || e.Qualifier > 9 || len(e.Code) != 3 || !isHex(e.Code+e.Partition+e.Zone) ||
				len(e.Partition) < 1 || len(e.Partition) > maxWord || len(e.Zone) < 1 || len(e.Zone) > maxWord {
				t.Fatalf("%q is %+v", s, e)
			}
			if m, known := Lookup(e.Code); m.Text == "" || m.Kind == "" || m.Severity == 0 || known == (m.Class == ClassUnknown) {
				t.Fatalf("%q means %+v", e.Code, m)
			}
			s = rest
		}
	})
}
