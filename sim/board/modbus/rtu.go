package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Sizes and times of a serial line (Modbus over Serial Line V1.02, 2.5.1).
const (
	maxRTU = 256 // bytes of a frame
	// silence ends a frame that is not whole. A pseudo terminal gives bytes as they are written, so it need not be 3.5 characters.
	silence = 100 * time.Millisecond
)

// noise is what a babbling slave sends: long enough to be a frame, and none.
const noise = "\xAA\x55\x00\xFF\x13\x37babble\x01\x83"

// Port is a serial line as slaves hold it.
type Port interface {
	io.ReadWriter
	SetReadDeadline(t time.Time) error
}

var _ Port = (*Line)(nil)

// ServeRTU answers the requests of a serial line for the slaves, by their numbers 1 to 247, until ctx ends. One frame is
// handled after the other, as on a wire: a slow slave holds all others up.
func ServeRTU(ctx context.Context, port Port, slaves map[byte]*Slave) error {
	stop := context.AfterFunc(ctx, func() { _ = port.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var buf []byte
	chunk := make([]byte, maxRTU)
	for ctx.Err() == nil {
		deadline := time.Time{}
		if len(buf) > 0 {
			deadline = time.Now().Add(silence)
		}
		if err := port.SetReadDeadline(deadline); err != nil {
			return fmt.Errorf("modbus line: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		n, err := port.Read(chunk)
		buf = append(buf, chunk[:n]...)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			buf = nil // half a frame, and then nothing
			continue
		case err != nil:
			return fmt.Errorf("modbus line: %w", err)
		}
		size := requestSize(buf)
		if size == 0 || len(buf) < size {
			continue
		}
		out, delay := serveFrame(buf[:size], slaves)
		buf = nil // a master waits for the answer: what came behind the frame is no request
		if pause(ctx, delay) && len(out) > 0 {
			if _, err := port.Write(out); err != nil {
				return fmt.Errorf("modbus line: %w", err)
			}
		}
	}
	return nil
}

// requestSize is how long a request is by its function, 0 while that cannot be said, and more than a frame may have if it never
// can: such bytes wait for silence.
func requestSize(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case readCoils, readDiscrete, readHolding, readInput, writeCoil, writeRegister:
		return 8
	case writeCoils, writeRegisters:
		if len(b) < 7 {
			return 0
		}
		return 9 + int(b[6])
	}
	if len(b) >= 4 && crc16(b[:len(b)-2]) == binary.LittleEndian.Uint16(b[len(b)-2:]) {
		return len(b) // a function that we do not know: the check says where it ends
	}
	return maxRTU + 1
}

// serveFrame is the answer to one frame, and how long the slave takes for it. Nobody answers a broadcast (number 0), a frame
// for nobody, or one whose check is wrong.
func serveFrame(frame []byte, slaves map[byte]*Slave) (out []byte, delay time.Duration) {
	body := frame[:len(frame)-2]
	if crc16(body) != binary.LittleEndian.Uint16(frame[len(body):]) {
		return nil, 0
	}
	unit := body[0]
	if unit == 0 {
		for _, s := range slaves {
			s.answer(body[1:])
		}
		return nil, 0
	}
	s := slaves[unit]
	if s == nil {
		return nil, 0
	}
	pdu, mood, delay := s.answer(body[1:])
	switch mood {
	case Dead:
		return nil, 0
	case Babble:
		return []byte(noise), 0
	case WrongID:
		unit++
	}
	out = append([]byte{unit}, pdu...)
	out = binary.LittleEndian.AppendUint16(out, crc16(out))
	if mood == BadCRC {
		out[len(out)-1] ^= 0x5A
	}
	return out, delay
}

// crc16 is the check of RTU frames: x¹⁶ + x¹⁵ + x² + 1, reflected, from 0xFFFF (Modbus over Serial Line V1.02, 6.2.2).
func crc16(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, x := range b {
		crc ^= uint16(x)
		for range 8 {
			odd := crc & 1
			if crc >>= 1; odd != 0 {
				crc ^= 0xA001
			}
		}
	}
	return crc
}

// pause waits, and reports whether ctx is still there.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
