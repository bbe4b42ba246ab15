// In a guest somebody has to press the buttons: this program makes the simulated lines of the guest's kernel, runs a station's
// agent among them, and does what it is told over the serial line.
//
//	guest [-chip LABEL:NAME,NAME,…] PROGRAM ARGUMENTS…
//
// It writes "guest ready" and then takes these commands, one a line; each is answered by one line that begins with "guest":
//
//	pull NAME 0|1    moves a line of the simulated chip       guest pulled NAME 0|1
//	ask PATH         asks the agent's local door              guest answer JSON, or guest failed TEXT
//	memory           resident memory of the agent in KiB      guest memory N
//	signal NUMBER    sends the agent a signal                 guest sent NUMBER
//
// A program finds the chip in its environment: WATCHPOST_GPIOSIM is its label, a colon and the folder of its lines,
// WATCHPOST_GPIOSIM_LIVE the file that switches it off and on. The hand ends when the program does, with its exit status.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

func main() {
	// A console of its own: a read of it can be broken off, which the one that is shared with all programs must not be told.
	console, err := os.Open("/dev/console")
	if err == nil {
		err = run(os.Args[1:], console, os.Stdout)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// run starts the agent and serves commands from in, which it closes, until the agent has ended.
func run(args []string, in io.ReadCloser, out io.Writer) error {
	flags := flag.NewFlagSet("guest", flag.ContinueOnError)
	flags.SetOutput(out)
	wires := flags.String("chip", "", "label of the simulated chip, a colon, and names of its lines with commas between")
	door := flags.String("door", "/run/watchpost/door.sock", "the agent's local door")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no program to run")
	}
	h := hand{door: *door, agent: exec.Command(flags.Arg(0), flags.Args()[1:]...)}
	if label, names, ok := strings.Cut(*wires, ":"); ok {
		c, err := newChip("/sys", label, strings.Split(names, ","))
		if err != nil {
			return err
		}
		h.lines, h.agent.Env = c.lines, append(os.Environ(), c.environment()...)
	}
	h.agent.Stdout, h.agent.Stderr = out, out
	if err := h.agent.Start(); err != nil {
		return err
	}
	var served sync.WaitGroup
	served.Go(func() { h.serve(in, out) })
	err := h.agent.Wait()
	_ = in.Close()
	served.Wait()
	return err
}
