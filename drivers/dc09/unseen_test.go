package dc09

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// TestUnseenFrames are variants of the vectors, decided by the grammar alone: what each is answered over both transports, and what
// it makes.
func TestUnseenFrames(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	keys := map[string]*Key{}
	for id, text := range map[string]string{"AAA16": strings.Repeat("k", 16), "AAA24": strings.Repeat("k", 24), "AAA32": strings.Repeat("k", 32)} {
		k, err := KeyASCII(text)
		must(t, err)
		keys[id] = k
	}
	for id, digits := range map[string]int{"BBB32": 32, "BBB48": 48, "BBB64": 64} {
		k, err := KeyHex(strings.Repeat("0aF1", digits/4))
		must(t, err)
		keys[id] = k
	}
	accounts := []Account{{ID: "123"}, {ID: "abcdef"}, {ID: "0123456789ABCDEF"}, {ID: "E1DE5", CRCOverCR: true}}
	for id, k := range keys {
		accounts = append(accounts, Account{ID: id, Key: k})
	}
	lower := func(wire []byte) []byte {
		body := string(wire[9 : len(wire)-1])
		i := strings.LastIndexByte(body, '[')
		return wireOf(body[:i] + strings.ToLower(body[i:]))
	}
	overCR := func(body string) []byte { // sum and length of body and CR
		wire := wireOf(body + "\r")
		return wire[:len(wire)-1]
	}
	type frame struct {
		wire   []byte
		answer string // header of the ACK, "*" before it: encrypted; "" = silence
		events string // "code zone area user text", one a line
	}
	frames := map[string]frame{
		"three digits":            {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1]`), "0001L0#123", "BA 123/1 - - -"},
		"small letters":           {wireOf(`"SIA-DCS"0001L0#abCdEf[#ABCDEF|NBA1]`), "0001L0#abCdEf", "BA ABCDEF/1 - - -"},
		"sixteen digits":          {wireOf(`"ADM-CID"0001R0L0#0123456789ABCDEF[#0123456789ABCDEF|1130 01 002]`), "0001R0L0#0123456789ABCDEF", "130 0123456789ABCDEF/002 01 - -"},
		"account in data only":    {wireOf(`"SIA-DCS"0001L0[#123|NBA1]`), "0001L0", "BA 123/1 - - -"},
		"account differs":         {wireOf(`"SIA-DCS"0001L0#123[#9999|NBA1]`), "0001L0#123", "BA 123/1 - - -"},
		"sequence 0000":           {wireOf(`"SIA-DCS"0000L0#123[#123|NBA1]_08:00:00,11-22-2026`), "0000L0#123", "BA 123/1 - - -"},
		"no line":                 {wireOf(`"SIA-DCS"0001#123[#123|NBA1]`), "0001#123", "BA 123/1 - - -"},
		"empty receiver and line": {wireOf(`"SIA-DCS"0001RL#123[#123|NBA1]`), "0001RL#123", "BA 123/1 - - -"},
		"modifiers":               {wireOf(`"SIA-DCS"0001L0#123[#123|Nti10:23:59/id12/ri3/pi4/BA7]`), "0001L0#123", "BA 123/7 3 12 -"},
		"modifiers run together":  {wireOf(`"SIA-DCS"0001L0#123[#123|Nti10:23ri3BA7]`), "0001L0#123", "BA 123/7 3 - -"},
		"two of SIA":              {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1/FA2]`), "0001L0#123", "BA 123/1 - - -\nFA 123/2 - - -"},
		"two of CID":              {wireOf(`"ADM-CID"0001L0#123[#123|1130 01 002/3130 01 003]`), "0001L0#123", "130 123/002 01 - -\n130 123/003 01 - -"},
		"text in carets":          {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1^ a|b* ^]`), "0001L0#123", "BA 123/1 - -  a|b* "},
		"text in asterisks":       {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1*a^b*]`), "0001L0#123", "BA 123/1 - - a^b"},
		"text behind a bar":       {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1|A the yard ]`), "0001L0#123", "BA 123/1 - -  the yard "},
		"unknown code of SIA":     {wireOf(`"SIA-DCS"0001L0#123[#123|NQQ1]`), "0001L0#123", "QQ 123/1 - - -"},
		"unknown code of CID":     {wireOf(`"ADM-CID"0001L0#123[#123|1700 00 001]`), "0001L0#123", "700 123/001 00 - -"},
		"not understood":          {wireOf(`"ADM-CID"0001L0#123[#123|what?]`), "0001L0#123", "- - - - what?"},
		"another token":           {wireOf(`"SIA-S20"0001L0#123[#123|binary]`), "0001L0#123", "- - - - binary"},
		"blocks of all sorts":     {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1][Mac][V][][?]_08:00:00,11-22-2026`), "0001L0#123", "BA 123/1 - - -"},
		"small letters in a sum":  {[]byte(strings.ToLower(string(wireOf(`"NULL"0000L0#123[]`)[:9])) + `"NULL"0000L0#123[]` + "\r"), "0000L0#123", ""},
		"empty":                   {wireOf(`"ADM-CID"0001L0#123[]`), "0001L0#123", ""},
		"a bar and no payload":    {wireOf(`"SIA-DCS"0001L0#123[#123|]`), "0001L0#123", ""},
		"NULL with blocks":        {wireOf(`"NULL"0000L0#123[][X1]_08:00:00,11-22-2026`), "0000L0#123", ""},
		"over CR, by flag":        {overCR(`"ADM-CID"0001L0#E1DE5[#E1DE5|1130 01 002]`), "0001L0#E1DE5", "130 E1DE5/002 01 - -"},
		"over CR, no flag":        {overCR(`"ADM-CID"0001L0#123[#123|1130 01 002]`), "", ""},
		"not over CR, with flag":  {wireOf(`"ADM-CID"0001L0#E1DE5[#E1DE5|1130 01 002]`), "0001L0#E1DE5", "130 E1DE5/002 01 - -"},
		"a bracket too many":      {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1]]`), "", ""},
		"a sequence of five":      {wireOf(`"SIA-DCS"00001L0#123[#123|NBA1]`), "", ""},
		"an account of two":       {wireOf(`"SIA-DCS"0001L0#12[#123|NBA1]`), "", ""},
		"fields in wrong order":   {wireOf(`"SIA-DCS"0001L0R1#123[#123|NBA1]`), "", ""},
		"asterisk outside":        {wireOf(`*"SIA-DCS"0001L0#123[#123|NBA1]`), "", ""},
		"a date of the locals":    {wireOf(`"SIA-DCS"0001L0#123[#123|NBA1]_08:00:00,22.11.2026`), "", ""},
	}
	for id, k := range keys {
		header := `0042R1L0#` + id
		at := "]_" + stamp(now)
		frames["encrypted "+id] = frame{sealed(k, `"*SIA-DCS"`+header, "|#"+id+"|Nri1/BA012^hall^][V1][X2"+at), "*" + header, "BA " + id + "/012 1 - hall"}
		frames["encrypted, small "+id] = frame{lower(sealed(k, `"*ADM-CID"`+header, "|#"+id+"|1130 01 002"+at)), "*" + header, "130 " + id + "/002 01 - -"}
		frames["encrypted NULL "+id] = frame{sealed(k, `"*NULL"0000L0#`+id, "|"+at), "*0000L0#" + id, ""}
		frames["encrypted NULL, no bar "+id] = frame{sealed(k, `"*NULL"0000L0#`+id, at), "*0000L0#" + id, ""}
		frames["encrypted, longest pad "+id] = frame{sealed(k, `"*SIA-DCS"`+header, strings.Repeat("x", 16)+"|#"+id+"|NBA1"+at), "*" + header, "BA " + id + "/1 - - -"}
	}
	for name, c := range frames {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(name+" "+network, func(t *testing.T) {
				s := &store{}
				b := start(t, Options{Accounts: accounts, Now: func() time.Time { return now }, Rand: letters('z')}, s)
				p := b.dial(t, network)
				p.send(c.wire)
				header := c.answer
				if header == "" {
					header = "0000L9#123"
					p.send(wireOf(`"NULL"` + header + `[]`)) // what is answered first was not silence
				}
				if got, want := p.answer(), acknowledged(t, header, keys, now); got != want {
					t.Errorf("answer %q, want %q", got, want)
				}
				if got := reported(s.of(event.KindPanelEvent)); got != c.events {
					t.Errorf("events %q, want %q", got, c.events)
				}
			})
		}
	}
}

