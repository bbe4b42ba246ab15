package panel

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

// Captured frames of panels with quirks come out byte for byte, with all that stood behind their CR.
func TestQuirksMakeTheFramesOfTheField(t *testing.T) {
	stamp := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	report := Report{Code: "BA", Zone: "503"}
	block := quirks{QuirkNoSlash}.block(report.Code, report.Zone, "Volum.Taverna   Appartam.Giorno ")
	frames := map[string]Frame{
		"null-empty-line-nul":      {ID: idNull, Seq: 1, Account: "7303658550", Time: stamp("2019-06-07T15:39:38Z"), Quirks: []Quirk{QuirkEmptyLine, QuirkNUL}},
		"hikvision-null-with-data": {ID: idNull, Line: "0", Account: "7890", Data: quirks{QuirkNullData}.null(), Time: stamp("2022-12-29T22:13:29Z")},
		"sia-caret-text":           {ID: idSIA, Seq: 1783, Line: "0", Account: "000110", Data: "#000110|" + block, Time: stamp("2022-01-20T11:49:27Z")},
		"ajax-lon-lat":             {ID: idSIA, Seq: 2, Receiver: "1", Line: "232", Account: "78919", Data: "#78919|Nri1/BA012", Extra: quirks{QuirkExtended}.extra(), Time: stamp("2026-09-25T14:12:04Z")},
		"eldes-cid-900":            {ID: idCID, Seq: 56, Line: "9999", Account: "9999", Data: "#9999|1900 00 001", Quirks: []Quirk{QuirkCRCOverCR}},
		"trikdis-null-binary-crc":  {ID: idNull, Receiver: "1", Line: "1", Account: "9413", Time: stamp("2023-08-30T23:05:28Z"), Quirks: []Quirk{QuirkBinaryCRC}},
	}
	for _, v := range vectorsOf(t, "testdata/quirks.json") {
		f, ok := frames[v.Name]
		if !ok {
			continue
		}
		delete(frames, v.Name)
		raw, err := hex.DecodeString(v.Raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Marshal(nil, nil)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %q, %v, want %q", v.Name, got, err, raw)
		}
	}
	for name := range frames {
		t.Errorf("there is no vector %s", name)
	}
}

func TestQuirksOfBlocks(t *testing.T) {
	for want, odd := range map[string]quirks{
		"#1234|Nri1/BA003^WP-000003 hall^":       nil,
		"#1234|Npi0/BA003^WP-000003 hall^":       {QuirkPeripheral},
		"#0000|Nri1/BA003^WP-000003 hall^":       {QuirkOtherAccount},
		"#1234|Nri1BA003^WP-000003 hall^":        {QuirkNoSlash},
		"#1234|Nri1/BA003/BR003^WP-000003 hall^": {QuirkTwoEvents},
		"#1234|Nri1/BA003|AWP-000003 hall":       {QuirkBarText},
		"#1234|Nri1/BA003^WP-000003 hall  ^":     {QuirkBlanks},
	} {
		got, err := Report{Code: "BA", Text: "hall"}.data(FormatSIA, odd, "1234", 3)
		if err != nil || got != want {
			t.Errorf("%v: %q, %v, want %q", odd, got, err, want)
		}
	}
	if got, err := (Report{Code: "1130"}).data(FormatCID, quirks{QuirkOtherAccount}, "1234", 3); err != nil || got != "#0000|1130 01 003" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestQuirksOfEncryption(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	f := Frame{ID: idNull, Line: "0", Account: "1234", Time: time.Unix(1e9, 0), Quirks: []Quirk{QuirkNullNoBar, QuirkConstantPad}}
	b, err := f.Marshal(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, cipher, _ := strings.Cut(strings.TrimSuffix(string(b), "\r"), "[")
	if _, err := open(key, cipher); err == nil {
		t.Error("there is a bar in the NULL")
	}
	f.ID = idSIA // what is no NULL has its bar
	if b, err = f.Marshal(key, nil); err != nil {
		t.Fatal(err)
	}
	if a, err := ParseAnswer(b, key); err != nil || !a.Time.Equal(f.Time) {
		t.Errorf("%+v, %v", a, err)
	}
}

// Whatever a panel sends, a CRC that is to begin with 0 does, and is right.
func TestZeroCRC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Frame{ID: idSIA, Line: "0", Account: "1234", Time: time.Unix(1e9, 0), Quirks: []Quirk{QuirkZeroCRC},
			Data: rapid.StringMatching(`[ -Z^-~]{0,60}`).Draw(t, "data")}
		key := rapid.SampledFrom([][]byte{nil, make([]byte, 16)}).Draw(t, "key")
		b, err := f.Marshal(key, rand.Reader)
		if err != nil || b[1] != '0' {
			t.Fatalf("%q, %v", b, err)
		}
		if a, err := ParseAnswer(b, key); err != nil || !a.Time.Equal(f.Time) {
			t.Fatalf("%+v, %v", a, err)
		}
		f.Quirks = append(f.Quirks, QuirkBinaryCRC)
		if b, err = f.Marshal(key, rand.Reader); err != nil || b[1]>>4 != 0 {
			t.Fatalf("%q, %v", b, err)
		}
		if _, err := ParseAnswer(digits(b), key); err != nil {
			t.Fatal(err)
		}
	})
}

