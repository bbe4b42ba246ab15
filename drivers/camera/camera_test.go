package camera_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"watchpost/drivers/camera"
	"watchpost/drivers/rtsp/h264"
	sim "watchpost/sim/camera"
	"watchpost/storage/event"
	"watchpost/storage/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulate serves a simulated camera at an address ("127.0.0.1:0" for any) and returns its URL and its end.
func simulate(t *testing.T, address string, o sim.Options) (url string, stop func()) {
	t.Helper()
	if o.FPS == 0 {
		o.FPS, o.GOP = 25, 400*time.Millisecond
	}
	if o.Width == 0 {
		o.Width, o.Height = 176, 144
	}
	c, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return c.URL(l.Addr()), stop
}

// until polls for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s did not come about", what)
		}
	}
}

func TestPulledOnlyWhileSomebodyNeedsIt(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{})
	dials := atomic.Int32{}
	cam, b := run(t, camera.Options{URL: url, Linger: 200 * time.Millisecond, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}})
	if h := cam.Health(); h.State != camera.StateUnknown || h.Pulled {
		t.Fatalf("before anybody asks: %+v", h)
	}
	first, second := cam.Acquire(), cam.Acquire()
	read(t, first.Ring(), 5)
	b.next(t, camera.StateUp, "")
	first.Close()
	first.Close() // once is enough
	if h := cam.Health(); h.Leases != 1 || !h.Pulled {
		t.Fatalf("one lease given back: %+v", h)
	}
	second.Close()
	third := cam.Acquire() // within the linger time: the same session goes on
	read(t, third.Ring(), 5)
	third.Close()
	until(t, "letting go", func() bool { h := cam.Health(); return !h.Pulled && h.Held == (ring.Stats{}) })
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if r := cam.Snapshot()[0]; r.Name != "gate" || r.State != camera.StateIdle || !strings.Contains(r.Text, "not pulled, last picture 2") {
		t.Errorf("reading %+v", r)
	}
	again := cam.Acquire()
	defer again.Close()
	units := read(t, again.Ring(), 5)
	if !units[0].Gap {
		t.Error("the pause is not marked")
	}
	if n := dials.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	if len(b.told) != 0 {
		t.Errorf("an event without a change of state: %+v", <-b.told)
	}
}

func TestCameraAwayAndBack(t *testing.T) {
	url, stop := simulate(t, "127.0.0.1:0", sim.Options{User: "u", Password: "p"})
	address := strings.TrimSuffix(strings.TrimPrefix(url, "rtsp://"), "/main")
	cam, b := run(t, camera.Options{URL: url, User: "u", Password: "p", Always: true, Retry: 10 * time.Millisecond, RetryMax: 40 * time.Millisecond})
	b.next(t, camera.StateUp, "")
	before := read(t, cam.Ring(), 12)
	stop()
	b.next(t, camera.StateDown, "broken")
	down := b.next(t, camera.StateDown, "unreachable")
	if text(down, event.TagDetail) == "" || down.Severity != event.SeverityWarning || down.Qualifier != event.QualifierNew {
		t.Errorf("down: %+v", down)
	}
	if h := cam.Health(); h.Held.Units < 12 {
		t.Error("what was seen before the camera went away is forgotten")
	}
	until(t, "a few failures", func() bool { return cam.Health().Failures >= 5 })
	if len(b.told) != 0 {
		t.Errorf("a repeated failure was told again: %+v", <-b.told)
	}
	if r := cam.Snapshot()[0]; r.State != camera.StateDown || r.Text == "" {
		t.Errorf("reading %+v", r)
	}
	simulate(t, address, sim.Options{User: "u", Password: "p"})
	up := b.next(t, camera.StateUp, "")
	if n, _ := up.Body.Uint(event.TagCount); n < 5 || up.Qualifier != event.QualifierRestore {
		t.Errorf("up again after %d failures, %v", n, up.Qualifier)
	}
	if d, _ := up.Body.Uint(event.TagDuration); d == 0 {
		t.Error("up again without the time it was away")
	}
	rd := cam.Ring().Since(before[0].At)
	gaps := 0
	last, _ := rd.Next()
	for u, ok := rd.Next(); ok; u, ok = rd.Next() {
		if u.Gap {
			gaps++
			if !u.Key {
				t.Error("goes on with a unit that nothing can decode")
			}
		}
		if step := int32(u.Time - last.Time); step <= 0 {
			t.Errorf("the ring's time steps by %d", step)
		}
		last = u
	}
	if gaps != 1 {
		t.Errorf("%d gaps", gaps)
	}
}

// brief is a connection that breaks a moment after it was made, as those of an overloaded camera do.
type brief struct {
	net.Conn
	over *time.Timer
}

func (b brief) Close() error { b.over.Stop(); return b.Conn.Close() }

