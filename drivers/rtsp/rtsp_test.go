package rtsp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"

	"watchpost/drivers/rtsp/h264"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// send makes a media function that writes b and waits for nothing.
func send(parts ...[]byte) func(net.Conn, <-chan struct{}) {
	return func(c net.Conn, _ <-chan struct{}) { c.Write(bytes.Join(parts, nil)) }
}

func TestThreeRoundTripsToPlay(t *testing.T) {
	f := &fake{t: t, realm: "cam", user: "u", password: "p", media: send(pictures(0, 96, 1, 3))}
	c := client(t, Options{URL: f.start(), User: "u", Password: "p"})
	watch(t, c, 2)
	if got := strings.Join(f.requests(), " "); got != "DESCRIBE DESCRIBE SETUP PLAY" {
		t.Errorf("first time: %s", got)
	}
	s, _ := watch(t, c, 2)
	if got := strings.Join(f.requests()[4:], " "); got != "DESCRIBE SETUP PLAY" {
		t.Errorf("again: %s", got)
	}
	if m := s.Media(); m.PayloadType != 96 || len(m.SPS) != 23 || len(m.PPS) != 4 {
		t.Errorf("media %+v", m)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if a := f.last("TEARDOWN"); a.header("Session") != "12345678" {
		t.Errorf("K5: TEARDOWN %+v", a)
	}
	play := f.last("PLAY")
	if play.header("Range") != "npt=0-" { // S8
		t.Errorf("PLAY %+v", play)
	}
	for _, a := range f.log {
		if n, err := strconv.Atoi(a.header("CSeq")); err != nil || n < 1 || a.header("User-Agent") != "watchpost" { // A10, A6
			t.Errorf("%s: %q", a.method, a.lines)
		}
	}
	if tr := f.last("SETUP").header("Transport"); strings.Contains(tr, "mode") { // S9
		t.Errorf("transport %s", tr)
	}
}

func TestPasswords(t *testing.T) {
	const basic, digest = "WWW-Authenticate: Basic realm=\"cam\"\r\n", "WWW-Authenticate: Digest realm=\"cam\", nonce=\"NONCE\"\r\n"
	for _, c := range []struct {
		name string
		fake *fake
	}{
		{"MD5 without qop", &fake{}},
		{"A5 MD5 with qop", &fake{qop: true, algorithm: "MD5"}},
		{"A5 SHA-256 with qop", &fake{qop: true, algorithm: "SHA-256"}},
		{"A5 SHA-256 session", &fake{qop: true, algorithm: "SHA-256-sess"}},
		{"A2 Basic first, two headers", &fake{challenge: basic + digest}},
		{"A2 Digest first, two headers", &fake{challenge: digest + basic}},
		{"A2 both in one line", &fake{challenge: "WWW-Authenticate: Basic realm=\"cam\", Digest realm=\"cam\", nonce=\"NONCE\"\r\n"}},
		{"A2 both in one line, Digest first", &fake{challenge: "WWW-Authenticate: Digest nonce=NONCE , realm = \"cam\", Basic realm=\"cam\"\r\n"}},
		{"A3 nonce stale after each second request", &fake{nonces: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.fake
			f.t, f.realm, f.user, f.password = t, "cam", "admin", "a%2Fb:@ü"
			f.media = send(pictures(0, 96, 1, 3))
			url := f.start()
			watch(t, client(t, Options{URL: url, User: f.user, Password: f.password}), 2)
			again := client(t, Options{URL: strings.Replace(url, "rtsp://", "rtsp://admin:a%252Fb%3A%40%C3%BC@", 1)}) // A4
			watch(t, again, 2)
			watch(t, again, 2)
			if a := f.last("SETUP"); strings.Contains(a.uri, "admin") {
				t.Errorf("the password stands in %s", a.uri)
			}
		})
	}
}

func TestWrongPassword(t *testing.T) {
	f := &fake{t: t, realm: "cam", user: "u", password: "right"}
	url := f.start()
	_, err := client(t, Options{URL: url, User: "u", Password: "wrong"}).Connect(context.Background())
	if !errors.Is(err, ErrUnauthorized) {
		t.Errorf("%v", err)
	}
	if n := len(f.requests()); n != 2 {
		t.Errorf("%d requests: a wrong password must not be tried again and again, cameras lock accounts", n)
	}
	if _, err := client(t, Options{URL: url}).Connect(context.Background()); err == nil || !strings.Contains(err.Error(), "wants a user") {
		t.Errorf("%v", err)
	}
	f.challenge = "WWW-Authenticate: Kerberos\r\n"
	if _, err := client(t, Options{URL: url, User: "u", Password: "right"}).Connect(context.Background()); err == nil || !strings.Contains(err.Error(), "Digest") {
		t.Errorf("%v", err)
	}
}

func TestBasicOnlyAtHome(t *testing.T) {
	var got string
	basicOnly := func(a asked) string {
		if got = a.header("Authorization"); got == "" {
			return "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n\r\n"
		}
		return ""
	}
	f := &fake{t: t, answer: basicOnly, media: send(pictures(0, 96, 1, 2))}
	url := f.start()
	watch(t, client(t, Options{URL: url, User: "u", Password: "p"}), 2)
	if got != "Basic dTpw" {
		t.Errorf("authorization %q", got)
	}
	other := &fake{t: t, answer: func(asked) string { return "RTSP/1.0 302 Found\r\nLocation: " + url + "\r\n\r\n" }}
	if _, err := client(t, Options{URL: other.start(), User: "u", Password: "p"}).Connect(context.Background()); err == nil {
		t.Error("the password went in the clear to where a redirect led")
	}
	got = ""
	gate := &fake{t: t, answer: func(a asked) string { // asks for the password itself, and only then leads away
		if a.header("Authorization") == "" {
			return "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n\r\n"
		}
		return "RTSP/1.0 302 Found\r\nLocation: " + url + "\r\n\r\n"
	}}
	if _, err := client(t, Options{URL: gate.start(), User: "u", Password: "p"}).Connect(context.Background()); err == nil || got != "" {
		t.Errorf("the password that was good at home went on with the redirect: %q, %v", got, err)
	}
}

// TestWhatCamerasAnswer walks through the quirks of DESCRIBE, SETUP and PLAY.
func TestWhatCamerasAnswer(t *testing.T) {
	frames := pictures(0, 96, 1, 4)
	sdp := func(old, new string) string { return strings.Replace(plainSDP, old, new, 1) }
	for _, c := range []struct {
		name  string
		fake  *fake
		check func(t *testing.T, f *fake, s *Session)
	}{
		{"A11 white space behind values", &fake{describe: "Content-Type: application/sdp \t\r\nX-Odd\r\n"}, nil},
		{"A12 CRLF before data", &fake{media: send([]byte("\r\n"), frames[:20], frames[20:], []byte("\r\n\r\n"))}, nil},
		{"A13 no Content-Type, U1 Content-Base without scheme", &fake{describe: "Content-Base: 127.0.0.1:99/x/\r\n"}, func(t *testing.T, f *fake, s *Session) {
			if u := f.last("SETUP").uri; u != "rtsp://127.0.0.1:99/x/trackID=1" {
				t.Errorf("SETUP %s", u)
			}
			if u := f.last("PLAY").uri; u != "rtsp://127.0.0.1:99/x/" {
				t.Errorf("PLAY %s", u)
			}
		}},
		{"U4 query before the path", &fake{}, func(t *testing.T, f *fake, s *Session) {
			if u := f.last("SETUP").uri; !strings.HasSuffix(u, "/cam?ch=1/trackID=1") {
				t.Errorf("SETUP %s", u)
			}
		}},
		{"U4 absolute control", &fake{sdp: sdp("trackID=1", "rtsp://127.0.0.1/abs//track")}, func(t *testing.T, f *fake, s *Session) {
			if u := f.last("SETUP").uri; u != "rtsp://127.0.0.1/abs//track" {
				t.Errorf("SETUP %s", u)
			}
		}},
		{"D1 lines missing, empty and twice, no newline at the end", &fake{sdp: "\n\ns=a\ns=b\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000"}, nil},
		{"D2 D3 D4 broken c=, o= and t=", &fake{sdp: "v=0\r\no=- -0 0xABCDEF IP 1\r\nc=IN \r\nIN c=IN IP4 1\r\nt=now-\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"}, nil},
		{"D5 odd media first", &fake{sdp: "m=metadata 0 MP2T/RTP 1\r\nm=video\r\nm=application/TP-LINK 0 RTP/AVP smart/1/90000\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"}, nil},
		{"D6 fmtp on another media", &fake{sdp: "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 0\r\na=fmtp:96 sprop-parameter-sets=Z0LAH9oBQBbsBEAAAAMAQAAADIPGDKg=,aM48gA==\r\na=fmtp:96\r\n"},
			func(t *testing.T, f *fake, s *Session) {
				if s.Media().SPS == nil {
					t.Error("sprop not found")
				}
			}},
		{"D7 start codes in sprop", &fake{sdp: sdp("Z0LAH9oBQBbsBEAAAAMAQAAADIPGDKg=,aM48gA==", "AAAAAWdCwB/aAUAW7A==,AAAAAWjOPIA=")}, func(t *testing.T, f *fake, s *Session) {
			if m := s.Media(); !bytes.HasPrefix(m.SPS, []byte{0x67, 0x42}) || !bytes.HasPrefix(m.PPS, []byte{0x68, 0xce}) {
				t.Errorf("% x, % x", m.SPS, m.PPS)
			}
		}},
		{"D7 sprop that is none", &fake{sdp: sdp("Z0LAH9oBQBbsBEAAAAMAQAAADIPGDKg=,aM48gA==", "!!!,AAAA,QUFB")}, func(t *testing.T, f *fake, s *Session) {
			if m := s.Media(); m.SPS != nil || m.PPS != nil {
				t.Errorf("% x, % x", m.SPS, m.PPS)
			}
		}},
		{"D9 no clock rate, trailing space", &fake{sdp: sdp("H264/90000", "H264 ")}, func(t *testing.T, f *fake, s *Session) {
			if r := s.Media().ClockRate; r != 90000 {
				t.Errorf("rate %d", r)
			}
		}},
		{"D10 static payload type 35", &fake{sdp: "m=video 0 RTP/AVP 35\r\n", media: send(pictures(0, 35, 1, 4))}, nil},
		{"D11 every media marked as back channel", &fake{sdp: strings.Replace(plainSDP, "a=control:track", "a=sendonly\r\na=control:track", 1)}, nil},
		{"D13 control before other attributes, upper case", &fake{sdp: sdp("a=control:trackID=1", "a=CONTROL: trackID=1 ")}, func(t *testing.T, f *fake, s *Session) {
			if u := f.last("SETUP").uri; !strings.HasSuffix(u, "/trackID=1") {
				t.Errorf("SETUP %s", u)
			}
		}},
		{"S2 other channels than asked for", &fake{transport: "RTP/AVP/TCP;unicast;interleaved=4-7", media: send(pictures(4, 96, 1, 4))}, nil},
		{"S2 a single channel", &fake{transport: "RTP/AVP/TCP;unicast;interleaved=2", media: send(pictures(2, 96, 1, 4))}, nil},
		{"S4 ssrc odd and first, S5 protocol without TCP", &fake{transport: "ssrc= 1A2 ;RTP/AVP;unicast;Interleaved = 0-1;interleaved=0-1"}, nil},
		{"no interleaved at all", &fake{transport: "RTP/AVP/TCP;unicast"}, nil},
		{"S6 the session's id changes", &fake{session: []string{"first;timeout=60", "second"}}, func(t *testing.T, f *fake, s *Session) {
			s.Close()
			if id := f.last("TEARDOWN").header("Session"); id != "second" {
				t.Errorf("TEARDOWN of %q", id)
			}
		}},
		{"P1 garbage between frames", &fake{media: send(frames[:len(frames)/2], []byte("ab$\x00\xff\xff$$$\x07\x00\x10zz$\x00\x00\x20not version two, thirty-two byte"), frames[len(frames)/2:])}, func(t *testing.T, f *fake, s *Session) {
			if s.Stats().Skipped == 0 {
				t.Error("nothing skipped")
			}
		}},
		{"P2 data before the answer of PLAY", &fake{beforeOK: pictures(0, 96, 100, 2)}, nil},
		{"P3 channels never assigned, P13 unknown payload types", &fake{media: send(interleave(9, []byte("what?")), pictures(0, 111, 1, 2), frames)}, func(t *testing.T, f *fake, s *Session) {
			if s.Stats().Skipped != 3 {
				t.Errorf("skipped %d", s.Stats().Skipped)
			}
		}},
		{"P5 invalid RTCP", &fake{media: send(interleave(1, []byte{0x81, 200, 0, 9, 1}), interleave(1, nil), interleave(0, nil), frames)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.fake
			f.t = t
			if f.media == nil {
				f.media = send(frames)
			}
			s, units := watch(t, client(t, Options{URL: f.start()}), 4)
			for i, u := range units {
				if u.Timestamp != uint32(i+1)*3600 || !u.Key || u.Lost != 0 {
					t.Errorf("unit %d: %+v", i, u)
				}
			}
			if c.check != nil {
				c.check(t, f, s)
			}
		})
	}
}

func TestNotOurStream(t *testing.T) {
	for _, c := range []struct {
		name, sdp, answer, want string
	}{
		{"H265", "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n", "", "camera sends H265: choose its H.264 sub-stream"},
		{"MJPEG", "m=video 0 RTP/AVP 26\r\n", "", "camera sends JPEG: choose its H.264 sub-stream"},
		{"no video", "m=audio 0 RTP/AVP 0\r\n", "", "camera offers no video"},
		{"nothing", "\r\n", "", "camera offers no video"},
		{"too many media", strings.Repeat("m=video 0 RTP/AVP 26\r\n", 40), "", "more than 32 media"},
		{"too many lines", strings.Repeat("a=x\r\n", 2000), "", "more than 1024 lines"},
		{"404", "", "RTSP/1.0 404 Not Found\r\n\r\n", "check the URL"},
		{"461", "", "RTSP/1.0 461 Unsupported Transport\r\n\r\n", "enable it"},
		{"503", "", "RTSP/1.0 503 Busy\r\n\r\n", "camera is busy"},
		{"HTTP", "", "HTTP/1.1 400 Bad Request\r\n\r\n", "neither an RTSP response nor a request"},
		{"endless redirect", "", "RTSP/1.0 302 Found\r\nLocation: HERE\r\n\r\n", "redirects"},
		{"redirect to nowhere", "", "RTSP/1.0 301 Moved\r\nLocation: http://x/\r\n\r\n", "must begin with rtsp://"},
		{"huge body", "", "RTSP/1.0 200 OK\r\nContent-Length: 999999999\r\n\r\n", "256 KiB"},
		{"long line", "", "RTSP/1.0 200 OK\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\n", "4 KiB"},
		{"many headers", "", "RTSP/1.0 200 OK\r\n" + strings.Repeat("X: y\r\n", 100) + "\r\n", "64 header lines"},
		{"no answer", "", "-", "i/o timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{t: t, sdp: c.sdp}
			url := f.start()
			if c.answer != "" {
				f.answer = func(asked) string { return strings.Replace(c.answer, "HERE", url, 1) }
			}
			_, err := client(t, Options{URL: url, Timeout: 500 * time.Millisecond}).Connect(context.Background())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			var codec *CodecError
			if strings.Contains(c.want, "camera sends") != errors.As(err, &codec) {
				t.Errorf("%T", err)
			}
		})
	}
}

