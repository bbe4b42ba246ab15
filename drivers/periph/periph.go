// Some boards are known to periph and not to the kernel's own files: pins behind an FTDI cable, or mapped into memory.
//
// This module adapts what periph.io has to package bus, for the agent of the folder watchpostd below. It is a Go module of its
// own, so that the agent that every station runs carries none of it. What periph leaves out, no adapter can put back: it gives
// no time and no count of edges, reads a dead line as low, knows no end of a wait and no deadline of a transaction. Where the
// kernel's own drivers reach a device, use those.
package periph

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"periph.io/x/conn/v3/gpio/gpioreg"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2creg"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/onewire/onewirereg"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3"
	"periph.io/x/host/v3/netlink"

	"watchpost/drivers/bus"
	"watchpost/firmware/config"
	"watchpost/firmware/station"
)

// Bounds of a transaction.
const (
	txTimeout  = time.Second
	maxAddress = 0x7f
)

// Buses starts periph's drivers and gives the back ends that the station's configuration calls periph. A line of a board is a
// pin by periph's name, as GPIO17, under the board's own name for it or as it is.
func Buses() (station.Buses, error) {
	if _, err := host.Init(); err != nil {
		return station.Buses{}, fmt.Errorf("starting the drivers of periph: %w", err)
	}
	return station.Buses{
		Lines: map[string]func(config.Board, *slog.Logger) (bus.Lines, error){
			config.BackendPeriph: func(b config.Board, _ *slog.Logger) (bus.Lines, error) { return NewLines(b.Lines, gpioreg.ByName), nil },
		},
		I2C: map[string]func(config.Bus, *slog.Logger) (bus.I2C, error){
			config.BackendPeriph: func(b config.Bus, _ *slog.Logger) (bus.I2C, error) {
				inner, err := i2creg.Open(b.Device)
				if err != nil {
					return nil, fmt.Errorf("I2C bus %q: %w", b.Device, err)
				}
				return NewI2C(inner), nil
			},
		},
		OneWire: map[string]func(config.Bus, *slog.Logger) (bus.OneWire, error){
			config.BackendPeriph: func(b config.Bus, _ *slog.Logger) (bus.OneWire, error) {
				inner, err := onewirereg.Open(b.Device)
				if err != nil {
					return nil, fmt.Errorf("1-wire bus %q: %w", b.Device, err)
				}
				return NewOneWire(inner), nil
			},
		},
	}, nil
}

// faultOf puts the words of package bus to an error. periph mostly keeps only the text of what the kernel said.
func faultOf(err error) error {
	for _, known := range []struct {
		errno syscall.Errno
		fault error
	}{
		{syscall.ENXIO, bus.ErrNoAnswer}, {syscall.EREMOTEIO, bus.ErrNoAnswer}, {syscall.ETIMEDOUT, bus.ErrTimeout},
		{syscall.EAGAIN, bus.ErrStuck}, {syscall.EBUSY, bus.ErrStuck}, {syscall.ENODEV, fs.ErrNotExist},
	} {
		if errors.Is(err, known.errno) || strings.HasSuffix(err.Error(), known.errno.Error()) {
			return fmt.Errorf("%w: %w", known.fault, err)
		}
	}
	var none onewire.NoDevicesError
	var short onewire.ShortedBusError
	switch {
	case errors.As(err, &none) && none.NoDevices():
		return fmt.Errorf("%w: %w", bus.ErrNoAnswer, err)
	case errors.As(err, &short) && short.IsShorted():
		return fmt.Errorf("%w: %w", bus.ErrStuck, err)
	}
	return err
}

// worker runs one transaction at a time and lets nobody wait longer than a second for it, nor for those before it.
type worker struct {
	turn  chan struct{} // one place: who holds it has the bus
	tasks sync.WaitGroup
}

func newWorker() worker { return worker{turn: make(chan struct{}, 1)} }

