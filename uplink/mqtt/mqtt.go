// A station keeps one MQTT connection to each of its centres, and throws it away at the first doubt.
//
// A Session is that connection over time: TLS with the station's own certificate, a retained state with a will, one
// command subscription, publishing at QoS 1 with a bound on how long the broker may stay silent, and back-off with full
// jitter, so that thousands of stations do not come back in step. After any error the whole MQTT client is dropped and
// a fresh one made, always clean: the event log is the store, and MQTT's own redelivery would only disturb its order.
//
// A link is up once the broker has granted the command subscription and the state has been told; what it carries then
// is the business of Options.Serve.
package mqtt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/uplink/topic"
)

// Keys of the log.
const (
	logCentre  = "centre"
	logBroker  = "broker"
	logFault   = "fault"
	logError   = "error"
	logRepeats = "repeats"
	logAfter   = "after"
	logBytes   = "bytes"
)

// ErrDown is returned for what needs a link while there is none.
var ErrDown = errors.New("no link to the centre")

// Change is one change of a link's state.
type Change struct {
	Up    bool
	Fault Fault         // why it is down; FaultNone when up
	Err   error         // what happened, with a remedy; nil when up
	After time.Duration // how long the former state had lasted
}

// Session keeps a link to one centre's broker. Make it with New and run it once.
type Session struct {
	o        Options
	broker   *url.URL
	log      *slog.Logger
	announce chan struct{}
	commands chan []byte
	meter    meter
	sizes    sizes

	mu      sync.Mutex // guards the fields below
	link    *Link      // nil while down
	dropped int        // commands that found the queue full, since last told
}

// New checks o and makes a session.
func New(o Options) (*Session, error) {
	o.setDefaults()
	broker, err := o.validate()
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", o.Centre, err)
	}
	return &Session{
		o: o, broker: broker, log: o.Logger.With(logCentre, o.Centre, logBroker, o.Broker),
		announce: make(chan struct{}, 1), commands: make(chan []byte, o.CommandQueue),
	}, nil
}

// Run keeps the link until ctx ends, then says goodbye to the broker and returns nil.
func (s *Session) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.obey(ctx); return nil })
	g.Go(func() error { s.keep(ctx); return nil })
	return g.Wait()
}

// Announce publishes the state soon, because it has changed.
func (s *Session) Announce() {
	select {
	case s.announce <- struct{}{}:
	default:
	}
}

// Reply publishes the answer to a command. ErrDown means that it was not sent: the centre will send the command again.
func (s *Session) Reply(ctx context.Context, r topic.Reply) error {
	r.V, r.Station = topic.Version, s.o.Address.Station
	if err := topic.ValidSegment("command", r.ID); err != nil {
		return err
	}
	payload, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("reply to %s: %w", r.ID, err)
	}
	if len(payload) > topic.MaxPayload {
		return fmt.Errorf("reply to %s: %d bytes, at most %d", r.ID, len(payload), topic.MaxPayload)
	}
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	if link == nil {
		return ErrDown
	}
	return link.Publish(ctx, s.o.Address.Reply(r.ID), payload, nil)
}

// Quality says how the line has done. It is cheap enough for every heartbeat.
func (s *Session) Quality() Quality { return s.meter.quality(time.Now()) }

// obey hands the queued commands over, one at a time.
func (s *Session) obey(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case payload := <-s.commands:
			s.o.Command(ctx, payload)
		}
	}
}

// keep makes one link after the other.
func (s *Session) keep(ctx context.Context) {
	t := teller{o: &s.o, log: s.log, since: time.Now()}
	b := newBackoff(s.o)
	for ctx.Err() == nil {
		var up time.Time
		err := s.once(ctx, func() { up = time.Now(); s.meter.linkUp(up); t.up() })
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the link ended without a reason")
		}
		fault := Classify(err)
		s.meter.linkDown(fault)
		t.down(fault, err)
		lived := time.Duration(0)
		if !up.IsZero() {
			lived = time.Since(up)
		}
		wait := time.NewTimer(b.next(lived, fault))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

// once makes a link, serves it and ends it. A nil error means that ctx ended.
func (s *Session) once(ctx context.Context, up func()) error {
	l, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.setLink(l)
	up()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.pump(gctx) })
	g.Go(func() error { return s.heartbeat(gctx, l) })
	g.Go(func() error { return s.serve(gctx, l) })
	err = g.Wait()
	s.setLink(nil)
	if err == nil {
		s.farewell(l)
		return nil
	}
	l.client.Disconnect(0)
	if n := l.largest(); Classify(err) == FaultLost && s.sizes.lost(n) {
		err = &linkError{fault: FaultTooLarge, err: fmt.Errorf("with a message of %d bytes under way, larger than any that the broker took: %w", n, err)}
	}
	return err
}

func (s *Session) serve(ctx context.Context, l *Link) error {
	err := s.o.Serve(ctx, l)
	var known *linkError
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.As(err, &known):
		return verdict(ctx, err)
	}
	return &linkError{fault: FaultOwn, err: err}
}