// acknowledged is the ACK with this header, by the test's own code.
func acknowledged(t *testing.T, header string, keys map[string]*Key, now time.Time) string {
	t.Helper()
	header, encrypted := strings.CutPrefix(header, "*")
	if !encrypted {
		return string(wireOf(`"ACK"` + header + "[]"))
	}
	_, id, _ := strings.Cut(header, "#")
	plain := []byte("zzzzzzzzzz|]_" + stamp(now))
	keys[id].encrypt(plain)
	return string(wireOf(`"*ACK"` + header + "[" + strings.ToUpper(hex.EncodeToString(plain))))
}

// reported is "code zone area user text" of each event.
func reported(drafts []event.Draft) string {
	var lines []string
	for _, d := range drafts {
		fields := []string{}
		for _, tag := range []event.Tag{event.TagCode, 0, event.TagArea, event.TagUser, event.TagText} {
			s, _ := d.Body.Text(tag)
			if tag == 0 {
				s = d.Zone
			}
			if s == "" {
				s = "-"
			}
			fields = append(fields, s)
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	return strings.Join(lines, "\n")
}

// TestNoSecretsTold sends what a hostile panel may think of, with the key's account and others, and holds that nothing that the
// receiver answers, stores or logs has the key in it, and that nothing plain makes an event of a keyed account.
func TestNoSecretsTold(t *testing.T) {
	const secret = "SECRETKEYOF16BYT"
	k, err := KeyASCII(secret)
	must(t, err)
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.SampledFrom([]string{"#AAAA", "#aaaa", "", "#1234", "#9999"}).Draw(t, "account")
		body := fmt.Sprintf(`"%s"%04d%s%s[%s]%s%s`,
			rapid.SampledFrom([]string{"SIA-DCS", "ADM-CID", "NULL", "ACK", "NAK", "DUH", "RSP", "SIA-PUD", "*SIA-DCS", "*NULL"}).Draw(t, "id"),
			rapid.IntRange(0, 9999).Draw(t, "seq"), rapid.SampledFrom([]string{"L0", "R1L0", "L", ""}).Draw(t, "line"), number,
			rapid.SampledFrom([]string{"", "#AAAA|NBA1", "#aaaa|NBA1", "NBA1", "#1234|1130 01 001", "|", "#AAAA|NYK0"}).Draw(t, "data"),
			strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"[K]", "[K0]", "[K" + strings.Repeat("0", 32) + "]", "[X1]", "[*]", "[]"}), 0, 4).Draw(t, "blocks"), ""),
			rapid.SampledFrom([]string{"", "_08:00:00,11-22-2026"}).Draw(t, "stamp"))
		if rapid.Bool().Draw(t, "noise") {
			body = `"*SIA-DCS"0001L0` + number + "[" + strings.Repeat(rapid.StringMatching(`[0-9A-F]{32}`).Draw(t, "cipher"), 2)
		}
		var log strings.Builder
		now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
		r, err := New(Options{TCP: ":0", Accounts: []Account{{ID: "AAAA", Key: k}, {ID: "1234"}}, Now: func() time.Time { return now },
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err != nil {
			t.Fatal(err)
		}
		s := &store{}
		var answer []byte
		if f, ok := r.hear(wireOf(body), "here"); ok {
			var a *account
			if a, answer = r.judge(&f, "here"); a != nil {
				answer = r.settle(context.Background(), s.sink, a, &f)
			}
		}
		all := string(answer) + log.String() + fmt.Sprintf("%+v", s.drafts)
		for _, x := range []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))} {
			if strings.Contains(all, x) {
				t.Fatalf("%s: the key is told: %s", body, all)
			}
		}
		if strings.Contains(string(answer), "[K") || strings.Contains(string(answer), "[X") {
			t.Fatalf("%s: a block comes back: %q", body, answer)
		}
		for _, d := range s.of(event.KindPanelEvent) {
			if d.Source == "dc09/AAAA" {
				t.Fatalf("%s: an event of the keyed account: %+v", body, d)
			}
		}
	})
}