// do runs tx, which must not touch what its caller may use again after an error.
func (k *worker) do(tx func() error) error {
	late := time.NewTimer(txTimeout)
	defer late.Stop()
	select {
	case k.turn <- struct{}{}:
	case <-late.C:
		return fmt.Errorf("the transaction before has not ended: %w", bus.ErrStuck)
	}
	done := make(chan error, 1)
	k.tasks.Go(func() {
		err := tx()
		<-k.turn
		done <- err
	})
	select {
	case err := <-done:
		if err != nil {
			return faultOf(err)
		}
		return nil
	case <-late.C:
		return fmt.Errorf("periph is still at it after %s: %w", txTimeout, bus.ErrStuck)
	}
}

// close waits for the transaction under way and closes what has a Close.
func (k *worker) close(inner any) error {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	k.tasks.Wait()
	if c, ok := inner.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// I2C is a bus of periph's.
type I2C struct {
	inner i2c.Bus
	worker
}

// SPI is a chip behind a port of periph's.
type SPI struct {
	inner spi.Conn
	worker
}

// OneWire is a 1-wire bus of periph's.
type OneWire struct {
	inner onewire.Bus
	worker
}

var (
	_ bus.I2C     = (*I2C)(nil)
	_ bus.SPI     = (*SPI)(nil)
	_ bus.OneWire = (*OneWire)(nil)
)

// NewI2C adapts a bus.
func NewI2C(inner i2c.Bus) *I2C { return &I2C{inner, newWorker()} }

// NewSPI adapts a connection to one chip.
func NewSPI(inner spi.Conn) *SPI { return &SPI{inner, newWorker()} }

// NewOneWire adapts a bus.
func NewOneWire(inner onewire.Bus) *OneWire { return &OneWire{inner, newWorker()} }

// Tx implements bus.I2C.
func (b *I2C) Tx(addr uint16, w, r []byte) error {
	if addr > maxAddress {
		return fmt.Errorf("%s, chip %02x: an address has seven bits", b.inner, addr)
	}
	out, in := append([]byte(nil), w...), make([]byte, len(r))
	if err := b.do(func() error { return b.inner.Tx(addr, out, in) }); err != nil {
		return fmt.Errorf("%s, chip %02x: %w", b.inner, addr, err)
	}
	copy(r, in)
	return nil
}

// Close closes the bus, if periph can.
func (b *I2C) Close() error { return b.close(b.inner) }

// Tx implements bus.SPI.
func (b *SPI) Tx(w, r []byte) error {
	out, in := append([]byte(nil), w...), make([]byte, len(r))
	if err := b.do(func() error { return b.inner.Tx(out, in) }); err != nil {
		return fmt.Errorf("%s: %w", b.inner, err)
	}
	copy(r, in)
	return nil
}

// Close closes the connection, if periph can.
func (b *SPI) Close() error { return b.close(b.inner) }

// Tx implements bus.OneWire. periph's bus over the kernel passes over a strong pull-up without a word, so that one is refused.
func (b *OneWire) Tx(w, r []byte, strong bool) error {
	if _, kernel := b.inner.(*netlink.OneWire); kernel && strong {
		return fmt.Errorf("%s gives no strong pull-up; wire the chip's supply: %w", b.inner, errors.ErrUnsupported)
	}
	out, in := append([]byte(nil), w...), make([]byte, len(r))
	if err := b.do(func() error { return b.inner.Tx(out, in, onewire.Pullup(strong)) }); err != nil {
		return fmt.Errorf("%s: %w", b.inner, err)
	}
	copy(r, in)
	return nil
}

// Search implements bus.OneWire. A search that was begun is not broken off by the end of ctx.
func (b *OneWire) Search(ctx context.Context) ([]bus.ROM, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var found []onewire.Address
	err := b.do(func() (err error) {
		found, err = b.inner.Search(false)
		return err
	})
	if errors.Is(err, bus.ErrNoAnswer) {
		return nil, nil
	}
	var roms []bus.ROM
	for i := 0; err == nil && i < len(found); i++ {
		roms = append(roms, bus.ROM(found[i]))
		err = roms[i].Check()
	}
	if err != nil {
		return nil, fmt.Errorf("searching %s: %w", b.inner, err)
	}
	return roms, nil
}

// Close closes the bus, if periph can.
func (b *OneWire) Close() error { return b.close(b.inner) }
