package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// Keys of the log.
const (
	logCentre  = "centre"
	logCommand = "command"
	logKind    = "kind"
	logReason  = "reason"
	logError   = "error"
	logStack   = "stack"
	logCount   = "count"
)

// Handler obeys one kind of command. body is the reply's, nil = none. The error of Deny answers "denied", any other
// *Refusal its reason, and anything else "failed". ctx ends with the desk or after Options.Timeout.
type Handler func(ctx context.Context, cmd topic.Command) (body any, err error)

// Replier sends an answer to the centre.
type Replier interface {
	Reply(ctx context.Context, r topic.Reply) error
}

// Options is what a desk needs to know. Centre, Verifier and Replier must be given.
type Options struct {
	Centre   string // the centre's id
	Verifier *Verifier
	Replier  Replier
	// Handlers obey the commands, by kind; topic.CommandReceipt is not among them.
	Handlers map[string]Handler
	// Receipt takes the centre's word for what it has stored. It must not wait for a disk or peer. nil = ignored.
	Receipt func(topic.Receipt) error
	// Audit writes a command.refused event; an error means that it is not stored. nil = nobody is told.
	Audit func(ctx context.Context, d event.Draft) error
	// Synced says whether the wall clock may be believed. nil = never.
	Synced func() bool
	Logger *slog.Logger // nil = silent

	Parallel int           // commands obeyed at once: default 4
	Queue    int           // commands waiting beyond these: default 32
	Timeout  time.Duration // of one command: default 30 s
	Interval time.Duration // between two audit events of one reason: default 1 min
}

func (o *Options) setDefaults() {
	if o.Receipt == nil {
		o.Receipt = func(topic.Receipt) error { return nil }
	}
	if o.Audit == nil {
		o.Audit = func(context.Context, event.Draft) error { return nil }
	}
	if o.Synced == nil {
		o.Synced = func() bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Queue <= 0 {
		o.Queue = 32
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
}

// Desk is where the commands of one centre arrive. Handle takes them, Run obeys them.
type Desk struct {
	o    Options
	log  *slog.Logger
	jobs chan topic.Command

	clerk clerk

	mu     sync.Mutex // guards the field below
	ledger ledger
}

// NewDesk checks o and makes a desk.
func NewDesk(o Options) (*Desk, error) {
	o.setDefaults()
	if o.Centre == "" || o.Verifier == nil || o.Replier == nil {
		return nil, errors.New("a command desk needs a centre, a verifier and a replier")
	}
	if _, ok := o.Handlers[topic.CommandReceipt]; ok {
		return nil, errors.New("receipts have no handler: they go to Options.Receipt")
	}
	o.Handlers = maps.Clone(o.Handlers)
	return &Desk{
		o: o, log: o.Logger.With(logCentre, o.Centre), jobs: make(chan topic.Command, o.Queue),
		clerk: clerk{poke: make(chan struct{}, 1), tallies: map[Reason]*tally{}},
	}, nil
}

// Handle takes one message of the cmd topic. It never waits for a handler: receipts are taken at once, the rest is left
// to Run.
func (d *Desk) Handle(ctx context.Context, payload []byte) {
	now := time.Now()
	cmd, err := d.o.Verifier.Verify(payload, now, d.o.Synced())
	if err == nil && cmd.Kind == topic.CommandReceipt {
		err = d.receipt(cmd)
	} else if err == nil {
		err = d.enter(ctx, cmd, now)
	}
	var r *Refusal
	if !errors.As(err, &r) {
		return
	}
	if r.Reason == ReasonExpired && d.again(ctx, cmd.ID) {
		r = refuse(ReasonRepeated, "taken before, and expired by now")
	}
	d.refuse(ctx, cmd, r)
}

// receipt takes a receipt. It may come twice without harm, so it is not entered in the ledger.
func (d *Desk) receipt(cmd topic.Command) error {
	var r topic.Receipt
	if err := json.Unmarshal(cmd.Body, &r); err != nil {
		return refuse(ReasonMalformed, "receipt: %v", err)
	}
	if err := d.o.Receipt(r); err != nil {
		return refuse(ReasonDenied, "%v", err)
	}
	return nil
}

// enter queues a command unless it was taken before; then its answer, if there is one by now, is sent again.
func (d *Desk) enter(ctx context.Context, cmd topic.Command, now time.Time) error {
	if d.o.Handlers[cmd.Kind] == nil {
		return refuse(ReasonUnknownKind, "kind %q is not known here: update the station", cmd.Kind)
	}
	d.mu.Lock()
	_, known := d.ledger.entries[cmd.ID]
	taken := !known && d.ledger.take(cmd.ID, now)
	d.mu.Unlock()
	switch {
	case known:
		d.again(ctx, cmd.ID)
		return refuse(ReasonRepeated, "taken before")
	case !taken:
		return refuse(ReasonBusy, "%d commands are remembered already: send it again later", ledgerSize)
	}
	select {
	case d.jobs <- cmd:
		return nil
	default:
		d.mu.Lock()
		d.ledger.drop(cmd.ID)
		d.mu.Unlock()
		return refuse(ReasonBusy, "%d commands wait already: send it again later", cap(d.jobs))
	}
}

// again says whether a command was taken before; its answer, if there is one by now, is sent once more.
func (d *Desk) again(ctx context.Context, id string) bool {
	d.mu.Lock()
	e, ok := d.ledger.entries[id]
	var answer *topic.Reply
	if ok {
		answer = e.answer
	}
	d.mu.Unlock()
	if answer != nil {
		d.reply(ctx, *answer)
	}
	return ok
}

// Run obeys commands, Parallel at once, and tells refusals, until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { d.tell(ctx); return nil })
	for range d.o.Parallel {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case cmd := <-d.jobs:
					d.obey(ctx, cmd)
				}
			}
		})
	}
	return g.Wait()
}