// A CRC of two bytes may be any bytes, those of a frame's ends too.
func TestCutFramesOfBinaryCRC(t *testing.T) {
	for _, crc := range []string{"\r\r", "\n\n", "\n\r", `""`} {
		frame := "\n" + crc + "0010body\r"
		for at := range len(frame) {
			first, rest := cutFrames([]byte("x"+frame[:at]), binaryCRC)
			second, _ := cutFrames(append(bytes.Clone(rest), frame[at:]...), binaryCRC)
			if got := bytes.Join(append(first, second...), nil); string(got) != frame {
				t.Errorf("%q cut at %d: %q", frame, at, got)
			}
		}
	}
	if got := digits([]byte("\n\x0a\xB00010")); string(got) != "\n0AB00010" {
		t.Errorf("%q", got)
	}
	if got := digits([]byte("\n1")); string(got) != "\n1" {
		t.Errorf("%q", got)
	}
}

// oddly serves panels on one TCP connection after the other, and answers each frame as reply says.
func oddly(t *testing.T, reply func(frame string) []byte) (to string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1<<16)
			for {
				_ = conn.SetReadDeadline(time.Now().Add(patience))
				n, err := conn.Read(buf)
				if err != nil {
					break
				}
				if _, err := conn.Write(reply(string(buf[:n]))); err != nil {
					break
				}
			}
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return "tcp://" + ln.Addr().String()
}

// A panel believes an answer with the quirks of its own, and no other.
func TestAnswersToQuirks(t *testing.T) {
	seq := func(frame string) string {
		_, rest, _ := strings.Cut(frame, `SIA-DCS"`)
		return rest[:4]
	}
	for name, c := range map[string]struct {
		quirk Quirk
		wrong func(seq string) []byte
		right func(seq string) []byte
	}{
		"binary": {QuirkBinaryCRC,
			func(seq string) []byte { return quirks(nil).envelope(`"ACK"` + seq + `L0#1234[]`) },
			func(seq string) []byte { return quirks{QuirkBinaryCRC}.envelope(`"ACK"` + seq + `L0#1234[]`) }},
		"no line": {QuirkNoLine,
			func(seq string) []byte { return quirks(nil).envelope(`"ACK"` + seq + `L#1234[]`) },
			func(seq string) []byte { return quirks(nil).envelope(`"ACK"` + seq + `#1234[]`) }},
		"empty line": {QuirkEmptyLine,
			func(seq string) []byte { return quirks(nil).envelope(`"ACK"` + seq + `L0#1234[]`) },
			func(seq string) []byte { return quirks(nil).envelope(`"ACK"` + seq + `L#1234[]`) }},
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			to := oddly(t, func(frame string) []byte {
				if first {
					first = false
					return c.wrong(seq(frame))
				}
				return c.right(seq(frame))
			})
			o, _ := fast(to, 40) // 40 CRCs
			o.Quirks = []Quirk{c.quirk}
			if got := run(t, o); got.Acked != 40 || got.Retransmitted != 1 || got.Stray+got.Bad != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestStubbornClock(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	seen := make(chan time.Time, 100)
	c := listenTCP(t, key, func(n int, f got) []string {
		select {
		case seen <- f.answer.Time:
		default:
		}
		return []string{`"NAK"0000R0L0A0[]` + time.Now().UTC().Format(timestamp)}
	})
	o, _ := fast(c.to, 1)
	o.Key, o.Skew, o.Retry, o.Quirks = key, -time.Hour, 5*time.Millisecond, []Quirk{QuirkStubborn}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return p.Run(ctx) })
	for range 10 {
		if at := <-seen; time.Since(at) < 59*time.Minute {
			t.Errorf("the clock was set: %v", at)
		}
	}
	cancel()
	if err := group.Wait(); err != nil || p.Totals().Acked != 0 {
		t.Errorf("%+v, %v", p.Totals(), err)
	}
}

