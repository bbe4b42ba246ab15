package linesock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"watchpost/drivers/bus"
)

// errSilent is what next returns when the deadline passes without a whole line.
var errSilent = errors.New("no word")

// wire is one connection to a box, cut into lines. Its owner calls hangUp.
type wire struct {
	conn    net.Conn
	buf     [2 * bus.MaxLine]byte
	from, n int // unread bytes are buf[from:n]
	unhook  func() bool
}

// dial connects and takes the greeting by the deadline. The end of ctx closes the connection, and so ends any wait on it.
func (b *Box) dial(ctx context.Context, deadline time.Time) (*wire, error) {
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "unix", b.o.Socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to I/O box %s (is its service running?): %w", b.o.Socket, err)
	}
	w := &wire{conn: conn}
	w.unhook = context.AfterFunc(ctx, func() { _ = conn.Close() })
	m, err := w.next(deadline)
	if err == nil && m.kind != kindHello {
		err = fmt.Errorf("%w: the first line is no greeting of version 1", errProtocol)
	}
	if err != nil {
		w.hangUp()
		return nil, fmt.Errorf("greeting of I/O box %s: %w", b.o.Socket, err)
	}
	return w, nil
}

func (w *wire) hangUp() {
	w.unhook()
	_ = w.conn.Close()
}

// next waits for one line until the deadline; after errSilent it can be called again and nothing is lost.
func (w *wire) next(deadline time.Time) (message, error) {
	for {
		if i := bytes.IndexByte(w.buf[w.from:w.n], '\n'); i >= 0 {
			line := w.buf[w.from : w.from+i]
			w.from += i + 1
			return parse(line)
		}
		if w.n-w.from >= bus.MaxLine {
			return message{}, fmt.Errorf("%w: longer than %d bytes", errProtocol, bus.MaxLine)
		}
		copy(w.buf[:], w.buf[w.from:w.n])
		w.from, w.n = 0, w.n-w.from
		if err := w.conn.SetReadDeadline(deadline); err != nil {
			return message{}, err
		}
		n, err := w.conn.Read(w.buf[w.n:])
		w.n += n
		if n == 0 && err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return message{}, errSilent
			}
			return message{}, err
		}
	}
}

// send writes one line.
func (w *wire) send(deadline time.Time, line string) error {
	if err := w.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := w.conn.Write([]byte(line + "\n"))
	return err
}
