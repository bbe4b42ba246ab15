package qemu

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// MaxLine is the longest line of a console that is read whole, in bytes; a longer one is read as several.
const MaxLine = 64 << 10

// console holds what a guest wrote on its serial line.
type console struct {
	mu    sync.Mutex // guards the fields below
	lines []string
	next  int           // the first line that no await has passed
	more  chan struct{} // closed and replaced with each line
	ended bool
}

func newConsole() *console { return &console{more: make(chan struct{})} }

// read takes lines until the guest's end.
func (c *console) read(r io.Reader) {
	in := bufio.NewReaderSize(r, MaxLine)
	for {
		line, err := in.ReadSlice('\n')
		c.mu.Lock()
		if len(line) > 0 {
			c.lines = append(c.lines, strings.TrimRight(string(line), "\r\n"))
		}
		c.ended = err != nil && err != bufio.ErrBufferFull
		ended := c.ended
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
		if ended {
			return
		}
	}
}

func (c *console) await(ctx context.Context, text string) (string, error) {
	for {
		c.mu.Lock()
		i := slices.IndexFunc(c.lines[c.next:], func(l string) bool { return strings.Contains(l, text) })
		if i >= 0 {
			_, rest, _ := strings.Cut(c.lines[c.next+i], text)
			c.next += i + 1
			c.mu.Unlock()
			return rest, nil
		}
		more, ended := c.more, c.ended
		c.mu.Unlock()
		if ended {
			return "", fmt.Errorf("the guest ended before it said %q; its last lines:\n%s", text, c.tail())
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", fmt.Errorf("the guest did not say %q: %w; its last lines:\n%s", text, ctx.Err(), c.tail())
		}
	}
}

func (c *console) all() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

func (c *console) tail() string {
	const lines = 40
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines[max(0, len(c.lines)-lines):], "\n")
}
