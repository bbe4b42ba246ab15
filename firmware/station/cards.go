package station

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"watchpost/firmware/arming"
	"watchpost/firmware/config"
)

// whyCard is what an unknown actor has tried at a card reader.
const whyCard = "unknown-card"

// cardDesk arms and disarms for whoever touches a card reader: a touch of a known card turns its partition round, and so does a
// code that is typed at one. Readers of whatever kind hand it a card as text, in the form that a user's card has in the
// configuration. Wrong codes at readers lock the readers: the keypad inside goes on.
type cardDesk struct {
	guard   *guard
	readers map[string]config.Reader
	owners  map[string]string // a card's user
	keypad  *keypad
	up      func() time.Duration // counts on through changes of the wall clock
	log     *slog.Logger
	touches chan touch

	// Run alone uses these.
	strangers int           // in a row
	rest      time.Duration // strangers are not told before; 0 = they are
}

// cardQueue is how many touches wait, of all readers.
const cardQueue = 64

// touch is a card that has come to a reader, or a code that was typed there.
type touch struct {
	reader     string
	card, code string              // one of them
	show       func(accepted bool) // nil = the reader cannot show what became of it
	at         time.Duration
}

func (t touch) shows(accepted bool) {
	if t.show != nil {
		t.show(accepted)
	}
}

// touched takes a touch, and does not wait until it is done.
func (d *cardDesk) touched(t touch) {
	t.at = d.up()
	select {
	case d.touches <- t:
	default:
		d.late(t)
	}
}

// late gives a touch up: who finds the door unarmed would not expect that it arms a minute later.
func (d *cardDesk) late(t touch) {
	d.log.Error("a touch does nothing: those before it wait for the disk", "reader", t.reader)
	t.shows(false)
}

// run does what touches wish until ctx ends.
func (d *cardDesk) run(ctx context.Context) error {
	for {
		select {
		case t := <-d.touches:
			d.serve(ctx, t)
		case <-ctx.Done():
			return nil
		}
	}
}

// serve has one touch done, and the reader show it.
func (d *cardDesk) serve(ctx context.Context, t touch) {
	if d.up()-t.at > wishWait {
		d.late(t)
		return
	}
	t.shows(d.judge(ctx, t))
}

// judge does what a touch wishes, and says whether that was done.
func (d *cardDesk) judge(ctx context.Context, t touch) bool {
	reader := d.readers[t.reader]
	by, err := d.who(t)
	wish, action := d.turn(reader, by)
	if locked, is := errors.AsType[*lockedError](err); is {
		if locked.now {
			d.guard.tell(guessed(reader.Partition, action, "locked"))
		}
		return false
	}
	if t.card != "" && by.User == "" && !d.strange(reader, action) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, wishWait)
	defer cancel()
	err = d.guard.do(ctx, wish)
	if _, refused := errors.AsType[*arming.Refusal](err); err != nil && !refused { // a refusal is an event of the machine
		d.log.Error("a touch does nothing", "reader", t.reader, "user", by.User, "err", err)
	}
	return err == nil
}

// who finds out whose card or code it is. The error is a *lockedError.
func (d *cardDesk) who(t touch) (arming.Actor, error) {
	if t.card == "" {
		return d.keypad.enter(t.code)
	}
	by := arming.Actor{User: d.owners[t.card], Via: "card"}
	if by.User == "" {
		by.Why = whyCard
	} else {
		d.strangers = 0
	}
	return by, nil
}

// turn is the wish that turns a reader's partition round. Whether it can be done is for the machine to say.
func (d *cardDesk) turn(r config.Reader, by arming.Actor) (arming.Input, string) {
	for _, p := range d.guard.view().Partitions {
		on := p.Mode != "" || p.State == arming.StateAlarm || p.State == arming.StateTamper
		if p.ID == r.Partition && on {
			return arming.Disarm{By: by, Partition: r.Partition}, "disarm"
		}
	}
	return arming.Arm{By: by, Partition: r.Partition, Mode: arming.Mode(r.Mode)}, "arm"
}

// strange counts a card that nobody has, and says whether it is to be told by itself. As many as wrong codes lock a keypad are
// told together, and no other for as long: users' cards count all the same. Which cards they were is kept nowhere.
func (d *cardDesk) strange(r config.Reader, action string) bool {
	now := d.up()
	if d.rest > 0 && now < d.rest {
		return false
	}
	d.rest = 0
	if d.strangers++; d.strangers < keypadTries {
		return true
	}
	d.strangers, d.rest = 0, now+keypadRest
	d.guard.tell(guessed(r.Partition, action, whyCard))
	return false
}
