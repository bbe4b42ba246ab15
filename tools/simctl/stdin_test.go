package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// hear collects what typed makes of a standard input.
func hear(ctx context.Context, stdin io.Reader) (lines []string, refused string, err error) {
	var stderr strings.Builder
	err = typed(ctx, deps{stdin: stdin, stderr: &stderr}, func(words []string) error {
		lines = append(lines, strings.Join(words, "+"))
		if len(words) > 0 && words[0] == "bad" {
			return errors.New("no such thing")
		}
		return nil
	})
	return lines, stderr.String(), err
}

func TestTyped(t *testing.T) {
	lines, refused, err := hear(t.Context(), strings.NewReader("set  door 1\r\n\nbad line\nlevel door\nno end"))
	if got := strings.Join(lines, "|"); got != "set+door+1||bad+line|level+door" || err != nil {
		t.Errorf("heard %q, %v", got, err)
	}
	if refused != "simctl: \"bad line\": no such thing\n" {
		t.Errorf("told %q", refused)
	}
	if _, _, err := hear(t.Context(), strings.NewReader(strings.Repeat("x", 2*maxTyped))); err == nil {
		t.Error("a line without end was taken")
	}
}

// A pipe on which nothing comes does not hold the program up.
func TestTypedEndsWithItsContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error {
		_, _, err := hear(ctx, r)
		return err
	})
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func FuzzTyped(f *testing.F) {
	f.Add("set door 1\nraise\n")
	f.Add("\x00\r\n\xff")
	f.Fuzz(func(t *testing.T, text string) {
		lines, _, err := hear(t.Context(), strings.NewReader(text))
		if err == nil && len(lines) != strings.Count(text, "\n") {
			t.Errorf("%d lines of %q", len(lines), text)
		}
	})
}
