package mqtt

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"watchpost/uplink/topic"
)

func TestClassify(t *testing.T) {
	refused := func(code byte) error { return fmt.Errorf("connecting: %w", packets.ConnErrors[code]) }
	for _, test := range []struct {
		err    error
		fault  Fault
		word   string
		remedy string
	}{
		{fmt.Errorf("x: %w", syscall.ECONNREFUSED), FaultAway, "broker_away", "check the address tls://broker:8883"},
		{syscall.EHOSTUNREACH, FaultAway, "broker_away", "network"},
		{&net.DNSError{Err: "no such host"}, FaultName, "name_unknown", "name server"},
		{os.ErrDeadlineExceeded, FaultSilent, "broker_silent", "firewalls"},
		{fmt.Errorf("%w: %w", errConnectTimeout, io.EOF), FaultLost, "lost", ""},
		{errConnectTimeout, FaultSilent, "broker_silent", ""},
		{errors.New("pingresp not received, disconnecting"), FaultSilent, "broker_silent", ""},
		{x509.UnknownAuthorityError{}, FaultUntrusted, "broker_untrusted", "ca.pem is the CA"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, FaultUntrusted, "broker_untrusted", "clock"},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, FaultMismatch, "name_mismatch", "server_name"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, FaultRefused, "certificate_refused", "station.pem is this station's"},
		{&net.OpError{Op: "read", Err: errors.New("tls: bad certificate")}, FaultLost, "lost", ""},
		{refused(packets.ErrRefusedNotAuthorised), FaultNotAuthorised, "not_authorised", "station.pem names station cs-baishi-caoping"},
		{refused(packets.ErrRefusedIDRejected), FaultNotAuthorised, "not_authorised", ""},
		{refused(packets.ErrRefusedServerUnavailable), FaultLost, "lost", ""},
		{&linkError{fault: FaultOwn, err: io.EOF}, FaultOwn, "own", ""},
		{fmt.Errorf("connection lost: %w", &linkError{fault: FaultOversized, err: io.EOF}), FaultOversized, "oversized", "what publishes on"},
		{io.ErrUnexpectedEOF, FaultLost, "lost", ""},
	} {
		o := Options{Broker: "tls://broker:8883", Address: station(stationID), Files: Files{CA: "ca.pem", Cert: "station.pem", Key: "key.pem"}}
		got := Classify(test.err)
		if got != test.fault || got.String() != test.word {
			t.Errorf("%v: got %s, want %s", test.err, got, test.word)
		}
		if text := explain(got, test.err, &o).Error(); !strings.Contains(text, test.remedy) || !strings.Contains(text, test.err.Error()) {
			t.Errorf("%v: explained as %q, want %q in it", test.err, text, test.remedy)
		}
	}
	if got := Fault(200).String(); got != "fault-200" {
		t.Error(got)
	}
}

