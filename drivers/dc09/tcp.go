package dc09

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"watchpost/drivers"
)

// Limits of one TCP connection.
const (
	// frameTime is how long a frame may take from its first byte to its last.
	frameTime = 10 * time.Second
	// writeTime is how long a panel may take to accept an answer.
	writeTime = 10 * time.Second
	// maxBad is how many frames that are refused, and reads that hold junk, a connection may send in a row.
	maxBad = 64
	// firstBuffer is enough for nearly all frames; it grows up to MaxFrame.
	firstBuffer = 512
)

// serveTCP listens, and returns why it could not go on.
func (r *Receiver) serveTCP(ctx context.Context, sink drivers.Sink) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", r.o.TCP)
	if err != nil {
		return err
	}
	return r.serve(ctx, l, sink)
}

// serve serves what connects to l until l fails; its connections end with it, so that the panels come to the next one.
func (r *Receiver) serve(ctx context.Context, l net.Listener, sink drivers.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	var group errgroup.Group
	group.SetLimit(r.o.Connections)
	unhook := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer func() {
		unhook()
		_ = l.Close()
		cancel()
		_ = group.Wait()
	}()
	defer r.open(l.Addr())()
	places := hosts{most: r.o.PerHost, open: map[netip.Addr]int{}}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		served := func() error {
			defer places.leave(conn)
			r.talk(ctx, conn, sink)
			return nil
		}
		if !places.enter(conn) || !group.TryGo(served) {
			places.leave(conn)
			_ = conn.Close()
			if r.dropped.Add(1) == 1 {
				r.o.Log.Warn("too many panel connections; later ones are only counted", "limit", r.o.Connections, "per_host", r.o.PerHost, "remote", conn.RemoteAddr().String())
			}
		}
	}
}

// hosts counts the connections of each host.
type hosts struct {
	most int

	mu   sync.Mutex // guards the field below
	open map[netip.Addr]int
}

// enter counts a connection, and says whether its host may have it. Either way it leaves in the end.
func (h *hosts) enter(c net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	host := hostOf(c)
	h.open[host]++
	return h.open[host] <= h.most
}

func (h *hosts) leave(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	host := hostOf(c)
	if h.open[host]--; h.open[host] == 0 {
		delete(h.open, host)
	}
}

func hostOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// session is one TCP connection at work.
type session struct {
	r       *Receiver
	conn    net.Conn
	sink    drivers.Sink
	limiter *rate.Limiter
	remote  string
	buf     []byte    // what is read and not used yet
	begun   time.Time // when the frame at the head of buf began, if buf is not empty
	bad     int       // reads and frames without good since the last good frame
}

// talk serves one connection, one frame after the other: the events of a panel are stored in the order in which they
// arrive, and a slow store holds up this panel only.
func (r *Receiver) talk(ctx context.Context, conn net.Conn, sink drivers.Sink) {
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		unhook()
		_ = conn.Close()
	}()
	s := &session{
		r: r, conn: conn, sink: sink, remote: conn.RemoteAddr().String(),
		limiter: rate.NewLimiter(rate.Limit(r.o.Rate), r.o.Rate), buf: make([]byte, 0, firstBuffer),
	}
	for s.bad < maxBad && s.read() && s.frames(ctx) {
	}
}

// read waits for more bytes; false: the connection is over, idle, or a frame takes too long.
func (s *session) read() bool {
	deadline := time.Now().Add(s.r.o.Idle)
	if len(s.buf) > 0 {
		deadline = s.begun.Add(frameTime)
	}
	if len(s.buf) == cap(s.buf) {
		s.buf = append(make([]byte, 0, min(2*cap(s.buf), MaxFrame)), s.buf...)
	}
	if s.conn.SetReadDeadline(deadline) != nil {
		return false
	}
	n, err := s.conn.Read(s.buf[len(s.buf):cap(s.buf)])
	if len(s.buf) == 0 {
		s.begun = time.Now()
	}
	s.buf = s.buf[:len(s.buf)+n]
	return err == nil || n > 0
}

// frames answers all frames in the buffer and keeps what is left; false: the connection is of no more use.
func (s *session) frames(ctx context.Context) bool {
	before := len(s.buf)
	for rest := s.buf; ; {
		wire, after, junk := Cut(rest)
		if junk > 1 { // a lone byte is the NUL that some panels put after CR
			s.bad++
		}
		if wire == nil {
			if len(after) != before {
				s.begun = time.Now()
			}
			s.buf = s.buf[:copy(s.buf, after)]
			return true
		}
		if s.limiter.Wait(ctx) != nil {
			return false
		}
		f, ok := s.r.hear(wire, s.remote)
		rest = s.release(after)
		if !s.answer(ctx, &f, ok) {
			return false
		}
	}
}

// release gives a grown buffer back when what is left is small: the store may take its time, and the frame has been read.
func (s *session) release(rest []byte) []byte {
	if cap(s.buf) > firstBuffer && len(rest) <= firstBuffer {
		s.buf = append(make([]byte, 0, firstBuffer), rest...)
		return s.buf
	}
	return rest
}

// answer answers one frame, if it is one; false: the answer could not be sent.
func (s *session) answer(ctx context.Context, f *Frame, ok bool) bool {
	if !ok {
		s.bad++
		return true
	}
	a, answer := s.r.judge(f, s.remote)
	if a == nil {
		s.bad++
	} else {
		s.bad = 0
		answer = s.r.settle(ctx, s.sink, a, f)
	}
	if len(answer) == 0 {
		return true
	}
	if s.conn.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
		return false
	}
	_, err := s.conn.Write(answer)
	return err == nil
}
