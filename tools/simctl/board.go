package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/board"
)

// boardCommand is an I/O box.
type boardCommand struct {
	Socket  string   `required:"" placeholder:"PATH" help:"Unix socket to serve linesock on. A dead one of an earlier run is replaced."`
	Lines   []string `required:"" placeholder:"NAME,…" help:"Input lines, each of a-z, 0-9 and -."`
	Outputs []string `placeholder:"NAME,…" help:"Output lines, which a station may set."`

	Loop map[string]string `placeholder:"OUTPUT=INPUT" help:"Wires an output to an input, for the daily test alarm."`
}

// Help is shown below the flags.
func (boardCommand) Help() string {
	return `While it serves, it obeys lines on standard input:

  set LINE 0|1             move a terminal
  pulse LINE DURATION      move it, and back after the time
  storm LINE N DURATION    move it N times, one move per time
  level LINE               print "level LINE 0|1"
  loop OUTPUT INPUT        wire an output to an input, or to - for nothing
  mute on|off              answer nothing, tell nothing
  drop N                   lose the next N edges on their way
  disconnect               close all connections

For example:

  echo set door 1 | simctl board --socket /tmp/box.sock --lines door,panic`
}

// Run serves the box.
func (c *boardCommand) Run(ctx context.Context, d deps) error {
	b, err := board.New(c.Lines...)
	if err != nil {
		return usageError{err}
	}
	if err := b.Outputs(c.Outputs...); err != nil {
		return usageError{err}
	}
	for output, input := range c.Loop {
		if err := b.Loop(output, input); err != nil {
			return usageError{err}
		}
	}
	ln, err := listenUnix(c.Socket)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Serve(ctx, ln) })
	group.Go(func() error {
		return typed(ctx, d, func(words []string) error { return operate(ctx, d, b, words) })
	})
	fmt.Fprintln(d.stdout, "ready")
	return group.Wait()
}

// listenUnix listens on a socket and takes the place of one that nobody serves.
func listenUnix(path string) (net.Listener, error) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close() // it was only a question
		return nil, fmt.Errorf("socket %s is served by another program: stop it, or choose another path", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing a dead socket: %w", err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on a Unix socket (a path of at most 107 bytes in a folder that exists): %w", err)
	}
	return ln, nil
}

// operate does what one typed line says.
func operate(ctx context.Context, d deps, b *board.Board, words []string) error {
	if len(words) == 0 {
		return nil
	}
	arguments, known := map[string]int{"set": 2, "pulse": 2, "storm": 3, "level": 1, "loop": 2, "mute": 1, "drop": 1, "disconnect": 0}[words[0]]
	switch {
	case !known:
		return errors.New("unknown: use set, pulse, storm, level, loop, mute, drop or disconnect")
	case len(words) != 1+arguments:
		return fmt.Errorf("%s has %d arguments, see simctl board --help", words[0], arguments)
	}
	switch words[0] {
	case "set":
		level, err := oneOf(words[2], "0", "1")
		if err != nil {
			return err
		}
		return b.Set(words[1], level)
	case "pulse":
		return pulse(ctx, b, words[1], words[2])
	case "storm":
		n, err := strconv.Atoi(words[2])
		if err != nil || n < 1 {
			return fmt.Errorf("%q: a number from 1 is needed", words[2])
		}
		interval, err := time.ParseDuration(words[3])
		if err != nil {
			return err
		}
		return b.Storm(ctx, words[1], n, interval)
	case "level":
		level, err := b.Level(words[1])
		if err == nil {
			fmt.Fprintf(d.stdout, "level %s %d\n", words[1], map[bool]int{true: 1}[level])
		}
		return err
	case "loop":
		return b.Loop(words[1], strings.TrimPrefix(words[2], "-"))
	case "mute":
		on, err := oneOf(words[1], "off", "on")
		if err == nil {
			b.Mute(on)
		}
		return err
	case "drop":
		n, err := strconv.Atoi(words[1])
		if err != nil || n < 0 {
			return fmt.Errorf("%q: a number is needed", words[1])
		}
		b.DropEdges(n)
	case "disconnect":
		b.Disconnect()
	}
	return nil
}

func pulse(ctx context.Context, b *board.Board, line, length string) error {
	wait, err := time.ParseDuration(length)
	if err != nil {
		return err
	}
	level, err := b.Level(line)
	if err != nil {
		return err
	}
	if err := b.Set(line, !level); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
	return b.Set(line, level)
}

// oneOf reads one of two words as false or true.
func oneOf(word, no, yes string) (bool, error) {
	if word != no && word != yes {
		return false, fmt.Errorf("%q: use %s or %s", word, no, yes)
	}
	return word == yes, nil
}
