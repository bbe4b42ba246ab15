package e2e

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
	"testing"
	"time"
)

// patience is how long a program may take to do what it always does.
const patience = 20 * time.Second

// bin is the folder of the programs under test.
func bin(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("WATCHPOST_BIN")
	if dir == "" {
		t.Fatal("WATCHPOST_BIN is not set: run make e2e, or set it to the folder with watchpostd, dispatch and simctl")
	}
	return dir
}

// process is one running program of a test. It is ended with the test.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	logs   string // file with what it wrote to stderr
	exited chan struct{}

	mu    sync.Mutex // guards the fields below
	lines []string   // of stdout
	more  chan struct{}
	err   error // of Wait, once exited is closed
}

// start runs a program of ours, or another by its absolute path.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(bin(t), name)
	}
	p := &process{t: t, name: filepath.Base(name), more: make(chan struct{}), exited: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	logs, err := os.CreateTemp(t.TempDir(), p.name+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	p.logs, p.cmd.Stderr = logs.Name(), logs
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	_ = logs.Close()
	var wg sync.WaitGroup
	wg.Go(func() { p.read(stdout) })
	t.Cleanup(func() {
		p.kill()
		wg.Wait()
		if t.Failed() {
			t.Logf("---- %s %s, last lines:\n%s", p.name, strings.Join(args, " "), p.tail(40))
		}
	})
	return p
}

func (p *process) read(stdout io.Reader) {
	s := bufio.NewScanner(stdout)
	for s.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.exited)
}

// line waits for a line of stdout that begins with prefix, and answers the rest of it.
func (p *process) line(prefix string) string {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for _, l := range lines {
			if rest, ok := strings.CutPrefix(l, prefix); ok {
				return strings.TrimSpace(rest)
			}
		}
		select {
		case <-more:
		case <-p.exited:
			p.t.Fatalf("%s ended (%v) before it said %q:\n%s", p.name, p.err, prefix, p.tail(30))
		case <-deadline.C:
			p.t.Fatalf("%s did not say %q within %s:\n%s", p.name, prefix, patience, p.tail(30))
		}
	}
}

// say writes a line to the program's stdin.
func (p *process) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.stdin, format+"\n", args...); err != nil {
		p.t.Fatalf("telling %s: %v", p.name, err)
	}
}

// stop asks the program to end and answers its exit code.
func (p *process) stop() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait()
}

// wait waits for the program's end and answers its exit code.
func (p *process) wait() int {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case <-p.exited:
	case <-deadline.C:
		p.t.Fatalf("%s does not end:\n%s", p.name, p.tail(30))
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// running reports whether the program still runs.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stderr is all that the program wrote there so far.
func (p *process) stderr() string {
	b, err := os.ReadFile(p.logs)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// says waits until stderr holds text.
func (p *process) says(text string) {
	p.t.Helper()
	eventually(p.t, p.name+" says "+text, func() error {
		if !strings.Contains(p.stderr(), text) {
			return fmt.Errorf("its last lines:\n%s", p.tail(15))
		}
		return nil
	})
}

func (p *process) tail(n int) string {
	lines := strings.Split(strings.TrimSpace(p.stderr()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// run runs a program of ours to its end and answers stdout and stderr.
func run(t testing.TB, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin(t), name), args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("running %s: %v", name, err)
	}
	return out.String(), errs.String(), 0
}

// must is run for what has to work.
func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, errs, code := run(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", name, strings.Join(args, " "), code, errs)
	}
	return out
}

// eventually asks again and again until check answers nil, and fails the test when it does not within patience.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	within(t, patience, what, check)
}

// within is eventually with a limit of its own.
func within(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
	}
}
