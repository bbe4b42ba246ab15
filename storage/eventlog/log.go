package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// DefaultReserve is how many bytes a log keeps back on its disk unless told otherwise.
const DefaultReserve = 64 << 20

// Options say where a log stands and whose it is.
type Options struct {
	Dir          string // data directory of this log alone, where fallocate(2) works; made if it is missing
	Station      string // station id
	ReserveBytes int64  // kept back so that a full disk can be opened again, ≥ 16 MiB; 0 = DefaultReserve

	// Keep bounds how many bytes of records the main, read and trace lanes may hold, each > 0; a lane that is not named has no
	// bound of its own. What is oldest goes first, and a log.evicted event says so. Alarms are never evicted.
	Keep map[event.Lane]int64
	// Centres are the ids of those whose cursors count: what all of them have is given up before anything else.
	Centres []string

	// Key encrypts what is stored: AES with 16, 24 or 32 bytes; nil = not encrypted. A log keeps the key that it began with.
	Key []byte

	Log *slog.Logger
	Now func() time.Time // for the log's own events; nil = time.Now

	boot [8]byte // this boot of the machine; zero = asked of the kernel
}

func (o Options) complete() (Options, error) {
	if o.ReserveBytes == 0 {
		o.ReserveBytes = DefaultReserve
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.boot == [8]byte{} {
		o.boot = bootID()
	}
	switch {
	case strconv.IntSize < 64:
		return o, ErrPlatform
	case len(o.Key) != 0 && len(o.Key) != 16 && len(o.Key) != 24 && len(o.Key) != 32:
		return o, fmt.Errorf("event log: a key of %d bytes: AES takes 16, 24 or 32", len(o.Key))
	case o.Dir == "":
		return o, errors.New("event log: no directory given")
	case o.Station == "":
		return o, errors.New("event log: no station given")
	case o.Keep[event.LaneAlarm] != 0:
		return o, errors.New("event log: a bound for the alarm lane: alarms are never evicted, leave it out")
	case slices.ContainsFunc(slices.Collect(maps.Keys(o.Keep)), func(lane event.Lane) bool { return !slices.Contains(evictable(), lane) || o.Keep[lane] <= 0 }):
		return o, fmt.Errorf("event log: keep %v: bounds are bytes > 0 of the main, read and trace lanes", o.Keep)
	case o.ReserveBytes < roomToOpen:
		return o, fmt.Errorf("event log: a reserve of %d bytes is too small: opening a full disk takes %d", o.ReserveBytes, roomToOpen)
	}
	return o, nil
}

// Log is an open event log. All methods may be called from any goroutine.
type Log struct {
	opt   Options
	lock  *os.File
	db    *badger.DB
	epoch event.Epoch
	// opened is when, for deciding that this opening went well.
	opened time.Time

	queue   chan *request
	kick    chan struct{} // there are holes to tell
	urgent  chan struct{} // an alarm is queued
	chores  chan struct{} // there may be something to do for tend
	done    chan struct{} // tend has done something
	quit    chan struct{}
	stopped chan struct{}
	ends    sync.WaitGroup

	// reading is held by readers while they use db, and by Close to take it away.
	reading  sync.RWMutex
	level0   atomic.Int32      // tables there, as last counted
	read     atomic.Int64      // bytes of records since their pages were let go
	tables   string            // Badger's directory as the kernel names it
	swept    [laneSlots]uint64 // up to where tend has deleted what is gone
	relieved time.Time         // when tend last looked for room
	closed   atomic.Bool
	closing  sync.Once
	closeIs  error

	// The writer alone uses these after Open.
	keeper  *headsKeeper
	wal     wal
	next    uint64 // the next event's seq
	once    onceBook
	sure    bool // no life before gave a seq that this one does not know of
	dirty   bool // something was stored since Open
	refused refusal
	carry   *request

	// mu guards the fields below.
	mu      sync.Mutex
	tails   [laneSlots]tail
	cursors map[cursorName]uint64
	gone    [laneSlots]gone
	holes   []hole // that are told
	untold  []hole
	wake    chan struct{}
	room    room
	full    bool
	refuses uint64
	failure error
}

type cursorName struct {
	centre string
	lane   event.Lane
}

func (l *Log) badgerDir() string { return filepath.Join(l.opt.Dir, badgerName) }

// Epoch names this life of the log.
func (l *Log) Epoch() event.Epoch { return l.epoch }

// Head is the seq of the last event of a lane, 0 = none.
func (l *Log) Head(lane event.Lane) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(lane) >= len(l.tails) {
		return 0
	}
	return l.tails[lane].seq
}

