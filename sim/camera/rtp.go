package camera

import (
	"encoding/binary"
	"time"
)

// The RTP side of a camera: payload type 96, a clock of 90 kHz (RFC 6184, 8.2.1).
const (
	payloadType = 96
	clockRate   = 90000
	maxPayload  = 1400 // bytes in one RTP packet behind its header
	rtpHeader   = 12
	stapA       = 24
	fuA         = 28
)

// accessUnit is one coded picture, cut into RTP payloads (RFC 6184, 5.4,
// packetization mode 1) that all clients share and nobody changes.
type accessUnit struct {
	payloads [][]byte
	taken    time.Time
	ticks    uint32 // of the RTP clock, from the start of the camera
	idr      bool
	newSets  bool // the parameter sets changed with this picture
}

// packetize cuts NAL units into payloads: parameter sets together in one STAP-A,
// small units alone, large ones in FU-A fragments.
func packetize(sets [][]byte, slice []byte) [][]byte {
	var out [][]byte
	if len(sets) > 0 {
		aggregate := []byte{sets[0][0]&0x60 | stapA}
		for _, nal := range sets {
			aggregate = binary.BigEndian.AppendUint16(aggregate, uint16(len(nal)))
			aggregate = append(aggregate, nal...)
		}
		out = append(out, aggregate)
	}
	if len(slice) <= maxPayload {
		return append(out, slice)
	}
	indicator, kind := slice[0]&0x60|fuA, slice[0]&0x1F
	return fragments(out, slice[1:], []byte{indicator}, kind)
}

// fragments cuts body into pieces, each behind lead and a byte with the start
// bit, the end bit and kind.
func fragments(out [][]byte, body, lead []byte, kind byte) [][]byte {
	room := maxPayload - len(lead) - 1
	for first := true; len(body) > 0; first = false {
		n := min(room, len(body))
		flags := kind
		if first {
			flags |= 0x80
		}
		if n == len(body) {
			flags |= 0x40
		}
		piece := append(make([]byte, 0, len(lead)+1+n), lead...)
		piece = append(piece, flags)
		out = append(out, append(piece, body[:n]...))
		body = body[n:]
	}
	return out
}

// H.265 numbers for the camera that is not H.264 (RFC 7798, 4.4; H.265 table 7-1).
const (
	hevcTrail = 1
	hevcIDR   = 19
	hevcFU    = 49
	hevcTID   = 1
)

// packetizeHEVC sends the slice under headers of H.265. No decoder would show
// it: it is for receivers that must refuse the codec or find out by the headers.
func packetizeHEVC(slice []byte, idr bool) [][]byte {
	kind := byte(hevcTrail)
	if idr {
		kind = hevcIDR
	}
	if len(slice)+1 <= maxPayload {
		return [][]byte{append([]byte{kind << 1, hevcTID}, slice[1:]...)}
	}
	return fragments(nil, slice[1:], []byte{hevcFU << 1, hevcTID}, kind)
}

// appendPacket appends one interleaved RTP packet (RFC 2326, 10.12; RFC 3550, 5.1).
func appendPacket(dst []byte, channel byte, marker bool, seq uint16, ticks, ssrc uint32, payload []byte) []byte {
	dst = append(dst, '$', channel)
	dst = binary.BigEndian.AppendUint16(dst, uint16(rtpHeader+len(payload)))
	kind := byte(payloadType)
	if marker {
		kind |= 0x80
	}
	dst = append(dst, 2<<6, kind)
	dst = binary.BigEndian.AppendUint16(dst, seq)
	dst = binary.BigEndian.AppendUint32(dst, ticks)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	return append(dst, payload...)
}

// Numbers of RTCP (RFC 3550, 6.4 and 6.5; RFC 4585, 6.3.1; RFC 5104, 4.3.1).
const (
	rtcpSenderReport = 200
	rtcpSDES         = 202
	rtcpPayloadFB    = 206
	feedbackPLI      = 1
	feedbackFIR      = 4
	ntpEpoch         = 2208988800 // seconds from 1900 to 1970
)

// appendReport appends an interleaved sender report with a CNAME: ticks is the
// RTP time of the moment now.
func appendReport(dst []byte, channel byte, ssrc uint32, now time.Time, ticks, packets, octets uint32, cname string) []byte {
	dst = append(dst, '$', channel, 0, 0)
	start := len(dst)
	dst = append(dst, 2<<6, rtcpSenderReport, 0, 6)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = binary.BigEndian.AppendUint32(dst, uint32(now.Unix()+ntpEpoch))
	dst = binary.BigEndian.AppendUint32(dst, uint32(uint64(now.Nanosecond())<<32/1e9))
	dst = binary.BigEndian.AppendUint32(dst, ticks)
	dst = binary.BigEndian.AppendUint32(dst, packets)
	dst = binary.BigEndian.AppendUint32(dst, octets)

	sdes := len(dst)
	dst = append(dst, 2<<6|1, rtcpSDES, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, 1, byte(len(cname)))
	dst = append(dst, cname...)
	dst = append(dst, 0)
	for (len(dst)-sdes)%4 != 0 {
		dst = append(dst, 0)
	}
	binary.BigEndian.PutUint16(dst[sdes+2:], uint16((len(dst)-sdes)/4-1))
	binary.BigEndian.PutUint16(dst[start-2:], uint16(len(dst)-start))
	return dst
}

// asksForPicture tells whether a compound RTCP packet holds a picture loss
// indication or a full intra request.
func asksForPicture(b []byte) bool {
	for len(b) >= 4 && b[0]>>6 == 2 {
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		format := b[0] & 0x1F
		if b[1] == rtcpPayloadFB && (format == feedbackPLI || format == feedbackFIR) {
			return true
		}
		if size > len(b) {
			return false
		}
		b = b[size:]
	}
	return false
}
