package dc09

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
)

func TestWrongOptions(t *testing.T) {
	ok := Account{ID: "1234"}
	for name, o := range map[string]Options{
		"no address":      {},
		"no port":         {TCP: "127.0.0.1"},
		"udp no port":     {UDP: "localhost"},
		"short account":   {TCP: ":0", Accounts: []Account{{ID: "12"}}},
		"long account":    {TCP: ":0", Accounts: []Account{{ID: strings.Repeat("1", 17)}}},
		"no hex":          {TCP: ":0", Accounts: []Account{{ID: "12G4"}}},
		"twice":           {TCP: ":0", Accounts: []Account{{ID: "abcd"}, {ID: "ABCD"}}},
		"supervision":     {TCP: ":0", Accounts: []Account{{ID: "1234", Supervision: -1}}},
		"zone no name":    {TCP: ":0", Accounts: []Account{{ID: "1234", Zones: map[string]string{"1": ""}}}},
		"zone a long one": {TCP: ":0", Accounts: []Account{{ID: "1234", Zones: map[string]string{"1": strings.Repeat("z", 97)}}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r, err := New(Options{TCP: "127.0.0.1:1", UDP: "127.0.0.1:2", Accounts: []Account{ok}})
	must(t, err)
	if s := r.String(); s != "dc09 receiver on tcp 127.0.0.1:1, udp 127.0.0.1:2" {
		t.Error(s)
	}
}

// TestPortTaken holds that a taken port is told with its remedy, and listened on when it is free again.
func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	bound := make(chan net.Addr, 1)
	r, err := New(Options{TCP: taken.Addr().String(), Listening: func(a net.Addr) { bound <- a }})
	must(t, err)
	o := r.Probe(t.Context())
	if o.State != "failed" || !strings.Contains(o.Why, "stop the program that has the port") || !strings.Contains(o.Why, "address already in use") {
		t.Errorf("Probe = %s", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return r.Run(ctx, (&store{}).sink) })
	select {
	case a := <-bound:
		t.Errorf("listening on %s, which is taken", a)
	case <-time.After(quiet):
	}
	if x := r.Snapshot(); x[len(x)-1].State != "missing" {
		t.Errorf("nobody listens: %+v", x)
	}
	must(t, taken.Close())
	select {
	case <-bound:
		if x := r.Snapshot(); x[len(x)-1].State != "up" {
			t.Errorf("listening: %+v", x)
		}
	case <-time.After(patience):
		t.Error("the port is free and not listened on")
	}
	cancel()
	must(t, group.Wait())
	if o := r.Probe(t.Context()); o.State != "ready" {
		t.Errorf("Probe = %s", o)
	}
}

// TestUDPPortTaken is the same for UDP, as far as Probe.
func TestUDPPortTaken(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	r, err := New(Options{UDP: taken.LocalAddr().String()})
	must(t, err)
	if o := r.Probe(t.Context()); o.State != "failed" {
		t.Errorf("Probe = %s", o)
	}
	must(t, taken.Close())
	if o := r.Probe(t.Context()); o.State != "ready" {
		t.Errorf("Probe = %s", o)
	}
}

// TestConnectionLimit holds that the connection over the limit is closed, and that those within it are served on.
func TestConnectionLimit(t *testing.T) {
	s := &store{}
	b := start(t, Options{Accounts: []Account{{ID: "1234"}}, Connections: 2, PerHost: 2}, s)
	frame := wireOf(`"NULL"0000L0#1234[]`)
	one, two := b.dial(t, "tcp"), b.dial(t, "tcp")
	for _, p := range []*peer{one, two} {
		p.send(frame)
		p.answer()
	}
	if s, err := b.dial(t, "tcp").listen(patience); err == nil {
		t.Errorf("the third connection is answered %q", s)
	}
	one.send(frame)
	one.answer()
	two.hangUp()
	wait(t, "a place for another panel", func() bool {
		p := b.dial(t, "tcp")
		if _, err := p.conn.Write(frame); err != nil {
			return false
		}
		_, err := p.listen(quiet)
		return err == nil
	})
}

// pipe is a connection to talk in fake time.
func pipe(t *testing.T, o Options, s *store) (net.Conn, *errgroup.Group) {
	t.Helper()
	o.TCP = ":0"
	r, err := New(o)
	must(t, err)
	here, there := net.Pipe()
	var group errgroup.Group
	group.Go(func() error { r.talk(t.Context(), here, s.sink); return nil })
	return there, &group
}

// hungUp waits until the receiver closes, and says how long that took.
func hungUp(t *testing.T, conn net.Conn, group *errgroup.Group) time.Duration {
	t.Helper()
	begun := time.Now()
	_, err := io.Copy(io.Discard, conn)
	must(t, err)
	must(t, group.Wait())
	return time.Since(begun)
}

// TestIdle holds the deadlines of a connection: idle, and in the middle of a frame however it drips.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, group := pipe(t, Options{}, &store{})
		if d := hungUp(t, conn, group); d != 5*time.Minute {
			t.Errorf("an idle connection lasts %s", d)
		}
		conn, group = pipe(t, Options{Idle: time.Minute}, &store{})
		begun := time.Now()
		for _, c := range wireOf(`"NULL"0000L0#1234[]`) {
			if _, err := conn.Write([]byte{c}); err != nil {
				break // hung up
			}
			<-time.After(time.Second)
		}
		if d := time.Since(begun); d < frameTime || d > frameTime+2*time.Second {
			t.Errorf("a dripping frame lasts %s", d)
		}
		must(t, group.Wait())
	})
}

