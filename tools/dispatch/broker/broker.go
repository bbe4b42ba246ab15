// Stations reach their centre over MQTT 3.1.1 with TLS on both ends, and the broker between them lets each say and hear only
// its own: who a client is stands in its certificate, not in what it claims.
//
// The broker is an embedded nats-server that listens for MQTT alone. It remembers nothing that matters: a station keeps its
// events until the centre's receipt, and tells its state anew on each connection. So its store is emptied at every start,
// which also forgets retained states whose stations died together with the broker, before a will could be sent.
//
// Stations are let in once Admit says that the centre is listening: what they publish before would be acknowledged and lost,
// and they would notice only when no receipt comes.
//
// Any other MQTT 3.1.1 broker will do; mosquitto.conf and mosquitto.acl beside this file set the same rules there.
package broker

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"watchpost/tools/dispatch/authority"
	"watchpost/uplink/topic"
)

// startLimit is how long the broker may take until it listens.
const startLimit = 20 * time.Second

// streamBytes bounds what waits for a centre that does not take it: the intake hangs up long before.
const streamBytes = 256 << 20

// storeName is the folder inside Options.Dir that the broker may empty.
const storeName = "broker"

// Options say where and how to listen.
type Options struct {
	Dir        string      // the centre's directory; the broker keeps its store in a folder of it
	Listen     string      // host:port; port 0 takes a free one
	TLS        *tls.Config // must demand and verify client certificates
	MaxPayload int32       // bytes; 0 = 1 MiB. At least topic.MaxPayload, or stations are thrown out for what is allowed
	SyncAlways bool        // write each message through to disk
	// StreamBytes is how many bytes of messages the broker keeps until the centre has taken them; 0 = 256 MiB. Beyond it the
	// oldest are dropped, acknowledged as they are: they show as a gap and a missing receipt, and are sent again.
	StreamBytes int64
	Log         *slog.Logger
}

// Broker is a running broker.
type Broker struct {
	ns   *server.Server
	addr string
	door *doorman
	said *journal
}

// Start empties the store, listens and returns when clients can connect.
func Start(o Options) (*Broker, error) {
	door := &doorman{log: o.Log, secret: rand.Text(), open: make(chan struct{})}
	opts, err := options(o, door)
	if err != nil {
		return nil, err
	}
	if err := probe(o.Listen); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(opts.StoreDir); err != nil {
		return nil, fmt.Errorf("emptying the broker's store: %w", err)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("setting up the broker: %w", err)
	}
	said := &journal{log: o.Log}
	ns.SetLogger(said, false, false)
	ns.Start()
	if !ns.ReadyForConnections(startLimit) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("the broker on %s did not start within %s: %s", o.Listen, startLimit, said.last())
	}
	if err := bound(ns, door.secret, o.StreamBytes); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, err
	}
	host := opts.MQTT.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // where it can be reached from here
	}
	return &Broker{ns: ns, addr: net.JoinHostPort(host, strconv.Itoa(opts.MQTT.Port)), door: door, said: said}, nil
}

// Addr is host:port that clients connect to.
func (b *Broker) Addr() string { return b.addr }

// Admit lets stations in; until then only the centre itself can connect. It may be called once.
func (b *Broker) Admit() { close(b.door.open) }

// Run keeps the broker until ctx ends, then stops it in good order. With thousands of connections that takes seconds.
func (b *Broker) Run(ctx context.Context) error {
	<-ctx.Done()
	b.said.hush()
	b.ns.Shutdown()
	b.ns.WaitForShutdown()
	return nil
}

