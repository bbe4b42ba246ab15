package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// asMain makes the test binary simctl itself, or with asChild a program that simctl starts.
const (
	asMain  = "SIMCTL_AS_MAIN"
	asChild = "SIMCTL_AS_CHILD"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asChild) != "":
		actAsChild(os.Getenv(asChild))
		return
	case os.Getenv(asMain) != "":
		main()
		return
	}
	testscript.Main(m, map[string]func(){"simctl": main})
}

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Condition: condition, Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"waitsaid": waitSaid,
	}})
}

// condition says what there is on this machine. In CI there is everything, or the test fails.
func condition(name string) (bool, error) {
	if name != "fuse" {
		return false, fmt.Errorf("unknown condition %s", name)
	}
	err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK)
	return err == nil && os.Geteuid() == 0 || os.Getenv("CI") != "", nil
}

// poll asks until done says so, or fails.
func poll(what string, fatalf func(string, ...any), done func() bool) {
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		if time.Now().After(deadline) {
			fatalf("%s: not within %v", what, patience)
		}
		<-ticker.C
	}
}

// waitSaid waits until a file holds a text: what a command in the background has written so far.
func waitSaid(ts *testscript.TestScript, _ bool, args []string) {
	path, text := ts.MkAbs(args[0]), args[1]
	poll(args[0]+" holds "+text, ts.Fatalf, func() bool {
		said, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(said), text)
	})
}

// children are the processes that another started.
func children(pid int) (pids []int) {
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, path := range tasks {
		text, _ := os.ReadFile(path)
		for word := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(word); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// self is the test binary as a command.
func self(t *testing.T, env string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env)
	return cmd
}
