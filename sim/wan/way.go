package wan

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is under way in one direction of a connection: together about the buffer of a modem.
const (
	readSize    = 16 << 10
	underWay    = 16                    // pieces of up to readSize
	paceSlice   = 20 * time.Millisecond // a limited direction writes about so much at once
	sliceNotice = 50 * time.Microsecond // between two slices, so that they travel apart
)

// piece is some bytes under way, or the sender's end.
type piece struct {
	data  []byte
	due   time.Time
	end   bool // the sender has closed
	reset bool // and not in good order
}

// way is one direction of one connection.
type way struct {
	p        *Proxy
	link     *link
	from, to *net.TCPConn
	of       func(Faults) Way
	count    *atomic.Int64
	random   *rand.Rand
	pieces   chan piece
	at       int64 // bytes taken from the sender
	wrote    int64
	deaf     bool // the receiver is gone and the sender must not know
}

// carry moves bytes both ways until the connection has ended.
func (p *Proxy) carry(ctx context.Context, n uint64, l *link) {
	ways := []*way{
		{p: p, link: l, from: l.client, to: l.target, of: func(f Faults) Way { return f.Up }, count: &p.up, random: rand.New(rand.NewPCG(p.seed, 2*n))},
		{p: p, link: l, from: l.target, to: l.client, of: func(f Faults) Way { return f.Down }, count: &p.down, random: rand.New(rand.NewPCG(p.seed, 2*n+1))},
	}
	var wg sync.WaitGroup
	for _, w := range ways {
		w.pieces = make(chan piece, underWay)
		wg.Go(func() { w.take(ctx) })
		wg.Go(func() { w.give(ctx) })
	}
	wg.Wait()
}

// faults are this direction's now.
func (w *way) faults() (Way, <-chan struct{}) {
	f, changed := w.p.now()
	return w.of(f), changed
}

// take reads from the sender and says when each piece is due.
func (w *way) take(ctx context.Context) {
	defer close(w.pieces)
	var due time.Time
	buf := make([]byte, readSize)
	for {
		n, err := w.from.Read(buf)
		f, _ := w.faults()
		if after := time.Now().Add(f.Latency + w.jitter(f.Jitter)); after.After(due) {
			due = after
		}
		p := piece{data: w.spoil(f, append([]byte(nil), buf[:n]...)), due: due}
		if err != nil {
			p.end, p.reset = true, !errors.Is(err, io.EOF)
		}
		select {
		case w.pieces <- p:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (w *way) jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(w.random.Int64N(int64(most)))
}

// spoil loses or alters the byte whose turn it is.
func (w *way) spoil(f Way, data []byte) []byte {
	first, last := w.at+1, w.at+int64(len(data))
	w.at = last
	if f.Corrupt >= first && f.Corrupt <= last {
		data[f.Corrupt-first] ^= byte(1 + w.random.IntN(255))
	}
	if f.Lose >= first && f.Lose <= last {
		i := f.Lose - first
		data = append(data[:i], data[i+1:]...)
	}
	return data
}

// give writes to the receiver what is due.
func (w *way) give(ctx context.Context) {
	for p := range w.pieces {
		if !wait(ctx, time.Until(p.due)) || !w.write(ctx, p.data) {
			return
		}
		if p.end {
			w.close(ctx, p.reset)
			return
		}
	}
}

// write forwards data as the faults of the moment allow; false = the connection has ended.
func (w *way) write(ctx context.Context, data []byte) bool {
	for len(data) > 0 {
		f, ok := w.open(ctx)
		if !ok {
			return false
		}
		n := f.portion(len(data))
		if f.LimitData > 0 {
			n = int(max(0, min(int64(n), f.LimitData-w.wrote)))
		}
		if !w.deaf {
			if _, err := w.to.Write(data[:n]); err != nil && !w.broken() {
				return false
			}
		}
		w.wrote += int64(n)
		w.count.Add(int64(n))
		data = data[n:]
		if f.LimitData > 0 && w.wrote >= f.LimitData {
			w.link.end(false)
			return false
		}
		if !wait(ctx, f.pause(n, len(data))) {
			return false
		}
	}
	return true
}

// open waits out a black hole.
func (w *way) open(ctx context.Context) (Way, bool) {
	for {
		f, changed := w.faults()
		if !f.Timeout {
			return f, ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return f, false
		case <-changed:
		}
	}
}

// portion is how many of n bytes may be written at once.
func (f Way) portion(n int) int {
	if f.Slicer > 0 {
		n = min(n, f.Slicer)
	}
	if f.Bandwidth > 0 {
		n = min(n, max(1, int(int64(f.Bandwidth)*int64(paceSlice)/int64(time.Second))))
	}
	return n
}

// pause is the time that n written bytes take on the line, if more are left.
func (f Way) pause(n, left int) time.Duration {
	var d time.Duration
	if f.Bandwidth > 0 {
		d = time.Duration(int64(n) * int64(time.Second) / int64(f.Bandwidth))
	}
	if f.Slicer > 0 && left > 0 {
		d = max(d, sliceNotice)
	}
	return d
}

// broken says what comes of a receiver that is gone: its own direction told the sender, unless that is kept from it.
func (w *way) broken() bool {
	f, _ := w.p.now()
	back := f.Up
	if w.from == w.link.client {
		back = f.Down
	}
	w.deaf = back.HalfOpen || back.Timeout
	if !w.deaf {
		w.link.end(true)
	}
	return w.deaf
}

// close passes the sender's end on, after all of its bytes.
func (w *way) close(ctx context.Context, reset bool) {
	f, ok := w.open(ctx)
	switch {
	case !ok || f.HalfOpen:
	case reset:
		w.link.end(true)
	default:
		_ = w.to.CloseWrite()
		return
	}
	// The other direction may go on, and ends with the receiver or with the proxy.
}

// wait waits, unless the connection ends first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
