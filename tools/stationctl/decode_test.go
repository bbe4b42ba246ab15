package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// vectorFiles are the public frames: the copy that the decoder's own tests use, and where they came from, if that is at hand.
func vectorFiles() []string {
	root := filepath.Join("..", "..")
	return []string{filepath.Join(root, "drivers", "dc09", "testdata", "dc09.json"), filepath.Join(root, "..", "shared", "vectors", "dc09.json")}
}

type vector struct {
	Name   string
	Class  string
	RawHex string `json:"raw_hex"`
	Key    *struct{ Hex, ASCII string }
	Expect map[string]any
}

// decode runs stationctl as a program of its own: the built one, where there is one.
func decode(t *testing.T, capture []byte, args ...string) (said map[string]any, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if built := os.Getenv("WATCHPOST_BIN"); built != "" {
		self = filepath.Join(built, "stationctl")
	}
	cmd := exec.CommandContext(t.Context(), self, append([]string{"decode"}, args...)...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	cmd.WaitDelay = time.Second
	var out, told bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(capture), &out, &told
	err = cmd.Run()
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatalf("%v: %v in %q; %s", args, err, out.String(), told.String())
	}
	return said, told.String(), code
}

// TestDecodeVectors holds the command to exactly the fields and words of every public vector.
func TestDecodeVectors(t *testing.T) {
	for _, path := range vectorFiles() {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && strings.Contains(path, "shared") {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Vectors []vector }
		if err := json.Unmarshal(b, &file); err != nil || len(file.Vectors) == 0 {
			t.Fatalf("%s: %d vectors, %v", path, len(file.Vectors), err)
		}
		for _, v := range file.Vectors {
			t.Run(v.Name, func(t *testing.T) {
				t.Parallel()
				decodeVector(t, v)
			})
		}
	}
}

func decodeVector(t *testing.T, v vector) {
	raw, err := hex.DecodeString(v.RawHex)
	if err != nil {
		t.Fatal(err)
	}
	same := func(want map[string]any, wantCode int, remedy string, args ...string) {
		t.Helper()
		got, stderr, code := decode(t, raw, append([]string{"dc09"}, args...)...)
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%v (-want +got)\n%s", args, d)
		}
		if code != wantCode || !strings.Contains(stderr, remedy) || remedy == "" && wantCode == 0 && stderr != "" {
			t.Errorf("%v: exit %d, want %d; said %q", args, code, wantCode, stderr)
		}
	}
	wrongKey := "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
	switch {
	case v.Class == "reject":
		same(v.Expect, 1, "not a DC-09 frame")
		same(v.Expect, 1, "not a DC-09 frame", "--crc-with-cr", "-")
	case v.Class == "crc_over_cr":
		same(v.Expect, 0, "", "--crc-with-cr")
		same(map[string]any{"reject": true, "reason": []any{"crc", "length"}}, 1, "crc length")
	case v.Class == "unknown_key":
		same(v.Expect, 0, "--key-hex or --key-ascii")
		same(v.Expect, 0, "does not open", "--key-hex", wrongKey)
	case v.Key != nil:
		same(v.Expect, 0, "", "--key-hex", v.Key.Hex)
		same(shut(v.Expect), 0, "--key-hex or --key-ascii")
		same(shut(v.Expect), 0, "does not open", "--key-hex", wrongKey)
		if v.Key.ASCII != "" {
			same(v.Expect, 0, "", "--key-ascii", v.Key.ASCII)
		}
	default:
		same(v.Expect, 0, "")
		same(v.Expect, 0, "", "--key-hex", wrongKey, "-") // a plain frame needs no key
	}
}

// shut is what may be known of an encrypted frame without its key.
func shut(expect map[string]any) map[string]any {
	m := map[string]any{"data": nil}
	for _, name := range []string{"id", "encrypted", "seq", "receiver", "line", "account", "cipher_bytes"} {
		m[name] = expect[name]
	}
	return m
}

