package modbus

import (
	"encoding/binary"
	"fmt"
	"time"

	"watchpost/drivers/bus"
)

// Sizes of a frame on a serial line (MODBUS over Serial Line V1.02 §2.5.1).
const (
	maxRTU       = 256           // bytes of a frame
	rtuExtra     = 1 + 2         // address before the PDU, checksum behind it
	exceptionRTU = 2 + 1 + 2     // bytes of a refusal: the shortest answer
	characterBit = 1 + 8 + 1 + 1 // start, data, parity or second stop, stop (§2.5.1)
)

// crc16 is the checksum of RTU frames: x¹⁶+x¹⁵+x²+1, bits in the order of the wire, from ffff; low byte first (§6.2.2).
func crc16(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low == 1 {
				crc ^= 0xa001
			}
		}
	}
	return crc
}

// appendRTU frames a PDU for the line.
func appendRTU(b []byte, unit byte, pdu []byte) []byte {
	start := len(b)
	b = append(append(b, unit), pdu...)
	return binary.LittleEndian.AppendUint16(b, crc16(b[start:]))
}

// answerLength says how long the answer is that begins with head, at least the two bytes that tell it: a refusal is shorter
// than an answer. It fails with [ErrProtocol] for what can be neither.
func answerLength(r Request, head []byte) (int, error) {
	switch head[1] {
	case byte(r.Function):
		return rtuExtra + r.answerSize(), nil
	case byte(r.Function) | exceptionBit:
		return exceptionRTU, nil
	}
	return 0, fmt.Errorf("%w: function %02x, want %02x", ErrProtocol, head[1], byte(r.Function))
}

// parseRTU reads one whole frame that unit was asked for. It fails with bus.ErrChecksum or [ErrProtocol], or as [Request.Answer].
func parseRTU(r Request, unit byte, frame []byte) (Answer, error) {
	if len(frame) < exceptionRTU || len(frame) > maxRTU {
		return Answer{}, fmt.Errorf("%w: a frame of %d bytes", ErrProtocol, len(frame))
	}
	body, sum := frame[:len(frame)-2], binary.LittleEndian.Uint16(frame[len(frame)-2:])
	if want := crc16(body); sum != want {
		return Answer{}, fmt.Errorf("%w %04x, want %04x", bus.ErrChecksum, sum, want)
	}
	if body[0] != unit {
		return Answer{}, fmt.Errorf("%w: unit %d answers, %d was asked", ErrProtocol, body[0], unit)
	}
	return r.Answer(body[1:])
}

// silence is the pause before a frame: 3.5 characters, and 1.75 ms on lines faster than 19200 baud (§2.5.1.1).
func silence(baud int) time.Duration {
	if baud > 19200 {
		return 1750 * time.Microsecond
	}
	return duration(baud, 7) / 2
}

// duration is how long so many characters take on the line.
func duration(baud, characters int) time.Duration {
	return time.Duration(characters) * characterBit * time.Second / time.Duration(baud)
}
