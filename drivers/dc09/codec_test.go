package dc09

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"watchpost/drivers/contactid"
	"watchpost/storage/event"
)

func TestCRC(t *testing.T) {
	if got := crc([]byte("123456789")); got != 0xBB3D {
		t.Errorf("%04X, want BB3D", got)
	}
	if got := crcAdd(crc([]byte("12345")), []byte("6789")); got != 0xBB3D {
		t.Errorf("in two parts %04X", got)
	}
}

func TestKeys(t *testing.T) {
	for text, ok := range map[string]bool{
		strings.Repeat("0A", 16): true, strings.Repeat("0a", 24): true, strings.Repeat("FF", 32): true,
		strings.Repeat("0A", 15): false, strings.Repeat("GG", 16): false, "": false, "0": false,
	} {
		if _, err := KeyHex(text); (err == nil) != ok {
			t.Errorf("KeyHex(%q): %v", text, err)
		}
	}
	for text, ok := range map[string]bool{strings.Repeat("k", 16): true, strings.Repeat("k", 24): true, strings.Repeat("k", 32): true, "k": false, "": false} {
		k, err := KeyASCII(text)
		if (err == nil) != ok {
			t.Errorf("KeyASCII(%q): %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), strings.Repeat("k", 1)+strings.Repeat("k", 3)) {
			t.Errorf("the error tells the key: %v", err)
		}
		if s := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); err == nil && s != "(key) (key) (key) (key)" {
			t.Errorf("a key prints as %s", s)
		}
	}
}

// TestPayloads are forms of the field that no vector shows.
func TestPayloads(t *testing.T) {
	sia := func(code, zone string) Report { return Report{Format: FormatSIA, Code: code, Zone: zone} }
	for payload, want := range map[string][]Report{
		"NBA2":                        {sia("BA", "2")},
		"BA2":                         {sia("BA", "2")},
		"NL501":                       {sia("NL", "501")},
		"Npi0/AT":                     {{Format: FormatSIA, Code: "AT", Peripheral: "0"}},
		"Npi1/NL1":                    {{Format: FormatSIA, Code: "NL", Zone: "1", Peripheral: "1"}},
		"0|NRP":                       {sia("RP", "")},
		"NBA001/FA002":                {sia("BA", "001"), sia("FA", "002")},
		"NBA001FA002":                 {sia("BA", "001"), sia("FA", "002")},
		"NBA001/NFA002":               {sia("BA", "001"), sia("FA", "002")},
		"NBA001|NFA002":               {sia("BA", "001"), sia("FA", "002")},
		"Nri1/BA001/ri2/FA002":        {{Format: FormatSIA, Code: "BA", Zone: "001", Area: "1"}, {Format: FormatSIA, Code: "FA", Zone: "002", Area: "2"}},
		"Nri1/id5/OP":                 {{Format: FormatSIA, Code: "OP", Area: "1", User: "5"}},
		"Nti10:23RP99":                {{Format: FormatSIA, Code: "RP", Zone: "99", Clock: "10:23"}},
		"Nti10:23:59/id12/ri3/CL7":    {{Format: FormatSIA, Code: "CL", Zone: "7", Clock: "10:23:59", User: "12", Area: "3"}},
		"Nid1A/CL":                    {{Format: FormatSIA, Code: "CL", User: "1A"}},
		"NBA1A":                       {sia("BA", "1A")},
		"NYY0000":                     {sia("YY", "0000")},
		"NBA001^a^/BA002^b^":          {{Format: FormatSIA, Code: "BA", Zone: "001", Text: "a"}, {Format: FormatSIA, Code: "BA", Zone: "002", Text: "b"}},
		"Nri04/UR069*'HA Overloop'NM": {{Format: FormatSIA, Code: "UR", Zone: "069", Area: "04", Text: "'HA Overloop'NM"}},
		"NBA001*door*":                {{Format: FormatSIA, Code: "BA", Zone: "001", Text: "door"}},
		"NBA001|Adoor":                {{Format: FormatSIA, Code: "BA", Zone: "001", Text: "door"}},
		"NBA001^door":                 {{Format: FormatSIA, Code: "BA", Zone: "001", Text: "door"}},
		"NBA001 door":                 {{Format: FormatSIA, Code: "BA", Zone: "001", Text: " door"}},
		"N^door^BA001":                {{Format: FormatSIA, Code: "BA", Zone: "001", Text: "door"}},
		"N":                           {{Format: FormatSIA, Text: "N"}},
		"???":                         {{Format: FormatSIA, Text: "???"}},
		"Nri1":                        {{Format: FormatSIA, Text: "Nri1"}},
	} {
		if d := cmp.Diff(want, siaReports(payload, nil)); d != "" {
			t.Errorf("SIA-DCS %q (-want +got)\n%s", payload, d)
		}
	}
	many := siaReports("N"+strings.Repeat("BA1^a^/", maxReports)+"FA2/PA3", nil)
	if len(many) != maxReports || many[maxReports-1].Text != "^a^/FA2/PA3" {
		t.Errorf("more events than a frame may carry: %d, the last is %+v", len(many), many[len(many)-1])
	}
	many = cidReports(strings.Repeat("1130 01 012/", maxReports)+"1110 01 013", nil)
	if len(many) != maxReports || many[maxReports-1].Text != "1110 01 013" {
		t.Errorf("more events than a frame may carry: %d, the last is %+v", len(many), many[len(many)-1])
	}
	cid := func(q int, code, area, zone string) Report {
		return Report{Format: FormatCID, Qualifier: q, Code: code, Area: area, Zone: zone}
	}
	for payload, want := range map[string][]Report{
		"1130 01 012":             {cid(1, "130", "01", "012")},
		"3401 01 057":             {cid(3, "401", "01", "057")},
		"6602 00 000":             {cid(6, "602", "00", "000")},
		"1130 01 012/3130 01 013": {cid(1, "130", "01", "012"), cid(3, "130", "01", "013")},
		"1130 01 012 1131 01 013": {cid(1, "130", "01", "012"), cid(1, "131", "01", "013")},
		"1130 01 012^hall^":       {{Format: FormatCID, Qualifier: 1, Code: "130", Area: "01", Zone: "012", Text: "hall"}},
		"1130 01":                 {{Format: FormatCID, Text: "1130 01"}},
		"x":                       {{Format: FormatCID, Text: "x"}},
		"0130 01 001":             {{Format: FormatCID, Text: "0130 01 001"}},
	} {
		if d := cmp.Diff(want, cidReports(payload, nil)); d != "" {
			t.Errorf("ADM-CID %q (-want +got)\n%s", payload, d)
		}
	}
}

