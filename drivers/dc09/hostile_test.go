package dc09

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"watchpost/storage/event"
)

// budget is what one connection may hold, in bytes.
const budget = 16 << 10

// longest is a frame of nearly the most bytes, with the most events that it can carry.
func longest(account string) []byte {
	head, tail := `"SIA-DCS"0001L0#`+account+`[#`+account+`|N`, `]`
	payload := strings.Repeat("BA1/", maxReports)
	return wireOf(head + payload + "BA2^" + strings.Repeat("x", MaxBody-len(head)-len(tail)-len(payload)-5) + "^" + tail)
}

// heldBy is what n connections hold, each, in bytes: both ends' Go objects and the receiver's stacks, when each has done what do
// does to it.
func heldBy(t testing.TB, n int, sink func(context.Context, event.Draft) error, do func(net.Conn)) float64 {
	t.Helper()
	bound := make(chan net.Addr, 1)
	r, err := New(Options{TCP: "127.0.0.1:0", Accounts: []Account{{ID: "1234"}}, Connections: n, PerHost: n, Listening: func(a net.Addr) { bound <- a }})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return r.Run(ctx, sink) })
	address := (<-bound).String()
	conns := make([]net.Conn, 0, n)
	defer func() {
		cancel()
		must(t, group.Wait())
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	before := held()
	for range n {
		c, err := net.Dial("tcp", address)
		must(t, err)
		conns = append(conns, c)
	}
	for _, c := range conns {
		do(c)
	}
	wait(t, "all connections served", func() bool { return goroutines("dc09.(*Receiver).talk(") >= n })
	settled := time.NewTimer(200 * time.Millisecond) // what was sent last has been read
	<-settled.C
	return (held() - before) / float64(n)
}

// held is the memory of the live objects and stacks.
func held() float64 {
	for range 3 { // stacks shrink by half at each
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// goroutines is how many have this function on their stack.
func goroutines(function string) int {
	buf := make([]byte, 8<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), function)
}

// hostile is a way to make a connection hold as much as it can.
type hostile struct {
	name string
	sink func(context.Context, event.Draft) error
	do   func(net.Conn)
}

func hostiles(t testing.TB) []hostile {
	send := func(c net.Conn, b []byte) {
		_, err := c.Write(b)
		must(t, err)
	}
	stored := func(context.Context, event.Draft) error { return nil }
	never := func(ctx context.Context, _ event.Draft) error { <-ctx.Done(); return ctx.Err() }
	big, refused := longest("1234"), longest("9999")
	return []hostile{
		{"idle", stored, func(net.Conn) {}},
		{"half a frame", stored, func(c net.Conn) { send(c, big[:len(big)-1]) }},
		{"refused, then half a frame", stored, func(c net.Conn) {
			for range 3 {
				send(c, refused)
				_, err := c.Read(make([]byte, 64))
				must(t, err)
			}
			send(c, big[:len(big)-1])
		}},
		{"the most events at a busy store", never, func(c net.Conn) { send(c, append(append([]byte{}, big...), big[:3000]...)) }},
	}
}

// TestConnectionBudget holds the memory of connections that do their worst within the budget.
func TestConnectionBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("short runs are under the race detector, which makes stacks of another size")
	}
	for _, h := range hostiles(t) {
		each := heldBy(t, 64, h.sink, h.do)
		t.Logf("%s: %.0f bytes", h.name, each)
		if each > budget {
			t.Errorf("%s: %.0f bytes a connection, want at most %d", h.name, each, budget)
		}
	}
}

// TestQueueBudget holds what may wait of one account by UDP.
func TestQueueBudget(t *testing.T) {
	for size, want := range map[int64]int{100: waiting, 1000: 8, MaxFrame: 1, 2 * waitingBytes: 1} {
		q := &queue{frames: make(chan datagram, waiting)}
		n := 0
		for q.put(datagram{size: size}) {
			n++
		}
		if n != want {
			t.Errorf("%d frames of %d bytes wait, want %d", n, size, want)
		}
		q.bytes.Add(-(<-q.frames).size)
		if !q.put(datagram{size: size}) {
			t.Errorf("%d bytes: no room although one is done", size)
		}
	}
}

// TestFloods holds a host to its rate by UDP, and that it takes nothing from the others, nor fills the memory.
func TestFloods(t *testing.T) {
	f := floods{rate: 10, limiters: map[netip.Addr]*rate.Limiter{}}
	host := netip.MustParseAddr("192.0.2.1")
	n := 0
	for range 1000 {
		if f.allow(host) {
			n++
		}
	}
	if n < 10 || n > 12 {
		t.Errorf("%d of 1000 at once, want 10", n)
	}
	for i := range 5 * maxHosts {
		if !f.allow(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) {
			t.Fatalf("host %d pays for others", i)
		}
		if len(f.limiters) > maxHosts {
			t.Fatalf("%d hosts are kept", len(f.limiters))
		}
	}
}

