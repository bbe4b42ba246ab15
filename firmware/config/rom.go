package config

import (
	"fmt"
	"regexp"
	"strconv"
)

// ROM is the code of a 1-wire chip or iButton: family in the lowest byte, CRC-8 in the highest. It is written as Linux
// names the chip, family and serial number (28-0316a2795cff), or as the 16 hex digits engraved on a button, CRC first.
type ROM uint64

// UnmarshalText reads either form.
func (r *ROM) UnmarshalText(b []byte) error {
	text := string(b)
	if m := regexp.MustCompile(`^([0-9a-fA-F]{2})-([0-9a-fA-F]{12})$`).FindStringSubmatch(text); m != nil {
		family, errFamily := strconv.ParseUint(m[1], 16, 8)
		serial, errSerial := strconv.ParseUint(m[2], 16, 48)
		if errFamily == nil && errSerial == nil && family != 0 {
			low := serial<<8 | family
			*r = ROM(uint64(romCRC(low))<<56 | low)
			return nil
		}
	}
	if !regexp.MustCompile(`^[0-9a-fA-F]{16}$`).MatchString(text) {
		return fmt.Errorf("%.32q: want a 1-wire code such as 28-0316a2795cff, or the 16 hex digits on the button", text)
	}
	v, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if romCRC(v) != byte(v>>56) || byte(v) == 0 { // zeros have a right checksum, and are what a dead wire reads as
		return fmt.Errorf("%q: its check digits (the first two) do not fit: read the button again", text)
	}
	*r = ROM(v)
	return nil
}

// String is the code as Linux names the chip.
func (r ROM) String() string { return fmt.Sprintf("%02x-%012x", byte(r), uint64(r)>>8&(1<<48-1)) }

// romCRC is the CRC-8 of the seven lower bytes (Maxim application note 27: x⁸+x⁵+x⁴+1, least significant bit first).
func romCRC(v uint64) byte {
	var crc byte
	for i := range 56 {
		odd := (crc ^ byte(v>>i)) & 1
		crc >>= 1
		if odd != 0 {
			crc ^= 0x8c
		}
	}
	return crc
}
