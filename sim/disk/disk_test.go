package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if Serve() || runWriter() {
		return
	}
	os.Exit(m.Run())
}

// newDisk starts a disk for a test.
func newDisk(t testing.TB, opt Options) *Disk {
	t.Helper()
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") == "" {
			t.Skip("a disk is mounted by root over /dev/fuse, which is not to be had here")
		}
		t.Fatal("CI has no /dev/fuse, or is not root: ", err)
	}
	opt.Mount = filepath.Join(t.TempDir(), "disk")
	d, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *Disk) file(name string) string { return filepath.Join(d.Mount, name) }

func check(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// syncFile syncs a file or a directory.
func syncFile(t testing.TB, name string) {
	t.Helper()
	f, err := os.Open(name)
	check(t, err)
	check(t, f.Sync(), f.Close())
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	check(t, os.WriteFile(name, b, 0o600))
}

// writeAt writes into a file that exists.
func writeAt(t testing.TB, name string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteAt(b, off)
	check(t, err, f.Close())
}

// holds wants a file to have this content.
func holds(t testing.TB, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes %.40q, want %d bytes %.40q", filepath.Base(name), len(got), got, len(want), want)
	}
}

func missing(t testing.TB, name string) {
	t.Helper()
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v)", filepath.Base(name), err)
	}
}

func cut(t testing.TB, d *Disk) Stats {
	t.Helper()
	check(t, d.Cut(false))
	return stats(t, d)
}

func stats(t testing.TB, d *Disk) Stats {
	t.Helper()
	s, err := d.Stats()
	check(t, err)
	return s
}

// fill is content that shows where it is: each sector of it is different.
func fill(size int, mark byte) []byte {
	b := bytes.Repeat([]byte{mark}, size)
	for at := 0; at < size; at += sectorSize {
		copy(b[at:], fmt.Sprint(at))
	}
	return b
}

func TestData(t *testing.T) {
	d := newDisk(t, Options{})
	a, b := d.file("a"), d.file("b")
	writeFile(t, a, fill(10_000, 'a'))
	syncFile(t, a)
	writeAt(t, a, 5000, []byte("not synced"))
	writeFile(t, b, fill(5000, 'b'))
	holds(t, b, fill(5000, 'b'))
	s := cut(t, d)
	holds(t, a, fill(10_000, 'a'))
	missing(t, b)
	if s.Cuts != 1 || s.LostPages != 1+2 || s.LostNames == 0 {
		t.Errorf("%+v, want a lost page of a and two of b", s)
	}
	// The same mount point goes on after the cut.
	writeAt(t, a, 5000, []byte("synced this time"))
	syncFile(t, a)
	cut(t, d)
	want := fill(10_000, 'a')
	copy(want[5000:], "synced this time")
	holds(t, a, want)
}

func TestSizes(t *testing.T) {
	d := newDisk(t, Options{})
	a := d.file("a")
	full := fill(3*pageSize, 'a')
	writeFile(t, a, full)
	syncFile(t, a)
	check(t, os.Truncate(a, 100))
	check(t, os.Truncate(a, 9000))
	want := make([]byte, 9000)
	copy(want, full[:100])
	holds(t, a, want)
	cut(t, d)
	holds(t, a, full)

	check(t, os.Truncate(a, 100))
	check(t, os.Truncate(a, 9000))
	writeAt(t, a, 8000, []byte("x"))
	syncFile(t, a)
	want[8000] = 'x'
	cut(t, d)
	holds(t, a, want)
}

// A file that is truncated, filled again and not synced is found empty when another's sync commits the journal.
func TestJournal(t *testing.T) {
	d := newDisk(t, Options{})
	a, b := d.file("a"), d.file("b")
	writeFile(t, a, []byte("old"))
	syncFile(t, a)
	writeFile(t, a, []byte("new"))
	writeFile(t, b, []byte("b"))
	syncFile(t, b)
	cut(t, d)
	holds(t, b, []byte("b")) // its name came with its data
	holds(t, a, nil)
}

