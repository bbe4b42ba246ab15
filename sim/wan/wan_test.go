package wan

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is for what must happen; moment is how long nothing must.
const (
	patience = 10 * time.Second
	moment   = 150 * time.Millisecond
)

// line is a proxy with a target that hands its connections to the test.
type line struct {
	*Proxy
	t        *testing.T
	accepted chan *net.TCPConn
}

func newLine(t *testing.T, f Faults) *line {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Listen(target.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	p.Set(f)
	l := &line{Proxy: p, t: t, accepted: make(chan *net.TCPConn, 8)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := target.Accept()
			if err != nil {
				return
			}
			l.accepted <- c.(*net.TCPConn)
		}
	})
	t.Cleanup(func() {
		_ = target.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	return l
}

// connect makes a connection and answers both of its ends.
func (l *line) connect() (client, server *net.TCPConn) {
	l.t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		l.t.Fatal(err)
	}
	select {
	case server = <-l.accepted:
	case <-time.After(patience):
		l.t.Fatal("the target was not reached")
	}
	client = c.(*net.TCPConn)
	for _, c := range []*net.TCPConn{client, server} {
		_ = c.SetDeadline(time.Now().Add(patience))
		l.t.Cleanup(func() { _ = c.Close() })
	}
	return client, server
}

func send(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d of %d bytes came, right: %t, %v", n, len(want), bytes.Equal(got[:n], want[:n]), err)
	}
}

// silent fails the test if anything, bytes or an end, comes within a moment.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(moment))
	n, err := c.Read(make([]byte, 1))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v, want silence", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
}

func noise(n int) []byte {
	r, b := rand.New(rand.NewPCG(7, 7)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestCarriesBothWays(t *testing.T) {
	l := newLine(t, Faults{})
	client, server := l.connect()
	up, down := noise(1<<20), noise(1<<18)
	var wg sync.WaitGroup
	wg.Go(func() { send(t, client, up); _ = client.CloseWrite() })
	wg.Go(func() { send(t, server, down); _ = server.CloseWrite() })
	expect(t, server, up)
	expect(t, client, down)
	wg.Wait()
	for _, c := range []net.Conn{client, server} {
		if n, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the end: %d bytes, %v, want EOF", n, err)
		}
	}
	if c := l.Counts(); c.Connections != 1 || c.Up != int64(len(up)) || c.Down != int64(len(down)) || c.Refused != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestLatencyAndBandwidth(t *testing.T) {
	const size = 256 << 10
	for _, c := range []struct {
		name        string
		way         Way
		least, most time.Duration
	}{
		{"latency does not slow the flow", Way{Latency: 100 * time.Millisecond}, 100 * time.Millisecond, 2 * time.Second},
		{"jitter keeps order", Way{Jitter: 20 * time.Millisecond}, 0, 5 * time.Second},
		{"bandwidth", Way{Bandwidth: size * 2}, 400 * time.Millisecond, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, Faults{Up: c.way})
			client, server := l.connect()
			begun, data := time.Now(), noise(size)
			var wg sync.WaitGroup
			wg.Go(func() { send(t, client, data) })
			expect(t, server, data)
			took := time.Since(begun)
			if took < c.least || took > c.most {
				t.Errorf("took %s, want %s to %s", took, c.least, c.most)
			}
			wg.Wait()
			begun = time.Now()
			send(t, server, []byte("x"))
			expect(t, client, []byte("x"))
			if took := time.Since(begun); c.way.Latency > 0 && took >= c.way.Latency {
				t.Errorf("the way back took %s", took)
			}
		})
	}
}

func TestSlicer(t *testing.T) {
	l := newLine(t, Faults{Up: Way{Slicer: 3}})
	client, server := l.connect()
	data := noise(300)
	send(t, client, data)
	var got []byte
	reads := 0
	for buf := make([]byte, 1024); len(got) < len(data); reads++ {
		n, err := server.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if !bytes.Equal(got, data) || reads < 10 {
		t.Errorf("right: %t, in %d reads, want many", bytes.Equal(got, data), reads)
	}
}

func TestTimeoutIsABlackHole(t *testing.T) {
	l := newLine(t, Faults{})
	client, server := l.connect()
	l.Set(Faults{Up: Way{Timeout: true}})
	data := noise(100 << 10)
	var wg sync.WaitGroup
	wg.Go(func() { send(t, client, data); _ = client.Close() })
	silent(t, server)
	l.Set(Faults{})
	expect(t, server, data)
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the end after the black hole: %v", err)
	}
	wg.Wait()

	l.Set(Faults{Up: Way{Timeout: true}, Down: Way{Timeout: true}})
	client, server = l.connect() // it is taken, as a kernel takes it
	send(t, client, data[:10])
	send(t, server, data[:10])
	silent(t, client)
	silent(t, server)
}