func TestSetupRefused(t *testing.T) {
	for transport, want := range map[string]string{
		"RTP/AVP;unicast;client_port=1-2": "enable RTP over TCP",
		"RTP/AVP/TCP;interleaved=x-y":     "channel is no number",
	} {
		f := &fake{t: t, transport: transport}
		if _, err := client(t, Options{URL: f.start()}).Connect(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", transport, err)
		}
	}
	f := &fake{t: t, answer: func(a asked) string {
		if a.method == "SETUP" {
			return "RTSP/1.0 200 OK\r\n\r\n"
		}
		return ""
	}}
	if _, err := client(t, Options{URL: f.start()}).Connect(context.Background()); err == nil || !strings.Contains(err.Error(), "Session header") {
		t.Errorf("%v", err)
	}
}

func TestH265UnderAnotherName(t *testing.T) {
	vps := []byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0x40, 0x01, 0x0c, 0x01}
	f := &fake{t: t, media: send(interleave(0, vps))}
	s, err := client(t, Options{URL: f.start()}).Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var codec *CodecError
	if err := s.Play(context.Background(), func(h264.Unit) error { return nil }); !errors.As(err, &codec) || codec.Codec != "H265" { // D12
		t.Errorf("%v", err)
	}
}

func TestRedirectKeepsTheCredentials(t *testing.T) {
	home := &fake{t: t, realm: "cam", user: "u", password: "p", media: send(pictures(0, 96, 1, 2))}
	url := home.start()
	gate := &fake{t: t, answer: func(asked) string { return "RTSP/1.0 302 Moved\r\nLocation: " + url + "\r\n\r\n" }}
	watch(t, client(t, Options{URL: gate.start(), User: "u", Password: "p"}), 2)
}

