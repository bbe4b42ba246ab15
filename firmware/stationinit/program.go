package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// run starts a program on this one's console and waits for its end, and meanwhile for the end of every process whose parent
// died before it: those become the first program's children, and stay in the process table until it asks for them.
func run(command []string) (unix.WaitStatus, error) {
	p, err := os.StartProcess(command[0], command, &os.ProcAttr{Env: environment(os.Environ()), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, err
	}
	for {
		var status unix.WaitStatus
		switch pid, err := unix.Wait4(-1, &status, 0, nil); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("waiting for %s: %w", command[0], err)
		case pid == p.Pid:
			return status, nil
		}
	}
}

// environment is what a program finds: what the command line said, and folders as on any Linux.
func environment(given []string) []string {
	env := []string{"PATH=/bin", "HOME=/run", "TMPDIR=/tmp"}
	for _, word := range given {
		if name, _, _ := strings.Cut(word, "="); name != "PATH" && name != "HOME" && name != "TERM" {
			env = append(env, word)
		}
	}
	return env
}

// end is how a station leaves its kernel.
type end struct {
	how int // argument of reboot(2)
	why string
}

// verdict makes of a program's end that of the station.
func verdict(status unix.WaitStatus, err error) end {
	switch {
	case err != nil:
		return end{unix.LINUX_REBOOT_CMD_RESTART, err.Error()}
	case status.Signaled():
		return end{unix.LINUX_REBOOT_CMD_RESTART, "killed by signal " + status.Signal().String()}
	case status.ExitStatus() != 0:
		return end{unix.LINUX_REBOOT_CMD_RESTART, fmt.Sprintf("exit status %d", status.ExitStatus())}
	}
	return end{unix.LINUX_REBOOT_CMD_POWER_OFF, "it ended well"}
}