// host is a listener that does with each connection what it is told.
func host(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer func() { _ = c.Close() }(); serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// greet answers CONNECT with a CONNACK code, and a SUBACK to the SUBSCRIBE and PUBACK to the PUBLISH after it.
func greet(c net.Conn, code, granted byte) {
	for range 3 {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		var answer packets.ControlPacket
		switch p := p.(type) {
		case *packets.ConnectPacket:
			ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
			ack.ReturnCode = code
			answer = ack
		case *packets.SubscribePacket:
			ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			ack.MessageID, ack.ReturnCodes = p.MessageID, []byte{granted}
			answer = ack
		case *packets.PublishPacket:
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = p.MessageID
			answer = ack
		default: // it says goodbye
			return
		}
		if answer.Write(c) != nil {
			return
		}
	}
}

func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// Whatever listens at the broker's address, the session says what is wrong, once, and goes on trying.
func TestStrangeBrokers(t *testing.T) {
	ca := newAuthority(t, "county")
	files := ca.issue(t, stationID, time.Hour)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, broker string
		want         []string
	}{
		{"nobody", "tcp://" + closed.Addr().String(), []string{"broker_away"}},
		{"no such name", "tls://broker.invalid:8883", []string{"name_unknown"}},
		{"accepts and says nothing", "tls://" + host(t, hold), []string{"broker_silent"}},
		{"says nothing after TCP", "tcp://" + host(t, hold), []string{"broker_silent"}},
		{"speaks no TLS", "tls://" + host(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); hold(c) }), []string{"broker_silent"}},
		{"speaks no MQTT", "tcp://" + host(t, func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n")); hold(c) }), []string{"broker_silent"}},
		{"hangs up", "tcp://" + host(t, func(net.Conn) {}), []string{"lost"}},
		{"does not let us in", "tcp://" + host(t, func(c net.Conn) { greet(c, packets.ErrRefusedNotAuthorised, 1); hold(c) }), []string{"not_authorised"}},
		{"does not let us hear", "tcp://" + host(t, func(c net.Conn) { greet(c, 0, 0x80); hold(c) }), []string{"not_authorised"}},
		{"grants too much", "tcp://" + host(t, func(c net.Conn) {
			greet(c, 0, 1)
			_, _ = c.Write([]byte{0x90, 4, 0, 1, 0, 0})
			hold(c)
		}), []string{"up", "lost"}},
		{"never grants", "tcp://" + host(t, func(c net.Conn) { _, _ = packets.ReadPacket(c); _, _ = c.Write([]byte{0x20, 2, 0, 0}); hold(c) }), []string{"broker_silent"}},
		{"sends a flood", "tcp://" + host(t, func(c net.Conn) { greet(c, 0, 1); _, _ = c.Write([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}); hold(c) }), []string{"up", "oversized"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := options(stationID, "", files)
			o.Broker, o.ConnectTimeout, o.Repeat = test.broker, 300*time.Millisecond, 200*time.Millisecond
			r, stop := run(t, o)
			eventually(t, "a change", func() bool { return len(r.faults()) >= len(test.want) })
			if len(test.want) == 1 {
				eventually(t, "told again", func() bool { return strings.Contains(r.said(), "link still down") })
			}
			stop()
			if got := r.faults()[:len(test.want)]; !slices.Equal(got, test.want) {
				t.Fatalf("got %v, want %v: %s", got, test.want, r.said())
			}
			if len(test.want) == 1 && len(r.faults()) != 1 {
				t.Fatalf("told %d times", len(r.faults()))
			}
		})
	}
}

// What goes wrong on this side of the link ends it and is told as our own.
func TestServeThatFails(t *testing.T) {
	address := host(t, func(c net.Conn) { greet(c, 0, 1); hold(c) })
	o := options(stationID, address, Files{})
	o.Broker = "tcp://" + address
	o.Serve = func(context.Context, *Link) error { return errors.New("bad sector") }
	r, stop := run(t, o)
	r.waitFor("own")
	stop()
	if !strings.Contains(r.lastError(), "bad sector") {
		t.Fatal(r.lastError())
	}
}

// A broker that lets nothing through does not hold Publish for ever, and takes no memory.
func TestPublishIsBounded(t *testing.T) {
	address := host(t, func(c net.Conn) { greet(c, 0, 1); hold(c) })
	o := options(stationID, address, Files{})
	o.Broker, o.AckTimeout = "tcp://"+address, time.Hour
	result := make(chan error, 1)
	o.Serve = func(ctx context.Context, l *Link) error {
		if err := l.Publish(ctx, "wp/v1/x", make([]byte, topic.MaxPayload+1), nil); err == nil {
			t.Error("an oversized message was published")
		}
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for n := 0; ; n++ {
			if err := l.Publish(limited, "wp/v1/x", []byte("x"), nil); err != nil {
				if n < maxUnderWay || n > maxUnderWay+1 {
					t.Errorf("%d messages under way", n)
				}
				result <- err
				<-ctx.Done()
				return nil
			}
		}
	}
	_, stop := run(t, o)
	if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	stop()
}