func TestReportsAndKeepalives(t *testing.T) {
	for _, c := range []struct{ name, public, want string }{
		{"listed", "OPTIONS, PLAY, GET_PARAMETER", "OPTIONS GET_PARAMETER"},
		{"not listed", "OPTIONS, PLAY", "OPTIONS OPTIONS"},
	} {
		t.Run("K1 GET_PARAMETER is "+c.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{t: t, public: c.public, session: []string{"abc;timeout=1"}}
			f.media = func(conn net.Conn, _ <-chan struct{}) {
				tick := time.NewTicker(40 * time.Millisecond)
				defer tick.Stop()
				for i := 1; ; i++ {
					<-tick.C
					if _, err := conn.Write(pictures(0, 96, i, 1)); err != nil {
						return
					}
				}
			}
			s, err := client(t, Options{URL: f.start()}).Connect(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5500*time.Millisecond)
			defer cancel()
			if err := s.Play(ctx, func(h264.Unit) error { return nil }); err != nil {
				t.Error(err)
			}
			s.Close()
			got := strings.Join(f.requests(), " ")
			if !strings.HasPrefix(got, "DESCRIBE SETUP PLAY "+c.want+" ") && got != "DESCRIBE SETUP PLAY "+c.want+" TEARDOWN" {
				t.Errorf("asked: %s", got)
			}
			if a := f.last("OPTIONS"); !strings.HasSuffix(a.uri, "/cam?ch=1") || a.header("Session") != "abc" { // K2
				t.Errorf("%+v", a)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.raw) < 8 || f.raw[1] != 1 {
				t.Fatalf("K4: no receiver report in %d bytes", len(f.raw))
			}
			packets, err := rtcp.Unmarshal(f.raw[4:])
			if err != nil {
				t.Fatal(err)
			}
			rr, ok := packets[0].(*rtcp.ReceiverReport)
			if !ok || len(rr.Reports) != 1 || rr.Reports[0].SSRC != 7 || rr.Reports[0].LastSequenceNumber < 60 || rr.Reports[0].TotalLost != 0 {
				t.Errorf("%+v", packets[0])
			}
		})
	}
}

