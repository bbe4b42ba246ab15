package camera

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func parse(text string) (*request, *interleaved, error) {
	return readMessage(bufio.NewReaderSize(strings.NewReader(text), maxLine))
}

func TestReadMessage(t *testing.T) {
	req, _, err := parse("\r\nPLAY rtsp://h/main RTSP/1.0\r\nCSeq: 7 \r\nSESSION:  abc\r\nContent-Length: 3\r\n\r\nxyz")
	if err != nil {
		t.Fatal(err)
	}
	if req.method != "PLAY" || req.uri != "rtsp://h/main" || req.header["cseq"] != "7" || req.header["session"] != "abc" || string(req.body) != "xyz" {
		t.Errorf("read as %+v", req)
	}
	_, frame, err := parse("$\x01\x00\x03abcPLAY")
	if err != nil || frame.channel != 1 || string(frame.data) != "abc" {
		t.Errorf("frame %+v, %v", frame, err)
	}
}

func TestReadMessageRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"http":            "GET / HTTP/1.1\r\n\r\n",
		"two words":       "PLAY rtsp://h\r\n\r\n",
		"no colon":        "PLAY u RTSP/1.0\r\nCSeq 1\r\n\r\n",
		"long line":       "PLAY " + strings.Repeat("x", maxLine) + " RTSP/1.0\r\n\r\n",
		"many headers":    "PLAY u RTSP/1.0\r\n" + headers(maxHeaders+1) + "\r\n",
		"long body":       "PLAY u RTSP/1.0\r\nContent-Length: 65537\r\n\r\n",
		"negative length": "PLAY u RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
	} {
		if _, _, err := parse(text); !errors.Is(err, errMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for name, text := range map[string]string{"": "", "cut header": "PLAY u RTSP/1.0\r\nCS", "cut body": "PLAY u RTSP/1.0\r\nContent-Length: 9\r\n\r\nabc", "cut frame": "$\x00\x00\x05a"} {
		if _, _, err := parse(text); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

func headers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("H" + strings.Repeat("x", i) + ": 1\r\n")
	}
	return b.String()
}

func TestReplyBytes(t *testing.T) {
	p := reply{status: statusUnauthorized}
	p.set("CSeq", "3")
	if got, want := string(p.bytes()), "RTSP/1.0 401 Unauthorized\r\nCSeq: 3\r\n\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.body = "v=0"
	if got := string(p.bytes()); !strings.HasSuffix(got, "Content-Length: 3\r\n\r\nv=0") {
		t.Errorf("%q", got)
	}
}

func TestInterleavedChannel(t *testing.T) {
	for text, want := range map[string]int{
		"RTP/AVP/TCP;unicast;interleaved=0-1":                        0,
		"RTP/AVP/TCP;interleaved=6-7;unicast":                        6,
		"RTP/AVP;unicast;client_port=5-6, RTP/AVP/TCP;interleaved=2": 2,
		"RTP/AVP/TCP;unicast":                                        0,
		"RTP/AVP;unicast;client_port=5000-5001":                      -1,
		"RTP/AVP/TCP;interleaved=255-256":                            -1,
		"RTP/AVP/TCP;interleaved=x":                                  -1,
		"":                                                           -1,
	} {
		got, ok := interleavedChannel(text)
		if ok != (want >= 0) || ok && int(got) != want {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("DESCRIBE rtsp://h/main RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
	f.Add([]byte("$\x00\x00\x01x"))
	f.Add([]byte("PLAY u RTSP/1.0\r\nContent-Length: 3\r\n\r\nabc\r\n$\x01\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReaderSize(strings.NewReader(string(b)), maxLine)
		for {
			req, frame, err := readMessage(r)
			if err != nil {
				return
			}
			if (req == nil) == (frame == nil) {
				t.Fatal("neither or both of request and frame")
			}
			if req != nil && len(req.body) > maxBody {
				t.Fatal("body over the limit")
			}
		}
	})
}
