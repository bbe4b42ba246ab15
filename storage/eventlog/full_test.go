package eventlog

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// tinyDisk is a tmpfs of its own: a disk that really gets full.
func tinyDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("no tmpfs can be mounted here (not root?): ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// stuff writes a file until the disk has not a byte left, as fast as an eMMC 5.1 can (400 MB/s).
func stuff(name string) error {
	const chunk, pace = 256 << 10, time.Second * (256 << 10) / 400e6
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	b := make([]byte, chunk)
	for err == nil {
		<-ticker.C
		_, err = f.Write(b)
	}
	if errors.Is(err, unix.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// A disk that another process fills while the log is written: the agent lives, says ErrFull, and everything that it
// acknowledged is there when it is killed, starts on the full disk, and gets its room back.
func TestDiskFull(t *testing.T) {
	disk := tinyDisk(t, "512m")
	dir, other, all := filepath.Join(disk, "log"), filepath.Join(disk, "other"), make(acks)
	c := startChild(t, "fill", dir)
	c.until("open", nil)
	for range 300 {
		all.see(c.next())
	}
	var filler errgroup.Group
	filler.Go(func() error { return stuff(other) })
	c.until("full", all.see)
	if err := filler.Wait(); err != nil {
		t.Fatal(err)
	}
	c.kill()
	var killed *exec.ExitError
	if err := c.wait(all.see); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the log's process ended by itself: %v", err)
	}
	for i := range 2 { // the second time, what the first start had left free is filled too
		startFull(t, dir, all)
		if err := stuff(other + strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{other, other + "0", other + "1"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	l := testLog(t, dir)
	all.check(t, l)
	got := mustAppend(t, l, draft(event.SeverityAlarm, "room again"))
	if s := l.Stats(); !s.ReserveHeld || s.Full || got[0].Seq != l.LastSeq() {
		t.Errorf("with room again: %+v", s)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*corrupt*")); len(names) > 0 {
		t.Errorf("a full disk was taken for damage: %s", strings.Join(names, " "))
	}
}

// startFull opens the log on a full disk: it comes up, or says that the disk is full.
func startFull(t *testing.T, dir string, all acks) {
	t.Helper()
	l, err := Open(testOptions(t, dir))
	if err != nil {
		if !errors.Is(err, ErrDiskFull) {
			t.Fatalf("start on a full disk: %v, want ErrDiskFull", err)
		}
		t.Logf("start on a full disk: %v", err)
		return
	}
	all.check(t, l)
	if _, err := l.Append(t.Context(), draft(event.SeverityAlarm, "x")); !errors.Is(err, ErrFull) {
		t.Errorf("append on a full disk: %v", err)
	}
	t.Logf("start on a full disk: %+v; close: %v", l.Stats(), l.Close())
}

// TestRest opens a log with enough in level 0 to merge on a disk that a neighbour fills at that moment: it merges nothing,
// which the test's own process survives, and does so later, when there is room. Readers do not notice.
func TestRest(t *testing.T) {
	disk := tinyDisk(t, "256m")
	dir, other := filepath.Join(disk, "log"), filepath.Join(disk, "other")
	const lives = mergeFrom // each leaves a table
	for i := range lives {
		l := testLog(t, dir)
		mustAppend(t, l, draft(event.SeverityAlarm, "life "+strconv.Itoa(i)))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := stuff(other); err != nil {
		t.Fatal(err)
	}
	l := testLog(t, dir)
	if err := stuff(other + "1"); err != nil {
		t.Fatal(err)
	}
	if n := l.level0.Load(); n < mergeFrom {
		t.Errorf("a log on a full disk merges: %d tables in level 0", n)
	}
	if _, err := l.Append(t.Context(), draft(event.SeverityAlarm, "x")); !errors.Is(err, ErrFull) {
		t.Errorf("append on a full disk: %v", err)
	}
	var readers errgroup.Group
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if got, err := l.Read(event.LaneAlarm, 0, lives); err != nil || len(got) != lives {
					return fmt.Errorf("%d of %d events: %w", len(got), lives, err)
				}
			}
		})
	}
	if err := errors.Join(os.Remove(other), os.Remove(other+"1")); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, draft(event.SeverityAlarm, "room again"))
	for i := range 300 { // more than one memtable, through files that are allocated anew
		mustAppend(t, l, draft(event.SeverityAlarm, strings.Repeat(strconv.Itoa(i), 4000)))
	}
	waitFor(t, "merged", func() bool { return l.level0.Load() < mergeFrom })
	close(stop)
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if got := len(readAll(t, testLog(t, dir), event.LaneAlarm)); got != lives+301 {
		t.Errorf("%d events, want %d", got, lives+301)
	}
}
