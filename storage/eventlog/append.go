package eventlog

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// Limits of one append and of one commit. Badger's transaction takes 314,572 bytes in this profile.
const (
	MaxDrafts   = 256       // drafts of one Append
	MaxAppend   = 256 << 10 // bytes of their keys and values
	maxQueue    = 256       // appends that wait
	entryExtra  = 24        // bytes that Badger adds to an entry in its reckoning, rounded up
	onceTooLong = "once key of %d bytes, at most %d"
)

// Appended is what became of one draft.
type Appended struct {
	Seq    uint64
	Lane   event.Lane
	Repeat bool // the draft's Once key was known: Seq and Lane are those of the event stored then, nothing was added
}

// request is one Append or SetCursor, or a chore of tend's, on its way to the writer; it is one or another.
type request struct {
	drafts []event.Draft
	centre cursorName
	upto   uint64          // of a SetCursor
	evict  *eviction       // a lane's front is to go
	drop   []byte          // keys that begin so are to go
	again  []*badger.Entry // what a merge has lost

	state atomic.Int32
	done  chan struct{} // closed when got and err stand
	got   []Appended
	err   error
	held  *held // what the drop has dropped it from, to be mended and let go by whoever asked for the drop
}

// The states of a request.
const (
	requestWaits int32 = iota
	requestTaken
	requestLeft // nobody waits for it any more, and nobody had begun
)

// hurries reports whether an alarm is among the drafts.
func (r *request) hurries() bool {
	return r != nil && slices.ContainsFunc(r.drafts, func(d event.Draft) bool { return event.LaneOf(d.Kind, d.Severity) == event.LaneAlarm })
}

// alone reports whether the request shares no commit.
func (r *request) alone() bool { return r != nil && (r.drop != nil || r.again != nil) }

func (r *request) answer(err error) {
	r.err = err
	if err != nil {
		r.got = nil
	}
	close(r.done)
}

// Append stores drafts, all or none, in order, under consecutive seqs, and returns when they are on disk.
//
// Any error means that nothing was stored, with one exception: when ctx ends while the commit is under way, Append
// returns at once and the drafts may be stored all the same. A source that will tell its fact again gives it a Once key.
func (l *Log) Append(ctx context.Context, drafts ...event.Draft) ([]Appended, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	if len(drafts) > MaxDrafts {
		return nil, fmt.Errorf("%w: %d drafts, at most %d", ErrTooLarge, len(drafts), MaxDrafts)
	}
	for _, d := range drafts {
		if len(d.Once) > maxOnce {
			return nil, fmt.Errorf("appending event %s of %s: "+onceTooLong, d.Kind, d.Source, len(d.Once), maxOnce)
		}
	}
	r := &request{drafts: drafts, done: make(chan struct{})}
	if err := l.submit(ctx, r); err != nil {
		return nil, err
	}
	return r.got, nil
}

// SetCursor notes that a centre has a lane up to and including upto. It returns when the note is on disk. Cursors never
// go back: a lower upto changes nothing.
func (l *Log) SetCursor(centre string, lane event.Lane, upto uint64) error {
	if err := l.checkCursor(centre, lane, upto); err != nil {
		return err
	}
	if now, err := l.Cursor(centre, lane); err != nil || upto <= now {
		return err
	}
	return l.submit(context.Background(), &request{
		centre: cursorName{centre, lane}, upto: upto, done: make(chan struct{}),
	})
}

func (l *Log) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("event not stored: %w", err)
	}
	select {
	case <-l.quit:
		return ErrClosed
	default:
	}
	if r.hurries() {
		signal(l.urgent)
	}
	select {
	case l.queue <- r:
	case <-l.quit:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("event not stored: %w", ctx.Err())
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(requestWaits, requestLeft) {
			return fmt.Errorf("event not stored: %w", ctx.Err())
		}
		return fmt.Errorf("event may or may not be stored, its commit is under way: %w", ctx.Err())
	case <-l.stopped:
	}
	select {
	case <-r.done:
		return r.err
	default:
		return ErrClosed
	}
}
