// One chip that holds a wire low silences all others of its bus, and each of them would be told as missing, one by one.
//
// A Bus is an I2C bus with a watch over it. It lets every transaction through and learns from how they end: a bus that is stuck
// or gone is one fact, told within a second. Until it works again its users are turned away at once, so that a scan of ten
// chips does not wait ten seconds; now and then one of their transactions is let through to see. The watch makes no transaction
// of its own: there are chips that change by being read.
package buswatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/drivers"
	"watchpost/drivers/backlog"
	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// The states of a bus, words of the glossary.
const (
	stateUnknown = "unknown" // nobody has used it yet
	stateUp      = "up"
	stateStuck   = "stuck"   // a wire is held low, or the controller hangs
	stateMissing = "missing" // its device or its box is gone, or no chip at all answers
)

const (
	// hold is how long a fault must last before it is told: a single lost arbitration is no fact.
	hold = 500 * time.Millisecond
	// calm is how long the bus must work before a fault that was told is over, so that one that comes and goes is not two events
	// each time.
	calm = 5 * time.Second
	// tryEvery is how often a transaction is let through to a bus that is stuck or gone.
	tryEvery = 250 * time.Millisecond
	// several is how many chips must have been asked before the silence of all of them is the bus's.
	several = 2
	// maxDetail is how much of a fault's words an event carries, in bytes.
	maxDetail = 200
)

// Options are one bus and what watches it.
type Options struct {
	// ID is the station's name of the bus.
	ID string
	// Bus is what is watched. If all its methods return within a second, so do ours.
	Bus bus.I2C
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// Bus is a watched I2C bus, and the driver that tells of it. Its methods may be called at once from several goroutines.
type Bus struct {
	o       Options
	backlog *backlog.Backlog
	turned  chan struct{} // one place: the state is another one

	mu     sync.Mutex // guards the fields below
	state  string
	since  time.Time
	reason string
	told   string
	tried  time.Time       // when a transaction was let through last
	failed uint64          // transactions that failed or were turned away since it was last up and told
	silent map[uint16]bool // by address: the chip's last answer was none
}

var (
	_ bus.I2C             = (*Bus)(nil)
	_ drivers.Driver      = (*Bus)(nil)
	_ drivers.Snapshotter = (*Bus)(nil)
)

// New checks the options.
func New(o Options) (*Bus, error) {
	if o.ID == "" || len(source(o.ID)) > event.MaxName {
		return nil, fmt.Errorf("bus %q: a name has 1 to %d bytes", o.ID, event.MaxName-len(source("")))
	}
	if o.Bus == nil {
		return nil, fmt.Errorf("bus %s: there is nothing to watch", o.ID)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Bus{o: o, backlog: backlog.New(source(o.ID), o.Log), turned: make(chan struct{}, 1), state: stateUnknown, told: stateUnknown,
		since: o.Now(), silent: map[uint16]bool{}}, nil
}

func source(id string) string { return "bus/" + id }

// String names the bus as logs do.
func (b *Bus) String() string { return source(b.o.ID) }

// Tx implements [bus.I2C]. While the bus is stuck or gone it fails with the fault that made it so, [bus.ErrStuck] or
// fs.ErrNotExist, without touching the bus.
func (b *Bus) Tx(addr uint16, w, r []byte) error {
	if err := b.admit(); err != nil {
		return err
	}
	err := b.o.Bus.Tx(addr, w, r)
	b.learn(addr, err)
	return err
}

// admit turns a transaction away from a bus that does not work, but for one now and then.
func (b *Bus) admit() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	fault := bus.ErrStuck
	switch {
	case b.state == stateMissing && b.allSilent(), b.state == stateUp, b.state == stateUnknown:
		return nil // silence costs nobody's time
	case b.state == stateMissing:
		fault = fs.ErrNotExist
	}
	if now := b.o.Now(); now.Sub(b.tried) >= tryEvery {
		b.tried = now
		return nil
	}
	b.failed++
	return fmt.Errorf("bus %s, %s since %s: %w: %s", b.o.ID, b.state, b.since.Format(time.TimeOnly), fault, b.reason)
}

// allSilent needs the mutex.
func (b *Bus) allSilent() bool {
	for _, silent := range b.silent {
		if !silent {
			return false
		}
	}
	return len(b.silent) >= several
}

// learn takes how a transaction ended.
func (b *Bus) learn(addr uint16, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.failed++
	}
	switch {
	case err == nil, errors.Is(err, bus.ErrChecksum):
		b.silent[addr] = false
		b.turn(stateUp, "")
	case gone(err):
		b.turn(stateMissing, err.Error())
	case errors.Is(err, bus.ErrNoAnswer):
		b.silent[addr] = true
		if b.allSilent() {
			b.turn(stateMissing, fmt.Sprintf("none of %d chips answers", len(b.silent)))
		} else if b.state == stateStuck || b.state == stateMissing {
			b.turn(stateUp, "") // the wires move again: that one chip is silent is for its driver to tell
		}
	case errors.Is(err, bus.ErrStuck), errors.Is(err, bus.ErrTimeout):
		b.turn(stateStuck, err.Error())
	}
}

