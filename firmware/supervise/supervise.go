// A station is a handful of tasks that must outlive the faults of each other: a camera's task that fails is started
// again, later each time, and never takes the alarm panel's task with it.
//
// A Supervisor owns every goroutine of its tasks: Run returns when all of them have.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Restart delays: doubled from first to last, and first again after a run that lasted longer than last.
const (
	firstDelay = 250 * time.Millisecond
	lastDelay  = 30 * time.Second
)

// Task is one owned, restartable piece of the station.
type Task struct {
	Name string
	// Run blocks until ctx ends, then returns nil. Any other return, or a panic, is a fault: it runs again.
	Run func(ctx context.Context) error
	// Well says whether the task makes progress, as by taking its own mutexes and reading its own store; it may be called at any
	// time, also while Run does not run. An error, or no return before ctx ends, means that a [Watchdog] lets the box be reset.
	// nil = nobody asks.
	Well func(ctx context.Context) error
}

// Supervisor runs tasks until it is told to stop.
type Supervisor struct {
	log   *slog.Logger
	tasks []Task

	mu     sync.Mutex // guards the field below
	faults map[string]int
}

// New is a supervisor of tasks, started in the order given and stopped in reverse.
func New(log *slog.Logger, tasks ...Task) *Supervisor {
	return &Supervisor{log: log, tasks: tasks, faults: map[string]int{}}
}

// Run starts all tasks and blocks until ctx ends. Then the tasks are stopped one by one, the last started first, each
// bounded by grace; one that does not stop is told as an error and left behind.
func (s *Supervisor) Run(ctx context.Context, grace time.Duration) error {
	type running struct {
		name string
		stop context.CancelFunc
		done chan struct{}
	}
	var all []running
	var wg sync.WaitGroup
	base := context.WithoutCancel(ctx)
	for _, t := range s.tasks {
		tctx, stop := context.WithCancel(base)
		r := running{t.Name, stop, make(chan struct{})}
		wg.Go(func() {
			defer close(r.done)
			s.keep(tctx, t)
		})
		all = append(all, r)
	}
	<-ctx.Done()
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		all[i].stop()
		timer := time.NewTimer(grace)
		select {
		case <-all[i].done:
		case <-timer.C:
			errs = append(errs, fmt.Errorf("task %s did not stop within %s", all[i].name, grace))
		}
		timer.Stop()
	}
	if errs == nil {
		wg.Wait()
	}
	return errors.Join(errs...)
}

// Faults is how often each task has failed so far.
func (s *Supervisor) Faults() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.faults))
	for k, v := range s.faults {
		out[k] = v
	}
	return out
}

// keep runs t again and again until ctx ends.
func (s *Supervisor) keep(ctx context.Context, t Task) {
	delay := firstDelay
	for ctx.Err() == nil {
		started := time.Now()
		err := protected(ctx, t)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				s.log.Warn("task stopped with an error", "task", t.Name, "err", err)
			}
			return
		}
		if err == nil {
			err = errors.New("returned although nobody told it to stop")
		}
		if time.Since(started) > lastDelay {
			delay = firstDelay
		}
		s.mu.Lock()
		s.faults[t.Name]++
		n := s.faults[t.Name]
		s.mu.Unlock()
		wait := delay/2 + rand.N(delay/2+1)
		s.log.Error("task failed, starting it again", "task", t.Name, "err", err, "faults", n, "after", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
		delay = min(2*delay, lastDelay)
	}
}

// protected runs t once; a panic becomes an error with its stack.
func protected(ctx context.Context, t Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return t.Run(ctx)
}
