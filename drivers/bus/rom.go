package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ROM is the 64-bit code of a 1-wire chip as printed on it, least significant byte first on the wire: family code in the
// lowest byte, CRC-8 in the highest (Maxim application note 27).
type ROM uint64

// Digits of the written forms of a ROM.
const (
	romDigits    = 16
	familyDigits = 2
	serialDigits = 12
)

// CRC8 is the checksum of 1-wire chips: x⁸+x⁵+x⁴+1, bits in the order of the wire, from 0. Over data with its checksum behind
// it, it is 0 (application note 27, figure 2). A dead wire that reads as zeros has a right checksum: look at the data too.
func CRC8(data []byte) byte {
	var crc byte
	for _, b := range data {
		crc ^= b
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low == 1 {
				crc ^= 0x8c
			}
		}
	}
	return crc
}

// NewROM is the ROM of a family and a 48-bit serial number, with the checksum that belongs to them.
func NewROM(family byte, serial uint64) ROM {
	r := ROM(family) | ROM(serial&(1<<48-1))<<8
	wire := r.Wire()
	return r | ROM(CRC8(wire[:7]))<<56
}

// ROMOfWire reads the eight bytes as a chip sends them. It fails with [ErrChecksum].
func ROMOfWire(b [8]byte) (ROM, error) {
	r := ROM(binary.LittleEndian.Uint64(b[:]))
	return r, r.Check()
}

// ParseROM reads a ROM as people write it: the sixteen hexadecimal digits of [ROM.String], or the Linux kernel's name of a
// slave, family, hyphen and twelve digits of the serial number, to which it adds the checksum.
func ParseROM(s string) (ROM, error) {
	if family, serial, ok := strings.Cut(s, "-"); ok && len(family) == familyDigits && len(serial) == serialDigits {
		f, err := strconv.ParseUint(family, 16, 8)
		n, err2 := strconv.ParseUint(serial, 16, 48)
		if err := errors.Join(err, err2); err != nil {
			return 0, fmt.Errorf("1-wire code %q: %w", s, err)
		}
		r := NewROM(byte(f), n)
		return r, r.Check()
	}
	if len(s) != romDigits {
		return 0, fmt.Errorf("1-wire code %q: want %d hexadecimal digits, or %d, a hyphen and %d", s, romDigits, familyDigits, serialDigits)
	}
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("1-wire code %q: %w", s, err)
	}
	return ROM(n), ROM(n).Check()
}

// Check says what is wrong with a code: its checksum, or family 0, which no chip has and a wire that is held low reads as.
// The error is [ErrChecksum].
func (r ROM) Check() error {
	wire := r.Wire()
	switch {
	case r.Family() == 0:
		return fmt.Errorf("1-wire code %s has family 0, as a wire held low reads: %w", r, ErrChecksum)
	case CRC8(wire[:]) != 0:
		return fmt.Errorf("1-wire code %s: %w, want %02x", r, ErrChecksum, CRC8(wire[:7]))
	}
	return nil
}

// Family says what kind of chip it is: 01 an iButton with nothing but its code, 28 a DS18B20.
func (r ROM) Family() byte { return byte(r) }

// Serial is the 48-bit number that no other chip of the family has.
func (r ROM) Serial() uint64 { return uint64(r) >> 8 & (1<<48 - 1) }

// Wire is the code in the order of the wire, family first.
func (r ROM) Wire() [8]byte {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(r))
	return b
}

// String is sixteen hexadecimal digits, checksum first, as they are printed on an iButton.
func (r ROM) String() string { return fmt.Sprintf("%016x", uint64(r)) }
