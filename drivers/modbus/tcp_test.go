package modbus

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"watchpost/drivers/bus"
)

// newTCP is a client of a slave on a real socket.
func newTCP(t *testing.T, s *tcpSlave, timeout time.Duration) *Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	c, err := NewTCP(TCP{Name: "plc", Address: ln.Addr().String(), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); cancel(); wg.Wait() })
	return c
}

func TestTCP(t *testing.T) {
	s := &tcpSlave{testSlave: newTestSlave()}
	c := newTCP(t, s, 10*time.Second)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				at := uint16(i*1000 + n)
				a, err := c.Do(t.Context(), byte(i), Request{Function: ReadInputRegisters, Address: at, Count: 125})
				if err != nil || a.Registers[124] != (at+124)*31 {
					t.Errorf("%v, %v", a, err)
				}
			}
		})
	}
	wg.Wait()
	s.set(func() { s.refuse[100] = 2 })
	if _, err := c.Do(t.Context(), 1, readTwo); !errors.Is(err, IllegalDataAddress) {
		t.Error(err)
	}
	s.set(func() { s.refuse = nil })
	if _, err := c.Do(t.Context(), 1, readTwo); err != nil {
		t.Error(err)
	}
	if n := s.connections(); n != 1 {
		t.Errorf("%d connections, want one for all", n)
	}
}

// TestNeverShifts sends an answer twice: a client that went on would read old values as new ones for ever.
func TestNeverShifts(t *testing.T) {
	twice := true
	s := &tcpSlave{testSlave: newTestSlave()}
	s.mangle = func(f []byte) []byte {
		if twice {
			twice = false
			return slices.Concat(f, f)
		}
		return f
	}
	c := newTCP(t, s, 10*time.Second)
	for i, want := range []struct {
		value uint16
		err   error
		conns int
	}{{100 * 31, nil, 1}, {0, ErrProtocol, 1}, {102 * 31, nil, 2}, {103 * 31, nil, 2}} {
		a, err := c.Do(t.Context(), 1, Request{Function: ReadInputRegisters, Address: uint16(100 + i), Count: 1})
		if !errors.Is(err, want.err) || err == nil && a.Registers[0] != want.value || s.connections() != want.conns {
			t.Fatalf("question %d: %+v, %v, %d connections; want %+v", i, a, err, s.connections(), want)
		}
	}
}

// TestWrongFrames drops the connection on each and is answered on the next.
func TestWrongFrames(t *testing.T) {
	edit := func(at int, value byte) func([]byte) []byte {
		return func(f []byte) []byte { f = slices.Clone(f); f[at] = value; return f }
	}
	for name, c := range map[string]struct {
		mangle func([]byte) []byte
		want   error
	}{
		"transaction":      {edit(1, 77), ErrProtocol},
		"protocol":         {edit(2, 1), ErrProtocol},
		"too long":         {edit(4, 1), ErrProtocol},
		"too short":        {edit(5, 2), ErrProtocol},
		"another unit":     {edit(6, 9), ErrProtocol},
		"another function": {edit(7, 3), ErrProtocol},
		"data missing":     {func(f []byte) []byte { f = slices.Clone(f[:10]); f[5] = 4; return f }, ErrProtocol},
		"cut in the head":  {func(f []byte) []byte { return f[:5] }, bus.ErrNoAnswer},
		"cut in the data":  {func(f []byte) []byte { return f[:11] }, bus.ErrNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			bad := true
			s := &tcpSlave{testSlave: newTestSlave()}
			s.mangle = func(f []byte) []byte {
				if bad {
					bad = false
					return c.mangle(f)
				}
				return f
			}
			client := newTCP(t, s, 100*time.Millisecond)
			if a, err := client.Do(t.Context(), 1, readTwo); !errors.Is(err, c.want) {
				t.Fatalf("%+v, %v; want %v", a, err, c.want)
			}
			if a, err := client.Do(t.Context(), 1, readTwo); err != nil || a.Registers[0] != 3100 || s.connections() != 2 {
				t.Errorf("the next: %+v, %v on connection %d", a, err, s.connections())
			}
		})
	}
}

// TestSplit sends an answer byte by byte.
func TestSplit(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		q := make([]byte, 12)
		if _, err := io.ReadFull(conn, q); err != nil {
			return
		}
		for _, b := range []byte{q[0], q[1], 0, 0, 0, 7, q[6], 4, 4, 1, 2, 3, 4} {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
		}
	})
	c, err := NewTCP(TCP{Address: ln.Addr().String(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Do(t.Context(), 1, readTwo); err != nil || !slices.Equal(a.Registers, []uint16{0x102, 0x304}) {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestTCPGoesAway is a slave that is not there, and a caller who does not want to wait.
func TestTCPGoesAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewTCP(TCP{Name: "plc", Address: ln.Addr().String(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := ln.Accept() // and never answers
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
			t.Error(err)
		}
		cancel()
		_, _ = conn.Read(make([]byte, 1)) // until the client hangs up
	})
	if _, err := c.Do(ctx, 1, readTwo); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	wg.Wait()
	_ = ln.Close()
	if _, err := c.Do(t.Context(), 1, readTwo); !errors.Is(err, ErrNoWire) {
		t.Errorf("nobody listens: %v", err)
	}
}
