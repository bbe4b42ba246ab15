package linesock

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/bus"
)

// Bounds of a transaction on a bus of a box.
const (
	txTimeout  = time.Second
	idleLimit  = 20 * time.Second // a connection that was quiet for longer is made anew: boxes hang up on a silent station
	maxAddress = 0x7f
)

// errRefused means that the box did not even try.
var errRefused = errors.New("the box refuses")

func faultOf(word string) error {
	switch word {
	case "noanswer":
		return bus.ErrNoAnswer
	case "stuck":
		return bus.ErrStuck
	case "timeout":
		return bus.ErrTimeout
	case "checksum":
		return bus.ErrChecksum
	case "refused":
		return errRefused
	}
	return nil
}

// I2C is an I2C bus behind a box. It keeps one connection, which Close ends.
type I2C struct{ link }

// OneWire is a 1-wire bus behind a box. It keeps one connection, which Close ends.
type OneWire struct{ link }

var (
	_ bus.I2C     = (*I2C)(nil)
	_ bus.OneWire = (*OneWire)(nil)
)

// I2C is the box's I2C bus of that name. It does not connect yet; whether the box has the bus shows with the first Tx.
func (b *Box) I2C(name string) *I2C { return &I2C{newLink(b, name)} }

// OneWire is the box's 1-wire bus of that name. It does not connect yet.
func (b *Box) OneWire(name string) *OneWire { return &OneWire{newLink(b, name)} }

// Tx implements [bus.I2C]. A box that cannot be reached, or says nothing within a second, is [bus.ErrTimeout].
func (b *I2C) Tx(addr uint16, w, r []byte) error {
	if addr > maxAddress {
		return fmt.Errorf("%s, chip %02x: an address has seven bits", b, addr)
	}
	m, err := b.transact(context.Background(), "i2c", len(w), len(r), fmt.Sprintf("%02x %d %s", addr, len(r), hexOf(w)))
	if err != nil {
		return fmt.Errorf("%s, chip %02x: %w", b, addr, err)
	}
	copy(r, m.data)
	return nil
}

// Tx implements [bus.OneWire]. A box that cannot be reached, or says nothing within a second, is [bus.ErrTimeout].
func (b *OneWire) Tx(w, r []byte, strong bool) error {
	bit := 0
	if strong {
		bit = 1
	}
	m, err := b.transact(context.Background(), "w1", len(w), len(r), fmt.Sprintf("%d %d %s", bit, len(r), hexOf(w)))
	if err != nil {
		return fmt.Errorf("%s: %w", b, err)
	}
	copy(r, m.data)
	return nil
}

// Search implements [bus.OneWire]. A code that came damaged is [bus.ErrChecksum], and then no code is told.
func (b *OneWire) Search(ctx context.Context) ([]bus.ROM, error) {
	m, err := b.transact(ctx, "w1search", 0, 0, "")
	if err != nil {
		return nil, fmt.Errorf("searching %s: %w", b, err)
	}
	var roms []bus.ROM
	for data := []byte(m.data); len(data) > 0; data = data[8:] {
		rom, err := bus.ROMOfWire([8]byte(data))
		if err != nil {
			return nil, fmt.Errorf("searching %s: %w", b, err)
		}
		roms = append(roms, rom)
	}
	return roms, nil
}

func hexOf(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

// link is the connection of one bus.
type link struct {
	box *Box
	bus string

	turn chan struct{} // one place: who holds it has the fields below, from a request to its answer
	wire *wire
	used time.Time
}

func newLink(b *Box, name string) link { return link{box: b, bus: name, turn: make(chan struct{}, 1)} }

// String names the bus as errors do.
func (l *link) String() string { return "bus " + l.bus + " of " + l.box.String() }

// Close ends the connection; the next transaction makes a new one.
func (l *link) Close() error {
	l.turn <- struct{}{}
	l.hangUp()
	<-l.turn
	return nil
}

// hangUp needs the turn.
func (l *link) hangUp() {
	if l.wire != nil {
		l.wire.hangUp()
		l.wire = nil
	}
}

// transact sends one request and takes its answer. After anything but an answer the connection is given up, since the answer
// may still come and would be taken for the next one's.
func (l *link) transact(ctx context.Context, verb string, written, read int, arguments string) (message, error) {
	switch {
	case !bus.ValidName(l.bus):
		return message{}, fmt.Errorf("bus name %q: want 1 to %d of a-z, 0-9, hyphen", l.bus, bus.MaxName)
	case written > bus.MaxData || read > bus.MaxData:
		return message{}, fmt.Errorf("%d bytes out and %d in: at most %d", written, read, bus.MaxData)
	}
	deadline := time.Now().Add(txTimeout)
	late := time.NewTimer(txTimeout)
	defer late.Stop()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-late.C:
		return message{}, fmt.Errorf("others used the bus for %s: %w", txTimeout, bus.ErrTimeout)
	case <-ctx.Done():
		return message{}, ctx.Err()
	}
	request := verb + " " + l.bus
	if arguments != "" {
		request += " " + arguments
	}
	m, err := l.exchange(ctx, deadline, request)
	if err == nil && (m.kind != kindData && m.kind != kindFault || m.verb != verb || m.line != l.bus) {
		err = fmt.Errorf("%w: an answer to another question", errProtocol)
	}
	if err == nil && m.kind == kindData && verb != "w1search" && len(m.data) != read {
		err = fmt.Errorf("%w: %d bytes where %d were asked for", errProtocol, len(m.data), read)
	}
	if err != nil {
		l.hangUp()
		return message{}, fmt.Errorf("%w: %w", bus.ErrTimeout, err)
	}
	if m.kind == kindFault {
		return message{}, fmt.Errorf("%w: %s", faultOf(m.fault), m.text)
	}
	return m, nil
}

// exchange needs the turn.
func (l *link) exchange(ctx context.Context, deadline time.Time, request string) (message, error) {
	if err := ctx.Err(); err != nil {
		return message{}, err
	}
	if l.wire != nil && time.Since(l.used) > idleLimit {
		l.hangUp()
	}
	if l.wire == nil {
		w, err := l.box.dial(context.WithoutCancel(ctx), deadline) // the connection outlives the request
		if err != nil {
			return message{}, err
		}
		l.wire = w
	}
	l.used = time.Now()
	w := l.wire
	stop := context.AfterFunc(ctx, func() { _ = w.conn.Close() })
	err := w.send(deadline, request)
	var m message
	if err == nil {
		m, err = w.next(deadline)
	}
	if !stop() && ctx.Err() != nil { // the connection is closed
		return message{}, ctx.Err()
	}
	return m, err
}
