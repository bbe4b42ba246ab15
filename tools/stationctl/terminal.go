package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// terminalLook is how often the wait for a typed line looks whether it was interrupted, in milliseconds.
const terminalLook = 50

// noKey is in the place of a key that does nothing (_POSIX_VDISABLE).
const noKey = 0

// terminal is where somebody types.
type terminal struct {
	file *os.File
	fd   int
}

// openTerminal is f as a terminal, if it is one.
func openTerminal(f *os.File) (terminal, bool) {
	fd := int(f.Fd())
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return terminal{f, fd}, err == nil
}

// secret asks for one line, which the terminal does not show, and leaves the terminal as it was.
func (t terminal) secret(ctx context.Context, prompt io.Writer, question string) (line string, err error) {
	was, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("asking for the code: %w", err)
	}
	quiet := *was
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	quiet.Cc[unix.VQUIT], quiet.Cc[unix.VSUSP] = noKey, noKey // they would leave the terminal without its echo
	if err := unix.IoctlSetTermios(t.fd, unix.TCSETSF, &quiet); err != nil {
		return "", fmt.Errorf("asking for the code: %w", err)
	}
	defer func() {
		fmt.Fprintln(prompt) // the Enter that was not shown
		// What was typed beyond one line goes, too: the shell would read it.
		err = errors.Join(err, unix.IoctlSetTermios(t.fd, unix.TCSETSF, was))
	}()
	fmt.Fprint(prompt, question)
	for {
		ready := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, terminalLook)
		switch {
		case ctx.Err() != nil:
			return "", fmt.Errorf("no code was typed: %w", ctx.Err())
		case err != nil && !errors.Is(err, unix.EINTR):
			return "", fmt.Errorf("reading the code: %w", err)
		case n <= 0:
			continue
		}
		typed := make([]byte, maxCodeLine)
		got, err := t.file.Read(typed) // one line, since the terminal hands out lines
		if line := strings.TrimSpace(string(typed[:max(got, 0)])); line != "" {
			return line, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the code: %w", err)
		}
		return "", usageError{errors.New("no code was typed")}
	}
}
