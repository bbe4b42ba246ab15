package h264

import "github.com/pion/rtp"

// MaxPayload is the largest RTP payload cut for viewers, in bytes: with RTP, SRTP, UDP and IPv6 headers it
// stays below 1,280, which every path carries.
const MaxPayload = 1200

// Cut packs one access unit into RTP packets of at most [MaxPayload] bytes: small NAL units that are no
// pictures together in one STAP-A, pictures alone, large ones in FU-A fragments of equal size. The payloads
// are copies in one piece of memory; timestamp and marker are set, sequence number, payload type and SSRC are
// left for others. Empty NAL units are passed over.
func Cut(nals [][]byte, timestamp uint32) []*rtp.Packet {
	c := cutter{timestamp: timestamp}
	count, size := 0, 0
	for _, nal := range nals {
		n := fragments(len(nal))
		count += n
		size += len(nal) + 3*n
	}
	c.memory = make([]byte, 0, size)
	c.packets = make([]rtp.Packet, 0, count)
	for i := 0; i < len(nals); {
		switch n := together(nals[i:]); {
		case n > 1:
			c.aggregate(nals[i : i+n])
			i += n
		case len(nals[i]) > MaxPayload:
			c.fragment(nals[i])
			i++
		default:
			if len(nals[i]) > 0 {
				c.packet(nals[i])
			}
			i++
		}
	}
	out := make([]*rtp.Packet, len(c.packets))
	for i := range c.packets {
		out[i] = &c.packets[i]
	}
	if len(out) > 0 {
		out[len(out)-1].Marker = true
	}
	return out
}

// fragments is the number of packets that a NAL unit of n bytes needs at most.
func fragments(n int) int {
	if n <= MaxPayload {
		return 1
	}
	return (n - 1 + MaxPayload - 3) / (MaxPayload - 2)
}

// together counts the leading NAL units that are no pictures and fit into one STAP-A.
func together(nals [][]byte) int {
	size := 1
	for i, nal := range nals {
		size += 2 + len(nal)
		if TypeOf(nal).Picture() || len(nal) == 0 || size > MaxPayload {
			return i
		}
	}
	return len(nals)
}

type cutter struct {
	timestamp uint32
	memory    []byte
	packets   []rtp.Packet
}

// packet appends a packet with a copy of the parts as payload.
func (c *cutter) packet(parts ...[]byte) {
	from := len(c.memory)
	for _, p := range parts {
		c.memory = append(c.memory, p...)
	}
	c.packets = append(c.packets, rtp.Packet{
		Header:  rtp.Header{Version: 2, Timestamp: c.timestamp},
		Payload: c.memory[from:len(c.memory):len(c.memory)],
	})
}

func (c *cutter) aggregate(nals [][]byte) {
	parts := make([][]byte, 0, 2*len(nals)+1)
	header := byte(STAPA)
	for _, nal := range nals {
		if nri := nal[0] & 0x60; nri > header&0x60 { // the highest importance of its units (RFC 6184 5.7.1)
			header = header&^0x60 | nri
		}
		header |= nal[0] & 0x80
		parts = append(parts, []byte{byte(len(nal) >> 8), byte(len(nal))}, nal)
	}
	c.packet(append([][]byte{{header}}, parts...)...)
}

func (c *cutter) fragment(nal []byte) {
	n := fragments(len(nal))
	header, body := nal[0], nal[1:]
	size := (len(body) + n - 1) / n
	for first := true; len(body) > 0; first = false {
		piece := body[:min(size, len(body))]
		body = body[len(piece):]
		flags := header & 0x1f
		if first {
			flags |= 0x80
		}
		if len(body) == 0 {
			flags |= 0x40
		}
		c.packet([]byte{header&0xe0 | byte(FUA), flags}, piece)
	}
}
