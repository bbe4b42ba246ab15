package station

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"watchpost/firmware/config"
	"watchpost/sim/camera"
	"watchpost/storage/event"
	"watchpost/uplink/access"
	"watchpost/uplink/command"
	"watchpost/uplink/topic"
)

const oneCamera = `
station: {id: cs-one, jurisdiction: changshan, name: 草坪村}
data: data
log: {reserve: 16MiB}
cameras: [{id: gate, url: "URL", user: u, password: p}]
centres: [{id: changshan, broker: "tls://127.0.0.1:1", ca: a, certificate: b, key: c, command_key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=}]
access: [{action: viewing.open, jurisdictions: [changshan], roles: [dispatcher], hours: 00:00-24:00}]
viewings: {loopback: true}
`

// watched is a station with one camera whose viewing commands the test gives by hand.
type watched struct {
	*Station
	handlers map[string]command.Handler
	stop     func() error
}

func startWatched(t *testing.T, dir, url string) *watched {
	t.Helper()
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), []byte(strings.Replace(oneCamera, "URL", url, 1)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	var result error
	wg.Go(func() { result = s.Run(ctx) })
	w := &watched{Station: s, handlers: s.viewings.handlers("changshan")}
	w.stop = sync.OnceValue(func() error { cancel(); wg.Wait(); return result })
	t.Cleanup(func() { _ = w.stop() })
	return w
}

// serveCamera is a camera made of wire; it answers its URL.
func serveCamera(t *testing.T) string {
	t.Helper()
	cam, err := camera.New(camera.Options{User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = cam.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return cam.URL(l.Addr())
}

// viewer is a browser's end of a viewing.
func viewer(t *testing.T) (pc *webrtc.PeerConnection, offer string, frames chan struct{}) {
	t.Helper()
	var se webrtc.SettingEngine
	se.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se), webrtc.WithMediaEngine(h264Engine(t))).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	frames = make(chan struct{}, 1)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if p.Marker {
				select {
				case frames <- struct{}{}:
				default:
				}
			}
		}
	})
	sdp, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(sdp); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return pc, pc.LocalDescription().SDP, frames
}

func h264Engine(t *testing.T) *webrtc.MediaEngine {
	t.Helper()
	m := &webrtc.MediaEngine{}
	err := m.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 102, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}}, webrtc.RTPCodecTypeVideo)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openCommand(t *testing.T, id string, r topic.ViewingOpen) topic.Command {
	t.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return topic.Command{V: topic.Version, ID: id, Kind: topic.CommandViewingOpen, Body: body}
}

func (w *watched) count(t *testing.T, k event.Kind) int {
	t.Helper()
	all, err := w.events.Read(event.LaneMain, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range all {
		if e.Kind == k {
			n++
		}
	}
	return n
}

func TestViewingFromCommandToPicture(t *testing.T) {
	dir, url := t.TempDir(), serveCamera(t)
	w := startWatched(t, dir, url)
	pc, offer, frames := viewer(t)
	request := topic.ViewingOpen{Viewing: "v-1", Camera: "gate", Profile: "main", Purpose: "verify", Who: "wang", Role: "dispatcher", Offer: offer}
	open := w.handlers[topic.CommandViewingOpen]
	body, err := open(t.Context(), openCommand(t, "c-1", request))
	if err != nil {
		t.Fatal(err)
	}
	if n := w.count(t, event.KindViewingOpened); n != 1 {
		t.Fatalf("%d audit entries before the first packet, want 1", n)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: body.(topic.ViewingAnswer).Answer}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-frames:
	case <-time.After(20 * time.Second):
		t.Fatal("no frame")
	}
	if list := w.status().Viewings; len(list) != 1 || list[0].Who != "wang" || list[0].Camera != "gate" {
		t.Errorf("viewings at the door: %+v", list)
	}
	ended, err := json.Marshal(topic.ViewingClose{Viewing: "v-1", Who: "wang"})
	if err != nil {
		t.Fatal(err)
	}
	end := topic.Command{ID: "c-2", Body: ended}
	if _, err := w.handlers[topic.CommandViewingClose](t.Context(), end); err != nil {
		t.Error(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	again := startWatched(t, dir, url) // the same command once more, after a restart
	_, offer, _ = viewer(t)
	request.Offer, request.Viewing = offer, "v-2"
	if _, err := again.handlers[topic.CommandViewingOpen](t.Context(), openCommand(t, "c-1", request)); !errors.Is(err, errReplayed) {
		t.Errorf("replayed command: %v", err)
	}
	if n := again.count(t, event.KindViewingOpened); n != 1 {
		t.Errorf("%d viewings opened in all, want 1", n)
	}
}

func TestViewingsThatAreNotGiven(t *testing.T) {
	w := startWatched(t, t.TempDir(), "rtsp://127.0.0.1:1/main")
	_, offer, _ := viewer(t)
	good := topic.ViewingOpen{Viewing: "v-1", Camera: "gate", Profile: "main", Purpose: "verify", Who: "wang", Role: "dispatcher", Offer: offer}
	for i, tt := range []struct {
		name, says string
		change     func(*topic.ViewingOpen)
	}{
		{"another role", "no rule allows", func(r *topic.ViewingOpen) { r.Role = "visitor" }},
		{"no purpose", "purpose", func(r *topic.ViewingOpen) { r.Purpose = "" }},
		{"nobody", "name", func(r *topic.ViewingOpen) { r.Who = "" }},
		{"no such camera", `camera "yard"`, func(r *topic.ViewingOpen) { r.Camera = "yard" }},
		{"no such profile", `profile "sub"`, func(r *topic.ViewingOpen) { r.Profile = "sub" }},
		{"no offer", "offer", func(r *topic.ViewingOpen) { r.Offer = "v=0" }},
	} {
		r := good
		tt.change(&r)
		_, err := w.handlers[topic.CommandViewingOpen](t.Context(), openCommand(t, "c-"+tt.name, r))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", tt.name, err, tt.says)
		}
		// What is refused before the audit entry is a refusal; what fails after it is a viewing that closed at once.
		if n := w.count(t, event.KindViewingRefused) + w.count(t, event.KindViewingClosed); n != i+1 {
			t.Errorf("%s: %d kept, want %d", tt.name, n, i+1)
		}
	}
	if len(w.viewings.gallery.Snapshot()) != 0 {
		t.Error("a viewing is open")
	}
}

func TestPolicyOfConfiguration(t *testing.T) {
	c := &config.Config{Station: config.Station{ID: "cs-one"}, Access: []config.Rule{
		{Action: "viewing.open", Jurisdictions: []string{"changshan"}, Roles: []string{"dispatcher"}, Hours: "07:30-19:00"},
	}}
	p, err := policyOf(c)
	if err != nil {
		t.Fatal(err)
	}
	r := access.Request{Principal: "wang", Role: "dispatcher", Jurisdiction: "changshan", Action: access.ActionView, Station: "cs-one", Camera: "gate", Purpose: "verify"}
	for at, want := range map[string]bool{"07:29": false, "07:30": true, "18:59": true, "19:00": false} {
		r.At, err = time.Parse("15:04", at)
		if err != nil {
			t.Fatal(err)
		}
		if d := access.Decide(p, r); d.Allow != want {
			t.Errorf("at %s: %+v", at, d)
		}
	}
	c.Access[0].Hours = "08:00-08:00" // not all day by mistake
	if _, err := policyOf(c); err == nil {
		t.Error("hours of no length are taken")
	}
	if d := access.Decide(access.Policy{}, r); d.Allow {
		t.Error("an empty policy allows")
	}
}
