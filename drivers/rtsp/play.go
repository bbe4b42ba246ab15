package rtsp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"watchpost/drivers/rtsp/h264"
)

// reportEvery is the interval of receiver reports: several cameras drop a client that is silent for longer (K4).
const reportEvery = 5 * time.Second

// receiver is what a receiver report says of the camera's packets (RFC 3550 6.4.2).
type receiver struct {
	ssrc     uint32 // of the camera
	own      uint32
	started  bool
	sequence uint16
	cycles   uint16
	expected uint64
	received uint64
}

// saw counts one packet.
func (r *receiver) saw(p *rtp.Header) {
	if !r.started || r.ssrc != p.SSRC {
		*r = receiver{ssrc: p.SSRC, own: r.own, started: true, sequence: p.SequenceNumber, expected: 1, received: 1}
		return
	}
	r.received++
	if step := p.SequenceNumber - r.sequence; step < 0x8000 {
		if p.SequenceNumber < r.sequence {
			r.cycles++
		}
		r.expected += uint64(step)
		r.sequence = p.SequenceNumber
	}
}

func (r *receiver) lost() uint64 {
	if r.received >= r.expected {
		return 0
	}
	return r.expected - r.received
}

// report makes the RTCP packet.
func (r *receiver) report() ([]byte, error) {
	rr := rtcp.ReceiverReport{SSRC: r.own}
	if r.started {
		rr.Reports = []rtcp.ReceptionReport{{SSRC: r.ssrc, TotalLost: uint32(min(r.lost(), 0x7fffff)),
			LastSequenceNumber: uint32(r.cycles)<<16 | uint32(r.sequence)}}
	}
	return rr.Marshal()
}

// Play hands access units to got until the session ends, and returns why: nil when ctx is over, [ErrEnded]
// when the camera said so, got's own error, or what went wrong. A unit is valid only until got returns; got
// must not take long, since nothing is read meanwhile.
func (s *Session) Play(ctx context.Context, got func(h264.Unit) error) error {
	stop := context.AfterFunc(ctx, func() { s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	p := player{Session: s, got: got, heardAt: time.Now()}
	s.receiver.own = rand.Uint32()
	p.reportAt = p.heardAt.Add(reportEvery)
	p.keepAt = p.heardAt.Add(s.keepEvery())
	for {
		err := p.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// keepEvery is half the session's timeout (K4).
func (s *Session) keepEvery() time.Duration { return max(s.timeout/2, 2*time.Second) }

// player is the state of one Play.
type player struct {
	*Session
	got      func(h264.Unit) error
	depack   h264.Depacketizer
	heardAt  time.Time // when the last video packet came
	reportAt time.Time // when the next receiver report is due
	keepAt   time.Time // when the next keepalive is due
	again    bool      // a keepalive was challenged and has been repeated
}

// step sends what is due and reads one frame.
func (p *player) step(ctx context.Context) error {
	now := time.Now()
	if silence := p.client.options.Silence; now.Sub(p.heardAt) >= silence {
		return fmt.Errorf("camera sent no video for %v", silence)
	}
	if err := p.due(now); err != nil {
		return err
	}
	wake := p.heardAt.Add(p.client.options.Silence)
	for _, t := range []time.Time{p.reportAt, p.keepAt} {
		if t.Before(wake) {
			wake = t
		}
	}
	if err := p.conn.SetReadDeadline(wake); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	f, err := p.framer.next(func() error {
		return p.conn.SetReadDeadline(time.Now().Add(p.client.options.Timeout))
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errMessage):
		return nil // something is due
	case err != nil:
		return fmt.Errorf("camera connection: %w", err)
	case f.message != nil:
		return p.message(f.message)
	case f.channel == p.rtp:
		return p.video(f.data)
	case f.channel == p.rtcp:
		return p.control(f.data)
	default: // P3
		p.stats.Skipped++
		return nil
	}
}

// due sends receiver report and keepalive when it is time; neither is waited for (K3).
func (p *player) due(now time.Time) error {
	if !now.Before(p.reportAt) {
		p.reportAt = now.Add(reportEvery)
		b, err := p.receiver.report()
		if err != nil {
			return fmt.Errorf("receiver report: %w", err)
		}
		head := []byte{'$', p.rtcp, byte(len(b) >> 8), byte(len(b))}
		if err := p.write(append(head, b...)); err != nil {
			return fmt.Errorf("receiver report: %w", err)
		}
	}
	if !now.Before(p.keepAt) {
		p.keepAt = now.Add(p.keepEvery())
		p.again = false
		return p.keepalive()
	}
	return nil
}

// keepalive uses GET_PARAMETER only where the camera lists it, else OPTIONS, which also asks for the list (K1).
func (p *player) keepalive() error {
	method := "OPTIONS"
	if strings.Contains(strings.ToUpper(p.client.methods), "GET_PARAMETER") {
		method = "GET_PARAMETER"
	}
	if err := p.send(method, p.aggregate, field{"Session", p.id}); err != nil {
		return fmt.Errorf("keepalive: %w", err)
	}
	return nil
}

// message takes the answer of a keepalive, or a request of the camera.
func (p *player) message(m *message) error {
	if err := p.heard(m); err != nil {
		return err
	}
	switch {
	case m.status == 401 && !p.again: // the nonce has run out
		o := &p.client.options
		if a := choose(parseChallenges(m.all("WWW-Authenticate")), o.User, o.Password, p.home()); a != nil {
			p.client.auth, p.again = a, true
			return p.keepalive()
		}
	case m.status == 454:
		return &StatusError{Method: "keepalive", Status: m.status, Reason: m.reason}
	case m.status == 405 || m.status == 501:
		p.client.methods = "OPTIONS"
	}
	return nil
}

// video takes an RTP packet; one that cannot be read, or of another payload type (P13), is skipped.
func (p *player) video(b []byte) error {
	var packet rtp.Packet
	if err := packet.Unmarshal(b); err != nil || packet.PayloadType != p.media.PayloadType {
		p.stats.Skipped++
		return nil
	}
	p.heardAt = time.Now()
	p.receiver.saw(&packet.Header)
	p.stats.Packets++
	p.stats.Bytes += uint64(len(packet.Payload))
	p.stats.Lost = p.receiver.lost()
	var failed error
	err := p.depack.Push(&packet, func(u h264.Unit) {
		if failed == nil {
			failed = p.got(u)
		}
	})
	if errors.Is(err, h264.ErrH265) {
		return &CodecError{Codec: "H265"}
	}
	return errors.Join(err, failed)
}

// control takes an RTCP packet. Much of it is broken (P5), so nothing but a good-bye of the stream counts.
func (p *player) control(b []byte) error {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return nil
	}
	for _, one := range packets {
		bye, ok := one.(*rtcp.Goodbye)
		if !ok {
			continue
		}
		for _, ssrc := range bye.Sources {
			if p.receiver.started && ssrc == p.receiver.ssrc {
				return ErrEnded
			}
		}
	}
	return nil
}
