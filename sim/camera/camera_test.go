package camera

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

// start serves a camera on the loopback until the test ends and gives its URL.
func start(t *testing.T, o Options) string {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	cam, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return cam.Serve(ctx, ln) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Errorf("serving: %v", err)
		}
		goleak.VerifyNone(t, leaks)
	})
	return cam.URL(ln.Addr())
}

// small is a camera that costs little: whole pictures of 38 kB.
func small() Options { return Options{Width: 176, Height: 144, FPS: 50, GOP: 300 * time.Millisecond} }

func TestPicturesOverRTSPAreDecodable(t *testing.T) {
	url := start(t, small())
	v := dial(t, url)
	if a := v.ask("OPTIONS", url); a.status != statusOK || !strings.Contains(a.header.Get("Public"), "GET_PARAMETER") {
		t.Errorf("OPTIONS: %+v", a)
	}
	a := v.ask("DESCRIBE", url, "Accept: application/sdp")
	if a.status != statusOK || a.header.Get("Content-Base") != url+"/" || !strings.Contains(a.body, "sprop-parameter-sets=") || !strings.Contains(a.body, "profile-level-id=42C01F") {
		t.Errorf("DESCRIBE: %+v", a)
	}
	v.play()
	before := time.Now()
	shots := v.mustShots(20)
	var stream []byte
	for i, s := range shots {
		stream = append(stream, s.annexB...)
		if last := s.packets[len(s.packets)-1]; !last.Marker {
			t.Errorf("picture %d has no marker", i)
		}
	}
	pictures := decode(t, stream)
	size := 176 * 144 * 3 / 2
	if len(pictures) != 20*size {
		t.Fatalf("%d bytes decoded, want 20 pictures", len(pictures))
	}
	for i := range 20 {
		ms, err := ReadTimecode(pictures[i*size:], 176, 144)
		if err != nil {
			t.Fatalf("picture %d: %v", i, err)
		}
		if age := int32(ms - uint32(before.UnixMilli())); age < -1000 || age > int32(patience.Milliseconds()) {
			t.Errorf("picture %d is %d ms old", i, age)
		}
	}
	if a := v.ask("GET_PARAMETER", url); a.status != statusOK {
		t.Errorf("GET_PARAMETER while playing: %d", a.status)
	}
	if a := v.ask("SETUP", url+"/"+track, "Transport: RTP/AVP/TCP;interleaved=4-5"); a.status != statusBadState {
		t.Errorf("SETUP while playing: %d", a.status)
	}
	if a := v.ask("TEARDOWN", url); a.status != statusOK {
		t.Errorf("TEARDOWN: %d", a.status)
	}
	if _, err := io.Copy(io.Discard, v.r); err != nil {
		t.Errorf("after TEARDOWN: %v", err)
	}
}

