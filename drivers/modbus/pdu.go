//lint:pure

package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes of Modbus: the serial line's 256 bytes less address and checksum, and what fits into that (Application Protocol V1.1b3
// §4.1, §6).
const (
	MaxPDU            = 253  // bytes of a function code with its data
	MaxReadBits       = 2000 // §6.1, §6.2
	MaxReadRegisters  = 125  // §6.3, §6.4
	MaxWriteBits      = 1968 // §6.11
	MaxWriteRegisters = 123  // §6.12
)

// Function says what is asked of a slave.
type Function byte

// The functions of this master (Application Protocol V1.1b3 §6.1 to §6.6, §6.11, §6.12).
const (
	ReadCoils            Function = 1
	ReadDiscreteInputs   Function = 2
	ReadHoldingRegisters Function = 3
	ReadInputRegisters   Function = 4
	WriteCoil            Function = 5
	WriteRegister        Function = 6
	WriteCoils           Function = 15
	WriteRegisters       Function = 16
)

// exceptionBit marks the function code of a refusal (§7).
const exceptionBit = 0x80

// On and off of a single coil (§6.5).
const (
	coilOn  = 0xff00
	coilOff = 0x0000
)

// ErrProtocol means that an answer is none to the question, or breaks the protocol: nothing of it is believed.
var ErrProtocol = errors.New("not an answer to this request")

// Exception is a slave's refusal; the slave is alive.
type Exception byte

// The exception codes (§7).
const (
	IllegalFunction       Exception = 0x01
	IllegalDataAddress    Exception = 0x02
	IllegalDataValue      Exception = 0x03
	DeviceFailure         Exception = 0x04
	Acknowledge           Exception = 0x05
	DeviceBusy            Exception = 0x06
	MemoryParityError     Exception = 0x08
	GatewayPathMissing    Exception = 0x0a
	GatewayTargetNoAnswer Exception = 0x0b
)

// Error is the name that the standard gives the code.
func (e Exception) Error() string {
	switch e {
	case IllegalFunction:
		return "exception 01, illegal function"
	case IllegalDataAddress:
		return "exception 02, illegal data address"
	case IllegalDataValue:
		return "exception 03, illegal data value"
	case DeviceFailure:
		return "exception 04, server device failure"
	case Acknowledge:
		return "exception 05, acknowledge: it takes longer"
	case DeviceBusy:
		return "exception 06, server device busy"
	case MemoryParityError:
		return "exception 08, memory parity error"
	case GatewayPathMissing:
		return "exception 0a, gateway path unavailable"
	case GatewayTargetNoAnswer:
		return "exception 0b, gateway target device failed to respond"
	}
	return fmt.Sprintf("exception %02x", byte(e))
}

// ofAddress says that the refusal may be due to a part of what was asked for.
func (e Exception) ofAddress() bool { return e == IllegalDataAddress || e == IllegalDataValue }

// ofGateway says that the refusal is a gateway's own: the slave behind it is silent.
func (e Exception) ofGateway() bool { return e == GatewayPathMissing || e == GatewayTargetNoAnswer }

// Request is one question to a slave. Reads have a Count, writes have what is written.
type Request struct {
	Function  Function
	Address   uint16   // of the first coil, input or register, from 0, as it goes over the wire
	Count     uint16   // of a read
	Bits      []bool   // of WriteCoil (one) and WriteCoils
	Registers []uint16 // of WriteRegister (one) and WriteRegisters
}

// Answer is what was read: Bits by functions 1 and 2, Registers by 3 and 4, in ascending order. Writes have an empty one.
type Answer struct {
	Bits      []bool
	Registers []uint16
}

// check holds the request to the standard's limits.
func (r Request) check() error {
	count, most := 0, 0
	switch r.Function {
	case ReadCoils, ReadDiscreteInputs:
		count, most = int(r.Count), MaxReadBits
	case ReadHoldingRegisters, ReadInputRegisters:
		count, most = int(r.Count), MaxReadRegisters
	case WriteCoil:
		count, most = len(r.Bits), 1
	case WriteRegister:
		count, most = len(r.Registers), 1
	case WriteCoils:
		count, most = len(r.Bits), MaxWriteBits
	case WriteRegisters:
		count, most = len(r.Registers), MaxWriteRegisters
	default:
		return fmt.Errorf("modbus function %d: this master has 1 to 6, 15 and 16", r.Function)
	}
	if count < 1 || count > most {
		return fmt.Errorf("modbus function %d on %d at once: want 1 to %d", r.Function, count, most)
	}
	if int(r.Address)+count > 1<<16 {
		return fmt.Errorf("modbus function %d on %d from %d: the last address is 65535", r.Function, count, r.Address)
	}
	return nil
}

