package mqtt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"watchpost/uplink/topic"
)

const (
	stationID = "cs-baishi-caoping"
	muteID    = "cs-mute" // known to the broker, and not allowed to tell events
	centreID  = "centre"
)

func station(id string) topic.Address { return topic.Address{Jurisdiction: "changshan", Station: id} }

// authority is a CA of a test, and the folder of its files.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	a := &authority{dir: tb.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	a.file = writePEM(tb, filepath.Join(a.dir, "ca.pem"), "CERTIFICATE", der)
	return a
}

func writePEM(tb testing.TB, path, kind string, der []byte) string {
	tb.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// issue makes a certificate for a name, good for both sides, that ends after life.
func (a *authority) issue(tb testing.TB, name string, life time.Duration) Files {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	base := filepath.Join(a.dir, fmt.Sprintf("%s-%d", name, template.SerialNumber))
	return Files{
		CA: a.file, Cert: writePEM(tb, base+".pem", "CERTIFICATE", der), Key: writePEM(tb, base+"-key.pem", "EC PRIVATE KEY", secret),
	}
}

// config is what a TLS client or server with these files uses.
func (f Files) config(tb testing.TB) *tls.Config {
	tb.Helper()
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		tb.Fatal(err)
	}
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "localhost",
	}
}

// broker is a real MQTT broker that a test may kill and start again at the same address.
type broker interface {
	start(tb testing.TB)
	kill(tb testing.TB)
	address() string // host:port
}

// brokers are the ones that a station must work with.
func brokers() map[string]func(testing.TB, *authority) broker {
	return map[string]func(testing.TB, *authority) broker{"nats": newNATS, "mosquitto": newMosquitto}
}

// natsBroker is an embedded nats-server as the centre runs it.
type natsBroker struct {
	tls    *tls.Config
	dir    string
	port   int
	server *server.Server
}

func newNATS(tb testing.TB, a *authority) broker {
	return &natsBroker{tls: a.issue(tb, "broker", time.Hour).config(tb), dir: tb.TempDir(), port: -1}
}

// Check is nats-server's hook for the permissions of a client, by the common name of its certificate.
func (b *natsBroker) Check(c server.ClientAuthentication) bool {
	state := c.GetTLSConnectionState()
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	name := state.PeerCertificates[0].Subject.CommonName
	own := "wp.v1.*." + name + "."
	may := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{own + "event.*", own + "state", own + "reply.*"}},
		Subscribe: &server.SubjectPermission{Allow: []string{own + "cmd"}},
	}
	switch name {
	case centreID:
		may = nil
	case muteID:
		may.Publish.Allow = may.Publish.Allow[1:]
	case "stranger":
		return false
	}
	c.RegisterUser(&server.User{Username: name, Permissions: may})
	return true
}

func (b *natsBroker) start(tb testing.TB) {
	tb.Helper()
	o := &server.Options{
		ServerName: "test", Host: "127.0.0.1", DontListen: true, JetStream: true, StoreDir: b.dir, NoSigs: true, NoLog: true,
		MQTT:                       server.MQTTOpts{Host: "127.0.0.1", Port: b.port, TLSConfig: b.tls, TLSTimeout: 2},
		CustomClientAuthentication: b,
	}
	s, err := server.NewServer(o)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	b.server = s
	if !s.ReadyForConnections(10 * time.Second) {
		tb.Fatal("nats-server does not come up")
	}
	b.port = o.MQTT.Port
}

func (b *natsBroker) kill(testing.TB) {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *natsBroker) address() string { return fmt.Sprintf("127.0.0.1:%d", b.port) }

// mosquittoBroker is Debian's mosquitto in a process of its own, with the permissions that we ship.
type mosquittoBroker struct {
	program, config string
	port            int
	process         *exec.Cmd
	said            bytes.Buffer
	wg              sync.WaitGroup
}

func newMosquitto(tb testing.TB, a *authority) broker {
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			if os.Getenv("CI") == "true" {
				tb.Fatal("mosquitto is not installed: make deps installs it")
			}
			tb.Skip("mosquitto is not installed: make deps installs it")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	b := &mosquittoBroker{program: program, port: l.Addr().(*net.TCPAddr).Port}
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	dir, own := tb.TempDir(), a.issue(tb, "broker", time.Hour)
	b.config = filepath.Join(dir, "mosquitto.conf")
	shipped, err := os.ReadFile(filepath.FromSlash("../../tools/dispatch/broker/mosquitto.acl"))
	if err != nil {
		tb.Fatal(err)
	}
	acl := string(shipped) + "\nuser " + muteID + "\ntopic deny wp/v1/+/" + muteID + "/event/+\n"
	text := fmt.Sprintf("user root\nlistener %d 127.0.0.1\ncafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n"+
		"use_identity_as_username true\nacl_file %s\npersistence false\nmax_queued_messages 10000\n",
		b.port, a.file, own.Cert, own.Key, filepath.Join(dir, "acl"))
	for path, content := range map[string]string{b.config: text, filepath.Join(dir, "acl"): acl} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

func (b *mosquittoBroker) start(tb testing.TB) {
	tb.Helper()
	b.process = exec.Command(b.program, "-c", b.config)
	b.process.Stdout, b.process.Stderr = &b.said, &b.said
	if err := b.process.Start(); err != nil {
		tb.Fatal(err)
	}
	process := b.process
	b.wg.Go(func() { _ = process.Wait() }) // it is killed, so it ends with an error
	eventually(tb, "mosquitto listens", func() bool {
		c, err := net.DialTimeout("tcp", b.address(), time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

func (b *mosquittoBroker) kill(tb testing.TB) {
	if err := b.process.Process.Kill(); err != nil {
		tb.Error(err)
	}
	b.wg.Wait()
	if tb.Failed() {
		tb.Logf("mosquitto said:\n%s", b.said.String())
	}
}

func (b *mosquittoBroker) address() string { return fmt.Sprintf("127.0.0.1:%d", b.port) }

// eventually waits for a condition, at most twenty seconds.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("%s: not within 20 s", what)
		}
	}
}

// wire is a TCP proxy that can fall silent without closing anything, or cut what it carries.
type wire struct {
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	silent chan struct{}
	open   []net.Conn
}

func newWire(tb testing.TB, to string) *wire {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{listener: l, to: to, silent: make(chan struct{})}
	w.wg.Go(w.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		w.cut()
		w.wg.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		w.open = append(w.open, near, far)
		silent := w.silent
		w.mu.Unlock()
		w.wg.Go(func() { carry(near, far, silent) })
		w.wg.Go(func() { carry(far, near, silent) })
	}
}

// carry copies until silent is closed; then it still reads, and passes on nothing, not even an end.
func carry(from, to net.Conn, silent <-chan struct{}) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		select {
		case <-silent:
			if err != nil {
				return
			}
			continue
		default:
		}
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			_ = from.Close()
			return
		}
	}
}

// hush makes the present connections half-open; new ones work.
func (w *wire) hush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.silent)
	w.silent = make(chan struct{})
}

// cut closes the present connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
}

func (w *wire) address() string { return w.listener.Addr().String() }
