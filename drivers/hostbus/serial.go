package hostbus

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
)

// Parity is what the ninth bit of a character is.
type Parity uint8

// The parities of serial lines.
const (
	ParityNone Parity = iota
	ParityEven
	ParityOdd
)

// SerialConfig is how a serial line is set, with eight data bits. The zero value is 9,600 baud, no parity, one stop bit.
type SerialConfig struct {
	// Baud is the speed in bits a second, 9,600 by default. Speeds that are not usual are asked for as they are; a port that
	// cannot do one within 3 % refuses.
	Baud uint32
	// Parity is that of each character.
	Parity Parity
	// TwoStopBits asks for two instead of one.
	TwoStopBits bool
	// RS485 has the kernel raise RTS while it sends, for transceivers that want it.
	RS485 bool
}

// Bounds of a line's speed in bits a second.
const (
	baudDefault = 9600
	baudMin     = 50
	baudMax     = 4_000_000
)

// rs485 is struct serial_rs485 (include/uapi/linux/serial.h).
type rs485 struct {
	Flags         uint32
	DelayBeforeMS uint32
	DelayAfterMS  uint32
	Padding       [5]uint32
}

const (
	rs485Enabled = 1 << 0
	rs485RTSOn   = 1 << 1
)

// SerialPort is a serial line behind a terminal of the kernel's.
type SerialPort struct{ *os.File }

var _ bus.Serial = (*SerialPort)(nil)

// OpenSerial opens a terminal, as /dev/ttyUSB0, for us alone, and lets every byte through as it is. What was received before is
// thrown away.
func OpenSerial(path string, c SerialConfig) (*SerialPort, error) {
	return openSerial(linux(), path, c)
}

func openSerial(k kernel, path string, c SerialConfig) (*SerialPort, error) {
	if c.Baud == 0 {
		c.Baud = baudDefault
	}
	if c.Baud < baudMin || c.Baud > baudMax || c.Parity > ParityOdd {
		return nil, fmt.Errorf("serial line %s: %d baud, parity %d: want %d to %d baud and a parity", path, c.Baud, c.Parity, baudMin, baudMax)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening serial line %s: %w", path, faultOf(err))
	}
	if err := c.apply(k, fd); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("setting serial line %s: %w", path, faultOf(err))
	}
	return &SerialPort{os.NewFile(uintptr(fd), path)}, nil
}

func (c SerialConfig) apply(k kernel, fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = unix.IGNBRK, 0, 0 // raw
	t.Cflag = unix.CREAD | unix.CLOCAL | unix.CS8 | unix.BOTHER
	t.Ispeed, t.Ospeed = c.Baud, c.Baud
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if c.Parity != ParityNone {
		t.Cflag |= unix.PARENB
		t.Iflag |= unix.INPCK // a character with a wrong parity reads as zero, which the message's own checksum finds
	}
	if c.Parity == ParityOdd {
		t.Cflag |= unix.PARODD
	}
	if c.TwoStopBits {
		t.Cflag |= unix.CSTOPB
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
		return err
	}
	set, err := unix.IoctlGetTermios(fd, unix.TCGETS2) // the call says nothing of what it could not do
	if err != nil {
		return err
	}
	if off := max(set.Ospeed, c.Baud) - min(set.Ospeed, c.Baud); set.Ospeed != 0 && uint64(off)*100 > 3*uint64(c.Baud) {
		return fmt.Errorf("the port does %d baud and not %d", set.Ospeed, c.Baud)
	}
	if c.RS485 {
		r := rs485{Flags: rs485Enabled | rs485RTSOn}
		if err := k.ioctl(fd, unix.TIOCSRS485, unsafe.Pointer(&r)); err != nil {
			return fmt.Errorf("the port cannot switch an RS-485 transceiver: %w", err)
		}
	}
	return errors.Join(k.number(fd, unix.TIOCEXCL, 0), k.number(fd, unix.TCFLSH, unix.TCIFLUSH))
}
