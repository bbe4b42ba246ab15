package supervise

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestFailingTaskIsStartedAgainLaterEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		begin := time.Now()
		s := New(quiet(), Task{Name: "camera", Run: func(context.Context) error {
			starts = append(starts, time.Now())
			if len(starts) == 3 {
				panic("broken")
			}
			return errors.New("no route")
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := s.Run(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if n := len(starts); n < 18 || n > 60 {
			t.Errorf("%d starts in 10 min, want some 20 to 45", n)
		}
		if first := starts[1].Sub(begin); first > firstDelay {
			t.Errorf("first restart after %s, want at most %s", first, firstDelay)
		}
		for i := 1; i < len(starts); i++ {
			if gap := starts[i].Sub(starts[i-1]); gap > lastDelay || gap < firstDelay/2 {
				t.Errorf("gap %d is %s", i, gap)
			}
		}
		if got := s.Faults()["camera"]; got != len(starts) {
			t.Errorf("%d faults told, %d starts", got, len(starts))
		}
	})
}

func TestOneFaultDoesNotTouchTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		steady := func(ctx context.Context) error { runs++; <-ctx.Done(); return nil }
		s := New(quiet(), Task{Name: "steady", Run: steady}, Task{Name: "bad", Run: func(context.Context) error { panic("x") }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.Run(ctx, time.Second); err != nil || runs != 1 {
			t.Errorf("steady task ran %d times, err %v", runs, err)
		}
	})
}

func TestStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		task := func(name string) Task {
			return Task{Name: name, Run: func(ctx context.Context) error {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return nil
			}}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := New(quiet(), task("log"), task("uplink"), task("panels")).Run(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if want := []string{"panels", "uplink", "log"}; !slices.Equal(order, want) {
			t.Errorf("stopped %v, want %v", order, want)
		}
	})
}

func TestStuckTaskIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := New(quiet(), Task{Name: "stuck", Run: func(context.Context) error { <-release; return nil }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Run(ctx, 5*time.Second)
		if err == nil || !strings.Contains(err.Error(), "task stuck did not stop within 5s") {
			t.Errorf("err = %v", err)
		}
		close(release)
	})
}

// A task that ran well for longer than the longest delay has not earned it: it is started again at once.
func TestALongRunStartsAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends, starts []time.Time
		s := New(quiet(), Task{Name: "link", Run: func(ctx context.Context) error {
			starts = append(starts, time.Now())
			if len(starts) > 8 { // enough to reach the longest delay
				run := time.NewTimer(lastDelay + time.Second)
				defer run.Stop()
				select {
				case <-run.C:
				case <-ctx.Done():
					return nil
				}
			}
			ends = append(ends, time.Now())
			return errors.New("lost")
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := s.Run(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if wait := starts[8].Sub(ends[7]); wait < lastDelay/2 {
			t.Errorf("after eight quick failures it waited %s", wait)
		}
		if wait := starts[9].Sub(ends[8]); wait > firstDelay {
			t.Errorf("after a long run it waited %s, want at most %s", wait, firstDelay)
		}
	})
}

// How a task ends when it is told to is no fault, but what it says then is kept; one that ends by itself has one.
func TestWhatCountsAsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		s := New(slog.New(slog.NewTextHandler(&said, nil)),
			Task{Name: "cancelled", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			Task{Name: "broken at the end", Run: func(ctx context.Context) error { <-ctx.Done(); return errors.New("disk full") }},
			Task{Name: "deserter", Run: func(context.Context) error { return nil }},
		)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.Run(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		faults := s.Faults()
		if len(faults) != 1 || faults["deserter"] == 0 {
			t.Errorf("faults %v", faults)
		}
		faults["cancelled"] = 7 // a copy
		if len(s.Faults()) != 1 {
			t.Errorf("faults %v", s.Faults())
		}
		for _, want := range []string{`task="broken at the end" err="disk full"`, "returned although nobody told it to stop"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%q is not in\n%s", want, said.String())
			}
		}
		if strings.Contains(said.String(), "task=cancelled") {
			t.Errorf("a task that did as it was told is in\n%s", said.String())
		}
	})
}