// What is captured is what was on the wire, and can be replayed.
func TestCapture(t *testing.T) {
	c := listenTCP(t, nil, always)
	o, _ := fast(c.to, 3)
	var capture lines
	o.Capture = &capture
	run(t, o)
	if len(capture) != 6 {
		t.Fatalf("%q", []string(capture))
	}
	frames, err := Captured(strings.NewReader(strings.Join(capture, "")))
	if err != nil || len(frames) != 3 {
		t.Fatalf("%q, %v", frames, err)
	}
	for i, f := range c.seen() {
		if string(frames[i]) != f.raw {
			t.Errorf("captured %q, sent %q", frames[i], f.raw)
		}
		if want := fmt.Sprintf("< %x\n", quirks(nil).envelope(ack(f))); capture[2*i+1] != want {
			t.Errorf("captured %q, want %q", capture[2*i+1], want)
		}
	}
	if _, err := Captured(strings.NewReader("> 0g\n")); err == nil {
		t.Error("a capture that is no hex was read")
	}
}

func TestQuirksAreChecked(t *testing.T) {
	for _, q := range AllQuirks() {
		if err := (quirks{q}).check(FormatSIA); err != nil {
			t.Error(err)
		}
	}
	for want, c := range map[string]struct {
		odd    []Quirk
		format Format
	}{
		`quirk "polite"`: {[]Quirk{"polite"}, FormatSIA},
		"choose one":     {[]Quirk{QuirkEmptyLine, QuirkNoLine}, FormatSIA},
		"format sia":     {[]Quirk{QuirkTwoEvents}, FormatCID},
	} {
		_, err := New(Options{To: "tcp://127.0.0.1:1", Account: "1234", Format: c.format, Quirks: c.odd})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", c.odd, err, want)
		}
	}
}

// A hushed panel says nothing and keeps its connection; a clock that is put wrong is set by a NAK.
func TestHushAndSkew(t *testing.T) {
	const hush = 100 * time.Millisecond
	key := bytes.Repeat([]byte{7}, 16)
	seen := make(chan time.Time, 1000)
	c := listenTCP(t, key, func(n int, f got) []string {
		seen <- time.Now()
		if time.Since(f.answer.Time).Abs() > 20*time.Second {
			return []string{`"NAK"0000R0L0A0[]` + time.Now().UTC().Format(timestamp)}
		}
		return []string{sealed(t, f, key, time.Now())}
	})
	o, _ := fast(c.to, 0)
	o.Key, o.Poll, o.Retry = key, time.Millisecond, time.Second
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	var group errgroup.Group
	group.Go(func() error { return p.Run(ctx) })
	<-seen
	if err := p.Hush(ctx, hush); err != nil {
		t.Fatal(err)
	}
	hushed, last := time.Now(), time.Now()
	for longest := time.Duration(0); longest < hush*9/10; {
		at := <-seen
		longest, last = max(longest, at.Sub(last)), at
		if time.Since(hushed) > patience/2 {
			t.Fatalf("the longest silence is %v", longest)
		}
	}
	if err := p.SetSkew(ctx, -time.Hour); err != nil {
		t.Fatal(err)
	}
	for p.Totals().NAKs == 0 {
		<-seen
	}
	<-seen
	cancel()
	if err := group.Wait(); err != nil || p.Totals().Connects != 1 {
		t.Errorf("%v, %+v", err, p.Totals())
	}
	if err := p.Hush(ctx, 0); err == nil {
		t.Error("a panel that does not run was hushed")
	}
}
