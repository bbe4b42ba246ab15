package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of what is typed.
const (
	maxTyped  = 4096 // bytes of one line
	pollEvery = 100 * time.Millisecond
)

// typed calls do with the words of each line of standard input, until that or ctx ends. A line that do refuses is answered on stderr.
// Reading a terminal or a pipe does not outlast ctx.
func typed(ctx context.Context, d deps, do func(words []string) error) error {
	buf, chunk := []byte(nil), make([]byte, maxTyped)
	for ctx.Err() == nil {
		if f, ok := d.stdin.(*os.File); ok && !waitFor(f) {
			continue
		}
		n, err := d.stdin.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			line, rest, found := bytes.Cut(buf, []byte("\n"))
			if !found {
				break
			}
			buf = rest
			if err := do(strings.Fields(string(line))); err != nil {
				fmt.Fprintf(d.stderr, "simctl: %q: %v\n", string(line), err)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading standard input: %w", err)
		case len(buf) >= maxTyped:
			return fmt.Errorf("a line of standard input is longer than %d bytes", maxTyped)
		}
	}
	return nil
}

// waitFor waits a moment for something to read, or the end. What cannot be polled is read at once.
func waitFor(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(pollEvery/time.Millisecond))
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}
