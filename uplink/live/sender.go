package live

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"watchpost/storage/ring"
)

// Figures of the sending path.
const (
	burstCredit = 64 << 10               // bytes that may go out at once
	burstRate   = 4                      // then so many times the media rate
	leastRate   = 250_000                // bytes per second; what the media rate counts as at least
	repairShare = 5                      // repairs may take 1/5 of the media rate
	slow        = 500 * time.Millisecond // a viewer so far behind drops to the next key unit, if there is one
	stale       = 3 * time.Second        // a ring without news for so long shows the past: wait for a new picture
	reportEvery = 5 * time.Second
	startRetry  = 5 * time.Millisecond
	paceTick    = 4 * time.Millisecond // a paced sender wakes no more often
)

// packetWriter encrypts and sends one packet (webrtc.TrackLocalWriter).
type packetWriter interface {
	WriteRTP(h *rtp.Header, payload []byte) (int, error)
}

// sender carries one ring to one viewer.
type sender struct {
	ring    *ring.Ring
	out     packetWriter
	control func([]rtcp.Packet) error
	count   func(func(*Counts))
	set     func(state string)
	give    func(reason string) // gives the viewing up
	now     func() time.Time
	idle    time.Duration

	// ready says that a packet has gone out. The connection is called "connected" a little before the encryption
	// is there, and what is written in between is gone: so the first packet is written until it is taken.
	ready  bool
	ssrc   uint32
	pt     uint8
	offset uint32 // added to the ring's timestamps
	header rtp.Header
	pace   bucket
	rate   float64 // media rate in bytes per second

	reported time.Time
	lastTime uint32 // of the last unit sent, in the viewer's time
	lastAt   time.Time
	packets  uint32
	octets   uint32

	mu      sync.Mutex // mu guards the fields below, which run and repair share
	line    line
	repairs bucket
	again   rtp.Header
}

// newSender makes the sender of a connected viewing, whose track is bound.
func newSender(v *viewing, to webrtc.TrackLocalContext) *sender {
	o := v.gallery.options
	s := &sender{ring: v.ring, out: to.WriteStream(), control: v.pc.WriteRTCP, count: v.count, set: v.set, give: v.end, now: o.Now, idle: o.Idle,
		ssrc: uint32(to.SSRC()), pt: uint8(v.track.codec.PayloadType), offset: rand.Uint32()}
	s.line.next = uint64(rand.N(1<<15)) + 1<<16
	return s
}

// run sends until ctx ends or the way out is closed.
func (s *sender) run(ctx context.Context) {
	reader := s.join()
	var missed uint64
	idle := time.NewTimer(s.idle)
	defer idle.Stop()
	waiting := false
	s.measure()
	for started := false; ; {
		if reader.Lag() > slow && started && reader.Skip() {
			s.count(func(c *Counts) { c.Skips++ })
		}
		u, ok := reader.Next()
		if n := reader.Missed(); n != missed {
			s.count(func(c *Counts) { c.Missed += n - missed })
			missed = n
		}
		if !ok {
			if !waiting {
				idle.Reset(s.idle)
			}
			waiting = true
			if !s.wait(ctx, reader.Ready(), idle.C) {
				return
			}
			continue
		}
		if u.Key {
			s.measure()
		}
		if waiting || !started {
			s.set("live")
		}
		started, waiting = true, false
		if !s.unit(ctx, u) {
			return
		}
	}
}

// join begins with the last GOP, unless it is from before the camera went away: an old picture must not be
// taken for the present.
func (s *sender) join() *ring.Reader {
	if s.now().Sub(s.ring.Stats().Newest) > stale {
		return s.ring.Await()
	}
	return s.ring.Join()
}

// wait waits for news of the ring; false when the viewing is over.
func (s *sender) wait(ctx context.Context, ready <-chan struct{}, idle <-chan time.Time) bool {
	select {
	case <-ready:
		return true
	default:
	}
	absent := time.NewTimer(stale)
	defer absent.Stop()
	for {
		select {
		case <-ready:
			return true
		case <-ctx.Done():
			return false
		case <-absent.C:
			s.set("waiting")
		case <-idle:
			s.give(endIdle)
			return false
		}
	}
}