func TestNames(t *testing.T) {
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict=%t", strict), func(t *testing.T) {
			d := newDisk(t, Options{Strict: strict})
			a, b := d.file("a"), d.file("b")
			writeFile(t, a, []byte("a"))
			syncFile(t, a)
			syncFile(t, d.Mount)
			check(t, os.Rename(a, b))
			cut(t, d)
			holds(t, a, []byte("a"))
			missing(t, b)

			writeFile(t, a+".new", []byte("replaced"))
			syncFile(t, a+".new")
			check(t, os.Rename(a+".new", a))
			cut(t, d)
			holds(t, a, []byte("a"))
			if strict {
				missing(t, a+".new") // its data was synced, its name was not
			} else {
				holds(t, a+".new", []byte("replaced"))
			}

			writeFile(t, a+".new", []byte("replaced"))
			syncFile(t, a+".new")
			check(t, os.Rename(a+".new", a))
			syncFile(t, d.Mount)
			check(t, os.Remove(a))
			cut(t, d)
			holds(t, a, []byte("replaced"))

			check(t, os.Remove(a))
			syncFile(t, d.Mount)
			cut(t, d)
			missing(t, a)
		})
	}
}

func TestDirectories(t *testing.T) {
	d := newDisk(t, Options{Strict: true})
	deep := d.file("one/two")
	check(t, os.MkdirAll(deep, 0o755))
	for i := range 300 {
		writeFile(t, filepath.Join(deep, fmt.Sprint(i)), []byte{byte(i)})
	}
	syncFile(t, filepath.Join(deep, "7"))
	syncFile(t, deep)
	syncFile(t, d.file("one"))
	cut(t, d)
	missing(t, deep) // nobody synced the root

	check(t, os.MkdirAll(deep, 0o755))
	for i := range 300 {
		writeFile(t, filepath.Join(deep, fmt.Sprint(i)), []byte{byte(i)})
	}
	syncFile(t, filepath.Join(deep, "7"))
	for _, dir := range []string{deep, d.file("one"), d.Mount} {
		syncFile(t, dir)
	}
	cut(t, d)
	names, err := os.ReadDir(deep)
	check(t, err)
	if len(names) != 300 {
		t.Errorf("%d names, want 300", len(names))
	}
	holds(t, filepath.Join(deep, "7"), []byte{7})
	holds(t, filepath.Join(deep, "8"), nil)
	check(t, os.RemoveAll(d.file("one")))
	missing(t, d.file("one"))
}

// What programs do with files besides: links, sockets, files without a name, flags of rename.
func TestOrdinary(t *testing.T) {
	d := newDisk(t, Options{})
	a := d.file("a")
	writeFile(t, a, []byte("a"))
	check(t, os.Link(a, d.file("hard")), os.Symlink("a", d.file("soft")))
	holds(t, d.file("soft"), []byte("a"))
	f, err := os.Open(a)
	check(t, err)
	check(t, os.Remove(a))
	holds(t, d.file("hard"), []byte("a"))
	check(t, os.Remove(d.file("hard")))
	b := make([]byte, 10)
	if n, err := f.Read(b); n != 1 {
		t.Errorf("an open file without a name: %d bytes, %v", n, err)
	}
	check(t, f.Close(), unix.Mknod(d.file("socket"), unix.S_IFSOCK|0o600, 0))
	check(t, os.Mkdir(d.file("full"), 0o700), os.Mkdir(d.file("empty"), 0o700))
	writeFile(t, d.file("full/x"), nil)
	for what, err := range map[string]error{
		"removing a full directory":   os.Remove(d.file("full")),
		"renaming over a full one":    os.Rename(d.file("empty"), d.file("full")),
		"making what is there":        os.Mkdir(d.file("full"), 0o700),
		"opening what is not":         unix.Access(d.file("nothing"), 0),
		"a name that is too long":     os.WriteFile(d.file(strings.Repeat("x", 300)), nil, 0o600),
		"renaming over what is there": unix.Renameat2(unix.AT_FDCWD, d.file("empty"), unix.AT_FDCWD, d.file("socket"), unix.RENAME_NOREPLACE),
	} {
		if err == nil {
			t.Errorf("%s went well", what)
		}
	}
	check(t, os.Chmod(d.file("full/x"), 0o640), os.Chtimes(d.file("full/x"), time.Time{}, time.Unix(1_800_000_000, 0)))
	info, err := os.Stat(d.file("full/x"))
	check(t, err)
	if info.Mode() != 0o640 || info.ModTime().Unix() != 1_800_000_000 {
		t.Errorf("%s %s", info.Mode(), info.ModTime())
	}
	var names []string
	entries, err := os.ReadDir(d.Mount)
	check(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"empty", "full", "socket", "soft"}) {
		t.Errorf("the disk has %v", names)
	}
}