// TestHeaders are headers and data blocks that no vector shows: what is read, or why it is refused.
func TestHeaders(t *testing.T) {
	for body, want := range map[string]string{ // "" = read well
		`"SIA-DCS"0001L[#9999|NBA2]`:                                   "",
		`"SIA-DCS"0001[NBA2]`:                                          "",
		`"SIA-DCS"0001R[NBA2]`:                                         "",
		`"SIA-DCS"0001L0#123[NBA2][HTEXT][Q]`:                          "",
		`"NULL"0000R0L0#AAAB[#0000|0000 00 000]_18:25:49,07-05-2020`:   "",
		`"SIA-DCS"0001L0#123[NBA2]_25:00:00,02-30-2026`:                "",
		`"ADM-41E"0001L0#123[whatever]`:                                "",
		`"SIA-DCS"1L0#123[]`:                                           "sequence",
		`"SIA-DCS"00A1L0#123[]`:                                        "sequence",
		`"SIA-DCS0001L0#123[]`:                                         "token",
		`""0001L0#123[]`:                                               "token",
		`"sia-dcs"0001L0#123[]`:                                        "token",
		`"*"0001L0#123[]`:                                              "token",
		`"SIA-DCS"0001R1234567L0#123[]`:                                "bracket",
		`"SIA-DCS"0001L0R0#123[]`:                                      "bracket",
		`"SIA-DCS"0001L0#12[]`:                                         "account",
		`"SIA-DCS"0001L0#[]`:                                           "account",
		`"SIA-DCS"0001L0#` + strings.Repeat("1", 17) + `[]`:            "bracket",
		`"SIA-DCS"0001L0#12G[]`:                                        "account",
		`"SIA-DCS"0001L0#123`:                                          "bracket",
		`"SIA-DCS"0001L0#123[`:                                         "data block",
		`"SIA-DCS"0001L0#123[NBA2][`:                                   "extended",
		`"SIA-DCS"0001L0#123[NBA2]x`:                                   "timestamp",
		`"SIA-DCS"0001L0#123[NBA2]_`:                                   "timestamp",
		`"SIA-DCS"0001L0#123[NBA2]_10:00:00,01-01-2026x`:               "timestamp",
		`"SIA-DCS"0001L0#123[NBA2]_10.00.00,01-01-2026`:                "timestamp",
		`"SIA-DCS"0001L0#123[NBA2]` + strings.Repeat("[X]", 65):        "extended",
		`"*SIA-DCS"0001L0#123[00`:                                      "16 bytes",
		`"SIA-DCS"0148R0002L0001[#001991|NUR069]2A52238E74F405CA|#001`: "Osborne-Hoffman",
	} {
		_, err := Parse(wireOf(body), nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// TestBadHeads are frames whose first bytes are wrong.
func TestBadHeads(t *testing.T) {
	good := string(wireOf(`"NULL"0000L0#1234[]`))
	for wire, want := range map[string]string{
		"": "grammar", "\n\r": "grammar", good[1:]: "grammar", good[:len(good)-1]: "grammar",
		"\nXYZW" + good[5:]:             "crc",
		good[:5] + "1" + good[6:]:       "length",
		"\nXYZW1" + good[6:]:            "crc length",
		good[:5] + "0FFF" + good[9:]:    "length",
		"\n0000" + good[5:]:             "crc",
		"\n0000" + "0FFF" + good[9:]:    "crc length",
		good[:20] + "\x00" + good[21:]:  "crc",
		strings.ToLower(good[:9]) + "x": "grammar",
	} {
		_, err := Parse([]byte(wire), nil)
		var r *Refusal
		if !errors.As(err, &r) || !strings.HasPrefix(r.Error(), "not a DC-09 frame: "+want) {
			t.Errorf("%q: %v, want %s", wire, err, want)
		}
	}
	lower := []byte(strings.ToLower(good[:9]) + good[9:])
	if _, err := Parse(lower, nil); err != nil {
		t.Errorf("small hex digits: %v", err)
	}
}

// TestLengthLimits are the longest body, and one byte more.
func TestLengthLimits(t *testing.T) {
	frame := func(n int) []byte {
		head, tail := `"SIA-DCS"0001L0#123[NBA1^`, `^]`
		return wireOf(head + strings.Repeat("x", n-len(head)-len(tail)) + tail)
	}
	longest := frame(MaxBody)
	if wire, rest, _ := Cut(longest); len(wire) != len(longest) || len(rest) != 0 {
		t.Fatalf("the longest frame is not cut: %d %d", len(wire), len(rest))
	}
	if f, err := Parse(longest, nil); err != nil || len(f.Reports) != 1 {
		t.Errorf("the longest frame: %v", err)
	}
	if wire, _, junk := Cut(frame(MaxBody + 1)); wire != nil || junk == 0 {
		t.Errorf("a frame too long was cut: %d bytes", len(wire))
	}
}

// TestOpenQuirks are plain texts that panels send inside the encrypted block.
func TestOpenQuirks(t *testing.T) {
	k := testKey(t)
	for name, c := range map[string]struct {
		header, plain string
		data          string
		pad           int // -2: the key seems wrong; -3: it is right, and the data is not
	}{
		"NULL":                       {`"*NULL"0000L0#123`, "|]_08:00:00,11-22-2026", "", 10},
		"NULL with data":             {`"*NULL"0000L0#123`, "|#0000|0000 00 000]_08:00:00,11-22-2026", "#0000|0000 00 000", 9},
		"NULL without a bar":         {`"*NULL"0000L0#123`, "0000000000000]_08:00:00,11-22-2026", "", 27},
		"extended block":             {`"*SIA-DCS"0001L0#123`, "|#123|NBA1][X1]_08:00:00,11-22-2026", "#123|NBA1", 13},
		"event without a bar":        {`"*SIA-DCS"0001L0#123`, "0000000#123 NBA1]_08:00:00,11-22-2026", "", -2},
		"NULL without any bracket":   {`"*NULL"0000L0#123`, "0000000000000_08:00:00,11-22-2026", "", -2},
		"something after the time":   {`"*SIA-DCS"0001L0#123`, "|#123|NBA1]_08:00:00,11-22-2026    ", "", -3},
		"bracket inside the bracket": {`"*SIA-DCS"0001L0#123`, "|#123|NBA1][_08:00:00,11-22-2026", "", -3},
		"no time":                    {`"*SIA-DCS"0001L0#123`, "|#123|NBA1]", "", -3},
		"NULL, no time":              {`"*NULL"0000L0#123`, "|]", "", -3},
		"no time, and noise":         {`"*SIA-DCS"0001L0#123`, "|#123|NBA1\x01]", "", -2},
		"a time of no shape":         {`"*SIA-DCS"0001L0#123`, "|#123|NBA1]_08:00,11-22-2026", "", -3},
		"no bracket":                 {`"*SIA-DCS"0001L0#123`, "|#123|NBA1_08:00:00,11-22-2026", "", -2},
		"a pad of 32":                {`"*SIA-DCS"0001L0#123`, strings.Repeat("p", 32) + "|#123|NBA1]_08:00:00,11-22-2026", "#123|NBA1", 33},
	} {
		f, err := Parse(sealed(k, c.header, c.plain), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Readable || f.Open(nil) == nil {
			t.Errorf("%s: open without a key", name)
		}
		err = f.Open(k)
		if _, refused := errors.AsType[*Refusal](err); refused != (c.pad == -3) {
			t.Errorf("%s: %v", name, err)
		}
		switch {
		case c.pad < 0 && (errors.Is(err, ErrUnreadable) != (c.pad == -2) || f.Readable || f.Data != "" || f.Reports != nil):
			t.Errorf("%s: %v, frame %+v", name, err, f)
		case c.pad >= 0 && (err != nil || f.Data != c.data || f.PadLen != c.pad):
			t.Errorf("%s: %v, data %q, pad %d", name, err, f.Data, f.PadLen)
		}
	}
	f, err := Parse(wireOf(`"NULL"0000L0#123[]`), nil)
	must(t, err)
	if f.Open(k) == nil {
		t.Error("a plain frame was decrypted")
	}
}

// TestAnswers are byte-exact, for requests with and without each field.
func TestAnswers(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 9, 10, 0, time.FixedZone("CST", 8*3600)) // 00:09:10 UTC
	for _, header := range []string{"0001", "0001L", "0001R1L0#ABC123", "0001RL#123", "9999R579BDFL789ABC#12345A", "0001#123"} {
		f, err := Parse(wireOf(`"SIA-DCS"`+header+`[NBA1][KSECRET][Vhttps://x]`), nil)
		must(t, err)
		ack, err := AppendACK([]byte("kept"), &f, nil, now, nil)
		must(t, err)
		if want := "kept" + string(wireOf(`"ACK"`+header+"[]")); string(ack) != want {
			t.Errorf("ACK %q, want %q", ack, want)
		}
		if got, want := string(AppendDUH(nil, &f)), string(wireOf(`"DUH"`+header+"[]")); got != want {
			t.Errorf("DUH %q, want %q", got, want)
		}
		if got, want := string(AppendNAK(nil, &f, now)), string(wireOf(`"NAK"0000R0L0A0[]_00:09:10,11-22-2026`)); got != want {
			t.Errorf("NAK %q, want %q", got, want)
		}
	}
}

// TestAnswersOfVectors builds the answers that the vectors hold as captured.
func TestAnswersOfVectors(t *testing.T) {
	for _, v := range vectors(t) {
		raw := v.raw(t)
		switch v.Name {
		case "ack-accepted-by-pyronix":
			f, err := Parse(wireOf(`"NULL"0000L0#1409[]_20:38:07,08-27-2026`), nil)
			must(t, err)
			if got, err := AppendACK(nil, &f, nil, time.Now(), nil); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%q, %v; want %q", got, err, raw)
			}
		case "nak-canonical":
			if got := AppendNAK(nil, &Frame{}, time.Date(2025, 9, 24, 16, 20, 1, 0, time.UTC)); !bytes.Equal(got, raw) {
				t.Errorf("%q, want %q", got, raw)
			}
		case "enc-ack":
			f := Frame{Encrypted: true, Seq: "0042", Receiver: Field{"1", true}, Line: Field{"0", true}, Account: Field{"ABC123", true}}
			got, err := AppendACK(nil, &f, v.key(t), time.Date(2026, 11, 22, 8, 9, 10, 0, time.UTC), letters('z'))
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%q, %v; want %q", got, err, raw)
			}
		}
	}
}

// TestPad holds that a pad never has the three bytes that would end it, whatever the source of chance gives.
func TestPad(t *testing.T) {
	k := testKey(t)
	for _, c := range []byte("|[]\x00\xff") {
		f := Frame{Encrypted: true, Seq: "0001"}
		wire, err := AppendACK(nil, &f, k, time.Now(), letters(c))
		must(t, err)
		g, err := Parse(wire, nil)
		must(t, err)
		if err := g.Open(k); err != nil || g.PadLen != 10 || g.Data != "" {
			t.Errorf("pad of %q: %v, %+v", c, err, g)
		}
	}
	f := Frame{Encrypted: true, Seq: "0001"}
	if b, err := AppendACK(nil, &f, k, time.Now(), bytes.NewReader([]byte{1, 2})); !errors.Is(err, io.ErrUnexpectedEOF) || len(b) != 0 {
		t.Errorf("no more chance: %q, %v", b, err)
	}
}

// TestCutProperty mixes frames with junk and binary CRCs, cuts the stream anywhere, and wants every frame and no other.
func TestCutProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []string
		for range rapid.IntRange(0, 6).Draw(t, "frames") {
			body := `"SIA-DCS"0001L0#123[NBA1^` + rapid.StringMatching(`[ -Z^-~]{0,40}`).Draw(t, "text") + `^]`
			wire := wireOf(body)
			if rapid.Bool().Draw(t, "binary") { // any CRC bytes at all: Cut does not check them
				b := rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "crc")
				wire = append(append([]byte("\n"), b...), wire[5:]...)
			}
			stream, want = append(stream, wire...), append(want, string(wire))
			junk := rapid.SampledFrom([]string{"", "\x00", "\r", "junk", "\x00\x00"}).Draw(t, "junk")
			stream = append(stream, junk...)
		}
		var buf []byte
		var got []string
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "read")
			buf, stream = append(buf, stream[:n]...), stream[n:]
			for {
				wire, rest, _ := Cut(buf)
				buf = append([]byte(nil), rest...)
				if wire == nil {
					break
				}
				got = append(got, string(wire))
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
}

