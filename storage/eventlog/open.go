package eventlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/ristretto/v2/z"

	"watchpost/storage/event"
)

const (
	badgerName  = "events"
	corruptName = badgerName + ".corrupt-"
	keepCorrupt = 3  // directories set aside that are kept
	openTries   = 10 // Badger repairs one empty file with each failing Open
)

// The reasons of a log.opened event.
const (
	openedNew    = "new"     // there was no log
	openedLost   = "lost"    // there had been one, and nothing is left of it
	openedBroken = "damaged" // there was one that could not be read: it was set aside
)

// Open opens the log in opt.Dir, making it if there is none. It never needs a person to repair files: what cannot be read
// is set aside whole, and an empty log with a new epoch begins, whose first event says so. What a person has to see to
// is answered as ErrLocked, ErrStation or ErrDiskFull, or as the system's own error (no permission, input/output error),
// and then nothing was changed.
func Open(opt Options) (*Log, error) {
	opt, err := opt.complete()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the event log: %w", err)
	}
	lock, err := lockDir(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the event log: %w", err)
	}
	l := &Log{
		opt: opt, lock: lock,
		queue: make(chan *request, maxQueue), kick: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		chores: make(chan struct{}, 1), done: make(chan struct{}, 1),
		quit: make(chan struct{}), stopped: make(chan struct{}), wake: make(chan struct{}),
		room: room{dir: opt.Dir, reserve: opt.ReserveBytes}, opened: time.Now(),
	}
	if err := l.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the event log: %w", named(err)), l.abandon())
	}
	l.ends.Go(l.write)
	l.ends.Go(l.tend)
	return l, nil
}

// abandon lets go of what a failed start had taken.
func (l *Log) abandon() error {
	var errs []error
	if l.db != nil {
		errs = append(errs, l.db.Close())
	}
	if l.keeper != nil {
		errs = append(errs, l.keeper.close())
	}
	return errors.Join(append(errs, l.wal.close(), l.room.holdSome(64<<10), l.lock.Close())...)
}

// start opens the files and reads the log's state.
func (l *Log) start() error {
	known, turn := readHeads(l.opt.Dir)
	if err := l.room.give(); err != nil {
		return err
	}
	free, err := l.room.free()
	if err != nil {
		return err
	}
	if free < roomToOpen {
		return fmt.Errorf("%w: %d bytes free in %s, opening the event log takes %d: free some space", ErrDiskFull, free, l.opt.Dir, roomToOpen)
	}
	if err := l.checkKey(known); err != nil {
		return err
	}
	known.starts, known.key = min(known.starts, math.MaxUint8-1)+1, keyMark(l.opt.Key)
	if l.keeper, err = keepHeads(l.opt.Dir, known, turn); err != nil {
		return err
	}
	damage := l.openAndLoad(known)
	if damage != nil {
		if !hopeless(damage, known.starts) {
			return damage
		}
		if err := l.setAside(damage); err != nil {
			return err
		}
		if err := l.openAndLoad(known); err != nil {
			return err
		}
	}
	l.wal.dir = l.badgerDir()
	if l.tables, err = realPath(l.badgerDir()); err != nil {
		return err
	}
	if err := l.wal.begin(); err != nil {
		return err
	}
	if l.epoch.IsZero() {
		if err := l.begin(known, damage); err != nil {
			return err
		}
	} else {
		l.compare(known)
		l.tellAtOnce()
	}
	return l.room.holdSome(roomToMark)
}

// hopeless reports whether a log that failed so at the latest of so many starts in a row is set aside. A sector may be read
// at the next start that was not at this one.
func hopeless(err error, starts uint8) bool {
	return isDamage(err) && !errors.Is(err, ErrStation) && !errors.Is(err, ErrKey) && (starts >= suspicious || !errors.Is(err, errUnreadable))
}

// openAndLoad opens Badger and reads the log's state from it. A panic of Badger's is damage.
func (l *Log) openAndLoad(known heads) error {
	err := sound(func() (err error) {
		if l.db, err = openSafe(tiny(l.badgerDir(), l.opt.Key, l.opt.Log), known.starts >= suspicious); err != nil {
			if errors.Is(err, badger.ErrEncryptionKeyMismatch) && known.epoch.IsZero() {
				return l.wrongKey() // nobody knows better; with heads the key is right, and the registry is broken
			}
			return err
		}
		return l.load()
	})
	if err != nil && l.db != nil { // what is damaged is closed, so that it can be set aside
		err = errors.Join(err, sound(l.db.Close))
		l.db = nil
	}
	return err
}

// openSafe opens Badger over what a crash may have left. An empty memtable log (created, its size not yet durable) makes
// Badger refuse to open; it holds nothing, so it is removed.
func openSafe(opt badger.Options, deep bool) (*badger.DB, error) {
	if err := errors.Join(os.MkdirAll(opt.Dir, 0o700), syncDir(filepath.Dir(opt.Dir))); err != nil {
		return nil, err
	}
	if err := removeEmpty(opt.Dir, "*"+walSuffix, "*.vlog"); err != nil {
		return nil, err
	}
	if err := checkFiles(opt, deep); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		db, err := badger.Open(opt)
		if err == nil {
			return db, nil
		}
		if try == openTries || !strings.Contains(err.Error(), z.NewFile.Error()) {
			return nil, err
		}
	}
}