// TestDecodeAround holds that what stands around the frame changes nothing.
func TestDecodeAround(t *testing.T) {
	good := "\n96ED0016\"SIA-DCS\"0001L0#1234[]\r"
	want, _, code := decode(t, []byte(good), "dc09")
	if code != 0 || want["account"] != "1234" {
		t.Fatalf("%v, exit %d", want, code)
	}
	for _, capture := range []string{"08:00:01.5 192.0.2.7 > \x00" + good + "\x00\r\n", "\n" + good + good, "\r" + good + "\n"} {
		got, stderr, code := decode(t, []byte(capture), "dc09")
		if d := gocmp.Diff(want, got); d != "" || code != 0 {
			t.Errorf("%q: exit %d %s (-want +got)\n%s", capture, code, stderr, d)
		}
	}
}

// TestDecodeForms are forms that no vector has, by the grammar: what is read of them, as JSON.
func TestDecodeForms(t *testing.T) {
	sia := func(code, zone, area, user, clock, text string) map[string]any {
		null := func(s string) any {
			if s == "" {
				return nil
			}
			return s
		}
		return map[string]any{"format": "sia", "code": null(code), "zone": null(zone), "area": null(area), "peripheral": nil, "user": null(user), "time": null(clock), "text": null(text)}
	}
	for body, want := range map[string]map[string]any{
		`"SIA-DCS"0000L0#ABC[Nti10:23:59/id12/ri3/CL7][KFF][Qx]`: {"data": "Nti10:23:59/id12/ri3/CL7", "xdata": []any{"KFF", "Qx"}, "account": "ABC", "account_in_data": nil, "timestamp": nil,
			"events": []any{sia("CL", "7", "3", "12", "10:23:59", "")}},
		`"SIA-DCS"0001L#123456[#123456|NBA001^a|b ^/FA2*c*]_23:59:59,12-31-2026`: {"line": "", "timestamp": "2026-12-31T23:59:59Z",
			"events": []any{sia("BA", "001", "", "", "", "a|b "), sia("FA", "2", "", "", "", "c")}},
		`"ADM-CID"0001L0[1700 00 001]`:                     {"account": nil, "account_in_data": nil, "events": []any{map[string]any{"format": "cid", "qualifier": 1.0, "code": "700", "partition": "00", "zone": "001"}}},
		"\"SIA-DCS\"0001L0#123[#123|NBA1^T\xfcr^]":         {"data": "#123|NBA1^Tür^", "events": []any{sia("BA", "1", "", "", "", "Tür")}},
		`"SIA-DCS"0001L0#123[]_25:00:00,13-01-2026`:        {"timestamp": nil, "data": "", "events": []any{}},
		`"NULL"0000L0#123[#0000|0000 00 000]`:              {"account_in_data": "0000", "events": []any{}},
		`"SIA-DCS"0001L0#123[` + strings.Repeat("x", 3000): {"reject": true, "reason": []any{"grammar"}},
		`"SIA-DCS"12L0#123[]`:                              {"reject": true, "reason": []any{"grammar"}},
	} {
		got, stderr, code := decode(t, wireOf(body), "dc09")
		for name, value := range want {
			if d := gocmp.Diff(value, got[name]); d != "" {
				t.Errorf("%.60s: %s (-want +got)\n%s", body, name, d)
			}
		}
		if wantCode := map[bool]int{true: 1}[want["reject"] == true]; code != wantCode {
			t.Errorf("%.60s: exit %d, want %d; %s", body, code, wantCode, stderr)
		}
	}
}

// TestDecodeGrammarOverCR is a frame that counts its CR and has a wrong grammar: with the flag its CRC and length hold.
func TestDecodeGrammarOverCR(t *testing.T) {
	body := `"ADM-CID"0056None#9999[#9999|1900 00 001]`
	counted := wireOf(body + "\r") // CRC and length with CR, and one CR more
	counted = counted[:len(counted)-1]
	for flag, want := range map[string][]any{"--crc-with-cr": {"grammar"}, "-": {"crc", "length"}} {
		got, _, code := decode(t, counted, "dc09", flag)
		if d := gocmp.Diff(map[string]any{"reject": true, "reason": want}, got); d != "" || code != 1 {
			t.Errorf("%s: exit %d (-want +got)\n%s", flag, code, d)
		}
	}
	if got, _, code := decode(t, wireOf(body), "dc09", "--crc-with-cr"); gocmp.Diff(map[string]any{"reject": true, "reason": []any{"grammar"}}, got) != "" || code != 1 {
		t.Errorf("exit %d, %v", code, got)
	}
}