// gone says that there is no bus: its device file vanished, or its box cannot be reached.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENODEV)
}

// turn changes the state. It needs the mutex.
func (b *Bus) turn(state, reason string) {
	now := b.o.Now()
	if state == stateStuck || state == stateMissing {
		b.tried = now
		b.reason = reason
	}
	if b.state == state {
		if state == stateUp && b.told == stateUp {
			b.failed = 0
		}
		return
	}
	b.state, b.since = state, now
	select {
	case b.turned <- struct{}{}:
	default:
	}
}

// Snapshot is the present state of the bus.
func (b *Bus) Snapshot() []drivers.Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	silent := 0
	for _, s := range b.silent {
		if s {
			silent++
		}
	}
	text := fmt.Sprintf("%d chips asked, %d silent", len(b.silent), silent)
	if b.state != stateUp && b.state != stateUnknown {
		text += fmt.Sprintf(", %d transactions failed: %s", b.failed, b.reason)
	}
	return []drivers.Reading{{Name: b.o.ID, State: b.state, Text: text, Since: b.since}}
}

// Run tells each change of the bus until ctx ends, and keeps it until it is stored.
func (b *Bus) Run(ctx context.Context, sink drivers.Sink) error {
	var group errgroup.Group
	group.Go(func() error { b.backlog.Run(ctx, sink); return nil })
	group.Go(func() error { b.watch(ctx); return nil })
	return group.Wait()
}

// watch sleeps until the state changes, and then until it has held.
func (b *Bus) watch(ctx context.Context) {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-b.turned:
		case <-due.C:
		case <-ctx.Done():
			return
		}
		if wait := b.tell(); wait > 0 {
			due.Reset(wait)
		} else {
			due.Stop()
		}
	}
}

// tell tells the state if that is due, and says how long it must hold still.
func (b *Bus) tell() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	need := hold
	if b.state == stateUp {
		need = calm
	}
	switch held := b.o.Now().Sub(b.since); {
	case b.state == b.told:
		return 0
	case b.state == stateUp && b.told == stateUnknown: // that it works from the start is no news
		b.told = stateUp
		return 0
	case held < need:
		return need - held
	}
	b.o.Log.Warn("bus changed", "bus", b.o.ID, "state", b.state, "previous", b.told, "failed", b.failed, "reason", b.reason)
	b.backlog.Add(b.draft())
	b.told = b.state
	if b.state == stateUp {
		b.failed, b.reason = 0, ""
	}
	return 0
}

// draft is the present state as an event. It needs the mutex.
func (b *Bus) draft() event.Draft {
	d := event.Draft{Kind: event.KindBusChanged, Qualifier: event.QualifierNew, Severity: event.SeverityWarning, Source: source(b.o.ID)}
	reason, detail := b.state, b.reason
	if b.state == stateUp {
		d.Qualifier, d.Severity, reason, detail = event.QualifierRestore, event.SeverityNotice, "", ""
	}
	detail = strings.ToValidUTF8(detail[:min(len(detail), maxDetail)], "")
	d.Body = event.NewBody(event.Text(event.TagBus, b.o.ID), event.Text(event.TagState, b.state), event.Text(event.TagPrevious, b.told),
		event.Text(event.TagReason, reason), event.Text(event.TagDetail, detail), event.Uint(event.TagCount, b.failed))
	return d
}
