package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// sectorStates says of each sector of got whether it is new, old, zero or none of these.
func sectorStates(t *testing.T, got, old, fresh []byte) (states string) {
	t.Helper()
	for at := 0; at < len(got); at += sectorSize {
		sector := got[at:min(at+sectorSize, len(got))]
		switch {
		case bytes.Equal(sector, fresh[at:at+len(sector)]):
			states += "n"
		case at+len(sector) <= len(old) && bytes.Equal(sector, old[at:at+len(sector)]):
			states += "o"
		case bytes.Equal(sector, make([]byte, len(sector))):
			states += "0"
		default:
			t.Errorf("sector %d is %.30q", at/sectorSize, sector)
			states += "?"
		}
	}
	return states
}

// tornFile overwrites and extends a file without syncing it, tears, and says which sectors are old, new or nothing.
func tornFile(t *testing.T, seed uint64) (string, Stats) {
	t.Helper()
	d := newDisk(t, Options{Seed: seed})
	a := d.file("a")
	old, fresh := fill(16*pageSize, 'o'), fill(24*pageSize, 'n')
	for i := range fresh { // no sector of one is equal to its place in the other
		fresh[i] ^= 0x80
	}
	writeFile(t, a, old)
	syncFile(t, a)
	writeAt(t, a, 0, fresh)
	check(t, d.Cut(true))
	got, err := os.ReadFile(a)
	check(t, err)
	return sectorStates(t, got, old, fresh), stats(t, d)
}

func TestTorn(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(4) {
		states, s := tornFile(t, seed)
		if again, _ := tornFile(t, seed); again != states {
			t.Errorf("seed %d tears differently each time:\n%s\n%s", seed, states, again)
		}
		seen[states] = true
		whole, half := 0, 0
		for at := 0; at+8 <= len(states); at += 8 {
			switch page := states[at : at+8]; page {
			case "nnnnnnnn":
				whole++
			case "oooooooo", "00000000":
			default:
				half++
			}
		}
		if whole == 0 || half > 1 || s.Landed != whole || s.LostPages == 0 {
			t.Errorf("seed %d: %d pages came through whole and %d in part; %+v\n%s", seed, whole, half, s, states)
		}
	}
	if len(seen) < 3 {
		t.Errorf("4 seeds tear in %d ways", len(seen))
	}
}

// A torn cut may let the first part of the journal through: names come in the order in which they were made.
func TestTornNames(t *testing.T) {
	kept := map[int]bool{}
	for seed := range uint64(6) {
		d := newDisk(t, Options{Seed: seed})
		for i := range 10 {
			writeFile(t, d.file(fmt.Sprint(i)), nil)
		}
		check(t, d.Cut(true))
		names, err := os.ReadDir(d.Mount)
		check(t, err)
		for i, e := range names {
			if e.Name() != fmt.Sprint(i) {
				t.Errorf("seed %d: name %d is %s", seed, i, e.Name())
			}
		}
		kept[len(names)] = true
	}
	if len(kept) < 3 {
		t.Errorf("6 seeds kept %v names", kept)
	}
}

func TestFull(t *testing.T) {
	d := newDisk(t, Options{Mode: Mode{Capacity: 1 << 20}})
	a := d.file("a")
	err := os.WriteFile(a, make([]byte, 2<<20), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("2 MiB on a disk of 1: %v", err)
	}
	var st unix.Statfs_t
	check(t, unix.Statfs(d.Mount, &st))
	if free := int64(st.Bavail) * int64(st.Bsize); free != 0 || int64(st.Blocks)*int64(st.Bsize) != 1<<20 {
		t.Errorf("%d bytes free of %d", free, int64(st.Blocks)*int64(st.Bsize))
	}
	check(t, os.Truncate(a, 4096))
	f, err := os.OpenFile(d.file("b"), os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 1<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("1 MiB allocated where a page is missing: %v", err)
	}
	check(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20-4096))
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("size %d, %v", info.Size(), err)
	}
	if err := os.WriteFile(d.file("c"), []byte("c"), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a byte on a full disk: %v", err)
	}
	if _, err := f.WriteAt(make([]byte, 1<<20-4096), 0); err != nil { // it was allocated
		t.Error(err)
	}
	check(t, f.Close())
	if s := stats(t, d); s.Used != 1<<20 || s.Full < 3 {
		t.Errorf("%+v", s)
	}
	check(t, os.Remove(d.file("b")), d.Set(Mode{}))
	check(t, unix.Statfs(d.Mount, &st))
	if st.Blocks-st.Bavail != 1 {
		t.Errorf("%d pages taken, want 1", st.Blocks-st.Bavail)
	}
}

