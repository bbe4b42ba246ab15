package station

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"watchpost/drivers/dc09/sender"
	"watchpost/firmware/config"
	"watchpost/storage/event"
)

// wireReceivers makes what reports to alarm receiving centres.
func (s *Station) wireReceivers(o Options) error {
	for _, r := range s.config.Receivers {
		var memo sender.Memo = &keptHere{}
		if o.Events == nil {
			memo = keptFile(filepath.Join(s.config.Data, "receiver-"+r.ID+".json"))
		}
		x, err := s.newSender(r, memo, o)
		if err != nil {
			return fmt.Errorf("receiver %s: %w", r.ID, err)
		}
		s.senders = append(s.senders, x)
	}
	return nil
}

func (s *Station) newSender(r config.Receiver, memo sender.Memo, o Options) (*sender.Sender, error) {
	key, err := panelKey(config.Account{KeyHex: r.KeyHex, KeyASCII: r.KeyASCII})
	if err != nil {
		return nil, err
	}
	q := newReports(s.events, r.ID)
	if was, err := memo.Load(); err == nil && was == nil {
		if err := q.fromNow(); err != nil { // whoever is new is not told what is over
			return nil, err
		}
	}
	supervision := r.Supervision
	if supervision == 0 {
		supervision = -1
	}
	x, err := sender.New(sender.Options{
		ID: r.ID, Address: r.Address, Transport: r.Transport, CA: r.CA, Cert: r.Certificate, PrivateKey: r.PrivateKey,
		Account: r.Account, Receiver: r.Receiver, Line: r.Line, Key: key, Format: r.Format, Events: r.Events, Supervision: supervision,
		Names: s.directory(r), Queue: q, Memo: memo, Log: s.log.With("driver", "receiver/"+r.ID), Now: o.Now,
	})
	if err != nil {
		return nil, err
	}
	q.wanted = x.Wanted
	return x, nil
}

// directory is what the station's zones, partitions and users are called at a receiver. A zone that is no alarm by itself has no code.
func (s *Station) directory(r config.Receiver) sender.Directory {
	d := sender.Directory{Zones: map[string]sender.Zone{}, Partitions: r.Partitions, Users: r.Users}
	for name, n := range r.Zones { // those of panels, too
		d.Zones[name] = sender.Zone{Number: n}
	}
	for _, z := range s.config.Zones {
		x := sender.Zone{Number: r.Zones[z.ID], Partition: z.Partition}
		if z.Partition != "" || z.Severity == event.SeverityAlarm.String() {
			x.Code = config.ZoneKinds()[z.Kind]
		}
		d.Zones[z.ID] = x
	}
	return d
}

// reports is the event log as the sender to one receiver reads it: all lanes as one, in the order of their seqs.
type reports struct {
	log    EventLog
	name   string // of the cursor; no centre's id has a slash
	wanted func(event.Event) bool
	lanes  []*reportLane
}

// reportLane is how far one lane was read.
type reportLane struct {
	lane  event.Lane
	after uint64 // seq up to which nothing is left to send
	saved uint64 // seq up to which the cursor says so
	ahead []event.Event
}

var _ sender.Queue = (*reports)(nil)

func newReports(log EventLog, receiver string) *reports {
	q := &reports{log: log, name: "receiver/" + receiver, wanted: func(event.Event) bool { return true }}
	for _, lane := range []event.Lane{event.LaneAlarm, event.LaneMain} { // plates and traces are nobody's alarm
		q.lanes = append(q.lanes, &reportLane{lane: lane})
	}
	return q
}

// fromNow leaves out all that the log holds, unless the receiver was sent some of it before.
func (q *reports) fromNow() error {
	for _, l := range q.lanes {
		if at, err := q.log.Cursor(q.name, l.lane); err != nil || at > 0 {
			return err
		}
	}
	for _, l := range q.lanes {
		if err := q.log.SetCursor(q.name, l.lane, q.log.Head(l.lane)); err != nil {
			return fmt.Errorf("beginning reports: %w", err)
		}
	}
	return nil
}

// Next is the wanted event with the lowest seq.
func (q *reports) Next() (event.Event, bool, error) {
	var next event.Event
	for _, l := range q.lanes {
		if err := q.fill(l); err != nil {
			return event.Event{}, false, err
		}
		if len(l.ahead) > 0 && (next.Seq == 0 || l.ahead[0].Seq < next.Seq) {
			next = l.ahead[0]
		}
	}
	return next, next.Seq != 0, nil
}

// How much of a lane is read at once, and how many events nobody wants may be read again after a crash.
const (
	readAhead = 64
	readAgain = 1024
)

// fill reads on until an event is wanted or the lane ends.
func (q *reports) fill(l *reportLane) error {
	if l.after == 0 {
		at, err := q.log.Cursor(q.name, l.lane)
		if err != nil {
			return fmt.Errorf("cursor of reports: %w", err)
		}
		l.after, l.saved = at, at
	}
	for len(l.ahead) == 0 {
		events, err := q.log.Read(l.lane, l.after, readAhead)
		if err != nil {
			return fmt.Errorf("reading reports: %w", err)
		}
		if len(events) == 0 {
			return nil
		}
		l.ahead = slices.DeleteFunc(slices.Clone(events), func(e event.Event) bool { return !q.wanted(e) })
		if len(l.ahead) > 0 {
			return nil
		}
		l.after = events[len(events)-1].Seq
		if l.after-l.saved >= readAgain {
			if err := q.save(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// Done keeps on disk that e was sent, or is not to be.
func (q *reports) Done(e event.Event) error {
	for _, l := range q.lanes {
		if l.lane == e.Lane && len(l.ahead) > 0 && l.ahead[0].Seq == e.Seq {
			l.after, l.ahead = e.Seq, l.ahead[1:]
			return q.save(l)
		}
	}
	return errors.New("reports: an event is done that was not asked for")
}

func (q *reports) save(l *reportLane) error {
	if err := q.log.SetCursor(q.name, l.lane, l.after); err != nil {
		return fmt.Errorf("keeping how far reports have come: %w", err)
	}
	l.saved = l.after
	return nil
}

// Wake is closed at the log's next append.
func (q *reports) Wake() <-chan struct{} { return q.log.Wake() }

// keptHere is a memo that no disk holds.
type keptHere struct{ text []byte }

var _ sender.Memo = (*keptHere)(nil)

// Load is what was saved in this run.
func (k *keptHere) Load() ([]byte, error) { return k.text, nil }

// Save keeps it for this run.
func (k *keptHere) Save(b []byte) error {
	k.text = b
	return nil
}
