// A guard on a tour touches a reader at each checkpoint with an iButton, a steel can with a number that no other has, and a
// checkpoint that nobody has touched when its time is over is what somebody wants to know.
//
// The driver polls each reader's 1-wire bus, makes touches of what it finds, and judges them by the tour's roster, order and
// windows. It knows the buttons that the village has written on a roster and makes no list of others: a stranger's code is told
// in the event of the touch and then forgotten. A reader that cannot be read is missing, and a checkpoint whose reader was
// missing is told as missing: never as one that nobody came to.
//
// What was due while the agent was down is told after its restart, with the reason down, two days back.
//
// On a card reader a touch is handed on, once however long the button is held and however bad the contact is; what it means
// is not for the driver to know. A reader has no electronics of its own: with its two wires shorted it is missing, with one of
// them cut it reads as a reader that nobody touches.
//
// DS1990A data sheet: 64-bit code of family 01, 48-bit number and CRC-8; search as in Maxim application note 187. Codes of other
// families count if they are on a roster and are passed over if not: a thermometer on the same wire is no stranger.
package ibutton

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers"
	"watchpost/drivers/backlog"
	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// memoVersion is the format of what the Memo holds.
const memoVersion = 1

// memo is what the Memo holds, as JSON.
type memo struct {
	Version int                 `json:"version"`
	Tours   map[string]progress `json:"tours"`
}

// The states of a reader and of its bus, words of the glossary.
const (
	stateUnknown = "unknown" // not read yet
	stateUp      = "up"
	stateMissing = "missing"
)

// Driver watches the readers of a station.
type Driver struct {
	o       Options
	readers []*reader
	backlog *backlog.Backlog
	unsaved error // why the memo could not be written; only Run looks

	mu    sync.Mutex // guards what tours point at, and state and since of all readers
	tours []*watched
}

// watched is a tour at work.
type watched struct {
	cfg Tour
	tour
}

// reader is one bus, and what it is: checkpoints of tours, a card reader, or both.
type reader struct {
	name     string
	wire     bus.OneWire
	presence presence // only its own goroutine looks
	touches  touches  // and here, too
	points   []checkpoint
	card     string // id of the card reader; "" = it is none
	state    string
	since    time.Time
}

// checkpoint is a place of a tour on some reader.
type checkpoint struct {
	tour *watched
	id   string
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
)

// New checks the options; it touches no bus yet.
func New(o Options) (*Driver, error) {
	o = o.filled()
	if err := o.check(); err != nil {
		return nil, err
	}
	d := &Driver{o: o, backlog: backlog.New("tours", o.Log)}
	on := func(name string, wire bus.OneWire) *reader {
		i := slices.IndexFunc(d.readers, func(r *reader) bool { return r.name == name })
		if i < 0 {
			i, d.readers = len(d.readers), append(d.readers, &reader{name: name, wire: wire, state: stateUnknown, since: o.Now()})
		}
		return d.readers[i]
	}
	for _, c := range o.Tours {
		t := &watched{cfg: c, tour: tour{order: c.Order}}
		for _, w := range c.Windows {
			parsed, err := parseWindow(w)
			if err != nil {
				return nil, err
			}
			t.windows = append(t.windows, parsed)
		}
		for _, p := range c.Checkpoints {
			t.points = append(t.points, p.ID)
			r := on(p.Bus, p.Wire)
			r.points = append(r.points, checkpoint{t, p.ID})
		}
		d.tours = append(d.tours, t)
		t.start(progress{}, o.Now())
	}
	for _, c := range o.Readers {
		on(c.Bus, c.Wire).card = c.ID
	}
	return d, nil
}

// String names the driver as logs do.
func (d *Driver) String() string {
	if len(d.o.Readers) == 0 {
		return fmt.Sprintf("tours (%d)", len(d.tours))
	}
	return fmt.Sprintf("tours (%d), card readers (%d)", len(d.tours), len(d.o.Readers))
}

// Snapshot is the present state of each checkpoint's reader and of each card reader: up, missing or unknown.
func (d *Driver) Snapshot() []drivers.Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []drivers.Reading
	for _, r := range d.readers {
		for _, p := range r.points {
			text := "reader " + r.name
			if last, ok := p.tour.last[p.id]; ok {
				text += fmt.Sprintf(", %s at %s", last.state, last.at.Format("15:04:05"))
			}
			list = append(list, drivers.Reading{Name: p.tour.cfg.ID + "/" + p.id, State: r.state, Text: text, Since: r.since})
		}
		if r.card != "" {
			list = append(list, drivers.Reading{Name: r.card, State: r.state, Text: "reader " + r.name, Since: r.since})
		}
	}
	return list
}

