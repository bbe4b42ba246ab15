package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/storage/event"
)

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("still not: ", what)
		}
	}
}

// A source's keys are known again after a restart, in good order and after a kill.
func TestOnceAcrossRestart(t *testing.T) {
	l := testLog(t, t.TempDir())
	keyed := func(source string, i int) event.Draft {
		d := draft(event.SeverityAlarm, "x")
		d.Source, d.Once = source, fmt.Sprint("key ", i)
		return d
	}
	for i := range event.OnceKept + 10 {
		mustAppend(t, l, keyed("dc09/1", i), keyed("dc09/2", i))
	}
	killed := asKilled(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{killed, l.opt.Dir} {
		now := testLog(t, dir)
		for i := 10; i < event.OnceKept+10; i++ {
			got := mustAppend(t, now, keyed("dc09/1", i), keyed("dc09/2", i))
			if want := (Appended{Seq: uint64(2 + 2*i), Lane: event.LaneAlarm, Repeat: true}); got[0] != want || got[1].Seq != want.Seq+1 {
				t.Fatalf("key %d: %+v, want %+v", i, got, want)
			}
		}
		if got := mustAppend(t, now, keyed("dc09/1", 9))[0]; got.Repeat || got.Seq != l.LastSeq()+1 {
			t.Errorf("a key before the last %d: %+v", event.OnceKept, got)
		}
	}
}

// Whatever is queued at once, no transaction gets too big for Badger, and what does not fit into one is said to.
func TestLargeAppends(t *testing.T) {
	l := testLog(t, t.TempDir())
	large := draft(event.SeverityAlarm, strings.Repeat("x", event.MaxRecord-100))
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			if _, err := l.Append(t.Context(), large); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if es := readAll(t, l, event.LaneAlarm); len(es) != 256 || l.LastSeq() != 257 {
		t.Errorf("%d large events, last seq %d", len(es), l.LastSeq())
	}
	for _, n := range []int{15, 17} { // 16 records alone would fill MaxAppend
		drafts := make([]event.Draft, n)
		for i := range drafts {
			drafts[i] = large
		}
		got, err := l.Append(t.Context(), drafts...)
		if (err == nil) != (n == 15) || err != nil && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d large drafts: %d, %v", n, len(got), err)
		}
	}
	small := make([]event.Draft, MaxDrafts)
	for i := range small {
		small[i] = draft(event.SeverityTrace, strings.Repeat("x", 800))
		small[i].Once = fmt.Sprint(i)
	}
	mustAppend(t, l, small...)
	long := draft(event.SeverityAlarm, "x")
	long.Once = strings.Repeat("k", maxOnce+1)
	for _, d := range []event.Draft{draft(event.SeverityAlarm, strings.Repeat("x", event.MaxRecord)), long} {
		if _, err := l.Append(t.Context(), d); err == nil {
			t.Error("an event that is too large was stored")
		}
	}
}

