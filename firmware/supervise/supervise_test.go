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
		s := New(quiet(), Task{"camera", func(context.Context) error {
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
		s := New(quiet(), Task{"steady", steady}, Task{"bad", func(context.Context) error { panic("x") }})
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
			return Task{name, func(ctx context.Context) error {
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
		s := New(quiet(), Task{"stuck", func(context.Context) error { <-release; return nil }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Run(ctx, 5*time.Second)
		if err == nil || !strings.Contains(err.Error(), "task stuck did not stop within 5s") {
			t.Errorf("err = %v", err)
		}
		close(release)
	})
}
