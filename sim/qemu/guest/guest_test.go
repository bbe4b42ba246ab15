package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// session is a program that runs under the hand, and both ends of its console.
type session struct {
	t    *testing.T
	say  io.Writer
	hear *bufio.Scanner
	err  error
	sync.WaitGroup
}

func begin(t *testing.T, args ...string) *session {
	t.Helper()
	in, say := io.Pipe()
	hear, out := io.Pipe()
	s := &session{t: t, say: say, hear: bufio.NewScanner(hear)}
	s.Go(func() {
		s.err = run(args, in, out)
		_ = out.Close()
	})
	return s
}

// do types a command and answers the next line that the hand writes.
func (s *session) do(command string) string {
	s.t.Helper()
	if command != "" {
		if _, err := io.WriteString(s.say, command+"\n"); err != nil {
			s.t.Fatal(err)
		}
	}
	if !s.hear.Scan() {
		s.Wait()
		s.t.Fatalf("%q: the hand has ended: %v", command, s.err)
	}
	return s.hear.Text()
}

func TestHand(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir, err := os.MkdirTemp("", "wp") // short, because a Unix socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	socket := filepath.Join(dir, "door.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	door := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/status" {
			http.Error(w, "no such\nthing", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, "{\n  \"station\": \"caoping\"\n}\n")
	})}
	var served sync.WaitGroup
	served.Go(func() { _ = door.Serve(l) })
	defer served.Wait()
	defer func() { _ = door.Close() }()

	s := begin(t, "-door", socket, "/bin/sh", "-c", "echo the agent speaks; exec sleep 1000")
	heard := s.do("") + "\n" + s.do("") // in either order
	for _, want := range []string{"guest ready", "the agent speaks"} {
		if !strings.Contains(heard, want) {
			t.Errorf("%q is not in %q", want, heard)
		}
	}
	for _, tt := range []struct{ command, answer string }{
		{"ask /v1/status", `guest answer {"station":"caoping"}`},
		{"ask /v1/io", "guest failed HTTP 404: no such thing "},
		{"pull door 1", "guest failed no line door"},
		{"signal nine", `guest failed strconv.Atoi: parsing "nine": invalid syntax`},
		{"signal 0", "guest sent 0"},
		{"dance", `guest failed no command ["dance"]`},
		{" ", "guest failed no command []"},
	} {
		if got := s.do(tt.command); got != tt.answer {
			t.Errorf("%q: %q, not %q", tt.command, got, tt.answer)
		}
	}
	if got := s.do("memory"); !strings.HasPrefix(got, "guest memory ") || got == "guest memory 0" {
		t.Errorf("memory: %q", got)
	}
	if got := s.do("signal 15"); got != "guest sent 15" {
		t.Errorf("signal: %q", got)
	}
	s.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](s.err); !ok || exit.Exited() {
		t.Errorf("the agent ended with %v, not by a signal", s.err)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"no program":        nil,
		"an unknown flag":   {"-lines", "4", "/bin/true"},
		"a lost program":    {"/nowhere/agent"},
		"no simulated GPIO": {"-chip", "no-such-chip:door", "/bin/true"},
	} {
		if err := run(args, io.NopCloser(strings.NewReader("")), io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestNewChip: what is written where, in a folder like the kernel's; that the kernel makes a chip of it is seen in a guest.
func TestNewChip(t *testing.T) {
	sys := t.TempDir()
	if err := os.MkdirAll(filepath.Join(sys, "kernel/config/gpio-sim"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := newChip(sys, "box", []string{"door", "panic"}); !errors.Is(err, os.ErrNotExist) { // the kernel's names are missing
		t.Fatalf("error %v", err)
	}
	device := filepath.Join(sys, "kernel/config/gpio-sim/box")
	for file, want := range map[string]string{
		"bank0/num_lines": "2", "bank0/label": "box", "bank0/line0/name": "door", "bank0/line1/name": "panic", "live": "1",
	} {
		if got, err := os.ReadFile(filepath.Join(device, file)); string(got) != want || err != nil {
			t.Errorf("%s is %q, %v", file, got, err)
		}
	}
	if _, err := newChip(sys, "box", []string{"door"}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a chip that is there: %v", err)
	}
}

// TestChipEnvironment is what the tests of drivers/hostbus read.
func TestChipEnvironment(t *testing.T) {
	c := chip{label: "wires", dir: "/sys/devices/platform/gpio-sim.0/gpiochip1", live: "/sys/kernel/config/gpio-sim/wires/live"}
	want := []string{"WATCHPOST_GPIOSIM=wires:/sys/devices/platform/gpio-sim.0/gpiochip1", "WATCHPOST_GPIOSIM_LIVE=/sys/kernel/config/gpio-sim/wires/live"}
	if got := c.environment(); !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

func TestPull(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pull")
	h := hand{lines: map[string]string{"door": file}, agent: &exec.Cmd{}}
	for command, want := range map[string]string{"pull door 1": "pull-up", "pull door 0": "pull-down"} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if answer, err := h.do(strings.Fields(command)); answer != strings.Replace(command, "pull", "pulled", 1) || err != nil {
			t.Errorf("%s: %q, %v", command, answer, err)
		}
		if got, err := os.ReadFile(file); string(got) != want || err != nil {
			t.Errorf("%s wrote %q, %v", command, got, err)
		}
	}
	if _, err := h.do(strings.Fields("pull door 2")); err == nil {
		t.Error("a third level")
	}
}
