package dc09

import (
	"slices"
	"strings"
	"testing"
)

// TestCaptures are frames as people save them: with what stands around them, and with pieces missing.
func TestCaptures(t *testing.T) {
	good := string(wireOf(`"SIA-DCS"0001L0#1234[#1234|NBA001]`))
	binary := string(vectorNamed(t, "trikdis-null-binary-crc").raw(t))
	worst := "\n\r\n0016\"SIA-DCS\"0001L0#1234[]\r" // neither its sum nor its length: as a binary CRC reads
	for name, c := range map[string]struct {
		capture string
		want    []Reason // nil = read
	}{
		"as it is":               {good, nil},
		"noise around":           {"2026-11-22 08:00 <- \r\x00" + good + "\x00\r\nnext", nil},
		"LF before LF":           {"\n\n" + good, nil},
		"binary CRC":             {"noise\n" + binary + "\n", nil},
		"two frames":             {good + "\n0000", nil},
		"no LF":                  {good[1:], []Reason{ReasonGrammar}},
		"no CR":                  {good[:len(good)-1], []Reason{ReasonGrammar}},
		"no LF, but a next line": {good[1:] + "\n", []Reason{ReasonGrammar}},
		"neither":                {good[1 : len(good)-1], []Reason{ReasonGrammar}},
		"no quote":               {strings.Replace(good, `"`, "'", 1), []Reason{ReasonCRC}},
		"no quote, sums right":   {string(wireOf(`SIA-DCS"0001L0#1234[]`)), []Reason{ReasonGrammar}},
		"CRC of no digits":       {"\nGHIJ" + good[5:], []Reason{ReasonCRC}},
		"length of no digits":    {good[:6] + "0x2" + good[9:], []Reason{ReasonLength}},
		"length without 0":       {good[:5] + "1" + good[6:], []Reason{ReasonLength}},
		"cut in the middle":      {good[:20], []Reason{ReasonCRC, ReasonLength}},
		"CR and LF in a sum":     {worst, []Reason{ReasonCRC}},
		"nothing":                {"", []Reason{ReasonGrammar}},
		"LF":                     {"\n", []Reason{ReasonGrammar}},
		"a word":                 {"hello, world", []Reason{ReasonCRC, ReasonLength}},
		"grammar, sums wrong":    {strings.Replace(good, "SIA", "sia", 1), []Reason{ReasonCRC}},
	} {
		f, err := ParseCapture([]byte(c.capture), nil)
		if c.want == nil {
			if err != nil || f.ID == "" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if r, ok := err.(*Refusal); !ok || !slices.Equal(r.Reasons, c.want) || f.ID != "" {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, v := range vectors(t) {
		want, wantErr := Parse(vectorFrame(t, v), nil)
		got, err := ParseCapture([]byte("x\r"+string(v.raw(t))+"\r\n\""), nil)
		if got.ID != want.ID || got.Data != want.Data || got.cipher != want.cipher || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: %+v, %v", v.Name, got, err)
		}
	}
}

func vectorNamed(t testing.TB, name string) vector {
	t.Helper()
	for _, v := range vectors(t) {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("vector %s is gone", name)
	return vector{}
}

func vectorFrame(t testing.TB, v vector) []byte {
	t.Helper()
	wire, _, _ := Cut(v.raw(t))
	return wire
}
