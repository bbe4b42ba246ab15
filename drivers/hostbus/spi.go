package hostbus

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
)

// Requests of spidev (include/uapi/linux/spi/spidev.h).
const (
	spiWriteMode  = directionWrite<<30 | 1<<16 | 'k'<<8 | 1
	spiWriteBits  = directionWrite<<30 | 1<<16 | 'k'<<8 | 3
	spiWriteSpeed = directionWrite<<30 | 4<<16 | 'k'<<8 | 4
	spiMessage    = directionWrite<<30 | uint(unsafe.Sizeof(spiTransfer{}))<<16 | 'k'<<8 | 0
	spiBits       = 8
	spiMaxMode    = 3
	spiMaxLength  = 4096 // bufsiz of spidev, unless its module was told otherwise
)

// spiTransfer has addresses as numbers, whatever their size.
type spiTransfer struct {
	Out       uint64
	In        uint64
	Length    uint32
	Hertz     uint32
	DelayUS   uint16
	Bits      uint8
	Change    uint8
	OutWires  uint8
	InWires   uint8
	WordDelay uint8
	Padding   uint8
}

// SPI is one chip select of a bus of the kernel's. Its clock comes from this side, so that no chip can hold a transaction up.
type SPI struct {
	kernel kernel
	path   string
	hertz  uint32

	mu sync.Mutex // guards the field below
	fd int        // -1 = closed
}

var _ bus.SPI = (*SPI)(nil)

// OpenSPI opens a chip by its device file, as /dev/spidev0.0, with the highest clock in hertz and the mode of the datasheet, 0
// to 3: twice the clock's polarity and its phase.
func OpenSPI(path string, hertz uint32, mode uint8) (*SPI, error) {
	return openSPI(linux(), path, hertz, mode)
}

func openSPI(k kernel, path string, hertz uint32, mode uint8) (*SPI, error) {
	if hertz == 0 || mode > spiMaxMode {
		return nil, fmt.Errorf("SPI chip %s: %d Hz, mode %d: want a clock and a mode of 0 to %d", path, hertz, mode, spiMaxMode)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening SPI chip %s: %w", path, faultOf(err))
	}
	bits := uint8(spiBits)
	err = errors.Join(k.ioctl(fd, spiWriteMode, unsafe.Pointer(&mode)), k.ioctl(fd, spiWriteBits, unsafe.Pointer(&bits)),
		k.ioctl(fd, spiWriteSpeed, unsafe.Pointer(&hertz)))
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("SPI chip %s does not take %d Hz in mode %d: %w", path, hertz, mode, faultOf(err))
	}
	return &SPI{kernel: k, path: path, hertz: hertz, fd: fd}, nil
}

// Tx implements [bus.SPI], of at most 4,096 bytes.
func (b *SPI) Tx(w, r []byte) error {
	n := max(len(w), len(r))
	if len(w) > 0 && len(r) > 0 && len(w) != len(r) || n > spiMaxLength {
		return fmt.Errorf("SPI chip %s: %d bytes out and %d in: want equally many, at most %d", b.path, len(w), len(r), spiMaxLength)
	}
	if n == 0 {
		return nil
	}
	t := spiTransfer{Length: uint32(n), Hertz: b.hertz, Bits: spiBits}
	var pin runtime.Pinner // the kernel is given addresses as numbers
	defer pin.Unpin()
	if len(w) > 0 {
		pin.Pin(&w[0])
		t.Out = uint64(uintptr(unsafe.Pointer(&w[0])))
	}
	if len(r) > 0 {
		pin.Pin(&r[0])
		t.In = uint64(uintptr(unsafe.Pointer(&r[0])))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.kernel.ioctl(b.fd, spiMessage, unsafe.Pointer(&t)); err != nil {
		return fmt.Errorf("SPI chip %s: %w", b.path, faultOf(err))
	}
	return nil
}

// Close closes the chip's file.
func (b *SPI) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	fd := b.fd
	b.fd = -1
	return unix.Close(fd)
}
