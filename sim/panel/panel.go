package panel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of a connection.
const (
	dialTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	splitPause   = 5 * time.Millisecond
	maxTries     = 4                // unanswered sendings before a TCP connection is given up
	staleAfter   = 10 * time.Second // an older timestamp is renewed after a NAK
	raiseQueue   = 64
)

// errDone says that all reports are acknowledged.
var errDone = errors.New("all reports are acknowledged")

// Keys of the log.
const (
	logError  = "error"
	logReport = "report"
	logWait   = "wait"
	logTo     = "to"
)

// Totals are the counts of a panel's life.
type Totals struct {
	Sent          int // reports sent at least once
	Acked         int // of them, acknowledged
	Retransmitted int // frames sent again
	Connects      int
	NAKs, DUHs    int
	Bad           int // answers with a wrong CRC, length or grammar
	Stray         int // right answers to nothing that is in flight
}

// Panel is one alarm panel. Run owns all but what mu guards.
type Panel struct {
	opts   Options
	skew   time.Duration
	raised chan Report
	wishes chan func()

	made    int // reports made by themselves
	number  int // running number of the next report
	nextAt  time.Time
	flight  []*sending
	heard   bool // an answer came on this connection
	quietAt time.Time
	mute    time.Time // nothing is sent before

	mu     sync.Mutex // guards totals
	totals Totals
}

// sending is a frame until its acknowledgement.
type sending struct {
	n     int // running number; 0: a NULL
	frame Frame
	bytes []byte
	tries int       // on this connection
	sent  int       // in all
	due   time.Time // of the next sending
}

// New makes a panel; it connects to nothing yet.
func New(o Options) (*Panel, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Count > 0 {
		if _, err := (Report{Code: o.Codes[0]}).data(o.Format, o.Quirks, o.Account, o.First+o.Count-1); err != nil {
			return nil, err
		}
	}
	return &Panel{opts: o, skew: o.Skew, number: o.First, raised: make(chan Report, raiseQueue), wishes: make(chan func())}, nil
}

// Totals are the counts so far.
func (p *Panel) Totals() Totals {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.totals
}

// tally counts.
func (p *Panel) tally(count func(*Totals)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count(&p.totals)
}

