package camera

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/drivers/rtsp"
	"watchpost/drivers/rtsp/h264"
	"watchpost/storage/event"
)

// sps is a parameter set of 640×360, from x264; pps goes with it.
func sps() []byte {
	return []byte{0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x58, 0xba, 0x80}
}

func pps() []byte { return []byte{0x68, 0xce, 0x0f, 0xc8} }

func TestClockRunsOn(t *testing.T) {
	noon := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		camera  uint32 // step of the camera's clock
		rate    uint32
		arrival time.Duration
		fresh   bool
		want    int32
		stepped bool
		back    bool
	}{
		{"plain", 3600, 90000, 40 * time.Millisecond, false, 3600, false, false},
		{"arrival jitters", 3600, 90000, 300 * time.Millisecond, false, 3600, false, false},
		{"another rate", 1800, 45000, 40 * time.Millisecond, false, 3600, false, false},
		{"B-frame", 1<<32 - 3600, 90000, 40 * time.Millisecond, false, -3600, false, true},
		{"jump ahead", 90000 * 60, 90000, 40 * time.Millisecond, false, 3600, true, false},
		{"jump back", 1<<32 - 90000*3, 90000, 80 * time.Millisecond, false, 7200, true, false},
		{"new session", 123456789, 90000, 3 * time.Second, true, 270000, true, false},
		{"new session at once", 5, 90000, 0, true, 3600, true, false},
		{"new session after days", 5, 90000, 72 * time.Hour, true, 3600 * 90000, true, false},
	} {
		var k clock
		k.last = 4_000_000_000
		at, stepped := k.map90k(moment{time: 1000, at: noon}, k.last+c.camera, c.rate, noon.Add(c.arrival), c.fresh)
		if int32(at-1000) != c.want || stepped != c.stepped || k.back != c.back {
			t.Errorf("%s: step %d, stepped %v, back %v", c.name, int32(at-1000), stepped, k.back)
		}
	}
}

// TestTimeNeverStandsStill: whatever the camera's clock does, without B-frames the ring's time goes on.
func TestTimeNeverStandsStill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var k clock
		now := time.Unix(1_700_000_000, 0)
		ts := rapid.Uint32().Draw(t, "first")
		time32, _ := k.map90k(moment{}, ts, 90000, now, true)
		last := moment{time: time32, at: now}
		for range rapid.IntRange(1, 30).Draw(t, "units") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			ts += rapid.OneOf(rapid.Uint32Range(1, 90000), rapid.Uint32Range(1<<31, 1<<32-1<<20)).Draw(t, "step")
			at, _ := k.map90k(last, ts, 90000, now, rapid.Bool().Draw(t, "fresh"))
			if int32(at-last.time) <= 0 {
				t.Fatalf("from %d to %d", last.time, at)
			}
			last = moment{time: at, at: now}
		}
	})
}

