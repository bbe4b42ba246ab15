// An H.264 picture travels as NAL units; RTP cuts them into packets (RFC 6184) and cameras do so in more ways
// than the RFC knows. This package joins what cameras send into access units, cuts access units into packets
// for viewers, and reads the little that the station must know: size, profile, and whether there are B-frames.
//
// Quirk numbers such as P7 in the comments are those of the camera quirk list that the tests walk through.
package h264

import "bytes"

// Type is a NAL unit type (ITU-T H.264 table 7-1; from 24 on RFC 6184 table 1).
type Type uint8

// The types that matter here.
const (
	Slice Type = 1  // coded slice of a picture that is no IDR
	IDR   Type = 5  // coded slice of an IDR picture
	SEI   Type = 6  // supplemental enhancement information
	SPS   Type = 7  // sequence parameter set
	PPS   Type = 8  // picture parameter set
	STAPA Type = 24 // several NAL units in one packet
	FUA   Type = 28 // a piece of a NAL unit
)

// TypeOf returns the type of a NAL unit, 0 when it is empty.
func TypeOf(nal []byte) Type {
	if len(nal) == 0 {
		return 0
	}
	return Type(nal[0] & 0x1f)
}

// Picture says whether a NAL unit of this type carries part of a picture.
func (t Type) Picture() bool { return t >= 1 && t <= 5 }

// Unit is one access unit as the camera sent it: every NAL unit, in order, unaltered.
type Unit struct {
	// NALs without start codes. They are valid only until the function they were handed to returns.
	NALs [][]byte
	// Timestamp is the camera's RTP timestamp.
	Timestamp uint32
	// Key says that there is an IDR slice among them.
	Key bool
	// Lost counts packets that were missing or unusable since the unit before.
	Lost int
}

// Split appends the NAL units found between Annex B start codes in b; without any start code, b is one unit.
// The parts alias b.
func Split(dst [][]byte, b []byte) [][]byte {
	for len(b) > 0 {
		i := bytes.Index(b, []byte{0, 0, 1})
		nal := b
		if i >= 0 {
			nal = bytes.TrimRight(b[:i], "\x00")
			b = b[i+3:]
		} else {
			b = nil
		}
		if len(nal) > 0 {
			dst = append(dst, nal)
		}
	}
	return dst
}