// TestFloodLeavesRoom has one host flood the UDP port while another panel reports.
func TestFloodLeavesRoom(t *testing.T) {
	s := &store{}
	b := start(t, Options{Accounts: []Account{{ID: "1234"}, {ID: "5678"}}, Rate: 5}, s)
	flood := b.dial(t, "udp")
	for i := range 500 {
		flood.send(wireOf(fmt.Sprintf(`"ADM-CID"%04dL0#1234[#1234|1130 01 012]`, i+1)))
	}
	conn, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext(t.Context(), "udp", b.udp)
	must(t, err)
	p := &peer{t: t, conn: conn}
	defer p.hangUp()
	for i := range 3 {
		wait(t, "an ACK, by sending until there is one, as panels do", func() bool {
			p.send(wireOf(fmt.Sprintf(`"ADM-CID"%04dL0#5678[#5678|1130 01 012]`, i+1)))
			_, err := p.listen(quiet)
			return err == nil
		})
	}
	taken := map[string]int{}
	for _, d := range s.of(event.KindPanelEvent) {
		taken[d.Source]++
	}
	if taken["dc09/5678"] != 3 || taken["dc09/1234"] > 50 {
		t.Errorf("taken: %v", taken)
	}
}

// TestReplayAfterManyEvents replays an encrypted frame when so many have followed that the log has forgotten its key: ACK, and the
// sink is not asked.
func TestReplayAfterManyEvents(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	k, calls := testKey(t), 0
	r, err := New(Options{TCP: ":0", Accounts: []Account{{ID: "AAAA", Key: k}}, Now: func() time.Time { return now }})
	must(t, err)
	fail := false
	sink := func(context.Context, event.Draft) error {
		if calls++; fail {
			return context.DeadlineExceeded
		}
		return nil
	}
	say := func(seq int) string {
		t.Helper()
		f, ok := r.hear(sealed(k, fmt.Sprintf(`"*SIA-DCS"%04dL0#AAAA`, seq), "|#AAAA|NBA001][X1]_"+stamp(now)), "here")
		a, answer := r.judge(&f, "here")
		if !ok || a == nil || answer != nil {
			t.Fatalf("frame %d is refused", seq)
		}
		return string(r.settle(t.Context(), sink, a, &f))
	}
	for seq := range remembered {
		if say(seq+1) == "" {
			t.Fatal("no ACK")
		}
	}
	for _, seq := range []int{1, 2, remembered / 2, remembered, 1} {
		if answer := say(seq); !strings.Contains(answer, `"*ACK"`) || calls != remembered {
			t.Fatalf("replay of %d: answer %q, %d calls of the sink", seq, answer, calls)
		}
	}
	for seq := remembered + 1; seq <= 3*remembered; seq++ {
		say(seq)
	}
	if n := len(r.accounts["AAAA"].replays.sums); n != remembered {
		t.Errorf("%d frames are remembered", n)
	}
	fail = true
	if say(9999) != "" || say(9999) != "" {
		t.Error("what is not stored is taken for a replay")
	}
}