// Raise hands the panel a report to send. An empty code is the first of
// Options.Codes.
func (p *Panel) Raise(ctx context.Context, r Report) error {
	setDefault(&r.Code, p.opts.Codes[0])
	if err := p.opts.Format.checkCode(r.Code); err != nil {
		return err
	}
	if _, err := r.data(p.opts.Format, p.opts.Quirks, p.opts.Account, 1); err != nil {
		return err
	}
	select {
	case p.raised <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Hush has the panel send nothing for a while, not even a NULL; its connection
// stays. It waits until there is one.
func (p *Panel) Hush(ctx context.Context, d time.Duration) error {
	return p.wish(ctx, func() { p.mute = time.Now().Add(d) })
}

// SetSkew makes the panel's clock wrong by d from now on, until a NAK sets it. It
// waits until there is a connection.
func (p *Panel) SetSkew(ctx context.Context, d time.Duration) error {
	return p.wish(ctx, func() { p.skew = d })
}

// wish has the panel do something between two frames.
func (p *Panel) wish(ctx context.Context, do func()) error {
	select {
	case p.wishes <- do:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run reports to the receiver, over as many connections as it takes, until all
// of Options.Count are acknowledged or ctx ends. It fails only when the record
// cannot be written.
func (p *Panel) Run(ctx context.Context) error {
	wait := p.opts.BackOff
	for ctx.Err() == nil {
		p.heard = false
		err := p.connection(ctx)
		var broken *recordError
		switch {
		case errors.Is(err, errDone):
			return nil
		case errors.As(err, &broken):
			return err
		case ctx.Err() != nil:
			return nil
		case p.heard:
			wait = p.opts.BackOff
		}
		p.opts.Log.Info("connection ended", logTo, p.opts.To, logError, err, logWait, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, p.opts.MaxBackOff)
	}
	return nil
}

// recordError ends Run: a panel that cannot keep its record proves nothing.
type recordError struct{ err error }

func (e *recordError) Error() string { return "writing the panel's record: " + e.err.Error() }
func (e *recordError) Unwrap() error { return e.err }

func (p *Panel) record(format string, args ...any) error {
	if _, err := p.opts.Record.Write(fmt.Appendf(nil, format+"\n", args...)); err != nil {
		return &recordError{err}
	}
	return nil
}

// capture writes down what goes over the wire.
func (p *Panel) capture(way byte, b []byte) error {
	if _, err := fmt.Fprintf(p.opts.Capture, "%c %x\n", way, b); err != nil {
		return &recordError{err}
	}
	return nil
}

// connection dials and reports until an error or the end.
func (p *Panel) connection(ctx context.Context) error {
	network, address, err := p.opts.address()
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return fmt.Errorf("connecting to the receiver: %w", err)
	}
	p.tally(func(t *Totals) { t.Connects++ })
	for _, s := range p.flight {
		s.tries, s.due = 0, time.Time{}
	}
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // unblocks the reader
	defer stop()
	answers := make(chan []byte, maxWindow)
	group.Go(func() error { return listen(ctx, conn, p.opts.crcBytes(), answers) })
	group.Go(func() error { return p.talk(ctx, conn, answers) })
	return group.Wait()
}

// clock is the panel's own idea of the time.
func (p *Panel) clock() time.Time { return p.opts.Now().Add(p.skew) }

// talk sends what is due and takes what is answered.
func (p *Panel) talk(ctx context.Context, conn net.Conn, answers <-chan []byte) error {
	p.quietAt = time.Time{}
	for {
		if err := p.say(ctx, conn); err != nil {
			return err
		}
		if p.opts.Count > 0 && p.made == p.opts.Count && len(p.flight) == 0 {
			return errDone
		}
		raised := p.raised
		if len(p.flight) >= p.opts.Window {
			raised = nil
		}
		timer := time.NewTimer(p.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case frame := <-answers:
			if err := p.take(frame); err != nil {
				timer.Stop()
				return err
			}
		case r := <-raised:
			if err := p.launch(r); err != nil {
				timer.Stop()
				return err
			}
		case do := <-p.wishes:
			do()
		case <-timer.C:
		}
		timer.Stop()
	}
}

// say sends what there is to send, unless the panel is hushed.
func (p *Panel) say(ctx context.Context, conn net.Conn) error {
	if time.Now().Before(p.mute) {
		return nil
	}
	if err := p.fill(); err != nil {
		return err
	}
	return p.sendDue(ctx, conn)
}

// fill puts as many reports in flight as window and rate allow, or a NULL.
func (p *Panel) fill() error {
	now := time.Now()
	for p.made < p.opts.Count && len(p.flight) < p.opts.Window && !now.Before(p.nextAt) {
		r := Report{Code: p.opts.Codes[p.made%len(p.opts.Codes)]}
		p.made++
		if p.opts.Rate > 0 {
			if p.nextAt.IsZero() {
				p.nextAt = now
			}
			p.nextAt = p.nextAt.Add(time.Duration(float64(time.Second) / p.opts.Rate))
		}
		if err := p.launch(r); err != nil {
			return err
		}
	}
	if p.opts.Poll > 0 && len(p.flight) == 0 && now.Sub(p.quietAt) >= p.opts.Poll {
		return p.add(0, Frame{ID: idNull, Data: p.opts.odd().null()})
	}
	return nil
}

// launch records a report and puts it in flight.
func (p *Panel) launch(r Report) error {
	n := p.number
	data, err := r.data(p.opts.Format, p.opts.Quirks, p.opts.Account, n)
	if err != nil {
		return err
	}
	p.number++
	f := Frame{ID: p.opts.Format.id(), Seq: (n-1)%maxSeq + 1, Data: data, Extra: p.opts.odd().extra()}
	if err := p.record("sent %d %04d %s %s %s", n, f.Seq, p.opts.Account, f.ID, f.Data); err != nil {
		return err
	}
	p.tally(func(t *Totals) { t.Sent++ })
	return p.add(n, f)
}

func (p *Panel) add(n int, f Frame) error {
	f.Receiver, f.Line, f.Account, f.Quirks = p.opts.Receiver, p.opts.Line, p.opts.Account, p.opts.Quirks
	s := &sending{n: n, frame: f}
	p.flight = append(p.flight, s)
	return p.stamp(s)
}

// stamp gives a frame the time of now.
func (p *Panel) stamp(s *sending) error {
	s.frame.Time = p.clock().UTC()
	b, err := s.frame.Marshal(p.opts.Key, rand.Reader)
	if err != nil {
		return err
	}
	s.bytes, s.due = b, time.Time{}
	return nil
}

// pause is how long nothing needs to be done.
func (p *Panel) pause() time.Duration {
	now := time.Now()
	if now.Before(p.mute) {
		return p.mute.Sub(now)
	}
	wait := time.Minute
	for _, s := range p.flight {
		wait = min(wait, s.due.Sub(now))
	}
	if p.made < p.opts.Count && len(p.flight) < p.opts.Window {
		wait = min(wait, p.nextAt.Sub(now))
	}
	if p.opts.Poll > 0 && len(p.flight) == 0 {
		wait = min(wait, p.quietAt.Add(p.opts.Poll).Sub(now))
	}
	return max(wait, 0)
}

// sendDue sends the frames whose time has come, several in one segment if asked.
func (p *Panel) sendDue(ctx context.Context, conn net.Conn) error {
	now := time.Now()
	var segment []byte
	inside := 0
	for _, s := range p.flight {
		if s.due.After(now) {
			continue
		}
		if s.tries == maxTries && conn.RemoteAddr().Network() == "tcp" {
			return fmt.Errorf("no answer to frame %04d after %d sendings", s.frame.Seq, maxTries)
		}
		if s.sent > 0 {
			p.tally(func(t *Totals) { t.Retransmitted++ })
		}
		s.tries++
		s.sent++
		s.due = now.Add(p.opts.Retry)
		segment = append(segment, s.bytes...)
		inside++
		if inside == p.opts.Coalesce || conn.RemoteAddr().Network() == "udp" {
			if err := p.write(ctx, conn, segment); err != nil {
				return err
			}
			segment, inside = segment[:0], 0
		}
	}
	if inside > 0 {
		return p.write(ctx, conn, segment)
	}
	return nil
}

// write sends a segment, cut in two if asked.
func (p *Panel) write(ctx context.Context, conn net.Conn, segment []byte) error {
	p.quietAt = time.Now()
	if err := p.capture('>', segment); err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if at := p.opts.Split; at > 0 && at < len(segment) && conn.RemoteAddr().Network() == "tcp" {
		if _, err := conn.Write(segment[:at]); err != nil {
			return fmt.Errorf("sending the first part of a frame: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(splitPause):
		}
		segment = segment[at:]
	}
	if _, err := conn.Write(segment); err != nil {
		return fmt.Errorf("sending a frame: %w", err)
	}
	return nil
}

// listen hands over what the receiver sends, frame by frame.
func listen(ctx context.Context, conn net.Conn, skip int, answers chan<- []byte) error {
	buf, n := make([]byte, maxFrame+1), 0
	for {
		// Long silence is for talk to judge, which closes the connection.
		if err := conn.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			return err
		}
		got, err := conn.Read(buf[n:])
		n += got
		frames, rest := cutFrames(buf[:n], skip)
		n = copy(buf, rest)
		for _, frame := range frames {
			select {
			case answers <- frame:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the receiver closed the connection")
		case err != nil:
			return fmt.Errorf("reading from the receiver: %w", err)
		case n == len(buf):
			return fmt.Errorf("the receiver sent %d bytes without a frame", n)
		}
	}
}

// cutFrames copies the frames LF to CR out of b, skipping what stands between
// them, and returns the bytes of a frame that has only begun. So many bytes behind
// each LF are a binary CRC, and may be anything.
func cutFrames(b []byte, skip int) (frames [][]byte, rest []byte) {
	start := -1
	for i, c := range b {
		switch {
		case start >= 0 && i <= start+skip:
		case c == '\n':
			start = i
		case c == '\r' && start >= 0:
			frames = append(frames, append([]byte(nil), b[start:i+1]...))
			start = -1
		}
	}
	if start < 0 {
		return frames, nil
	}
	return frames, b[start:]
}
