package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long a child may take to say that it is ready, and to end when it is asked to.
const (
	startPatience = 30 * time.Second
	stopPatience  = 10 * time.Second
	tailLines     = 12
)

// family is a set of programs that live and die with this one.
type family struct {
	logs     string // folder of their logs
	children []*child
	readers  sync.WaitGroup
	died     chan *child // one that ended although nobody stopped it
	stopping chan struct{}
}

func newFamily(logs string) *family {
	return &family{logs: logs, died: make(chan *child, 64), stopping: make(chan struct{})}
}

// child is one running program.
type child struct {
	name   string
	log    string // file with all that it wrote
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	exited chan struct{}

	mu    sync.Mutex // guards the fields below
	lines []string   // of standard output
	more  chan struct{}
}

// start starts a program in a process group of its own. The kernel kills it when the thread that started it ends, so
// the caller stays locked to its thread for as long as the family lives.
func (f *family) start(name, program string, args ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(f.logs, name+".log"), exited: make(chan struct{}), more: make(chan struct{})}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	c.cmd = exec.Command(program, args...)
	c.cmd.Stderr = log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, errOut := c.cmd.StdoutPipe()
	in, errIn := c.cmd.StdinPipe()
	if err := errors.Join(errOut, errIn); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), log.Close())
	}
	c.stdin = in
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), log.Close())
	}
	f.children = append(f.children, c)
	f.readers.Go(func() { f.watch(c, out, log) })
	return c, nil
}

// watch notes what a child says, to its end.
func (f *family) watch(c *child, out io.Reader, log *os.File) {
	s := bufio.NewScanner(out)
	for s.Scan() {
		fmt.Fprintln(log, s.Text())
		c.mu.Lock()
		c.lines = append(c.lines, s.Text())
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
	}
	_, _ = io.Copy(log, out) // what is left when a line was too long to be one
	_ = c.cmd.Wait()         // how it ended is in cmd.ProcessState
	_ = log.Close()          // a log of a demonstration
	close(c.exited)
	select {
	case <-f.stopping:
	default:
		f.died <- c
	}
}

// await waits for a line of standard output that begins with prefix, and answers the rest of it.
func (c *child) await(ctx context.Context, prefix string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for seen := 0; ; {
		c.mu.Lock()
		lines, more := c.lines, c.more
		c.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if rest, ok := strings.CutPrefix(lines[seen], prefix); ok {
				return strings.TrimSpace(rest), nil
			}
		}
		select {
		case <-more:
		case <-c.exited:
			return "", c.failure()
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not say %q: %w\n%s", c.name, prefix, ctx.Err(), tail(c.log))
		}
	}
}

// failure tells how a child ended that should not have.
func (c *child) failure() error {
	return fmt.Errorf("%s ended: %v; the end of %s:\n%s", c.name, c.cmd.ProcessState, c.log, tail(c.log))
}

// say types a line.
func (c *child) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(c.stdin, format+"\n", args...); err != nil {
		return fmt.Errorf("telling %s: %w", c.name, err)
	}
	return nil
}

// signal sends a signal to a child and to what it has started.
func (c *child) signal(sig syscall.Signal) error {
	if err := syscall.Kill(-c.cmd.Process.Pid, sig); err != nil {
		return fmt.Errorf("sending %s to %s: %w", sig, c.name, err)
	}
	return nil
}

// stop ends all children: first all but the one that was started first, on which the others lean, then that one.
func (f *family) stop() error {
	close(f.stopping)
	var errs []error
	if len(f.children) > 0 {
		errs = append(errs, end(f.children[1:]), end(f.children[:1]))
	}
	f.readers.Wait()
	return errors.Join(errs...)
}

// end asks children to end, and kills those that do not.
func end(children []*child) error {
	for _, c := range children {
		_ = c.signal(syscall.SIGTERM) // it may have ended already
		_ = c.signal(syscall.SIGCONT) // one that stands still hears nothing
	}
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	var errs []error
	for i, c := range children {
		select {
		case <-c.exited:
		case <-timer.C:
			for _, late := range children[i:] {
				errs = append(errs, killLate(late))
			}
			return errors.Join(errs...)
		}
	}
	return nil
}

func killLate(c *child) error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // it is there: nobody else waits for it
	<-c.exited
	return fmt.Errorf("%s did not end within %v and was killed", c.name, stopPatience)
}

// tail is the end of a log.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n  ")
}
