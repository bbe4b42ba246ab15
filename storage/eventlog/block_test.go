package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// Badger takes a block apart before it looks at its checksum, and panics when the length of that is wrong. What stands
// before and behind the block is read all the same, and so is what comes later.
func TestBlockThatPanics(t *testing.T) {
	dir, epoch := written(t, 300)
	name := one(t, filepath.Join(dir, badgerName, "*.sst"))
	// The end of a block: number of entries, checksum, length of the checksum (Builder.finishBlock in badger's table/builder.go).
	end := regexp.MustCompile(`(?s)\x00\x00\x00[\x01-\x20]\x10.{5}\x00\x00(\x00\x06)`)
	change(t, name, func(b []byte) []byte {
		at := end.FindSubmatchIndex(b[100_000:])
		if at == nil {
			t.Fatal("no block's end was found")
		}
		copy(b[100_000+at[2]:], "\x0b\x00")
		return b
	})
	l := testLog(t, dir)
	if l.Epoch() != epoch {
		t.Fatal("the whole log was set aside for one block")
	}
	last := mustAppend(t, l, draft(event.SeverityAlarm, "after"))[0].Seq
	es := readAll(t, l, event.LaneAlarm)
	if len(es) > 300 || len(es) < 290 || es[len(es)-1].Seq != last {
		t.Fatalf("%d of 301 alarms are left, the last at %d, want %d", len(es), es[len(es)-1].Seq, last)
	}
	untilHoles(t, l, 1)
	for i, e := range es {
		if i > 0 && e.Seq > es[i-1].Seq+2 {
			wantHole(t, l, event.LaneAlarm, es[i-1].Seq+1, e.Seq-2)
		}
	}
}

// A sector that cannot be read any more is a SIGBUS to whoever reads it through a memory map. A reader lives and steps
// over it; the check after many bad ends finds it as damage, instead of ending the agent at every start.
func TestUnreadableSector(t *testing.T) {
	disk := tinyDisk(t, "128m")
	l := testLog(t, filepath.Join(disk, "log"))
	fill(t, l, 300)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = testLog(t, l.opt.Dir)
	f, err := os.OpenFile(one(t, filepath.Join(l.badgerDir(), "*.sst")), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A hole of a file on a full tmpfs faults as a bad sector does.
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 102_400, 8192)
	if err := errors.Join(err, f.Close(), stuff(filepath.Join(disk, "other"))); err != nil {
		t.Fatal(err)
	}
	if es := readAll(t, l, event.LaneAlarm); len(es) > 299 || len(es) < 275 || es[len(es)-1].Seq != l.Head(event.LaneAlarm) {
		t.Errorf("%d of 300 alarms are left", len(es))
	}
	if err := checkFiles(tiny(l.badgerDir(), nil, l.opt.Log), true); !errors.Is(err, errDamage) || !isDamage(err) {
		t.Errorf("the check says %v", err)
	}
}

// A fault is told from a panic, and a good log is not given up for one that may pass.
func TestHopeless(t *testing.T) {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(page) }()
	fault := sound(func() error { return fmt.Errorf("read %d", page[0]) })
	broken := sound(func() error { return fmt.Errorf("read %d", page[:0][len(page)]) })
	for _, c := range []struct {
		err    error
		starts uint8
		want   bool
	}{
		{broken, 1, true},
		{fault, 1, false},
		{fault, suspicious, true},
		{unix.EIO, suspicious, false},
		{fmt.Errorf("%w: of another", ErrStation), suspicious, false},
	} {
		if got := hopeless(c.err, c.starts); got != c.want {
			t.Errorf("%v at start %d is hopeless: %v", c.err, c.starts, got)
		}
	}
	for err, remedy := range map[error]string{
		fault: "replace the disk", unix.EIO: "replace the disk", unix.EROFS: "writable", unix.EACCES: "the user", unix.ENOSPC: "free some space",
	} {
		if told := named(err); !errors.Is(told, err) || !strings.Contains(told.Error(), remedy) {
			t.Errorf("%v is told as %v, want %s", err, told, remedy)
		}
	}
}
