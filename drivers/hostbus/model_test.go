package hostbus

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"watchpost/drivers/bus"
)

// account holds the words of one line, as one watcher has them, to what bus promises.
type account struct {
	spoke, level bool
	missing      bool
	seq          uint64
}

// take says what is wrong with the next word.
func (a *account) take(e bus.Edge) error {
	first := !a.spoke
	a.spoke = true
	was, level := a.seq, a.level
	a.seq, a.missing = e.LineSeq, e.Quality == bus.Missing
	if e.Quality != bus.Missing {
		a.level = e.Level
	}
	switch {
	case first && (e.Quality == bus.Changed || e.Lost > 0):
		return fmt.Errorf("the first word is %+v", e)
	case first:
		return nil
	case e.Quality == bus.Missing && (e.LineSeq != was || e.Reason == ""):
		return fmt.Errorf("missing after edge %d: %+v", was, e)
	case e.Quality == bus.Present && e.LineSeq != was+e.Lost:
		return fmt.Errorf("read after edge %d: %+v", was, e)
	case e.Quality == bus.Changed && e.LineSeq == was && e.Level == level: // a reading was faster than the edge that it found
		return nil
	case e.Quality == bus.Changed && (e.LineSeq != was+1+e.Lost || e.KernelNS <= 0 || e.Seq == 0):
		return fmt.Errorf("changed after edge %d: %+v", was, e)
	}
	return nil
}

// TestAnyStory runs random stories of a chip: lines move, the kernel drops edges, the chip is pulled and put back, watchers come
// and go. Each watcher's words add up, and in the end it knows the levels that are.
func TestAnyStory(t *testing.T) {
	names := []string{"door", "panic", "pir"}
	rapid.Check(t, func(rt *rapid.T) {
		f := newFakeChip(t, names...)
		l := f.lines()
		ctx, cancel := context.WithCancel(context.Background())
		var group errgroup.Group
		defer func() {
			cancel()
			if err := group.Wait(); err != nil {
				rt.Error(err)
			}
		}()
		var ears []chan bus.Edge
		watch := func() {
			ear := make(chan bus.Edge, 4096)
			ears = append(ears, ear)
			group.Go(func() error { return l.Watch(ctx, named(names...), ear) })
		}
		watch()
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			line := rapid.SampledFrom(names).Draw(rt, "line")
			switch rapid.IntRange(0, 19).Draw(rt, "what") {
			case 0:
				f.mu.Lock()
				f.drop = rapid.IntRange(1, 3).Draw(rt, "dropped")
				f.mu.Unlock()
			case 1:
				f.cut()
				f.drive(line, rapid.Bool().Draw(rt, "meanwhile"))
				f.mend()
			case 2:
				watch()
			default:
				f.drive(line, rapid.Bool().Draw(rt, "level"))
			}
		}
		settle(rt, f, ears)
	})
}

// settle moves a line until every watcher knows the level of each: the kernel always has room for the last edge.
func settle(t *rapid.T, f *fakeChip, ears []chan bus.Edge) {
	f.mu.Lock()
	f.drop = 0
	f.mu.Unlock()
	known := make([]map[string]*account, len(ears))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i, end := 0, time.Now().Add(patience); ; i++ {
		f.drive("pir", i%2 == 0)
		<-tick.C
		agreed := true
		for i, ear := range ears {
			if known[i] == nil {
				known[i] = map[string]*account{}
			}
			for len(ear) > 0 {
				e := <-ear
				if known[i][e.Line] == nil {
					known[i][e.Line] = &account{}
				}
				if err := known[i][e.Line].take(e); err != nil {
					t.Fatalf("watcher %d: %v", i, err)
				}
			}
			for at, name := range f.names {
				f.mu.Lock()
				level := f.level[at]
				f.mu.Unlock()
				a := known[i][name]
				agreed = agreed && a != nil && !a.missing && a.level == level
			}
		}
		if agreed {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the watchers do not come to know the levels: %+v", known)
		}
	}
}