// mapped writes b at off through a memory map, and syncs that range if asked.
func mapped(t testing.TB, name string, off int, b []byte, sync bool) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	info, err := f.Stat()
	check(t, err)
	m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	copy(m[off:], b)
	if sync {
		check(t, unix.Msync(m, unix.MS_SYNC))
	}
	check(t, unix.Munmap(m), f.Close())
}

func TestMaps(t *testing.T) {
	d := newDisk(t, Options{})
	a := d.file("a")
	const size = 64 << 10
	want := fill(size, 'a')
	writeFile(t, a, want)
	syncFile(t, a)
	mapped(t, a, 40_000, []byte("kept"), true)
	mapped(t, a, 20_000, []byte("dropped"), false)
	cut(t, d)
	copy(want[40_000:], "kept")
	holds(t, a, want)

	mapped(t, a, 20_000, []byte("settled"), false)
	check(t, d.Settle())
	cut(t, d)
	copy(want[20_000:], "settled")
	holds(t, a, want)
}

// A writer that maps a file and is still alive when the power goes gets nothing more onto the medium.
func TestOffWhileMapped(t *testing.T) {
	d := newDisk(t, Options{})
	a := d.file("a")
	want := fill(pageSize, 'a')
	writeFile(t, a, want)
	syncFile(t, a)
	f, err := os.OpenFile(a, os.O_RDWR, 0)
	check(t, err)
	m, err := unix.Mmap(int(f.Fd()), 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	copy(m, "too late")
	check(t, d.Off(false))
	if err := unix.Msync(m, unix.MS_SYNC); err == nil {
		t.Error("a sync without power went well")
	}
	if _, err := os.Create(d.file("b")); err == nil {
		t.Error("a new file without power")
	}
	_ = unix.Munmap(m)
	_ = f.Close()
	if err := d.Settle(); err == nil {
		t.Error("the kernel wrote back without power")
	}
	check(t, d.On())
	holds(t, a, want)
	missing(t, d.file("b"))
}

func TestLocks(t *testing.T) {
	d := newDisk(t, Options{})
	writeFile(t, d.file("lock"), nil)
	f, err := os.Open(d.file("lock"))
	check(t, err)
	g, err := os.Open(d.file("lock"))
	check(t, err)
	check(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if err := unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a second lock: %v", err)
	}
	check(t, f.Close(), g.Close())
}

func mounts(t testing.TB, dir string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	check(t, err)
	return strings.Contains(string(b), " "+dir+" ")
}

// A disk leaves no mount behind: not when it is closed, not when somebody still uses it, not when its process dies.
func TestLeavesNoMount(t *testing.T) {
	for _, kill := range []bool{false, true} {
		d := newDisk(t, Options{})
		writeFile(t, d.file("a"), []byte("a"))
		f, err := os.Open(d.file("a"))
		check(t, err)
		if !mounts(t, d.Mount) {
			t.Fatal("not mounted")
		}
		if kill {
			check(t, d.cmd.Process.Kill())
		}
		if err := d.Close(); (err != nil) != kill {
			t.Errorf("killed %t: %v", kill, err)
		}
		d.closeIs = nil
		if mounts(t, d.Mount) {
			t.Errorf("still mounted, killed %t", kill)
		}
		_ = f.Close()
	}
}

func TestStart(t *testing.T) {
	newDisk(t, Options{}) // or skip
	for what, opt := range map[string]Options{
		"without a mount point":          {},
		"with a fault of nothing":        {Mount: t.TempDir(), Mode: Mode{Faults: []Fault{{Op: "seek"}}}},
		"with a pattern that is none":    {Mount: t.TempDir(), Mode: Mode{Faults: []Fault{{Op: OpRead, Name: "["}}}},
		"with less than nothing":         {Mount: t.TempDir(), Mode: Mode{Capacity: -1}},
		"on a file":                      {Mount: "/proc/self/status"},
		"with a medium that is not ours": {Mount: t.TempDir(), Medium: "/proc/self/status"},
	} {
		if d, err := Start(t.Context(), opt); err == nil {
			t.Errorf("a disk %s", what)
			_ = d.Close()
		}
	}
	d := newDisk(t, Options{})
	if err := d.On(); err == nil {
		t.Error("power on twice")
	}
	check(t, d.Off(false))
	if err := d.Off(false); err == nil {
		t.Error("power off twice")
	}
	if err := d.Set(Mode{SyncDelay: -1}); err == nil {
		t.Error("a delay of less than nothing")
	}
	check(t, d.On())
}
