// An alarm receiving centre takes the same DC-09 messages from any transmitter, so a station reports to it as an alarm panel does.
//
// A Sender takes events from a Queue one after the other and asks for the next only when the receiver has stored the last: what is
// not ACKed is sent again with the same number and the same time, over the next link or by the next run of the agent, so that the
// receiver knows it for a repeat. Only a NAK gives a message another time, that of the receiver's clock, or silence to one whose time
// is out of any window by now.
//
// What the receiver will not take (DUH) is tried three times and then told as an event and left out, so that it never holds up the
// rest. While even its supervision is answered so, nothing is sent: then it is the account that is wrong, not an event.
package sender

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/dc09"
	"watchpost/storage/event"
)

// Sender reports to one receiving centre.
type Sender struct {
	o   Options
	mem memory // of the goroutine in Run

	memoFaults faults
	doneFaults faults
	clockTold  time.Time
	wrongs     int // frames on this link, in a row, that answer nothing
	downSince  time.Time

	mu    sync.Mutex // guards the fields below
	state string
	why   string
	since time.Time
}

var (
	_ drivers.Driver      = (*Sender)(nil)
	_ drivers.Snapshotter = (*Sender)(nil)
)

// States of the link in a Snapshot.
const (
	stateUnknown = "unknown"
	stateUp      = "up"
	stateDown    = "down"
)

// New makes a sender that goes on where the memo says.
func New(o Options) (*Sender, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Sender{o: o, state: stateUnknown, since: o.Now(), downSince: o.Now()}
	return s, s.load()
}

// String names the sender in logs.
func (s *Sender) String() string { return s.o.source() }

// Snapshot is how the link stands. It says nothing of what was sent.
func (s *Sender) Snapshot() []drivers.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []drivers.Reading{{Name: s.o.source(), State: s.state, Text: s.why, Since: s.since}}
}

// Wanted reports whether an event is one that the receiver is sent.
func (s *Sender) Wanted(e event.Event) bool {
	r, ok := s.o.Names.report(e)
	return ok && r.wanted(s.o.Events)
}

// errRefused means that the receiver answers DUH to supervision.
var errRefused = errors.New("the receiver refuses the account: is it known there, with this key?")

// steady is how long a link must have lasted for the next one to be tried without much of a wait.
const steady = time.Minute

// Run reports until ctx ends.
func (s *Sender) Run(ctx context.Context, sink drivers.Sink) error {
	wait := s.o.BackOff
	for ctx.Err() == nil {
		begun := time.Now()
		err := s.once(ctx, sink)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errWrong) {
			s.mem.Offset = 0 // a clock that somebody else has told would make every answer wrong; the receiver can tell its own again
		}
		s.lost(ctx, sink, err)
		if time.Since(begun) >= steady {
			wait = s.o.BackOff
		}
		pause(ctx, wait/2+rand.N(wait/2+1)) // many stations lose one centre at the same time
		wait = min(2*wait, s.o.MaxBackOff)
	}
	return nil
}

// once is one link from its beginning to its end.
func (s *Sender) once(ctx context.Context, sink drivers.Sink) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.wrongs = 0
	l := newLink(conn)
	defer l.close()
	return s.serve(ctx, sink, l)
}

