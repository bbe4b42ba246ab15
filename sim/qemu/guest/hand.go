package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hand does in a guest what somebody outside asks for.
type hand struct {
	lines map[string]string // name → file that moves it
	door  string
	agent *exec.Cmd
}

// serve answers commands until in is closed.
func (h hand) serve(in io.Reader, out io.Writer) {
	_, _ = fmt.Fprintln(out, "guest ready")
	for s := bufio.NewScanner(in); s.Scan(); {
		answer, err := h.do(strings.Fields(s.Text()))
		if err != nil {
			answer = "failed " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		_, _ = fmt.Fprintln(out, "guest", answer)
	}
}

func (h hand) do(words []string) (string, error) {
	switch {
	case len(words) == 3 && words[0] == "pull":
		return h.pull(words[1], words[2])
	case len(words) == 2 && words[0] == "ask":
		return h.ask(words[1])
	case len(words) == 1 && words[0] == "memory":
		return h.memory()
	case len(words) == 2 && words[0] == "signal":
		n, err := strconv.Atoi(words[1])
		if err != nil {
			return "", err
		}
		return "sent " + words[1], h.agent.Process.Signal(syscall.Signal(n))
	}
	return "", fmt.Errorf("no command %q", words)
}

func (h hand) pull(name, level string) (string, error) {
	file, ok := h.lines[name]
	if !ok {
		return "", fmt.Errorf("no line %s", name)
	}
	to, ok := map[string]string{"0": "pull-down", "1": "pull-up"}[level]
	if !ok {
		return "", fmt.Errorf("no level %s", level)
	}
	return "pulled " + name + " " + level, os.WriteFile(file, []byte(to), 0)
}

// ask answers what the agent's local door says, on one line.
func (h hand) ask(path string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", h.door)
		},
	}}
	r, err := client.Get("http://station" + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if r.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP %d: %s", r.StatusCode, body)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return "", err
	}
	return "answer " + line.String(), nil
}

// memory reads VmRSS of the agent.
func (h hand) memory() (string, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.agent.Process.Pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			return "memory " + f[1], nil
		}
	}
	return "", errors.New("no VmRSS")
}