// obey lets the handler act, unless the command's time has run out in the queue, keeps its answer and sends it.
func (d *Desk) obey(ctx context.Context, cmd topic.Command) {
	var body any
	var err error
	if late := d.o.Verifier.timely(cmd, time.Now(), d.o.Synced()); late != nil {
		d.clerk.note(cmd, late)
		err = late
	} else {
		body, err = d.call(ctx, cmd)
	}
	answer := topic.Reply{V: topic.Version, ID: cmd.ID, Station: d.o.Verifier.address.Station}
	if err == nil && body != nil {
		if answer.Body, err = json.Marshal(body); err != nil {
			err = fmt.Errorf("the answer cannot be written: %w", err)
		}
	}
	if answer.OK = err == nil; err != nil {
		answer.Body, answer.Error = nil, problem(err)
		d.clerk.count(Reason(answer.Error.Kind))
	}
	d.mu.Lock()
	d.ledger.answered(cmd.ID, answer)
	d.mu.Unlock()
	d.reply(ctx, answer)
}

// call runs the handler with a deadline; a panic in it is a failed command, not the end of the station.
func (d *Desk) call(ctx context.Context, cmd topic.Command) (body any, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("a command's handler panicked", logKind, cmd.Kind, logCommand, cmd.ID, logError, p, logStack, string(debug.Stack()))
			body, err = nil, errors.New("the station has a bug here; it is in its log")
		}
	}()
	return d.o.Handlers[cmd.Kind](ctx, cmd)
}

func problem(err error) *topic.Problem {
	var r *Refusal
	if errors.As(err, &r) {
		return &topic.Problem{Kind: string(r.Reason), Message: r.Message}
	}
	return &topic.Problem{Kind: string(ReasonFailed), Message: err.Error()}
}

// reply sends an answer. One that cannot be sent waits in the ledger until the centre asks again.
func (d *Desk) reply(ctx context.Context, r topic.Reply) {
	if err := d.o.Replier.Reply(ctx, r); err != nil {
		d.log.Info("an answer was not sent; it will be when the centre repeats its command", logCommand, r.ID, logError, err)
	}
}

// refuse counts a refusal, answers it if the centre itself asked, and leaves it to be told. What a handler or the outbox
// denies they tell themselves.
func (d *Desk) refuse(ctx context.Context, cmd topic.Command, r *Refusal) {
	d.clerk.count(r.Reason)
	if r.Reason == ReasonRepeated {
		return
	}
	if cmd.ID != "" && cmd.Kind != topic.CommandReceipt {
		d.reply(ctx, topic.Reply{
			V: topic.Version, ID: cmd.ID, Station: d.o.Verifier.address.Station,
			Error: &topic.Problem{Kind: string(r.Reason), Message: r.Message},
		})
	}
	if r.Reason != ReasonDenied {
		d.clerk.note(cmd, r)
	}
}

// Refused is how many commands were refused since the start, by reason.
func (d *Desk) Refused() map[Reason]uint64 { return d.clerk.totals() }