// A broker that has fallen silent holds up no stop: the station gives each of its tasks five seconds.
func TestASilentBrokerHoldsUpNoStop(t *testing.T) {
	address := host(t, func(c net.Conn) { greet(c, 0, 1); hold(c) })
	o := options(stationID, address, Files{})
	o.Broker, o.AckTimeout, o.KeepAlive = "tcp://"+address, time.Hour, time.Hour
	r, stop := run(t, o)
	r.waitFor("up")
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if !strings.Contains(r.said(), "the goodbye was not acknowledged") {
		t.Error("a goodbye without an answer is not told")
	}
}

// picky answers like greet, and then acknowledges what is at most limit bytes and hangs up on the rest.
func picky(c net.Conn, limit int) {
	greet(c, 0, 1)
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		if p, ok := p.(*packets.PublishPacket); ok {
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			if ack.MessageID = p.MessageID; len(p.Payload) > limit || ack.Write(c) != nil {
				return
			}
		}
	}
}

// A broker that hangs up on large messages has no word for it: at the third time in a row it is told from a bad line.
func TestABrokerThatTakesNoLargeMessages(t *testing.T) {
	const limit = 20 << 10
	serve := func(n *int, sizes ...int) func(context.Context, *Link) error {
		return func(ctx context.Context, l *Link) error {
			size := sizes[min(*n, len(sizes)-1)]
			*n++
			for _, b := range []int{100, size} {
				if err := l.Publish(ctx, "wp/v1/x", make([]byte, b), nil); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return nil
		}
	}
	for _, test := range []struct {
		name  string
		limit int
		sizes []int
		want  string
	}{
		{"too large for it", limit, []int{limit + 1}, "up lost up lost up too_large"},
		{"a smaller one among them", limit, []int{limit + 1, limit + 1, 1000, limit + 1}, "up lost up lost up"},
		{"a bad line", 99, []int{1000}, "up lost up lost up lost up lost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options(stationID, "", Files{})
			o.Broker = "tcp://" + host(t, func(c net.Conn) { picky(c, test.limit) })
			var links int
			o.Serve = serve(&links, test.sizes...)
			r, stop := run(t, o)
			want := strings.Fields(test.want)
			eventually(t, "the changes", func() bool { return len(r.faults()) >= len(want) })
			stop()
			if got := r.faults()[:len(want)]; !slices.Equal(got, want) {
				t.Errorf("changes %v, want %v", got, want)
			}
			if test.name == "too large for it" && !strings.Contains(r.lastError(), "largest packet") {
				t.Errorf("no remedy: %s", r.lastError())
			}
		})
	}
}

// Commands that nobody takes are dropped beyond the queue, and told.
func TestCommandsAreBounded(t *testing.T) {
	o := options(stationID, "127.0.0.1:1", Files{CA: "a", Cert: "b", Key: "c"})
	o.CommandQueue = 3
	var said bytes.Buffer
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.log = textLogger(&said)
	for range 10 {
		s.enqueue([]byte("x"))
	}
	s.tellDropped()
	s.tellDropped()
	if len(s.commands) != 3 || strings.Count(said.String(), "repeats=7") != 1 || strings.Count(said.String(), "\n") != 1 {
		t.Fatalf("%d queued, said %q", len(s.commands), said.String())
	}
}

