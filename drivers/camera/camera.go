// A camera at a village border is pulled over a thin line by many who want its picture at once, and it is away
// more often than anything else of the station: power, wind, a firmware that restarts at night.
//
// A [Camera] is one stream of one camera. It connects while somebody holds a lease on it (or always, for the
// sake of pre-roll), cuts each access unit once into RTP packets, and keeps the last half minute in a
// storage/ring that everybody reads. Whatever the camera does is told as camera.state events – up with size
// and profile, down with the reason, degraded where the picture comes in a form that viewers will see badly –
// and only when it changes; between, failures are counted.
package camera

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/rtsp"
	"watchpost/drivers/rtsp/h264"
	"watchpost/storage/ring"
)

// States of a camera, as they stand in events and readings.
const (
	// StateUnknown: nobody has asked for the camera yet.
	StateUnknown = "unknown"
	// StateUp: pictures come, or came when it was last let go in good order.
	StateUp = "up"
	// StateDown: it was wanted and gave no picture.
	StateDown = "down"
	// StateIdle stands in a reading only: nobody pulls the camera, and it was up when it was last let go.
	StateIdle = "idle"
	// StateDegraded stands in an event only: pictures come, but viewers will see them badly.
	StateDegraded = "degraded"
)

// Options describe one stream of one camera.
type Options struct {
	// ID names the camera, Profile the stream: "main" (default) or "sub".
	ID, Profile string
	// URL is rtsp://host[:port]/path; User and Password are preferred to those in the URL.
	URL, User, Password string
	// Always keeps the camera connected even if nobody holds a lease, so that there is pre-roll.
	Always bool
	// Linger is how long the camera stays connected after the last lease; default 10 s.
	Linger time.Duration
	// Retry and RetryMax bound the back-off after a failure; defaults 250 ms and 5 s.
	Retry, RetryMax time.Duration
	// Silence is how long a playing camera may send nothing; default 10 s.
	Silence time.Duration
	// Limits of the ring.
	Limits ring.Limits
	// Log gets what no event says; default none.
	Log *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Dial opens the connection to the camera; default net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Camera is one stream of one camera. Its methods may be called from any goroutine; Run runs once at a time.
type Camera struct {
	options Options
	client  *rtsp.Client
	ring    *ring.Ring
	wake    chan struct{} // the set of leases changed
	tell    teller
	last    moment // of the ring's time; only the pull in progress touches it

	mu      sync.Mutex // mu guards the fields below
	leases  int
	linger  *time.Timer        // runs from the last lease's end
	release context.CancelFunc // ends the pull that runs, nil when none does
	health  Health
	info    h264.Info
	blamed  map[string]bool // reasons told since the camera was last up
	damper  damper
	downAt  time.Time
	warnedB bool
}

var (
	_ drivers.Driver      = (*Camera)(nil)
	_ drivers.Snapshotter = (*Camera)(nil)
)

// New checks the options; nothing is sent before Run.
func New(o Options) (*Camera, error) {
	if o.Profile == "" {
		o.Profile = "main"
	}
	if o.Linger <= 0 {
		o.Linger = 10 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = 250 * time.Millisecond
	}
	if o.RetryMax <= 0 {
		o.RetryMax = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	client, err := rtsp.NewClient(rtsp.Options{URL: o.URL, User: o.User, Password: o.Password, Silence: o.Silence, Dial: o.Dial})
	if err != nil {
		return nil, fmt.Errorf("camera %s: %w", o.ID, err)
	}
	c := &Camera{options: o, client: client, ring: ring.New(o.Limits), wake: make(chan struct{}, 1), blamed: map[string]bool{}}
	c.tell.wake = make(chan struct{}, 1)
	c.health.State, c.health.Since = StateUnknown, o.Now()
	return c, nil
}

// String names the driver as its events do: "camera/<id>".
func (c *Camera) String() string { return "camera/" + c.options.ID }

// Profile is the stream's name: "main" or "sub".
func (c *Camera) Profile() string { return c.options.Profile }

// Ring returns the stream's ring, the same for the camera's whole life. To make the camera fill it, hold a
// lease.
func (c *Camera) Ring() *ring.Ring { return c.ring }

// Run pulls the camera whenever somebody wants it, until ctx ends.
func (c *Camera) Run(ctx context.Context, sink drivers.Sink) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { c.tell.run(ctx, sink, c.options.Log); return nil })
	g.Go(func() error { c.supervise(ctx); return nil })
	return g.Wait()
}

// Lease is somebody's wish that the camera be pulled.
type Lease struct {
	camera *Camera
	once   sync.Once
}

// Acquire asks for the camera; the lease must be closed. Pictures come into the ring when the camera gives them.
func (c *Camera) Acquire() *Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leases++
	if c.linger != nil {
		c.linger.Stop()
		c.linger = nil
	}
	c.nudge()
	return &Lease{camera: c}
}

// Ring returns the ring of the camera's stream.
func (l *Lease) Ring() *ring.Ring { return l.camera.ring }

// Close gives the lease back; further calls do nothing.
func (l *Lease) Close() {
	l.once.Do(func() {
		c := l.camera
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.leases--; c.leases > 0 || c.options.Always {
			return
		}
		var timer *time.Timer
		timer = time.AfterFunc(c.options.Linger, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.linger == timer && c.release != nil {
				c.release()
			}
		})
		c.linger = timer
	})
}

// nudge wakes supervise.
func (c *Camera) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// want claims the camera for a pull that ends with ctx or when nobody wants it any more; false when nobody does.
func (c *Camera) want(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leases == 0 && !c.options.Always {
		return nil, nil, false
	}
	pull, cancel := context.WithCancel(ctx)
	c.release = cancel
	return pull, cancel, true
}
