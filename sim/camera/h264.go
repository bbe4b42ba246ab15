package camera

import (
	"bytes"
	"fmt"
)

// Limits of the writer: H.264 level 3.1 allows 3,600 macroblocks in a frame
// (table A-1), and below the least size the time code cannot be drawn.
const (
	macroblock     = 16
	maxMacroblocks = 3600
	leastWidth     = 176
	leastHeight    = 144
)

// Codes of ITU-T H.264: NAL unit headers (7.3.1), slice types (table 7-6) and
// the mb_type of I_PCM in I slices (table 7-11) and in P slices (behind the
// five inter types).
const (
	nalSPS      = 0x67
	nalPPS      = 0x68
	nalIDR      = 0x65
	nalSlice    = 0x41
	sliceP      = 5
	sliceI      = 7
	pcmInI      = 25
	pcmInP      = 30
	profileIdc  = 66   // Baseline
	constraints = 0xC0 // constraint sets 0 and 1: Constrained Baseline
	levelIdc    = 31
)

// Encoder writes H.264 Constrained Baseline with the macroblocks I_PCM and
// P_Skip only. What a decoder shows is bit for bit what was drawn.
type Encoder struct {
	width, height int
	last          *Frame
	frameNum      uint32 // of the next frame, modulo 16
	idrID         uint32 // differs between neighbouring IDR pictures
	rbsp          []byte // kept between frames
}

// CheckSize tells whether a picture of that size can be coded.
func CheckSize(width, height int) error {
	switch {
	case width%macroblock != 0 || height%macroblock != 0:
		return fmt.Errorf("picture size %dx%d: both must be multiples of 16, for example 480x272", width, height)
	case width < leastWidth || height < leastHeight:
		return fmt.Errorf("picture size %dx%d: at least %dx%d is needed for the time code", width, height, leastWidth, leastHeight)
	case width/macroblock*(height/macroblock) > maxMacroblocks:
		return fmt.Errorf("picture size %dx%d: level 3.1 ends at 1280x720", width, height)
	}
	return nil
}

// NewEncoder makes an encoder for pictures of one size.
func NewEncoder(width, height int) (*Encoder, error) {
	if err := CheckSize(width, height); err != nil {
		return nil, err
	}
	return &Encoder{width: width, height: height}, nil
}

// SPS is the sequence parameter set, one NAL unit without a start code
// (H.264 7.3.2.1.1): no cropping, no VUI, order of output = order of decoding.
func (e *Encoder) SPS() []byte {
	var w bitWriter
	w.u(8, profileIdc)
	w.u(8, constraints)
	w.u(8, levelIdc)
	w.ue(0) // seq_parameter_set_id
	w.ue(0) // log2_max_frame_num_minus4
	w.ue(2) // pic_order_cnt_type
	w.ue(1) // max_num_ref_frames
	w.u(1, 0)
	w.ue(uint32(e.width/macroblock - 1))
	w.ue(uint32(e.height/macroblock - 1))
	w.u(1, 1) // frame_mbs_only_flag
	w.u(1, 1) // direct_8x8_inference_flag
	w.u(1, 0) // frame_cropping_flag
	w.u(1, 0) // vui_parameters_present_flag
	w.trailing()
	return escape([]byte{nalSPS}, w.buf)
}

// PPS is the picture parameter set, one NAL unit without a start code
// (H.264 7.3.2.2).
func (e *Encoder) PPS() []byte {
	var w bitWriter
	w.ue(0)   // pic_parameter_set_id
	w.ue(0)   // seq_parameter_set_id
	w.u(1, 0) // entropy_coding_mode_flag: CAVLC
	w.u(1, 0) // bottom_field_pic_order_in_frame_present_flag
	w.ue(0)   // num_slice_groups_minus1
	w.ue(0)   // num_ref_idx_l0_default_active_minus1
	w.ue(0)   // num_ref_idx_l1_default_active_minus1
	w.u(1, 0) // weighted_pred_flag
	w.u(2, 0) // weighted_bipred_idc
	w.ue(0)   // pic_init_qp_minus26 = 0
	w.ue(0)   // pic_init_qs_minus26 = 0
	w.ue(0)   // chroma_qp_index_offset = 0
	w.u(1, 1) // deblocking_filter_control_present_flag
	w.u(1, 0) // constrained_intra_pred_flag
	w.u(1, 0) // redundant_pic_cnt_present_flag
	w.trailing()
	return escape([]byte{nalPPS}, w.buf)
}