// TestFaultsAreNamed holds that each thing that can be wrong with frames is told in the log by its name, once.
func TestFaultsAreNamed(t *testing.T) {
	var log strings.Builder
	r, err := New(Options{TCP: ":0", Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	xsia := wireOf(`"SIA-DCS"0148R0002L0001[#001991|NUR069]2A52238E74F405CA|#001`)
	for range 3 {
		for _, wire := range [][]byte{xsia, vectorNamed(t, "bad-length-long").raw(t), vectorNamed(t, "ack-none-receiver").raw(t)} {
			if f, ok := r.hear(wire, "192.0.2.1:9"); ok {
				t.Errorf("%q is taken for %+v", wire, f)
			}
		}
	}
	for _, want := range []string{"Osborne-Hoffman XSIA framing: set the panel to plain SIA DC-09", "not a DC-09 frame: length", "no bracket after the header"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("%q is told %d times in\n%s", want, n, log.String())
		}
	}
	if got := r.bad.Load(); got != 9 {
		t.Errorf("%d wrong frames are counted, want 9", got)
	}
}

// TestAnswersAreCounted holds that what only a receiver says gets no answer and is counted.
func TestAnswersAreCounted(t *testing.T) {
	r, err := New(Options{TCP: ":0"})
	must(t, err)
	n := uint64(0)
	for _, v := range vectors(t) {
		if v.Class != "answer" {
			continue
		}
		n++
		if f, ok := r.hear(v.raw(t), "here"); ok {
			t.Errorf("%s is taken for %+v", v.Name, f)
		}
	}
	if got := r.answers.Load(); got != n || n < 5 || r.bad.Load() != 0 {
		t.Errorf("%d answers are counted, want %d; %d wrong frames", got, n, r.bad.Load())
	}
}