// Append puts the request's PDU behind b. It fails when the standard does not allow the request.
func (r Request) Append(b []byte) ([]byte, error) {
	if err := r.check(); err != nil {
		return b, err
	}
	b = binary.BigEndian.AppendUint16(append(b, byte(r.Function)), r.Address)
	switch r.Function {
	case WriteCoil:
		value := uint16(coilOff)
		if r.Bits[0] {
			value = coilOn
		}
		b = binary.BigEndian.AppendUint16(b, value)
	case WriteRegister:
		b = binary.BigEndian.AppendUint16(b, r.Registers[0])
	case WriteCoils:
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Bits)))
		b = appendBits(append(b, byte((len(r.Bits)+7)/8)), r.Bits)
	case WriteRegisters:
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.Registers)))
		b = append(b, byte(2*len(r.Registers)))
		for _, v := range r.Registers {
			b = binary.BigEndian.AppendUint16(b, v)
		}
	default:
		b = binary.BigEndian.AppendUint16(b, r.Count)
	}
	return b, nil
}

// appendBits packs bits, the first into the lowest bit of the first byte (§6.1).
func appendBits(b []byte, bits []bool) []byte {
	for i, on := range bits {
		if i%8 == 0 {
			b = append(b, 0)
		}
		if on {
			b[len(b)-1] |= 1 << (i % 8)
		}
	}
	return b
}

// answerSize is the length of the PDU of an answer that is no refusal.
func (r Request) answerSize() int {
	switch r.Function {
	case ReadCoils, ReadDiscreteInputs:
		return 2 + (int(r.Count)+7)/8
	case ReadHoldingRegisters, ReadInputRegisters:
		return 2 + 2*int(r.Count)
	default:
		return 5
	}
}

// Answer reads the PDU of the answer to this request. The error is an [Exception] that the slave has sent, or [ErrProtocol].
func (r Request) Answer(pdu []byte) (Answer, error) {
	switch {
	case len(pdu) == 2 && pdu[0] == byte(r.Function)|exceptionBit:
		return Answer{}, Exception(pdu[1])
	case len(pdu) == 0 || pdu[0] != byte(r.Function):
		return Answer{}, fmt.Errorf("%w: function % .1x, want %02x", ErrProtocol, pdu, byte(r.Function))
	case len(pdu) != r.answerSize():
		return Answer{}, fmt.Errorf("%w: %d bytes, want %d", ErrProtocol, len(pdu), r.answerSize())
	}
	switch r.Function {
	case ReadCoils, ReadDiscreteInputs, ReadHoldingRegisters, ReadInputRegisters:
		return r.read(pdu[1:])
	}
	return Answer{}, r.written(pdu)
}

// read takes apart a byte count and what was read.
func (r Request) read(b []byte) (Answer, error) {
	if int(b[0]) != len(b)-1 {
		return Answer{}, fmt.Errorf("%w: %d bytes of data, its count says %d", ErrProtocol, len(b)-1, b[0])
	}
	b = b[1:]
	if r.Function <= ReadDiscreteInputs {
		bits := make([]bool, r.Count)
		for i := range bits {
			bits[i] = b[i/8]>>(i%8)&1 == 1
		}
		return Answer{Bits: bits}, nil
	}
	registers := make([]uint16, r.Count)
	for i := range registers {
		registers[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return Answer{Registers: registers}, nil
}

// written holds the answer to a write, which repeats the head of the request.
func (r Request) written(pdu []byte) error {
	request, err := r.Append(make([]byte, 0, MaxPDU))
	if err != nil {
		return err
	}
	if string(request[:5]) != string(pdu) {
		return fmt.Errorf("%w: % x was written, % x was asked for", ErrProtocol, pdu[1:], request[1:5])
	}
	return nil
}
