package camera

import "math/bits"

// bitWriter writes the raw byte sequence payload of one NAL unit, most
// significant bit first (ITU-T H.264, 7.2).
type bitWriter struct {
	buf   []byte
	cur   byte
	count uint // bits in cur, 0 to 7
}

// u writes the n low bits of v: the u(n) of the standard.
func (w *bitWriter) u(n uint, v uint32) {
	for i := int(n) - 1; i >= 0; i-- {
		w.cur = w.cur<<1 | byte(v>>uint(i)&1)
		w.count++
		if w.count == 8 {
			w.buf = append(w.buf, w.cur)
			w.cur, w.count = 0, 0
		}
	}
}

// ue writes an unsigned Exp-Golomb code: ue(v), H.264 9.1.
func (w *bitWriter) ue(v uint32) {
	n := uint(bits.Len32(v + 1))
	w.u(n-1, 0)
	w.u(n, v+1)
}

// align fills the byte with zero bits, as pcm_alignment_zero_bit asks.
func (w *bitWriter) align() {
	if w.count > 0 {
		w.u(8-w.count, 0)
	}
}

// trailing writes the stop bit and the zero bits behind it (H.264 7.3.2.11).
func (w *bitWriter) trailing() {
	w.u(1, 1)
	w.align()
}

// escape appends rbsp to dst with an emulation prevention byte wherever two
// zero bytes would be followed by a byte below four (H.264 7.4.1).
func escape(dst, rbsp []byte) []byte {
	zeros := 0
	for _, b := range rbsp {
		if zeros == 2 && b <= 3 {
			dst = append(dst, 3)
			zeros = 0
		}
		dst = append(dst, b)
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return dst
}
