// A station's kernel starts one program and panics when it ends: this one. It mounts what the kernel offers, loads the
// modules that came with it, gives the network its address, starts the agent, and sees to the end of every process that
// nobody else waits for.
//
// The words behind "--" on the kernel's command line are the program and its arguments; without any it is the agent with
// its usual configuration. When the program ends well the station is switched off; when it ends otherwise, or cannot be
// started, the station starts anew, as it does when this program dies and the command line says panic=5. There is no other
// way out: a first program that returned would leave a dead kernel spinning.
//
// The kernel hands words of the form NAME=VALUE that mean nothing to it on as environment. The network's address comes from
// there (see [addresses]).
package main

import (
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// agent is what a station runs if its command line names nothing else.
func agent() []string { return []string{"/bin/watchpostd", "-config", "/etc/watchpost/station.yaml"} }

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "stationinit: only a kernel starts this program; it would mount over this machine's folders")
		os.Exit(2)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	prepare(log)
	command := os.Args[1:]
	if len(command) == 0 {
		command = agent()
	}
	end := verdict(run(command))
	log.Info("the station ends", "program", command[0], "why", end.why)
	unix.Sync()
	if err := unix.Reboot(end.how); err != nil {
		panic(fmt.Sprintf("leaving the kernel: %v", err)) // and the kernel panics in turn
	}
}

// prepare makes the kernel's bare floor a place where an agent can live. What cannot be had is told and done without: a
// station without one of its modules is still a station.
func prepare(log *slog.Logger) {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"modules", func() error { return loadModules(os.DirFS("/"), finit) }},
		{"mounts", mountAll},
		{"network", network},
	} {
		if err := step.do(); err != nil {
			log.Error("the station starts without a part", "part", step.name, "err", err)
		}
	}
}