func newTestCamera(t *testing.T) *Camera {
	t.Helper()
	c, err := New(Options{ID: "gate", URL: "rtsp://127.0.0.1/x"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSetsFromTheSessionDescriptionStandInFront(t *testing.T) {
	c := newTestCamera(t)
	f := &feed{camera: c, rate: 90000, sps: sps(), pps: pps(), begun: time.Now()}
	idr := []byte{0x65, 0x88, 0x84}
	for i, nals := range [][][]byte{{{0x41, 0x9a}}, {idr}, {{0x41, 0x9a}}, {sps(), pps(), idr}} {
		u := h264.Unit{NALs: nals, Timestamp: uint32(i) * 3600, Key: i%2 == 1}
		if err := f.unit(u); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Ring().Stats(); s.Units != 3 || s.Keys != 2 {
		t.Fatalf("the unit before the first key is held: %+v", s)
	}
	u, _ := c.Ring().Since(time.Time{}).Next()
	if u.Added != 1 || h264.TypeOf(u.Packets[0].Payload) != h264.STAPA || u.Packets[0].Marker || !u.Packets[1].Marker || string(u.Packets[1].Payload) != string(idr) {
		t.Errorf("key unit without sets: %d added, %d packets", u.Added, len(u.Packets))
	}
	last, _ := c.Ring().Join().Next()
	if last.Added != 0 {
		t.Errorf("%d added where the camera sent its own", last.Added)
	}
	if h := c.Health(); h.Width != 640 || h.Height != 360 || h.State != StateUp {
		t.Errorf("health %+v", h)
	}
}

func TestSetsThatCannotBeReadDropNothing(t *testing.T) {
	c := newTestCamera(t)
	f := &feed{camera: c, rate: 90000, begun: time.Now()}
	if err := f.unit(h264.Unit{NALs: [][]byte{{0x67, 0x64, 0, 0x28, 0}, pps(), {0x65, 0x88}}, Key: true}); err != nil {
		t.Fatal(err)
	}
	if h := c.Health(); h.State != StateUp || h.Width != 0 || h.Held.Units != 1 { // D16
		t.Errorf("health %+v", h)
	}
}

// What was a picture once is not shown as one now: a camera that nobody pulls is idle, one that is pulled anew is unknown
// until it gives a picture.
func TestReadingsAreOfThePresent(t *testing.T) {
	c := newTestCamera(t)
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	c.options.Now = func() time.Time { return now }
	state := func(want string) {
		t.Helper()
		if r := c.Snapshot()[0]; r.State != want {
			t.Errorf("state %s (%s), want %s", r.State, r.Text, want)
		}
	}
	state(StateUnknown)
	picture := func() {
		f := &feed{camera: c, rate: 90000, sps: sps(), pps: pps(), begun: now}
		if err := f.unit(h264.Unit{NALs: [][]byte{{0x65, 0x88, 0x84}}, Key: true}); err != nil {
			t.Fatal(err)
		}
	}
	c.release = func() {} // a pull runs
	picture()
	state(StateUp)
	c.release, now = nil, now.Add(time.Hour)
	state(StateIdle)
	c.release = func() {}
	state(StateUnknown)
	picture()
	state(StateUp)
	now = now.Add(time.Minute)
	state(StateUnknown)
	c.down(errNoKey)
	state(StateDown)
	c.release = nil
	state(StateDown)
}

func TestStreamWithoutKeyPictures(t *testing.T) {
	c := newTestCamera(t)
	f := &feed{camera: c, rate: 90000, sps: sps(), pps: pps(), begun: time.Now().Add(-2 * noKeyAfter)}
	if err := f.unit(h264.Unit{NALs: [][]byte{{0x41, 1}}}); !errors.Is(err, errNoKey) {
		t.Errorf("%v", err)
	}
}

func TestBFramesAreWarnedOfOnce(t *testing.T) {
	for _, how := range []string{"slice type", "timestamps"} {
		t.Run(how, func(t *testing.T) {
			c := newTestCamera(t)
			f := &feed{camera: c, rate: 90000, sps: sps(), pps: pps(), begun: time.Now()}
			if err := f.unit(h264.Unit{NALs: [][]byte{{0x65, 0x88}}, Key: true}); err != nil {
				t.Fatal(err)
			}
			for i := range uint32(20) {
				p, b := h264.Unit{NALs: [][]byte{{0x41, 0b1_1_000000}}, Timestamp: 7200 * (i + 1)}, h264.Unit{NALs: [][]byte{{0x01, 0b1_010_0000}}, Timestamp: 7200*(i+1) + 3600}
				if how == "timestamps" {
					b.NALs, b.Timestamp = p.NALs, p.Timestamp-3600
				}
				if err := errors.Join(f.unit(p), f.unit(b)); err != nil {
					t.Fatal(err)
				}
			}
			warnings := 0
			for d, ok := c.tell.take(); ok; d, ok = c.tell.take() {
				if reason, _ := d.Body.Text(event.TagReason); reason == "b_frames" {
					warnings++
				}
			}
			if warnings != 1 || !c.Health().BFrames {
				t.Errorf("%d warnings", warnings)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	for want, err := range map[string]error{
		reasonFormat: fmt.Errorf("x: %w", &rtsp.CodecError{Codec: "H265"}), reasonPassword: rtsp.ErrUnauthorized,
		reasonRefused: &rtsp.StatusError{Status: 404}, reasonEnded: rtsp.ErrEnded,
		reasonUnreachable: &net.OpError{Op: "dial", Err: errors.New("refused")}, reasonBroken: &net.OpError{Op: "read", Err: errors.New("reset")},
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	if got := clip("a\x00b\xffc\n"); got != "a b\uFFFDc " {
		t.Errorf("%q", got)
	}
	if n := len([]rune(clip(string(make([]byte, 5000))))); n != 300 {
		t.Errorf("%d runes", n)
	}
}

func TestTellerKeepsTheNewest(t *testing.T) {
	tl := teller{wake: make(chan struct{}, 1)}
	for i := range maxUntold + 5 {
		tl.add(event.Draft{Zone: fmt.Sprint(i)})
	}
	if d, ok := tl.take(); !ok || d.Zone != "5" || tl.dropped != 5 {
		t.Errorf("first kept is %s, %d dropped", d.Zone, tl.dropped)
	}
}

func BenchmarkFeed(b *testing.B) {
	c, err := New(Options{ID: "gate", URL: "rtsp://127.0.0.1/x"})
	if err != nil {
		b.Fatal(err)
	}
	f := &feed{camera: c, rate: 90000, sps: sps(), pps: pps(), begun: time.Now()}
	key, p := make([]byte, 27_000), make([]byte, 9_700)
	key[0], p[0] = 0x65, 0x41
	b.SetBytes(9_700)
	b.ReportAllocs()
	for i := range b.N {
		u := h264.Unit{NALs: [][]byte{p}, Timestamp: uint32(i) * 3600}
		if i%50 == 0 {
			u.NALs, u.Key = [][]byte{sps(), pps(), key}, true
		}
		if err := f.unit(u); err != nil {
			b.Fatal(err)
		}
	}
}
