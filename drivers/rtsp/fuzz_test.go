package rtsp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("\r\n\r\nOPTIONS rtsp://x RTSP/1.0\r\nCSeq:1\r\n\r\n"))
	f.Add([]byte("RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\\\"b\", nonce=x, Basic realm=\"c\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMessage(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if len(m.header) > maxHeaders || len(m.body) > maxBody || (m.status == 0) == (m.method == "") {
			t.Fatalf("%+v", m)
		}
		choose(parseChallenges(m.all("WWW-Authenticate")), "u", "p", true)
		if _, _, err := channels(m.get("Transport")); err != nil && m.get("Transport") == "" {
			t.Fatal(err)
		}
		again, err := readMessage(bufio.NewReader(bytes.NewReader(m.append(nil))))
		if err != nil || again.status != m.status || again.method != m.method || !bytes.Equal(again.body, m.body) && m.get("Content-Length") != "" {
			t.Fatalf("%+v comes back as %+v, %v", m, again, err)
		}
	})
}

func FuzzParseSDP(f *testing.F) {
	f.Add([]byte(plainSDP))
	f.Add([]byte("m=video 0 RTP/AVP 35 26 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-parameter-sets=AAAAAWdC,aM4="))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, base, err := parseSDP(data)
		if err != nil {
			return
		}
		if m.PayloadType > 127 || m.ClockRate == 0 || len(m.SPS) > maxSet || len(m.PPS) > maxSet {
			t.Fatalf("%+v", m)
		}
		if strings.ContainsAny(m.control+base, "\r\n") {
			t.Fatal("a line end went into a URL")
		}
	})
}

func FuzzInterleaved(f *testing.F) {
	f.Add(pictures(0, 96, 1, 2))
	f.Add(append([]byte("garbage$\x00\x00"), pictures(1, 96, 1, 2)...))
	f.Add([]byte("\r\n$\x00\x00\x02abRTSP/1.0 200 OK\r\n\r\n$\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fr, err := newFramer(bufio.NewReaderSize(&trickle{data}, readBuffer))
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for {
			f, err := fr.next(func() error { return nil })
			if err != nil {
				if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.ErrNoProgress) {
					t.Fatal(err)
				}
				return
			}
			if total += len(f.data); total > len(data) || (f.message != nil) == (f.data != nil) {
				t.Fatalf("%d bytes of %d, %+v", total, len(data), f)
			}
		}
	})
}

// trickle gives three bytes at a time, as a slow line does.
type trickle struct{ rest []byte }

func (r *trickle) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(3, len(b))], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func FuzzParseURL(f *testing.F) {
	f.Add("rtsp://u:p%40@[::1]:554/x?y", "trackID=1")
	f.Fuzz(func(t *testing.T, raw, control string) {
		a, err := parseURL(raw)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.url, " \r\n") || !strings.HasPrefix(a.url, "rtsp://") {
			t.Fatalf("%+v", a)
		}
		joinControl(a.url, control)
	})
}

func BenchmarkInterleaved(b *testing.B) {
	frames := pictures(0, 96, 1, 1000)
	b.SetBytes(int64(len(frames)))
	b.ReportAllocs()
	br := bufio.NewReaderSize(nil, readBuffer)
	for range b.N {
		br.Reset(bytes.NewReader(frames))
		fr, err := newFramer(br)
		if err != nil {
			b.Fatal(err)
		}
		for range 1000 {
			if _, err := fr.next(func() error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestNoLineOfOursIsWrittenByACamera: what a camera puts behind a carriage return never reaches a request.
func TestNoLineOfOursIsWrittenByACamera(t *testing.T) {
	m, err := readMessage(bufio.NewReader(strings.NewReader("RTSP/1.0 302 Moved\r\nLocation: rtsp://a/\rX: y\r\nSession: 1\r\n\r\n")))
	if err != nil || m.get("Location") != "" || m.get("Session") != "1" {
		t.Errorf("%+v, %v", m, err)
	}
	_, base, err := parseSDP([]byte("a=control:rtsp://a/\rX: y\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"))
	if err != nil || base != "rtsp://a/" {
		t.Errorf("%q, %v", base, err)
	}
}