// Run polls the readers until ctx ends.
func (d *Driver) Run(ctx context.Context, sink drivers.Sink) error {
	if err := d.load(); err != nil {
		d.o.Log.Error("the tours' memo is not usable: what was missed while the agent was down is not told", "error", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { d.backlog.Run(ctx, d.remember(sink)); return nil })
	group.Go(func() error { return d.watch(ctx) })
	for _, r := range d.readers {
		group.Go(func() error { return d.poll(ctx, r) })
	}
	return group.Wait()
}

// load takes up what the run before has left, and saves it, so that there is something to go on from.
func (d *Driver) load() error {
	if d.o.Memo == nil {
		return nil
	}
	var m memo
	b, err := d.o.Memo.Load()
	if err == nil && b != nil {
		err = json.Unmarshal(b, &m)
	}
	if err == nil && b != nil && m.Version != memoVersion {
		err = fmt.Errorf("version %d, this agent reads %d", m.Version, memoVersion)
	}
	d.mu.Lock()
	for _, t := range d.tours {
		p := progress{}
		if err == nil {
			p = m.Tours[t.cfg.ID]
		}
		t.start(p, d.o.Now())
	}
	d.mu.Unlock()
	return errors.Join(err, d.save(0))
}

// save writes how far the tours have come, unless more facts than those wait to be stored: they are in the tours' state
// already, and what is saved has been told.
func (d *Driver) save(waiting int) error {
	m := memo{Version: memoVersion, Tours: map[string]progress{}}
	d.mu.Lock()
	for _, t := range d.tours {
		m.Tours[t.cfg.ID] = t.progress
	}
	later := d.backlog.Len() > waiting
	b, err := json.Marshal(m)
	d.mu.Unlock()
	if err != nil || later {
		return err
	}
	return d.o.Memo.Save(b)
}

// remember is the sink with the memo behind it. What is stored and not saved is told again after a kill, with the same Once key.
func (d *Driver) remember(sink drivers.Sink) drivers.Sink {
	return func(ctx context.Context, e event.Draft) error {
		if err := sink(ctx, e); err != nil || d.o.Memo == nil {
			return err
		}
		err := d.save(1) // e itself waits until this returns
		switch {
		case err != nil && d.unsaved == nil:
			d.o.Log.Error("the tours' memo is not saved, trying on", "error", err)
		case err == nil && d.unsaved != nil:
			d.o.Log.Info("the tours' memo is saved again")
		}
		d.unsaved = err
		return nil
	}
}

// watch settles windows when they end.
func (d *Driver) watch(ctx context.Context) error {
	for {
		now := d.o.Now()
		next := now.Add(time.Minute) // the wall clock may be set
		d.mu.Lock()
		for _, t := range d.tours {
			d.tell(t, t.tick(now), now)
			if due := t.due(now); due.Before(next) {
				next = due
			}
		}
		d.mu.Unlock()
		timer := time.NewTimer(max(next.Sub(now), time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// poll looks at one reader.
func (d *Driver) poll(ctx context.Context, r *reader) error {
	ticker := time.NewTicker(d.o.Every)
	defer ticker.Stop()
	for {
		found, err := r.wire.Search(ctx)
		if ctx.Err() != nil {
			return nil
		}
		come, err := r.presence.heard(found, err)
		d.found(r, come, err)
		if r.card != "" && err == nil {
			d.cards(ctx, r, found, come)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// found judges what a poll has brought.
func (d *Driver) found(r *reader, come []bus.ROM, err error) {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if state := r.stands(err); state != r.state {
		d.changed(r, state, err, now)
	}
	for _, rom := range come {
		d.touched(r, rom, now)
	}
}

// cards hands on what touches a card reader. A button of a tour's roster is a guard's, and a chip that is no button and nobody's
// is no card.
func (d *Driver) cards(ctx context.Context, r *reader, found, come []bus.ROM) {
	for _, rom := range r.touches.heard(found, come, d.o.Now()) {
		if !r.guards(rom) && (d.owned(rom) || rom.Family() == familyDS1990A) {
			d.o.Touch(ctx, r.card, rom)
		}
	}
}

// guards says whether a button is on the roster of a tour that comes by.
func (r *reader) guards(rom bus.ROM) bool {
	return slices.ContainsFunc(r.points, func(p checkpoint) bool { return p.tour.cfg.Roster[rom] != "" })
}

// owned says whether a button is somebody's card.
func (d *Driver) owned(rom bus.ROM) bool { return slices.Contains(d.o.Cards, rom) }

// stands is the reader's state after a poll: what fails once or twice changes nothing.
func (r *reader) stands(err error) string {
	switch {
	case err == nil:
		return stateUp
	case r.presence.missing():
		return stateMissing
	}
	return r.state
}

// changed tells a reader that cannot be read any more, or can be again. It needs the mutex.
func (d *Driver) changed(r *reader, state string, err error, now time.Time) {
	draft := event.Draft{At: now, Kind: event.KindBusChanged, Source: busSource(r.name), Qualifier: event.QualifierRestore, Severity: event.SeverityNotice}
	fields := []event.Field{event.Text(event.TagBus, r.name), event.Text(event.TagState, state), event.Text(event.TagPrevious, r.state)}
	if err != nil {
		draft.Qualifier, draft.Severity = event.QualifierNew, event.SeverityWarning
		fields = append(fields, event.Text(event.TagReason, why(err)), event.Text(event.TagDetail, clip(err.Error())))
	}
	first := r.state == stateUnknown && state == stateUp
	r.state, r.since = state, now
	for _, p := range r.points {
		if !first {
			p.tour.read(p.id, err == nil, now)
		}
	}
	if first {
		return
	}
	draft.Body = event.NewBody(fields...)
	d.backlog.Add(draft)
	d.o.Log.Warn("reader changed", "bus", r.name, "state", state, "error", err)
}

// why is the reason of a bus fault, one word.
func why(err error) string {
	for reason, sentinel := range map[string]error{
		"no-answer": bus.ErrNoAnswer, "stuck": bus.ErrStuck, "checksum": bus.ErrChecksum, "timeout": bus.ErrTimeout,
	} {
		if errors.Is(err, sentinel) {
			return reason
		}
	}
	return "error"
}

// touched hands a touch to each tour that has the button on its roster. It needs the mutex.
func (d *Driver) touched(r *reader, rom bus.ROM, now time.Time) {
	known := false
	for _, p := range r.points {
		who, ok := p.tour.cfg.Roster[rom]
		if !ok {
			continue
		}
		known = true
		facts := p.tour.tick(now)
		if f, ok := p.tour.touch(p.id, who, now); ok {
			facts = append(facts, f)
		}
		d.tell(p.tour, facts, now)
	}
	if known || rom.Family() != familyDS1990A || len(r.points) == 0 || r.card != "" && d.owned(rom) {
		return
	}
	p := r.points[0]
	if f, ok := p.tour.strange(p.id, rom.String(), now); ok {
		d.tell(p.tour, []fact{f}, now)
	}
}

// tell queues facts of a tour. It needs the mutex.
func (d *Driver) tell(t *watched, facts []fact, now time.Time) {
	for _, f := range facts {
		draft := event.Draft{At: now, Kind: event.KindTourChecked, Qualifier: event.QualifierStatus, Source: source(t.cfg.ID),
			Severity: event.SeverityNotice, Once: f.once}
		if slices.Contains([]string{missed, missing, stranger}, f.state) {
			draft.Qualifier, draft.Severity = event.QualifierNew, event.SeverityWarning
		}
		fields := []event.Field{event.Text(event.TagTour, t.cfg.ID), event.Text(event.TagCheckpoint, f.point), event.Text(event.TagState, f.state),
			event.Text(event.TagWho, f.who), event.Text(event.TagReason, f.reason), event.Text(event.TagDetail, f.detail)}
		if !f.expires.IsZero() {
			fields = append(fields, event.Int(event.TagExpires, f.expires.UnixNano()))
		}
		draft.Body = event.NewBody(fields...)
		d.backlog.Add(draft)
		d.o.Log.Info("tour checked", "tour", t.cfg.ID, "checkpoint", f.point, "state", f.state, "reason", f.reason)
	}
}
