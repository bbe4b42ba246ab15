package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// TCP is a slave, or a gateway with slaves behind it, in the network.
type TCP struct {
	// Name is the bus in errors and logs, such as "plc".
	Name string
	// Address is HOST:PORT; the port of Modbus is 502.
	Address string
	// Timeout is how long connecting may take, and then each answer; 1 s by default.
	Timeout time.Duration
}

const defaultTCPTimeout = time.Second

// NewTCP is a client for what is behind one address. A connection on which an answer was late, damaged or to another
// question is dropped: what still comes on it would be taken for the answer to a later one.
func NewTCP(o TCP) (*Client, error) {
	o.Timeout = cmp.Or(o.Timeout, defaultTCPTimeout)
	if _, _, err := net.SplitHostPort(o.Address); err != nil || o.Timeout < 0 {
		return nil, fmt.Errorf("modbus address %q: want HOST:PORT, such as 192.0.2.7:502, and a timeout that is not negative", o.Address)
	}
	return newClient("modbus "+o.Name+" at "+o.Address, func(ctx context.Context) (wire, error) {
		d := net.Dialer{Timeout: o.Timeout}
		conn, err := d.DialContext(ctx, "tcp", o.Address)
		if err != nil {
			return nil, fmt.Errorf("connecting: %w", err)
		}
		return &tcp{conn: conn, timeout: o.Timeout}, nil
	}), nil
}

// tcp is one connection.
type tcp struct {
	conn        net.Conn
	timeout     time.Duration
	transaction uint16
	buf         [mbapSize + MaxPDU]byte
}

func (t *tcp) close() { _ = t.conn.Close() }

func (t *tcp) ask(ctx context.Context, unit byte, r Request, pdu []byte) (Answer, bool, error) {
	if err := t.conn.SetDeadline(time.Now().Add(t.timeout)); err != nil {
		return Answer{}, true, fmt.Errorf("setting a deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	t.transaction++
	answer, err := t.exchange(unit, pdu)
	switch {
	case ctx.Err() != nil:
		return Answer{}, true, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Answer{}, true, silent(t.timeout)
	case err != nil:
		return Answer{}, true, err
	}
	a, err := r.Answer(answer)
	var refused Exception
	return a, err != nil && !errors.As(err, &refused), err
}

// exchange sends a PDU and reads the one that answers it.
func (t *tcp) exchange(unit byte, pdu []byte) ([]byte, error) {
	if _, err := t.conn.Write(appendTCP(t.buf[:0], t.transaction, unit, pdu)); err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	var header [mbapSize]byte
	if _, err := io.ReadFull(t.conn, header[:]); err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	n, err := parseMBAP(header, t.transaction, unit)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(t.conn, t.buf[:n]); err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return t.buf[:n], nil
}
