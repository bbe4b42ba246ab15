// A village's uplink is a modem on a hill: it is slow, it stalls for minutes without a word, it ends connections that both
// sides believe in, and it keeps some that one side has long given up.
//
// A Proxy stands between a station and its broker and does all that to TCP connections, in process and without any feature
// of the kernel. Faults have toxiproxy's names and can be changed while connections are open. What TCP promises is kept:
// a stalled direction delivers all of its bytes, in order, once the fault is gone, unless a fault says otherwise.
package wan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialLimit is how long the target may take to accept a connection.
const dialLimit = 5 * time.Second

// Way is what one direction of each connection suffers. The zero value of a field is no such fault.
type Way struct {
	Latency   time.Duration // added to each byte's journey
	Jitter    time.Duration // and up to so much more, at random; order is kept
	Bandwidth int           // bytes a second, of each connection
	Slicer    int           // bytes that are written at once, at most
	Timeout   bool          // a black hole: bytes and ends are taken and not forwarded while it lasts; nobody is told
	HalfOpen  bool          // bytes are forwarded, but not that their sender has closed or died
	LimitData int64         // the connection is closed after so many bytes
	Lose      int64         // the number of the byte that is left out of each connection, from 1
	Corrupt   int64         // the number of the byte that arrives as another, from 1
}

// Faults are what all connections suffer.
type Faults struct {
	Up, Down Way  // from the client to the target, and back
	Refuse   bool // new connections are reset at once
}

// Counts are what a proxy has seen so far.
type Counts struct {
	Connections int64 // taken and led to the target
	Refused     int64 // reset at once: by Refuse, or because the target did not take them
	Open        int64 // now
	Up, Down    int64 // bytes that were forwarded
}

// Proxy is one listening port that leads to one target.
type Proxy struct {
	target   string
	seed     uint64
	listener *net.TCPListener
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	connections, refused, up, down atomic.Int64

	mu      sync.Mutex // guards the fields below
	faults  Faults
	changed chan struct{} // closed at the next Set
	links   map[*link]struct{}
}

// Listen opens a loopback port that leads to target, without any fault. What is random comes from the seed, the number of
// the connection and its direction alone. Close must be called.
func Listen(target string, seed uint64) (*Proxy, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("listening for the way to %s: %w", target, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{target: target, seed: seed, listener: l, cancel: cancel, changed: make(chan struct{}), links: map[*link]struct{}{}}
	p.wg.Go(func() { p.accept(ctx) })
	return p, nil
}

// Addr is host:port where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes the faults, for open connections too. The numbers of Lose, Corrupt and LimitData count from each
// connection's beginning.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
	close(p.changed)
	p.changed = make(chan struct{})
}

// now is what holds at this moment, and what is closed when it changes.
func (p *Proxy) now() (Faults, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults, p.changed
}

// Counts is a copy.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	open := int64(len(p.links))
	p.mu.Unlock()
	return Counts{Connections: p.connections.Load(), Refused: p.refused.Load(), Open: open, Up: p.up.Load(), Down: p.down.Load()}
}

// ResetPeer ends all connections with RST on both sides. A side that must not know (HalfOpen) is left in its belief.
func (p *Proxy) ResetPeer() { p.endAll(true) }

// Drop ends all connections with FIN on both sides, with the same exception.
func (p *Proxy) Drop() { p.endAll(false) }

func (p *Proxy) endAll(reset bool) {
	p.mu.Lock()
	links, f := maps.Clone(p.links), p.faults
	p.mu.Unlock()
	for l := range links {
		switch {
		case !f.Up.HalfOpen && !f.Down.HalfOpen:
			l.end(reset)
		case !f.Up.HalfOpen:
			hangUp(l.target, reset)
		case !f.Down.HalfOpen:
			hangUp(l.client, reset)
		}
	}
}

// Close ends all connections and the listening, and returns when nothing of them is left.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.wg.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the way to %s: %w", p.target, err)
	}
	return nil
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept(ctx context.Context) {
	for n := uint64(1); ; n++ {
		c, err := p.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of this one connection
			continue
		}
		p.wg.Go(func() { p.lead(ctx, n, c) })
	}
}

// lead joins a client to the target.
func (p *Proxy) lead(ctx context.Context, n uint64, client *net.TCPConn) {
	if f, _ := p.now(); f.Refuse {
		p.refused.Add(1)
		hangUp(client, true)
		return
	}
	dialer := net.Dialer{Timeout: dialLimit}
	c, err := dialer.DialContext(ctx, "tcp", p.target)
	if err != nil {
		p.refused.Add(1)
		hangUp(client, true)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &link{client: client, target: c.(*net.TCPConn), cancel: cancel}
	stop := context.AfterFunc(ctx, func() { l.end(false) })
	defer stop()
	p.connections.Add(1)
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.mu.Unlock()
	p.carry(ctx, n, l)
	l.end(false)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// link is one connection, with its two ends here.
type link struct {
	client, target *net.TCPConn
	cancel         context.CancelFunc
	once           sync.Once
}

// end closes both ends, by RST or by FIN.
func (l *link) end(reset bool) {
	l.once.Do(func() {
		hangUp(l.client, reset)
		hangUp(l.target, reset)
		l.cancel()
	})
}

// hangUp closes one end. That it is closed already, or that its peer is gone, is no matter.
func hangUp(c *net.TCPConn, reset bool) {
	if reset {
		_ = c.SetLinger(0)
	}
	_ = c.Close()
}
