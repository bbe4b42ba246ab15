package eventlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"watchpost/storage/event"
)

// A child is this test binary run again with its work in the environment: what is killed here is a process.
const (
	childWork = "EVENTLOG_TEST_CHILD"
	childDir  = "EVENTLOG_TEST_DIR"
	childKey  = "EVENTLOG_TEST_KEY"
	// childRunner is the program that runs it where the machine cannot: go test -exec does not pass its own on.
	childRunner = "WATCHPOST_EXEC"
)

// runChild does a child's work and reports whether this process is one.
func runChild() bool {
	work := os.Getenv(childWork)
	if work == "" {
		return false
	}
	if err := childMain(work, os.Getenv(childDir), os.Stdin, os.Stdout); err != nil {
		fmt.Println("error", err)
	}
	return true
}

// childMain writes one line per fact: "open", then "ack SEQ WRITER N" as work says, "full" at ErrFull, "closed".
func childMain(work, dir string, in io.Reader, out io.Writer) error {
	opt := Options{
		Dir: dir, Station: testStation, ReserveBytes: roomToOpen, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Key: []byte(os.Getenv(childKey)),
	}
	if work == "power" { // its power is cut, so each child is another boot
		opt.boot = [8]byte(fmt.Appendf(nil, "%08d", os.Getpid()))
	}
	l, err := Open(opt)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "open", l.LastSeq())
	switch work {
	case "hold":
		_, _ = io.Copy(io.Discard, in)
	case "append":
		appendForEver(l, out)
	case "power":
		powerWork(l, out)
	case "fill":
		// until the input ends, and at least until the disk is full
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.Copy(io.Discard, in)
			close(done)
		})
		fillUp(l, out, done)
		wg.Wait()
	}
	if err := l.Close(); err != nil {
		return err
	}
	fmt.Fprintln(out, "closed")
	return nil
}

func childDraft(writer, n, size int) event.Draft {
	d := draft(event.SeverityAlarm, fmt.Sprintf("%d %d %s", writer, n, strings.Repeat("x", size)))
	d.Severity = event.Severity(1 + n%4)
	return d
}

func appendForEver(l *Log, out io.Writer) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				got, err := l.Append(context.Background(), childDraft(w, n, 400))
				mu.Lock()
				if err != nil {
					fmt.Fprintln(out, "error", err)
				} else {
					fmt.Fprintln(out, "ack", got[0].Seq, w, n)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// fillUp appends until done, and tells when the log is full for the first time. All are alarms, of which none may be evicted.
func fillUp(l *Log, out io.Writer, done <-chan struct{}) {
	told := false
	for n := 0; ; n++ {
		drafts := []event.Draft{childDraft(0, n, 8000), childDraft(1, n, 8000), childDraft(2, n, 8000)}
		for i := range drafts {
			drafts[i].Severity = event.SeverityAlarm
		}
		got, err := l.Append(context.Background(), drafts...)
		switch {
		case err == nil:
			fmt.Fprintln(out, "ack", got[2].Seq, 2, n)
		case !errors.Is(err, ErrFull):
			fmt.Fprintln(out, "error", err)
			return
		case !told:
			fmt.Fprintln(out, "full")
			told = true
		}
		select {
		case <-done:
			if told {
				return
			}
		default:
		}
	}
}

// child is a running child.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startChild(t *testing.T, work, dir string) *child {
	t.Helper()
	args := append(strings.Fields(os.Getenv(childRunner)), os.Args[0])
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childWork+"="+work, childDir+"="+dir)
	cmd.Stderr = testWriter{t}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{t: t, cmd: cmd, in: in, lines: bufio.NewScanner(out)}
}

// next is the child's next line, "" at its end.
func (c *child) next() string {
	if !c.lines.Scan() {
		return ""
	}
	return c.lines.Text()
}

// until reads lines up to one that begins with word, and gives each to see.
func (c *child) until(word string, see func(line string)) {
	c.t.Helper()
	for {
		line := c.next()
		if see != nil {
			see(line)
		}
		if strings.HasPrefix(line, word) {
			return
		}
		if line == "" || strings.HasPrefix(line, "error") {
			c.t.Fatalf("child said %q, want %s; %v", line, word, c.cmd.Wait())
		}
	}
}

func (c *child) kill() {
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Error(err)
	}
}

// wait reads the rest and answers how the child ended.
func (c *child) wait(see func(line string)) error {
	for c.lines.Scan() {
		if see != nil {
			see(c.lines.Text())
		}
	}
	return c.cmd.Wait()
}
