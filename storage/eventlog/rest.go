package eventlog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/dgraph-io/badger/v4"
)

// resting is a Badger that merges nothing: merging writes tables through sparse maps, whose room a neighbour may take before
// they are written, and then the process dies by SIGBUS. A log that is opened on a full disk has nothing to merge for, since
// it takes no events. What little it does write piles up in level 0.
func resting(opt badger.Options) badger.Options {
	const noStall = 1 << 20 // tables
	return opt.WithNumCompactors(0).WithNumLevelZeroTablesStall(noStall)
}

// options are those of a Badger that fits the room on the disk.
func (l *Log) options() badger.Options {
	opt := tiny(l.badgerDir(), l.opt.Log)
	if l.resting {
		opt = resting(opt)
	}
	return opt
}

// rouse opens Badger again with its merges, now that there is room for them. Readers wait meanwhile. When it fails the log
// takes no more, and has to be opened again.
func (l *Log) rouse() error {
	l.reading.Lock()
	defer l.reading.Unlock()
	l.resting = false
	err := l.db.Close()
	if err == nil {
		var db *badger.DB
		if db, err = openSafe(l.options(), false); err == nil {
			l.db, l.nextWAL = db, 0
			err = l.allocate()
		}
	}
	if err != nil {
		l.closed.Store(true)
		return l.fail(fmt.Errorf("opening it again with room: %w", named(err)))
	}
	l.opt.Log.LogAttrs(context.Background(), slog.LevelInfo, "event log: room again, merges go on")
	return nil
}

// allocate makes sure of the room for the memtable that Badger has just opened, and for the next.
func (l *Log) allocate() error {
	if err := l.fillWAL(); err != nil {
		return err
	}
	_, err := l.growWAL()
	return err
}
