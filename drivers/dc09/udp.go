package dc09

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"watchpost/drivers"
)

// What of one account may wait for the store when it comes by UDP; more is dropped, and the panel repeats it.
const (
	waiting      = 16      // frames
	waitingBytes = 8 << 10 // of frames on the wire; a longer one may wait alone
)

// maxDatagram is the longest that there is, in bytes.
const maxDatagram = 64 << 10

// datagram is one believed frame and whom to answer.
type datagram struct {
	frame Frame
	size  int64 // on the wire, in bytes
	from  netip.AddrPort
}

// queue is what waits of one account.
type queue struct {
	frames chan datagram
	bytes  atomic.Int64 // of them, and of the one at the store
}

// put adds a frame; false: there is no room.
func (q *queue) put(d datagram) bool {
	if before := q.bytes.Add(d.size) - d.size; before > 0 && before+d.size > waitingBytes {
		q.bytes.Add(-d.size)
		return false
	}
	select {
	case q.frames <- d:
		return true
	default:
		q.bytes.Add(-d.size)
		return false
	}
}

// floods holds each host that sends frames by UDP to its rate.
type floods struct {
	rate     int
	limiters map[netip.Addr]*rate.Limiter
}

// maxHosts is how many hosts are held to their rate at once. Who forges more senders than that gets rid of his own past.
const maxHosts = 1024

// allow says whether a host may send one more frame now.
func (f *floods) allow(host netip.Addr) bool {
	l := f.limiters[host]
	if l == nil {
		if len(f.limiters) >= maxHosts {
			clear(f.limiters)
		}
		l = rate.NewLimiter(rate.Limit(f.rate), f.rate)
		f.limiters[host] = l
	}
	return l.Allow()
}

// serveUDP listens, and returns why it could not go on. Each account has a worker of its own from its first frame on, so
// its events stay in order and its slow store holds up no other panel.
func (r *Receiver) serveUDP(ctx context.Context, sink drivers.Sink) error {
	address, err := net.ResolveUDPAddr("udp", r.o.UDP)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var group errgroup.Group
	defer func() {
		unhook()
		_ = conn.Close()
		cancel()
		_ = group.Wait()
	}()
	defer r.open(conn.LocalAddr())()
	workers := map[*account]*queue{}
	senders := floods{rate: r.o.Rate, limiters: map[netip.Addr]*rate.Limiter{}}
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf) // ends when ctx closes the socket
		if err != nil {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			var wire []byte
			if wire, rest, _ = Cut(rest); wire == nil {
				break // a datagram holds whole frames
			}
			if !senders.allow(from.Addr()) {
				r.dropped.Add(1)
				break
			}
			f, ok := r.hear(wire, from.String())
			if !ok {
				continue
			}
			a, answer := r.judge(&f, from.String())
			if a == nil {
				r.send(conn, answer, from)
				continue
			}
			work := workers[a]
			if work == nil {
				work = &queue{frames: make(chan datagram, waiting)}
				workers[a] = work
				group.Go(func() error { r.work(ctx, conn, sink, a, work); return nil })
			}
			if !work.put(datagram{frame: f, size: int64(len(wire)), from: from}) {
				r.dropped.Add(1)
			}
		}
	}
}

// work stores and answers the frames of one account.
func (r *Receiver) work(ctx context.Context, conn *net.UDPConn, sink drivers.Sink, a *account, work *queue) {
	for {
		select {
		case d := <-work.frames:
			r.send(conn, r.settle(ctx, sink, a, &d.frame), d.from)
			work.bytes.Add(-d.size)
		case <-ctx.Done():
			return
		}
	}
}

// send answers. An answer that is lost is as good as none: the panel repeats its frame.
func (r *Receiver) send(conn *net.UDPConn, answer []byte, to netip.AddrPort) {
	if len(answer) == 0 || conn.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
		return
	}
	if _, err := conn.WriteToUDPAddrPort(answer, to); err != nil {
		r.dropped.Add(1)
	}
}
