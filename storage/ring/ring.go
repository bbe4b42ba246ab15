// A camera stream of the last half minute fits in a few megabytes of memory, so everybody who wants it – a
// viewing that begins, a viewer who lost a packet, a clip that must start before the alarm – can be served
// from one copy.
//
// A [Ring] holds access units, each cut once into RTP packets whose payload everybody shares and nobody may
// change. It numbers packets and units without gaps for as long as it lives, through every reconnect of the
// camera: that common sequence space is what a repair request (RTCP NACK) is looked up in. Readers are only
// positions; a reader that falls behind what is held jumps to a key unit and counts what it missed.
//
// The NAL units of the camera are kept as they came, byte for byte and in order (a camera may have signed
// them). What the station adds – parameter sets in front of an IDR that came without – stands in packets of
// its own at the head of the unit, counted by [Unit.Added]; the sets themselves lie beside, in [Unit.Sets].
//
// There is no clock in here: whoever pushes says when.
package ring

import (
	"sync"
	"time"

	"github.com/pion/rtp"
)

// maxPackets bounds the packets held, whatever the limits say: half of the 16-bit RTP sequence space, so that
// a sequence number in a repair request means one packet only.
const maxPackets = 1 << 15

// Sets are the parameter sets that a decoder needs before the first picture, as NAL units without start code.
// They are shared and immutable.
type Sets struct {
	// SPS and PPS are whole NAL units, header byte included (ITU-T H.264 7.3.2.1 and 7.3.2.2).
	SPS, PPS []byte
}

// Unit is one access unit: all NAL units of one picture. Units are handed out by value; what their slices
// point at is shared and immutable.
type Unit struct {
	// Packets of the unit in sending order; the last has the marker bit. [Ring.Push] gives them their
	// sequence numbers; payload type and SSRC are zero, since they belong to each receiver.
	Packets []*rtp.Packet
	// Added counts the leading packets that the camera did not send in this unit.
	Added int
	// Sets are the parameter sets in force, nil while none are known.
	Sets *Sets
	// At is when the unit was complete at the station.
	At time.Time
	// Time is the RTP timestamp of all its packets, 90,000 per second, continuous through reconnects.
	Time uint32
	// Key says that decoding can start here (the unit holds an IDR picture).
	Key bool
	// Gap says that something is missing between this unit and the one before it.
	Gap bool

	// Number counts units from 1. Push sets it.
	Number uint64
	// First is the number of the first packet in the common sequence space; its lower 16 bits are that
	// packet's RTP sequence number. Push sets it.
	First uint64
	// Bytes is the sum of the payload sizes. Push sets it.
	Bytes int
}

// Limits bound what a ring holds. Zero fields mean the defaults.
type Limits struct {
	// Bytes of payload held at most; default 12 MiB (30 s at 3 Mbit/s).
	Bytes int
	// Age of the oldest unit, counted from the newest; default 30 s.
	Age time.Duration
}

// Ring holds the newest units of one stream. Its methods may be called from any goroutine.
type Ring struct {
	limits Limits
	closed chan struct{} // always closed: what a reader with something to read waits for

	mu      sync.RWMutex  // mu guards the fields below
	changed chan struct{} // closed and replaced by each Push
	units   []Unit        // oldest first; units[0].Number is first
	first   uint64        // number of units[0], or of the next unit when empty
	keys    []uint64      // numbers of the key units held, ascending
	packet  uint64        // number of the next packet
	packets int           // packets held
	bytes   int           // payload bytes held
	sets    *Sets
}

// New makes an empty ring.
func New(l Limits) *Ring {
	if l.Bytes <= 0 {
		l.Bytes = 12 << 20
	}
	if l.Age <= 0 {
		l.Age = 30 * time.Second
	}
	r := &Ring{limits: l, closed: make(chan struct{}), changed: make(chan struct{}), first: 1, packet: 1}
	close(r.closed)
	return r
}

// Push adds a unit, numbers it and its packets, lets the oldest go where a limit says so, and wakes the
// readers. The caller must not touch the unit's packets afterwards. A unit without packets is ignored.
func (r *Ring) Push(u Unit) {
	if len(u.Packets) == 0 {
		return
	}
	u.Bytes = 0
	r.mu.Lock()
	defer r.mu.Unlock()
	u.Number = r.first + uint64(len(r.units))
	u.First = r.packet
	for i, p := range u.Packets {
		p.SequenceNumber = uint16(r.packet + uint64(i))
		u.Bytes += len(p.Payload)
	}
	r.packet += uint64(len(u.Packets))
	r.packets += len(u.Packets)
	r.bytes += u.Bytes
	r.units = append(r.units, u)
	if u.Key {
		r.keys = append(r.keys, u.Number)
		r.sets = u.Sets
	}
	r.trim()
	close(r.changed)
	r.changed = make(chan struct{})
}

// trim lets the oldest units go until all limits hold; the newest unit always stays. mu is held.
func (r *Ring) trim() {
	oldest := r.units[len(r.units)-1].At.Add(-r.limits.Age)
	n := 0
	for n < len(r.units)-1 {
		u := &r.units[n]
		if r.bytes <= r.limits.Bytes && r.packets <= maxPackets && !u.At.Before(oldest) {
			break
		}
		r.bytes -= u.Bytes
		r.packets -= len(u.Packets)
		if u.Key {
			r.keys = r.keys[1:]
		}
		*u = Unit{} // the array may live on: let the packets go
		n++
	}
	r.units = r.units[n:]
	r.first += uint64(n)
}

// Clear forgets all units and gives their memory back. Numbers go on where they were, so that readers and
// repairs are not confused by what comes next.
func (r *Ring) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first += uint64(len(r.units))
	r.units, r.keys, r.packets, r.bytes, r.sets = nil, nil, 0, 0, nil
}

// Packet finds a packet by its number in the common sequence space; false when it is not held any more, or
// not yet. The packet is shared: copy its header before changing it.
func (r *Ring) Packet(number uint64) (*rtp.Packet, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	lo, hi := 0, len(r.units) // the unit sought is in units[lo:hi]
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch u := &r.units[mid]; {
		case number < u.First:
			hi = mid
		case number >= u.First+uint64(len(u.Packets)):
			lo = mid + 1
		default:
			return u.Packets[number-u.First], true
		}
	}
	return nil, false
}

// Sets returns the parameter sets of the newest key unit, nil when none are known.
func (r *Ring) Sets() *Sets {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.sets
}

// Stats say what a ring holds.
type Stats struct {
	Units, Keys, Packets, Bytes int
	// Oldest and Newest are the arrival times of the first and the last unit held, zero when empty.
	Oldest, Newest time.Time
	// LastKey is the arrival time of the newest key unit held, zero when there is none.
	LastKey time.Time
}

// Stats counts what the ring holds now.
func (r *Ring) Stats() Stats {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := Stats{Units: len(r.units), Keys: len(r.keys), Packets: r.packets, Bytes: r.bytes}
	if len(r.units) > 0 {
		s.Oldest, s.Newest = r.units[0].At, r.units[len(r.units)-1].At
	}
	if len(r.keys) > 0 {
		s.LastKey = r.units[r.keys[len(r.keys)-1]-r.first].At
	}
	return s
}
