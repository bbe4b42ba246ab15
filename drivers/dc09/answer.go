package dc09

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

const upperHex = "0123456789ABCDEF"

// AppendACK appends the answer to a frame whose events are stored. It echoes sequence, receiver, line and account as the
// request has them, so a field that is absent stays absent, and nothing else of it. An encrypted request gets an encrypted
// answer with pad and time; k must be the key that opened it. The CRC is written as the request wrote its own.
func AppendACK(dst []byte, request *Frame, k *Key, now time.Time, random io.Reader) ([]byte, error) {
	start := len(dst)
	dst = appendHead(dst, request, request.Encrypted, idACK)
	if !request.Encrypted {
		return finish(append(dst, ']'), start), nil
	}
	// Plain text is pad "|]_" time: 3 + 19 bytes, and a pad of 10 makes two blocks.
	const pad, size = 10, 32
	var block [size]byte
	if err := fillPad(block[:pad], random); err != nil {
		return dst[:start], err
	}
	copy(block[pad:], "|]_")
	appendStamp(block[:pad+3], now)
	k.encrypt(block[:])
	for _, c := range block {
		dst = append(dst, upperHex[c>>4], upperHex[c&15])
	}
	return finish(dst, start), nil
}

// AppendDUH appends the answer to a frame that came whole but cannot be processed. It is never encrypted: it is sent
// where there is no key that both sides know.
func AppendDUH(dst []byte, request *Frame) []byte {
	start := len(dst)
	return finish(append(appendHead(dst, request, false, idDUH), ']'), start)
}

// AppendNAK appends the answer to an encrypted frame whose time is off; the panel sets its clock by it. It is never
// encrypted, and says nothing of the request but how its CRC was written.
func AppendNAK(dst []byte, request *Frame, now time.Time) []byte {
	start := len(dst)
	dst = appendPlace(dst, request)
	dst = append(dst, `"NAK"0000R0L0A0[]_`...)
	return finish(appendStamp(dst, now), start)
}

// appendPlace leaves room for LF, CRC and length.
func appendPlace(dst []byte, request *Frame) []byte {
	if request.BinaryCRC {
		return append(dst, "\n  0   "...)
	}
	return append(dst, "\n    0   "...)
}

func appendHead(dst []byte, request *Frame, encrypted bool, id string) []byte {
	dst = append(appendPlace(dst, request), '"')
	if encrypted {
		dst = append(dst, '*')
	}
	dst = append(append(append(dst, id...), '"'), request.Seq...)
	dst = appendField(dst, 'R', request.Receiver)
	dst = appendField(dst, 'L', request.Line)
	dst = appendField(dst, '#', request.Account)
	return append(dst, '[')
}

func appendField(dst []byte, letter byte, f Field) []byte {
	if !f.Set {
		return dst
	}
	return append(append(dst, letter), f.Text...)
}

// finish writes CRC and length into the place kept for them, and the CR.
func finish(dst []byte, start int) []byte {
	head := bytes.IndexByte(dst[start:], '"') - 1
	body := dst[start+1+head:]
	sum, n, at := crc(body), len(body), dst[start+1:]
	if head == binaryHead {
		at[0], at[1] = byte(sum>>8), byte(sum)
	} else {
		at[0], at[1], at[2], at[3] = upperHex[sum>>12], upperHex[sum>>8&15], upperHex[sum>>4&15], upperHex[sum&15]
	}
	at[head-3], at[head-2], at[head-1] = upperHex[n>>8&15], upperHex[n>>4&15], upperHex[n&15]
	return append(dst, '\r')
}

// appendStamp appends HH:MM:SS,MM-DD-YYYY in UTC.
func appendStamp(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "15:04:05,01-02-2006")
}

// fillPad fills b with random bytes; the three that would end the pad are moved by one.
func fillPad(b []byte, random io.Reader) error {
	if _, err := io.ReadFull(random, b); err != nil {
		return fmt.Errorf("random pad: %w", err)
	}
	for i, c := range b {
		if c == '|' || c == '[' || c == ']' {
			b[i]--
		}
	}
	return nil
}
