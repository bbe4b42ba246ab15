// A card reader hangs outside the door that it guards, on a wire that a thief can reach: whoever unscrews it speaks on that wire
// in its name, so it is believed only in a secure channel whose key he does not have.
//
// This is the control panel's side of SIA OSDP v2.2 (IEC 60839-11-5) on RS-485, several readers on one line. The codec is in
// [Packet], the secure channel in [Handshake] and [Session]; the [Driver] polls.
//
// # What is believed
//
// A reader with a key is heard in a channel of that key and in no other way. One that answers in plain, has another key, or whose
// answer was changed or is an old one, is refused: no card of it counts, its zone is a fault with the reason, and it is greeted
// again after a pause. A plain NAK ends the channel and says nothing else. The default key, which everybody knows, is used once
// and for nothing but to carry the reader's own key, when [Driver.GiveKey] is called.
//
// # A round
//
// Every 50 ms each reader that answers is polled, and one of those that do not: so however many are dead, the living wait for
// one answer that does not come. A command that is not answered is sent again as it was, which a reader answers again as it did.
// After three the reader is missing, and is asked again after 1 s, then 2 s and so on up to 10 s.
package osdp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/drivers/zone"
)

// Of people at a reader.
const (
	sameCard   = 3 * time.Second  // a card is not told twice within
	typingTime = 10 * time.Second // from key to key
	maxDigits  = 16
	puzzleTime = time.Minute // from telling to telling of what cannot be read
	maxText    = 256
)

// Driver polls the readers of one bus.
type Driver struct {
	o       Options
	line    *line
	readers []*reader
	hands   map[string]*hand // by reader
}

// hand is what somebody does at one reader. Only Run looks.
type hand struct {
	card    string
	cardAt  time.Time
	digits  []byte
	digitAt time.Time
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
)

// New checks the options; it asks nobody yet.
func New(o Options) (*Driver, error) {
	o = o.filled()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("osdp %s: %w", o.Bus, err)
	}
	d := &Driver{o: o, line: &line{open: o.Open, baud: o.Baud, timeout: o.Timeout}, hands: map[string]*hand{}}
	for _, c := range o.Readers {
		place := fmt.Sprintf("%s address %d", o.Bus, c.Address)
		z, err := zone.New(zone.Config{Zone: c.ID, Source: source(c.ID), Line: place, Code: "TA", Severity: c.Severity}, o.Log, o.Now)
		if err != nil {
			return nil, fmt.Errorf("osdp %s: %w", place, err)
		}
		r := &reader{cfg: c, zone: z, rand: o.Rand, fails: 1} // it has to answer once before it is polled with those that do
		r.restart()
		d.readers, d.hands[c.ID] = append(d.readers, r), &hand{}
	}
	return d, nil
}

// String names the driver as logs do.
func (d *Driver) String() string { return fmt.Sprintf("osdp %s (%d readers)", d.o.Bus, len(d.readers)) }

// Snapshot is how each reader's zone is.
func (d *Driver) Snapshot() []drivers.Reading {
	list := make([]drivers.Reading, 0, len(d.readers))
	for _, r := range d.readers {
		how := "secure"
		if r.cfg.Key == nil {
			how = "in plain"
		}
		list = append(list, r.zone.Reading(fmt.Sprintf("%s address %d, %s", d.o.Bus, r.cfg.Address, how)))
	}
	return list
}

// GiveKey gives a reader that still has the default key its own, once, as a technician's explicit act. Whoever listens on the
// wire meanwhile has the key: it is done with the reader on the bench. It returns when the reader has taken it, or why not.
func (d *Driver) GiveKey(ctx context.Context, id string) error {
	for _, r := range d.readers {
		if r.cfg.ID != id {
			continue
		}
		if r.cfg.Key == nil {
			return fmt.Errorf("reader %s has no key in the configuration that it could be given", id)
		}
		done := make(chan error, 1)
		r.mu.Lock()
		if r.wish != nil {
			r.mu.Unlock()
			return fmt.Errorf("reader %s is being given its key already", id)
		}
		r.wish = done
		r.mu.Unlock()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			r.mu.Lock()
			defer r.mu.Unlock()
			r.wish = nil
			return fmt.Errorf("reader %s: %w", id, ctx.Err())
		}
	}
	return fmt.Errorf("no reader %s on bus %s", id, d.o.Bus)
}

// Run polls until ctx ends.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range d.readers {
		group.Go(func() error { return r.zone.Store(ctx, sink) })
	}
	group.Go(func() error { return d.poll(ctx) })
	return group.Wait()
}