func TestHalfOpen(t *testing.T) {
	for _, end := range []string{"FIN", "RST"} {
		t.Run(end, func(t *testing.T) {
			l := newLine(t, Faults{Up: Way{HalfOpen: true}})
			client, server := l.connect()
			send(t, client, []byte("last words"))
			expect(t, server, []byte("last words"))
			if end == "RST" {
				_ = client.SetLinger(0)
			}
			_ = client.Close()
			silent(t, server)
			for range 20 { // what it says into the dark is taken
				send(t, server, noise(1000))
				silentNow(t, server)
			}
			if l.Counts().Open != 1 {
				t.Errorf("counts %+v, want the connection open", l.Counts())
			}
			_ = server.Close()
		})
	}
}

// TestHalfOpenReset: the target's end is reset and the client goes on talking into the dark.
func TestHalfOpenReset(t *testing.T) {
	l := newLine(t, Faults{Down: Way{HalfOpen: true}})
	client, server := l.connect()
	send(t, server, []byte("x"))
	expect(t, client, []byte("x"))
	l.ResetPeer()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target reads %v, want a reset", err)
	}
	for range 20 {
		send(t, client, noise(1000))
		silentNow(t, client)
	}
	_ = client.Close()
}

// silentNow is silent for an instant.
func silentNow(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(moment / 50))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v, want silence", n, err)
	}
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*line, *net.TCPConn)
		want error
	}{
		{"reset_peer", func(l *line, _ *net.TCPConn) { l.ResetPeer() }, syscall.ECONNRESET},
		{"drop", func(l *line, _ *net.TCPConn) { l.Drop() }, io.EOF},
		{"the client's reset", func(_ *line, c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, syscall.ECONNRESET},
		{"the client's end", func(_ *line, c *net.TCPConn) { _ = c.Close() }, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, Faults{})
			client, server := l.connect()
			send(t, client, []byte("x"))
			expect(t, server, []byte("x"))
			c.end(l, client)
			if _, err := server.Read(make([]byte, 1)); !errors.Is(err, c.want) {
				t.Errorf("the target reads %v, want %v", err, c.want)
			}
			again, server := l.connect() // the next connection is a good one
			send(t, again, []byte("y"))
			expect(t, server, []byte("y"))
		})
	}
}

func TestLimitData(t *testing.T) {
	l := newLine(t, Faults{Up: Way{LimitData: 1000}})
	for range 2 { // of each connection
		client, server := l.connect()
		data := noise(5000)
		send(t, client, data)
		got, err := io.ReadAll(server)
		if !bytes.Equal(got, data[:1000]) {
			t.Errorf("%d bytes, %v, want the first 1000", len(got), err)
		}
	}
}

func TestOneByte(t *testing.T) {
	data := noise(50_000)
	read := func(f Way) (got []byte) {
		t.Run("", func(t *testing.T) {
			l := newLine(t, Faults{Down: f})
			client, server := l.connect()
			var wg sync.WaitGroup
			wg.Go(func() { send(t, server, data); _ = server.Close() })
			var err error
			if got, err = io.ReadAll(client); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
		})
		return got
	}
	if got := read(Way{Lose: 30_001}); !bytes.Equal(got, append(bytes.Clone(data[:30_000]), data[30_001:]...)) {
		t.Errorf("%d bytes, want all but one", len(got))
	}
	one, two := read(Way{Corrupt: 30_001}), read(Way{Corrupt: 30_001})
	if !bytes.Equal(one, two) {
		t.Error("the same seed alters the byte differently")
	}
	if one[30_000] == data[30_000] {
		t.Error("the byte came as it was")
	}
	one[30_000] = data[30_000]
	if !bytes.Equal(one, data) {
		t.Error("another byte was altered")
	}
}

func TestRefuse(t *testing.T) {
	refused := func(l *line) {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr())
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connecting: %v, want a reset", err)
		}
	}
	l := newLine(t, Faults{})
	client, server := l.connect()
	l.Set(Faults{Refuse: true})
	refused(l)
	send(t, client, []byte("x")) // the open one goes on
	expect(t, server, []byte("x"))
	l.Set(Faults{})
	client, server = l.connect()
	send(t, client, []byte("x")) // a connection that carries is counted
	expect(t, server, []byte("x"))
	if c := l.Counts(); c.Refused != 1 || c.Connections != 2 {
		t.Errorf("counts %+v", c)
	}

	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := gone.Addr().String()
	_ = gone.Close()
	away, err := Listen(address, 1)
	if err != nil {
		t.Fatal(err)
	}
	refused(&line{Proxy: away, t: t})
	if err := errors.Join(away.Close(), away.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// TestCloseEndsAll: whatever a connection waits for, Close does not.
func TestCloseEndsAll(t *testing.T) {
	for _, f := range []Way{{Latency: time.Hour}, {Timeout: true}, {Bandwidth: 1}, {HalfOpen: true}} {
		t.Run("", func(t *testing.T) {
			l := newLine(t, Faults{Up: f, Down: f})
			client, server := l.connect()
			send(t, client, noise(100))
			send(t, server, noise(100))
			_ = client.Close()
			begun := time.Now()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took > patience/2 {
				t.Errorf("%+v: closing took %s", f, took)
			}
			if open := l.Counts().Open; open != 0 {
				t.Errorf("%+v: %d connections are open", f, open)
			}
		})
	}
}
