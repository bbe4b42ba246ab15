package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// asMain makes the test binary the program itself, so that a test can kill it.
const asMain = "DISPATCH_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"dispatch": main})
}

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

// noLeaks checks, after all that the test cleans up, that nothing of it goes on. Call it first.
func noLeaks(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
}

// centre is a running `dispatch serve`.
type centre struct {
	dir, http, mqtt string
	stop            func()
}

// newCentre makes the directory of a centre with two people, Li and Wang.
func newCentre(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "centre")
	dispatch(t, "init", "--dir", dir, "--name", "常山县公安局")
	dispatch(t, "user", "--dir", dir, "--password", "correct horse", "李娜")
	dispatch(t, "user", "--dir", dir, "--password", "battery staple", "王强")
	return dir
}

// dispatch runs one command in this process and returns what it printed.
func dispatch(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatalf("dispatch %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

// serve runs the centre in this process until the test ends or stop is called.
func serve(t *testing.T, dir string, flags ...string) *centre {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	var group sync.WaitGroup
	var fault error
	group.Go(func() {
		args := append([]string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"}, flags...)
		fault = run(ctx, args, in, &logWriter{t: t})
		in.CloseWithError(fault)
	})
	c := &centre{dir: dir}
	c.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
		if fault != nil {
			t.Errorf("dispatch serve: %v", fault)
		}
	})
	t.Cleanup(c.stop)
	c.read(t, out)
	return c
}

// serveProcess runs the centre as a process of its own; kill ends it by SIGKILL.
func serveProcess(t *testing.T, dir string, flags ...string) (c *centre, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"serve", "--dir", dir, "--listen", "127.0.0.1:0"}, flags...)...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	cmd.Stderr = &logWriter{t: t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	c = &centre{dir: dir, stop: kill}
	c.read(t, out)
	return c, kill
}

// read waits for the lines that serve prints.
func (c *centre) read(t *testing.T, out io.Reader) {
	t.Helper()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch key, value, _ := strings.Cut(lines.Text(), " "); key {
		case "http":
			c.http = value
		case "mqtt":
			c.mqtt = value
		case "ready":
			return
		}
	}
	t.Fatalf("dispatch serve ended before it was ready: %v", lines.Err())
}

// logWriter passes a program's log on to the test's, and falls silent when the test has ended.
type logWriter struct {
	t  *testing.T
	mu sync.Mutex
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// eventually waits for a condition, asking again every few milliseconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}
