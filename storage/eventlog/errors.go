package eventlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What a caller of the log may branch on.
var (
	// ErrLocked says that another process uses the data directory.
	ErrLocked = errors.New("data directory is in use by another agent")
	// ErrStation says that the data directory holds the log of another station.
	ErrStation = errors.New("data directory belongs to another station")
	// ErrKey says that the log was written with another key, or with one where none is given, or without. Nothing was changed.
	ErrKey = errors.New("not the key of this event log")
	// ErrPlatform says that the program was built for 32 bits, where the allocator of Badger's table builder writes over its own
	// blocks (ristretto 2.2.0, z/allocator.go): acknowledged events would be lost.
	ErrPlatform = errors.New("event log: this program is built for 32 bits, where events would be lost: use one for 64 bits")
	// ErrDiskFull says that there is no room to open the log. Nothing was changed.
	ErrDiskFull = errors.New("disk full")
	// ErrFull says that the disk has no room for more events: the drafts are not stored. Reading goes on.
	ErrFull = errors.New("event log is full")
	// ErrTooLarge says that the drafts of one call do not fit into one transaction: none of them is stored.
	ErrTooLarge = errors.New("too much for one append")
	// ErrFailed says that a write failed and that the log takes no more until it is closed and opened again: after a
	// failed sync nobody knows what the disk holds.
	ErrFailed = errors.New("event log stopped after a failed write")
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("event log is closed")
)

// notDamage are the errors that say nothing about the files: the log stays where it is.
func notDamage() []unix.Errno {
	return []unix.Errno{
		unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EACCES, unix.EPERM, unix.EROFS, unix.EMFILE, unix.ENFILE,
		unix.ENOMEM, unix.EWOULDBLOCK, unix.EBUSY, unix.EINTR, unix.ESTALE, unix.ENODEV, unix.ENXIO,
	}
}

// isDamage reports whether an error of Badger's Open means that its files are broken.
func isDamage(err error) bool {
	if err == nil {
		return false
	}
	return !slices.ContainsFunc(notDamage(), func(no unix.Errno) bool { return is(err, no) })
}

// is looks for the text of a system's error as well, since Badger flattens what it wraps into text (y.Wrap).
func is(err error, no unix.Errno) bool {
	return errors.Is(err, no) || strings.Contains(err.Error(), no.Error())
}

// named puts our name on errors of the system that have one.
func named(err error) error {
	switch {
	case is(err, unix.ENOSPC):
		return fmt.Errorf("%w: free some space: %w", ErrDiskFull, err)
	case is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%w: stop it, or give this agent a directory of its own: %w", ErrLocked, err)
	case is(err, unix.EACCES), is(err, unix.EPERM):
		return fmt.Errorf("%w: give the data directory to the user that the agent runs as", err)
	case is(err, unix.EROFS):
		return fmt.Errorf("%w: mount the disk writable; the kernel mounts one read-only that fails", err)
	case is(err, unix.EIO), errors.Is(err, errUnreadable):
		return fmt.Errorf("%w: start again; if that does not help, replace the disk", err)
	}
	return err
}