func TestHowSessionsEnd(t *testing.T) {
	bye, err := (&rtcp.Goodbye{Sources: []uint32{7}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := (&rtcp.Goodbye{Sources: []uint32{8}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	frames := pictures(0, 96, 1, 3)
	stop := errors.New("enough seen")
	for _, c := range []struct {
		name  string
		media func(net.Conn, <-chan struct{})
		got   func(h264.Unit) error
		want  string
	}{
		{"RTCP BYE", send(frames, interleave(1, bye)), nil, "camera ended the stream"},
		{"a BYE of another", send(frames, interleave(1, foreign)), nil, "no video for 300ms"},
		{"the camera's TEARDOWN", send(frames, []byte("TEARDOWN rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n")), nil, "camera ended the stream"},
		{"silence", send(frames), nil, "no video for 300ms"},
		{"the connection breaks", func(c net.Conn, _ <-chan struct{}) { c.Write(frames); c.Close() }, nil, "EOF"},
		{"in the middle of a frame", func(c net.Conn, _ <-chan struct{}) { c.Write(frames[:len(frames)-2]); c.Close() }, nil, "unexpected EOF"},
		{"in the middle of a message", send(frames, []byte("RTSP/1.0 200 OK\r\nCSeq: ")), nil, "message cannot be read"},
		{"garbage without end", send(bytes.Repeat([]byte{'x'}, 80<<10)), nil, "without an interleaved frame"},
		{"session unknown", send(frames, []byte("RTSP/1.0 454 Session Not Found\r\n\r\n")), nil, "454"},
		{"the caller's word", send(frames), func(h264.Unit) error { return stop }, "enough seen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{t: t, media: c.media}
			s, err := client(t, Options{URL: f.start(), Silence: 300 * time.Millisecond, Timeout: 400 * time.Millisecond}).Connect(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if c.got == nil {
				c.got = func(h264.Unit) error { return nil }
			}
			if err := s.Play(context.Background(), c.got); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCameraAsksToo(t *testing.T) {
	f := &fake{t: t}
	f.media = func(c net.Conn, _ <-chan struct{}) {
		fmt.Fprintf(c, "OPTIONS rtsp://station RTSP/1.0\r\nCSeq: 77\r\n\r\n")
		c.Write(pictures(0, 96, 1, 3))
	}
	watch(t, client(t, Options{URL: f.start()}), 3)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(5 * time.Second); len(f.requests()) < 4 && time.Now().Before(limit); {
		<-tick.C
	}
	if a := f.last("RTSP/1.0 200 OK"); a.header("CSeq") != "77" { // K6
		t.Errorf("%+v", a)
	}
}

func TestCancelReturnsAtOnce(t *testing.T) {
	f := &fake{t: t}
	s, err := client(t, Options{URL: f.start()}).Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Play(ctx, func(h264.Unit) error { return nil }); err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	dead := &fake{t: t, answer: func(asked) string { return "-" }}
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client(t, Options{URL: dead.start(), Timeout: time.Minute}).Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestURLs(t *testing.T) {
	for raw, want := range map[string]address{
		"rtsp://cam/x":                   {host: "cam:554", url: "rtsp://cam/x"},
		"RTSP://cam:8554":                {host: "cam:8554", url: "rtsp://cam:8554"},
		"rtsp://rtsp://cam:8554/x?a=b/c": {host: "cam:8554", url: "rtsp://cam:8554/x?a=b/c"},                 // U2
		"rtsp://::ffff:10.0.0.7/x":       {host: "[::ffff:10.0.0.7]:554", url: "rtsp://[::ffff:10.0.0.7]/x"}, // U3
		"rtsp://[fe80::1]:99/x":          {host: "[fe80::1]:99", url: "rtsp://[fe80::1]:99/x"},
		"rtsp://u:p%40%25@cam/x@y":       {host: "cam:554", url: "rtsp://cam/x@y", user: "u", password: "p@%"}, // A4
		"rtsp://u:50%@zz@cam/x":          {host: "cam:554", url: "rtsp://cam/x", user: "u", password: "50%@zz"},
	} {
		if got, err := parseURL(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "http://cam/", "rtsp://", "rtsp:///x", "rtsp://ca m/", "rtsp://cam:/x", "rtsp://c/\r\nX: y", "rtsp://" + strings.Repeat("x", 5000)} {
		if a, err := parseURL(raw); err == nil {
			t.Errorf("%.20q: %+v", raw, a)
		}
	}
}
