package dc09

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come; quiet is how long it listens for what must not.
const (
	patience = 10 * time.Second
	quiet    = 50 * time.Millisecond
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// store is a Sink that keeps what it stores; it refuses what is no event and knows a repeat by its Once key, as the log does.
type store struct {
	mu     sync.Mutex // guards the fields below
	drafts []event.Draft
	keys   map[string]bool
	repeat int
	fail   error
	gate   map[string]chan struct{} // a source's calls wait for it
}

func (s *store) sink(ctx context.Context, d event.Draft) error {
	s.mu.Lock()
	gate := s.gate[d.Source]
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if _, err := event.AppendRecord(nil, withTime(d)); err != nil {
		return err
	}
	key := d.Source + " " + d.Once
	if d.Once != "" && s.keys[key] {
		s.repeat++
		return nil
	}
	if s.keys == nil {
		s.keys = map[string]bool{}
	}
	s.keys[key] = true
	s.drafts = append(s.drafts, d)
	return nil
}

// of is what is stored of one kind.
func (s *store) of(k event.Kind) []event.Draft {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []event.Draft
	for _, d := range s.drafts {
		if d.Kind == k {
			list = append(list, d)
		}
	}
	return list
}

func (s *store) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// wait polls until a condition holds.
func wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// letters is a source of pads that are all one letter.
type letters byte

func (l letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(l)
	}
	return len(b), nil
}

// bench is a running receiver.
type bench struct {
	tcp, udp string
	receiver *Receiver
	stop     func()
}

func start(t testing.TB, o Options, s *store) *bench {
	t.Helper()
	bound := make(chan net.Addr, 2)
	o.TCP, o.UDP = "127.0.0.1:0", "127.0.0.1:0"
	o.Listening = func(a net.Addr) { bound <- a }
	r, err := New(o)
	must(t, err)
	b := &bench{receiver: r}
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return r.Run(ctx, s.sink) })
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(b.stop)
	for range 2 {
		switch a := <-bound; a.Network() {
		case "tcp":
			b.tcp = a.String()
		default:
			b.udp = a.String()
		}
	}
	return b
}

// peer is the other end of a connection.
type peer struct {
	t    testing.TB
	conn net.Conn
	rest []byte
}

func (b *bench) dial(t testing.TB, network string) *peer {
	t.Helper()
	address := b.tcp
	if network == "udp" {
		address = b.udp
	}
	conn, err := net.Dial(network, address)
	must(t, err)
	p := &peer{t: t, conn: conn}
	t.Cleanup(p.hangUp)
	return p
}

func (p *peer) hangUp() { _ = p.conn.Close() }

func (p *peer) send(b []byte) {
	p.t.Helper()
	must(p.t, p.conn.SetWriteDeadline(time.Now().Add(patience)))
	_, err := p.conn.Write(b)
	must(p.t, err)
}

// answer reads up to the next CR.
func (p *peer) answer() string {
	p.t.Helper()
	s, err := p.listen(patience)
	must(p.t, err)
	return s
}

func (p *peer) listen(d time.Duration) (string, error) {
	must(p.t, p.conn.SetReadDeadline(time.Now().Add(d)))
	buf := make([]byte, 4096)
	for {
		if i := bytes.IndexByte(p.rest, '\r'); i >= 0 {
			s := string(p.rest[:i+1])
			p.rest = p.rest[i+1:]
			return s, nil
		}
		n, err := p.conn.Read(buf)
		p.rest = append(p.rest, buf[:n]...)
		if err != nil {
			return "", err
		}
	}
}

// silent fails if there is an answer.
func (p *peer) silent() {
	p.t.Helper()
	if s, err := p.listen(quiet); err == nil {
		p.t.Fatalf("answer %q, want none", s)
	}
}
