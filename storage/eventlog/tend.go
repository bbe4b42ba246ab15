package eventlog

import (
	"context"
	"log/slog"
	"time"
)

// How Badger's tables are merged.
const (
	mergeFrom = 5                     // tables in level 0 from which on it is merged
	crowded   = 12                    // tables in level 0 from which on whoever is not in a hurry is held up
	heldUp    = 20 * time.Millisecond // each commit, at most
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
		l.merge()
		signal(l.done)
		select {
		case <-l.chores:
		case <-l.quit:
			return
		}
	}
}

// countLevel0 notes how many tables wait in level 0.
func (l *Log) countLevel0() { l.level0.Store(int32(l.db.Levels()[0].NumTables)) }

// merge moves what is in level 0 down to the last level, in steps that take little room, if there are enough tables for it to
// be worth it. On a disk without room for a step it waits for the next time.
func (l *Log) merge() {
	if l.countLevel0(); l.level0.Load() < mergeFrom {
		return
	}
	l.mu.Lock()
	free, err := l.room.free()
	l.mu.Unlock()
	if err == nil && free < roomToMerge {
		return
	}
	if err == nil {
		err = l.db.Flatten(1)
	}
	if err != nil {
		l.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "event log: tables not merged", slog.Any("err", err))
	}
	l.countLevel0()
}
