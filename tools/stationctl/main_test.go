package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// asMain makes the test binary stationctl itself.
const asMain = "STATIONCTL_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"stationctl": main})
}

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Values[wireKey] = &wire{hall: "normal", state: "disarmed"}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"station":  openStation,
			"tell":     tellStation,
			"waitsaid": waitSaid,
			"exits":    exits,
		},
	})
}

// exits runs stationctl and holds it to an exit code: exits 3 arm house.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: exits CODE ARGS…")
	}
	err := ts.Exec("stationctl", args[1:]...)
	code := 0
	if exit, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("stationctl %s: %v", strings.Join(args[1:], " "), err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("stationctl %s: exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// waitSaid waits until a file holds a text: what a command in the background has written so far.
func waitSaid(ts *testscript.TestScript, _ bool, args []string) {
	path, text := ts.MkAbs(args[0]), args[1]
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		said, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(said), text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s holds %s: not within %v", args[0], text, patience)
		}
		<-ticker.C
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitUsage:   fmt.Errorf("arming: %w", usageError{errors.New("no code")}),
		exitRefused: fmt.Errorf("arming: %w", &refusal{"not normal: hall"}),
		exitFailed:  errors.New("no station"),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
