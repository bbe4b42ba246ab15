package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/tools/dispatch/authority"
	"watchpost/uplink/topic"
)

// bench is a broker with its authority.
type bench struct {
	t    *testing.T
	dir  string
	auth *authority.Authority
	*Broker
	stop func()
}

func begin(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "centre")}
	var err error
	if b.auth, err = authority.Create(b.dir, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.start(change...)
	return b
}

func (b *bench) options() Options {
	b.t.Helper()
	server, err := b.auth.ServerTLS()
	if err != nil {
		b.t.Fatal(err)
	}
	return Options{Dir: b.dir, Listen: "127.0.0.1:0", TLS: server, Log: slog.New(slog.DiscardHandler)}
}

func (b *bench) start(change ...func(*Options)) {
	b.t.Helper()
	o := b.options()
	for _, f := range change {
		f(&o)
	}
	var err error
	if b.Broker, err = Start(o); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	b.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	b.t.Cleanup(b.stop)
}

// client connects as a station, or as the centre where id is "".
func (b *bench) client(id string) (paho.Client, error) {
	b.t.Helper()
	config, err := b.auth.ClientTLS()
	if err != nil {
		b.t.Fatal(err)
	}
	name := "centre"
	if id != "" {
		config, name = b.station(id), id
	}
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tls://" + b.Addr()).SetClientID(name).SetTLSConfig(config).
		SetAutoReconnect(false).SetConnectTimeout(5 * time.Second).SetWriteTimeout(5 * time.Second))
	b.t.Cleanup(func() { c.Disconnect(50) })
	return c, settle(c.Connect())
}

func (b *bench) must(id string) paho.Client {
	b.t.Helper()
	c, err := b.client(id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) station(id string) *tls.Config {
	b.t.Helper()
	dir := filepath.Join(b.t.TempDir(), id)
	if err := b.auth.Enrol(dir, authority.Name{Jurisdiction: "changshan", Station: id}, time.Now()); err != nil {
		b.t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, authority.StationFile), filepath.Join(dir, authority.StationKeyFile))
	if err != nil {
		b.t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, authority.CAFile))
	if err != nil {
		b.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool}
}

func settle(t paho.Token) error {
	if !t.WaitTimeout(10 * time.Second) {
		return os.ErrDeadlineExceeded
	}
	return t.Error()
}

func TestTopicsOfAStation(t *testing.T) {
	b := begin(t)
	b.Admit()
	centre, a := b.must(""), b.must("cs-a")
	heard := make(chan string, 20)
	listen := func(_ paho.Client, m paho.Message) { heard <- m.Topic() }
	if err := settle(centre.Subscribe("wp/#", 1, listen)); err != nil {
		t.Fatal(err)
	}
	own := topic.Address{Jurisdiction: "changshan", Station: "cs-a"}
	for _, denied := range []string{
		"wp/v1/changshan/cs-b/state", "wp/v1/yushan/cs-a/state", own.Cmd(), "wp/v1/changshan/cs-a", "wp/v1/changshan/cs-a/event", "wp/other", "x",
	} {
		if err := settle(a.Publish(denied, 1, false, "x")); err != nil {
			t.Errorf("publishing to %s: %v", denied, err) // the broker acknowledges and drops: that is why there are receipts
		}
	}
	allowed := []string{own.Event(1), own.State(), own.Reply("c1")}
	for _, name := range allowed {
		if err := settle(a.Publish(name, 1, false, "x")); err != nil {
			t.Errorf("publishing to %s: %v", name, err)
		}
	}
	for _, want := range allowed {
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("the centre hears %s, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the centre does not hear %s", want)
		}
	}
	for filter, granted := range map[string]bool{own.Cmd(): true, "wp/v1/changshan/cs-b/cmd": false, "wp/v1/+/+/cmd": false, "#": false, own.State(): false} {
		token := a.Subscribe(filter, 1, listen)
		err := settle(token)
		code := token.(*paho.SubscribeToken).Result()[filter]
		if got := err == nil && code <= 2; got != granted {
			t.Errorf("subscribing %s: granted %t (code %#x, %v), want %t", filter, got, code, err, granted)
		}
	}
}

func TestStationsWaitUntilSomebodyListens(t *testing.T) {
	b := begin(t)
	if _, err := b.client("cs-a"); err == nil {
		t.Error("a station is let in before Admit")
	}
	if _, err := b.client(""); err != nil {
		t.Errorf("the centre is not let in: %v", err)
	}
	b.Admit()
	if _, err := b.client("cs-a"); err != nil {
		t.Errorf("a station is not let in after Admit: %v", err)
	}
}

// A station that comes while the centre starts is not sent away, as it would come back much later.
func TestAStationAtTheDoorIsLetInWhenItOpens(t *testing.T) {
	b := begin(t)
	var group errgroup.Group
	for i := range 20 {
		group.Go(func() error {
			_, err := b.client(fmt.Sprintf("cs-%d", i))
			return err
		})
	}
	knocked := time.NewTimer(doorWait / 5)
	<-knocked.C
	b.Admit()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// A station that died with the broker sends no will, so what it said of itself must not survive either.
func TestARestartForgetsRetainedStates(t *testing.T) {
	b := begin(t)
	b.Admit()
	own := topic.Address{Jurisdiction: "changshan", Station: "cs-a"}
	a := b.must("cs-a")
	if err := settle(a.Publish(own.State(), 1, true, "online")); err != nil {
		t.Fatal(err)
	}
	retained := func() bool {
		t.Helper()
		heard := make(chan paho.Message, 1)
		c := b.must("")
		if err := settle(c.Subscribe("wp/v1/+/+/state", 1, func(_ paho.Client, m paho.Message) { heard <- m })); err != nil {
			t.Fatal(err)
		}
		// What is retained comes before the answer to a later publish.
		if err := settle(c.Publish("wp/v1/changshan/marker/state", 1, false, "x")); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-heard:
			return m.Retained()
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is heard")
			return false
		}
	}
	if !retained() {
		t.Error("a retained state is not kept")
	}
	b.stop()
	b.start()
	b.Admit()
	if retained() {
		t.Error("a state of before the restart is still told")
	}
}

