package osdp

import "encoding/binary"

// request is a command as it came off the wire.
type request struct {
	address  byte
	sequence byte
	crc      bool
	block    []byte // the security block behind its length: type and what follows, nil = none
	code     byte
	data     []byte
	mac      []byte // what was sent of it
	signed   []byte // what it is over
}

// longest is how long a packet may be here.
const longest = 1440

// next finds the first command in b. used says how much of b is done with; ok is false while nothing whole is there.
func next(b []byte) (q request, used int, ok bool) {
	for i := range b {
		if b[i] != 'S' { // 0x53
			continue
		}
		f := b[i:]
		if len(f) < 5 {
			return q, i, false
		}
		n := int(binary.LittleEndian.Uint16(f[2:4]))
		if n < 7 || n > longest || f[1]&0x80 != 0 {
			continue // no command begins here
		}
		if len(f) < n {
			return q, i, false
		}
		if q, ok = decode(f[:n]); ok {
			return q, i + n, true
		}
	}
	return q, len(b), false
}

// decode reads a frame from its start byte on.
func decode(f []byte) (q request, ok bool) {
	q = request{address: f[1] & 0x7F, sequence: f[4] & 3, crc: f[4]&4 != 0}
	end := len(f) - 1
	if q.crc {
		end--
		if sum16(f[:end]) != binary.LittleEndian.Uint16(f[end:]) {
			return q, false
		}
	} else if zeroSum(f[:end]) != f[end] {
		return q, false
	}
	at := 5
	if f[4]&8 != 0 {
		n := int(f[at])
		if n < 2 || at+n > end {
			return q, false
		}
		q.block = f[at+1 : at+n]
		at += n
		if q.block[0] >= 0x15 {
			end -= 4
			if end <= at {
				return q, false
			}
			q.mac, q.signed = f[end:end+4], f[:end]
		}
	}
	if at >= end {
		return q, false
	}
	q.code, q.data = f[at], f[at+1:end]
	return q, true
}

// frame builds a reply up to where a MAC would follow; extra is how many bytes still come before the check.
func frame(address, control byte, block []byte, code byte, data []byte, extra int) []byte {
	f := []byte{'S', address | 0x80, 0, 0, control}
	if block != nil {
		f[4] |= 8
		f = append(append(f, byte(len(block)+1)), block...)
	}
	f = append(append(f, code), data...)
	n := len(f) + extra + 1
	if control&4 != 0 {
		n++
	}
	binary.LittleEndian.PutUint16(f[2:], uint16(n))
	return f
}

// ended adds the check.
func ended(f []byte) []byte {
	if f[4]&4 == 0 {
		return append(f, zeroSum(f))
	}
	return binary.LittleEndian.AppendUint16(f, sum16(f))
}

// sum16 is the CRC of Annex C, bit by bit: x¹⁶+x¹²+x⁵+1 from 0x1D0F.
func sum16(b []byte) uint16 {
	sum := uint16(0x1D0F)
	for _, x := range b {
		for bit := 7; bit >= 0; bit-- {
			out := sum>>15 != uint16(x>>bit)&1
			if sum <<= 1; out {
				sum ^= 0x1021
			}
		}
	}
	return sum
}

// zeroSum brings the sum of all bytes to zero.
func zeroSum(b []byte) byte {
	sum := 0
	for _, x := range b {
		sum += int(x)
	}
	return byte(256 - sum%256)
}
