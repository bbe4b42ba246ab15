// What a station says is only worth a receipt once it is stored: the intake hears all stations at the broker, commits their
// events with the chain rule and then answers {station, epoch, lane, upto}; a station frees nothing before.
//
// It may lose its broker, its process or any single message at any time. What is not receipted comes again, what comes twice
// has no effect, and what runs ahead of a gap is not stored but answered with the present receipt and the question for what
// follows it, so that the station sends the gap at once. That is also why it never waits inside the MQTT client: when its
// queue is full it hangs up and begins anew.
package intake

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// Figures of the intake.
const (
	defaultQueue   = 4096
	statesPerQueue = 4                // states that may wait, for each message of another kind that may: those of all stations
	batchLimit     = 128              // messages of each queue per commit
	sendWindow     = 256              // commands under way to the broker, at most
	receiptEvery   = 256              // events of a lane without a receipt, at most
	receiptWithin  = time.Second      // and for how long, at most; the alarm lane is answered at once
	receiptLife    = 30 * time.Second // on the wire; a later one says more
	askAgain       = time.Second      // between two questions for the same gap, at least
	backoffFirst   = 100 * time.Millisecond
	backoffLast    = 5 * time.Second
	refusalsKept   = 64
	refusalTold    = time.Minute // a repeating refusal is logged once in this time
	publishLimit   = 5 * time.Second
	connectLimit   = 10 * time.Second
	disconnectWait = 250 // milliseconds, or paho may close the socket before DISCONNECT
)

// Options is what an intake needs.
type Options struct {
	Broker string             // tls://host:port
	TLS    *tls.Config        // the centre's client certificate
	Key    ed25519.PrivateKey // signs commands
	Ledger *ledger.Ledger
	Log    *slog.Logger
	Queue  int // messages of a kind that may wait for a commit; 0 = 4096
}

// Intake hears all stations.
type Intake struct {
	o          Options
	subscribed chan struct{} // closed when it hears the stations for the first time
	once       sync.Once

	mu       sync.Mutex // guards the fields below
	out      chan<- wish
	since    time.Time // of the present link; zero = none
	behind   time.Time // as Status tells it
	fault    string
	refusals map[refusal]*Refused
	waiting  map[string]chan topic.Reply
}

// New makes an intake; Run runs it.
func New(o Options) *Intake {
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	return &Intake{o: o, subscribed: make(chan struct{}), refusals: make(map[refusal]*Refused), waiting: make(map[string]chan topic.Reply)}
}

// Subscribed is closed once the intake hears the stations for the first time.
func (i *Intake) Subscribed() <-chan struct{} { return i.subscribed }

// Run connects to the broker, again and again, until ctx ends.
func (i *Intake) Run(ctx context.Context) error {
	wait := backoffFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := i.link(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > backoffLast {
			wait = backoffFirst
		}
		i.down(err)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, backoffLast)
	}
	return nil
}

// Status is how the intake does.
type Status struct {
	Connected bool
	Since     time.Time // of the connection
	Behind    time.Time // when the oldest message came in that is not stored yet; zero = none is waiting
	Fault     string    // why there is none
	Refused   []Refused
}

// Refused counts what was not believed, of one sender and for one reason.
type Refused struct {
	Station string // as the topic says, "" = no station's topic
	Reason  string
	Count   uint64
	Last    time.Time

	told time.Time
}

type refusal struct{ station, reason string }

// Status is a copy.
func (i *Intake) Status() Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := Status{Connected: i.out != nil, Since: i.since, Behind: i.behind, Fault: i.fault}
	for _, r := range i.refusals {
		s.Refused = append(s.Refused, *r)
	}
	return s
}

// refuse counts a message that is dropped, and logs it unless that was done a moment ago.
func (i *Intake) refuse(station, reason string, err error) {
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	key := refusal{station, reason}
	r := i.refusals[key]
	if r == nil {
		if len(i.refusals) >= refusalsKept {
			key = refusal{"", "many others"}
			station, reason = key.station, key.reason
		}
		if r = i.refusals[key]; r == nil {
			r = &Refused{Station: station, Reason: reason}
			i.refusals[key] = r
		}
	}
	r.Count++
	r.Last = now
	if now.Sub(r.told) >= refusalTold {
		r.told = now
		i.o.Log.Warn("refused", "station", station, "reason", reason, "count", r.Count, "err", err)
	}
}

func (i *Intake) up(out chan<- wish) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.out, i.since, i.fault = out, time.Now(), ""
	i.o.Log.Info("connected to the broker", "broker", i.o.Broker)
}

// down notes why there is no link; the log is told when the reason is a new one.
func (i *Intake) down(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	fault := fmt.Sprint(err)
	if i.out != nil || fault != i.fault {
		i.o.Log.Warn("no broker", "broker", i.o.Broker, "err", err)
	}
	i.out, i.since, i.behind, i.fault = nil, time.Time{}, time.Time{}, fault
}

// late notes since when a message has been waiting; zero = none is.
func (i *Intake) late(since time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.behind = since
}

// link is one connection from beginning to end.
func (i *Intake) link(ctx context.Context) error {
	l, err := dial(ctx, i.o)
	if err != nil {
		return err
	}
	defer l.hangUp()
	out := make(chan wish, sendWindow)
	i.up(out)
	clerk := &clerk{Intake: i, out: out, due: make(map[lane]*due), asked: make(map[lane]asked)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return clerk.work(ctx, l.inbox) })
	g.Go(func() error { return l.post(ctx, out, i.o) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-l.lost:
			return l.reason()
		}
	})
	if err := l.subscribe(ctx); err != nil {
		l.lose(err)
	} else {
		i.once.Do(func() { close(i.subscribed) })
	}
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