func TestThePayloadLimitOfTheContractFits(t *testing.T) {
	b := begin(t)
	b.Admit()
	own := topic.Address{Jurisdiction: "changshan", Station: "cs-a"}
	centre, a := b.must(""), b.must("cs-a")
	heard := make(chan int, 1)
	if err := settle(centre.Subscribe("wp/#", 1, func(_ paho.Client, m paho.Message) { heard <- len(m.Payload()) })); err != nil {
		t.Fatal(err)
	}
	if err := settle(a.Publish(own.Event(1), 1, false, bytes.Repeat([]byte{1}, topic.MaxPayload))); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-heard:
		if n != topic.MaxPayload {
			t.Errorf("%d bytes", n)
		}
	case <-time.After(10 * time.Second):
		t.Error("a payload of the allowed size does not come through")
	}
}

// A full stream acknowledges and drops: that is why only a receipt counts.
func TestAFullStreamDropsWhatItAcknowledges(t *testing.T) {
	const each, fit, sent = 1000, 3, 10
	b := begin(t, func(o *Options) { o.StreamBytes = (fit + 1) * each })
	b.Admit()
	own := topic.Address{Jurisdiction: "changshan", Station: "cs-a"}
	config, err := b.auth.ClientTLS()
	if err != nil {
		t.Fatal(err)
	}
	// A centre whose session stays while it is away, so that what is meant for it waits.
	o := paho.NewClientOptions().AddBroker("tls://" + b.Addr()).SetClientID("centre").SetTLSConfig(config).SetCleanSession(false).SetAutoReconnect(false)
	heard := make(chan byte, 4*sent)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { heard <- m.Payload()[0] })
	away := paho.NewClient(o)
	if err := settle(away.Connect()); err != nil {
		t.Fatal(err)
	}
	if err := settle(away.Subscribe("wp/v1/+/+/event/+", 1, nil)); err != nil {
		t.Fatal(err)
	}
	away.Disconnect(100)
	a := b.must("cs-a")
	send := func(n byte) {
		t.Helper()
		if err := settle(a.Publish(own.Event(1), 1, false, bytes.Repeat([]byte{n}, each))); err != nil {
			t.Fatalf("message %d is not acknowledged: %v", n, err)
		}
	}
	for n := range byte(sent) {
		send(n)
	}
	back := paho.NewClient(o)
	if err := settle(back.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { back.Disconnect(50) })
	for n := range byte(fit) {
		if got, want := <-heard, sent-fit+n; got != want {
			t.Errorf("message %d was kept, want %d", got, want)
		}
	}
	send(sent) // and now there is room again
	if got := <-heard; got != sent {
		t.Errorf("then message %d came, want %d", got, sent)
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	b := begin(t)
	good := b.options()
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no port":           {func(o *Options) { o.Listen = "127.0.0.1" }, "want HOST:PORT"},
		"port of letters":   {func(o *Options) { o.Listen = "127.0.0.1:mqtt" }, "want 0 to 65535"},
		"port too high":     {func(o *Options) { o.Listen = "127.0.0.1:65536" }, "want 0 to 65535"},
		"port taken":        {func(o *Options) { o.Listen = b.Addr() }, "give another address with --mqtt"},
		"no TLS":            {func(o *Options) { o.TLS = nil }, "client certificates"},
		"TLS for anybody":   {func(o *Options) { o.TLS = &tls.Config{} }, "client certificates"},
		"too small payload": {func(o *Options) { o.MaxPayload = topic.MaxPayload - 1 }, "262144"},
	} {
		o := good
		c.change(&o)
		if _, err := Start(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
}

func TestTheAddressCanBeDialled(t *testing.T) {
	b := begin(t)
	o := b.options()
	o.Dir, o.Listen = t.TempDir(), "0.0.0.0:0"
	all, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	defer all.Run(ctx)
	if host, _, err := net.SplitHostPort(all.Addr()); err != nil || host != "127.0.0.1" {
		t.Errorf("address %s, %v", all.Addr(), err)
	}
}

func TestJournal(t *testing.T) {
	var said bytes.Buffer
	j := &journal{log: slog.New(slog.NewTextHandler(&said, nil))}
	if got := j.last(); got != "it gave no reason" {
		t.Errorf("before a word: %q", got)
	}
	j.Noticef("notice %d", 1)
	j.Debugf("debug")
	j.Tracef("trace")
	j.Errorf("TLS handshake error: %s", "bad certificate")
	j.Warnf("warning %d", 2)
	if got := j.last(); got != "warning 2" {
		t.Errorf("last: %q", got)
	}
	j.Fatalf("end")
	j.hush()
	j.Errorf("while stopping")
	got := said.String()
	for part, want := range map[string]int{"notice": 0, "debug": 0, "trace": 0, "level=WARN": 2, "level=ERROR": 1, "while stopping": 0, "from=broker": 3} {
		if n := strings.Count(got, part); n != want {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", part, n, want, got)
		}
	}
}
