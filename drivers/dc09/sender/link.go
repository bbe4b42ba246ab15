package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"watchpost/drivers/dc09"
)

// dialWithin bounds how long a connection may take to be made, TLS included.
const dialWithin = 20 * time.Second

// dial connects to the receiver.
func (s *Sender) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	var plain net.Dialer
	if s.o.Transport == TransportTCPLocal {
		return plain.DialContext(ctx, "tcp", s.o.Address)
	}
	secure, err := s.security()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: &plain, Config: secure}).DialContext(ctx, "tcp", s.o.Address)
}

// security reads the certificate files.
func (s *Sender) security() (*tls.Config, error) {
	ca, err := os.ReadFile(s.o.CA)
	if err != nil {
		return nil, fmt.Errorf("reading who may vouch for the receiver: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), Time: s.o.Now}
	if !c.RootCAs.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", s.o.CA)
	}
	if s.o.Cert != "" {
		own, err := tls.LoadX509KeyPair(s.o.Cert, s.o.PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", s.o.Cert, s.o.PrivateKey, err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// maxJunk is how many bytes that are no frame one link may bring.
const maxJunk = 64 << 10

var (
	errHungUp = errors.New("the receiver has closed the connection")
	errJunk   = errors.New("the receiver sends what is no DC-09")
)

// link is one connection, and the goroutine that reads it.
type link struct {
	conn   net.Conn
	frames chan []byte
	gone   chan struct{} // closed when the connection is over; then err says why
	err    error
	stop   chan struct{}
	reader sync.WaitGroup
}

func newLink(conn net.Conn) *link {
	l := &link{conn: conn, frames: make(chan []byte), gone: make(chan struct{}), stop: make(chan struct{})}
	l.reader.Go(func() {
		l.err = l.read()
		close(l.gone)
	})
	return l
}

// read hands over each frame, LF to CR. Closing the connection ends it.
func (l *link) read() error {
	var buf []byte
	chunk := make([]byte, 1024)
	for junk := 0; ; {
		n, err := l.conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			frame, rest, dropped := dc09.Cut(buf)
			junk += dropped
			if frame == nil {
				buf = append(buf[:0], rest...)
				break
			}
			select {
			case l.frames <- append([]byte(nil), frame...):
			case <-l.stop:
				return net.ErrClosed
			}
			buf = rest
		}
		switch {
		case junk > maxJunk:
			return errJunk
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return errHungUp
		case err != nil:
			return fmt.Errorf("hearing the receiver: %w", err)
		}
	}
}

func (l *link) write(b []byte, within time.Duration) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := l.conn.Write(b)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return errHungUp
	}
	if err != nil {
		return fmt.Errorf("sending to the receiver: %w", err)
	}
	return nil
}

// pause waits; an error means that the link or ctx has ended meanwhile. What comes is thrown away: it answers what was answered already.
func (l *link) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-l.frames:
		case <-l.gone:
			return l.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close ends the connection and waits for its reader.
func (l *link) close() {
	close(l.stop)
	_ = l.conn.Close() // nothing is sent any more
	l.reader.Wait()
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
