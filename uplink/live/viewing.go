package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"watchpost/storage/event"
	"watchpost/storage/ring"
)

// gathering bounds the search for the station's own addresses.
const gathering = 5 * time.Second

// hearing is the deadline of one read of the viewer's reports. Silence alone ends nothing: ICE sees whether the
// viewer is there.
const hearing = 30 * time.Second

// ending says why a viewing ends. As an error it is the cause of a cancelled context.
type ending struct{ reason, detail string }

func (e ending) Error() string { return e.reason }

// Why a viewing ended, as it stands in TagReason.
const (
	endNever   = "failed"           // it could not begin
	endCommand = "command"          // the centre closed it
	endStation = "station_stopping" // the station stops
	endTime    = "time_over"        // its time is over
	endViewer  = "viewer_gone"      // the viewer closed it, or the connection is lost
	endConnect = "never_connected"  // no connection came about
	endIdle    = "camera_gone"      // the camera gave no picture for too long
)

// Viewing is what a viewing has come to.
type Viewing struct {
	ID, Camera, Profile, Who, Role string
	// State is "opening", "connecting", "live" or "waiting" (for the camera); Since is when it was opened.
	State string
	Since time.Time
	// Until is when it ends at the latest.
	Until time.Time
	Counts
}

// Counts of one viewing.
type Counts struct {
	// Packets and Bytes (payload) sent the first time; Repaired packets sent again; Refused repairs that were over
	// the budget or not held any more.
	Packets, Bytes, Repaired, Refused uint64
	// PictureLost counts the viewer's requests for a whole picture (PLI, FIR).
	PictureLost uint64
	// Missed counts access units passed over, Skips the jumps to a newer key unit.
	Missed, Skips uint64
}

type viewing struct {
	gallery *Gallery
	request Request
	began   time.Time
	until   time.Time
	cancel  context.CancelCauseFunc
	pc      *webrtc.PeerConnection
	rtp     *webrtc.RTPSender
	track   *track
	ring    *ring.Ring
	states  chan webrtc.PeerConnectionState

	mu     sync.Mutex // mu guards the fields below
	state  string
	counts Counts
}

// end makes the viewing end; the first reason counts.
func (v *viewing) end(reason string) { v.cancel(ending{reason: reason}) }

func (v *viewing) snapshot() Viewing {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.request
	return Viewing{ID: r.Viewing, Camera: r.Camera, Profile: r.Profile, Who: r.Who, Role: r.Role, State: v.state,
		Since: v.began, Until: v.until, Counts: v.counts}
}

func (v *viewing) set(state string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = state
}

// answer makes the peer connection and the complete answer.
func (v *viewing) answer(ctx context.Context, r *ring.Ring, o offer) (string, error) {
	g := v.gallery
	cert, err := g.certs.current(g.options.Now())
	if err != nil {
		return "", err
	}
	pc, err := g.api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{cert}})
	if err != nil {
		return "", fmt.Errorf("opening a connection for the viewer: %w", err)
	}
	v.pc, v.ring = pc, r
	v.states = make(chan webrtc.PeerConnectionState, 16)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		select {
		case v.states <- s:
		default: // a viewing that does not look is ending
		}
	})
	answer, err := v.describe(ctx, o)
	if err != nil {
		return "", errors.Join(err, pc.GracefulClose())
	}
	v.set("connecting")
	return answer, nil
}

func (v *viewing) describe(ctx context.Context, o offer) (string, error) {
	pc := v.pc
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: v.request.Offer}); err != nil {
		return "", fmt.Errorf("reading the viewer's offer: %w", err)
	}
	codec := o.choose(v.ring.Sets())
	v.track = newTrack(v.request.Viewing, codec)
	sender, err := pc.AddTrack(v.track)
	if err != nil {
		return "", fmt.Errorf("adding the video: %w", err)
	}
	v.rtp = sender
	for _, t := range pc.GetTransceivers() {
		if t.Sender() == sender {
			if err := t.SetCodecPreferences([]webrtc.RTPCodecParameters{codec}); err != nil {
				return "", fmt.Errorf("choosing the viewer's H.264: %w", err)
			}
		}
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("answering the viewer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("answering the viewer: %w", err)
	}
	limit := time.NewTimer(gathering)
	defer limit.Stop()
	select {
	case <-gathered:
	case <-limit.C:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return pc.LocalDescription().SDP, nil
}

// run shows the camera until the viewing ends, and tells so.
func (v *viewing) run(ctx context.Context) {
	deadline := time.AfterFunc(v.until.Sub(v.gallery.options.Now()), func() { v.end(endTime) })
	defer deadline.Stop()
	var parts sync.WaitGroup
	if to := v.connected(ctx); to != nil {
		s := newSender(v, to)
		parts.Go(func() { v.watch(ctx) })
		parts.Go(func() { v.hear(ctx, s) })
		s.run(ctx)
		v.end(endViewer) // in case the sender gave up by itself
	}
	<-ctx.Done()
	if err := v.pc.GracefulClose(); err != nil {
		v.gallery.options.Log.Debug("closing a viewing", "viewing", v.request.Viewing, "err", err)
	}
	parts.Wait()
	why := ending{reason: endStation}
	errors.As(context.Cause(ctx), &why)
	v.closed(context.WithoutCancel(ctx), why)
}

// connected waits for the viewer, and returns where to write; nil when the viewing is over.
func (v *viewing) connected(ctx context.Context) webrtc.TrackLocalContext {
	limit := time.NewTimer(v.gallery.options.Connect)
	defer limit.Stop()
	bound := (<-chan webrtc.TrackLocalContext)(nil) // asked only once the viewer is there
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-limit.C:
			v.end(endConnect)
			return nil
		case to := <-bound:
			return to
		case s := <-v.states:
			switch s {
			case webrtc.PeerConnectionStateConnected:
				bound = v.track.bound
			case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
				v.end(endConnect)
				return nil
			}
		}
	}
}

// watch ends the viewing when the viewer is gone. A disconnected viewer may come back until ICE gives up.
func (v *viewing) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-v.states:
			if s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateClosed {
				v.end(endViewer)
			}
		}
	}
}

// hear takes the viewer's RTCP: repairs are served, requests for a picture counted.
func (v *viewing) hear(ctx context.Context, s *sender) {
	for ctx.Err() == nil {
		if err := v.rtp.SetReadDeadline(time.Now().Add(hearing)); err != nil {
			v.end(endViewer)
			return
		}
		packets, _, err := v.rtp.ReadRTCP()
		var quiet net.Error
		if errors.As(err, &quiet) && quiet.Timeout() {
			continue
		}
		if err != nil {
			v.end(endViewer)
			return
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.TransportLayerNack:
				s.repair(p)
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				v.count(func(c *Counts) { c.PictureLost++ })
			}
		}
	}
}

func (v *viewing) count(f func(*Counts)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.counts)
}

// closed tells the end of a viewing whose opening was told.
func (v *viewing) closed(ctx context.Context, why ending) {
	s := v.snapshot()
	d := v.request.draft(event.KindViewingClosed, event.SeverityNotice, event.Text(event.TagReason, why.reason), event.Text(event.TagDetail, bound(why.detail)),
		event.Uint(event.TagDuration, uint64(max(v.gallery.options.Now().Sub(v.began), 0))), event.Uint(event.TagPackets, s.Packets), event.Uint(event.TagBytes, s.Bytes))
	d.Once = "closed/" + v.request.Viewing
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := v.gallery.options.Audit(ctx, d); err != nil {
		v.gallery.options.Log.Error("end of viewing not stored", "viewing", v.request.Viewing, "err", err)
	}
}
