//lint:pure

package osdp

import (
	"errors"
	"fmt"
)

// Of a packet (SIA OSDP v2.2 §5.9).
const (
	mark = 0xff // may lead a packet in, so that the line is at rest before it
	som  = 0x53

	headerSize = 5 // SOM, address, length (2), control
	checkSize  = 2 // of a CRC; a checksum is one byte
	macSize    = 4 // of the MAC's 16 bytes, this many are sent

	// MaxPacket is the longest packet that is sent or read, in bytes, without mark. The specification asks receivers for
	// 128 at least and lets them agree on more; a card, a cryptogram and a list of capabilities need less.
	MaxPacket = 256
	minPacket = headerSize + 1 + 1 // a code and a checksum

	replyBit   = 0x80 // of the address: a reader speaks
	addressMax = 0x7e // 0x7f is for all readers

	controlSQN = 0x03
	controlCRC = 0x04
	controlSCB = 0x08
)

// What is wrong with bytes that are no packet.
var (
	// ErrPacket means that they follow no rule of the specification.
	ErrPacket = errors.New("not an OSDP packet")
	// ErrCheck means that checksum or CRC are wrong: damaged on the wire.
	ErrCheck = errors.New("wrong checksum")
)

// Packet is one packet of either direction.
type Packet struct {
	// Address is the reader's, 0 to 126, and 127 for all.
	Address byte
	// Reply says that a reader speaks.
	Reply bool
	// Sequence is 0 at the start of a conversation, then 1, 2, 3, 1 and so on. A reply has that of its command.
	Sequence byte
	// CRC says that a CRC-16 ends the packet, else a checksum.
	CRC bool
	// Security is the type of its security block, 0 if it has none, and Info what stands in that block.
	Security Security
	Info     []byte
	// Code is a Command or a Reply.
	Code byte
	// Data is what follows the code, encrypted if Security says so. MAC is nil, or the 4 bytes behind the data.
	Data, MAC []byte

	signed []byte // what the MAC is over
}

// Security is the type of a security block (Annex D.1.3).
type Security byte

// The types of security blocks. Commands have the odd ones, replies the even ones.
const (
	SecurityNone      Security = 0
	SecurityChallenge Security = 0x11 // to SecurityRMAC: the handshake
	SecurityCryptRply Security = 0x12
	SecurityCrypt     Security = 0x13
	SecurityRMAC      Security = 0x14
	SecurityMAC       Security = 0x15 // a MAC and no data
	SecurityMACReply  Security = 0x16
	SecurityData      Security = 0x17 // a MAC and encrypted data
	SecurityDataReply Security = 0x18
)

func (s Security) hasMAC() bool { return s >= SecurityMAC && s <= SecurityDataReply }

// crc16 is x¹⁶+x¹²+x⁵+1, highest bit first, from 1d0f; it is sent low byte first (Annex C).
func crc16(b []byte) uint16 {
	crc := uint16(0x1d0f)
	for _, c := range b {
		x := byte(crc>>8) ^ c
		x ^= x >> 4
		crc = crc<<8 ^ uint16(x)<<12 ^ uint16(x)<<5 ^ uint16(x)
	}
	return crc
}

// checksum makes the sum of all bytes, itself among them, zero.
func checksum(b []byte) byte {
	var sum byte
	for _, c := range b {
		sum += c
	}
	return -sum
}

// Append writes a packet without a MAC to the end of b, led in by a mark.
func (p *Packet) Append(b []byte) ([]byte, error) {
	b, start, err := p.open(b)
	if err != nil {
		return b[:start], err
	}
	return p.close(append(b, p.Data...), start)
}

// open writes all that comes before the data, with the length still to be filled in.
func (p *Packet) open(b []byte) ([]byte, int, error) {
	start := len(b)
	if p.Address > addressMax+1 || p.Sequence > controlSQN {
		return b, start, fmt.Errorf("%w: address %d, sequence %d", ErrPacket, p.Address, p.Sequence)
	}
	address, control := p.Address, p.Sequence
	if p.Reply {
		address |= replyBit
	}
	if p.CRC {
		control |= controlCRC
	}
	if p.Security != SecurityNone {
		control |= controlSCB
	}
	b = append(b, mark, som, address, 0, 0, control)
	if p.Security != SecurityNone {
		b = append(b, byte(2+len(p.Info)), byte(p.Security))
		b = append(b, p.Info...)
	}
	return append(b, p.Code), start, nil
}

