package rtsp

import (
	"bufio"
	"errors"
	"fmt"
)

const (
	readBuffer = 80 << 10 // holds the largest interleaved frame whole: 4 + 65,535 bytes
	maxGarbage = 64 << 10 // bytes passed over in search of the next frame before the session is given up
)

var (
	errGarbage = errors.New("64 KiB without an interleaved frame")
	errMessage = errors.New("message cannot be read")
)

// frame is what stands next in the stream: interleaved data, or a message.
type frame struct {
	channel uint8
	data    []byte // aliases the read buffer: valid until the next read
	message *message
}

// framer cuts the byte stream of an RTSP connection into interleaved frames (RFC 2326 10.12) and messages. A
// read that runs into its deadline loses nothing: call next again.
type framer struct {
	br       *bufio.Reader
	taken    int // bytes of the last frame, still in the buffer
	garbage  int // bytes passed over since the last frame
	skipped  uint64
	channels func(uint8) bool // is this channel ours? asked only in search of the next frame
}

// next returns the next frame. patience is called before a message is read, which cannot be resumed.
func (f *framer) next(patience func() error) (frame, error) {
	if f.taken > 0 {
		if _, err := f.br.Discard(f.taken); err != nil {
			return frame{}, err
		}
		f.taken = 0
	}
	for {
		head, err := f.br.Peek(1)
		if err != nil {
			return frame{}, err
		}
		switch {
		case head[0] == '$':
			if fr, ok, err := f.interleaved(); ok || err != nil {
				return fr, err
			}
		case head[0] == '\r' || head[0] == '\n': // A12
			if _, err := f.br.Discard(1); err != nil {
				return frame{}, err
			}
			continue
		case head[0] >= 'A' && head[0] <= 'Z':
			head, err := f.br.Peek(4)
			if err != nil {
				return frame{}, unexpected(err)
			}
			if isMethod(head) {
				if err := patience(); err != nil {
					return frame{}, err
				}
				m, err := readMessage(f.br)
				if err != nil {
					return frame{}, fmt.Errorf("%w: %w", errMessage, err)
				}
				f.garbage = 0
				return frame{message: m}, nil
			}
		}
		f.garbage++ // P1: scan for the next frame
		f.skipped++
		if f.garbage > maxGarbage {
			return frame{}, errGarbage
		}
		if _, err := f.br.Discard(1); err != nil {
			return frame{}, err
		}
	}
}

// interleaved reads a data frame; ok is false when, in search of a frame, this '$' is none.
func (f *framer) interleaved() (fr frame, ok bool, err error) {
	head, err := f.br.Peek(4)
	if err != nil {
		return frame{}, false, unexpected(err)
	}
	channel, size := head[1], int(head[2])<<8|int(head[3])
	if f.garbage > 0 && (!f.channels(channel) || size < 8 || size > 2048) {
		return frame{}, false, nil
	}
	b, err := f.br.Peek(4 + size)
	if err != nil {
		return frame{}, false, unexpected(err)
	}
	if f.garbage > 0 && b[4]>>6 != 2 { // RTP and RTCP begin with version 2
		return frame{}, false, nil
	}
	f.garbage = 0
	f.taken = 4 + size
	return frame{channel: channel, data: b[4:]}, true, nil
}

// isMethod says whether four bytes can begin a message: a method name, or "RTSP".
func isMethod(b []byte) bool {
	for _, c := range b {
		if (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return true
}

// newFramer reads from br, whose buffer must hold readBuffer bytes.
func newFramer(br *bufio.Reader) (*framer, error) {
	if br.Size() < readBuffer {
		return nil, fmt.Errorf("read buffer of %d bytes cannot hold a frame", br.Size())
	}
	return &framer{br: br, channels: func(c uint8) bool { return c < 20 }}, nil
}