func (d *Driver) poll(ctx context.Context) error {
	defer d.line.close()
	ticker := time.NewTicker(d.o.Interval)
	defer ticker.Stop()
	for {
		d.round(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// round asks each reader that answers, and that of the others which has waited longest past its time.
func (d *Driver) round(ctx context.Context) {
	now := d.o.Now()
	var due *reader
	for _, r := range d.readers {
		r.zone.Tick()
		r.wished()
		switch {
		case r.fails == 0:
			d.ask(ctx, r)
		case now.Before(r.retryAt):
		case due == nil || r.askedAt.Before(due.askedAt):
			due = r
		}
	}
	if due != nil {
		d.ask(ctx, due)
	}
}

// ask has one exchange with a reader.
func (d *Driver) ask(ctx context.Context, r *reader) {
	var f found
	command, err := r.command()
	if err == nil {
		var p Packet
		if p, err = d.line.ask(ctx, command, r.cfg.Address, r.sequence); err == nil {
			f, err = r.take(&p)
		}
	}
	if ctx.Err() != nil {
		return
	}
	r.askedAt = d.o.Now()
	refused, isRefused := errors.AsType[*refusal](err)
	switch {
	case isRefused:
		d.lost(r, zone.Word{State: zone.Fault, Reason: refused.reason, Detail: clip(err.Error())}, err)
	case errors.Is(err, errDone):
		if r.ended++; r.ended > lostAfter {
			d.lost(r, zone.Word{State: zone.Fault, Reason: reasonPlain, Detail: clip(err.Error())}, err)
			return
		}
		r.restart()
	case err != nil:
		if errors.Is(err, ErrPacket) && r.askedAt.Sub(r.puzzled) >= puzzleTime {
			d.o.Log.Warn("card reader says what cannot be read", "reader", r.cfg.ID, "err", err)
			r.puzzled = r.askedAt
		}
		if r.fails++; r.fails >= lostAfter {
			d.lost(r, zone.Word{State: zone.Missing, Reason: reasonWire, Detail: clip(err.Error())}, err)
		}
	default:
		d.answered(r, f)
	}
}

// lost has the reader greeted anew after a pause, and tells why.
func (d *Driver) lost(r *reader, w zone.Word, err error) {
	r.restart()
	r.granted(err)
	r.fails, r.ended = lostAfter, 0
	r.pause = min(max(2*r.pause, backOffMin), backOffMax)
	r.retryAt = r.askedAt.Add(r.pause)
	d.hands[r.cfg.ID].digits = nil
	d.hear(r, w)
}

func (d *Driver) answered(r *reader, f found) {
	r.fails = 0
	if r.phase != online {
		return
	}
	r.pause, r.ended = 0, 0
	if w := r.word(); w.State != r.heard.State || w.Reason != r.heard.Reason {
		d.o.Log.Info("card reader", "reader", r.cfg.ID, "is", r.identity)
		d.hear(r, w)
	}
	if card, code := d.hands[r.cfg.ID].felt(f, d.o.Now()); card != "" {
		d.o.Touch(r.cfg.ID, card, r.show)
	} else if code != "" {
		d.o.Code(r.cfg.ID, code, r.show)
	}
}

// hear tells the reader's zone what is new.
func (d *Driver) hear(r *reader, w zone.Word) {
	if w.State == r.heard.State && w.Reason == r.heard.Reason {
		return
	}
	w.Changed, w.KernelNS = r.heard.State == zone.Normal || r.heard.State == zone.Active, bus.Monotonic()
	r.heard = w
	r.zone.Hear(w)
}

// felt takes what a reader has read, and gives a card or a code if there is one to be told.
func (h *hand) felt(f found, now time.Time) (card, code string) {
	if f.card.Bits > 0 {
		card = f.card.String()
		held := card == h.card && now.Sub(h.cardAt) < sameCard && !now.Before(h.cardAt)
		h.card, h.cardAt = card, now
		if held {
			return "", ""
		}
		return card, ""
	}
	for _, key := range f.keys {
		if now.Sub(h.digitAt) > typingTime || key == '*' {
			h.digits = nil
		}
		h.digitAt = now
		switch {
		case key == '#' && len(h.digits) <= maxDigits:
			code, h.digits = string(h.digits), nil
		case key == '#':
			h.digits = nil
		case key != '*' && len(h.digits) <= maxDigits:
			h.digits = append(h.digits, byte(key))
		}
	}
	return "", code
}

// clip makes text fit for an event.
func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "?")
}
