package hostbus

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
)

// fakeAdapter is an I2C adapter of the kernel's behind a plain file: it takes the messages of I2C_RDWR apart and hands them to
// chips in memory.
type fakeAdapter struct {
	chips   *bustest.Chips
	funcs   uintptr
	fault   error         // what the kernel says instead
	hang    chan struct{} // a transaction waits for it, if it is not nil
	numbers map[uint]int
	calls   int
	opened  int
}

func (a *fakeAdapter) kernel() kernel {
	return kernel{ioctl: a.ioctl, number: func(_ int, request uint, value int) error {
		a.numbers[request] = value
		return nil
	}}
}

func (a *fakeAdapter) ioctl(_ int, request uint, arg unsafe.Pointer) error {
	switch request {
	case 0x705:
		a.opened++
		*(*uintptr)(arg) = a.funcs
		return nil
	case 0x707:
		a.calls++
		if a.hang != nil {
			<-a.hang
		}
		if a.fault != nil {
			return a.fault
		}
		return a.transfer((*i2cTransaction)(arg))
	}
	return unix.ENOTTY
}

func (a *fakeAdapter) transfer(t *i2cTransaction) error {
	var w, r []byte
	messages := unsafe.Slice(t.Messages, t.Count)
	for _, m := range messages {
		if m.Address != messages[0].Address {
			return unix.EINVAL
		}
		if b := unsafe.Slice(m.Data, m.Length); m.Flags == 1 {
			r = b
		} else {
			w = b
		}
	}
	switch err := a.chips.Tx(messages[0].Address, w, r); {
	case errors.Is(err, bus.ErrNoAnswer):
		return unix.ENXIO
	case errors.Is(err, bus.ErrStuck):
		return unix.EBUSY
	default:
		return err
	}
}

// newAdapter has a bus open over a fake adapter.
func newAdapter(t testing.TB) (*fakeAdapter, *I2C) {
	t.Helper()
	a := &fakeAdapter{chips: bustest.NewChips(map[uint16]*bustest.Registers{0x48: {}}), funcs: 1, numbers: map[uint]int{}}
	path := filepath.Join(t.TempDir(), "i2c-1")
	must(t, os.WriteFile(path, nil, 0o600))
	b, err := openI2C(a.kernel(), path)
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	return a, b
}

// TestI2CConformance runs the contract down to the call of I2C_RDWR; that the kernel reads the messages as this adapter does,
// the layouts and a guest with a real adapter must show.
func TestI2CConformance(t *testing.T) {
	bustest.I2C(t, func(t *testing.T) bustest.I2CBench {
		a, b := newAdapter(t)
		return bustest.I2CBench{Bus: b, Stick: func() { a.chips.Stick(true) }, Free: func() { a.chips.Stick(false) }}
	})
}

func TestI2CSettings(t *testing.T) {
	a, b := newAdapter(t)
	if a.numbers[0x702] != 20 || a.numbers[0x701] != 1 {
		t.Errorf("I2C_TIMEOUT %d (of 10 ms), I2C_RETRIES %d", a.numbers[0x702], a.numbers[0x701])
	}
	a.funcs = 0xc7f0000 // of i2c-stub
	if _, err := openI2C(a.kernel(), b.path); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an adapter for SMBus only: %v", err)
	}
}

func TestI2CFaults(t *testing.T) {
	a, b := newAdapter(t)
	for errno, want := range map[unix.Errno]error{
		unix.ENXIO: bus.ErrNoAnswer, unix.EREMOTEIO: bus.ErrNoAnswer, unix.ETIMEDOUT: bus.ErrTimeout, unix.EAGAIN: bus.ErrStuck, unix.EBUSY: bus.ErrStuck,
		unix.EBADMSG: bus.ErrChecksum, unix.ETIME: bus.ErrTimeout, unix.EIO: unix.EIO, unix.EOPNOTSUPP: unix.EOPNOTSUPP, unix.ENODEV: fs.ErrNotExist,
	} {
		a.fault = errno
		if err := b.Tx(0x48, []byte{0}, nil); !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	a.fault = nil
	must(t, b.Tx(0x48, []byte{0}, nil))
	if a.opened != 2 {
		t.Errorf("opened %d times: a bus that was pulled is opened again, and no other", a.opened)
	}
	must(t, b.Close())
	if err := b.Tx(0x48, []byte{0}, nil); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// TestI2CHangs is a kernel that does not come back: each caller does within a second, what was asked for is not written to
// later, and the bus works again when the kernel does.
func TestI2CHangs(t *testing.T) {
	a, b := newAdapter(t)
	must(t, b.Tx(0x48, []byte{0, 0xaa}, nil))
	a.hang = make(chan struct{})
	begun := time.Now()
	r := []byte{7}
	var group errgroup.Group
	group.Go(func() error { return b.Tx(0x48, []byte{0}, r) })
	group.Go(func() error { return b.Tx(0x48, []byte{0}, make([]byte, 1)) })
	if err := group.Wait(); !errors.Is(err, bus.ErrStuck) || time.Since(begun) > 3*txTimeout/2 {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	close(a.hang)
	got := make([]byte, 1)
	must(t, b.Tx(0x48, []byte{0}, got))
	if !bytes.Equal(got, []byte{0xaa}) || r[0] != 7 {
		t.Errorf("read %x; the caller that was sent away has %x", got, r)
	}
}

// BenchmarkI2C is one transaction without the kernel's part.
func BenchmarkI2C(b *testing.B) {
	_, i2c := newAdapter(b)
	r := make([]byte, 2)
	for b.Loop() {
		must(b, i2c.Tx(0x48, []byte{0}, r))
	}
}
