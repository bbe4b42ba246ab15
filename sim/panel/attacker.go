package panel

import (
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Values used where [AttackOptions] leaves a field empty, and bounds.
const (
	defaultFrames      = 100
	defaultConnections = 4
	defaultFor         = 5 * time.Second
	slowPace           = 50 * time.Millisecond
	answerWait         = 300 * time.Millisecond // for the last answers
	forgedWait         = 5 * time.Millisecond   // for those to a forged source
)

// AttackOptions say what to do to whom.
type AttackOptions struct {
	To          string // tcp://HOST:PORT or udp://HOST:PORT
	Attack      Attack
	Account     string   // 3-16 hex digits: the one that is played
	Key         []byte   // of flood, stale and as the length of a wrong one
	Frames      [][]byte // of replay: what [Options.Capture] got
	Count       int      // frames to send; 100 if zero
	Connections int      // at once, or sockets over UDP; 4 if zero
	// From is the address to come from, over TCP that of all connections. With Forge the sockets of a UDP attack have an
	// address of 127.0.0.0/8 each, as if the source were forged; it works on a loopback receiver only.
	From  net.IP
	Forge bool
	For   time.Duration // the attack ends after this at the latest; 5 s if zero
	Seed  uint64
	Heard io.Writer // gets all that the receiver says, with one Write each; may be nil
	Now   func() time.Time
}

// Loot is what came of an attack.
type Loot struct {
	Sent       int // frames, or pieces of one
	SentBytes  int
	HeardBytes int
	Answers    map[string]int // heard, by token: ACK, NAK, DUH
	Connects   int
	Closed     int // connections that the receiver ended
}

// Attacker is a hostile device.
type Attacker struct {
	opts    AttackOptions
	network string
	address string

	mu   sync.Mutex // guards the fields below
	next int        // number of the next frame
	loot Loot
}

// NewAttacker makes one; it does nothing yet.
func NewAttacker(o AttackOptions) (*Attacker, error) {
	setDefault(&o.Count, defaultFrames)
	setDefault(&o.Connections, defaultConnections)
	setDefault(&o.For, defaultFor)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Heard == nil {
		o.Heard = io.Discard
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	network, address, err := Options{To: o.To}.address()
	return &Attacker{opts: o, network: network, address: address, loot: Loot{Answers: map[string]int{}}}, err
}

// Run attacks until all frames are sent, the time is over or ctx ends. A receiver that defends itself is no error.
func (a *Attacker) Run(ctx context.Context) (Loot, error) {
	ctx, cancel := context.WithTimeout(ctx, a.opts.For)
	defer cancel()
	var group errgroup.Group
	for i := range a.opts.Connections {
		dice := mathrand.New(mathrand.NewPCG(a.opts.Seed, uint64(i)))
		group.Go(func() error { return a.wave(ctx, dice) })
	}
	err := group.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loot, err
}

// wave is one connection after the other, until nothing is left to send.
func (a *Attacker) wave(ctx context.Context, dice *mathrand.Rand) error {
	for ctx.Err() == nil && a.left() {
		conn, err := a.dial(ctx, dice)
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || ctx.Err() != nil {
				continue // the receiver takes no more, or the time is over
			}
			return fmt.Errorf("attacking the receiver: %w", err)
		}
		var group errgroup.Group
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		group.Go(func() error { return a.hear(conn) })
		sent, err := a.talk(ctx, conn, dice)
		if tcp, ok := conn.(*net.TCPConn); ok && sent {
			_ = tcp.CloseWrite() // the last answers come still
		}
		if sent {
			_ = conn.SetReadDeadline(time.Now().Add(a.wait()))
		} else {
			_ = conn.Close()
		}
		heard := group.Wait()
		stop()
		_ = conn.Close()
		if err := errors.Join(err, heard); err != nil {
			return err
		}
	}
	return nil
}

func (a *Attacker) dial(ctx context.Context, dice *mathrand.Rand) (net.Conn, error) {
	from := a.opts.From
	if a.forged() {
		from = net.IPv4(127, byte(1+dice.IntN(254)), byte(dice.IntN(256)), byte(1+dice.IntN(254)))
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	switch {
	case from != nil && a.network == "udp":
		dialer.LocalAddr = &net.UDPAddr{IP: from}
	case from != nil:
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	conn, err := dialer.DialContext(ctx, a.network, a.address)
	if err == nil {
		a.tally(func(l *Loot) { l.Connects++ })
	}
	return conn, err
}

// talk sends the frames that are left over one connection; sent is false when the connection is of no use before.
func (a *Attacker) talk(ctx context.Context, conn net.Conn, dice *mathrand.Rand) (sent bool, err error) {
	for ctx.Err() == nil {
		i, ok := a.take()
		if !ok {
			return true, nil
		}
		b, err := a.forge(i, dice)
		if err != nil {
			return false, err
		}
		if a.opts.Attack == AttackHalf {
			b = b[:1+dice.IntN(len(b)-1)]
		}
		switch {
		case !a.write(ctx, conn, b), a.opts.Attack == AttackHalf:
			return false, nil // the next piece comes over another connection
		case a.forged():
			return true, nil // or from another source
		}
	}
	return true, nil
}

func (a *Attacker) forged() bool { return a.opts.Forge && a.network == "udp" }

// wait is how long the last answers may take.
func (a *Attacker) wait() time.Duration {
	if a.forged() {
		return forgedWait
	}
	return answerWait
}

// write sends bytes, one by one if the attack is slow; false: the receiver does not take them any more.
func (a *Attacker) write(ctx context.Context, conn net.Conn, b []byte) bool {
	step := len(b)
	switch {
	case a.opts.Attack == AttackSlow:
		step = 1
	case a.network == "udp":
		b = b[:min(len(b), 60<<10)]
		step = len(b)
	}
	for len(b) > 0 && ctx.Err() == nil {
		n, err := conn.Write(b[:min(step, len(b))])
		a.tally(func(l *Loot) { l.SentBytes += n })
		if err != nil {
			a.tally(func(l *Loot) { l.Closed++ })
			return false
		}
		b = b[n:]
		if a.opts.Attack == AttackSlow {
			pace := time.NewTimer(slowPace)
			select {
			case <-ctx.Done():
			case <-pace.C:
			}
			pace.Stop()
		}
	}
	a.tally(func(l *Loot) { l.Sent++ })
	return true
}

// hear takes what the receiver says, until the connection ends.
func (a *Attacker) hear(conn net.Conn) error {
	buf, n := make([]byte, maxFrame), 0
	for {
		got, err := conn.Read(buf[n:])
		if got > 0 {
			if _, err := a.opts.Heard.Write(buf[n : n+got]); err != nil {
				return &recordError{err}
			}
		}
		frames, rest := cutFrames(buf[:n+got], 0)
		a.tally(func(l *Loot) {
			l.HeardBytes += got
			for _, frame := range frames {
				if answer, err := ParseAnswer(frame, a.opts.Key); err == nil || answer.ID != "" {
					l.Answers[answer.ID]++
				}
			}
		})
		n = copy(buf, rest)
		if err != nil || n == len(buf) {
			return nil // closed by either side: what there is to say is in the loot
		}
	}
}

// take gives the number of the next frame.
func (a *Attacker) take() (i int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == a.opts.Count {
		return 0, false
	}
	a.next++
	return a.next - 1, true
}

func (a *Attacker) left() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next < a.opts.Count
}

func (a *Attacker) tally(count func(*Loot)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	count(&a.loot)
}
