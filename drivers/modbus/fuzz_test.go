package modbus

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"watchpost/drivers/bus"
)

// asked makes a request of fuzzed numbers, or none.
func asked(function byte, address, count uint16) (Request, bool) {
	r := Request{Function: Function(function), Address: address, Count: count}
	switch r.Function {
	case WriteCoil:
		r.Bits = []bool{count&1 == 1}
	case WriteRegister:
		r.Registers = []uint16{count}
	case WriteCoils:
		r.Bits = make([]bool, min(int(count), MaxWriteBits))
	case WriteRegisters:
		r.Registers = make([]uint16, min(int(count), MaxWriteRegisters))
	}
	return r, r.check() == nil
}

// judge holds what every answer must be, wherever it came from.
func judge(t *testing.T, r Request, a Answer, err error) {
	t.Helper()
	var refused Exception
	known := errors.As(err, &refused) || errors.Is(err, ErrProtocol) || errors.Is(err, bus.ErrChecksum)
	bits, registers := 0, 0
	if err == nil && r.Function <= ReadDiscreteInputs {
		bits = int(r.Count)
	} else if err == nil && r.Function <= ReadInputRegisters {
		registers = int(r.Count)
	}
	if err != nil && !known || len(a.Bits) != bits || len(a.Registers) != registers {
		t.Fatalf("%+v answered by %d bits, %d registers, %v", r, len(a.Bits), len(a.Registers), err)
	}
}

// FuzzRTU reads what a serial line may bring, whole and as the line's reader cuts it from a stream.
func FuzzRTU(f *testing.F) {
	f.Add(byte(3), uint16(0x6b), uint16(3), []byte("\x11\x03\x06\x02\x2b\x00\x00\x00\x64\xc8\xba"))
	f.Fuzz(func(t *testing.T, function byte, address, count uint16, b []byte) {
		r, ok := asked(function, address, count)
		if !ok {
			return
		}
		a, err := parseRTU(r, 17, b)
		judge(t, r, a, err)
		if err == nil && !bytes.Equal(b[len(b)-2:], sum(b[:len(b)-2])) {
			t.Fatalf("% x has another checksum", b)
		}
		frame, whole, err := cut(r, 17, b)
		if err != nil && !errors.Is(err, ErrProtocol) || whole && (len(frame) > maxRTU || !bytes.HasPrefix(b, frame)) {
			t.Fatalf("% x cut to % x, %v", b, frame, err)
		}
		if whole {
			a, err = parseRTU(r, 17, frame)
			judge(t, r, a, err)
		}
	})
}

// stream is a connection on which everything has already been said.
type stream struct {
	net.Conn
	io.Reader
}

func (stream) Write(b []byte) (int, error)  { return len(b), nil }
func (s stream) Read(b []byte) (int, error) { return s.Reader.Read(b) }
func (stream) SetDeadline(time.Time) error  { return nil }
func (stream) Close() error                 { return nil }

// FuzzTCP reads what a connection may bring as the answer to transaction 1 of unit 17.
func FuzzTCP(f *testing.F) {
	f.Add(byte(3), uint16(0x6b), uint16(3), []byte("\x00\x01\x00\x00\x00\x09\x11\x03\x06\x02\x2b\x00\x00\x00\x64"))
	f.Fuzz(func(t *testing.T, function byte, address, count uint16, b []byte) {
		r, ok := asked(function, address, count)
		if !ok {
			return
		}
		pdu, err := r.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &tcp{conn: stream{Reader: bytes.NewReader(b)}, timeout: time.Second}
		a, dropped, err := w.ask(t.Context(), 17, r, pdu)
		var refused Exception
		if kept := err == nil || errors.As(err, &refused); kept == dropped {
			t.Fatalf("dropped %v after %v", dropped, err)
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			judge(t, r, a, err)
		}
		if err == nil && (b[0] != 0 || b[1] != 1 || b[6] != 17) {
			t.Fatalf("% x was taken for the answer", b[:7])
		}
	})
}
