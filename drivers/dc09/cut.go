package dc09

import "bytes"

// Sizes of a frame on the wire.
const (
	// MaxBody is the longest body in bytes, from the first quote to before CR: what three hex digits can say.
	MaxBody = 0xFFF
	// MaxFrame is the longest frame in bytes, from LF to CR. The CR may be counted in the length, so it is one short of that.
	MaxFrame = 1 + hexHead + MaxBody + 1

	hexHead    = 8 // between LF and the first quote: CRC as 4 hex digits, "0", length as 3 hex digits
	binaryHead = 6 // the same with the CRC as 2 bytes
)

// Cut finds the first frame in a stream. Rest is what follows it; frame is LF … CR, or nil when more bytes are needed,
// and then rest is what must be kept to go on with, at most MaxFrame bytes. Junk is how many bytes were thrown away on the
// way: whatever stands before LF, and frames that never end.
//
// A frame is found by its LF, its first quote at one of two places, and the first CR after that; its length is checked by
// [Parse]. So a wrong length never takes the next frame with it, and a binary CRC may hold any byte, even LF and CR.
func Cut(stream []byte) (frame, rest []byte, junk int) {
	for b := stream; ; {
		start := bytes.IndexByte(b, '\n')
		if start < 0 {
			return nil, nil, len(stream)
		}
		b = b[start:]
		head := headLen(b)
		if head == 0 && len(b) <= 1+hexHead {
			return nil, b, len(stream) - len(b)
		}
		if head == 0 {
			b = b[1:]
			continue
		}
		end := bytes.IndexAny(b[1+head:], "\r\n")
		switch {
		case end > MaxBody || end < 0 && len(b) > 1+head+MaxBody:
			b = b[1:]
		case end < 0:
			return nil, b, len(stream) - len(b)
		case b[1+head+end] == '\n':
			b = b[1+head+end:]
		default:
			n := 1 + head + end + 1
			return b[:n], b[n:], len(stream) - len(b)
		}
	}
}

// headLen is how many bytes stand between LF and the first quote, 0 when no frame begins here or too little is known.
// Only two places are tried: the bytes of a binary CRC can be quotes themselves.
func headLen(b []byte) int {
	switch {
	case len(b) > 1+binaryHead && b[1+binaryHead] == '"' && b[3] == '0':
		return binaryHead
	case len(b) > 1+hexHead && b[1+hexHead] == '"':
		return hexHead
	}
	return 0
}