// A state that no broker would take is told without its lists.
func TestAStateThatIsTooLong(t *testing.T) {
	o := options(stationID, "127.0.0.1:1", Files{CA: "a", Cert: "b", Key: "c"})
	o.State = func() topic.State {
		return topic.State{Name: "草坪村", Zones: make([]topic.ZoneState, 20_000), Full: true}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	st, err := topic.DecodeMessage[topic.State](s.state(true))
	if err != nil || len(st.Zones) != 0 || !st.Full || !st.Online || st.Name != "草坪村" {
		t.Fatalf("%+v, %v", st, err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := options(stationID, "broker:8883", Files{CA: "a", Cert: "b", Key: "c"})
	for want, change := range map[string]func(*Options){
		"no id": func(o *Options) { o.Centre = "" }, "segment": func(o *Options) { o.Address.Station = "" },
		"station \"A\"":      func(o *Options) { o.Address.Station = "A" },
		"want tls://":        func(o *Options) { o.Broker = "broker:8883" },
		"broker \"tls://b\"": func(o *Options) { o.Broker = "tls://b" },
		"missing protocol":   func(o *Options) { o.Broker = ":" },
		"dispatch enrol":     func(o *Options) { o.Files.Key = "" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || want != "segment" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	s, err := New(Options{Centre: "c", Broker: "tcp://b:1", Address: station(stationID)})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.o; o.KeepAlive != 10*time.Second || o.WriteTimeout != 5*time.Second || o.BackoffMax != 20*time.Second || o.BackoffRefused != time.Minute || o.CommandQueue != 64 {
		t.Fatalf("defaults %+v", o)
	}
	s.o.Command(t.Context(), nil)
	s.o.Changed(Change{})
	if st := s.o.State(); st.Online {
		t.Fatalf("%+v", st)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.o.Serve(ctx, nil); err != nil || ctx.Err() == nil {
			t.Fatalf("serving nothing: %v", err)
		}
	})
}

// stream is the bytes of some packets.
func stream(lengths ...int) []byte {
	var b []byte
	for _, n := range lengths {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload = "t", make([]byte, n)
		var w bytes.Buffer
		if err := p.Write(&w); err != nil {
			panic(err)
		}
		b = append(b, w.Bytes()...)
	}
	return b
}

func TestGuard(t *testing.T) {
	for _, test := range []struct {
		name  string
		bytes []byte
		ok    bool
	}{
		{"nothing", nil, true},
		{"a ping", []byte{0xd0, 0}, true},
		{"packets of all lengths of length", stream(0, 1, 127, 128, 16_383, 16_384, 262_144), true},
		{"as large as may be", stream(maxPacket - 3), true},
		{"a byte larger", stream(maxPacket - 2), false},
		{"after a good one", append(stream(10), 0x30, 0xff, 0xff, 0xff, 0x7f), false},
		{"a SUBACK for two", []byte{0x90, 4, 0, 1, 1, 1}, false},
		{"five length bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, false},
	} {
		var g guard
		if err := g.check(test.bytes); (err == nil) != test.ok || err != nil && test.bytes[0] == 0x30 && Classify(err) != FaultOversized {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// However a stream is cut into reads, the guard says the same of it; and what it lets pass never makes a reader of MQTT
// set aside more than maxPacket.
func FuzzGuard(f *testing.F) {
	f.Add(stream(0, 2, 130), 7)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3}, 1)
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, 2)
	f.Add([]byte{0xd0, 0, 0x40, 2, 0, 1, 0x90, 3, 0, 1, 1}, 3)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		var whole, parts guard
		want := whole.check(b)
		step = max(1, min(step, 1000))
		var got error
		for rest := b; len(rest) > 0 && got == nil; rest = rest[min(step, len(rest)):] {
			got = parts.check(rest[:min(step, len(rest))])
		}
		if (want == nil) != (got == nil) || want == nil && whole != parts {
			t.Fatalf("whole: %v %+v; in parts of %d: %v %+v", want, whole, step, got, parts)
		}
		if want != nil {
			return
		}
		for rest := b; len(rest) > 0; {
			n, length, shift := 1, 0, 0
			for n < len(rest) {
				c := rest[n]
				n, length, shift = n+1, length|int(c&0x7f)<<shift, shift+7
				if c&0x80 == 0 {
					break
				}
			}
			if length > maxPacket && rest[n-1]&0x80 == 0 {
				t.Fatalf("a packet of %d bytes passed", length)
			}
			rest = rest[min(len(rest), n+length):]
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	s := stream(500)
	var g guard
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if err := g.check(s); err != nil {
			b.Fatal(err)
		}
	}
}
