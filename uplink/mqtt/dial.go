package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// maxPacket is the largest MQTT packet that is read from a broker, in bytes. Larger ones end the link before memory is
// set aside for them; between topic.MaxPayload and this a command is read and refused by its size.
const maxPacket = 1 << 20

// subackLength is the length of a SUBACK for one topic: message id and one code.
const subackLength = 3

// writeChunk is how many bytes must pass within Options.WriteTimeout: a slow line is no dead line.
const writeChunk = 8 << 10

// security reads the certificate files. nil = the broker is spoken to in clear.
func (s *Session) security() (*tls.Config, error) {
	if s.broker.Scheme != "tls" {
		return nil, nil
	}
	f := s.o.Files
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, &linkError{fault: FaultFiles, err: err}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, &linkError{fault: FaultFiles, err: fmt.Errorf("%s holds no certificate in PEM", f.CA)}
	}
	own, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, &linkError{fault: FaultFiles, err: fmt.Errorf("%s with %s: %w", f.Cert, f.Key, err)}
	}
	name := f.ServerName
	if name == "" {
		name = s.broker.Hostname()
	}
	// A box that has lost its clock wakes up in 1970, when no certificate is good yet. Its own says that some time has passed.
	now := s.o.Now
	if leaf := own.Leaf; leaf != nil && now().Before(leaf.NotBefore) {
		now = func() time.Time { return leaf.NotBefore }
	}
	return &tls.Config{
		Time:       now,
		MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: name,
		// The certificate is offered whatever authorities the broker names, so that a wrong one is refused by name.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	}, nil
}

// dialer opens the connection of one link, and closes it if its context ends before the link is settled.
type dialer struct {
	tls   *tls.Config
	write time.Duration
	meter *meter

	mu   sync.Mutex // guards the field below
	stop func() bool
}

func (d *dialer) dial(ctx context.Context, host string) (net.Conn, error) {
	var plain net.Dialer
	socket, err := plain.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	var c net.Conn = metered{socket, d.meter}
	if d.tls != nil {
		secure := tls.Client(c, d.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		c = secure
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop = context.AfterFunc(ctx, func() { _ = c.Close() })
	return &conn{Conn: c, write: d.write}, nil
}

// settled leaves the connection open beyond the dialer's context.
func (d *dialer) settled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		d.stop()
	}
}

// conn is a connection with a deadline on every write and a bound on every packet read.
type conn struct {
	net.Conn
	write time.Duration
	heard atomic.Bool // the broker has said something
	guard guard       // of the one reader
}

// Write writes in pieces, each with its deadline. When the broker has closed before it said anything, the TLS alert that
// says why may wait to be read.
func (c *conn) Write(b []byte) (written int, err error) {
	for written < len(b) && err == nil {
		if err = c.Conn.SetWriteDeadline(time.Now().Add(c.write)); err == nil {
			var n int
			n, err = c.Conn.Write(b[written:min(len(b), written+writeChunk)])
			written += n
		}
	}
	if err != nil && !c.heard.Load() {
		if alert := c.lastWord(); alert != nil {
			err = alert
		}
	}
	return written, err
}

func (c *conn) lastWord() error {
	if c.Conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)) != nil {
		return nil
	}
	var b [1]byte
	if _, err := c.Conn.Read(b[:]); isAlert(err) {
		return err
	}
	return nil
}

// Read reads, and ends the link before a packet that is too large.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(true)
		if big := c.guard.check(b[:n]); big != nil {
			return 0, big
		}
	}
	return n, err
}

// guard follows the packets in a stream: one byte of type, one to four of length, seven bits each, the lowest first (MQTT
// 3.1.1, 2.2.3). It stops those that would take too much memory, and a SUBACK for more than our one subscription: paho
// panics over it.
type guard struct {
	skip   int  // bytes of the present packet still to come
	typed  bool // kind was read, length was not yet
	kind   byte
	digits int // length bytes read
	length int
}

func (g *guard) check(b []byte) error {
	for len(b) > 0 {
		if g.skip > 0 {
			n := min(g.skip, len(b))
			g.skip, b = g.skip-n, b[n:]
			continue
		}
		c := b[0]
		b = b[1:]
		if !g.typed {
			g.typed, g.kind, g.digits, g.length = true, c>>4, 0, 0
			continue
		}
		if g.digits == 4 {
			return &linkError{fault: FaultOversized, err: errors.New("a packet length of more than four bytes")}
		}
		g.length |= int(c&0x7f) << (7 * g.digits)
		g.digits++
		if c&0x80 != 0 {
			continue
		}
		if g.length > maxPacket {
			return &linkError{fault: FaultOversized, err: fmt.Errorf("a packet of %d bytes, at most %d are read", g.length, maxPacket)}
		}
		if g.kind == packets.Suback && g.length != subackLength {
			return fmt.Errorf("a SUBACK of %d bytes for one subscription: what listens there is no MQTT broker", g.length)
		}
		g.typed, g.skip = false, g.length
	}
	return nil
}