// TestCountsWrap holds that the kernel's counts, of 32 bits, may begin again at 0.
func TestCountsWrap(t *testing.T) {
	f := newFakeChip(t, "door")
	edges, _ := follow(t, f.lines(), named("door")...)
	next(t, edges)
	f.drive("door", true)
	next(t, edges)
	f.mu.Lock()
	for _, r := range f.held {
		r.seq, r.lineSeq[0] = math.MaxUint32-1, math.MaxUint32-1
	}
	f.mu.Unlock()
	f.drive("door", false)
	if e := next(t, edges); e.LineSeq != math.MaxUint32 || e.Lost != math.MaxUint32-2 {
		t.Errorf("a long gap: %+v", e)
	}
	f.drive("door", true)
	f.drive("door", false)
	if a, b := next(t, edges), next(t, edges); a.LineSeq != 1<<32 || b.LineSeq != 1<<32+1 || a.Lost+b.Lost != 0 || b.Seq != 1<<32+1 {
		t.Errorf("after the wrap: %+v, %+v", a, b)
	}
}

// TestQueueKeepsOthers holds that what one line pushes out is counted, and nothing of the others is.
func TestQueueKeepsOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		pushed, storm := map[string]uint64{}, rapid.IntRange(0, 3*queueDepth).Draw(t, "storm")
		at := rapid.SliceOfNDistinct(rapid.IntRange(0, 3*queueDepth), 0, 20, rapid.ID[int]).Draw(t, "others")
		push := func(line string) {
			pushed[line]++
			q.push(bus.Edge{Line: line, Quality: bus.Changed, LineSeq: pushed[line]})
		}
		for i := range storm {
			push("storm")
			if slices.Contains(at, i) {
				push("door")
			}
		}
		seen := map[string]uint64{}
		for _, e := range q.take() {
			if seen[e.Line] += 1 + e.Lost; e.LineSeq != seen[e.Line] || e.Line == "door" && e.Lost > 0 {
				t.Fatalf("%+v after %d", e, seen[e.Line])
			}
		}
		if seen["storm"] != pushed["storm"] || seen["door"] != pushed["door"] || len(q.take()) != 0 {
			t.Fatalf("pushed %v, seen %v", pushed, seen)
		}
	})
}

// TestFilesGone reads what inotify(7) says a message is.
func TestFilesGone(t *testing.T) {
	message := func(mask uint32, name string, padding int) []byte {
		b := make([]byte, 16)
		binary.NativeEndian.PutUint32(b[4:], mask)
		binary.NativeEndian.PutUint32(b[12:], uint32(len(name)+padding))
		return append(append(b, name...), make([]byte, padding)...)
	}
	b := slices.Concat(message(unix.IN_CREATE, "gpiochip1", 7), message(unix.IN_DELETE, "gpiochip0", 7), message(unix.IN_DELETE, "", 0),
		message(unix.IN_MOVED_FROM, "ttyUSB0", 9), message(unix.IN_ATTRIB, "null", 12))
	if got := filesGone(b); !slices.Equal(got, []string{"gpiochip0", "", "ttyUSB0"}) {
		t.Errorf("%q", got)
	}
}

// TestWatchersComeAndGo has many watchers begin and end at once: none hangs, and the lines are free afterwards.
func TestWatchersComeAndGo(t *testing.T) {
	f := newFakeChip(t, "door", "panic")
	l := f.lines()
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			for range 20 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i)*time.Millisecond)
				err := l.Watch(ctx, named("door", "panic"), make(chan bus.Edge))
				cancel()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range 100 {
		f.drive("door", i%2 == 0)
	}
	must(t, group.Wait())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.taken(0) != "" || f.taken(1) != "" || l.session != nil {
		t.Error("nobody watches, and the lines are held")
	}
}
