package osdp

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// Reader is one card reader of the bus.
type Reader struct {
	// ID is the station's name of the reader, and of its tamper zone.
	ID string
	// Address is its number on the bus, 0 to 126.
	Address byte
	// Key is its base key: it is believed in a secure channel with that key only. Nil means that it is believed in plain,
	// and so is everybody who gets at the wire.
	Key *Key
	// Severity is that of the reader being tampered with: alarm, warning or notice.
	Severity event.Severity
}

// Options are the readers of one bus.
type Options struct {
	// Bus is the name of the line.
	Bus string
	// Open opens the line with its baud rate set. It is called again after the line has failed.
	Open func() (bus.Serial, error)
	// Baud is the rate of the line, 9600 by default.
	Baud int
	// Readers have unique ids and addresses.
	Readers []Reader
	// Interval is from poll to poll, 50 ms by default. A line too slow for that is polled as often as it can be.
	Interval time.Duration
	// Timeout is how long a reader may think before it answers, 200 ms by default (§5.7).
	Timeout time.Duration
	// Touch is told each card that a reader has read, as [Card.String] writes it, and none twice within 3 s by one reader. It
	// must not wait; show has the reader show, at any time after, whether the card was accepted.
	Touch func(reader, card string, show func(accepted bool))
	// Code is told what was typed at a reader and ended with #, in the same way; nil means that nobody listens.
	Code func(reader, code string, show func(accepted bool))
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Rand gives the numbers of handshakes, crypto/rand by default.
	Rand io.Reader
}

// Of polling and its line.
const (
	defaultBaud     = 9600
	defaultInterval = 50 * time.Millisecond
	defaultTimeout  = 200 * time.Millisecond
	maxReaders      = 32
)

func (o Options) filled() Options {
	o.Baud = cmp.Or(o.Baud, defaultBaud)
	o.Interval, o.Timeout = cmp.Or(o.Interval, defaultInterval), cmp.Or(o.Timeout, defaultTimeout)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Code == nil {
		o.Code = func(string, string, func(bool)) {}
	}
	return o
}

func (o Options) check() error {
	switch {
	case o.Open == nil || o.Touch == nil:
		return errors.New("want a way to open the line, and somebody to tell cards to")
	case o.Baud < 300 || o.Interval < 0 || o.Timeout < 0:
		return errors.New("want 300 baud or more, and times that are not negative")
	case len(o.Readers) < 1 || len(o.Readers) > maxReaders:
		return fmt.Errorf("%d readers: want 1 to %d", len(o.Readers), maxReaders)
	}
	ids, addresses := map[string]bool{}, map[byte]bool{}
	for _, r := range o.Readers {
		if r.Address > addressMax || ids[r.ID] || addresses[r.Address] {
			return fmt.Errorf("reader %s at address %d: want a name and an address (0 to %d) of its own", r.ID, r.Address, addressMax)
		}
		ids[r.ID], addresses[r.Address] = true, true
	}
	return nil
}

func source(reader string) string { return "reader/" + reader }
