package dc09

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
)

// waiting is how many frames of one account may wait for the store when they come by UDP; more are dropped, and the
// panel repeats them.
const waiting = 16

// datagram is one believed frame and whom to answer.
type datagram struct {
	frame Frame
	from  netip.AddrPort
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
	workers := map[*account]chan datagram{}
	buf := make([]byte, 64<<10)
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
				work = make(chan datagram, waiting)
				workers[a] = work
				group.Go(func() error { r.work(ctx, conn, sink, a, work); return nil })
			}
			select {
			case work <- datagram{frame: f, from: from}:
			default:
				r.dropped.Add(1)
			}
		}
	}
}

// work stores and answers the frames of one account.
func (r *Receiver) work(ctx context.Context, conn *net.UDPConn, sink drivers.Sink, a *account, work <-chan datagram) {
	for {
		select {
		case d := <-work:
			r.send(conn, r.settle(ctx, sink, a, &d.frame), d.from)
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
