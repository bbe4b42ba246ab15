// The people on duty see alarms, stations and pictures in a browser that talks to the console alone: HTTP for what they do,
// one event stream for what happens, WebRTC for what cameras see. It never speaks to the broker.
//
// What is shown comes from the ledger, and the event stream is the ledger's feed: a browser that was away names the last
// change that it saw and is told what followed, without a gap or a repetition, across restarts of the console too.
//
// Until there is an identity system, a name and a password are all that stands before the page, so it is served on loopback
// only.
package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"watchpost/tools/dispatch/intake"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// Limits of the console.
const (
	maxBody       = 128 << 10 // bytes of a request; an SDP offer is a few thousand
	readLimit     = 10 * time.Second
	idleLimit     = 2 * time.Minute
	stopLimit     = 3 * time.Second
	maxBrowsers   = 200 // event streams at once
	maxOpenShown  = 1000
	recentPage    = 50
	viewingAnswer = 10 * time.Second
	maxClosings   = 64 // viewings that stations are being told to end
)

// Asker sends a command to a station and waits for the answer.
type Asker interface {
	Ask(ctx context.Context, a topic.Address, kind string, body any, life time.Duration) (topic.Reply, error)
	Status() intake.Status
}

// Options is what a console needs.
type Options struct {
	Listen string // host:port on loopback; port 0 takes a free one
	Ledger *ledger.Ledger
	Asker  Asker
	Pages  fs.FS // index.html and what it loads
	Log    *slog.Logger
}

// Console serves the page and its API.
type Console struct {
	o    Options
	name string
	l    net.Listener

	closings chan ledger.Viewing // viewings that stations are to end

	mu       sync.Mutex // guards the fields below
	browsers int
	failures map[string]failure
	roster   snapshot
}

// Listen opens the console's address, which must be on loopback.
func Listen(ctx context.Context, o Options) (*Console, error) {
	if err := loopbackOnly(ctx, o.Listen); err != nil {
		return nil, err
	}
	name, err := o.Ledger.Name(ctx)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for browsers: %w; give another address with --listen, or end the program that has this one", err)
	}
	return &Console{o: o, name: name, l: l, closings: make(chan ledger.Viewing, maxClosings), failures: make(map[string]failure)}, nil
}

// loopbackOnly refuses an address that others than this machine can reach.
func loopbackOnly(ctx context.Context, listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("console's listen address %q: %w; want HOST:PORT", listen, err)
	}
	ips, err := (&net.Resolver{}).LookupIPAddr(ctx, host)
	if host == "" {
		ips, err = []net.IPAddr{{IP: net.IPv4zero}}, nil
	}
	if err != nil {
		return fmt.Errorf("console's listen address %q: %w", listen, err)
	}
	for _, ip := range ips {
		if !ip.IP.IsLoopback() {
			return fmt.Errorf("the console does not listen on %s: without an identity system (Kerberos) it may be reached from this machine only; "+
				"use --listen 127.0.0.1:8080, and an SSH tunnel from elsewhere", listen)
		}
	}
	return nil
}

// URL is where the page is.
func (c *Console) URL() string { return "http://" + c.l.Addr().String() }

// Run serves until ctx ends.
func (c *Console) Run(ctx context.Context) error {
	// Event streams end with this context, or Shutdown would wait for them.
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           c.handler(),
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: readLimit,
		ReadTimeout:       readLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.o.Log.Handler(), slog.LevelWarn),
	}
	var stopped sync.WaitGroup
	stopped.Go(func() {
		<-base.Done()
		limit, done := context.WithTimeout(context.WithoutCancel(base), stopLimit)
		defer done()
		if srv.Shutdown(limit) != nil {
			srv.Close()
		}
	})
	stopped.Go(func() { c.closeViewings(base) })
	err := srv.Serve(c.l)
	cancel()
	stopped.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the console: %w", err)
}

// handler is the console's table of addresses.
func (c *Console) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(c.o.Pages))
	mux.HandleFunc("POST /api/login", c.login)
	mux.HandleFunc("GET /api/name", c.getName)
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, person){
		"POST /api/logout":          c.logout,
		"GET /api/me":               c.getMe,
		"GET /api/alarms":           c.getAlarms,
		"GET /api/alarms/recent":    c.getRecent,
		"POST /api/alarms/{verb}":   c.postVerb,
		"POST /api/tests/painted":   c.postPainted,
		"GET /api/stations":         c.getStations,
		"GET /api/events":           c.getEvents,
		"GET /api/viewings":         c.getViewings,
		"POST /api/viewings":        c.postViewing,
		"DELETE /api/viewings/{id}": c.deleteViewing,
	} {
		mux.HandleFunc(pattern, c.known(h))
	}
	return guard(mux)
}
