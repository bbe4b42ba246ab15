package hostbus

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fakeSPI is a chip that answers each byte with its complement, behind a plain file.
type fakeSPI struct {
	mode, bits uint8
	hertz      uint32
	fault      error
	last       spiTransfer
}

func (f *fakeSPI) ioctl(_ int, request uint, arg unsafe.Pointer) error {
	switch request {
	case 0x40016b01:
		f.mode = *(*uint8)(arg)
	case 0x40016b03:
		f.bits = *(*uint8)(arg)
	case 0x40046b04:
		f.hertz = *(*uint32)(arg)
	case 0x40206b00:
		f.last = *(*spiTransfer)(arg)
		var out, in []byte
		if f.last.Out != 0 {
			out = unsafe.Slice(at(f.last.Out), f.last.Length)
		}
		if f.last.In != 0 {
			in = unsafe.Slice(at(f.last.In), f.last.Length)
		}
		for i := range in {
			in[i] = 0xff
			if out != nil {
				in[i] = ^out[i]
			}
		}
	default:
		return unix.ENOTTY
	}
	return f.fault
}

// at is the address that a number says.
func at(address uint64) *byte {
	n := uintptr(address)
	return *(**byte)(unsafe.Pointer(&n))
}

func TestSPI(t *testing.T) {
	f := &fakeSPI{}
	k, path := kernel{ioctl: f.ioctl}, filepath.Join(t.TempDir(), "spidev0.0")
	must(t, os.WriteFile(path, nil, 0o600))
	b, err := openSPI(k, path, 1_000_000, 3)
	must(t, err)
	if f.mode != 3 || f.bits != 8 || f.hertz != 1_000_000 {
		t.Errorf("mode %d, %d bits, %d Hz", f.mode, f.bits, f.hertz)
	}
	w, r := []byte{1, 2, 3}, make([]byte, 3)
	if err := b.Tx(w, r); err != nil || !bytes.Equal(r, []byte{0xfe, 0xfd, 0xfc}) || !bytes.Equal(w, []byte{1, 2, 3}) {
		t.Errorf("% x, %v", r, err)
	}
	if f.last.Length != 3 || f.last.Hertz != 1_000_000 || f.last.Bits != 8 {
		t.Errorf("%+v", f.last)
	}
	must(t, errors.Join(b.Tx(w, nil), b.Tx(nil, nil)))
	if err := b.Tx(nil, r[:2]); err != nil || r[0] != 0xff {
		t.Errorf("a read alone: % x, %v", r, err)
	}
	for name, bad := range map[string][2][]byte{"lengths": {w, r[:2]}, "too long": {make([]byte, spiMaxLength+1), nil}} {
		if err := b.Tx(bad[0], bad[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	f.fault = unix.EIO
	if err := b.Tx(w, r); !errors.Is(err, unix.EIO) {
		t.Error(err)
	}
	if _, err := openSPI(k, path, 1_000_000, 0); !errors.Is(err, unix.EIO) {
		t.Errorf("a port that refuses its settings: %v", err)
	}
	must(t, b.Close())
	for _, bad := range []struct {
		hertz uint32
		mode  uint8
	}{{0, 0}, {1, 4}} {
		if _, err := OpenSPI(path, bad.hertz, bad.mode); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
