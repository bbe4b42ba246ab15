package live_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/storage/ring"
	"watchpost/uplink/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 15 * time.Second

// clip is a camera in memory: every frame it pushes a unit whose packets carry their own count.
type clip struct {
	ring  *ring.Ring
	frame int
	time  uint32
}

// push adds one frame of n packets of size bytes; a key frame has SPS and PPS in front.
func (c *clip) push(key bool, n, size int) {
	u := ring.Unit{At: time.Now(), Time: c.time, Key: key}
	add := func(b []byte) {
		u.Packets = append(u.Packets, &rtp.Packet{Header: rtp.Header{Version: 2, Timestamp: c.time}, Payload: b})
	}
	if key {
		sps := []byte{0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8}
		u.Sets = &ring.Sets{SPS: sps, PPS: []byte{0x68, 0xce, 0x3c, 0x80}}
		add(append(append([]byte{24, 0, byte(len(sps))}, sps...), 0, 4, 0x68, 0xce, 0x3c, 0x80))
	}
	for i := range n {
		b := make([]byte, size)
		header := byte(0x41)
		if key {
			header = 0x65
		}
		copy(b, fmt.Sprintf("%c frame %d packet %d", header, c.frame, i))
		add(b)
	}
	u.Packets[len(u.Packets)-1].Marker = true
	c.ring.Push(u)
	c.frame++
	c.time += 3600
}

// play pushes 25 frames per second in GOPs until ctx ends.
func (c *clip) play(ctx context.Context, gop int) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.push(c.frame%gop == 0, 4, 900)
		}
	}
}

type shelf struct {
	ring   *ring.Ring
	open   atomic.Int32
	refuse error
	panics bool // the ring of a stream
}

func (s *shelf) Open(_ context.Context, camera, _ string) (live.Stream, error) {
	if s.refuse != nil {
		return nil, s.refuse
	}
	s.open.Add(1)
	return &borrowed{s}, nil
}

type borrowed struct{ shelf *shelf }

func (b *borrowed) Ring() *ring.Ring {
	if b.shelf.panics {
		panic("no ring")
	}
	return b.shelf.ring
}
func (b *borrowed) Close() { b.shelf.open.Add(-1) }

// book is the audit log.
type book struct {
	mu     sync.Mutex // mu guards the fields below
	drafts []event.Draft
	fail   error
	told   chan event.Draft
}

func newBook() *book { return &book{told: make(chan event.Draft, 100)} }

func (b *book) write(_ context.Context, d event.Draft) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	stamped := d
	stamped.At = time.Now()
	if _, err := event.AppendRecord(nil, stamped.Event("cs-baishi-caoping", event.Epoch{1}, 1)); err != nil || len(d.Once) > 256 {
		return fmt.Errorf("the log would refuse it, with the key %.300q: %w", d.Once, err)
	}
	b.drafts = append(b.drafts, d)
	b.told <- d
	return nil
}

// next waits for the next event.
func (b *book) next(t *testing.T) event.Draft {
	t.Helper()
	select {
	case d := <-b.told:
		return d
	case <-time.After(patience):
		t.Fatal("no event in time")
		return event.Draft{}
	}
}

func text(d event.Draft, tag event.Tag) string { s, _ := d.Body.Text(tag); return s }

// hall is a gallery that runs.
type hall struct {
	*live.Gallery
	shelf *shelf
	book  *book
	clip  *clip
	stop  func()
}

func open(t *testing.T, change func(*live.Options)) *hall {
	t.Helper()
	r := ring.New(ring.Limits{})
	h := &hall{shelf: &shelf{ring: r}, book: newBook(), clip: &clip{ring: r}}
	o := live.Options{Source: h.shelf, Audit: h.book.write, Loopback: true}
	if change != nil {
		change(&o)
	}
	g, err := live.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.Gallery = g
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var once sync.Once
	h.stop = func() { once.Do(func() { cancel(); wg.Wait() }) }
	t.Cleanup(h.stop)
	return h
}