// A hole that a map writes into has no room on a full disk: its sync says so, and the power cut leaves the disk in order.
func TestFullMap(t *testing.T) {
	d := newDisk(t, Options{Mode: Mode{Capacity: 64 << 10}})
	writeFile(t, d.file("a"), nil)
	check(t, os.Truncate(d.file("a"), 1<<20))
	f, err := os.OpenFile(d.file("a"), os.O_RDWR, 0)
	check(t, err)
	m, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	for i := range m {
		m[i] = 1
	}
	if err := unix.Msync(m, unix.MS_SYNC); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("msync: %v", err)
	}
	_, _ = unix.Munmap(m), f.Close()
	cut(t, d)
	if s := stats(t, d); s.Used > 64<<10 {
		t.Errorf("%+v", s)
	}
}

func TestSlow(t *testing.T) {
	m := Mode{SyncDelay: 20 * time.Millisecond, BytesPerSecond: 1 << 20}
	if took := m.syncTime(256); took != 1020*time.Millisecond {
		t.Errorf("1 MiB at 1 MiB/s and 20 ms take %s", took)
	}
	d := newDisk(t, Options{Mode: m})
	a := d.file("a")
	writeFile(t, a, fill(pageSize, 'a'))
	begun := time.Now()
	for range 3 {
		syncFile(t, a)
	}
	if took := time.Since(begun); took < 3*m.SyncDelay {
		t.Errorf("three syncs of 20 ms took %s", took)
	}
	if s := stats(t, d); s.Syncs != 3 || s.DataBytes != pageSize {
		t.Errorf("%+v", s)
	}
	// A sync that is under way when the power goes fails, and what it was to write is lost.
	check(t, d.Set(Mode{SyncDelay: time.Hour}))
	writeAt(t, a, 0, []byte("late"))
	f, err := os.Open(a)
	check(t, err)
	var power errgroup.Group
	power.Go(func() error {
		for {
			if s, err := d.Stats(); err != nil || s.Syncs == 4 {
				return errors.Join(err, d.Off(false))
			}
		}
	})
	if err := f.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("a sync that lost its power: %v", err)
	}
	check(t, power.Wait())
	_ = f.Close()
	check(t, d.On())
	holds(t, a, fill(pageSize, 'a'))
}

func TestFaults(t *testing.T) {
	d := newDisk(t, Options{})
	a, b := d.file("a.mem"), d.file("b.sst")
	writeFile(t, a, fill(pageSize, 'a'))
	writeFile(t, b, fill(pageSize, 'b'))
	check(t, d.Set(Mode{Faults: []Fault{
		{Op: OpSync, Name: "*.mem", After: 1, Count: 1},
		{Op: OpWrite, Name: "*.sst"},
	}}))
	syncFile(t, a)
	writeAt(t, a, 100, []byte("lost"))
	f, err := os.Open(a)
	check(t, err)
	if err := f.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("second sync: %v", err)
	}
	check(t, f.Sync(), f.Close()) // as Linux: the page counts as clean now
	syncFile(t, b)
	if err := os.WriteFile(b, []byte("x"), 0o600); !errors.Is(err, unix.EIO) {
		t.Errorf("write: %v", err)
	}
	if s := stats(t, d); s.Refused != 2 {
		t.Errorf("%+v", s)
	}
	check(t, d.Set(Mode{}))
	cut(t, d)
	holds(t, a, fill(pageSize, 'a'))
	check(t, d.Set(Mode{Faults: []Fault{{Op: OpRead, Name: "a.mem"}}}))
	cut(t, d)
	if _, err := os.ReadFile(a); !errors.Is(err, unix.EIO) {
		t.Errorf("read: %v", err)
	}
	check(t, d.Set(Mode{}))
	holds(t, a, fill(pageSize, 'a'))
}

