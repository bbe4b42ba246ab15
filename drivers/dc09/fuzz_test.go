package dc09

import (
	"errors"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// seed adds every vector and some forms of the field to a corpus.
func seed(f *testing.F) {
	f.Helper()
	for _, v := range vectors(f) {
		f.Add(v.raw(f))
	}
	for _, body := range []string{
		`"SIA-DCS"0001L[#9999|NBA2]`, `"SIA-DCS"0001L0#123[NBA1^a^/FA2|Ab][X1][Y2]_10:00:00,01-01-2026`, `"ADM-CID"0001L0#123[#123|1130 01 012/3130 01 013]`,
		`"NULL"0000R0L0#AAAB[#0000|0000 00 000]`, `"SIA-DCS"0148R0002L0001[#001991|Nri04/UR069*'HA Overloop'NM]`,
	} {
		f.Add(wireOf(body))
	}
}

// FuzzStream feeds bytes to Cut and Parse as a panel's connection does.
func FuzzStream(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		if _, err := ParseCapture(stream, nil); err != nil {
			if r, ok := errors.AsType[*Refusal](err); !ok || len(r.Reasons) == 0 {
				t.Fatalf("a capture is refused by %v", err)
			}
		}
		rest := stream
		for {
			before := len(rest)
			wire, after, junk := Cut(rest)
			if len(wire)+len(after)+junk != before || len(after) > MaxFrame && wire == nil {
				t.Fatalf("%d bytes became frame %d, rest %d, junk %d", before, len(wire), len(after), junk)
			}
			if wire == nil {
				break
			}
			rest = after
			if wire[0] != '\n' || wire[len(wire)-1] != '\r' || len(wire) > MaxFrame {
				t.Fatalf("frame %q", wire)
			}
			judgeFrame(t, wire)
		}
	})
}

// judgeFrame holds what is true of each frame that Parse accepts: its sizes are bounded, its answer can be parsed and echoes
// the header, and the log takes its events.
func judgeFrame(t *testing.T, wire []byte) {
	t.Helper()
	f, err := Parse(wire, func(string) bool { return true })
	if err != nil {
		var r *Refusal
		if !errors.As(err, &r) || len(r.Reasons) == 0 || f.ID != "" {
			t.Fatalf("error %v, frame %+v", err, f)
		}
		return
	}
	if len(f.Seq) != 4 || len(f.Receiver.Text) > 6 || len(f.Line.Text) > 6 || len(f.Account.Text) > 16 || len(f.Reports) > maxReports || len(f.Extended) > maxExtended {
		t.Fatalf("limits: %+v", f)
	}
	if f.Readable == f.Encrypted {
		t.Fatalf("readable and encrypted: %+v", f)
	}
	request := f
	request.Encrypted = false
	ack, err := AppendACK(nil, &request, nil, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse(ack, nil)
	if err != nil || g.Seq != f.Seq || g.Receiver != f.Receiver || g.Line != f.Line || g.Account != f.Account || g.BinaryCRC != f.BinaryCRC || g.Data != "" {
		if f.ID != idNAK { // its line is not what stands there
			t.Fatalf("ACK %q of %+v: %v", ack, f, err)
		}
	}
	a := &account{Account: Account{ID: strings.ToUpper(f.Account.Text)}, source: "dc09/" + f.Account.Text}
	for d := range a.drafts(&f, time.Now()) {
		if _, err := event.AppendRecord(nil, withTime(d)); err != nil {
			t.Fatalf("the log refuses an event of %q for ever: %v", wire, err)
		}
	}
}

// FuzzOpen decrypts: what is fuzzed is the plain text that a wrong key, or a hostile holder of the right one, makes.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{
		"Qx7!zKQx|#ABC123|Nri1/BA012]_08:09:10,11-22-2026", "0000000000000000|Nri1/WA000]_16:04:02,07-09-2020",
		"pppppppppp|]_08:09:12,11-22-2026", "000000000]_08:09:12,11-22-2026", "|", "]", "||]]__", "|][[_",
	} {
		f.Add(s)
	}
	k, err := KeyASCII("AAAAAAAAAAAAAAAA")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, plain string) {
		if plain == "" || len(plain) > 2000 {
			return
		}
		frame, err := Parse(sealed(k, `"*SIA-DCS"0001L0#123`, plain), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := frame.Open(k); err != nil {
			if _, bad := errors.AsType[*Refusal](err); !bad && !errors.Is(err, ErrUnreadable) || frame.Readable || frame.Data != "" || frame.Reports != nil {
				t.Fatalf("%v, yet %+v", err, frame)
			}
			return
		}
		if !frame.Readable || !isStamp(frame.Stamp) || !strings.Contains(plain, frame.Data) || frame.PadLen < 0 {
			t.Fatalf("%q opened as %+v", plain, frame)
		}
		a := &account{Account: Account{ID: "123", Key: k}, source: "dc09/123"}
		for d := range a.drafts(&frame, time.Now()) {
			if _, err := event.AppendRecord(nil, withTime(d)); err != nil {
				t.Fatalf("the log refuses an event of %q for ever: %v", plain, err)
			}
		}
	})
}
