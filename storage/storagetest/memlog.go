package storagetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

// MemLog is an event log in memory, for the tests of what reads or writes one. It keeps eventlog.Log's contract but for
// the one promise that it cannot keep: it does not survive its process.
type MemLog struct {
	station string
	epoch   event.Epoch

	// mu guards the fields below.
	mu      sync.Mutex
	events  []event.Event // events[i] has seq i+1
	lanes   map[event.Lane]eventlog.LaneStats
	cursors map[cursorName]uint64
	once    map[string][]onceKey
	wake    chan struct{}
	refuse  error
	closed  bool
}

type cursorName struct {
	centre string
	lane   event.Lane
}

type onceKey struct {
	key string
	got eventlog.Appended
}

var _ Log = (*MemLog)(nil)

// NewMemLog begins a log of a station with its log.opened event.
func NewMemLog(station string) *MemLog {
	l := &MemLog{
		station: station, lanes: make(map[event.Lane]eventlog.LaneStats), cursors: make(map[cursorName]uint64), once: make(map[string][]onceKey), wake: make(chan struct{}),
	}
	_, _ = rand.Read(l.epoch[:]) // never fails
	_, err := l.Append(context.Background(), event.Draft{
		At: time.Now(), Kind: event.KindLogOpened, Qualifier: event.QualifierStatus, Source: "station",
		Severity: event.SeverityNotice, Body: event.NewBody(event.Text(event.TagReason, "new")),
	})
	if err != nil {
		panic(err) // the draft above is wrong
	}
	return l
}

// Refuse makes every further Append and SetCursor answer err, such as eventlog.ErrFull; nil takes that back.
func (l *MemLog) Refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = err
}

// Append stores drafts, all or none.
func (l *MemLog) Append(ctx context.Context, drafts ...event.Draft) ([]eventlog.Appended, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("event not stored: %w", err)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	if len(drafts) > eventlog.MaxDrafts {
		return nil, fmt.Errorf("%w: %d drafts", eventlog.ErrTooLarge, len(drafts))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return nil, err
	}
	stored, got, size := len(l.events), make([]eventlog.Appended, 0, len(drafts)), 0
	var sizes []int // of what is new
	for _, d := range drafts {
		a, n, err := l.add(d, drafts[:len(got)], got)
		if size += n; err == nil && size > eventlog.MaxAppend {
			err = fmt.Errorf("%w: more than %d bytes", eventlog.ErrTooLarge, eventlog.MaxAppend)
		}
		if err != nil {
			l.events = l.events[:stored]
			return nil, err
		}
		got = append(got, a)
		if !a.Repeat {
			sizes = append(sizes, n)
		}
	}
	for i, d := range drafts {
		l.remember(d, got[i])
	}
	for i, e := range l.events[stored:] {
		held := l.lanes[e.Lane]
		if held.First == 0 {
			held.First = e.Seq
		}
		held.Head, held.Count, held.Bytes = e.Seq, held.Count+1, held.Bytes+uint64(sizes[i])
		l.lanes[e.Lane] = held
	}
	if len(l.events) > stored {
		close(l.wake)
		l.wake = make(chan struct{})
	}
	return got, nil
}

// add stores one draft and answers its size; before are the drafts of the same call, with what became of them.
func (l *MemLog) add(d event.Draft, before []event.Draft, got []eventlog.Appended) (eventlog.Appended, int, error) {
	if d.Once != "" {
		for i, b := range before {
			if b.Source == d.Source && b.Once == d.Once {
				return eventlog.Appended{Seq: got[i].Seq, Lane: got[i].Lane, Repeat: true}, 0, nil
			}
		}
		for _, k := range l.once[d.Source] {
			if k.key == d.Once {
				return eventlog.Appended{Seq: k.got.Seq, Lane: k.got.Lane, Repeat: true}, 0, nil
			}
		}
	}
	e := d.Event(l.station, l.epoch, uint64(len(l.events))+1)
	record, err := event.AppendRecord(nil, e)
	if err != nil {
		return eventlog.Appended{}, 0, err
	}
	if e, err = event.DecodeRecord(l.station, l.epoch, record); err != nil { // as a log on disk would answer it
		return eventlog.Appended{}, 0, err
	}
	l.events = append(l.events, e)
	return eventlog.Appended{Seq: e.Seq, Lane: e.Lane}, len(record), nil
}

func (l *MemLog) remember(d event.Draft, a eventlog.Appended) {
	if d.Once == "" || a.Repeat {
		return
	}
	keys := append(l.once[d.Source], onceKey{d.Once, a})
	l.once[d.Source] = keys[max(0, len(keys)-event.OnceKept):]
}

func (l *MemLog) refusal() error {
	if l.closed {
		return eventlog.ErrClosed
	}
	return l.refuse
}

// Read answers up to n events of a lane after a seq.
func (l *MemLog) Read(lane event.Lane, after uint64, n int) ([]event.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, eventlog.ErrClosed
	}
	var got []event.Event
	for i := min(after, uint64(len(l.events))); i < uint64(len(l.events)) && len(got) < n; i++ {
		if l.events[i].Lane == lane {
			got = append(got, l.events[i])
		}
	}
	return got, nil
}

// Epoch names the log.
func (l *MemLog) Epoch() event.Epoch { return l.epoch }

// Head is the last seq of a lane.
func (l *MemLog) Head(lane event.Lane) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lanes[lane].Head
}

// Heads is the last seq of every lane that has events.
func (l *MemLog) Heads() map[event.Lane]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	heads := make(map[event.Lane]uint64, len(l.lanes))
	for lane, s := range l.lanes {
		heads[lane] = s.Head
	}
	return heads
}

// LastSeq is the last seq of all.
func (l *MemLog) LastSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.events))
}

// Wake is closed at the next append.
func (l *MemLog) Wake() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wake
}

// Cursor is how far a centre has a lane.
func (l *MemLog) Cursor(centre string, lane event.Lane) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, eventlog.ErrClosed
	}
	return l.cursors[cursorName{centre, lane}], nil
}

// SetCursor moves a centre's cursor on; it never goes back.
func (l *MemLog) SetCursor(centre string, lane event.Lane, upto uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return err
	}
	if centre == "" || len(centre) > event.MaxName {
		return errors.New("a centre's id has 1 to 96 bytes")
	}
	if head := l.lanes[lane].Head; upto > head {
		return fmt.Errorf("cursor of centre %s at %d in lane %s: the lane ends at %d", centre, upto, lane, head)
	}
	name := cursorName{centre, lane}
	l.cursors[name] = max(l.cursors[name], upto)
	return nil
}

// Stats counts what the log holds, which is in memory: it has no disk to speak of.
func (l *MemLog) Stats() eventlog.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := eventlog.Stats{Epoch: l.epoch, Lanes: maps.Clone(l.lanes), FreeBytes: -1, Full: errors.Is(l.refuse, eventlog.ErrFull)}
	for _, lane := range event.Lanes() {
		s.Lanes[lane] = l.lanes[lane] // every lane, as the contract says
	}
	return s
}

// Err is nil: memory does not fail.
func (l *MemLog) Err() error { return nil }

// Close ends the log.
func (l *MemLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
