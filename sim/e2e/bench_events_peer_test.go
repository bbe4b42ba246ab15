package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// The peer is Debian's mosquitto at the edge, bridging QoS 1 to a central mosquitto: the nearest thing off the shelf.

// bridgeVariant is what one way of setting up the edge adds to its configuration.
type bridgeVariant struct{ name, options string }

// The bridge as it comes, as one would set it up, and as safe as it goes while it still works.
var (
	bridgeDefault = bridgeVariant{"default", ""}
	bridge5s      = bridgeVariant{"5s", "autosave_interval 5\nmax_queued_messages 0\nmax_inflight_messages 1000\n"}
	bridge200     = bridgeVariant{"changes-200", "autosave_on_changes true\nautosave_interval 200\nmax_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 1000\n"}
	bridgeSteady  = bridgeVariant{"steady", "autosave_interval 1800\nmax_queued_messages 0\nmax_inflight_messages 1000\n"}
)

// plainMosquitto starts a mosquitto on a free port, with a configuration of its own, and answers its address.
func plainMosquitto(t testing.TB, address, options string) *process {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nuser root\n%s", port, options)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "/usr/sbin/mosquitto", "-c", file)
	eventually(t, "mosquitto", func() error {
		if !p.running() {
			t.Fatalf("mosquitto ended:\n%s", p.tail(20))
		}
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	return p
}

// newCentral starts the central broker, the same for all contenders, and answers its address.
func newCentral(t testing.TB, options ...string) (address string, p *process) {
	t.Helper()
	address = freeAddress(t)
	return address, plainMosquitto(t, address, "persistence false\nmax_queued_messages 0\nmax_inflight_messages 1000\nlog_dest none\n"+strings.Join(options, "\n")+"\n")
}

// bridge is the edge broker.
type bridge struct {
	*process
	t       testing.TB
	address string
	options string
}

// newBridge starts an edge broker that bridges to a central one.
func newBridge(t testing.TB, v bridgeVariant, central string) *bridge {
	t.Helper()
	b := &bridge{t: t, address: freeAddress(t)}
	b.options = fmt.Sprintf("persistence true\npersistence_location %s/\nlog_dest stderr\n%s"+
		"connection up\naddress %s\ntopic wp/# out 1\ncleansession false\nremote_clientid edge042\ntry_private false\nrestart_timeout 1\n",
		t.TempDir(), v.options, central)
	b.start()
	return b
}

func (b *bridge) start() { b.t.Helper(); b.process = plainMosquitto(b.t, b.address, b.options) }

// benchClient connects to a plain broker and comes back by itself.
func benchClient(t testing.TB, id, address string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id).SetCleanSession(true).
		SetKeepAlive(20 * time.Second).SetAutoReconnect(true).SetConnectRetry(true).SetConnectRetryInterval(200 * time.Millisecond).
		SetMaxReconnectInterval(500 * time.Millisecond))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("%s cannot connect to %s: %v", id, address, token.Error())
	}
	t.Cleanup(func() { c.Disconnect(50) })
	return c
}

// publisher gives a broker numbered messages of eventBytes at QoS 1, window of them under way.
type publisher struct {
	client paho.Client
	window int
	rate   float64 // messages a second, an outage is caught up; 0 = as fast as they are acknowledged
	acked  func(n int)
}

// publish sends n messages and returns when each is acknowledged or has failed.
func (p publisher) publish(ctx context.Context, n int) error {
	type sent struct {
		n     int
		token paho.Token
	}
	flight := make(chan sent, p.window)
	var failed error
	var settling sync.WaitGroup
	settling.Go(func() {
		for s := range flight {
			if !s.token.WaitTimeout(time.Minute) {
				failed = fmt.Errorf("message %d: neither acknowledged nor failed", s.n)
			} else if s.token.Error() == nil {
				p.acked(s.n)
			}
		}
	})
	begun := time.Now()
	payload := make([]byte, eventBytes)
	for i := 1; i <= n && ctx.Err() == nil; i++ {
		if p.rate > 0 {
			if early := time.Until(begun.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))); early > time.Millisecond {
				settle(early)
			}
		}
		binary.BigEndian.PutUint64(payload, uint64(i))
		flight <- sent{i, p.client.Publish("wp/p1/st042/ev", 1, false, append([]byte(nil), payload...))}
	}
	close(flight)
	settling.Wait()
	return failed
}