// TestCutResyncs are streams with something broken before a good frame.
func TestCutResyncs(t *testing.T) {
	good := string(wireOf(`"NULL"0000L0#1234[]`))
	for name, before := range map[string]string{
		"half a frame":       good[:20],
		"head only":          "\nAB120012\"",
		"line feeds":         "\n\n\n",
		"a web request":      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS hello":          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\x01",
		"no end":             "\nAB120012\"" + strings.Repeat("x", 2*MaxFrame),
		"length of another":  "\nAB120FFF\"SIA-DCS\"0001L0#123[]\r",
		"quotes and CR":      "\n\"\"\"\"\"\"\"\"\"\"\"\r",
		"LF in a binary CRC": "\n\n\n0016\"SIA-DCS\"0001L0#1234[]\r",
	} {
		rest, found := []byte(before+good), false
		for {
			var wire []byte
			wire, rest, _ = Cut(rest)
			if wire == nil {
				break
			}
			found = found || string(wire) == good
		}
		if !found {
			t.Errorf("%s: the good frame after it is lost", name)
		}
	}
}

func TestMeanings(t *testing.T) {
	alarm, warning, notice := event.SeverityAlarm, event.SeverityWarning, event.SeverityNotice
	isNew, restore, status := event.QualifierNew, event.QualifierRestore, event.QualifierStatus
	for code, c := range map[string]struct {
		text  string
		class contactid.Class
		sev   event.Severity
		q     event.Qualifier
	}{
		"BA": {"burglary alarm", contactid.ClassAlarm, alarm, isNew},
		"FA": {"fire alarm", contactid.ClassAlarm, alarm, isNew},
		"PA": {"panic alarm", contactid.ClassAlarm, alarm, isNew},
		"HA": {"hold-up alarm", contactid.ClassAlarm, alarm, isNew},
		"TA": {"tamper alarm", contactid.ClassAlarm, alarm, isNew},
		"WA": {"water alarm", contactid.ClassAlarm, alarm, isNew},
		"UX": {"undefined alarm", contactid.ClassAlarm, alarm, isNew},
		"BR": {"burglary restored", contactid.ClassAlarm, notice, restore},
		"FJ": {"fire trouble over", contactid.ClassTrouble, notice, restore},
		"FT": {"fire trouble", contactid.ClassTrouble, warning, isNew},
		"AT": {"mains failure", contactid.ClassTrouble, warning, isNew},
		"AR": {"mains restored", contactid.ClassTrouble, notice, restore},
		"YT": {"battery low", contactid.ClassTrouble, warning, isNew},
		"BB": {"burglary bypass", contactid.ClassBypass, notice, isNew},
		"SS": {"sprinkler supervisory", contactid.ClassSupervisory, warning, isNew},
		"OP": {"opening", contactid.ClassOpenClose, notice, isNew},
		"CL": {"closing", contactid.ClassOpenClose, notice, restore},
		"NL": {"perimeter armed", contactid.ClassOpenClose, notice, restore},
		"DD": {"access denied", contactid.ClassAccess, notice, status},
		"RP": {"automatic test", contactid.ClassTest, notice, status},
		"TS": {"test begins", contactid.ClassTest, notice, status},
		"RR": {"power up", contactid.ClassTrouble, notice, restore},
		"JO": {"event log overflow", contactid.ClassTrouble, warning, isNew},
		"YN": {"invalid report", contactid.ClassUnknown, warning, status},
		"VV": {"unknown code", contactid.ClassUnknown, warning, status},
		"":   {"unknown code", contactid.ClassUnknown, warning, status},
		"B":  {"unknown code", contactid.ClassUnknown, warning, status},
	} {
		m := mean(Report{Format: FormatSIA, Code: code})
		if m.Text != c.text || m.Class != c.class || m.Severity != c.sev || m.qualifier != c.q {
			t.Errorf("%s = %+v, want %+v", code, m, c)
		}
	}
	for q, want := range map[int]event.Qualifier{1: isNew, 3: restore, 6: status, 9: status} {
		m := mean(Report{Format: FormatCID, Code: "130", Qualifier: q})
		if m.qualifier != want || (m.Severity == alarm) != (q != 3) {
			t.Errorf("130 qualifier %d = %+v", q, m)
		}
	}
}