// wireOf builds a frame as the standard says, with none of the decoder's code.
func wireOf(body string) []byte {
	sum := uint16(0)
	for _, c := range []byte(body) {
		sum ^= uint16(c)
		for range 8 {
			sum = sum>>1 ^ sum&1*0xA001
		}
	}
	digits := func(n, count int) string {
		s := strings.Repeat("0", count) + strings.ToUpper(hex.EncodeToString([]byte{byte(n >> 8), byte(n)}))
		return s[len(s)-count:]
	}
	return []byte("\n" + digits(int(sum), 4) + "0" + digits(len(body), 3) + body + "\r")
}

// TestDecodeContactID holds what codes mean, in both alphabets.
func TestDecodeContactID(t *testing.T) {
	type meant struct{ Code, Kind, Class, Severity, Says, Zone, User string }
	for input, want := range map[string][]meant{
		"1130 01 012\n":                        {{"130", "intrusion", "alarm", "alarm", "new", "012", ""}},
		"[#1234|3401 02 057/1900 00 001]":      {{"401", "arming", "openclose", "notice", "restore", "", "057"}, {"900", "unknown", "unknown", "warning", "new", "001", ""}},
		"3130 01 012":                          {{"130", "intrusion", "alarm", "notice", "restore", "012", ""}},
		"301":                                  {{"301", "mains", "trouble", "warning", "new", "", ""}},
		"BA BR QQ":                             {{"BA", "intrusion", "alarm", "alarm", "new", "", ""}, {"BR", "intrusion", "alarm", "notice", "restore", "", ""}, {"QQ", "unknown", "unknown", "warning", "status", "", ""}},
		"6602 00 000":                          {{"602", "system", "test", "notice", "status", "000", ""}},
		"3900 00 001":                          {{"900", "unknown", "unknown", "warning", "restore", "001", ""}},
		"1121 00 003":                          {{"121", "duress", "alarm", "alarm", "new", "", "003"}},
		"|1110 00 129":                         {{"110", "fire", "alarm", "alarm", "new", "129", ""}},
		"1144 01 002 1137 01 003 1383 01 004 ": {{"144", "tamper", "alarm", "alarm", "new", "002", ""}, {"137", "tamper", "alarm", "alarm", "new", "003", ""}, {"383", "tamper", "trouble", "warning", "new", "004", ""}},
	} {
		said, stderr, code := decode(t, []byte(input), "contactid")
		var got []meant
		list, _ := said["events"].([]any)
		for _, e := range list {
			m := e.(map[string]any)
			text := func(name string) string { s, _ := m[name].(string); return s }
			got = append(got, meant{text("code"), text("kind"), text("class"), text("severity"), text("says"), text("zone"), text("user")})
			if cmp.Or(text("meaning")) == "" || len(m) != 11 {
				t.Errorf("%q: %v", input, m)
			}
		}
		if d := gocmp.Diff(want, got); d != "" || code != 0 {
			t.Errorf("%q: exit %d %s (-want +got)\n%s", input, code, stderr, d)
		}
	}
	for _, input := range []string{"", "  ", "[]", "hello", "1130 01", "ba", "1130 01 012 and more", "\xff\xfe"} {
		said, stderr, code := decode(t, []byte(input), "contactid")
		if d := gocmp.Diff(map[string]any{"reject": true, "reason": []any{"grammar"}}, said); d != "" || code != 1 || stderr == "" {
			t.Errorf("%q: exit %d %s (-want +got)\n%s", input, code, stderr, d)
		}
	}
}