// TestOneHostLeavesRoom holds that a panel that opens connection after connection leaves room for the others.
func TestOneHostLeavesRoom(t *testing.T) {
	s := &store{}
	b := start(t, Options{Accounts: []Account{{ID: "1234"}}, Connections: 4}, s)
	frame := wireOf(`"NULL"0000L0#1234[]`)
	greedy := []*peer{b.dial(t, "tcp"), b.dial(t, "tcp")}
	for _, p := range greedy {
		p.send(frame)
		p.answer()
	}
	if s, err := b.dial(t, "tcp").listen(patience); err == nil {
		t.Errorf("the third connection of one host is answered %q", s)
	}
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := other.DialContext(t.Context(), "tcp", b.tcp)
	must(t, err)
	p := &peer{t: t, conn: conn}
	defer p.hangUp()
	p.send(frame)
	p.answer()
	greedy[0].hangUp()
	wait(t, "the host's place again", func() bool {
		p := b.dial(t, "tcp")
		if _, err := p.conn.Write(frame); err != nil {
			return false
		}
		_, err := p.listen(quiet)
		return err == nil
	})
}

// TestRate holds that a panel over its rate has to wait, and loses nothing.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		conn, group := pipe(t, Options{Accounts: []Account{{ID: "1234"}}, Rate: 10}, s)
		var answers errgroup.Group
		answers.Go(func() error { _, err := io.Copy(io.Discard, conn); return err })
		begun := time.Now()
		for i := range 110 {
			_, err := conn.Write(wireOf(fmt.Sprintf(`"ADM-CID"%04dL0#1234[#1234|1130 01 012]`, i+1)))
			must(t, err)
		}
		synctest.Wait()
		if d := time.Since(begun); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("110 frames at 10 a second took %s", d)
		}
		must(t, conn.Close())
		must(t, group.Wait())
		if err := answers.Wait(); err != nil && err != io.ErrClosedPipe {
			t.Error(err)
		}
		if n := len(s.of(event.KindPanelEvent)); n != 110 {
			t.Errorf("%d events", n)
		}
	})
}

// TestBadConnections are dropped: junk, wrong sums, and frames that are refused, however many.
func TestBadConnections(t *testing.T) {
	wrong := wireOf(`"NULL"0000L0#1234[]`)
	wrong[1] ^= 1
	for name, b := range map[string][]byte{
		"junk":      []byte(strings.Repeat("x", 4000)),
		"no end":    []byte("\nAB120012\"" + strings.Repeat("x", 4000)),
		"wrong sum": wrong,
		"refused":   wireOf(`"NULL"0000L0#9999[]`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{}
				conn, group := pipe(t, Options{Accounts: []Account{{ID: "1234"}}}, s)
				var answers errgroup.Group
				answers.Go(func() error { _, err := io.Copy(io.Discard, conn); return err })
				sent := 0
				for ; sent < 10*maxBad; sent++ {
					if _, err := conn.Write(b); err != nil {
						break
					}
				}
				if sent == 10*maxBad {
					t.Errorf("not dropped after %d writes", sent)
				}
				_ = conn.Close()
				must(t, group.Wait())
				_ = answers.Wait()
			})
		})
	}
}

// TestMemory holds that one connection keeps no more than one frame, whatever it sends.
func TestMemory(t *testing.T) {
	s := &session{r: &Receiver{o: Options{Idle: time.Minute}}, buf: make([]byte, 0, firstBuffer)}
	here, there := net.Pipe()
	s.conn = here
	var group errgroup.Group
	group.Go(func() error {
		_, err := there.Write([]byte("\nAB120012\"" + strings.Repeat("x", 1<<20)))
		return err
	})
	for s.read() && s.bad == 0 {
		if !s.frames(t.Context()) {
			t.Fatal("dropped")
		}
		if cap(s.buf) > MaxFrame {
			t.Fatalf("%d bytes are kept", cap(s.buf))
		}
	}
	_ = here.Close()
	_ = group.Wait()
	_ = there.Close()
	if s.bad == 0 {
		t.Error("a frame without end is not noticed")
	}
}

// TestStop holds that Run ends although panels are connected and the sink hangs.
func TestStop(t *testing.T) {
	s := &store{gate: map[string]chan struct{}{"dc09/1234": make(chan struct{})}}
	b := start(t, Options{Accounts: []Account{{ID: "1234"}}}, s)
	for _, network := range []string{"tcp", "udp"} {
		b.dial(t, network).send(wireOf(`"ADM-CID"0001L0#1234[#1234|1130 01 012]`))
	}
	b.dial(t, "tcp").send([]byte("\nhalf a fr"))
	b.stop()
}

// exhausted is a listener that has no more file descriptors after its first connection.
type exhausted struct {
	net.Listener
	served chan struct{} // closed when that connection has been served
	first  bool
}

func (l *exhausted) Accept() (net.Conn, error) {
	if !l.first {
		l.first = true
		return l.Listener.Accept()
	}
	<-l.served
	return nil, syscall.EMFILE
}

// TestAcceptFails has the listener fail while a panel stays on its line: the receiver lets go of the line, and can listen again.
func TestAcceptFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r, err := New(Options{TCP: "127.0.0.1:0", Accounts: []Account{{ID: "1234"}}})
	must(t, err)
	served, over := make(chan struct{}), make(chan error, 1)
	var group errgroup.Group
	group.Go(func() error {
		over <- r.serve(t.Context(), &exhausted{Listener: l, served: served}, (&store{}).sink)
		return nil
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	p := &peer{t: t, conn: conn}
	p.send(wireOf(`"NULL"0000L0#1234[]`))
	p.answer()
	close(served)
	select {
	case err := <-over:
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience / 5):
		t.Error("a panel that stays connected keeps the receiver from listening again")
	}
	p.hangUp()
	must(t, group.Wait())
}