// TestDrafts are the fields that no vector has: users, extended blocks, foreign text, sizes.
func TestDrafts(t *testing.T) {
	a := &account{Account: Account{ID: "1234", Zones: map[string]string{"012": "yard"}}, source: "dc09/1234"}
	one := func(body string) event.Draft {
		t.Helper()
		f, err := Parse(wireOf(body), nil)
		must(t, err)
		d := slices.Collect(a.drafts(&f, time.Now()))
		if len(d) != 1 {
			t.Fatalf("%s: %d drafts", body, len(d))
		}
		if _, err := event.AppendRecord(nil, withTime(d[0])); err != nil {
			t.Fatalf("%s: the log would refuse it for ever: %v", body, err)
		}
		return d[0]
	}
	text := func(d event.Draft, tag event.Tag) string { s, _ := d.Body.Text(tag); return s }

	d := one(`"ADM-CID"0001R2L3#1234[#1234|3401 02 057]`)
	if d.Zone != "" || text(d, event.TagUser) != "057" || text(d, event.TagArea) != "02" || text(d, event.TagReceiver) != "2" || text(d, event.TagLine) != "3" {
		t.Errorf("a user: %+v", d)
	}
	d = one(`"SIA-DCS"0001L0#1234[#1234|Nri1/CL501]`)
	if d.Zone != "" || text(d, event.TagUser) != "501" || text(d, event.TagArea) != "1" {
		t.Errorf("a user of SIA: %+v", d)
	}
	d = one(`"SIA-DCS"0001L0#1234[#1234|Nri1/id7/OP3]`)
	if d.Zone != "1234/3" || text(d, event.TagUser) != "7" {
		t.Errorf("a user beside a number: %+v", d)
	}
	d = one(`"ADM-CID"0001L0#1234[#99|1130 01 012]`)
	if d.Zone != "yard" || text(d, event.TagAccountInData) != "99" || text(d, event.TagDetail) != "burglary, zone 012" {
		t.Errorf("a zone: %+v", d)
	}
	d = one(`"SIA-DCS"0001L0#1234[#1234|Nti10:20/BA1][KAABBCC][Vhttps://x/y]`)
	if text(d, event.TagExtra) != "Vhttps://x/y" || text(d, event.TagDetail) != "burglary alarm, zone 1, at 10:20" {
		t.Errorf("extended blocks: %+v", d)
	}
	d = one("\"SIA-DCS\"0001L0#1234[#1234|NBA1^T\xfcr^]")
	if text(d, event.TagText) != "Tür" {
		t.Errorf("text %q", text(d, event.TagText))
	}
	d = one(`"SIA-DCS"0001L0#1234[#1234|NBA` + strings.Repeat("1", 3000) + `]`)
	if len(d.Zone) != len("1234/")+maxZone {
		t.Errorf("zone %q", d.Zone)
	}
	one("\"SIA-DCS\"0001L0#1234[#1234|NBA1^" + strings.Repeat("\xff", 3000) + "^]" + strings.Repeat("[\xfe]", 64))
	if d := one(`"SIA-DCS"0000L0#1234[#1234|NBA1]`); d.Once != "" {
		t.Errorf("neither number nor time, and the key %q", d.Once)
	}
}

func withTime(d event.Draft) event.Event {
	d.At = time.Now()
	return d.Event("station", event.Epoch{1}, 1)
}
