package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

const patience = 10 * time.Second

// serveLine serves slaves on a line until the test ends, and gives the station's side.
func serveLine(t *testing.T, slaves map[byte]*Slave) *os.File {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	line, err := OpenLine()
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return ServeRTU(ctx, line, slaves) })
	fd, err := unix.Open(line.Path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	must(t, err)
	port := os.NewFile(uintptr(fd), line.Path)
	t.Cleanup(func() {
		cancel()
		must(t, group.Wait())
		must(t, port.Close())
		must(t, line.Close())
		goleak.VerifyNone(t, leaks)
	})
	return port
}

// framed adds the check to a frame.
func framed(t testing.TB, text string) []byte {
	b := bytesOf(t, text)
	return binary.LittleEndian.AppendUint16(b, crc16(b))
}

// The check of "02 07", from Modbus over Serial Line V1.02, 6.2.2, and that of a frame as other masters send it.
func TestCRC16(t *testing.T) {
	if got := crc16([]byte{0x02, 0x07}); got != 0x1241 {
		t.Errorf("%#04x, want 0x1241", got)
	}
	if got := framed(t, "01 03 0000 000A"); !bytes.Equal(got[6:], []byte{0xC5, 0xCD}) {
		t.Errorf("% X", got)
	}
}

func TestRTU(t *testing.T) {
	one, two := example(), example()
	port := serveLine(t, map[byte]*Slave{1: one, 2: two})
	ask := func(want string, parts ...[]byte) {
		t.Helper()
		for _, p := range parts {
			_, err := port.Write(p)
			must(t, err)
		}
		expected := []byte(nil)
		if want != "" {
			expected = framed(t, want)
		}
		got := make([]byte, max(len(expected), 1))
		wait := patience
		if want == "" {
			wait = 3 * silence
		}
		must(t, port.SetReadDeadline(time.Now().Add(wait)))
		n, err := io.ReadFull(port, got)
		if want == "" {
			if !errors.Is(err, os.ErrDeadlineExceeded) || n != 0 {
				t.Errorf("% X is answered with % X, %v; want nothing", parts, got[:n], err)
			}
			return
		}
		if err != nil || !bytes.Equal(got, expected) {
			t.Errorf("% X is answered with % X, %v; want % X", parts, got[:n], err, expected)
		}
	}
	request := framed(t, "01 04 0008 0001")
	ask("01 04 02 000A", request)
	ask("01 04 02 000A", request[:3], request[3:7], request[7:]) // in pieces
	ask("02 10 0001 0002", framed(t, "02 10 0001 0002 04 000A 0102"))
	ask("02 0F 0013 000A", framed(t, "02 0F 0013 000A 02 CD 01"))
	ask("02 87 01", framed(t, "02 07"))                           // a function that nobody has
	ask("", framed(t, "09 04 0008 0001"))                         // nobody of that number
	ask("", []byte("\x01\x04\x00\x08\x00\x01\xB0\x09"))           // a wrong check
	ask("", []byte("\x01\x63 nothing that one could understand")) // noise
	ask("", request[:5])                                          // half, and then silence
	ask("01 04 02 000A", request)
	ask("", framed(t, "00 06 0001 0007")) // a broadcast
	if a, b := value(t, one, Holding, 1), value(t, two, Holding, 1); a != 7 || b != 7 {
		t.Errorf("behind a broadcast the slaves have %d and %d", a, b)
	}
	one.Behave(Slow, 30*time.Millisecond)
	begun := time.Now()
	ask("01 04 02 000A", request)
	if took := time.Since(begun); took < 30*time.Millisecond {
		t.Errorf("a slow slave took %s", took)
	}
	one.Behave(Dead, 0)
	ask("", request)
	ask("02 04 02 000A", framed(t, "02 04 0008 0001"))
}

func value(t *testing.T, s *Slave, table Table, at uint16) uint16 {
	t.Helper()
	v, ok := s.Value(table, at)
	if !ok {
		t.Errorf("nothing at %d", at)
	}
	return v
}

// lost is a port whose device is gone.
type lost struct{ deadline error }

func (l lost) Read([]byte) (int, error)        { return 0, io.EOF }
func (l lost) Write(b []byte) (int, error)     { return len(b), nil }
func (l lost) SetReadDeadline(time.Time) error { return l.deadline }

func TestLostLine(t *testing.T) {
	for _, p := range []lost{{}, {errors.New("closed")}} {
		if err := ServeRTU(t.Context(), p, nil); err == nil {
			t.Errorf("%+v: no error", p)
		}
	}
}

// A frame is found at its length wherever the bytes are torn.
func TestRequestSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		registers := rapid.IntRange(1, maxWriteRegisters).Draw(t, "registers")
		pdu := append([]byte{9, writeRegisters, 0, 1, 0, byte(registers), byte(2 * registers)}, make([]byte, 2*registers)...)
		frame := binary.LittleEndian.AppendUint16(pdu, crc16(pdu))
		torn := rapid.IntRange(0, len(frame)).Draw(t, "torn at")
		if got := requestSize(frame[:torn]); got != 0 && got != len(frame) {
			t.Fatalf("%d of %d bytes: a frame of %d", torn, len(frame), got)
		}
	})
}

func TestTCP(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	defer goleak.VerifyNone(t, leaks)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s := example()
	var group errgroup.Group
	group.Go(func() error { return ServeTCP(ctx, ln, map[byte]*Slave{1: s}) })
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", ln.Addr().String())
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		return conn
	}
	conn := dial()
	request := bytesOf(t, "1234 0000 0006 01 04 0008 0001")
	_, err = conn.Write(append(bytesOf(t, "1233 0000 0006 09 04 0008 0001"), request...)) // nobody answers the first
	must(t, err)
	got := make([]byte, 11)
	_, err = io.ReadFull(conn, got)
	must(t, err)
	if want := bytesOf(t, "1234 0000 0005 01 04 02 000A"); !bytes.Equal(got, want) {
		t.Errorf("% X, want % X", got, want)
	}
	s.Behave(Dead, 0)
	_, err = conn.Write(request)
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if n, err := conn.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a dead slave said % X, %v", got[:n], err)
	}
	for _, wrong := range []string{"1234 0001 0006 01 04 0008 0001", "1234 0000 0001 01", "1234 0000 00FF 01"} {
		c := dial()
		_, err := c.Write(bytesOf(t, wrong))
		must(t, err)
		if n, err := c.Read(got); !errors.Is(err, io.EOF) && n > 0 {
			t.Errorf("%s is answered with % X, %v", wrong, got[:n], err)
		}
		must(t, c.Close())
	}
	cancel()
	must(t, group.Wait())
	must(t, conn.Close())
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x01\x04\x00\x08\x00\x01\xB0\x08"))
	f.Add([]byte("\x01\x10\x00\x01\x00\x02\x04\x00\x0A\x01\x02\x92\x30"))
	f.Add([]byte("\x00\x05\x00\x01\xFF\x00\xDC\x2B"))
	f.Add([]byte("\x01\x07\x41\xE2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		size := requestSize(b)
		if size == 0 || len(b) < size || size > maxRTU {
			return
		}
		for mood := range Mood(len(MoodNames())) {
			s := example()
			s.Behave(mood, 0)
			if out, _ := serveFrame(b[:size], map[byte]*Slave{b[0]: s}); len(out) > maxRTU {
				t.Errorf("% X is answered with %d bytes", b, len(out))
			}
		}
	})
}
