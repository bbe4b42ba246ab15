package hostbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
)

// connector stands for the kernel at the other end of a datagram socket: it reads requests of the w1 connector by the offsets
// of the kernel's documentation and has chips in memory do them.
type connector struct {
	t     testing.TB
	fd    int
	wires *bustest.Wires
	quiet atomic.Bool // says nothing at all
	stale atomic.Bool // says something of an older request first
	gone  atomic.Bool // has no such master
}

// newConnector has a bus open over a fake connector, until the test ends.
func newConnector(t testing.TB) (*connector, *OneWire) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.SetNonblock(pair[0], true))
	c := &connector{t: t, fd: pair[1], wires: bustest.NewWires(nil)}
	var group errgroup.Group
	group.Go(c.serve)
	b, err := newOneWire("w1_bus_master2", os.NewFile(uintptr(pair[0]), "connector"))
	must(t, err)
	t.Cleanup(func() {
		must(t, unix.Shutdown(c.fd, unix.SHUT_RDWR))
		must(t, group.Wait())
		must(t, errors.Join(b.Close(), unix.Close(c.fd)))
	})
	return c, b
}

func (c *connector) serve() error {
	m := make([]byte, 4096)
	for {
		n, err := unix.Read(c.fd, m)
		if err != nil || n == 0 {
			return nil
		}
		if order := binary.NativeEndian; order.Uint32(m) != uint32(n) || order.Uint32(m[16:]) != 3 || m[36] != 4 || order.Uint32(m[40:]) != 2 {
			c.t.Errorf("request % x", m[:n])
		}
		if c.quiet.Load() {
			continue
		}
		if c.gone.Load() { // the whole request fails, and no command is named
			none := bytes.Clone(m[:48])
			binary.NativeEndian.PutUint32(none, 48)
			binary.NativeEndian.PutUint16(none[32:], 12)
			none[37] = byte(unix.ENODEV)
			if _, err := unix.Write(c.fd, none); err != nil {
				return err
			}
			continue
		}
		if c.stale.Load() {
			c.answer(m, 7, 0, 0, 0, nil)
		}
		c.obey(m, m[48:n])
	}
}

// obey does the commands of one request: the bytes of all of them are one transaction.
func (c *connector) obey(m, commands []byte) {
	var fault error
	var written []byte
	seq := binary.NativeEndian.Uint32(m[8:])
	for len(commands) > 0 {
		code, size := commands[0], binary.NativeEndian.Uint16(commands[2:])
		data := commands[4 : 4+size]
		commands = commands[4+size:]
		switch code {
		case 5: // reset
			fault = c.wires.Tx(nil, nil, false)
		case 1: // write
			written = data
		case 0: // read
			r := make([]byte, size)
			_ = c.wires.Tx(written, r, false) // the reset told
			c.answer(m, seq, seq+1, code, 0, r)
		case 2: // search
			roms, _ := c.wires.Search(context.Background())
			for _, rom := range roms { // the kernel sends what it has when a message is full
				wire := rom.Wire()
				c.answer(m, seq, seq+1, code, 0, wire[:])
			}
		}
		status := byte(0)
		if code == 5 && errors.Is(fault, bus.ErrNoAnswer) {
			status = 255
		} else if code == 5 && fault != nil {
			status = byte(unix.EIO)
		}
		c.answer(m, seq, 0, code, status, nil)
	}
}

func (c *connector) answer(request []byte, seq, ack uint32, code, status byte, data []byte) {
	order := binary.NativeEndian
	m := bytes.Clone(request[:48])
	order.PutUint32(m, uint32(52+len(data)))
	order.PutUint32(m[24:], seq)
	order.PutUint32(m[28:], ack)
	order.PutUint16(m[32:], uint16(16+len(data)))
	m[37] = status
	m = append(m, code, 0)
	m = order.AppendUint16(m, uint16(len(data)))
	if _, err := unix.Write(c.fd, append(m, data...)); err != nil {
		c.t.Error(err)
	}
}

// TestOneWireConformance runs the contract against a connector of the tests' own: this machine's kernel has no w1.
func TestOneWireConformance(t *testing.T) {
	for _, stale := range []bool{false, true} {
		bustest.OneWire(t, func(t *testing.T) bustest.OneWireBench {
			c, b := newConnector(t)
			c.stale.Store(stale)
			return bustest.OneWireBench{Bus: b, Take: c.wires.Take, Put: func(rom bus.ROM, answer [9]byte) {
				c.wires.Put(rom, func(w, r []byte, _ bool) {
					if len(w) == 1 && w[0] == 0xbe {
						copy(r, answer[:])
					}
				})
			}}
		})
	}
}

func TestOneWireRefuses(t *testing.T) {
	c, b := newConnector(t)
	if err := b.Tx([]byte{0xcc, 0x44}, nil, true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("strong pull-up: %v", err)
	}
	if err := b.Tx(make([]byte, w1MaxLength+1), nil, false); err == nil {
		t.Error("too long: no error")
	}
	c.wires.Stick(true)
	if err := b.Tx([]byte{0xcc}, nil, false); !errors.Is(err, unix.EIO) {
		t.Errorf("the master fails: %v", err)
	}
	if _, err := OpenOneWire("w1_bus_master99"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	null, err := os.Open(os.DevNull)
	must(t, err)
	if _, err := newOneWire("w1_bus_masterx", null); err == nil {
		t.Error("a master without a number: no error")
	}
}

// TestOneWireGone is a master that was pulled: that is the bus, and no chip whose answer is not to be believed.
func TestOneWireGone(t *testing.T) {
	c, b := newConnector(t)
	c.gone.Store(true)
	_, err := b.Search(t.Context())
	for _, err := range []error{err, b.Tx([]byte{0xcc}, make([]byte, 9), false)} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	c.gone.Store(false)
	if _, err := b.Search(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOneWireQuiet(t *testing.T) {
	c, b := newConnector(t)
	c.quiet.Store(true)
	begun := time.Now()
	if err := b.Tx([]byte{0xcc}, nil, false); !errors.Is(err, bus.ErrTimeout) || time.Since(begun) > 2*w1Timeout {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begun = time.Now()
	if _, err := b.Search(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > w1Timeout {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
}

// FuzzParseAnswer looks for messages that panic.
func FuzzParseAnswer(f *testing.F) {
	whole := make([]byte, 60)
	binary.NativeEndian.PutUint16(whole[4:], 3)
	binary.NativeEndian.PutUint32(whole[16:], 3)
	binary.NativeEndian.PutUint32(whole[28:], 1)
	binary.NativeEndian.PutUint16(whole[50:], 8)
	f.Add(whole)
	f.Add(whole[:52])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, m []byte) {
		a, err := parseAnswer(m)
		if err != nil && !errors.Is(err, errW1) {
			t.Error(err)
		}
		if err == nil && len(a.data) > max(0, len(m)-52) { // a master that is gone answers without a command
			t.Errorf("%d bytes out of %d", len(a.data), len(m))
		}
	})
}
