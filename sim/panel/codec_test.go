package panel

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// vector is one entry of testdata/dc09.json or testdata/quirks.json.
type vector struct {
	Name, Class, Frame, Key, Plaintext string
	Raw                                string `json:"raw_hex"`
	Expect                             *struct {
		ID                      string
		Encrypted               bool
		Seq                     string
		Receiver, Line, Account *string
		Data                    *string
		Xdata                   []string
		Timestamp               *time.Time
	}
}

func vectors(t testing.TB) []vector { t.Helper(); return vectorsOf(t, "testdata/dc09.json") }

func vectorsOf(t testing.TB, file string) []vector {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Vectors []vector }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list.Vectors
}

func (v vector) key(t testing.TB) []byte {
	t.Helper()
	key, err := hex.DecodeString(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pad is the pad that the vector's sender drew.
func (v vector) pad() string {
	pad, _, _ := strings.Cut(v.Plaintext, "|")
	return pad
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Frames of real panels come out byte for byte when their parts go in.
func TestMarshalMakesTheFramesOfOthers(t *testing.T) {
	made := 0
	for _, v := range vectors(t) {
		e := v.Expect
		if v.Class != "frame" || text(e.Line) == "" || v.Name == "enc-ascii-key" { // its sender drew zeros, and 16 too many
			continue
		}
		made++
		seq, err := strconv.Atoi(e.Seq)
		if err != nil {
			t.Fatal(err)
		}
		f := Frame{ID: e.ID, Seq: seq, Receiver: text(e.Receiver), Line: text(e.Line), Account: text(e.Account), Data: text(e.Data), Extra: e.Xdata}
		if e.Timestamp != nil {
			f.Time = *e.Timestamp
		}
		got, err := f.Marshal(v.key(t), strings.NewReader(v.pad()))
		if err != nil || string(got) != "\n"+v.Frame+"\r" {
			t.Errorf("%s: %q, %v, want %q", v.Name, got, err, v.Frame)
		}
	}
	if made < 11 {
		t.Errorf("only %d vectors were used", made)
	}
}

func TestParseAnswerReadsTheAnswersOfOthers(t *testing.T) {
	for _, v := range vectors(t) {
		got, err := ParseAnswer([]byte("\n"+v.Frame+"\r"), v.key(t))
		switch {
		case v.Class == "reject":
			if err == nil {
				t.Errorf("%s: accepted as %+v", v.Name, got)
			}
		case v.Class == "answer":
			e := v.Expect
			want := Answer{ID: e.ID, Encrypted: e.Encrypted, Receiver: text(e.Receiver), Line: text(e.Line), Account: text(e.Account)}
			want.Seq, _ = strconv.Atoi(e.Seq)
			if e.Timestamp != nil {
				want.Time = e.Timestamp.UTC()
			}
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v, want %+v", v.Name, got, err, want)
			}
		}
	}
}

func TestParseAnswerRefuses(t *testing.T) {
	key := []byte("0123456789ABCDEF")
	frame := func(body string) string { return "\n" + head(body) + body + "\r" }
	for name, c := range map[string]string{
		"nothing":              "",
		"no CR":                "\n59890012\"ACK\"0000L0#1409[]",
		"wrong CRC":            "\n59880012\"ACK\"0000L0#1409[]\r",
		"wrong length":         "\n59890013\"ACK\"0000L0#1409[]\r",
		"no token":             frame(`ACK0000L0#1409[]`),
		"sequence with sign":   frame(`"ACK"+001L0#1409[]`),
		"NAK without L":        frame(`"NAK"0000R0[]_16:20:01,09-24-2025`),
		"R without digits":     frame(`"ACK"0001RL0#1409[]`),
		"no block":             frame(`"ACK"0001L0#1409`),
		"no end of block":      frame(`"ACK"0001L0#1409[`),
		"NAK without A0":       frame(`"NAK"0000R0L0[]_16:20:01,09-24-2025`),
		"NAK without time":     frame(`"NAK"0000R0L0A0[]`),
		"thirteenth month":     frame(`"NAK"0000R0L0A0[]_16:20:01,13-24-2025`),
		"long line":            frame(`"ACK"0001L1234567#1409[]`),
		"encrypted, no hex":    frame(`"*ACK"0001L0#1409[xyz`),
		"encrypted, odd block": frame(`"*ACK"0001L0#1409[0011`),
		"encrypted, other key": frame(`"*ACK"0042R1L0#ABC123[D5311599058179C14C8E55739B44A51F04B7FFE8476E4072FDEB650D6AB43A21`),
	} {
		if a, err := ParseAnswer([]byte(c), key); err == nil {
			t.Errorf("%s: accepted as %+v", name, a)
		}
	}
}

// head is the CRC and the length of a body, computed another way than the codec
// does: bit by bit with the polynomial that is not reflected.
func head(body string) string {
	var crc uint32
	for _, c := range []byte(body) {
		for bit := range 8 {
			top := crc>>15&1 ^ uint32(c>>bit&1)
			crc = crc << 1 & 0xFFFF
			if top == 1 {
				crc ^= 0x8005
			}
		}
	}
	var mirrored uint32
	for bit := range 16 {
		mirrored |= crc >> bit & 1 << (15 - bit)
	}
	const digits = "0123456789ABCDEF"
	out := []byte{digits[mirrored>>12], digits[mirrored>>8&15], digits[mirrored>>4&15], digits[mirrored&15], '0'}
	n := len(body)
	return string(append(out, digits[n>>8&15], digits[n>>4&15], digits[n&15]))
}

// An account sees every frame open with its key, and the plain one unchanged.
func TestFramesOpenAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([][]byte{nil, make([]byte, 16), make([]byte, 24), make([]byte, 32)}).Draw(t, "key")
		f := Frame{
			ID: idSIA, Seq: rapid.IntRange(0, maxSeq).Draw(t, "seq"), Line: "0",
			Receiver: rapid.StringMatching(`[0-9A-F]{0,6}`).Draw(t, "receiver"), Account: rapid.StringMatching(`[0-9A-F]{3,16}`).Draw(t, "account"),
			Data: rapid.StringMatching(`[ -Z^-~]{0,60}`).Draw(t, "data"), Time: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0).UTC(),
		}
		b, err := f.Marshal(key, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		body := string(b[1+frameHead : len(b)-1])
		if got := string(b[1 : 1+frameHead]); got != head(body) {
			t.Fatalf("head %s, want %s", got, head(body))
		}
		a, err := ParseAnswer(b, key)
		want := Answer{ID: f.ID, Encrypted: key != nil, Seq: f.Seq, Receiver: f.Receiver, Line: f.Line, Account: f.Account, Time: f.Time}
		if err != nil || a != want {
			t.Fatalf("%q: %+v, %v, want %+v", b, a, err, want)
		}
		_, tail, _ := strings.Cut(body, "[")
		if key != nil {
			if strings.Contains(body, "]") {
				t.Fatal("a bracket stands outside of the encrypted block")
			}
			if tail, err = open(key, tail); err != nil {
				t.Fatal(err)
			}
		}
		if want := f.Data + f.Time.Format("]_15:04:05,01-02-2006"); tail != want {
			t.Fatalf("%q, want %q", tail, want)
		}
	})
}