// A camera that gives a picture and hangs up, again and again, is tried less and less often: each time is two events.
func TestCameraThatHangsUp(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{})
	const tries, longest = 9, 400 * time.Millisecond
	var mu sync.Mutex // guards the two below
	var broke time.Time
	var gaps []time.Duration
	cam, b := run(t, camera.Options{URL: url, Always: true, Retry: 2 * time.Millisecond, RetryMax: longest,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			if !broke.IsZero() {
				gaps = append(gaps, time.Since(broke))
			}
			return brief{c, time.AfterFunc(100*time.Millisecond, func() {
				mu.Lock()
				defer mu.Unlock()
				broke = time.Now()
				_ = c.Close()
			})}, nil
		}})
	b.next(t, camera.StateUp, "") // pictures do come
	until(t, "the tries", func() bool { mu.Lock(); defer mu.Unlock(); return len(gaps) >= tries })
	mu.Lock()
	defer mu.Unlock()
	if last := gaps[tries-1]; last < longest/2 {
		t.Errorf("%s before try %d, want %s at least: %v", last, tries, longest/2, gaps)
	}
	if cam.Health().State == camera.StateUnknown {
		t.Error("nothing is known")
	}
}

func TestNotH264IsTold(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{Faults: sim.Faults{HEVC: true}})
	_, b := run(t, camera.Options{URL: url, Always: true})
	d := b.next(t, camera.StateDown, "not_h264")
	if got := text(d, event.TagDetail); !strings.Contains(got, "camera sends H265: choose its H.264 sub-stream") {
		t.Errorf("told %q", got)
	}
}

func TestWrongPasswordIsTold(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{User: "u", Password: "p"})
	_, b := run(t, camera.Options{URL: url, User: "u", Password: "guess", Always: true})
	b.next(t, camera.StateDown, "password")
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "rtsp://" + l.Addr().String() + "/x"
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, b := run(t, camera.Options{URL: url, Always: true})
	if d := b.next(t, camera.StateDown, "unreachable"); text(d, event.TagPrevious) != camera.StateUnknown {
		t.Errorf("previous %q", text(d, event.TagPrevious))
	}
}

func TestResolutionChangeIsTold(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{Faults: sim.Faults{ResizeAfter: 12, ResizeWidth: 320, ResizeHeight: 176}})
	cam, b := run(t, camera.Options{URL: url, Always: true})
	b.next(t, camera.StateUp, "")
	d := b.next(t, camera.StateUp, "format_changed")
	w, _ := d.Body.Uint(event.TagWidth)
	h, _ := d.Body.Uint(event.TagHeight)
	if w != 320 || h != 176 || text(d, event.TagText) != "176×144 before" {
		t.Errorf("told %d×%d, %q", w, h, text(d, event.TagText))
	}
	if h := cam.Health(); h.Width != 320 || h.Failures != 0 {
		t.Errorf("health %+v", h)
	}
}

func TestStallAndMissingMarkers(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{Faults: sim.Faults{NoMarker: true, NoSprop: true, StallAfter: 15}})
	cam, b := run(t, camera.Options{URL: url, Always: true, Silence: 300 * time.Millisecond})
	b.next(t, camera.StateUp, "")
	read(t, cam.Ring(), 10)
	d := b.next(t, camera.StateDown, "broken")
	if !strings.Contains(text(d, event.TagDetail), "camera sent no video for 300ms") {
		t.Errorf("told %q", text(d, event.TagDetail))
	}
}

// TestLogThatTakesNothing: the picture goes on, and the event is told once the log takes it.
func TestLogThatTakesNothing(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{})
	cam, err := camera.New(camera.Options{ID: "gate", URL: url, Always: true})
	if err != nil {
		t.Fatal(err)
	}
	full := atomic.Bool{}
	full.Store(true)
	told := make(chan event.Draft, 10)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := cam.Run(ctx, func(_ context.Context, d event.Draft) error {
			if full.Load() {
				return errors.New("log is full")
			}
			told <- d
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	read(t, cam.Ring(), 20)
	full.Store(false)
	select {
	case d := <-told:
		if text(d, event.TagState) != camera.StateUp {
			t.Errorf("told %+v", d)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the event was lost")
	}
}

// TestParameterSetsAreAddedOnlyWhereMissing looks at what is added in front of key units (P9).
func TestParameterSetsAreAddedOnlyWhereMissing(t *testing.T) {
	url, _ := simulate(t, "127.0.0.1:0", sim.Options{})
	cam, _ := run(t, camera.Options{URL: url, Always: true})
	for _, u := range read(t, cam.Ring(), 30) {
		var types []h264.Type
		for _, p := range u.Packets {
			switch ty := h264.TypeOf(p.Payload); ty {
			case h264.STAPA:
				types = append(types, h264.TypeOf(p.Payload[3:]))
			case h264.FUA:
			default:
				types = append(types, ty)
			}
		}
		if u.Key && (len(types) == 0 || types[0] != h264.SPS) {
			t.Errorf("key unit begins with %v", types)
		}
		if !u.Key && u.Added != 0 {
			t.Errorf("%d packets added to a unit that is no key", u.Added)
		}
		if u.Sets == nil || h264.TypeOf(u.Sets.SPS) != h264.SPS || h264.TypeOf(u.Sets.PPS) != h264.PPS {
			t.Errorf("sets %+v", u.Sets)
		}
	}
}

func TestBadOptions(t *testing.T) {
	if _, err := camera.New(camera.Options{ID: "gate", URL: "http://x/"}); err == nil || !strings.Contains(err.Error(), "camera gate: camera URL must begin with rtsp://") {
		t.Errorf("%v", err)
	}
}