// viewer is a pion client, as independent of the gallery as a browser is.
type viewer struct {
	t      *testing.T
	pc     *webrtc.PeerConnection
	got    chan *rtp.Packet
	drop   atomic.Pointer[func(*rtp.Packet) bool]
	failed atomic.Bool
	tasks  sync.WaitGroup
}

func newViewer(t *testing.T) *viewer {
	t.Helper()
	media := &webrtc.MediaEngine{}
	for i, profile := range []string{"42001f", "42e01f", "4d001f"} {
		err := media.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(102 + i), RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile,
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}}}, webrtc.RTPCodecTypeVideo)
		if err != nil {
			t.Fatal(err)
		}
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.DisableSRTPReplayProtection(true) // so that a repair of what was not lost is seen, too
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{t: t, pc: pc, got: make(chan *rtp.Packet, 100_000)}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if drop := v.drop.Load(); drop != nil && (*drop)(p) {
				continue
			}
			v.got <- p
		}
	})
	t.Cleanup(v.close)
	return v
}

func (v *viewer) close() {
	if err := v.pc.GracefulClose(); err != nil {
		v.t.Error(err)
	}
}

func (v *viewer) offer() string {
	v.t.Helper()
	if _, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		v.t.Fatal(err)
	}
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		v.t.Fatal(err)
	}
	<-gathered
	return v.pc.LocalDescription().SDP
}

func (v *viewer) answer(sdp string) {
	v.t.Helper()
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
		v.t.Fatal(err)
	}
}

// next waits for the next packet.
func (v *viewer) next() *rtp.Packet {
	v.t.Helper()
	select {
	case p := <-v.got:
		return p
	case <-time.After(patience):
		v.t.Fatal("no packet in time")
		return nil
	}
}

// nack asks for packets.
func (v *viewer) nack(p *rtp.Packet, sequences ...uint16) {
	v.t.Helper()
	if err := v.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: p.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(sequences)}}); err != nil {
		v.t.Fatal(err)
	}
}

func request(id, offer string) live.Request {
	return live.Request{Viewing: id, Command: "cmd-" + id, Camera: "gate", Profile: "main", Offer: offer, Who: "zhang.wei@CHANGSHAN", Role: "dispatcher", Purpose: "alarm 17"}
}

// view opens a viewing and connects.
func (h *hall) view(t *testing.T, id string) *viewer {
	t.Helper()
	v := newViewer(t)
	answer, err := h.Open(context.Background(), request(id, v.offer()))
	if err != nil {
		t.Fatal(err)
	}
	if d := h.book.next(t); d.Kind != event.KindViewingOpened {
		t.Fatalf("first event is %v", d.Kind)
	}
	v.answer(answer)
	return v
}

// until polls for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s did not come about", what)
		}
	}
}

func TestViewerSeesTheLastGOPFirstAndThenLive(t *testing.T) {
	h := open(t, nil)
	for i := range 40 {
		h.clip.push(i%25 == 0, 4, 900) // the last GOP begins with frame 25
	}
	v := h.view(t, "v1")
	first := v.next()
	if first.Payload[0] != 24 {
		t.Fatalf("the first packet is no parameter set: % x", first.Payload[:8])
	}
	if string(v.next().Payload[:10]) != "e frame 25" {
		t.Fatal("the first picture is not that of the last GOP")
	}
	for range 3 + 14*4 {
		v.next()
	}
	h.clip.push(false, 4, 900)
	want := uint16(first.SequenceNumber + 1 + 15*4)
	for i := range 4 {
		p := v.next()
		if got := string(p.Payload[:19]); got != fmt.Sprintf("A frame 40 packet %d", i) {
			t.Fatalf("live packet %d is %q", i, got)
		}
		if p.SequenceNumber != want || p.SSRC != first.SSRC || p.Timestamp != first.Timestamp+15*3600 || p.Marker != (i == 3) {
			t.Errorf("packet %d: header %+v, want sequence %d", i, p.Header, want)
		}
		want++
	}
	if h.shelf.open.Load() != 1 {
		t.Error("the stream is not in use")
	}
	if !h.Close("v1", "dispatcher pressed close") {
		t.Fatal("the viewing is not known")
	}
	d := h.book.next(t)
	if d.Kind != event.KindViewingClosed || text(d, event.TagReason) != "command" || text(d, event.TagDetail) != "dispatcher pressed close" {
		t.Errorf("closed: %+v", d)
	}
	if n, _ := d.Body.Uint(event.TagPackets); n != 1+16*4 {
		t.Errorf("%d packets told", n)
	}
	if n, _ := d.Body.Uint(event.TagDuration); n == 0 {
		t.Error("no duration told")
	}
	until(t, "the end of the viewing", func() bool { return len(h.Snapshot()) == 0 && h.shelf.open.Load() == 0 })
}