func TestSequenceAndTimeGrow(t *testing.T) {
	v := dial(t, start(t, small()))
	v.play()
	shots := v.mustShots(12)
	seq := shots[0].packets[0].SequenceNumber
	for i, s := range shots {
		for _, p := range s.packets {
			if p.SequenceNumber != seq {
				t.Fatalf("picture %d: sequence %d, want %d", i, p.SequenceNumber, seq)
			}
			seq++
		}
		if i > 0 {
			if step := s.ticks - shots[i-1].ticks; step < 90 || step > clockRate {
				t.Errorf("picture %d comes %d ticks after the one before", i, step)
			}
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	url := start(t, small())
	for name, c := range map[string]struct {
		method, uri string
		headers     []string
		want        int
	}{
		"other path":         {"DESCRIBE", url + "x", nil, statusNotFound},
		"other track":        {"SETUP", url + "/trackID=2", []string{"Transport: RTP/AVP/TCP"}, statusNotFound},
		"udp":                {"SETUP", url + "/" + track, []string{"Transport: RTP/AVP;unicast;client_port=5000-5001"}, statusTransport},
		"play without setup": {"PLAY", url, nil, statusNoSession},
		"wrong session":      {"TEARDOWN", url, []string{"Session: x"}, statusNoSession},
		"pause":              {"PAUSE", url, nil, statusNotAllowed},
		"unknown":            {"DANCE", url, nil, statusNotImplemented},
	} {
		if got := dial(t, url).ask(c.method, c.uri, c.headers...).status; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	v := dial(t, url)
	if _, err := v.conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(v.r); err != nil || !strings.HasPrefix(string(all), "RTSP/1.0 400 ") {
		t.Errorf("HTTP was answered with %q, %v", all, err)
	}
}

func TestDigestIsAsked(t *testing.T) {
	o := small()
	o.User, o.Password = "guard", `p%20:ä"ß`
	url := start(t, o)
	v := dial(t, url)
	a := v.ask("DESCRIBE", url)
	if a.status != statusUnauthorized || len(a.header.Values("Www-Authenticate")) != 2 {
		t.Fatalf("DESCRIBE without a password: %+v", a)
	}
	for i, algorithm := range []string{algorithmSHA256, algorithmMD5} {
		fields, _ := digestFields(a.header.Values("Www-Authenticate")[i])
		fields["username"], fields["nc"], fields["cnonce"] = "guard", "00000001", "abc"
		v.authorization = func(method, uri string) string {
			fields["uri"] = uri
			return `Digest username="guard", realm="` + fields["realm"] + `", nonce="` + fields["nonce"] + `", uri="` + uri +
				`", qop=auth, nc=00000001, cnonce="abc", algorithm=` + algorithm + `, response="` +
				digestResponse(algorithm, o.Password, method, fields) + `"`
		}
		if a := v.ask("DESCRIBE", url); a.status != statusOK {
			t.Errorf("%s: DESCRIBE answered %d", algorithm, a.status)
		}
	}
	other := dial(t, url)
	other.authorization = v.authorization
	if a := other.ask("DESCRIBE", url); a.status != statusUnauthorized || !strings.Contains(a.header.Get("Www-Authenticate"), "stale=true") {
		t.Errorf("a nonce of another connection: %+v", a)
	}
}

// A second implementation of RTSP, digest, RTP and H.264 pulls two seconds.
func TestFFmpegPullsWithDigest(t *testing.T) {
	for _, digest := range []Digest{DigestMD5, DigestBoth} {
		o := small()
		o.User, o.Password, o.Digest = "guard", "se-cret", digest
		url := start(t, o)
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		cmd := exec.CommandContext(ctx, ffmpeg(t), "-hide_banner", "-loglevel", "error", "-xerror", "-err_detect", "explode",
			"-rtsp_transport", "tcp", "-i", strings.Replace(url, "rtsp://", "rtsp://guard:se-cret@", 1),
			"-frames:v", "30", "-fps_mode", "passthrough", "-vf", "setpts=N", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		cancel()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("%s: ffmpeg: %v\n%s", digest, err, stderr.String())
		}
		size := 176 * 144 * 3 / 2
		if len(out) != 30*size {
			t.Fatalf("%s: %d bytes, want 30 pictures", digest, len(out))
		}
		if _, err := ReadTimecode(out[29*size:], 176, 144); err != nil {
			t.Errorf("%s: %v", digest, err)
		}
	}
}

func TestFaultsInTheDescription(t *testing.T) {
	for fault, want := range map[string]string{"no-sprop": "a=fmtp:96 packetization-mode=1; profile-level-id=42C01F\r\n", "hevc": "a=rtpmap:96 H265/90000\r\na=control"} {
		o := small()
		if err := o.Faults.Set(fault); err != nil {
			t.Fatal(err)
		}
		url := start(t, o)
		if a := dial(t, url).ask("DESCRIBE", url); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s", fault, a.body)
		}
	}
}

func TestFaultHEVCSendsItsHeaders(t *testing.T) {
	o := small()
	o.Faults.HEVC = true
	v := dial(t, start(t, o))
	v.play()
	for {
		channel, data, err := v.frame()
		if err != nil {
			t.Fatal(err)
		}
		if channel != 0 {
			continue
		}
		if kind := data[12] >> 1 & 0x3F; kind != hevcFU || data[13] != hevcTID || data[14] != 0x80|hevcIDR {
			t.Errorf("the first packet begins % x, want a fragment of an IDR", data[12:15])
		}
		return
	}
}

func TestFaultNoMarker(t *testing.T) {
	o := small()
	o.Faults.NoMarker = true
	v := dial(t, start(t, o))
	v.play()
	for _, s := range v.mustShots(3) {
		for _, p := range s.packets {
			if p.Marker {
				t.Fatal("a marker was sent")
			}
		}
	}
}

func TestFaultCloseAfter(t *testing.T) {
	o := small()
	o.Faults.CloseAfter = 4
	url := start(t, o)
	for range 2 { // the fault is per connection
		v := dial(t, url)
		v.play()
		if shots, err := v.shots(100); !errors.Is(err, io.EOF) || len(shots) != 4 {
			t.Errorf("%d pictures and then %v, want 4 and the end", len(shots), err)
		}
	}
}

func TestFaultStallAfter(t *testing.T) {
	o := small()
	o.Faults.StallAfter = 3
	url := start(t, o)
	v := dial(t, url)
	v.play()
	v.mustShots(2)
	if err := v.conn.SetDeadline(time.Now().Add(700 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if shots, err := v.shots(100); !errors.As(err, &timeout) || !timeout.Timeout() || len(shots) > 1 {
		t.Errorf("%d more pictures and then %v, want silence", len(shots), err)
	}
	if err := v.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if a := v.ask("GET_PARAMETER", url); a.status != statusOK {
		t.Errorf("a stalled camera answers %d", a.status)
	}
}

func TestFaultResize(t *testing.T) {
	o := small()
	if err := o.Faults.Set("resize-after=5:208x160"); err != nil {
		t.Fatal(err)
	}
	url := start(t, o)
	v := dial(t, url)
	before := v.ask("DESCRIBE", url).body
	v.play()
	var first, second []byte
	for i, s := range v.mustShots(10) {
		if i < 5 {
			first = append(first, s.annexB...)
		} else {
			second = append(second, s.annexB...)
		}
	}
	if n, want := len(decode(t, first)), 5*176*144*3/2; n != want {
		t.Errorf("%d bytes before, want %d", n, want)
	}
	if n, want := len(decode(t, second)), 5*208*160*3/2; n != want {
		t.Errorf("%d bytes behind the change, want %d", n, want)
	}
	if after := dial(t, url).ask("DESCRIBE", url).body; after == before {
		t.Error("the description still has the old parameter sets")
	}
}

func TestPictureLossIsAnsweredByAWholePicture(t *testing.T) {
	o := small()
	o.GOP = maxGOP
	v := dial(t, start(t, o))
	v.play()
	whole := func(s shot) bool { return s.packets[0].Payload[0]&0x1F == stapA }
	shots := v.mustShots(3)
	if !whole(shots[0]) || whole(shots[1]) {
		t.Fatal("want a whole picture first and then changes")
	}
	b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.conn.Write(append([]byte{'$', 1, 0, byte(len(b))}, b...)); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		if whole(v.mustShots(1)[0]) {
			return
		}
	}
	t.Error("no whole picture within 60")
}

// One client that reads nothing, one that vanishes: a third sees every picture.
func TestClientsDoNotDisturbEachOther(t *testing.T) {
	url := start(t, small())
	lazy := dial(t, url)
	lazy.play() // and reads no more
	gone := dial(t, url)
	gone.play()
	if err := gone.conn.Close(); err != nil {
		t.Fatal(err)
	}
	v := dial(t, url)
	v.play()
	shots := v.mustShots(40)
	var stream []byte
	for _, s := range shots {
		stream = append(stream, s.annexB...)
	}
	if n := len(decode(t, stream)); n != 40*176*144*3/2 {
		t.Errorf("%d bytes decoded, want 40 pictures", n)
	}
}

// A slow client gets whole groups: after a gap the next picture is a whole one.
func TestSlowClientSkipsToAWholePicture(t *testing.T) {
	s := &session{out: make(chan outgoing, 2), skipping: true}
	unit := func(idr bool) *accessUnit { return &accessUnit{idr: idr} }
	s.offer(unit(false))
	if len(s.out) != 0 {
		t.Fatal("a stream began in the middle of a group")
	}
	s.offer(unit(true))
	s.offer(unit(false))
	s.offer(unit(false)) // full
	<-s.out
	s.offer(unit(false)) // there is room, but the picture before is missing
	if len(s.out) != 1 {
		t.Fatalf("%d pictures wait, want 1", len(s.out))
	}
	s.offer(unit(true))
	if len(s.out) != 2 {
		t.Fatal("the whole picture was not taken")
	}
}

func TestSilentClientIsDropped(t *testing.T) {
	o := small()
	o.Timeout = 300 * time.Millisecond
	v := dial(t, start(t, o))
	v.play()
	var timeout net.Error
	if _, err := v.shots(1000); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("a client that says nothing is served for ever: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"stream path":   {Path: "main"},
		"pictures per":  {FPS: 61},
		"group of":      {GOP: time.Minute},
		"multiples":     {Width: 481, Height: 272},
		"plate":         {Plate: "X"},
		"digest \"sha1": {Digest: "sha1"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestReportsComeWithTheFirstPicture(t *testing.T) {
	v := dial(t, start(t, small()))
	v.play()
	for {
		channel, data, err := v.frame()
		if err != nil {
			t.Fatal(err)
		}
		if channel != 1 {
			continue
		}
		packets, err := rtcp.Unmarshal(data)
		if err != nil {
			t.Fatal(err)
		}
		sr, ok := packets[0].(*rtcp.SenderReport)
		if !ok || sr.PacketCount == 0 {
			t.Fatalf("the first report is %v", packets[0])
		}
		at := time.Unix(int64(sr.NTPTime>>32)-ntpEpoch, 0)
		if age := time.Since(at); age < -2*time.Second || age > patience {
			t.Errorf("its clock is %v old", age)
		}
		return
	}
}