// length fills in the length of a packet that begins, with its mark, at start and lacks extra bytes of a MAC and its check.
func (p *Packet) length(b []byte, start, extra int) error {
	n := len(b) - start - 1 + extra + 1
	if p.CRC {
		n++
	}
	if n > MaxPacket {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrPacket, n, MaxPacket)
	}
	b[start+3], b[start+4] = byte(n), byte(n>>8)
	return nil
}

// close ends a packet with its check.
func (p *Packet) close(b []byte, start int) ([]byte, error) {
	if err := p.length(b, start, 0); err != nil {
		return b[:start], err
	}
	if !p.CRC {
		return append(b, checksum(b[start+1:])), nil
	}
	sum := crc16(b[start+1:])
	return append(b, byte(sum), byte(sum>>8)), nil
}

// size says how long the packet is that begins with b, whose first byte is its SOM: 0 if more bytes are needed to tell. It
// fails with [ErrPacket] for what can be none.
func size(b []byte) (int, error) {
	if len(b) < headerSize {
		return 0, nil
	}
	n := int(b[2]) | int(b[3])<<8
	if n < minPacket || n > MaxPacket {
		return 0, fmt.Errorf("%w: a length of %d", ErrPacket, n)
	}
	return n, nil
}

// Parse reads one whole packet, with or without a mark before it. What it returns shares b's memory. It fails with [ErrPacket]
// or [ErrCheck].
func Parse(b []byte) (Packet, error) {
	if len(b) > 0 && b[0] == mark {
		b = b[1:]
	}
	if len(b) < minPacket || b[0] != som {
		return Packet{}, fmt.Errorf("%w: %d bytes", ErrPacket, len(b))
	}
	n, err := size(b)
	if err != nil {
		return Packet{}, err
	}
	if n != len(b) {
		return Packet{}, fmt.Errorf("%w: it says %d bytes and has %d", ErrPacket, n, len(b))
	}
	control := b[4]
	p := Packet{Address: b[1] &^ replyBit, Reply: b[1]&replyBit != 0, Sequence: control & controlSQN, CRC: control&controlCRC != 0}
	body, err := p.checked(b)
	if err != nil {
		return Packet{}, err
	}
	if control&^(controlSQN|controlCRC|controlSCB) != 0 {
		return Packet{}, fmt.Errorf("%w: control %02x has bits that mean nothing", ErrPacket, control)
	}
	return p, p.body(body, control&controlSCB != 0)
}

// checked is the packet without its check, which is right.
func (p *Packet) checked(b []byte) ([]byte, error) {
	if !p.CRC {
		body, got := b[:len(b)-1], b[len(b)-1]
		if want := checksum(body); got != want {
			return nil, fmt.Errorf("%w %02x, want %02x", ErrCheck, got, want)
		}
		return body, nil
	}
	body := b[:len(b)-checkSize]
	if got, want := uint16(b[len(b)-2])|uint16(b[len(b)-1])<<8, crc16(body); got != want {
		return nil, fmt.Errorf("%w %04x, want %04x", ErrCheck, got, want)
	}
	return body, nil
}

// body reads what stands between the header and the check.
func (p *Packet) body(b []byte, hasBlock bool) error {
	rest := b[min(headerSize, len(b)):]
	if hasBlock {
		if len(rest) < 2 || rest[0] < 2 || int(rest[0]) > len(rest) {
			return fmt.Errorf("%w: a security block that does not fit in", ErrPacket)
		}
		p.Security, p.Info, rest = Security(rest[1]), rest[2:rest[0]], rest[rest[0]:]
		if p.Security < SecurityChallenge || p.Security > SecurityDataReply || p.Security&1 == 0 != p.Reply {
			return fmt.Errorf("%w: security block %02x", ErrPacket, byte(p.Security))
		}
	}
	if p.Security.hasMAC() {
		if len(rest) < 1+macSize {
			return fmt.Errorf("%w: no room for its MAC", ErrPacket)
		}
		p.signed = b[:len(b)-macSize]
		p.MAC, rest = rest[len(rest)-macSize:], rest[:len(rest)-macSize]
	}
	if len(rest) < 1 {
		return fmt.Errorf("%w: it has no code", ErrPacket)
	}
	p.Code, p.Data = rest[0], rest[1:]
	return nil
}
