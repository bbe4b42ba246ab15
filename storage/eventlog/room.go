package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// How much room the log wants on its disk, in bytes. A commit itself needs none, since its files are allocated ahead (wal);
// the room is for what follows it, all of it written through sparse maps: up to three memtables flushed (7 MB), and level 0
// merged with the end of the last level (25 MB, more when merging has lagged behind).
const (
	roomToAppend = 64 << 20
	roomToKeep   = 96 << 20 // below it, what all centres have is evicted
	roomToGain   = 80 << 20 // below it, whatever may be evicted is
	roomToMerge  = 48 << 20
	roomToMark   = 16 << 20 // for cursors and markers, which are small and rare
	roomToOpen   = 16 << 20 // a first memtable, its flush, and a merge of a few of them
	roomToClose  = 8 << 20  // the flush of the last memtables
)

// How the log foresees a full disk: when at the present rate there is less than ahead to go, it looks again a few times.
const (
	ahead     = 2 * time.Second
	lookAgain = 20 * time.Millisecond
	patience  = 10
)

const reserveFile = "reserve"

// room is the log's knowledge of its disk and the reserve that it holds there.
type room struct {
	dir     string
	reserve int64
	kept    int64 // of the reserve

	seen   int64 // free bytes at the last look
	seenAt time.Time
	rate   float64 // bytes per second by which they went down before it
}

// free is what the file system would give to an ordinary user.
func (r *room) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(r.dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the room on the disk of %s: %w", r.dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// left is how much room there was at the last look, without what is missing of the reserve.
func (r *room) left() int64 { return r.seen - (r.reserve - r.kept) }

// hold allocates the first n bytes of the reserve.
func (r *room) hold(n int64) error {
	f, err := os.OpenFile(filepath.Join(r.dir, reserveFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("holding the reserve: %w", err)
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, n), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("holding a reserve of %d bytes: %w", n, err), r.give())
	}
	r.kept = n
	return nil
}

// holdSome takes as much of the reserve as leaves some room: the next start may find the disk fuller.
func (r *room) holdSome(leave int64) error {
	free, err := r.free()
	if err != nil {
		return err
	}
	if n := min(r.reserve, r.kept+free-leave); n > r.kept {
		return r.hold(n)
	}
	return nil
}

// give gives the reserve back.
func (r *room) give() error {
	r.kept = 0
	if err := os.Remove(filepath.Join(r.dir, reserveFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("giving the reserve back: %w", err)
	}
	return syncDir(r.dir)
}

// verdict is what the disk says to a wish for room.
type verdict int

const (
	roomYes     verdict = iota
	roomNo              // there is not enough
	roomFilling         // there is enough yet, and it goes so fast that it may be gone before Badger is done
)

// ask says whether n bytes are free and will be for a while yet, and takes the reserve again when the disk has recovered:
// without the reserve nothing more is appended, since the next start would have no room.
func (r *room) ask(n int64, now time.Time) (verdict, error) {
	free, err := r.free()
	if err != nil {
		return roomNo, err
	}
	if passed := now.Sub(r.seenAt); passed >= lookAgain {
		r.rate = max(0, float64(r.seen-free)/passed.Seconds())
		r.seen, r.seenAt = free, now
	}
	if missing := r.reserve - r.kept; n >= roomToAppend && missing > 0 {
		if free < n+missing {
			return roomNo, nil
		}
		if err := r.hold(r.reserve); err != nil {
			return roomNo, err
		}
		r.seen -= missing
		free -= missing
	}
	switch {
	case free < n:
		return roomNo, nil
	case float64(free-n) < r.rate*ahead.Seconds():
		return roomFilling, nil
	}
	return roomYes, nil
}

// roomFor asks for n bytes, and waits a little while the disk is filling: if that was the log itself, it stops.
func (l *Log) roomFor(n int64) (bool, error) {
	for range patience {
		l.mu.Lock()
		v, err := l.room.ask(n, time.Now())
		l.mu.Unlock()
		if v != roomFilling {
			return v == roomYes, err
		}
		select {
		case <-time.After(lookAgain):
		case <-l.quit:
			return false, ErrClosed
		}
	}
	return false, nil
}