func options(o Options, door *doorman) (*server.Options, error) {
	host, portText, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("broker's listen address %q: %w; want HOST:PORT", o.Listen, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return nil, fmt.Errorf("broker's listen address %q: port %q: want 0 to 65535", o.Listen, portText)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if o.TLS == nil || o.TLS.ClientAuth != tls.RequireAndVerifyClientCert {
		return nil, errors.New("the broker does not listen without verified client certificates")
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = server.MAX_PAYLOAD_SIZE
	}
	if o.MaxPayload < topic.MaxPayload {
		return nil, fmt.Errorf("max payload %d: stations may send %d bytes; give at least that", o.MaxPayload, topic.MaxPayload)
	}
	return &server.Options{
		ServerName:                 "watchpost-centre",
		DontListen:                 true, // no NATS port: MQTT is the only way in
		NoSigs:                     true,
		JetStream:                  true,                                        // MQTT sessions want it
		JetStreamLimits:            server.JSLimitOpts{DefaultMaxConsumers: -1}, // each station's subscription is one; 1000 by default
		StoreDir:                   filepath.Join(o.Dir, storeName),
		SyncAlways:                 o.SyncAlways,
		MaxPayload:                 o.MaxPayload,
		CustomClientAuthentication: door,
		MQTT: server.MQTTOpts{
			Host:                      host,
			Port:                      port,
			TLSConfig:                 o.TLS,
			TLSTimeout:                20,
			JSAPITimeout:              20 * time.Second, // a station that waits in a crowd is not to be sent back to its end
			MaxAckPending:             2000,
			ConsumerMemoryStorage:     true,
			ConsumerInactiveThreshold: time.Hour,
		},
	}, nil
}

// probe finds out whether the address can be had: the embedded server would tell it only to its log, and wait.
func probe(listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening for stations: %w; give another address with --mqtt, or end the program that has this one", err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("listening for stations: %w", err)
	}
	return nil
}

// bound makes the stream in which the broker keeps messages, before the first client would have it made without a bound.
func bound(ns *server.Server, secret string, bytes int64) (err error) {
	if bytes == 0 {
		bytes = streamBytes
	}
	nc, err := nats.Connect("", nats.InProcessServer(ns), nats.UserInfo(housekeeper, secret), nats.Timeout(startLimit))
	if err != nil {
		return fmt.Errorf("bounding the broker's stream: %w", err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		return fmt.Errorf("bounding the broker's stream: %w", err)
	}
	_, err = js.AddStream(&nats.StreamConfig{
		Name: "$MQTT_msgs", Subjects: []string{"$MQTT.msgs.>"}, Storage: nats.FileStorage, Retention: nats.InterestPolicy, Replicas: 1,
		MaxBytes: bytes, Discard: nats.DiscardOld, // to refuse the new one, nats-server closes the station's connection
	})
	if err != nil {
		return fmt.Errorf("bounding the broker's stream to %d bytes: %w", bytes, err)
	}
	return nil
}

// housekeeper is the name under which the broker's own program connects to it, without a socket.
const housekeeper = "housekeeper"

// doorman tells the broker who a client is and what it may do.
type doorman struct {
	log    *slog.Logger
	secret string        // of the housekeeper, new at each start
	open   chan struct{} // closed: stations are let in
}

// doorWait is how long a station that comes while the centre starts stands at the door; one that is sent away comes back much later.
const doorWait = 2 * time.Second

// admits says whether stations are let in, which may be about to begin.
func (d *doorman) admits() bool {
	wait := time.NewTimer(doorWait)
	defer wait.Stop()
	select {
	case <-d.open:
		return true
	case <-wait.C:
		return false
	}
}

var _ server.Authentication = (*doorman)(nil)

// Check admits a client whose certificate names the centre or a station, with the topics that belong to it.
func (d *doorman) Check(c server.ClientAuthentication) bool {
	state := c.GetTLSConnectionState()
	if state == nil && c.GetOpts().Username == housekeeper && subtle.ConstantTimeCompare([]byte(c.GetOpts().Password), []byte(d.secret)) == 1 {
		c.RegisterUser(&server.User{Username: housekeeper})
		return true
	}
	if state == nil || len(state.VerifiedChains) == 0 {
		return false
	}
	name := authority.NameOf(state.VerifiedChains[0][0])
	if name == (authority.Name{}) {
		d.log.Warn("client refused: its certificate names no station", "subject", state.VerifiedChains[0][0].Subject.String(), "remote", c.RemoteAddress())
		return false
	}
	if name.Station != authority.CentreName && !d.admits() {
		return false
	}
	user := &server.User{Username: name.Station}
	if name.Station != authority.CentreName {
		user.Permissions = permissions(name)
	}
	c.RegisterUser(user)
	return true
}

// permissions are a station's: it tells its own events, state and replies, and hears its own commands. In the broker's
// notation a slash is a dot.
func permissions(n authority.Name) *server.Permissions {
	own := "wp.v1." + n.Jurisdiction + "." + n.Station + "."
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{own + "event.*", own + "state", own + "reply.*"}},
		Subscribe: &server.SubjectPermission{Allow: []string{own + "cmd"}},
	}
}
