package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// show starts a demonstration and reads what it prints up to "ready".
func show(t *testing.T, dir string) (cmd *exec.Cmd, stdin io.Writer, out *bufio.Scanner, said map[string]string) {
	t.Helper()
	cmd = self(t, asMain+"=1", "demo", "--listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	out, said = bufio.NewScanner(pipe), map[string]string{}
	for out.Scan() {
		key, value, _ := strings.Cut(out.Text(), " ")
		said[key] = strings.TrimSpace(value)
		if out.Text() == "ready" {
			return cmd, stdin, out, said
		}
	}
	t.Fatalf("it ended before it was ready: %v", said)
	return nil, nil, nil, nil
}

// folder is a temporary folder with a short name, because paths of sockets are short.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// gone waits until none of the processes is alive.
func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		poll("a child of the demonstration ends", t.Fatalf, func() bool { return !alive(pid) })
	}
}

func TestDemo(t *testing.T) {
	dir := folder(t)
	cmd, stdin, out, said := show(t, dir)
	pids := children(cmd.Process.Pid)
	if len(pids) != 12 { // a centre, three boxes, four cameras, three stations, a panel
		t.Errorf("%d processes, want 12", len(pids))
	}
	r, err := http.Get(said["url"])
	if err != nil || r.StatusCode != http.StatusOK || said["user"] != "demo" || len(said["password"]) < 16 {
		t.Fatalf("%v answers %v, %v", said, r, err)
	}
	_ = r.Body.Close()
	if _, err := io.WriteString(stdin, "\n"); err != nil {
		t.Fatal(err)
	}
	if !out.Scan() || out.Text() != "alarm 2: panic in 球川镇界口" {
		t.Errorf("Enter makes it say %q", out.Text())
	}
	for _, village := range []string{"白石镇草坪村", "球川镇界口"} {
		if _, err := io.WriteString(stdin, "window\n"); err != nil {
			t.Fatal(err)
		}
		if !out.Scan() || out.Text() != village+": the window of the armed police room is opened" {
			t.Errorf("window makes it say %q", out.Text())
		}
	}
	// One station stands still, goes on, and stands still again, so that it has to be woken at the end.
	for _, step := range [][2]string{{"silent", "白石镇草坪村 stands still"}, {"back", "白石镇草坪村 goes on"}, {"silent", "白石镇草坪村 stands still"}} {
		if _, err := io.WriteString(stdin, step[0]+"\n"); err != nil {
			t.Fatal(err)
		}
		if !out.Scan() || out.Text() != step[1] {
			t.Errorf("%s makes it say %q", step[0], out.Text())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if !out.Scan() || out.Text() != "stopping" || out.Scan() {
		t.Errorf("at the end it says %q", out.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	gone(t, pids)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestKilledDemoLeavesNothingRunning(t *testing.T) {
	cmd, _, _, _ := show(t, folder(t))
	pids := children(cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	gone(t, pids)
}