// listener is a QoS 1 subscriber at the central broker that counts what the bridge delivers.
type listener struct {
	mu          sync.Mutex // guards the fields below
	marks       marks
	first, last time.Time
}

func newListener(t testing.TB, central string) *listener {
	t.Helper()
	l := &listener{}
	c := benchClient(t, "listener", central)
	token := c.Subscribe("wp/#", 1, func(_ paho.Client, m paho.Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.last = time.Now(); l.first.IsZero() {
			l.first = l.last
		}
		l.marks.add(int(binary.BigEndian.Uint64(m.Payload())))
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("subscribing: %v", token.Error())
	}
	return l
}

func (l *listener) count() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.marks.seen) }

// settled waits until n numbers have arrived, or nothing more has for as long as quiet.
func (l *listener) settled(t testing.TB, n int, quiet time.Duration) {
	t.Helper()
	begun := time.Now()
	within(t, 2*time.Minute, "the bridge's messages", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		since := begun
		if l.last.After(begun) {
			since = l.last
		}
		if len(l.marks.seen) < n && time.Since(since) < quiet {
			return fmt.Errorf("%d of %d", len(l.marks.seen), n)
		}
		return nil
	})
}

const (
	killEvents = 20_000
	killRate   = 4000 // events a second
	// bridgeUp is how long the edge has been up when its events begin: where in its 5 s of autosave the kill then falls is no
	// matter of chance, and about the middle.
	bridgeUp = 3500 * time.Millisecond
)

// killBridge gives the bridge its events while the central broker is away, kills it in the middle, and answers what it had
// acknowledged and what became of that.
func killBridge(t *testing.T, v bridgeVariant) (lost, again, outOfOrder int) {
	central, _ := newCentral(t)
	gate := newRelay(t, central, nil)
	hears := newListener(t, central)
	edge := newBridge(t, v, gate.addr)
	settle(bridgeUp)
	var mu sync.Mutex
	var acked []int
	killed := make(chan struct{})
	p := publisher{client: benchClient(t, "publisher", edge.address), window: 64, rate: killRate, acked: func(n int) {
		mu.Lock()
		defer mu.Unlock()
		if acked = append(acked, n); len(acked) == killEvents/2 {
			close(killed)
		}
	}}
	var publishing sync.WaitGroup
	var failed error
	publishing.Go(func() { failed = p.publish(t.Context(), killEvents) })
	select {
	case <-killed:
	case <-time.After(time.Minute):
		t.Fatal("the bridge takes no messages")
	}
	edge.kill()
	edge.start()
	publishing.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
	gate.open.Store(true)
	hears.settled(t, killEvents, 8*time.Second)
	hears.mu.Lock()
	defer hears.mu.Unlock()
	t.Logf("bridge %s: %d acknowledged, %d arrived", v.name, len(acked), len(hears.marks.seen))
	return hears.marks.missing(acked), hears.marks.again, hears.marks.outOfOrder
}

// TestBenchEventsKill kills the edge once while it takes events and its centre is away. What counts is what its source was
// told is safe: the broker's PUBACK, the station's acknowledgement of a panel's frame.
func TestBenchEventsKill(t *testing.T) {
	for _, v := range []bridgeVariant{bridgeDefault, bridge5s, bridge200} {
		t.Run(v.name, func(t *testing.T) {
			lost, again, outOfOrder := killBridge(t, v)
			name := "events-kill/bridge-" + strings.ToLower(v.name)
			fact(name+"-lost", float64(lost), fmt.Sprintf("of_%d", killEvents))
			fact(name+"-duplicated", float64(again), "events")
			fact(name+"-out-of-order", float64(outOfOrder), "events")
		})
	}
	t.Run("ours", killOurs)
}
