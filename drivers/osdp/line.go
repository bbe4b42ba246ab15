package osdp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"watchpost/drivers/bus"
)

// Of a line.
const (
	characterBits = 10                    // start, 8 data, stop (§5.1)
	idle          = 2                     // characters of rest before a command (§5.7)
	slack         = 50 * time.Millisecond // what a kernel and a USB adapter may hold bytes back
	maxBabble     = 4 * MaxPacket         // bytes nobody asked for before a command is given up
)

// What a line does instead of carrying answers.
var (
	errBabble = fmt.Errorf("%w: somebody talks without being asked", bus.ErrStuck)
	errLine   = errors.New("the line cannot be used")
)

// line is a serial line with readers. It belongs to one goroutine.
type line struct {
	open    func() (bus.Serial, error)
	baud    int
	timeout time.Duration

	port bus.Serial // nil while it is closed
	in   [2 * MaxPacket]byte
}

func (l *line) close() {
	if l.port != nil {
		_ = l.port.Close() // nothing waits for a line that is let go
		l.port = nil
	}
}

func (l *line) duration(characters int) time.Duration {
	return time.Duration(characters) * characterBits * time.Second / time.Duration(l.baud)
}

// ask sends a command and waits for the reader's answer to it. The answer shares the line's memory until the next command. It
// fails with errLine if the line itself does, and with bus.ErrNoAnswer, errBabble, [ErrPacket] or [ErrCheck].
func (l *line) ask(ctx context.Context, command []byte, address, sequence byte) (Packet, error) {
	if err := ctx.Err(); err != nil {
		return Packet{}, err
	}
	if l.port == nil {
		port, err := l.open()
		if err != nil {
			return Packet{}, fmt.Errorf("%w: %w", errLine, err)
		}
		l.port = port
	}
	p, err := l.exchange(command, address, sequence)
	switch {
	case err == nil, errors.Is(err, ErrPacket), errors.Is(err, ErrCheck), errors.Is(err, errBabble):
		return p, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Packet{}, fmt.Errorf("%w within %s", bus.ErrNoAnswer, l.timeout)
	}
	l.close()
	return Packet{}, fmt.Errorf("%w: %w", errLine, err)
}

func (l *line) exchange(command []byte, address, sequence byte) (Packet, error) {
	if err := l.quiet(); err != nil {
		return Packet{}, err
	}
	sent := l.duration(len(command))
	if err := l.port.SetWriteDeadline(time.Now().Add(sent + l.timeout + slack)); err != nil {
		return Packet{}, err
	}
	if _, err := l.port.Write(command); err != nil {
		return Packet{}, err
	}
	return l.answer(address, sequence, time.Now().Add(sent+l.timeout))
}

// quiet throws away what nobody asked for, such as an answer that came too late.
func (l *line) quiet() error {
	for thrown := 0; thrown <= maxBabble; {
		if err := l.port.SetReadDeadline(time.Now().Add(max(l.duration(idle), time.Millisecond))); err != nil {
			return err
		}
		n, err := l.port.Read(l.in[:])
		thrown += n
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
	}
	return errBabble
}

// answer reads until there is an answer of that reader to that command. What is said to or by others is passed over: the echo of
// our own command, and an answer that comes late. What has begun in time may take as long as its characters do, once: nobody holds
// the line by talking on.
func (l *line) answer(address, sequence byte, by time.Time) (Packet, error) {
	have, begun := 0, false
	for {
		if err := l.port.SetReadDeadline(by); err != nil {
			return Packet{}, err
		}
		n, err := l.port.Read(l.in[have:])
		have += n
		for have > 0 {
			p, used, wrong := cut(l.in[:have])
			if wrong != nil {
				return Packet{}, wrong
			}
			if used == 0 {
				break
			}
			if p.Reply && p.Address == address && (p.Sequence == sequence || Reply(p.Code) == ReplyBusy && p.Sequence == 0) {
				return p, nil
			}
			have = copy(l.in[:], l.in[used:have])
		}
		if !begun && bytes.IndexByte(l.in[:have], som) >= 0 {
			begun = true
			if end := time.Now().Add(l.duration(MaxPacket) + slack); end.After(by) {
				by = end
			}
		}
		switch {
		case err != nil:
			return Packet{}, err
		case have == len(l.in):
			return Packet{}, errBabble
		case !time.Now().Before(by): // a line that always has something to read never meets its deadline
			return Packet{}, os.ErrDeadlineExceeded
		}
	}
}

// cut finds the first packet in what was read so far, and says how many bytes it and the noise before it are; 0 if it is not
// there yet. It fails as [Parse] does.
func cut(b []byte) (Packet, int, error) {
	start := bytes.IndexByte(b, som)
	if start < 0 {
		return Packet{}, 0, nil
	}
	n, err := size(b[start:])
	if err != nil || n == 0 || len(b)-start < n {
		return Packet{}, 0, err
	}
	p, err := Parse(b[start : start+n])
	return p, start + n, err
}