// serve sends what there is, and a NULL when there is nothing.
func (s *Sender) serve(ctx context.Context, sink drivers.Sink, l *link) error {
	if s.o.Supervision > 0 {
		if err := s.supervise(ctx, sink, l); err != nil {
			return err
		}
	}
	idle := time.NewTimer(max(s.o.Supervision, 0))
	defer idle.Stop()
	if s.o.Supervision < 0 {
		idle.Stop()
	}
	for {
		wake := s.o.Queue.Wake()
		e, ok, err := s.o.Queue.Next()
		if err != nil {
			return err
		}
		if ok {
			if err := s.send(ctx, sink, l, e); err != nil {
				return err
			}
			if s.o.Supervision > 0 {
				idle.Reset(s.o.Supervision)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-l.frames:
			if s.wrongs++; s.wrongs >= maxWrong { // nothing was asked
				return errWrong
			}
		case <-l.gone:
			return l.err
		case <-idle.C:
			if err := s.supervise(ctx, sink, l); err != nil {
				return err
			}
			idle.Reset(s.o.Supervision)
		}
	}
}

// maxNAKs is how often one message may be given another time on one link.
const maxNAKs = 3

// supervise sends a NULL.
func (s *Sender) supervise(ctx context.Context, sink drivers.Sink, l *link) error {
	for range maxNAKs {
		m := s.message("NULL", 0, s.clock())
		v, at, err := s.exchange(ctx, l, &m)
		switch {
		case err != nil:
			return err
		case v == taken:
			s.restored(ctx, sink)
			return nil
		case v == refused:
			return errRefused
		}
		s.setClock(ctx, sink, at)
	}
	return errClock
}

var errClock = errors.New("the receiver refuses the time that it has told itself")

// maxDUHs is how often a message that the receiver will not take is tried.
const maxDUHs = 3

// send sends the message of one event until the receiver has it, or has refused it for good.
func (s *Sender) send(ctx context.Context, sink drivers.Sink, l *link, e event.Event) error {
	r, ok := s.o.Names.report(e)
	if !ok || !r.wanted(s.o.Events) {
		s.done(e)
		return nil
	}
	s.begin(e)
	for naks, duhs := 0, 0; ; {
		m := s.message("SIA-DCS", s.mem.Number, s.mem.Stamp)
		if s.o.Format == FormatCID {
			m.ID = "ADM-CID"
		}
		m.Payload = r.payload(s.o.Format, s.mem.Stamp)
		v, at, err := s.exchange(ctx, l, &m)
		switch {
		case errors.Is(err, errSilent) && s.o.Key != nil && s.clock().Sub(s.mem.Stamp) > s.o.Window:
			s.stamp() // there are receivers that say nothing to an old time
			return err
		case err != nil:
			return err
		case v == taken:
			s.restored(ctx, sink)
			s.done(e)
			return nil
		case v == late:
			if naks++; naks > maxNAKs {
				return errClock
			}
			s.setClock(ctx, sink, at)
			s.stamp()
		case v == refused:
			if duhs++; duhs >= maxDUHs {
				s.tellRefused(ctx, sink, e, m.Payload)
				s.done(e)
				return nil
			}
			if err := l.pause(ctx, s.o.Pause); err != nil {
				return err
			}
		}
	}
}

// done gets on with the next event. A disk that does not take it holds up no alarm.
func (s *Sender) done(e event.Event) {
	if err := s.o.Queue.Done(e); err != nil {
		s.trouble(&s.doneFaults, "that an event was sent is not on disk: a crash would send it again", err)
	}
}

func (s *Sender) message(id string, number int, at time.Time) dc09.Message {
	return dc09.Message{ID: id, Number: number, Receiver: s.o.Receiver, Line: s.o.Line, Account: s.o.Account, Time: at}
}

// exchange sends one message until it has an answer. The bytes are the same each time.
func (s *Sender) exchange(ctx context.Context, l *link, m *dc09.Message) (verdict, time.Time, error) {
	wire, err := dc09.AppendMessage(nil, *m, s.o.Key, s.o.Rand)
	if err != nil {
		return wrong, time.Time{}, err
	}
	timer := time.NewTimer(s.o.Answer)
	defer timer.Stop()
	for range s.o.Tries {
		if err := l.write(wire, s.o.Answer); err != nil {
			return wrong, time.Time{}, err
		}
		timer.Reset(s.o.Answer)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return wrong, time.Time{}, ctx.Err()
			case <-l.gone:
				return wrong, time.Time{}, l.err
			case <-timer.C:
				waiting = false
			case frame := <-l.frames:
				if v, at := judge(frame, m, s.o.Key, s.clock(), s.o.Window); v != wrong {
					s.wrongs = 0
					return v, at, nil
				}
				if s.wrongs++; s.wrongs >= maxWrong {
					return wrong, time.Time{}, errWrong
				}
			}
		}
	}
	if s.wrongs > 0 {
		return wrong, time.Time{}, errWrong
	}
	return wrong, time.Time{}, errSilent
}

// maxWrong is how many frames that answer nothing one link may bring in a row.
const maxWrong = 64

var (
	errSilent = errors.New("the receiver does not answer")
	errWrong  = errors.New("the receiver's answers do not fit: is the key the same there, the account, and its clock right?")
)
