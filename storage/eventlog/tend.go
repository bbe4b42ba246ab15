package eventlog

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// How Badger's tables are merged.
const (
	mergeFrom = 4                     // tables in level 0 from which on it is merged
	crowded   = 12                    // tables in level 0 from which on whoever is not in a hurry is held up
	heldUp    = 20 * time.Millisecond // each commit, at most
)

// How the log makes room.
const (
	sweepFrom    = 2        // buckets, since the tables at their ends are written anew
	relief       = 16 << 20 // bytes evicted at once when the disk is short of room
	relieveEvery = time.Second / 4
)

// signal wakes whoever waits for c, or the next who will.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tend does what may wait, beside the writer, until the log is closed.
func (l *Log) tend() {
	l.countLevel0()
	for {
		l.retain()
		l.merge(mergeFrom)
		if l.read.Load() >= readOn {
			l.letGo()
		}
		signal(l.done)
		select {
		case <-l.chores:
		case <-l.quit:
			return
		}
	}
}

// letGo lets go of the tables' pages. Where the kernel does not know how, they stay until it needs them.
func (l *Log) letGo() {
	l.read.Store(0)
	_ = letGo(l.tables)
}

// countLevel0 notes how many tables wait in level 0.
func (l *Log) countLevel0() { l.level0.Store(int32(l.db.Levels()[0].NumTables)) }

// merge moves what is in level 0 down to the last level, in steps that take little room, if there are enough tables for it to
// be worth it. On a disk without room for a step it waits for the next time.
func (l *Log) merge(from int32) {
	if l.countLevel0(); l.level0.Load() < from {
		return
	}
	l.mu.Lock()
	free, err := l.room.free()
	l.mu.Unlock()
	if err == nil && free < roomToMerge {
		return
	}
	if err == nil {
		l.letGo()
		before := l.hold()
		err = errors.Join(l.db.Flatten(1), before.mend(nil, l.restore))
		before.let()
		l.letGo()
	}
	if err != nil {
		l.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "event log: tables not merged", slog.Any("err", err))
	}
	l.countLevel0()
}

// retain evicts what is over a lane's bound, and more when the disk is short of room.
func (l *Log) retain() {
	for _, lane := range evictable() {
		l.mu.Lock()
		need := l.over(lane)
		l.mu.Unlock()
		if need > 0 {
			l.evict(lane, need, false)
		}
		l.sweep(lane, sweepFrom)
	}
	l.relieve()
}

// evict has the front of a lane marked as gone, and reports whether there was one.
func (l *Log) evict(lane event.Lane, need uint64, receipted bool) bool {
	e, ok, err := l.plan(lane, need, receipted)
	if ok {
		err = l.submit(context.Background(), &request{evict: &e, done: make(chan struct{})})
	}
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrFull) && !errors.Is(err, ErrFailed) { // those are told elsewhere
		l.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "event log: nothing evicted", slog.String("lane", lane.String()), slog.Any("err", err))
	}
	return ok && err == nil
}

// sweep drops what is gone of a lane, if that is so many buckets, one at a time: whoever appends waits meanwhile.
func (l *Log) sweep(lane event.Lane, buckets uint64) {
	for {
		first, err := l.firstKey(lane, l.swept[lane])
		at, end := first>>bucketBits, (l.evicted(lane)+1)>>bucketBits
		if err != nil || first == 0 || at+buckets > end {
			return
		}
		if l.dropAll(bucketPrefix(lane, at)) != nil {
			return // there is another time
		}
		l.swept[lane] = (at + 1) << bucketBits
		l.letGo()
		l.merge(mergeFrom)
	}
}

// dropAll drops all keys that begin so. The writer goes on while the rest is looked at.
func (l *Log) dropAll(prefix []byte) error {
	r := &request{drop: prefix, done: make(chan struct{})}
	err := l.submit(context.Background(), r)
	if r.held != nil {
		err = errors.Join(err, r.held.mend(prefix, l.restore))
		r.held.let()
	}
	return err
}

// firstKey is the seq of a lane's first event from a seq on, readable or not, 0 = none.
func (l *Log) firstKey(lane event.Lane, from uint64) (seq uint64, err error) {
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed.Load() {
		return 0, ErrClosed
	}
	err = sound(func() error {
		return l.db.View(func(txn *badger.Txn) error {
			it := walk(txn, lane, false)
			defer it.Close()
			if it.begin(from); it.Valid() {
				seq = seqOfKey(it.Item().Key())
			}
			return nil
		})
	})
	return seq, err
}

// short reports whether the disk has so little room that something should be evicted.
func (l *Log) short() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.room.left() < roomToKeep
}

// relieve evicts for want of room on the disk: what all required centres have, as long as that helps, then whatever may go.
func (l *Log) relieve() {
	if time.Since(l.relieved) < relieveEvery {
		return
	}
	l.mu.Lock()
	free, err := l.room.free()
	left := free - (l.room.reserve - l.room.kept)
	l.mu.Unlock()
	if err != nil || left >= roomToKeep || free < roomToMerge {
		return
	}
	l.relieved = time.Now()
	for _, lane := range evictable() {
		if l.evict(lane, relief, left >= roomToGain) {
			l.sweep(lane, 1)
			return
		}
	}
}
