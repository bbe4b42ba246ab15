package dc09

// crc is CRC-16/ARC: polynomial 0xA001 reflected, initial value 0, nothing added at the end; "123456789" gives BB3D.
func crc(b []byte) uint16 { return crcAdd(0, b) }

// crcAdd goes on with a sum, a nibble at a time: the table of one nibble stays in registers or cache on any CPU.
func crcAdd(sum uint16, b []byte) uint16 {
	nibble := [16]uint16{
		0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
		0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400,
	}
	for _, c := range b {
		sum ^= uint16(c)
		sum = sum>>4 ^ nibble[sum&15]
		sum = sum>>4 ^ nibble[sum&15]
	}
	return sum
}
