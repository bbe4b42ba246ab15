package live

import "time"

// keptPieces bounds what is remembered of a viewer's line: repairs for what lies further back are refused.
const keptPieces = 16

// piece is a run of packets that went out without a jump.
type piece struct {
	out    uint64 // number of its first packet in the viewer's line
	shared uint64 // number of the same packet in the ring
}

// line maps a viewer's sequence numbers, which have no gaps, to the ring's common ones, which a viewer that
// was too slow has jumped in. Numbers have 64 bits here; the lower 16 go into the packets.
type line struct {
	next   uint64 // number of the next packet to go out
	shared uint64 // number in the ring that would go on without a jump
	pieces []piece
}

// extend takes the next n packets, which begin at number shared in the ring, and returns their first number.
func (l *line) extend(shared uint64, n int) (first uint64) {
	if shared != l.shared || len(l.pieces) == 0 {
		if len(l.pieces) == keptPieces {
			l.pieces = append(l.pieces[:0], l.pieces[1:]...)
		}
		l.pieces = append(l.pieces, piece{out: l.next, shared: shared})
	}
	first = l.next
	l.next += uint64(n)
	l.shared = shared + uint64(n)
	return first
}

// find returns the numbers of the packet that last went out with a sequence number.
func (l *line) find(sequence uint16) (out, shared uint64, ok bool) {
	out = l.next - 1 - uint64(uint16(l.next-1)-sequence)
	for i := len(l.pieces) - 1; i >= 0; i-- {
		if p := l.pieces[i]; out >= p.out {
			return out, p.shared + (out - p.out), true
		}
	}
	return 0, 0, false
}

// bucket lets bytes go at a rate, with some credit. The first time it is asked, it is full.
type bucket struct {
	rate, most float64 // bytes per second, bytes
	credit     float64
	at         time.Time
}

// take lets n bytes go now, if it can.
func (b *bucket) take(now time.Time, n int) bool {
	if b.at.IsZero() {
		b.credit = b.most
	} else {
		b.credit = min(b.most, b.credit+b.rate*max(now.Sub(b.at).Seconds(), 0))
	}
	b.at = now
	if b.credit < float64(n) {
		return false
	}
	b.credit -= float64(n)
	return true
}

// until is how long it takes before n bytes may go.
func (b *bucket) until(n int) time.Duration {
	return time.Duration((float64(n) - b.credit) / b.rate * float64(time.Second))
}
