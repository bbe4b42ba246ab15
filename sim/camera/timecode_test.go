package camera

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestTimecodeReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := 16 * rapid.IntRange(leastWidth/16, 80).Draw(t, "columns")
		height := 16 * rapid.IntRange(leastHeight/16, 45).Draw(t, "rows")
		ms := rapid.Uint32().Draw(t, "ms")
		f := NewFrame(width, height)
		DrawTimecode(f, ms)
		got, err := ReadTimecode(f.Y, width, height)
		if err != nil || got != ms {
			t.Fatalf("%dx%d: wrote %d, read %d, %v", width, height, ms, got, err)
		}
	})
}

// One block read wrong is always noticed.
func TestTimecodeNoticesAFlippedBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Uint32().Draw(t, "ms")
		block := rapid.IntRange(0, timecodeBlocks-1).Draw(t, "block")
		f := NewFrame(480, 272)
		DrawTimecode(f, ms)
		at := (272-8)*480 + 2 + block*14 + 7
		f.Y[at] = 255 - f.Y[at]
		if got, err := ReadTimecode(f.Y, 480, 272); !errors.Is(err, ErrTimecode) {
			t.Fatalf("block %d flipped: read %d, %v", block, got, err)
		}
	})
}

func TestTimecodeRefusesBlankPictures(t *testing.T) {
	for _, luma := range []byte{0, 16, 127, 128, 235, 255} {
		f := NewFrame(480, 272)
		fill(f.Y, luma)
		if got, err := ReadTimecode(f.Y, 480, 272); !errors.Is(err, ErrTimecode) {
			t.Errorf("a picture of luma %d read as %d, %v", luma, got, err)
		}
	}
	if _, err := ReadTimecode(make([]byte, 10), 480, 272); !errors.Is(err, ErrTimecode) {
		t.Errorf("ten bytes read as a picture: %v", err)
	}
}

// The layout is a contract with the browser's reader: this is that reader's rule.
func TestTimecodeLayout(t *testing.T) {
	f := NewFrame(480, 272)
	DrawTimecode(f, 0x80000001)
	for block, want := range map[int]byte{0: 225, 1: 30, 30: 30, 31: 225, 32: 225, 33: 30} {
		if got := f.Y[264*480+2+14*block+7]; got != want {
			t.Errorf("block %d has luma %d, want %d", block, got, want)
		}
	}
}
