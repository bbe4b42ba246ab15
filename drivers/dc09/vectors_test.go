package dc09

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vector is one entry of testdata/dc09.json, which says itself what its fields mean.
type vector struct {
	Name   string
	Class  string
	RawHex string `json:"raw_hex"`
	Key    *struct{ Hex, ASCII string }
	Expect expectation
}

type expectation struct {
	ID            *string
	Encrypted     bool
	Seq           string
	Receiver      *string
	Line          *string
	Account       *string
	CipherBytes   *int    `json:"cipher_bytes"`
	PadLen        *int    `json:"pad_len"`
	Data          *string `json:"data"`
	Xdata         []string
	Timestamp     *string
	AccountInData *string `json:"account_in_data"`
	Events        []expectedEvent
	Reject        bool
	Reason        []Reason
}

type expectedEvent struct {
	Format     string
	Qualifier  int
	Code       *string
	Zone       *string
	Area       *string
	Partition  *string
	Peripheral *string
	User       *string
	Time       *string
	Text       *string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/dc09.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Count   int
		Vectors []vector
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) != file.Count || file.Count == 0 {
		t.Fatalf("%d vectors, the file says %d", len(file.Vectors), file.Count)
	}
	return file.Vectors
}

func (v vector) raw(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.RawHex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v vector) key(t testing.TB) *Key {
	t.Helper()
	if v.Key == nil {
		return nil
	}
	k, err := KeyHex(v.Key.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// told is the frame in the words of the vectors.
func told(f Frame) expectation {
	e := expectation{
		ID: &f.ID, Encrypted: f.Encrypted, Seq: f.Seq,
		Receiver: f.Receiver.ptr(), Line: f.Line.ptr(), Account: f.Account.ptr(), AccountInData: f.AccountInData.ptr(),
	}
	if f.Encrypted {
		e.CipherBytes = &f.CipherBytes
	}
	if !f.Readable {
		return e
	}
	if f.Encrypted {
		e.PadLen = &f.PadLen
	}
	e.Data, e.Xdata, e.Events = &f.Data, append([]string{}, f.Extended...), []expectedEvent{}
	if f.Stamp != "" {
		s := f.Time.Format(time.RFC3339)
		e.Timestamp = &s
	}
	for _, r := range f.Reports {
		x := expectedEvent{Format: r.Format, Qualifier: r.Qualifier, Code: &r.Code, Zone: absent(r.Zone)}
		if r.Format == FormatCID {
			x.Partition = absent(r.Area)
		} else {
			x.Area, x.Peripheral, x.User, x.Text = absent(r.Area), absent(r.Peripheral), absent(r.User), absent(r.Text)
			x.Time = absent(r.Clock)
		}
		e.Events = append(e.Events, x)
	}
	return e
}

func (f Field) ptr() *string {
	if !f.Set {
		return nil
	}
	return &f.Text
}

func absent(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// TestVectors holds Cut, Parse and Open against every public vector.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			raw := v.raw(t)
			wire, rest, junk := Cut(raw)
			if wire == nil || junk != 0 {
				t.Fatalf("Cut: frame %q, junk %d", wire, junk)
			}
			if n := len(wire) + len(rest); n != len(raw) {
				t.Fatalf("Cut kept %d of %d bytes", n, len(raw))
			}
			f, err := Parse(wire, nil)
			switch v.Class {
			case "reject":
				refused(t, err, v.Expect.Reason)
				return
			case "crc_over_cr":
				refused(t, err, []Reason{ReasonCRC, ReasonLength})
				if f, err = Parse(wire, func(a string) bool { return a == *v.Expect.Account }); !f.OverCR {
					t.Errorf("OverCR is not set")
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if k := v.key(t); k != nil {
				if err := f.Open(k); err != nil {
					t.Fatal(err)
				}
			}
			if f.BinaryCRC != (v.Class == "binary_crc") {
				t.Errorf("BinaryCRC = %v", f.BinaryCRC)
			}
			if d := cmp.Diff(v.Expect, told(f)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func refused(t *testing.T, err error, want []Reason) {
	t.Helper()
	r, ok := err.(*Refusal)
	if !ok {
		t.Fatalf("error = %v, want a refusal for %v", err, want)
	}
	if d := cmp.Diff(want, r.Reasons); d != "" {
		t.Errorf("reasons (-want +got)\n%s", d)
	}
}

// wireOf builds a frame as the standard says, for inputs that no vector has; it shares no code with what it tests.
func wireOf(body string) []byte {
	sum := uint16(0)
	for _, c := range []byte(body) {
		sum ^= uint16(c)
		for range 8 {
			if sum&1 != 0 {
				sum = sum>>1 ^ 0xA001
			} else {
				sum >>= 1
			}
		}
	}
	pad := func(n uint64, digits int) string {
		s := "0000" + strconv.FormatUint(n, 16)
		return s[len(s)-digits:]
	}
	head := []byte(pad(uint64(sum), 4) + "0" + pad(uint64(len(body)), 3))
	for i, c := range head {
		if c >= 'a' {
			head[i] = c - 'a' + 'A'
		}
	}
	return []byte("\n" + string(head) + body + "\r")
}
