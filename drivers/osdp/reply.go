//lint:pure

package osdp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
)

// MaxCardBits is the longest card that is taken: no format of door access comes near it.
const MaxCardBits = 512

// Card is what a reader has read of a card, bit by bit.
type Card struct {
	// Bits is how many bits there are, 1 to MaxCardBits.
	Bits int
	// Raw holds them, highest bit first; what is left of the last byte is zero.
	Raw []byte
}

// String is the card as users' lists have it: count of bits, a colon, the bytes in lower-case hex, such as 26:0123ab40.
func (c Card) String() string { return strconv.Itoa(c.Bits) + ":" + hex.EncodeToString(c.Raw) }

// Identity is what a reader says that it is, in PDID.
type Identity struct {
	Vendor         uint32 // IEEE OUI, 24 bits
	Model, Version byte
	Serial         uint32
	Firmware       [3]byte // major, minor, build
}

// String is the identity for people.
func (i Identity) String() string {
	return fmt.Sprintf("vendor %06x, model %d.%d, serial %08x, firmware %d.%d.%d", i.Vendor, i.Model, i.Version, i.Serial, i.Firmware[0], i.Firmware[1], i.Firmware[2])
}

func parseIdentity(b []byte) (Identity, error) {
	if len(b) != 12 {
		return Identity{}, fmt.Errorf("%w: PDID with %d bytes", ErrPacket, len(b))
	}
	return Identity{
		Vendor: uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16, Model: b[3], Version: b[4],
		Serial: binary.LittleEndian.Uint32(b[5:]), Firmware: [3]byte(b[9:]),
	}, nil
}

// Functions that a reader may have (Annex B).
const (
	capLED     = 4
	capAudible = 5
)

// capabilities are what the driver wants to know of PDCAP: whether a reader has a secure channel it shows by making one.
type capabilities struct {
	led, buzzer bool
}

func parseCapabilities(b []byte) (c capabilities, err error) {
	if len(b)%3 != 0 {
		return c, fmt.Errorf("%w: PDCAP with %d bytes", ErrPacket, len(b))
	}
	for ; len(b) > 0; b = b[3:] {
		switch b[0] {
		case capLED:
			c.led = b[1] > 0
		case capAudible:
			c.buzzer = b[1] > 0
		}
	}
	return c, nil
}

// parseRaw reads RAW: reader, format, count of bits (2), bits.
func parseRaw(b []byte) (Card, error) {
	if len(b) < 4 {
		return Card{}, fmt.Errorf("%w: RAW with %d bytes", ErrPacket, len(b))
	}
	bits, raw := int(binary.LittleEndian.Uint16(b[2:])), b[4:]
	if bits < 1 || bits > MaxCardBits || len(raw) != (bits+7)/8 {
		return Card{}, fmt.Errorf("%w: RAW with %d bits in %d bytes", ErrPacket, bits, len(raw))
	}
	c := Card{Bits: bits, Raw: append([]byte(nil), raw...)}
	if rest := bits % 8; rest != 0 {
		c.Raw[len(c.Raw)-1] &= ^byte(0xff >> rest)
	}
	return c, nil
}

// parseKeypad reads KEYPAD: reader, count, digits. 7f is * and means clear, 0d is # and means enter.
func parseKeypad(b []byte) (string, error) {
	if len(b) < 2 || int(b[1]) != len(b)-2 {
		return "", fmt.Errorf("%w: KEYPAD with %d bytes", ErrPacket, len(b))
	}
	digits := make([]byte, 0, len(b)-2)
	for _, c := range b[2:] {
		switch {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case c == 0x7f:
			digits = append(digits, '*')
		case c == 0x0d:
			digits = append(digits, '#')
		default:
			return "", fmt.Errorf("%w: KEYPAD with a key that is none", ErrPacket)
		}
	}
	return string(digits), nil
}

// parseLocal reads LSTATR: tamper switch and supply, 0 = normal, 1 = not.
func parseLocal(b []byte) (tamper, power bool, err error) {
	if len(b) != 2 || b[0] > 1 || b[1] > 1 {
		return false, false, fmt.Errorf("%w: LSTATR % x", ErrPacket, b)
	}
	return b[0] == 1, b[1] == 1, nil
}

// parseNAK reads NAK; some reasons have more bytes behind them.
func parseNAK(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: NAK without a reason", ErrPacket)
	}
	return NAK(b[0])
}