// TestStampedAnew loses the ACK of a stored frame until its time is out of the window: the NAK has the panel set its clock and send the
// frame under a new time, which is one event all the same. What was not stored makes nobody deaf, nor does it last.
func TestStampedAnew(t *testing.T) {
	begin := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	const ack, nak = `"*ACK"`, `"NAK"`
	type say struct {
		at     time.Duration // since the beginning
		stamp  time.Duration
		seq    int
		code   string
		answer string
		events int
		full   bool // the store takes nothing
	}
	for name, said := range map[string][]say{
		"the ACK is lost": {
			{0, 0, 7, "BA1", ack, 1, false},
			{41 * time.Second, 0, 7, "BA1", nak, 1, false},
			{42 * time.Second, 42 * time.Second, 7, "BA1", ack, 1, false},
			{43 * time.Second, 43 * time.Second, 7, "BA1", ack, 1, false}, // stamped at each attempt
			{50 * time.Second, 50 * time.Second, 8, "BA1", ack, 2, false},
		},
		"the ACK of the new frame is lost, too": {
			{0, 0, 7, "BA1", ack, 1, false},
			{41 * time.Second, 0, 7, "BA1", nak, 1, false},
			{42 * time.Second, 42 * time.Second, 7, "BA1", ack, 1, false},
			{400 * time.Second, 42 * time.Second, 7, "BA1", nak, 1, false},
			{401 * time.Second, 401 * time.Second, 7, "BA1", ack, 1, false},
		},
		"the NAK is late": {
			{0, 0, 7, "BA1", ack, 1, false},
			{41 * time.Second, 0, 7, "BA1", nak, 1, false},
			{160 * time.Second, 0, 7, "BA1", nak, 1, false},
			{270 * time.Second, 270 * time.Second, 7, "BA1", ack, 1, false},
		},
		"a clock that begins anew after a power cut": {
			{0, -time.Hour, 1, "BA1", nak, 0, false},
			{time.Second, time.Second, 1, "BA1", ack, 1, false},
			{60 * time.Second, -time.Hour, 1, "BA1", nak, 1, false},
			{61 * time.Second, 61 * time.Second, 1, "BA1", ack, 2, false},
		},
		"not stored": {
			{0, 0, 7, "BA1", "", 0, true},
			{41 * time.Second, 0, 7, "BA1", nak, 0, false},
			{42 * time.Second, 42 * time.Second, 7, "BA1", ack, 1, false},
		},
		"another event, or another number": {
			{0, 0, 7, "BA1", ack, 1, false},
			{41 * time.Second, 0, 7, "BA1", nak, 1, false},
			{42 * time.Second, 42 * time.Second, 7, "BA2", ack, 2, false},
			{42 * time.Second, 42 * time.Second, 6, "BA1", ack, 3, false},
		},
		"two minutes are over": {
			{0, 0, 7, "BA1", ack, 1, false},
			{41 * time.Second, 0, 7, "BA1", nak, 1, false},
			{161 * time.Second, 161 * time.Second, 7, "BA1", ack, 2, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, s, now := testKey(t), &store{}, &clock{}
			r, err := New(Options{TCP: ":0", Accounts: []Account{{ID: "AAAA", Key: k}}, Now: now.Now, Rand: letters('z')})
			must(t, err)
			for i, c := range said {
				now.set(begin.Add(c.at))
				s.set(func() { s.fail = nil })
				if c.full {
					s.set(func() { s.fail = errors.New("full") })
				}
				plain := fmt.Sprintf("|#AAAA|N%s]_%s", c.code, stamp(begin.Add(c.stamp)))
				f, ok := r.hear(sealed(k, fmt.Sprintf(`"*SIA-DCS"%04dL0#AAAA`, c.seq), plain), "here")
				if !ok {
					t.Fatalf("%d: not heard", i)
				}
				a, answer := r.judge(&f, "here")
				if a != nil {
					answer = r.settle(t.Context(), s.sink, a, &f)
				}
				if !strings.Contains(string(answer), c.answer) || c.answer == "" && answer != nil {
					t.Errorf("%d: answer %q, want %q", i, answer, c.answer)
				}
				if n := len(s.of(event.KindPanelEvent)); n != c.events {
					t.Errorf("%d: %d events, want %d", i, n, c.events)
				}
			}
		})
	}
}

// TestStampedAnewIsBounded has somebody replay, out of the window, far more frames than are remembered.
func TestStampedAnewIsBounded(t *testing.T) {
	a, now := &account{}, time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for n := range 3 * remembered {
		f := Frame{ID: idSIA, Seq: fmt.Sprintf("%04d", n), Stamp: stamp(now)}
		a.remember(&f)
		a.expectAnew(&f, now)
		if f.Stamp = stamp(now.Add(time.Minute)); !a.stampedAnew(&f, now) {
			t.Fatalf("frame %d is not known under another time", n)
		}
	}
	if n := len(a.replays.anew); n > remembered {
		t.Errorf("%d frames are waited for", n)
	}
	a.expectAnew(&Frame{ID: idSIA, Seq: "9999"}, now.Add(anewFor))
	if n := len(a.replays.anew); n != 1 {
		t.Errorf("%d are waited for still", n)
	}
}

// TestStampedAnewAtABusyStore has the store take longer than the window: the panel comes on another line, gets a NAK and stamps its
// frame anew while the first is still to be stored. One event, and no ACK before it.
func TestStampedAnewAtABusyStore(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		begin := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
		k, now, gate := testKey(t), &clock{now: begin}, make(chan struct{})
		s := &store{gate: map[string]chan struct{}{"dc09/AAAA": gate}}
		b := start(t, Options{Accounts: []Account{{ID: "AAAA", Key: k}}, Now: now.Now}, s)
		frame := func(at time.Time) []byte {
			return sealed(k, `"*SIA-DCS"0007L0#AAAA`, "|#AAAA|NBA1]_"+stamp(at))
		}
		first, second := b.dial(t, network), b.dial(t, network)
		first.send(frame(begin))
		first.silent()
		now.set(begin.Add(41 * time.Second))
		second.send(frame(begin))
		if got := second.answer(); !strings.Contains(got, `"NAK"`) {
			t.Errorf("%s: answer %q", network, got)
		}
		if network == "tcp" { // supervision needs no store
			second.send(sealed(k, `"*NULL"0000L0#AAAA`, "|]_"+stamp(now.Now())))
			if got := second.answer(); !strings.Contains(got, `"*ACK"0000`) {
				t.Errorf("answer %q", got)
			}
		}
		second.send(frame(now.Now()))
		second.silent()
		close(gate)
		for _, p := range []*peer{first, second} {
			if got := p.answer(); !strings.Contains(got, `"*ACK"`) {
				t.Errorf("%s: answer %q", network, got)
			}
		}
		if n := len(s.of(event.KindPanelEvent)); n != 1 {
			t.Errorf("%s: %d events", network, n)
		}
		b.stop()
	}
}
