package modbus

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Line is a pseudo terminal: the slaves hold its master's side, and a station opens Path as its serial port.
type Line struct {
	*os.File
	// Path is the station's side.
	Path string

	slave *os.File // held open, so that the line lives while no station has it
}

// OpenLine makes a serial line without an echo or any other processing.
func OpenLine() (*Line, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a pseudo terminal: %w", err)
	}
	l := &Line{File: os.NewFile(uintptr(master), "/dev/ptmx")}
	err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	n := 0
	if err == nil {
		n, err = unix.IoctlGetInt(master, unix.TIOCGPTN)
	}
	if err == nil {
		l.Path = fmt.Sprintf("/dev/pts/%d", n)
		err = l.raw()
	}
	if err != nil {
		_ = l.File.Close() // it never was a line
		return nil, fmt.Errorf("preparing a pseudo terminal: %w", err)
	}
	return l, nil
}

// raw opens the station's side and turns all processing off.
func (l *Line) raw() error {
	slave, err := os.OpenFile(l.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	l.slave = slave
	t, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, t)
}

// Close ends the line for both sides.
func (l *Line) Close() error {
	_ = l.slave.Close()
	return l.File.Close()
}