// Heads is the last seq of every lane that has events.
func (l *Log) Heads() map[event.Lane]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[event.Lane]uint64, len(l.tails))
	for _, lane := range event.Lanes() {
		if n := l.tails[lane].seq; n > 0 {
			m[lane] = n
		}
	}
	return m
}

// LastSeq is the seq of the last event of all.
func (l *Log) LastSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return topSeq(l.tails)
}

func topSeq(tails [laneSlots]tail) uint64 {
	var top uint64
	for _, t := range tails {
		top = max(top, t.seq)
	}
	return top
}

// Wake is closed at the next append. Take it before Read, wait on it after: nothing slips through between.
func (l *Log) Wake() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wake
}

// LaneStats says what one lane holds.
type LaneStats struct {
	First uint64 // seq of the first event kept, 0 = none
	Head  uint64 // seq of the last event, 0 = none
	Count uint64 // events kept
	Bytes uint64 // of their records

	Evicted     uint64 // events evicted since the epoch began
	Unreceipted uint64 // how many of those some required centre had given no receipt for
}

// Stats says how the log does.
type Stats struct {
	Epoch       event.Epoch
	Lanes       map[event.Lane]LaneStats // every lane
	DiskBytes   int64                    // of Badger's tables and logs, as Badger last counted them
	FreeBytes   int64                    // on the disk; -1 = unknown
	ReserveHeld bool                     // false: the reserve was needed, or there is no room for it
	Full        bool                     // the last append found no room
	Refused     uint64                   // drafts refused for want of room since Open
	Holes       int                      // ranges that the disk does not give back
	Err         error                    // why the log takes no more; nil = it does
}

// Err is why the log takes no more until it is closed and opened again (ErrFailed); nil = it does.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Stats counts what the log holds. It reads one event of each lane.
func (l *Log) Stats() Stats {
	l.reading.RLock()
	defer l.reading.RUnlock()
	s := Stats{Epoch: l.epoch, Lanes: make(map[event.Lane]LaneStats, laneSlots), FreeBytes: -1}
	if !l.closed.Load() {
		tables, logs := l.db.Size()
		s.DiskBytes = tables + logs
	}
	first := l.firstKept()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range event.Lanes() {
		t, g := l.tails[lane], l.gone[lane]
		s.Lanes[lane] = LaneStats{
			First: first[lane], Head: t.seq, Count: t.count - min(g.count, t.count), Bytes: t.bytes - min(g.bytes, t.bytes),
			Evicted: g.count, Unreceipted: g.unreceipted,
		}
	}
	for _, h := range l.holes {
		if h.why == reasonDamaged {
			s.Holes++
		}
	}
	if free, err := l.room.free(); err == nil {
		s.FreeBytes = free
	}
	s.ReserveHeld, s.Full, s.Refused, s.Err = l.room.kept == l.room.reserve, l.full, l.refuses, l.failure
	return s
}

// firstKept is the seq of the first event of each lane.
func (l *Log) firstKept() (seqs [laneSlots]uint64) {
	if l.closed.Load() {
		return seqs
	}
	_ = l.db.View(func(txn *badger.Txn) error { // the function below never fails
		for _, lane := range event.Lanes() {
			s, _ := finder{log: l, txn: txn, lane: lane}.first(l.evicted(lane) + 1)
			seqs[lane] = s.seq
		}
		return nil
	})
	return seqs
}

// Close ends the log: what is being written is finished, what is queued is answered ErrClosed. A second Close answers what
// the first did.
func (l *Log) Close() error {
	l.closing.Do(func() {
		close(l.quit)
		l.ends.Wait()
		l.reading.Lock()
		defer l.reading.Unlock()
		l.closed.Store(true)
		l.closeIs = l.shut()
	})
	return l.closeIs
}

// shut closes the files. When it is closed, Badger flushes what was written since Open through a sparse map: without room
// for that it is left as it is, which is what a kill would have left.
func (l *Log) shut() error {
	h := l.keeper.now
	h.starts = 0
	if l.sure && l.failure == nil {
		h.promised = h.seq() // no gap after the next boot
	}
	errs := []error{l.keeper.write(h), l.keeper.sync(), l.keeper.close()}
	free, err := l.room.free()
	if err == nil && free < roomToClose && l.dirty {
		errs = append(errs, l.room.give())
		free, err = l.room.free()
	}
	if l.dirty && (err != nil || free < roomToClose) {
		errs = append(errs, err, fmt.Errorf("%w: %d bytes free in %s, closing the event log takes %d: nothing is lost, but this process cannot open the log again",
			ErrDiskFull, free, l.opt.Dir, roomToClose))
	} else {
		errs = append(errs, l.db.Close())
		errs = append(errs, l.wal.removeNext())
	}
	errs = append(errs, l.wal.close(), l.room.holdSome(64<<10), l.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the event log: %w", err)
	}
	return nil
}
