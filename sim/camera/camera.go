package camera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Values used where [Options] leaves a field empty, and limits of the server.
const (
	defaultPath    = "/main"
	defaultName    = "VILLAGE GATE"
	defaultPlate   = "浙H12345"
	defaultWidth   = 480
	defaultHeight  = 272
	defaultFPS     = 15
	defaultGOP     = 2 * time.Second
	defaultTimeout = time.Minute
	maxFPS         = 60
	maxGOP         = 20 * time.Second
	maxClients     = 64
	realm          = "Village Gate Camera"
)

// Options say what camera to be. The zero value is a camera of 480x272 at 15
// pictures a second that asks nobody for a password.
type Options struct {
	Path          string        // of the stream, with the leading slash; "/main" if empty
	Name          string        // shown in the picture
	Plate         string        // of the car in the picture
	User          string        // none: no password is asked
	Password      string        // of User
	Digest        Digest        // offered algorithms; both if empty
	Width, Height int           // in pixels, multiples of 16
	FPS           int           // pictures per second, 1 to 60
	GOP           time.Duration // from one whole picture to the next, 20 s at most
	Faults        Faults
	// Timeout ends a session whose client says nothing for so long; 60 s if zero.
	Timeout time.Duration
	// Now is the clock that the pictures show; time.Now if nil.
	Now func() time.Time
	Log *slog.Logger // nothing is logged if nil
}

// withDefaults fills the empty fields and checks the others.
func (o Options) withDefaults() (Options, error) {
	if o.Path == "" {
		o.Path = defaultPath
	}
	if o.Name == "" {
		o.Name = defaultName
	}
	if o.Plate == "" {
		o.Plate = defaultPlate
	}
	if o.Width == 0 && o.Height == 0 {
		o.Width, o.Height = defaultWidth, defaultHeight
	}
	if o.FPS == 0 {
		o.FPS = defaultFPS
	}
	if o.GOP == 0 {
		o.GOP = defaultGOP
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case !strings.HasPrefix(o.Path, "/") || strings.ContainsAny(o.Path, " ?#"):
		return o, fmt.Errorf("stream path %q: it starts with a slash and has no space, ? or #, for example /main", o.Path)
	case o.FPS < 1 || o.FPS > maxFPS:
		return o, fmt.Errorf("%d pictures per second: choose 1 to %d", o.FPS, maxFPS)
	case o.GOP < time.Second/time.Duration(o.FPS) || o.GOP > maxGOP:
		return o, fmt.Errorf("group of pictures of %v: choose from one picture to %v", o.GOP, maxGOP)
	}
	return o, nil
}

// Camera is one camera with one stream. Pictures are drawn only while a client
// plays, and once for all clients.
type Camera struct {
	opts       Options
	algorithms []string
	stage      *stage // of the goroutine that produces

	mu sync.Mutex // guards the fields below
	// clients is the number of open connections.
	clients  int
	players  map[*session]struct{}
	urgent   bool // a client asked for a whole picture
	sps, pps []byte
}

// New makes a camera; it serves nothing yet.
func New(o Options) (*Camera, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	algorithms, err := o.Digest.algorithms()
	if err != nil {
		return nil, err
	}
	stage, err := newStage(o)
	if err != nil {
		return nil, err
	}
	c := &Camera{opts: o, algorithms: algorithms, stage: stage, players: map[*session]struct{}{}}
	c.sps, c.pps = stage.encoder.SPS(), stage.encoder.PPS()
	return c, nil
}

// URL is the address of the stream, without credentials, on a listener at addr.
func (c *Camera) URL(addr net.Addr) string { return "rtsp://" + addr.String() + c.opts.Path }

// Serve answers clients of ln until ctx ends, then closes ln and all
// connections and returns nil.
func (c *Camera) Serve(ctx context.Context, ln net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // the accept loop tells
	defer stop()
	group.Go(func() error { return c.produce(ctx) })
	group.Go(func() error {
		for {
			conn, err := ln.Accept()
			switch {
			case ctx.Err() != nil:
				if err == nil {
					_ = conn.Close() // nobody was served on it
				}
				return nil
			case errors.Is(err, net.ErrClosed):
				return fmt.Errorf("accepting camera clients: %w", err)
			case err != nil:
				c.opts.Log.Warn("accepting a client failed", logError, err)
				continue
			}
			group.Go(func() error {
				c.client(ctx, conn)
				return nil
			})
		}
	})
	return group.Wait()
}

// Keys of the log.
const (
	logError  = "error"
	logRemote = "remote"
)

// client serves one connection and tells how it ended.
func (c *Camera) client(ctx context.Context, conn net.Conn) {
	log := c.opts.Log.With(logRemote, conn.RemoteAddr().String())
	if !c.enter() {
		log.Warn("client refused: too many connections")
		_ = conn.Close() // refused anyway
		return
	}
	defer c.leave()
	log.Info("client connected")
	err := newSession(c, conn).run(ctx)
	log.Info("client gone", logError, err)
}

func (c *Camera) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients == maxClients {
		return false
	}
	c.clients++
	return true
}

func (c *Camera) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients--
}

// produce draws, codes and hands out pictures until ctx ends.
func (c *Camera) produce(ctx context.Context) error {
	ticker := time.NewTicker(time.Second / time.Duration(c.opts.FPS))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		players, urgent := c.audience()
		if len(players) == 0 {
			c.stage.rest()
			continue
		}
		unit, err := c.stage.next(c.opts.Now(), urgent)
		if err != nil {
			return fmt.Errorf("producing a picture: %w", err)
		}
		if unit.newSets {
			c.mu.Lock()
			c.sps, c.pps = c.stage.encoder.SPS(), c.stage.encoder.PPS()
			c.mu.Unlock()
		}
		for _, p := range players {
			p.offer(unit)
		}
	}
}

// audience is who plays, and whether one of them wants a whole picture.
func (c *Camera) audience() ([]*session, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	players := make([]*session, 0, len(c.players))
	for p := range c.players {
		players = append(players, p)
	}
	urgent := c.urgent
	c.urgent = false
	return players, urgent
}

func (c *Camera) play(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.players[s] = struct{}{}
}

func (c *Camera) stop(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.players, s)
}

// refresh makes the next picture a whole one.
func (c *Camera) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.urgent = true
}

// sdp is the description for a client that reached the camera at host.
func (c *Camera) sdp(host string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return describe(host, c.opts.Faults, c.sps, c.pps)
}