// An append whose context ends while it is queued is not stored. One whose commit is under way may be, and says so.
func TestContextEnds(t *testing.T) {
	l := testLog(t, t.TempDir())
	var wg sync.WaitGroup
	defer wg.Wait()
	l.mu.Lock() // the writer stands still before its next commit
	wg.Go(func() {
		if _, err := l.Append(context.Background(), draft(event.SeverityAlarm, "first")); err != nil {
			t.Error("first: ", err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	queued, taken := make(chan error, 1), make(chan error, 1)
	wg.Go(func() {
		_, err := l.Append(ctx, draft(event.SeverityAlarm, "queued"))
		queued <- err
	})
	r := &request{drafts: []event.Draft{draft(event.SeverityAlarm, "taken")}, done: make(chan struct{})}
	r.state.Store(requestTaken)
	wg.Go(func() { taken <- l.submit(ctx, r) })
	waitFor(t, "one with the writer, two queued", func() bool { return len(l.queue) == 2 })
	cancel()
	if err := <-queued; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "event not stored") {
		t.Errorf("while queued: %v", err)
	}
	if err := <-taken; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "may or may not") {
		t.Errorf("while its commit is under way: %v", err)
	}
	l.mu.Unlock()
	mustAppend(t, l, draft(event.SeverityAlarm, "last"))
	stored := make(map[string]bool)
	for _, e := range readAll(t, l, event.LaneAlarm) {
		text, _ := e.Body.Text(event.TagText)
		stored[text] = true
	}
	if len(stored) != 3 || stored["queued"] {
		t.Errorf("stored: %v", stored)
	}
}

// After a write that failed nobody knows what the disk holds: the log takes nothing more, gives no seq twice and shows
// nothing that was not acknowledged, until it is opened again.
func TestFailedWrite(t *testing.T) {
	l := testLog(t, t.TempDir())
	mustAppend(t, l, draft(event.SeverityAlarm, "before"))
	if err := l.db.Close(); err != nil { // the writer's next commit fails
		t.Fatal(err)
	}
	for range 2 {
		if _, err := l.Append(t.Context(), draft(event.SeverityAlarm, "lost")); !errors.Is(err, ErrFailed) {
			t.Errorf("append: %v", err)
		}
	}
	if err := l.SetCursor("changshan", event.LaneAlarm, 2); !errors.Is(err, ErrFailed) {
		t.Errorf("cursor: %v", err)
	}
	if s := l.Stats(); s.Err == nil || l.LastSeq() != 2 {
		t.Errorf("stats %+v", s)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	now := testLog(t, l.opt.Dir)
	if got := mustAppend(t, now, draft(event.SeverityAlarm, "after"))[0]; got.Seq != 3 || now.Epoch() != l.Epoch() {
		t.Errorf("opened again: %+v", got)
	}
}

// What a full log refused is told, once there is room again; what it knows already it still says.
func TestRefusedIsTold(t *testing.T) {
	l := testLog(t, t.TempDir())
	known := draft(event.SeverityAlarm, "known")
	known.Once = "key"
	mustAppend(t, l, known)
	l.mu.Lock()
	reserve := l.room.reserve
	l.room.reserve = 1 << 60 // no disk has that
	l.mu.Unlock()
	for range 3 {
		if _, err := l.Append(t.Context(), draft(event.SeverityAlarm, "x"), known); !errors.Is(err, ErrFull) {
			t.Fatalf("append: %v", err)
		}
	}
	if got := mustAppend(t, l, known)[0]; !got.Repeat || got.Seq != 2 {
		t.Errorf("told again while full: %+v", got)
	}
	if err := l.SetCursor("changshan", event.LaneAlarm, 2); err != nil {
		t.Errorf("cursor while full: %v", err)
	}
	if s := l.Stats(); !s.Full || s.Refused != 6 || s.ReserveHeld || l.LastSeq() != 2 {
		t.Errorf("while full: %+v", s)
	}
	l.mu.Lock()
	l.room.reserve = reserve
	l.mu.Unlock()
	if got := mustAppend(t, l, draft(event.SeverityAlarm, "room"))[0]; got.Seq != 4 {
		t.Errorf("with room again: %+v", got)
	}
	es := readAll(t, l, event.LaneMain)
	last := es[len(es)-1]
	count, _ := last.Body.Uint(event.TagCount)
	if last.Kind != event.KindLogRefused || last.Seq != 3 || count != 6 {
		t.Errorf("told: %+v", last)
	}
	mustAppend(t, l, draft(event.SeverityAlarm, "y"))
	if n := len(readAll(t, l, event.LaneMain)); n != len(es) || l.Stats().Full {
		t.Errorf("%d events in the main lane, were %d", n, len(es))
	}
}

// Close answers everybody, however many appends are on their way.
func TestCloseWhileAppending(t *testing.T) {
	l := testLog(t, t.TempDir())
	var wg sync.WaitGroup
	stored := make([]int, 8)
	for w := range stored {
		wg.Go(func() {
			for {
				_, err := l.Append(t.Context(), draft(event.SeverityTrace, "x"))
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				stored[w]++
			}
		})
	}
	waitFor(t, "100 events", func() bool { return l.LastSeq() > 100 })
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	sum := 0
	for _, n := range stored {
		sum += n
	}
	now := testLog(t, l.opt.Dir)
	if got := len(readAll(t, now, event.LaneTrace)); got != sum {
		t.Errorf("%d events, %d acknowledged", got, sum)
	}
}

// The file of the next memtable cannot be allocated: that is a full disk as well, and told as one.
func TestFullBeforeNextFile(t *testing.T) {
	l := testLog(t, t.TempDir())
	mustAppend(t, l, draft(event.SeverityAlarm, "x"))
	next := l.wal.path(l.wal.id + 1)
	if err := errors.Join(os.Remove(next), os.Symlink(filepath.Join(l.opt.Dir, "gone", "gone"), next)); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.wal.short = true // as the commit before has found
	l.mu.Unlock()
	_, err := l.Append(t.Context(), draft(event.SeverityAlarm, "y"))
	if s := l.Stats(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "free some space") || !s.Full || s.Refused != 1 {
		t.Errorf("append: %v; stats %+v", err, s)
	}
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, draft(event.SeverityAlarm, "z"))
	if s := l.Stats(); s.Full {
		t.Errorf("with room again: %+v", s)
	}
}
