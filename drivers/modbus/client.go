package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/bus"
)

// ErrNoWire means that the line or the connection could not be opened, so that no slave of the bus was asked.
var ErrNoWire = errors.New("the wire cannot be opened")

// Units that a slave may have on a serial line (MODBUS over Serial Line V1.02 §2.2); over TCP, 0 and 255 mean the device
// itself (Messaging on TCP/IP V1.0b §4.4.2.1).
const (
	MinUnit = 1
	MaxUnit = 247
)

// wire is one way to a slave and back.
type wire interface {
	// ask sends a PDU and gives the answer to it. closed says that the wire must not be used again.
	ask(ctx context.Context, unit byte, r Request, pdu []byte) (a Answer, closed bool, err error)
	close()
}

// Client asks the slaves of one bus, one question at a time. It opens its wire when it is first asked, and again after the
// wire has failed. Its methods may be called at once from several goroutines.
type Client struct {
	name string
	open func(ctx context.Context) (wire, error)

	turn chan struct{} // holds one token: whoever has it may use the fields below
	wire wire          // nil = not open
	pdu  []byte
}

func newClient(name string, open func(context.Context) (wire, error)) *Client {
	c := &Client{name: name, open: open, turn: make(chan struct{}, 1), pdu: make([]byte, 0, MaxPDU)}
	c.turn <- struct{}{}
	return c
}

// String names the client as logs do.
func (c *Client) String() string { return c.name }

// Do asks one unit one thing. The error is an [Exception] when the slave refuses, bus.ErrNoAnswer when nothing answers in
// time, bus.ErrChecksum or [ErrProtocol] when the answer is not to be believed, [ErrNoWire] when nobody could be asked; any
// other is the wire's own.
func (c *Client) Do(ctx context.Context, unit byte, r Request) (Answer, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("%s: %w", c.name, ctx.Err())
	}
	pdu, err := r.Append(c.pdu[:0])
	if err != nil {
		return Answer{}, fmt.Errorf("%s: unit %d: %w", c.name, unit, err)
	}
	if c.wire == nil {
		if c.wire, err = c.open(ctx); err != nil {
			c.wire = nil
			return Answer{}, fmt.Errorf("%s: %w", c.name, noWireError{err})
		}
	}
	a, closed, err := c.wire.ask(ctx, unit, r, pdu)
	if closed {
		c.wire.close()
		c.wire = nil
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s: unit %d: %w", c.name, unit, err)
	}
	return a, nil
}

// Close lets go of the wire when the question under way is answered. A later Do opens it again.
func (c *Client) Close() {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.wire != nil {
		c.wire.close()
		c.wire = nil
	}
}

// silent is a slave that does not answer: dead, or another unit number is set on it.
func silent(after time.Duration) error {
	return fmt.Errorf("%w within %s", bus.ErrNoAnswer, after.Round(time.Millisecond))
}

// noWireError is [ErrNoWire] with its cause. To whoever reads values it is a bus that cannot be used.
type noWireError struct{ cause error }

func (e noWireError) Error() string        { return ErrNoWire.Error() + ": " + e.cause.Error() }
func (e noWireError) Unwrap() error        { return e.cause }
func (e noWireError) Is(target error) bool { return target == ErrNoWire || target == bus.ErrStuck }

// errBabble means that a serial line is never quiet.
var errBabble = errors.New("the line is never quiet: is the baud rate right, are there two masters?")