func TestAuditComesFirst(t *testing.T) {
	h := open(t, nil)
	v := newViewer(t)
	offer := v.offer()

	h.book.fail = errors.New("disk full")
	_, err := h.Open(context.Background(), request("v1", offer))
	var refusal *live.Refusal
	if !errors.As(err, &refusal) || refusal.Kind != live.RefusedAudit {
		t.Fatalf("opened without an entry: %v", err)
	}
	if h.shelf.open.Load() != 0 || len(h.Snapshot()) != 0 {
		t.Fatal("something was done for a viewing without an entry")
	}
	h.book.fail = nil

	for _, change := range []func(*live.Request){
		func(r *live.Request) { r.Purpose = "" },
		func(r *live.Request) { r.Who = "" },
		func(r *live.Request) { r.Role = "" },
	} {
		r := request("v1", offer)
		change(&r)
		if _, err := h.Open(context.Background(), r); !errors.As(err, &refusal) || refusal.Kind != live.RefusedPurpose {
			t.Errorf("opened without who, role or purpose: %v", err)
		}
		if d := h.book.next(t); d.Kind != event.KindViewingRefused || text(d, event.TagReason) != live.RefusedPurpose {
			t.Errorf("refusal told as %v %s", d.Kind, text(d, event.TagReason))
		}
	}

	if _, err := h.Open(context.Background(), request("v1", offer)); err != nil {
		t.Fatal(err)
	}
	d := h.book.next(t)
	for tag, want := range map[event.Tag]string{event.TagViewing: "v1", event.TagCamera: "gate", event.TagProfile: "main", event.TagWho: "zhang.wei@CHANGSHAN",
		event.TagRole: "dispatcher", event.TagPurpose: "alarm 17", event.TagCommand: "cmd-v1"} {
		if got := text(d, tag); got != want {
			t.Errorf("%v is %q, want %q", tag, got, want)
		}
	}
	if d.Kind != event.KindViewingOpened || d.Once != "cmd-v1" || d.Source != "camera/gate" {
		t.Errorf("opened: %+v", d)
	}
	if _, err := h.Open(context.Background(), request("v1", offer)); !errors.As(err, &refusal) || refusal.Kind != live.RefusedDuplicate {
		t.Errorf("the same viewing twice: %v", err)
	}
}

func TestLossIsRepairedFromTheSharedRing(t *testing.T) {
	h := open(t, nil)
	h.clip.push(true, 8, 900)
	v := h.view(t, "v1")
	first := v.next()
	for range 8 {
		v.next()
	}
	v.nack(first, first.SequenceNumber+3, first.SequenceNumber+7, first.SequenceNumber+500)
	for _, n := range []uint16{3, 7} {
		p := v.next()
		if p.SequenceNumber != first.SequenceNumber+n || p.SSRC != first.SSRC || p.Timestamp != first.Timestamp {
			t.Errorf("repair of %d: %+v", n, p.Header)
		}
		if want := fmt.Sprintf("e frame 0 packet %d", n-1); string(p.Payload[:len(want)]) != want {
			t.Errorf("repair of %d brings %q", n, p.Payload[:20])
		}
	}
	until(t, "the count", func() bool { s := h.Snapshot(); return s[0].Repaired == 2 && s[0].Refused == 1 })
	if err := v.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: first.SSRC}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the count of PLI", func() bool { return h.Snapshot()[0].PictureLost == 1 })
}

