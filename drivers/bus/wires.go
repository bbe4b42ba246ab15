package bus

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

// What went wrong on a bus, where somebody branches on it. Back ends wrap these with the bus, the address and the kernel's word.
var (
	// ErrNoAnswer means that no chip acknowledged: it is missing, or another address is set on its pins.
	ErrNoAnswer = errors.New("no answer")
	// ErrStuck means that the bus itself cannot be used: a wire is held low, or the controller lost arbitration for good.
	ErrStuck = errors.New("the bus is stuck")
	// ErrChecksum means that an answer came damaged.
	ErrChecksum = errors.New("wrong checksum")
	// ErrTimeout means that an answer did not come in time.
	ErrTimeout = errors.New("no answer in time")
)

// Down says that an error is the bus's own and not one chip's: it is stuck, does not come back, or is gone, which back ends tell
// as fs.ErrNotExist.
func Down(err error) bool {
	return errors.Is(err, ErrStuck) || errors.Is(err, ErrTimeout) || errors.Is(err, fs.ErrNotExist)
}

// I2C is a bus of chips with seven-bit addresses. Tx writes w and then, after a repeated start, reads len(r) bytes, as one
// transaction that no other use of the bus comes between; either may be empty. An error means that nothing of r may be
// believed. It returns within a second, whatever the bus does. Tx may be called at once from several goroutines.
type I2C interface {
	Tx(addr uint16, w, r []byte) error
}

// SPI is one chip behind its chip select. Tx writes w and reads r at the same time; if both are given they are equally long.
type SPI interface {
	Tx(w, r []byte) error
}

// OneWire is a bus of 1-wire chips. Tx resets the bus, writes w and then reads r; strong asks for the strong pull-up after
// the last bit. Search lists the chips that are there.
type OneWire interface {
	Tx(w, r []byte, strong bool) error
	Search(ctx context.Context) ([]ROM, error)
}

// Serial is a serial line. A read or write that meets its deadline fails with os.ErrDeadlineExceeded.
type Serial interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}
