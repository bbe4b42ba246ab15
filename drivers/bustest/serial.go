package bustest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
)

// SerialBench is one end of a serial line, and what is wired to its other end.
type SerialBench struct {
	Line  bus.Serial
	Other io.ReadWriter
}

// Serial holds an implementation of bus.Serial to its contract. Start makes a new bench for each part.
func Serial(t *testing.T, start func(t *testing.T) SerialBench) {
	for name, part := range map[string]func(*testing.T, SerialBench){
		"all bytes both ways":  serialBytes,
		"read deadline":        serialDeadline,
		"deadline moves":       serialDeadlineMoves,
		"close ends a read":    serialClose,
		"write meets its line": serialWriteDeadline,
	} {
		t.Run(name, func(t *testing.T) { part(t, start(t)) })
	}
}

// serialBytes carries every value: nothing may be taken for an end of line, a break or a flow control.
func serialBytes(t *testing.T, b SerialBench) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, way := range map[string]struct {
		from io.Writer
		to   io.Reader
	}{"out": {b.Line, b.Other}, "in": {b.Other, b.Line}} {
		if err := b.Line.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		var group errgroup.Group
		group.Go(func() error { _, err := way.from.Write(all); return err })
		got := make([]byte, len(all))
		_, err := io.ReadFull(way.to, got)
		if err := errors.Join(err, group.Wait()); err != nil || !bytes.Equal(got, all) {
			t.Errorf("%s: % x, %v", name, got, err)
		}
	}
}

func serialDeadline(t *testing.T, b SerialBench) {
	for _, wait := range []time.Duration{-time.Second, 20 * time.Millisecond} {
		begun := time.Now()
		if err := b.Line.SetReadDeadline(begun.Add(wait)); err != nil {
			t.Fatal(err)
		}
		if n, err := b.Line.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("nothing came in %s: %d bytes, %v", wait, n, err)
		}
		if took := time.Since(begun); took < wait || took > wait+patience {
			t.Errorf("a deadline in %s is met after %s", wait, took)
		}
	}
}

// serialDeadlineMoves holds that a deadline that was met does not spoil the line.
func serialDeadlineMoves(t *testing.T, b SerialBench) {
	serialDeadline(t, b)
	if err := b.Line.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	serialBytes(t, b)
}

func serialClose(t *testing.T, b SerialBench) {
	var group errgroup.Group
	group.Go(func() error { _, err := b.Line.Read(make([]byte, 1)); return err })
	if err := b.Line.Close(); err != nil {
		t.Error(err)
	}
	if err := group.Wait(); err == nil {
		t.Error("a read of a closed line has no error")
	}
	if _, err := b.Line.Write([]byte{1}); err == nil {
		t.Error("a write to a closed line has no error")
	}
}

// serialWriteDeadline fills the line until it takes no more: the other end does not read.
func serialWriteDeadline(t *testing.T, b SerialBench) {
	if err := b.Line.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<16)
	for range 64 {
		if _, err := b.Line.Write(piece); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("4 MiB go out and nobody reads")
}
