package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What is written to a watchdog's device (Linux watchdog-api: "Magic Close feature"). Any byte but the magic one pets it.
const (
	pet        = "\x00"
	magicClose = "V"
)

// asksPerTimeout is how often the tasks are asked in the time that the hardware waits. Each must answer before it is asked
// again, so a task that hangs is out of three pets at least.
const asksPerTimeout = 4

// Watchdog is the hardware that starts the box again unless it is petted. It is petted only while every task is well: one whose
// Well fails or does not return in time is not, and a task that has none is taken to be well. A task that has failed and waits
// for its restart is no reason to reset a box: a broken camera would be broken after it, too.
//
// The device is told that all is well for good ("V") only when Run is told to stop. After a crash it goes on waiting, and
// resets the box unless a new agent pets it in time. A device that was built or loaded with nowayout goes on waiting after a
// good stop as well: then the box is reset unless the agent, or whoever else has the watchdog, comes back.
type Watchdog struct {
	// Device is the file, such as /dev/watchdog. It can be held by one program only.
	Device string
	// Timeout is how long the hardware waits, in whole seconds; hardware that cannot wait so long is petted as it needs.
	Timeout time.Duration
	// Tasks are asked whether they are well.
	Tasks []Task
	// Log takes one line for each change.
	Log *slog.Logger

	// timeout sets the hardware's and says what it is now; nil = the kernel's own way.
	timeout func(f *os.File, want time.Duration) (time.Duration, error)
}

// Run opens the device and pets it until ctx ends. It fails when the device cannot be opened, set or written to; a supervisor
// tries again. Questions that hang are left behind.
func (w *Watchdog) Run(ctx context.Context) error {
	f, err := os.OpenFile(w.Device, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("opening the watchdog: %w", err)
	}
	defer f.Close() // without the magic byte before it the hardware goes on waiting
	set := w.timeout
	if set == nil {
		set = kernelTimeout
	}
	timeout, err := set(f, w.Timeout)
	if err != nil {
		return fmt.Errorf("setting the watchdog %s: %w", w.Device, err)
	}
	w.Log.Info("the watchdog waits", "device", w.Device, "timeout", timeout)
	if err := w.watch(ctx, f, timeout/asksPerTimeout); err != nil {
		return err
	}
	if _, err := f.WriteString(magicClose); err != nil {
		return fmt.Errorf("stopping the watchdog: %w", err)
	}
	return nil
}

// watch asks and pets until ctx ends.
func (w *Watchdog) watch(ctx context.Context, f *os.File, every time.Duration) error {
	r := &rounds{tasks: w.Tasks, out: make([]bool, len(w.Tasks)), answers: make(chan answer, len(w.Tasks))}
	defer r.join(every)
	unwell := ""
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		names, err := r.ask(ctx, every)
		if ctx.Err() != nil {
			return nil
		}
		if names != unwell {
			if unwell = names; names == "" {
				w.Log.Info("all tasks are well again, the watchdog is petted")
			} else {
				w.Log.Error("the watchdog is not petted, the box will be reset", "tasks", names, "err", err)
			}
		}
		if err == nil {
			if _, err := f.WriteString(pet); err != nil {
				return fmt.Errorf("petting the watchdog: %w", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// rounds asks tasks whether they are well, each only when it has answered the question before.
type rounds struct {
	tasks   []Task
	out     []bool      // the question is not answered yet
	answers chan answer // has a place for each task
	asking  sync.WaitGroup
}

type answer struct {
	task int
	err  error
}

// errHangs is a task that does not answer.
var errHangs = errors.New("does not answer whether it is well")

// ask asks all tasks at once and waits for at most the time given. It names those that are not well, and says why. An answer that
// comes too late counts in the next round.
func (r *rounds) ask(ctx context.Context, most time.Duration) (names string, err error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	errs := make([]error, len(r.tasks))
	for i, t := range r.tasks {
		if t.Well != nil && !r.out[i] {
			r.out[i] = true
			r.asking.Go(func() { r.answers <- answer{i, well(ctx, t)} })
		}
	}
	r.collect(ctx.Done(), errs)
	var unwell []string
	for i, t := range r.tasks {
		if r.out[i] {
			errs[i] = errHangs
		}
		if errs[i] != nil {
			unwell = append(unwell, t.Name)
			errs[i] = fmt.Errorf("task %s: %w", t.Name, errs[i])
		}
	}
	return strings.Join(unwell, ", "), errors.Join(errs...)
}

// collect takes answers until no question is out, or enough is closed.
func (r *rounds) collect(enough <-chan struct{}, errs []error) {
	for slices.Contains(r.out, true) {
		select {
		case a := <-r.answers:
			r.out[a.task], errs[a.task] = false, a.err
		case <-enough:
			return
		}
	}
}

// join waits for the questions that are out, but not for longer than the time given.
func (r *rounds) join(most time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	r.collect(ctx.Done(), make([]error, len(r.tasks)))
	if !slices.Contains(r.out, true) {
		r.asking.Wait()
	}
}

// well asks one task; a panic is an answer.
func well(ctx context.Context, t Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return t.Well(ctx)
}

// kernelTimeout sets the hardware's timeout and reads what it made of it (WDIOC_SETTIMEOUT, WDIOC_GETTIMEOUT; seconds).
func kernelTimeout(f *os.File, want time.Duration) (time.Duration, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	seconds, failed := 0, error(nil)
	err = raw.Control(func(fd uintptr) {
		set := unix.IoctlSetPointerInt(int(fd), unix.WDIOC_SETTIMEOUT, int(want/time.Second))
		seconds, failed = unix.IoctlGetInt(int(fd), unix.WDIOC_GETTIMEOUT)
		if failed != nil || seconds <= 0 { // hardware that can say no time must at least have taken one
			seconds, failed = int(want/time.Second), set
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	return min(want, time.Duration(seconds)*time.Second), nil
}
