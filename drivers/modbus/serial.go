package modbus

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"watchpost/drivers/bus"
)

// RTU is a serial line with slaves.
type RTU struct {
	// Name is the line in errors and logs, such as "rs485".
	Name string
	// Open opens the line with its baud rate and parity set. It is called again after the line has failed, as when a
	// USB adapter was pulled.
	Open func() (bus.Serial, error)
	// Baud is the rate of the line, 9600 by default; pauses and timeouts follow from it.
	Baud int
	// Timeout is how long a slave may think before it answers, 200 ms by default. What the characters take comes on top.
	Timeout time.Duration
}

// Of a serial line.
const (
	defaultBaud    = 9600
	defaultTimeout = 200 * time.Millisecond
	// slack is what a kernel and a USB adapter may hold bytes back (FTDI's latency timer is 16 ms).
	slack = 50 * time.Millisecond
	// maxBabble is how many bytes nobody asked for are thrown away before a question is given up.
	maxBabble = 4 * maxRTU
)

// NewRTU is a client for the slaves of a serial line.
func NewRTU(o RTU) (*Client, error) {
	o.Baud, o.Timeout = cmp.Or(o.Baud, defaultBaud), cmp.Or(o.Timeout, defaultTimeout)
	if o.Open == nil || o.Baud < 300 || o.Timeout < 0 {
		return nil, fmt.Errorf("modbus line %s: want a way to open it, 300 baud or more and a timeout that is not negative", o.Name)
	}
	return newClient("modbus line "+o.Name, func(context.Context) (wire, error) {
		port, err := o.Open()
		if err != nil {
			return nil, fmt.Errorf("opening the line: %w", err)
		}
		return &serial{port: port, o: o}, nil
	}), nil
}

// echo is what is known of a half-duplex adapter: some hear what they send.
type echo int

const (
	echoUnknown echo = iota
	echoHeard
	echoNone
)

// serial is one open line.
type serial struct {
	port bus.Serial
	o    RTU
	echo echo
	in   [maxRTU]byte
	out  [maxRTU]byte
}

func (s *serial) close() { _ = s.port.Close() }

// ask sends one frame after a silence and reads the answer. A line is closed only when it cannot be used at all.
func (s *serial) ask(ctx context.Context, unit byte, r Request, pdu []byte) (Answer, bool, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, false, err
	}
	if unit < MinUnit || unit > MaxUnit {
		return Answer{}, false, fmt.Errorf("a unit on a serial line is %d to %d", MinUnit, MaxUnit)
	}
	if err := s.quiet(ctx); err != nil {
		return Answer{}, !errors.Is(err, errBabble) && ctx.Err() == nil, err
	}
	frame := appendRTU(s.out[:0], unit, pdu)
	sent := duration(s.o.Baud, len(frame))
	if err := s.port.SetWriteDeadline(time.Now().Add(sent + s.o.Timeout + slack)); err != nil {
		return Answer{}, true, fmt.Errorf("setting a deadline: %w", err)
	}
	if _, err := s.port.Write(frame); err != nil {
		return Answer{}, true, fmt.Errorf("sending: %w", err)
	}
	wait := sent + s.o.Timeout + slack + duration(s.o.Baud, rtuExtra+r.answerSize())
	deadline := time.Now().Add(wait)
	if err := s.port.SetReadDeadline(deadline); err != nil {
		return Answer{}, true, fmt.Errorf("setting a deadline: %w", err)
	}
	a, err := s.answer(r, unit, frame)
	var refused Exception
	switch {
	case err == nil, errors.As(err, &refused), errors.Is(err, ErrProtocol), errors.Is(err, bus.ErrChecksum):
		return a, false, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Answer{}, false, silent(wait)
	}
	return Answer{}, true, fmt.Errorf("reading: %w", err)
}

// quiet throws away what nobody asked for, such as an answer that came too late, until the line has been silent for as long
// as a frame must be led in by. The longest answer of a slave that has thought too long may still be on its way, and no more.
func (s *serial) quiet(ctx context.Context) error {
	enough := time.Now().Add(s.o.Timeout + duration(s.o.Baud, maxRTU))
	for thrown := 0; thrown <= maxBabble && time.Now().Before(enough); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.port.SetReadDeadline(time.Now().Add(silence(s.o.Baud))); err != nil {
			return fmt.Errorf("setting a deadline: %w", err)
		}
		n, err := s.port.Read(s.in[:])
		thrown += n
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("reading: %w", err)
		}
	}
	return errBabble
}

// answer reads until the deadline of the port. The echo of the question is passed over; a line that has once answered without
// one has none. Until then nothing tells the echo of a single write from the answer, which equals it: it is not taken for one.
func (s *serial) answer(r Request, unit byte, question []byte) (Answer, error) {
	passed, have := false, 0
	for {
		n, err := s.port.Read(s.in[have:])
		have += n
		if s.echo != echoNone && !passed && bytes.HasPrefix(s.in[:have], question) {
			passed, have = true, copy(s.in[:], s.in[len(question):have])
		}
		perhaps := s.echo != echoNone && !passed && have < len(question) && bytes.HasPrefix(question, s.in[:have])
		if frame, whole, wrong := cut(r, unit, s.in[:have]); wrong != nil {
			return Answer{}, wrong
		} else if whole && (!perhaps || err != nil) {
			a, err := parseRTU(r, unit, frame)
			if !errors.Is(err, bus.ErrChecksum) {
				s.echo = echoNone
				if passed {
					s.echo = echoHeard
				}
			}
			return a, err
		}
		if err != nil {
			return Answer{}, err
		}
	}
}

// cut finds the answer at the start of what was read so far. What cannot become one is [ErrProtocol]: it is thrown away
// before the next question.
func cut(r Request, unit byte, b []byte) (frame []byte, whole bool, err error) {
	if len(b) < 2 {
		return nil, false, nil
	}
	if b[0] != unit {
		return nil, false, fmt.Errorf("%w: unit %d answers, %d was asked", ErrProtocol, b[0], unit)
	}
	n, err := answerLength(r, b)
	if err != nil || len(b) < n {
		return nil, false, err
	}
	return b[:n], true, nil
}