// Encode codes f as one NAL unit without a start code: the whole picture when
// idr is set or nothing was coded before, else only the macroblocks that differ
// from the picture before. f must have the size the encoder was made for.
func (e *Encoder) Encode(f *Frame, idr bool) ([]byte, error) {
	if f.Width != e.width || f.Height != e.height {
		return nil, fmt.Errorf("encoding a %dx%d picture with an encoder for %dx%d: make a new encoder", f.Width, f.Height, e.width, e.height)
	}
	idr = idr || e.last == nil
	w := bitWriter{buf: e.rbsp[:0]}
	header := byte(nalSlice)
	if idr {
		header = nalIDR
		e.frameNum = 0
	}
	e.sliceHeader(&w, idr)
	if idr {
		e.wholePicture(&w, f)
		e.idrID ^= 1
		e.last = NewFrame(e.width, e.height)
	} else {
		e.changedBlocks(&w, f)
	}
	w.trailing()
	e.last.CopyFrom(f)
	e.frameNum = (e.frameNum + 1) % 16
	e.rbsp = w.buf
	return escape(append(make([]byte, 0, len(w.buf)+len(w.buf)/64+16), header), w.buf), nil
}

// sliceHeader writes the header of the one slice of a picture (H.264 7.3.3).
func (e *Encoder) sliceHeader(w *bitWriter, idr bool) {
	w.ue(0) // first_mb_in_slice
	if idr {
		w.ue(sliceI)
	} else {
		w.ue(sliceP)
	}
	w.ue(0) // pic_parameter_set_id
	w.u(4, e.frameNum)
	if idr {
		w.ue(e.idrID)
		w.u(1, 0) // no_output_of_prior_pics_flag
		w.u(1, 0) // long_term_reference_flag
	} else {
		w.u(1, 0) // num_ref_idx_active_override_flag
		w.u(1, 0) // ref_pic_list_modification_flag_l0
		w.u(1, 0) // adaptive_ref_pic_marking_mode_flag
	}
	w.ue(0) // slice_qp_delta = 0
	w.ue(1) // disable_deblocking_filter_idc: PCM samples stay as they are
}

// wholePicture writes each macroblock as I_PCM.
func (e *Encoder) wholePicture(w *bitWriter, f *Frame) {
	for y := 0; y < e.height; y += macroblock {
		for x := 0; x < e.width; x += macroblock {
			w.ue(pcmInI)
			w.align()
			w.buf = f.appendBlock(w.buf, x, y)
		}
	}
}

// changedBlocks writes changed macroblocks as I_PCM and the others as P_Skip.
// A P_Skip between I_PCM and P_Skip neighbours has a motion vector of zero
// (H.264 8.4.1.1), so it repeats the samples at its own place.
func (e *Encoder) changedBlocks(w *bitWriter, f *Frame) {
	skipped := uint32(0)
	for y := 0; y < e.height; y += macroblock {
		for x := 0; x < e.width; x += macroblock {
			if f.sameBlock(e.last, x, y) {
				skipped++
				continue
			}
			w.ue(skipped)
			skipped = 0
			w.ue(pcmInP)
			w.align()
			w.buf = f.appendBlock(w.buf, x, y)
		}
	}
	if skipped > 0 {
		w.ue(skipped)
	}
}

// appendBlock appends the 384 samples of the macroblock at (x, y): 256 Y, 64 Cb, 64 Cr.
func (f *Frame) appendBlock(dst []byte, x, y int) []byte {
	for r := range macroblock {
		at := (y+r)*f.Width + x
		dst = append(dst, f.Y[at:at+macroblock]...)
	}
	for _, plane := range [2][]byte{f.Cb, f.Cr} {
		for r := range macroblock / 2 {
			at := (y/2+r)*f.Width/2 + x/2
			dst = append(dst, plane[at:at+macroblock/2]...)
		}
	}
	return dst
}

// sameBlock tells whether the macroblock at (x, y) has the samples of g.
func (f *Frame) sameBlock(g *Frame, x, y int) bool {
	for r := range macroblock {
		at := (y+r)*f.Width + x
		if !bytes.Equal(f.Y[at:at+macroblock], g.Y[at:at+macroblock]) {
			return false
		}
	}
	for r := range macroblock / 2 {
		at := (y/2+r)*f.Width/2 + x/2
		end := at + macroblock/2
		if !bytes.Equal(f.Cb[at:end], g.Cb[at:end]) || !bytes.Equal(f.Cr[at:end], g.Cr[at:end]) {
			return false
		}
	}
	return true
}