// measure takes the media rate from the ring.
func (s *sender) measure() {
	st := s.ring.Stats()
	s.rate = leastRate
	if d := st.Newest.Sub(st.Oldest); d >= time.Second {
		s.rate = max(leastRate, float64(st.Bytes)/d.Seconds())
	}
	s.pace.rate, s.pace.most = burstRate*s.rate, burstCredit
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repairs.rate, s.repairs.most = s.rate/repairShare, max(burstCredit/2, s.rate/repairShare)
}

// unit sends one access unit; false when the viewing is over.
func (s *sender) unit(ctx context.Context, u ring.Unit) bool {
	s.mu.Lock()
	first := s.line.extend(u.First, len(u.Packets))
	s.mu.Unlock()
	var sent Counts
	defer func() { s.count(func(c *Counts) { c.Packets += sent.Packets; c.Bytes += sent.Bytes }) }()
	for i, p := range u.Packets {
		if !s.hold(ctx, len(p.Payload)) {
			return false
		}
		s.header = s.rewrite(p, first+uint64(i))
		n, err := s.out.WriteRTP(&s.header, p.Payload)
		for n == 0 && err == nil && !s.ready { // see ready
			if !s.sleep(ctx, startRetry) {
				return false
			}
			n, err = s.out.WriteRTP(&s.header, p.Payload)
		}
		switch {
		case n > 0:
			s.ready = true
			sent.Packets++
			sent.Bytes += uint64(len(p.Payload))
		case errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed):
			return false
		} // any other failure is a lost packet, which the viewer will ask for
	}
	s.lastTime, s.lastAt = u.Time+s.offset, u.At
	s.packets += uint32(sent.Packets)
	s.octets += uint32(sent.Bytes)
	return s.report()
}

// rewrite makes the viewer's header for a shared packet.
func (s *sender) rewrite(p *rtp.Packet, number uint64) rtp.Header {
	return rtp.Header{Version: 2, Marker: p.Marker, PayloadType: s.pt, SequenceNumber: uint16(number), Timestamp: p.Timestamp + s.offset, SSRC: s.ssrc}
}

// hold waits until the pacer lets n bytes go.
func (s *sender) hold(ctx context.Context, n int) bool {
	for !s.pace.take(s.now(), n) {
		if !s.sleep(ctx, max(s.pace.until(n), paceTick)) {
			return false
		}
	}
	return true
}

func (s *sender) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// report sends a sender report now and then (RFC 3550 6.4.1): it ties the stream's time to the station's clock.
func (s *sender) report() bool {
	now := s.now()
	if !s.reported.IsZero() && now.Sub(s.reported) < reportEvery {
		return true
	}
	s.reported = now
	err := s.control([]rtcp.Packet{&rtcp.SenderReport{SSRC: s.ssrc, NTPTime: ntp(now),
		RTPTime: s.lastTime + uint32(now.Sub(s.lastAt)*90000/time.Second), PacketCount: s.packets, OctetCount: s.octets}})
	return !errors.Is(err, io.ErrClosedPipe)
}

// ntp is the 64-bit time of RFC 5905: seconds since 1900 and a binary fraction.
func ntp(t time.Time) uint64 {
	const from1900 = 2208988800
	return uint64(t.Unix()+from1900)<<32 | uint64(t.Nanosecond())<<32/1_000_000_000
}

// repair sends again what the viewer has lost, out of the shared ring and within the budget.
func (s *sender) repair(nack *rtcp.TransportLayerNack) {
	var done Counts
	for _, pair := range nack.Nacks {
		for _, sequence := range pair.PacketList() {
			if s.resend(sequence) {
				done.Repaired++
			} else {
				done.Refused++
			}
		}
	}
	s.count(func(c *Counts) { c.Repaired += done.Repaired; c.Refused += done.Refused })
}

func (s *sender) resend(sequence uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	number, shared, ok := s.line.find(sequence)
	if !ok {
		return false
	}
	p, ok := s.ring.Packet(shared)
	if !ok || !s.repairs.take(s.now(), len(p.Payload)) {
		return false
	}
	s.again = s.rewrite(p, number)
	n, _ := s.out.WriteRTP(&s.again, p.Payload) // the viewer asks again for what is lost again
	return n > 0
}
