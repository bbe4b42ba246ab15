// A station's own board has its lines, chips and serial ports behind files of the Linux kernel, and every one can vanish.
//
// Here are the back ends of package bus over the kernel's own calls: [Lines] over the GPIO character device (version 2, Linux
// 5.10), [I2C] over i2c-dev, [SPI] over spidev, [OneWire] over the w1 connector and [Serial] over a terminal. None of them
// polls, and none keeps a caller longer than its contract says, whatever the device does.
package hostbus

import (
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
)

// Parts of an ioctl's number (include/uapi/asm-generic/ioctl.h), the same on amd64, arm64, arm and riscv64.
const (
	directionWrite = 1
	directionRead  = 2
)

// kernel is how the back ends reach it. Tests have a directory and an ioctl of their own.
type kernel struct {
	dir    string // where device files are
	ioctl  func(fd int, request uint, arg unsafe.Pointer) error
	number func(fd int, request uint, value int) error // an ioctl whose argument is a number
}

func linux() kernel { return kernel{dir: "/dev", ioctl: ioctl, number: unix.IoctlSetInt} }

// ioctl makes the call, again if a signal came in between.
func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// faultOf puts the words of package bus to what the kernel says of a bus (Documentation/i2c/fault-codes.rst). A device that is
// gone is fs.ErrNotExist.
func faultOf(err error) error {
	switch {
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.EREMOTEIO):
		return fmt.Errorf("%w: %w", bus.ErrNoAnswer, err)
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", bus.ErrStuck, err)
	case errors.Is(err, unix.ETIMEDOUT), errors.Is(err, unix.ETIME):
		return fmt.Errorf("%w: %w", bus.ErrTimeout, err)
	case errors.Is(err, unix.EBADMSG):
		return fmt.Errorf("%w: %w", bus.ErrChecksum, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
