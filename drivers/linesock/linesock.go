// An I/O box carries the wires of a station to it over a Unix socket, one line of text for each edge and each chip's answer.
//
// A Box speaks the protocol that package bus writes down. It connects again by itself, counts edges that it can know to
// have missed, and tells a dead wire as missing: a box that does not answer is never taken for a quiet one.
package linesock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"watchpost/drivers/bus"
)

// silentPings is how many pings without a word make a dead wire.
const silentPings = 3

// Box is one I/O box. Its methods may be called at once from several goroutines.
type Box struct {
	o Options
}

var _ bus.Lines = (*Box)(nil)

// New checks the options; it does not connect yet.
func New(o Options) (*Box, error) {
	if o.Socket == "" {
		return nil, errors.New("linesock: no socket path: name the Unix socket of the I/O box")
	}
	o.Ping = cmp.Or(o.Ping, 5*time.Second)
	o.BackOffMin = cmp.Or(o.BackOffMin, 100*time.Millisecond)
	o.BackOffMax = max(cmp.Or(o.BackOffMax, 5*time.Second), o.BackOffMin)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Box{o: o}, nil
}

// String names the box as logs do.
func (b *Box) String() string { return "linesock " + b.o.Socket }

// Read asks the box for one level over a connection of its own.
func (b *Box) Read(ctx context.Context, line string) (bool, error) {
	m, err := b.ask(ctx, "read", line, "read "+line)
	if err != nil {
		return false, fmt.Errorf("reading line %s: %w", line, err)
	}
	return m.level, nil
}

// Set drives one output over a connection of its own.
func (b *Box) Set(ctx context.Context, line string, level bool) error {
	bit := "0"
	if level {
		bit = "1"
	}
	m, err := b.ask(ctx, "set", line, "set "+line+" "+bit)
	if err == nil && m.level != level {
		err = fmt.Errorf("%w: the box answers another level than %s", errProtocol, bit)
	}
	if err != nil {
		return fmt.Errorf("setting line %s: %w", line, err)
	}
	return nil
}

func (b *Box) ask(ctx context.Context, verb, line, request string) (message, error) {
	if !bus.ValidName(line) {
		return message{}, fmt.Errorf("line name %q: want 1 to %d of a-z, 0-9, hyphen", line, bus.MaxName)
	}
	deadline := time.Now().Add(b.o.Ping)
	w, err := b.dial(ctx, deadline)
	if err != nil {
		return message{}, err
	}
	defer w.hangUp()
	if err := w.send(deadline, request); err != nil {
		return message{}, err
	}
	m, err := w.next(deadline)
	if err != nil {
		return message{}, err
	}
	want := kindRead
	if verb == "set" {
		want = kindSet
	}
	switch {
	case m.kind == kindRefused && m.verb == verb && m.line == line:
		return message{}, fmt.Errorf("the box refuses: %s", m.text)
	case m.kind != want || m.line != line:
		return message{}, fmt.Errorf("%w: an answer to another question", errProtocol)
	}
	return m, nil
}
