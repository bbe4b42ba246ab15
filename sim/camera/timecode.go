package camera

import (
	"errors"
	"math/bits"
)

// The time code is one row of 34 square blocks in the lowest macroblock row.
//
//	side   = min(14, width/34) pixels
//	left   = (width - 34*side) / 2
//	middle = height - 8, the pixel row to read at
//	block i covers x from left+i*side to left+(i+1)*side; read it at left+i*side+side/2
//
// A dark block (luma 30) is 0, a light one (luma 225) is 1; cut at 128.
// Blocks 0 to 31 are the time of capture in milliseconds since 1970, modulo
// 2^32, the most significant bit first. Block 32 makes the number of light
// blocks among 0 to 15 and itself even; block 33 makes the number among 16 to
// 31 and itself odd. So neither a black nor a white picture reads as a time.
const (
	timecodeBits   = 32
	timecodeBlocks = timecodeBits + 2
	timecodeSide   = 14
	timecodeDark   = 30
	timecodeLight  = 225
	timecodeCut    = 128
)

// ErrTimecode says that a picture carries no readable time code.
var ErrTimecode = errors.New("no time code in this picture: the parity blocks do not fit")

// timecodePlace is the side of a block and the left edge of block 0.
func timecodePlace(width int) (side, left int) {
	side = min(timecodeSide, width/timecodeBlocks)
	return side, (width - timecodeBlocks*side) / 2
}

// timecodeRow is the value of the 34 blocks, block 0 as the highest bit.
func timecodeRow(ms uint32) uint64 {
	even := uint64(bits.OnesCount32(ms>>16) & 1)
	odd := uint64(bits.OnesCount32(ms&0xFFFF)&1 ^ 1)
	return uint64(ms)<<2 | even<<1 | odd
}

// DrawTimecode writes ms, milliseconds since 1970 modulo 2^32, into f.
func DrawTimecode(f *Frame, ms uint32) {
	side, left := timecodePlace(f.Width)
	f.box(0, f.Height-macroblock, f.Width, macroblock, timecodeDark)
	row := timecodeRow(ms)
	for i := range timecodeBlocks {
		if row>>(timecodeBlocks-1-i)&1 == 1 {
			f.box(left+i*side, f.Height-8-side/2, side, side, timecodeLight)
		}
	}
}

// ReadTimecode reads what DrawTimecode wrote from the luma plane of a decoded
// picture. It answers ErrTimecode when the parity does not fit.
func ReadTimecode(luma []byte, width, height int) (ms uint32, err error) {
	if width < timecodeBlocks || height < macroblock || len(luma) < width*height {
		return 0, ErrTimecode
	}
	side, left := timecodePlace(width)
	var row uint64
	for i := range timecodeBlocks {
		row <<= 1
		if luma[(height-8)*width+left+i*side+side/2] >= timecodeCut {
			row |= 1
		}
	}
	ms = uint32(row >> 2)
	if timecodeRow(ms) != row {
		return 0, ErrTimecode
	}
	return ms, nil
}
