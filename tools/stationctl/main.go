// A technician at the box, and a villager who goes home, ask the station itself: stationctl shows its live inputs and arms
// its partitions over the local door, without a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"watchpost/tools/cli"
)

// commands is the whole command line.
type commands struct {
	Door string `default:"data/door.sock" placeholder:"PATH" help:"Socket of the station's local door, in its data directory."`

	Status    statusCommand    `cmd:"" help:"How the station and its partitions are."`
	IO        ioCommand        `cmd:"" name:"io" help:"All inputs and outputs as they are now, with what was read on their wires."`
	Arm       armCommand       `cmd:"" help:"Arm a partition."`
	Disarm    disarmCommand    `cmd:"" help:"Disarm a partition; ends its alarm."`
	Clear     clearCommand     `cmd:"" help:"Forget the alarm memory of a disarmed partition."`
	Bypass    bypassCommand    `cmd:"" help:"Leave a zone out, or have it count again."`
	Walktest  walktestCommand  `cmd:"" help:"Walk past each detector of a disarmed partition: those that were seen are ticked off."`
	Test      testCommand      `cmd:"" help:"Put a zone or the station under test, or end that."`
	Readerkey readerKeyCommand `cmd:"" help:"Give a card reader on RS-485 the key of the configuration, once."`
	Code      codeCommand      `cmd:"" help:"Make the line of a user's code for the station's configuration."`
	Decode    decodeCommand    `cmd:"" help:"Show what captured bytes of an alarm panel say."`
}

// deps are what a command may touch besides its flags.
type deps struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	door           door
	now            func() time.Time
}

// usageError is a mistake in the command line, or in what was typed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3 // the station does not do it: wrong code, zones in the way, no right
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stationctl:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	if _, wrong := errors.AsType[usageError](err); wrong {
		return exitUsage
	}
	if _, refused := errors.AsType[*refusal](err); refused {
		return exitRefused
	}
	return exitFailed
}

// run is the program without its process: it parses args and runs one command.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var c commands
	k, err := cli.Parse(ctx, "stationctl", "The technician's and the villager's command at a Watchpost station.\n\n"+
		"Codes are asked for on the terminal, or read from standard input or --code-file; they are never arguments.", &c, args, stdout, stderr)
	if err != nil {
		return usageError{err}
	}
	if k == nil {
		return nil
	}
	return k.Run(deps{stdin: stdin, stdout: stdout, stderr: stderr, door: door{c.Door}, now: time.Now})
}