func (s *Session) setLink(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = l
}

// heartbeat tells the state again and again, and what the command queue had to drop.
func (s *Session) heartbeat(ctx context.Context, l *Link) error {
	tick := time.NewTicker(s.o.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.announce:
		}
		s.tellDropped()
		if err := l.publish(ctx, s.o.Address.State(), s.state(true), true, nil); err != nil {
			return verdict(ctx, err)
		}
	}
}

func (s *Session) tellDropped() {
	s.mu.Lock()
	n := s.dropped
	s.dropped = 0
	s.mu.Unlock()
	if n > 0 {
		s.log.Warn("commands dropped: they came faster than they could be taken; the centre will send them again", logRepeats, n)
	}
}

// goodbye is how long the broker may take to acknowledge the farewell; a station that stops does not wait for a silent one.
const goodbye = 2 * time.Second

// farewell says offline in so many words: a broker may take DISCONNECT for a lost connection, or the other way round.
func (s *Session) farewell(l *Link) {
	ctx, cancel := context.WithTimeout(context.Background(), min(goodbye, s.o.WriteTimeout))
	defer cancel()
	if err := l.say(ctx, s.o.Address.State(), s.state(false)); err != nil {
		s.log.Info("the goodbye was not acknowledged; the will says the same", logError, err)
	}
	l.client.Disconnect(250)
}

// state is the payload of the state topic. One that no broker would take is cut to what matters.
func (s *Session) state(online bool) []byte {
	st := topic.State{}
	if online {
		st = s.o.State()
	}
	st.V, st.Station, st.Jurisdiction = topic.Version, s.o.Address.Station, s.o.Address.Jurisdiction
	st.Online, st.At = online, s.o.Now().UTC()
	b, err := json.Marshal(st)
	if err != nil || len(b) > topic.MaxPayload {
		s.log.Error("the state cannot be told whole: its lists are left out", logBytes, len(b), logError, err)
		st.Zones, st.Panels, st.Cameras, st.Gauges = nil, nil, nil, nil
		b, _ = json.Marshal(st) // what is left are numbers, times and names
	}
	return b
}

// enqueue takes a command off MQTT's goroutine without waiting.
func (s *Session) enqueue(payload []byte) {
	if len(payload) > topic.MaxPayload {
		payload = bytes.Clone(payload[:topic.MaxPayload+1]) // the rest of it is not kept
	}
	select {
	case s.commands <- payload:
	default:
		s.mu.Lock()
		s.dropped++
		s.mu.Unlock()
	}
}

// backoff is how long to wait before the next attempt: full jitter under a bound that doubles. The bound's end depends on
// the fault: a broker that is away comes back by itself, and then all of its stations are to be back within BackoffMax and
// one attempt. One that says no, or cannot keep up, is not to be hurried.
type backoff struct {
	min, away, refused time.Duration
	bound              time.Duration // of the last wait; 0 = there was none
	random             *rand.Rand
}

func newBackoff(o Options) *backoff {
	h := fnv.New64a()
	_, _ = h.Write([]byte(o.Address.Station + "\x00" + o.Centre)) // a hash never fails
	return &backoff{
		min: o.BackoffMin, away: o.BackoffMax, refused: o.BackoffRefused,
		random: rand.New(rand.NewPCG(h.Sum64(), 1)),
	}
}

// next is the wait after a link that lived so long and ended with f; one that outlived the bound starts afresh.
func (b *backoff) next(lived time.Duration, f Fault) time.Duration {
	most := b.refused
	if f.hurried() {
		most = b.away
	}
	if b.bound == 0 || lived > b.bound {
		b.bound = b.min
	} else {
		b.bound = min(most, 2*b.bound)
	}
	return time.Duration(b.random.Int64N(int64(b.bound) + 1))
}

// teller says each change once, and a fault that lasts once per interval.
type teller struct {
	o       *Options
	log     *slog.Logger
	since   time.Time // of the present state
	fault   Fault
	told    time.Time
	repeats int
	known   bool // something was told before
}

func (t *teller) up() {
	after := t.turn(FaultNone)
	t.log.Info("link up", logAfter, after)
	t.o.Changed(Change{Up: true, After: after})
}

func (t *teller) down(fault Fault, err error) {
	if t.known && fault == t.fault {
		if t.repeats++; time.Since(t.told) >= t.o.Repeat {
			t.log.Warn("link still down", logFault, fault, logError, err, logRepeats, t.repeats, logAfter, time.Since(t.since))
			t.told, t.repeats = time.Now(), 0
		}
		return
	}
	explained := explain(fault, err, t.o)
	after := t.turn(fault)
	t.log.Warn("link down", logFault, fault, logError, explained, logAfter, after)
	t.o.Changed(Change{Fault: fault, Err: explained, After: after})
}

// turn begins a new state and says how long the former one lasted.
func (t *teller) turn(f Fault) time.Duration {
	now := time.Now()
	after := now.Sub(t.since)
	t.fault, t.known, t.since, t.told, t.repeats = f, true, now, now, 0
	return after
}
