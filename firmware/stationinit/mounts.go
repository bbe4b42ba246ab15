package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one file system that the kernel or its memory offers.
type mount struct {
	kind, at string
	flags    uintptr
	options  string
}

// mounts are made in this order. Until there is a data partition what a station writes lies in memory, below /run.
func mounts() []mount {
	const inert = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	return []mount{
		{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=0755"},
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,ptmxmode=0666"},
		{"proc", "/proc", inert, ""},
		{"sysfs", "/sys", inert, ""},
		{"configfs", "/sys/kernel/config", inert, ""},
		{"tmpfs", "/run", inert, "mode=0755"},
		{"tmpfs", "/tmp", inert, "mode=1777"},
	}
}

func mountAll() error {
	var errs []error
	for _, m := range mounts() {
		errs = append(errs, m.make())
	}
	return errors.Join(errs...)
}

// make mounts one file system. configfs comes as a module, which makes the place for it, and only with simulated hardware.
func (m mount) make() error {
	if _, err := os.Stat(m.at); errors.Is(err, fs.ErrNotExist) && m.kind == "configfs" {
		return nil
	}
	if err := os.MkdirAll(m.at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.kind, m.at, m.kind, m.flags, m.options); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", m.kind, m.at, err)
	}
	return nil
}
