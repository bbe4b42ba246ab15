package h264

import (
	"bytes"
	"errors"

	"github.com/pion/rtp"
)

// Limits of one access unit. An 8-megapixel IDR stays below 2 MiB.
const (
	MaxUnit = 5 << 20 // bytes
	MaxNALs = 4096
)

// ErrH265 says that the packets hold H.265, whatever the session description said (quirk D12).
var ErrH265 = errors.New("the packets hold H.265, not H.264")

// Depacketizer joins RTP packets into access units. The zero value is ready; it belongs to one stream and one
// goroutine.
type Depacketizer struct {
	buf      []byte   // bytes of the unit in the making
	ends     []int    // where each NAL unit in buf ends
	parts    [][]byte // reused for Unit.NALs and for splitting
	fragment int      // start of the FU-A in buf in the making, -1 for none
	started  bool
	sequence uint16
	time     uint32
	lost     int
	picture  bool // the unit in the making holds part of a picture
	key      bool
	overflow bool // the unit in the making was too large and is dropped up to the next timestamp
	sawSPS   bool
}

// Push takes the next packet. For each access unit that it completes – at most two – emit is called; the unit
// ends at a marker once it holds a picture, or at a new timestamp (P6). NAL units in front of a picture, such
// as parameter sets with a timestamp of their own, stay and become part of it.
func (d *Depacketizer) Push(p *rtp.Packet, emit func(Unit)) error {
	if !d.follow(p) {
		return nil
	}
	if p.Timestamp != d.time {
		d.dropFragment()
		if d.picture {
			d.emit(emit)
		}
		d.time, d.overflow = p.Timestamp, false
	}
	if len(p.Payload) == 0 {
		return nil
	}
	if err := d.payload(p.Payload); err != nil {
		return err
	}
	if len(d.buf) > MaxUnit || len(d.ends) > MaxNALs {
		d.reset()
		d.overflow = true
		d.lost++
	}
	if p.Marker && d.picture && d.fragment < 0 {
		d.emit(emit)
	}
	return nil
}

// follow counts what is missing before a packet; false means that the packet is an old one.
func (d *Depacketizer) follow(p *rtp.Packet) bool {
	if !d.started {
		d.started, d.sequence, d.time, d.fragment = true, p.SequenceNumber, p.Timestamp, -1
		return true
	}
	step := p.SequenceNumber - d.sequence
	switch {
	case step == 1:
	case step == 0 || step > 0xff00:
		return false // repeated or late: over TCP there is nothing to reorder
	case step < 0x8000:
		d.lost += int(step) - 1
		d.dropFragment()
	default: // the camera started anew
		d.lost++
		d.dropFragment()
	}
	d.sequence = p.SequenceNumber
	return true
}

func (d *Depacketizer) payload(b []byte) error {
	switch t := TypeOf(b); {
	case d.overflow:
	case t == 0 || t > FUA:
		return d.unknown(b)
	case t < STAPA:
		d.dropFragment()
		d.add(b)
	case t == STAPA:
		d.dropFragment()
		d.aggregate(b[1:])
	case t == FUA:
		d.piece(b)
	default: // STAP-B and MTAP need packetization mode 2, which no camera uses
		d.lost++
	}
	return nil
}

// unknown handles packets that no H.264 packetizer sends: Annex B inside RTP (P8), and H.265 under the name of
// H.264. Everything else is skipped.
func (d *Depacketizer) unknown(b []byte) error {
	switch {
	case bytes.HasPrefix(b, []byte{0, 0, 1}) || bytes.HasPrefix(b, []byte{0, 0, 0, 1}):
		d.dropFragment()
		d.add(b)
	case !d.sawSPS && len(b) > 2 && (b[0] == 0x40 || b[0] == 0x60) && b[1] == 1:
		return ErrH265 // VPS (32) or aggregation packet (48) with layer 0, temporal id 1 (RFC 7798 1.1.4)
	default:
		d.lost++
	}
	return nil
}

func (d *Depacketizer) aggregate(b []byte) {
	for len(b) > 2 {
		n := int(b[0])<<8 | int(b[1])
		b = b[2:]
		if n > len(b) {
			d.lost++
			return
		}
		d.add(b[:n])
		b = b[n:]
	}
}

// piece takes one FU-A. The type in the first fragment rules, start and end may stand in one packet, empty
// pieces and a set reserved bit are accepted (P7).
func (d *Depacketizer) piece(b []byte) {
	if len(b) < 2 {
		d.lost++
		return
	}
	start, end := b[1]&0x80 != 0, b[1]&0x40 != 0
	switch {
	case start:
		d.dropFragment()
		d.fragment = len(d.buf)
		d.buf = append(d.buf, b[0]&0xe0|b[1]&0x1f)
	case d.fragment < 0:
		return // its start was lost, and counted then
	}
	d.buf = append(d.buf, b[2:]...)
	if end {
		from := d.fragment
		d.fragment = -1
		d.close(from)
	}
}

// add appends a whole NAL unit.
func (d *Depacketizer) add(nal []byte) {
	from := len(d.buf)
	d.buf = append(d.buf, nal...)
	d.close(from)
}

// close ends the NAL unit that began at from. Emulation prevention keeps start codes out of NAL units, so
// where one stands inside, the camera has put several units together (P8).
func (d *Depacketizer) close(from int) {
	if from == len(d.buf) {
		return
	}
	if bytes.Contains(d.buf[from:], []byte{0, 0, 1}) {
		d.parts = Split(d.parts[:0], d.buf[from:])
		to := from
		for _, part := range d.parts { // parts lie behind to, in order: moving them down is safe
			to += copy(d.buf[to:], part)
			d.end(to-len(part), to)
		}
		d.buf = d.buf[:to]
		return
	}
	d.end(from, len(d.buf))
}

func (d *Depacketizer) end(from, to int) {
	t := TypeOf(d.buf[from:to])
	d.picture = d.picture || t.Picture()
	d.key = d.key || t == IDR
	d.sawSPS = d.sawSPS || t == SPS
	d.ends = append(d.ends, to)
}

// dropFragment forgets a NAL unit whose end did not come.
func (d *Depacketizer) dropFragment() {
	if d.fragment >= 0 {
		d.buf = d.buf[:d.fragment]
		d.fragment = -1
		d.lost++
	}
}

func (d *Depacketizer) emit(emit func(Unit)) {
	u := Unit{NALs: d.parts[:0], Timestamp: d.time, Key: d.key, Lost: d.lost}
	from := 0
	for _, to := range d.ends {
		u.NALs = append(u.NALs, d.buf[from:to])
		from = to
	}
	d.parts = u.NALs
	d.lost = 0
	d.reset()
	emit(u)
}

func (d *Depacketizer) reset() {
	if cap(d.buf) > 1<<20 {
		d.buf = nil // one huge picture must not stay in memory
	}
	d.buf, d.ends, d.fragment, d.picture, d.key = d.buf[:0], d.ends[:0], -1, false, false
}
