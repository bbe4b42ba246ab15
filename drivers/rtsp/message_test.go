package rtsp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func fromBytes(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 16) }

// What append writes readMessage reads, however the bytes are cut on the way, and not a byte more.
func TestMessagesThereAndBack(t *testing.T) {
	word := rapid.StringMatching(`[A-Za-z][A-Za-z-]{0,12}`)
	value := rapid.StringMatching(`[!-9;-~]([ -~]{0,40}[!-~])?`)
	rapid.Check(t, func(rt *rapid.T) {
		var m message
		if rapid.Bool().Draw(rt, "response") {
			m.status, m.reason = rapid.IntRange(100, 999).Draw(rt, "status"), rapid.StringMatching(`[A-Za-z]{1,9}( [A-Za-z]{1,9})?`).Draw(rt, "reason")
		} else {
			m.method, m.uri = rapid.StringMatching(`[A-Z_]{4,14}`).Draw(rt, "method"), "rtsp://"+rapid.StringMatching(`[!-~]{1,60}`).Draw(rt, "uri")
		}
		for range rapid.IntRange(0, maxHeaders-1).Draw(rt, "headers") {
			name := "X-" + word.Draw(rt, "name")
			m.header = append(m.header, field{name, value.Draw(rt, "value")})
		}
		if body := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "body"); len(body) > 0 {
			m.body = body
			m.header = append(m.header, field{"content-length", fmt.Sprint(len(body))})
		}
		wire := append(m.append(nil), "$tail"...)
		br := fromBytes(iotest.OneByteReader(bytes.NewReader(wire)))
		got, err := readMessage(br)
		if err != nil {
			rt.Fatalf("%q: %v", wire, err)
		}
		if d := cmp.Diff(&m, got, cmp.AllowUnexported(message{}, field{})); d != "" {
			rt.Fatal(d)
		}
		if rest, err := io.ReadAll(br); err != nil || string(rest) != "$tail" {
			rt.Fatalf("left %q, %v", rest, err)
		}
	})
}

// A message that is cut anywhere is an error that says so, and never half a message.
func TestACutMessageIsNone(t *testing.T) {
	whole := "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nv=0\n"
	for n := range len(whole) {
		m, err := readMessage(fromBytes(strings.NewReader(whole[:n])))
		if err == nil {
			t.Fatalf("%q: %+v", whole[:n], m)
		}
		if n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", whole[:n], err)
		}
	}
}

// What the limits let through and what not.
func TestMessageLimits(t *testing.T) {
	const start = "RTSP/1.0 200 OK\r\n"
	line := func(n int) string { return "X: " + strings.Repeat("x", n-len("X: \r\n")) + "\r\n" }
	for _, tt := range []struct {
		name, wire string
		want       error
	}{
		{"longest line", start + line(maxLine) + "\r\n", nil},
		{"a byte more", start + line(maxLine+1) + "\r\n", errLineTooLong},
		{"most headers", start + strings.Repeat("X: y\r\n", maxHeaders) + "\r\n", nil},
		{"one more", start + strings.Repeat("X: y\r\n", maxHeaders+1) + "\r\n", errTooManyHeaders},
		{"longest body", fmt.Sprintf(start+"Content-Length: %d\r\n\r\n%s", maxBody, strings.Repeat("b", maxBody)), nil},
		{"a byte too much", fmt.Sprintf(start+"Content-Length: %d\r\n\r\n", maxBody+1), errBodyTooLong},
		{"negative body", start + "Content-Length: -1\r\n\r\n", errNotRTSP},
		{"blank lines in front", "\r\n\n\r\n" + start + "\r\n", nil}, // A12
		{"nothing but blank lines", strings.Repeat("\r\n", 100), errNotRTSP},
		{"another protocol", "HTTP/1.1 200 OK\r\n\r\n", errNotRTSP},
		{"no number", "RTSP/1.0 OK\r\n\r\n", errNotRTSP},
		{"number out of range", "RTSP/1.0 1000 OK\r\n\r\n", errNotRTSP},
		{"four words", "PLAY rtsp://x y RTSP/1.0\r\n\r\n", errNotRTSP},
	} {
		if _, err := readMessage(fromBytes(strings.NewReader(tt.wire))); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
