// A developer of Watchpost has no village, no alarm panel and no camera on the desk: simctl is all of them, each as a
// process of its own, and a demonstration of everything together.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"watchpost/tools/cli"
)

// commands is the whole command line.
type commands struct {
	Demo   demoCommand   `cmd:"" help:"Three stations of two counties, a centre and an alarm with video, in one browser page."`
	Board  boardCommand  `cmd:"" help:"An I/O box with input lines, served over a Unix socket."`
	Panel  panelCommand  `cmd:"" help:"An alarm panel that reports by SIA DC-09 until it is acknowledged."`
	Camera cameraCommand `cmd:"" help:"An IP camera at a village gate, served over RTSP."`
	Fleet  fleetCommand  `cmd:"" help:"Many stations at once: in virtual time, or against a running centre."`
	Disk   diskCommand   `cmd:"" help:"A disk that loses what was not synced when its power is cut."`
}

// deps are what a command may touch besides its flags.
type deps struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
}

// usageError is a mistake in the command line: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "simctl:", err)
	if _, wrong := err.(usageError); wrong {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

// run is the program without its process: it parses args and runs one command until it is done or ctx ends.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var c commands
	k, err := cli.Parse(ctx, "simctl", "The other end of every wire of a Watchpost station.\n\nEach command prints \"ready\" on a line of its own when it serves, and ends at Ctrl-C.", &c, args, stdout, stderr)
	if err != nil {
		return usageError{err}
	}
	if k == nil {
		return nil
	}
	return k.Run(deps{stdin: stdin, stdout: stdout, stderr: stderr, log: slog.New(slog.NewTextHandler(stderr, nil))})
}
