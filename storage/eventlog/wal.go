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

// wal is the log of Badger's memtable as this package sees it: it allocates the files before Badger writes them through a
// sparse map, and it syncs them. Badger's own SyncWrites would sync the value log as well, which holds nothing here and
// costs the disk a second flush for each commit.
type wal struct {
	dir   string
	f     *os.File // of the memtable that takes the commits
	id    int      // its number
	short bool     // the next file is not allocated yet
}

func (w *wal) path(id int) string { return filepath.Join(w.dir, fmt.Sprintf("%05d%s", id, walSuffix)) }

// begin finds and allocates the file of the memtable that Badger has just opened, and allocates the next.
func (w *wal) begin() error {
	names, err := filepath.Glob(filepath.Join(w.dir, "*"+walSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		if id, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), walSuffix)); err == nil {
			w.id = max(w.id, id)
		}
	}
	if w.f, err = os.OpenFile(w.path(w.id), os.O_RDWR, 0); err != nil {
		return fmt.Errorf("allocating the memtable's log: %w", err)
	}
	if err := unix.Fallocate(int(w.f.Fd()), 0, 0, walSize); err != nil {
		return fmt.Errorf("allocating the memtable's log: %w", err)
	}
	return w.grow()
}

// follow goes over to the next file once Badger has begun it, and reports whether it had.
func (w *wal) follow() (turned bool, err error) {
	fi, err := os.Stat(w.path(w.id + 1))
	if errors.Is(err, os.ErrNotExist) || err == nil && fi.Size() == 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("finding the memtable's log: %w", err)
	}
	f, err := os.OpenFile(w.path(w.id+1), os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("finding the memtable's log: %w", err)
	}
	_ = w.f.Close() // what stands in it is synced, or need not be
	w.f, w.id = f, w.id+1
	return true, nil
}

// sync makes what was committed lasting.
func (w *wal) sync() error {
	if err := unix.Fdatasync(int(w.f.Fd())); err != nil {
		return fmt.Errorf("syncing the memtable's log: %w", err)
	}
	return nil
}

// grow allocates the file that Badger's next memtable will be logged to, before Badger creates it: an empty file with
// blocks beyond its end, which Badger then stretches over them. One that stays behind at a kill is removed at the next open.
func (w *wal) grow() error {
	f, err := os.OpenFile(w.path(w.id+1), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, walSize), f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}
	w.short = err != nil
	if err != nil {
		return fmt.Errorf("allocating the next memtable's log: %w", err)
	}
	return syncDir(w.dir)
}

// close lets go of the files, of the empty one as well if Badger is closed.
func (w *wal) close() error {
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}

// removeNext removes the empty file that waits for the next memtable.
func (w *wal) removeNext() error {
	if err := os.Remove(w.path(w.id + 1)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
