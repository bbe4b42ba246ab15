package hostbus

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bustest"
)

// terminal is a pair of pseudo-terminals of this kernel: what is written to one end is read at the other.
func terminal(t testing.TB) (master *os.File, path string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { _ = master.Close() }) // some tests close it themselves
	return master, fmt.Sprintf("/dev/pts/%d", n)
}

// TestSerialConformance runs the contract over the kernel's pseudo-terminals.
func TestSerialConformance(t *testing.T) {
	bustest.Serial(t, func(t *testing.T) bustest.SerialBench {
		master, path := terminal(t)
		must(t, master.SetReadDeadline(time.Now().Add(patience)))
		line, err := OpenSerial(path, SerialConfig{Baud: 115200, Parity: ParityEven})
		must(t, err)
		t.Cleanup(func() { _ = line.Close() }) // some parts close it themselves
		return bustest.SerialBench{Line: line, Other: master}
	})
}

// TestSerialSettings reads back from the kernel what was asked for.
func TestSerialSettings(t *testing.T) {
	_, path := terminal(t)
	for _, c := range []struct {
		config SerialConfig
		baud   uint32
		flags  uint32
	}{
		{SerialConfig{}, 9600, unix.CS8},
		{SerialConfig{Baud: 19200, Parity: ParityOdd}, 19200, unix.CS8 | unix.PARENB | unix.PARODD},
		{SerialConfig{Baud: 250000, TwoStopBits: true}, 250000, unix.CS8 | unix.CSTOPB},
	} {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		must(t, err)
		line, err := OpenSerial(path, c.config)
		must(t, err)
		set, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
		must(t, err)
		const looked = unix.CSIZE | unix.CSTOPB | unix.PARODD
		if set.Ospeed != c.baud || set.Cflag&looked != c.flags&looked || set.Lflag != 0 || set.Oflag != 0 || set.Iflag&(unix.IXON|unix.ICRNL|unix.ISTRIP) != 0 {
			t.Errorf("%+v: %+v", c.config, set)
		}
		must(t, line.Close())
		must(t, unix.Close(fd))
	}
}

// TestSerialIsOurs holds that nobody else opens a line that we have, and that it starts empty.
func TestSerialIsOurs(t *testing.T) {
	master, path := terminal(t)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0) // or else nobody would hear it
	must(t, err)
	if _, err := master.Write([]byte("stale\n")); err != nil {
		t.Fatal(err)
	}
	line, err := OpenSerial(path, SerialConfig{})
	must(t, err)
	must(t, line.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	if n, err := line.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes from before, %v", n, err)
	}
	exclusive, err := unix.IoctlGetInt(fd, tiocGetExclusive)
	if err != nil || exclusive != 1 {
		t.Errorf("exclusive: %d, %v", exclusive, err)
	}
	must(t, errors.Join(line.Close(), unix.Close(fd)))
}

// tiocGetExclusive is TIOCGEXCL (include/uapi/asm-generic/ioctls.h). The right to everything, which tests may have, goes past
// an exclusive terminal: so the flag is asked for.
const tiocGetExclusive = 0x80045440

// TestSerialHangsUp is a line whose other end is pulled.
func TestSerialHangsUp(t *testing.T) {
	master, path := terminal(t)
	line, err := OpenSerial(path, SerialConfig{})
	must(t, err)
	must(t, line.SetReadDeadline(time.Now().Add(patience)))
	must(t, master.Close())
	if n, err := line.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
	must(t, line.Close())
}

func TestSerialRefuses(t *testing.T) {
	_, path := terminal(t)
	for name, c := range map[string]SerialConfig{"slow": {Baud: 49}, "fast": {Baud: 5_000_000}, "parity": {Parity: 3}} {
		if _, err := OpenSerial(path, c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := OpenSerial(path, SerialConfig{RS485: true}); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("a terminal without a transceiver: %v", err)
	}
	var asked rs485
	k := linux()
	k.ioctl = func(_ int, request uint, arg unsafe.Pointer) error {
		if request == unix.TIOCSRS485 {
			asked = *(*rs485)(arg)
		}
		return nil
	}
	line, err := openSerial(k, path, SerialConfig{RS485: true})
	must(t, err)
	must(t, line.Close())
	if asked.Flags != 3 {
		t.Errorf("RS-485 flags %x", asked.Flags)
	}
}

// BenchmarkSerial is 8 bytes out and back over a pseudo-terminal.
func BenchmarkSerial(b *testing.B) {
	master, path := terminal(b)
	line, err := OpenSerial(path, SerialConfig{Baud: 115200})
	must(b, err)
	buf := make([]byte, 8)
	for b.Loop() {
		_, err := line.Write(buf)
		must(b, err)
		_, err = master.Read(buf)
		must(b, err)
		_, err = master.Write(buf)
		must(b, err)
		_, err = line.Read(buf)
		must(b, err)
	}
	must(b, line.Close())
}
