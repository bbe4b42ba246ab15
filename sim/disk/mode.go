package disk

import (
	"errors"
	"fmt"
	"path"
	"time"
)

// DefaultCapacity is the size of a small eMMC.
const DefaultCapacity = 8 << 30

// Options say where a disk stands.
type Options struct {
	Mount  string `json:"mount"`  // directory that shows the disk, made if it is missing
	Medium string `json:"medium"` // empty directory for what reached the medium, made if it is missing; "" = a temporary one
	Seed   uint64 `json:"seed"`   // of torn cuts
	Strict bool   `json:"strict"` // names last only by a sync of their directory
	Mode   Mode   `json:"mode"`   // to begin with
}

// Mode is how a disk behaves. The zero Mode is a good disk.
type Mode struct {
	Capacity       int64         `json:"capacity"`         // bytes, in pages of 4 KiB; 0 = DefaultCapacity
	SyncDelay      time.Duration `json:"sync_delay"`       // each sync takes at least so long, one after the other
	BytesPerSecond int64         `json:"bytes_per_second"` // that a sync writes; 0 = no limit
	Lies           bool          `json:"lies"`             // a sync is answered and does nothing
	Faults         []Fault       `json:"faults"`           // each counts from when the mode was set
}

// Op is what a Fault makes fail.
type Op string

// The operations that can fail.
const (
	OpRead  Op = "read"  // one that the kernel has not cached
	OpWrite Op = "write" // by write(2), or the kernel's writing back of a mapped page: then msync says so
	OpSync  Op = "sync"  // of a file or a directory
)

// Fault makes operations answer EIO.
type Fault struct {
	Op    Op     `json:"op"`
	Name  string `json:"name"`  // of the files, as path.Match takes it, such as *.mem; "" = all
	After int    `json:"after"` // operations that succeed first
	Count int    `json:"count"` // operations that fail then; 0 = all
}

func (m Mode) check() error {
	if m.Capacity < 0 || m.SyncDelay < 0 || m.BytesPerSecond < 0 {
		return errors.New("a disk's capacity, delay and bytes per second are not negative")
	}
	for _, f := range m.Faults {
		if f.Op != OpRead && f.Op != OpWrite && f.Op != OpSync {
			return fmt.Errorf("a fault of operation %q: use %s, %s or %s", f.Op, OpRead, OpWrite, OpSync)
		}
		if _, err := path.Match(f.Name, ""); err != nil {
			return fmt.Errorf("a fault of files %q: %w", f.Name, err)
		}
	}
	return nil
}

func (m Mode) capacity() int64 {
	if m.Capacity == 0 {
		return DefaultCapacity
	}
	return m.Capacity
}

// syncTime is how long a sync of so many pages takes.
func (m Mode) syncTime(pages int) time.Duration {
	took := m.SyncDelay
	if m.BytesPerSecond > 0 {
		took += time.Duration(float64(pages*pageSize) / float64(m.BytesPerSecond) * float64(time.Second))
	}
	return took
}

// armed is a Fault that counts.
type armed struct {
	Fault
	seen int
}

func (a *armed) hits(op Op, name string) bool {
	if a.Op != op {
		return false
	}
	if ok, _ := path.Match(a.Name, name); !ok && a.Name != "" {
		return false
	}
	a.seen++
	return a.seen > a.After && (a.Count == 0 || a.seen <= a.After+a.Count)
}

// Stats is what a disk has counted since it was made.
type Stats struct {
	Syncs    int `json:"syncs"`     // of files that were asked for: fsync, fdatasync, msync
	DirSyncs int `json:"dir_syncs"` // of directories
	Lies     int `json:"lies"`      // of both, those answered for nothing
	Refused  int `json:"refused"`   // operations of all kinds that failed by a Fault
	Full     int `json:"full"`      // that failed for want of room
	Commits  int `json:"commits"`   // of the journal

	DataBytes    int64            `json:"data_bytes"`    // that reached the medium, in whole pages of 4 KiB
	JournalBytes int64            `json:"journal_bytes"` // likewise, of the journal; see the package comment for the model
	ByName       map[string]int64 `json:"by_name"`       // DataBytes by the files' extension, or name if they have none

	Used     int64 `json:"used"`     // bytes taken now
	Capacity int64 `json:"capacity"` // bytes

	Cuts      int `json:"cuts"`
	LostPages int `json:"lost_pages"` // at cuts: pages with something that did not reach the medium
	LostNames int `json:"lost_names"` // at cuts: changes of names and sizes that did not
	Torn      int `json:"torn"`       // at cuts: pages that reached it in part
	Landed    int `json:"landed"`     // at cuts: pages that reached it whole without having been synced
}

// Bytes is all that reached the medium.
func (s Stats) Bytes() int64 { return s.DataBytes + s.JournalBytes }