func removeEmpty(dir string, patterns ...string) error {
	for _, pattern := range patterns {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if fi, err := os.Stat(name); err != nil || fi.Size() > 0 {
				continue
			}
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return syncDir(dir)
}

// setAside moves Badger's directory out of the way, whole, and keeps the newest few of those.
func (l *Log) setAside(cause error) error {
	names, err := filepath.Glob(filepath.Join(l.opt.Dir, corruptName+"*"))
	if err != nil {
		return err
	}
	var ns []int
	for _, name := range names {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(name), corruptName)); err == nil {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	n := 1
	if len(ns) > 0 {
		n = ns[len(ns)-1] + 1
	}
	corrupt := func(n int) string { return filepath.Join(l.opt.Dir, corruptName+strconv.Itoa(n)) }
	if err := errors.Join(os.Rename(l.badgerDir(), corrupt(n)), syncDir(l.opt.Dir)); err != nil {
		return fmt.Errorf("setting the damaged log aside: %w", err)
	}
	l.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: damaged, set aside whole; an empty one begins",
		slog.String("dir", corrupt(n)), slog.Any("err", cause))
	for len(ns) >= keepCorrupt {
		if err := os.RemoveAll(corrupt(ns[0])); err != nil {
			return fmt.Errorf("removing an old damaged log: %w", err)
		}
		ns = ns[1:]
	}
	return nil
}

// begin makes an empty log the first day of a new epoch.
func (l *Log) begin(known heads, damage error) error {
	if _, err := rand.Read(l.epoch[:]); err != nil {
		return err
	}
	b := l.newBatch()
	if _, err := b.stageOwn(openedDraft(known, damage)); err != nil {
		return err
	}
	key := metaKey(metaLog)
	b.add(key, seal(key, encodeMeta(l.opt.Station, l.epoch)))
	if err := l.store(b); err != nil {
		return err
	}
	l.sure = true
	l.keeper.now = heads{epoch: l.epoch, starts: 1, promised: seqStep, boot: l.opt.boot, key: keyMark(l.opt.Key)}
	l.settle(b)
	return l.keeper.sync()
}

// openedDraft is the first event of an epoch.
func openedDraft(known heads, damage error) event.Draft {
	why, severity := openedNew, event.SeverityNotice
	if !known.epoch.IsZero() {
		why, severity = openedLost, event.SeverityWarning
	}
	var detail string
	if damage != nil {
		why, severity = openedBroken, event.SeverityWarning
		detail = damage.Error()
		detail = strings.ToValidUTF8(detail[:min(len(detail), 1000)], "")
	}
	fields := []event.Field{event.Text(event.TagReason, why), event.Text(event.TagDetail, detail)}
	if !known.epoch.IsZero() {
		fields = append(fields, event.Bytes(event.TagPrevEpoch, known.epoch[:]),
			event.Uint(event.TagLastAlarm, known.last[event.LaneAlarm]), event.Uint(event.TagLastMain, known.last[event.LaneMain]),
			event.Uint(event.TagLastRead, known.last[event.LaneRead]), event.Uint(event.TagLastTrace, known.last[event.LaneTrace]))
	}
	return event.Draft{
		Kind: event.KindLogOpened, Qualifier: event.QualifierStatus, Source: "station", Severity: severity,
		Body: event.NewBody(fields...),
	}
}

// compare holds the log against its heads. A log that ends before them (a cut write-ahead log) goes on behind a gap, so
// that no seq is given twice; what is missing in each lane is told as a hole. So does a log that was not closed before a new
// boot, which may be a power cut: what was left out is told as well.
func (l *Log) compare(known heads) {
	top := topSeq(l.tails)
	now := heads{epoch: l.epoch, starts: known.starts, key: known.key, promised: top + 2*seqStep}
	if known.epoch == l.epoch {
		now.last, now.promised, now.boot = known.last, known.promised, known.boot
	}
	ends := lastOf(l.tails)
	lost := make([]event.Lane, 0, laneSlots)
	for lane, last := range ends {
		if now.last[lane] > last {
			lost = append(lost, event.Lane(lane))
		}
		now.last[lane] = max(now.last[lane], last)
	}
	l.keeper.now = now
	booted := now.boot != l.opt.boot || now.boot == [8]byte{}
	if len(lost) > 0 || booted {
		l.next = max(now.promised, now.seq()) + 1
	}
	l.sure = l.next > now.promised
	for _, lane := range lost {
		l.lost(hole{lane: lane, span: span{ends[lane] + 1, l.next - 1}, why: reasonDamaged})
	}
	if booted && l.next > top+1 {
		l.untold = append(l.untold, hole{span: span{top + 1, l.next - 1}, why: reasonUnsure, count: l.next - 1 - top})
	}
}

// tellAtOnce tells what opening the log has found, if there is room.
func (l *Log) tellAtOnce() {
	b := l.newBatch()
	if ok, err := l.roomFor(roomToMark); ok && err == nil {
		b.tell(l.toTell(), nil)
		l.commit(b)
	}
}

// checkKey refuses a key that is not the one that the log was written with, before anything is touched.
func (l *Log) checkKey(known heads) error {
	files, err := os.ReadDir(l.badgerDir())
	if err != nil || len(files) == 0 || known.epoch.IsZero() || known.key == keyMark(l.opt.Key) {
		return nil // Badger says what is wrong with its directory
	}
	return l.wrongKey()
}

func (l *Log) wrongKey() error {
	return fmt.Errorf("%w: %s: give the key that it was written with (none, if that was so), or move the directory %s away to begin a new log",
		ErrKey, l.opt.Dir, l.badgerDir())
}

func lastOf(tails [laneSlots]tail) (last [laneSlots]uint64) {
	for lane, t := range tails {
		last[lane] = t.seq
	}
	return last
}