func TestCameraLossKeepsTheViewing(t *testing.T) {
	h := open(t, nil)
	h.clip.push(true, 2, 900)
	v := h.view(t, "v1")
	for range 3 {
		v.next()
	}
	// the camera is away, and comes back with a jump of its clock and the tail of a GOP
	h.clip.time += 90000 * 3
	h.clip.push(true, 2, 900)
	p := v.next()
	if p.Payload[0] != 24 {
		t.Error("does not go on with a key unit")
	}
	if v.pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
		t.Errorf("connection is %v", v.pc.ConnectionState())
	}
}

func TestOldPictureIsNotShownAsThePresent(t *testing.T) {
	ahead := atomic.Int64{}
	h := open(t, func(o *live.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	h.clip.push(true, 2, 900)
	ahead.Store(int64(10 * time.Second)) // the ring has been silent for ten seconds
	v := h.view(t, "v1")
	until(t, "waiting for the camera", func() bool { s := h.Snapshot(); return len(s) == 1 && s[0].State == "waiting" })
	if len(v.got) != 0 {
		t.Fatal("an old picture was sent")
	}
	h.clip.push(true, 2, 900)
	v.next()
	if got := string(v.next().Payload[:9]); got != "e frame 1" {
		t.Errorf("first picture %q", got)
	}
}

func TestWaysToEnd(t *testing.T) {
	t.Run("the viewer leaves", func(t *testing.T) {
		h := open(t, nil)
		h.clip.push(true, 2, 900)
		v := h.view(t, "v1")
		v.next()
		v.close()
		if d := h.book.next(t); text(d, event.TagReason) != "viewer_gone" {
			t.Errorf("reason %q", text(d, event.TagReason))
		}
	})
	t.Run("the time is over", func(t *testing.T) {
		h := open(t, func(o *live.Options) { o.MaxDuration = 300 * time.Millisecond })
		h.view(t, "v1")
		if d := h.book.next(t); text(d, event.TagReason) != "time_over" {
			t.Errorf("reason %q", text(d, event.TagReason))
		}
	})
	t.Run("nobody connects", func(t *testing.T) {
		h := open(t, func(o *live.Options) { o.Connect = 50 * time.Millisecond })
		if _, err := h.Open(context.Background(), request("v1", newViewer(t).offer())); err != nil {
			t.Fatal(err)
		}
		h.book.next(t)
		if d := h.book.next(t); text(d, event.TagReason) != "never_connected" {
			t.Errorf("reason %q", text(d, event.TagReason))
		}
	})
	t.Run("the camera stays away", func(t *testing.T) {
		h := open(t, func(o *live.Options) { o.Idle = 100 * time.Millisecond })
		h.view(t, "v1")
		if d := h.book.next(t); text(d, event.TagReason) != "camera_gone" {
			t.Errorf("reason %q", text(d, event.TagReason))
		}
	})
	t.Run("the station stops", func(t *testing.T) {
		h := open(t, nil)
		h.clip.push(true, 2, 900)
		v := h.view(t, "v1")
		v.next()
		h.stop()
		if d := h.book.next(t); text(d, event.TagReason) != "station_stopping" {
			t.Errorf("reason %q", text(d, event.TagReason))
		}
		if h.shelf.open.Load() != 0 {
			t.Error("the stream was not given back")
		}
	})
}

func TestSeveralViewersOnOnePort(t *testing.T) {
	probe, err := net.ListenUDP("udp", nil) // a port that is free on all addresses
	if err != nil {
		t.Fatal(err)
	}
	port := probe.LocalAddr().(*net.UDPAddr).Port
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	h := open(t, func(o *live.Options) { o.UDPPort = port })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { h.clip.play(ctx, 25) })
	defer wg.Wait()
	defer cancel()
	var viewers []*viewer
	for i := range 3 {
		viewers = append(viewers, h.view(t, fmt.Sprint("v", i)))
	}
	for i, v := range viewers {
		last := v.next()
		for range 100 {
			p := v.next()
			if p.SequenceNumber != last.SequenceNumber+1 {
				t.Fatalf("viewer %d: %d after %d", i, p.SequenceNumber, last.SequenceNumber)
			}
			last = p
		}
	}
}
