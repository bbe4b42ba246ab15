package h264

import (
	"errors"
	"fmt"
)

// Info is what a sequence parameter set says of the pictures.
type Info struct {
	// Profile is profile_idc, Constraints the byte after it, Level ten times the level.
	Profile, Constraints, Level uint8
	// Width and Height of the shown picture in pixels.
	Width, Height int
}

// maxParse bounds the bytes looked at in a parameter set or a slice header.
const maxParse = 1024

var errSPS = errors.New("sequence parameter set cannot be read")

// String names profile and level, such as "baseline 3.1".
func (i Info) String() string {
	name := ""
	switch i.Profile {
	case 66:
		name = "baseline"
	case 77:
		name = "main"
	case 88:
		name = "extended"
	case 100:
		name = "high"
	default:
		name = fmt.Sprintf("profile %d", i.Profile)
	}
	return fmt.Sprintf("%s %d.%d", name, i.Level/10, i.Level%10)
}

// ID is the profile-level-id of RFC 6184: six hexadecimal digits.
func (i Info) ID() string {
	return fmt.Sprintf("%02x%02x%02x", i.Profile, i.Constraints, i.Level)
}

// ParseSPS reads a sequence parameter set (ITU-T H.264 7.3.2.1.1). A failure is no reason to drop the stream
// (quirk D16): profile and level are returned as far as they could be read.
func ParseSPS(nal []byte) (Info, error) {
	if TypeOf(nal) != SPS || len(nal) < 4 {
		return Info{}, errSPS
	}
	info := Info{Profile: nal[1], Constraints: nal[2], Level: nal[3]}
	b := bits{data: unescape(nal[4:])}
	b.ue() // seq_parameter_set_id
	chroma := uint32(1)
	separate := false
	switch info.Profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma = b.ue()
		if chroma == 3 {
			separate = b.flag()
		}
		b.ue() // bit_depth_luma_minus8
		b.ue() // bit_depth_chroma_minus8
		b.flag()
		if b.flag() {
			skipScaling(&b, chroma)
		}
	}
	b.ue() // log2_max_frame_num_minus4
	switch b.ue() {
	case 0:
		b.ue() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		b.flag()
		b.ue() // signed, but only skipped
		b.ue()
		for n := b.ue(); n > 0 && n < 256 && !b.short; n-- {
			b.ue()
		}
	}
	b.ue() // max_num_ref_frames
	b.flag()
	width, height := int64(b.ue())+1, int64(b.ue())+1
	frames := b.flag()
	fields := int64(1)
	if !frames {
		fields = 2
		b.flag()
	}
	b.flag() // direct_8x8_inference_flag
	width, height = width*16, height*16*fields
	if b.flag() {
		unitX, unitY := int64(1), fields
		if !separate && (chroma == 1 || chroma == 2) {
			unitX = 2
		}
		if !separate && chroma == 1 {
			unitY *= 2
		}
		width -= unitX * (int64(b.ue()) + int64(b.ue()))
		height -= unitY * (int64(b.ue()) + int64(b.ue()))
	}
	if b.short || width < 1 || height < 1 || width > 16384 || height > 16384 {
		return info, errSPS
	}
	info.Width, info.Height = int(width), int(height)
	return info, nil
}

// skipScaling passes over the scaling lists (7.3.2.1.1.1).
func skipScaling(b *bits, chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !b.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for range size {
			if next != 0 {
				next = (last + b.se() + 256) % 256
			}
			if next != 0 {
				last = next
			}
			if b.short {
				return
			}
		}
	}
}

// IsB says whether a NAL unit is a slice of type B, whose picture is shown before one that was sent earlier
// (7.3.3: first_mb_in_slice, slice_type).
func IsB(nal []byte) bool {
	if t := TypeOf(nal); t != Slice {
		return false
	}
	b := bits{data: unescape(nal[1:min(len(nal), 24)])}
	b.ue()
	t := b.ue()
	return !b.short && (t == 1 || t == 6)
}

// unescape removes emulation prevention bytes (7.4.1) from the beginning of a NAL unit.
func unescape(b []byte) []byte {
	b = b[:min(len(b), maxParse)]
	out := make([]byte, 0, len(b))
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}

// bits reads fixed and Exp-Golomb codes (9.1); short is set once the data ended too early.
type bits struct {
	data  []byte
	at    int
	short bool
}

func (b *bits) bit() uint32 {
	if b.at>>3 >= len(b.data) {
		b.short = true
		return 0
	}
	v := b.data[b.at>>3] >> (7 - b.at&7) & 1
	b.at++
	return uint32(v)
}

func (b *bits) flag() bool { return b.bit() == 1 }

func (b *bits) ue() uint32 {
	zeros := 0
	for b.bit() == 0 {
		if zeros++; zeros > 31 || b.short {
			b.short = true
			return 0
		}
	}
	v := uint32(0)
	for range zeros {
		v = v<<1 | b.bit()
	}
	return v + 1<<zeros - 1
}

func (b *bits) se() int32 {
	v := b.ue()
	if v&1 == 1 {
		return int32(v/2) + 1
	}
	return -int32(v / 2)
}
