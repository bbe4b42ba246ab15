package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// How much room the log wants on its disk, in bytes. A commit itself needs none, since its files are allocated ahead
// (growWAL); the room is for what follows it: up to three memtables flushed (7 MB), level 0 merged into the base level
// (25 MB) while a second compactor merges a table into the level below (≤ 40 MB), all of it written through sparse maps.
const (
	roomToAppend = 64 << 20
	roomToMark   = 16 << 20 // for cursors and markers, which are small and rare
	roomToOpen   = 16 << 20 // a first memtable, its flush, and a merge of a few of them
)

const reserveFile = "reserve"

// room is the log's knowledge of its disk and the reserve that it holds there.
type room struct {
	dir     string
	reserve int64
	held    bool
}

// free is what the file system would give to an ordinary user.
func (r *room) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(r.dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the room on the disk of %s: %w", r.dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// hold allocates the reserve.
func (r *room) hold() error {
	f, err := os.OpenFile(filepath.Join(r.dir, reserveFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("holding the reserve: %w", err)
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, r.reserve), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("holding the reserve of %d bytes: %w", r.reserve, err), r.give())
	}
	r.held = true
	return nil
}

// give gives the reserve back.
func (r *room) give() error {
	r.held = false
	if err := os.Remove(filepath.Join(r.dir, reserveFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("giving the reserve back: %w", err)
	}
	return syncDir(r.dir)
}

// enough reports whether n bytes are free, and takes the reserve again when the disk has recovered. Without the reserve
// nothing more is appended: the next start would have no room.
func (r *room) enough(n int64) (bool, error) {
	free, err := r.free()
	if err != nil {
		return false, err
	}
	if n >= roomToAppend && !r.held {
		if free < n+r.reserve {
			return false, nil
		}
		return true, r.hold()
	}
	return free >= n, nil
}

// growWAL allocates the file that Badger's next memtable will be logged to, before Badger creates it: an empty file with
// blocks beyond its end, which Badger then stretches over them. It answers whether a new memtable was begun since the
// last call. An empty file that stays behind at a kill is removed at the next open.
func (l *Log) growWAL() (turned bool, err error) {
	fi, err := os.Stat(l.walPath(l.nextWAL))
	if err == nil && fi.Size() == 0 {
		return false, nil
	}
	if err == nil {
		turned = true
		l.nextWAL++
	} else if !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("allocating the next memtable's log: %w", err)
	}
	f, err := os.OpenFile(l.walPath(l.nextWAL), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return turned, fmt.Errorf("allocating the next memtable's log: %w", err)
	}
	err = errors.Join(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, walSize), f.Close())
	if err != nil {
		return turned, errors.Join(fmt.Errorf("allocating the next memtable's log: %w", err), os.Remove(f.Name()))
	}
	return turned, syncDir(l.badgerDir())
}

func (l *Log) walPath(fid int) string {
	return filepath.Join(l.badgerDir(), fmt.Sprintf("%05d%s", fid, walSuffix))
}

// fillWAL allocates the memtable log that Badger has just opened, and finds out which comes next.
func (l *Log) fillWAL() error {
	names, err := filepath.Glob(filepath.Join(l.badgerDir(), "*"+walSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		fid, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), walSuffix))
		if err != nil {
			continue
		}
		l.nextWAL = max(l.nextWAL, fid+1)
	}
	f, err := os.OpenFile(l.walPath(l.nextWAL-1), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("allocating the memtable's log: %w", err)
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, walSize), f.Close()); err != nil {
		return fmt.Errorf("allocating the memtable's log: %w", err)
	}
	return nil
}
