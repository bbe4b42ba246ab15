package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// actAsChild is what the test binary does as a child: a program with one habit.
func actAsChild(habit string) {
	switch habit {
	case "echo": // says what it is told, ends when asked
		fmt.Println("ready")
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "fail":
		fmt.Println("starting")
		fmt.Fprintln(os.Stderr, "the disk is on fire")
		os.Exit(3)
	case "stubborn": // does not end when asked
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		select {}
	case "parent": // starts a child of its own and says its number
		runtime.LockOSThread()
		f := newFamily(os.Getenv("TMPDIR"))
		path, err := os.Executable()
		if err == nil {
			err = os.Setenv(asChild, "stubborn")
		}
		if err == nil {
			var c *child
			if c, err = f.start("stubborn", path); err == nil {
				if _, err = c.await(context.Background(), "ready"); err == nil {
					fmt.Println("child", c.cmd.Process.Pid)
				}
			}
		}
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		select {}
	}
}

// habit starts the test binary with a habit in a family.
func habit(t *testing.T, f *family, what string) *child {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asChild, what)
	c, err := f.start(what, path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func alive(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(text), ") Z ")
}

func TestChildSaysAndHears(t *testing.T) {
	f := newFamily(t.TempDir())
	c := habit(t, f, "echo")
	if _, err := c.await(t.Context(), "ready"); err != nil {
		t.Fatal(err)
	}
	if err := c.say("url  http://%s", "here"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.await(t.Context(), "url "); err != nil || got != "http://here" {
		t.Errorf("heard %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.await(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for what is never said: %v", err)
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	if alive(c.cmd.Process.Pid) {
		t.Error("the child lives on")
	}
	log, err := os.ReadFile(filepath.Join(f.logs, "echo.log"))
	if err != nil || string(log) != "ready\nurl  http://here\n" {
		t.Errorf("the log holds %q, %v", log, err)
	}
}

func TestChildThatFailsIsTold(t *testing.T) {
	f := newFamily(t.TempDir())
	c := habit(t, f, "fail")
	_, err := c.await(t.Context(), "ready")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("error %v", err)
	}
	if died := <-f.died; died != c {
		t.Errorf("%v died", died)
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}

func TestChildThatDoesNotEndIsKilled(t *testing.T) {
	f := newFamily(t.TempDir())
	c := habit(t, f, "stubborn")
	if _, err := c.await(t.Context(), "ready"); err != nil {
		t.Fatal(err)
	}
	if err := killLate(c); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("error %v", err)
	}
	if err := f.stop(); err != nil || alive(c.cmd.Process.Pid) {
		t.Errorf("%v, or the child lives on", err)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	f := newFamily(t.TempDir())
	if _, err := f.start("x", "/no/such/program"); err == nil {
		t.Error("it was started")
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}

// kill -9 of the parent leaves no child behind.
func TestKilledParentTakesItsChildren(t *testing.T) {
	cmd := self(t, asChild+"=parent")
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(line, "child %d", &pid); err != nil || !alive(pid) {
		t.Fatalf("the parent says %q", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	poll("the child ends", t.Fatalf, func() bool { return !alive(pid) })
}