func TestLies(t *testing.T) {
	d := newDisk(t, Options{Mode: Mode{Lies: true}})
	a := d.file("a")
	writeFile(t, a, fill(pageSize, 'a'))
	syncFile(t, a)
	syncFile(t, d.Mount)
	holds(t, a, fill(pageSize, 'a'))
	if s := cut(t, d); s.Lies != 2 || s.Bytes() != 0 || s.LostPages != 1 {
		t.Errorf("%+v", s)
	}
	missing(t, a)
}

// TestCount holds the model of the package comment, of which it says what ext4 wrote.
func TestCount(t *testing.T) {
	d := newDisk(t, Options{})
	a := d.file("a")
	reach := func(what string, want int64, do func()) {
		t.Helper()
		before := stats(t, d).Bytes()
		do()
		if got := (stats(t, d).Bytes() - before) / pageSize; got != want {
			t.Errorf("%s: %d pages, want %d", what, got, want)
		}
	}
	reach("a new file with a page, and both syncs", 9, func() {
		writeFile(t, a, fill(pageSize, 'a'))
		syncFile(t, a)
		syncFile(t, d.Mount)
	})
	reach("what the flusher adds", 6, func() { check(t, d.Settle()) })
	reach("one byte of a page, and its time", 4, func() {
		writeAt(t, a, 17, []byte("x"))
		syncFile(t, a)
	})
	reach("nothing", 0, func() { syncFile(t, a) })
	reach("what the flusher adds to a time", 1, func() { check(t, d.Settle()) })
	reach("one byte of a page that is mapped", 1, func() { mapped(t, a, 17, []byte("y"), true) })
	reach("its time, when the flusher comes", 4, func() { check(t, d.Settle()) })
	reach("a page more", 6, func() {
		writeAt(t, a, pageSize, fill(pageSize, 'b'))
		syncFile(t, a)
	})
	reach("a hundred bytes more, on a new page", 6, func() {
		writeAt(t, a, 2*pageSize, fill(100, 'c'))
		syncFile(t, a)
	})
	reach("a hundred bytes more, on the same page", 4, func() {
		writeAt(t, a, 2*pageSize+100, fill(100, 'c'))
		syncFile(t, a)
	})
	reach("pages that are allocated and not written, with the change of size", 3, func() {
		f, err := os.OpenFile(a, os.O_RDWR, 0)
		check(t, err)
		check(t, unix.Fallocate(int(f.Fd()), 0, 0, 16*pageSize), f.Sync(), f.Close())
	})
	reach("the first data in one of them", 4, func() { mapped(t, a, 8*pageSize, []byte("x"), true) })
	reach("two pages far apart", 2, func() {
		f, err := os.OpenFile(a, os.O_RDWR, 0)
		check(t, err)
		_, err = f.WriteAt([]byte("y"), 8*pageSize)
		check(t, err)
		_, err = f.WriteAt([]byte("y"), 0)
		check(t, err, unix.Fdatasync(int(f.Fd())), f.Close())
	})
	check(t, d.Settle())
	reach("unsynced data and names, when the flusher comes", 1+2+6+6, func() {
		writeFile(t, d.file("b.mem"), fill(100, 'b'))
		check(t, d.Settle())
	})
	reach("nothing, when the flusher comes", 0, func() { check(t, d.Settle()) })
	if s := stats(t, d); s.ByName[".mem"] != pageSize || s.ByName["a"] != s.DataBytes-pageSize || s.DirSyncs != 1 {
		t.Errorf("%+v", s)
	}
}
