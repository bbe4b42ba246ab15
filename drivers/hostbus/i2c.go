package hostbus

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
)

// Numbers of i2c-dev (include/uapi/linux/i2c.h and i2c-dev.h).
const (
	i2cRetries     = 0x0701
	i2cTimeout     = 0x0702
	i2cFuncs       = 0x0705
	i2cReadWrite   = 0x0707
	i2cFlagRead    = 0x0001
	i2cFuncPlain   = 1 << 0
	i2cTimeoutUnit = 10 * time.Millisecond
	i2cMaxAddress  = 0x7f
	i2cMaxLength   = 8192 // of one message, in the kernel
)

// How patient the kernel is with one transaction, and we with the kernel.
const (
	i2cKernelTimeout = 200 * time.Millisecond
	i2cKernelRetries = 1
	txTimeout        = time.Second
)

type i2cMessage struct {
	Address uint16
	Flags   uint16
	Length  uint16
	Data    *byte
}

type i2cTransaction struct {
	Messages *i2cMessage
	Count    uint32
}

// I2C is a bus of the kernel's. Each transaction is one I2C_RDWR, which no other program can come between.
type I2C struct {
	kernel kernel
	path   string

	turn   chan struct{} // one place: who holds it may use the bus and the fields below
	tasks  sync.WaitGroup
	fd     int // -1 = not open
	closed bool
}

var _ bus.I2C = (*I2C)(nil)

// OpenI2C opens a bus by its device file, as /dev/i2c-1. It fails where the adapter knows SMBus only. A bus whose device vanishes
// later is opened again when it is back.
func OpenI2C(path string) (*I2C, error) { return openI2C(linux(), path) }

func openI2C(k kernel, path string) (*I2C, error) {
	b := &I2C{kernel: k, path: path, turn: make(chan struct{}, 1), fd: -1}
	return b, b.open()
}

// String names the bus as errors do.
func (b *I2C) String() string { return b.path }

// open needs the turn, or that nobody else knows b.
func (b *I2C) open() error {
	fd, err := unix.Open(b.path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening I2C bus %s: %w", b.path, faultOf(err))
	}
	var funcs uintptr // unsigned long
	err = b.kernel.ioctl(fd, i2cFuncs, unsafe.Pointer(&funcs))
	switch {
	case err != nil:
		err = fmt.Errorf("%s is no I2C bus: %w", b.path, faultOf(err))
	case funcs&i2cFuncPlain == 0:
		err = fmt.Errorf("%s: its adapter speaks SMBus only: %w", b.path, errors.ErrUnsupported)
	default:
		err = errors.Join(b.kernel.number(fd, i2cTimeout, int(i2cKernelTimeout/i2cTimeoutUnit)), b.kernel.number(fd, i2cRetries, i2cKernelRetries))
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	b.fd = fd
	return nil
}

// Tx implements [bus.I2C]. A kernel that does not come back within a second is [bus.ErrStuck], and so is each call after that
// until it does.
func (b *I2C) Tx(addr uint16, w, r []byte) error {
	if addr > i2cMaxAddress || len(w) > i2cMaxLength || len(r) > i2cMaxLength {
		return fmt.Errorf("%s, chip %02x: an address has seven bits, and at most %d bytes go each way", b.path, addr, i2cMaxLength)
	}
	late := time.NewTimer(txTimeout)
	defer late.Stop()
	select {
	case b.turn <- struct{}{}:
	case <-late.C:
		return fmt.Errorf("%s, chip %02x: the transaction before has not ended: %w", b.path, addr, bus.ErrStuck)
	}
	if b.closed {
		<-b.turn
		return fmt.Errorf("%s: %w", b.path, os.ErrClosed)
	}
	// The bytes are copied: if the kernel comes back late, nobody waits for them any more.
	out, in := append([]byte(nil), w...), make([]byte, len(r))
	done := make(chan error, 1)
	b.tasks.Go(func() {
		err := b.transfer(addr, out, in)
		<-b.turn
		done <- err
	})
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s, chip %02x: %w", b.path, addr, faultOf(err))
		}
		copy(r, in)
		return nil
	case <-late.C:
		return fmt.Errorf("%s, chip %02x: the kernel is still at it after %s: %w", b.path, addr, txTimeout, bus.ErrStuck)
	}
}

// transfer needs the turn.
func (b *I2C) transfer(addr uint16, w, r []byte) error {
	if b.fd < 0 {
		if err := b.open(); err != nil {
			return err
		}
	}
	var messages [2]i2cMessage
	n := 0
	if len(w) > 0 || len(r) == 0 { // nothing both ways still asks the chip whether it is there
		messages[n] = i2cMessage{Address: addr, Length: uint16(len(w)), Data: unsafe.SliceData(w)}
		n++
	}
	if len(r) > 0 {
		messages[n] = i2cMessage{Address: addr, Flags: i2cFlagRead, Length: uint16(len(r)), Data: unsafe.SliceData(r)}
		n++
	}
	t := i2cTransaction{Messages: &messages[0], Count: uint32(n)}
	err := b.kernel.ioctl(b.fd, i2cReadWrite, unsafe.Pointer(&t))
	if errors.Is(err, unix.ENODEV) { // pulled: the file is of no use any more
		_ = unix.Close(b.fd)
		b.fd = -1
	}
	return err
}

// Close waits for the transaction under way, as long as the kernel is at it, and closes the bus.
func (b *I2C) Close() error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.tasks.Wait()
	b.closed = true
	if b.fd < 0 {
		return nil
	}
	err := unix.Close(b.fd)
	b.fd = -1
	return err
}