func TestMarshalRefuses(t *testing.T) {
	if _, err := (Frame{ID: idSIA, Data: "x"}).Marshal(make([]byte, 16), rand.Reader); err == nil {
		t.Error("an encrypted frame without a time was made")
	}
	if _, err := (Frame{ID: idSIA, Data: "x", Time: time.Now()}).Marshal(make([]byte, 17), rand.Reader); err == nil {
		t.Error("a key of 17 bytes was taken")
	}
	if _, err := (Frame{ID: idSIA, Data: strings.Repeat("x", maxBody)}).Marshal(nil, nil); err == nil {
		t.Error("a frame over the limit was made")
	}
	if _, err := (Frame{ID: idSIA, Time: time.Now()}).Marshal(make([]byte, 16), strings.NewReader("")); err == nil {
		t.Error("a pad was made of nothing")
	}
}

func TestCRC(t *testing.T) {
	if got := crc16("123456789"); got != 0xBB3D {
		t.Errorf("CRC %04X, want BB3D", got)
	}
	if got := head("123456789"); got != "BB3D0009" {
		t.Errorf("the other CRC gives %s", got)
	}
}

func TestCutFrames(t *testing.T) {
	frames, rest := cutFrames([]byte("junk\nA\r\x00\nB\r\nC"), 0)
	if len(frames) != 2 || string(frames[0]) != "\nA\r" || string(frames[1]) != "\nB\r" || string(rest) != "\nC" {
		t.Errorf("%q and %q", frames, rest)
	}
	if frames, rest := cutFrames([]byte("no frame at all\r"), 0); frames != nil || rest != nil {
		t.Errorf("%q and %q", frames, rest)
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte("\n" + v.Frame + "\r"))
	}
	key := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAnswer(b, key)
		if err == nil && (a.ID == "" || a.Seq < 0 || a.Seq > maxSeq) {
			t.Errorf("%q read as %+v", b, a)
		}
	})
}

func FuzzCutFrames(f *testing.F) {
	f.Add([]byte("\nA\r\nB\r"), 3)
	f.Add([]byte("\n\n\r\r"), 1)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		// Whole or in two parts, the same frames come out.
		at = min(max(at, 0), len(b))
		whole, _ := cutFrames(b, 0)
		first, rest := cutFrames(b[:at], 0)
		second, _ := cutFrames(append(append([]byte(nil), rest...), b[at:]...), 0)
		if got := append(first, second...); !bytes.Equal(bytes.Join(got, nil), bytes.Join(whole, nil)) {
			t.Errorf("%q and %q", got, whole)
		}
	})
}
