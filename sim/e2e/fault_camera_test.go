package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"watchpost/storage/event"
)

// viewer is a WebRTC client in the place of a browser.
type viewer struct {
	pc      *webrtc.PeerConnection
	offer   string
	packets chan struct{} // closed at the first packet of video
}

func newViewer(t testing.TB) *viewer {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{pc: pc, packets: make(chan struct{})}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Log(err)
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if _, _, err := track.ReadRTP(); err == nil {
			close(v.packets)
		}
		for err == nil { // ends with the connection
			_, _, err = track.ReadRTP()
		}
	})
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	v.offer = pc.LocalDescription().SDP
	return v
}

// looks asks the centre for a viewing of the gate camera and answers its id.
func (v *viewer) looks(t testing.TB, p person, station string) (id string) {
	t.Helper()
	var got struct{ ID, Answer, Kind, Message string }
	code := p.ask("POST", "/api/viewings", map[string]string{
		"station": station, "camera": "gate", "profile": "main", "purpose": "verify", "offer": v.offer,
	}, &got)
	if code/100 != 2 {
		t.Fatalf("viewing: HTTP %d %+v", code, got)
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: got.Answer}); err != nil {
		t.Fatal(err)
	}
	return got.ID
}

// sees waits for the first packet.
func (v *viewer) sees(t testing.TB) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-v.packets:
	case <-limit.C:
		t.Fatalf("no picture within %s", patience)
	}
}

// cameraState is a camera.state event with a state and, unless that is "", a reason.
func cameraState(state, reason string) func(event.Event) bool {
	return func(e event.Event) bool {
		s, _ := e.Body.Text(event.TagState)
		r, _ := e.Body.Text(event.TagReason)
		return e.Kind == event.KindCameraState && s == state && (reason == "" || r == reason)
	}
}

// viewing waits until the station's local door says that the one viewing is in a state, and what the camera's reading is.
func (v *village) viewing(state string) (reading string) {
	v.t.Helper()
	eventually(v.t, "a viewing that is "+state, func() error {
		st, err := v.doorWith("camera/gate")
		if err != nil {
			return err
		}
		reading = st.text
		if len(st.viewings) != 1 || st.viewings[0] != state {
			return fmt.Errorf("viewings are %v", st.viewings)
		}
		return nil
	})
	return reading
}

// glance is what the local door says of one driver and of the viewings.
type glance struct {
	state, text string
	viewings    []string // their states
}

func (v *village) doorWith(driver string) (g glance, err error) {
	st, err := v.door()
	if err != nil {
		return g, err
	}
	for _, d := range st.Drivers {
		if d.Name == driver && len(d.Readings) > 0 {
			g.state, g.text = d.Readings[0].State, d.Readings[0].Text
		}
	}
	for _, x := range st.Viewings {
		g.viewings = append(g.viewings, x.State)
	}
	return g, nil
}

// TestFaultCameraAway: nobody is at the camera's address. That is told with its reason, somebody who wants to look waits, and
// sees the picture as soon as the camera is there; when it goes away again and comes back, so does the picture.
func TestFaultCameraAway(t *testing.T) {
	address := freeAddress(t)
	c := newCentre(t)
	p := caoping(c)
	p.cameras = []string{"rtsp://" + address + "/main"}
	v := p.build(t)
	v.start()
	v.online()
	eye, wang := newViewer(t), c.login()
	eye.looks(t, wang, v.id)
	down := c.awaitStored(v.id, "that the camera is away", cameraState("down", "unreachable"))
	if detail, _ := down.Body.Text(event.TagDetail); !strings.Contains(detail, address) || !strings.Contains(detail, "check") {
		t.Errorf("the event does not say what to check: %q", detail)
	}
	if text := v.viewing("waiting"); !strings.Contains(text, address) {
		t.Errorf("the reading does not say where the camera was looked for: %q", text)
	}
	stopsWell(t, v.agent)

	v.start()
	v.online()
	c.awaitStored(v.id, "the end of the viewing", func(e event.Event) bool { return e.Kind == event.KindViewingClosed })
	eye = newViewer(t)
	id := eye.looks(t, wang, v.id)
	v.viewing("waiting")
	_, camera := newCamera(t, "--listen", address)
	eye.sees(t)
	c.awaitStored(v.id, "that the camera is there", cameraState("up", ""))
	camera.kill()
	c.awaitStored(v.id, "that the camera has gone", func(e event.Event) bool {
		return cameraState("down", "")(e) && e.Seq > down.Seq
	})
	v.set("door", 1)
	c.awaitStored(v.id, "the door", zoneActive("door"))
	newCamera(t, "--listen", address)
	c.awaitStored(v.id, "that the camera is back", func(e event.Event) bool {
		return cameraState("up", "")(e) && e.Qualifier == event.QualifierRestore && e.Seq > down.Seq
	})
	v.viewing("live")
	if code := wang.ask("DELETE", "/api/viewings/"+id, nil, nil); code/100 != 2 {
		t.Errorf("closing the viewing: HTTP %d", code)
	}
	stopsWell(t, v.agent)
	v.start()
	v.drained()
	checkOnce(t, c.stored(v.id))
}

// TestFaultCameraUnusable: a camera that sends H.265, and one that wants another password, are told by name with the remedy, at
// the centre and at the local door; who wants to look is let in and waits, and nothing else is disturbed.
func TestFaultCameraUnusable(t *testing.T) {
	for _, test := range []struct {
		name, reason, remedy string
		camera               []string
	}{
		{"H.265", "not_h264", "choose its H.264 sub-stream", []string{"--fault", "hevc"}},
		{"wrong password", "password", "check both in the camera's own page", []string{"--password", "other"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, _ := newCamera(t, test.camera...)
			c := newCentre(t)
			p := caoping(c)
			p.cameras = []string{url}
			v := p.build(t)
			v.start()
			v.online()
			newViewer(t).looks(t, c.login(), v.id)
			e := c.awaitStored(v.id, "what is wrong with the camera", cameraState("down", test.reason))
			if detail, _ := e.Body.Text(event.TagDetail); !strings.Contains(detail, test.remedy) {
				t.Errorf("the event does not name the remedy: %q", detail)
			}
			if text := v.viewing("waiting"); !strings.Contains(text, test.remedy) {
				t.Errorf("the local door does not name the remedy: %q", text)
			}
			v.set("door", 1)
			c.awaitStored(v.id, "the door", zoneActive("door"))
			stopsWell(t, v.agent)
			if n := len(stateEvents(c.stored(v.id))); n != 1 {
				t.Errorf("a lasting fault was told %d times", n)
			}
		})
	}
}

func stateEvents(all []event.Event) (states []event.Event) {
	for _, e := range all {
		if e.Kind == event.KindCameraState {
			states = append(states, e)
		}
	}
	return states
}

// TestFaultBadNeighbours: a camera that drops its connection after every few pictures, and a panel port under rubbish, do not
// disturb the door's line or a good panel.
func TestFaultBadNeighbours(t *testing.T) {
	url, _ := newCamera(t, "--fault", "close-after=5")
	c := newCentre(t)
	p := caoping(c)
	p.cameras, p.pull = []string{url}, "always"
	v := p.build(t)
	v.start()
	v.online()
	rubbish := []string{
		strings.Repeat("\n", 100_000), "\nFFFF0FFF" + strings.Repeat("A", 5000), strings.Repeat("GET / HTTP/1.1\r\n", 100),
		sia("9999", "0001", "Nri1/BA001"), sia("1409", "0001", "Nri1/BA001")[:20], "\x00\xff\xfe\r\n\r\n\"\"\"[[[",
		strings.Replace(sia("1409", "0002", "Nri1/BA001"), "BA", "FA", 1),
	}
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	}()
	const rounds = 4 // more changes of the door would be a chatter
	var worst time.Duration
	for round := range rounds {
		for _, text := range rubbish {
			conn, err := net.Dial("tcp", v.panels)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn) // and left hanging
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte(text)) // the receiver may have hung up by now
		}
		begun := time.Now()
		v.set("door", 1)
		c.awaitStored(v.id, "the door", func(e event.Event) bool { return zoneActive("door")(e) && e.At.After(begun) })
		worst = max(worst, time.Since(begun))
		v.set("door", 0)
		must(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--count", "5", "--first", fmt.Sprint(1+5*round))
	}
	t.Logf("door to centre: %s at worst, beside %d hanging connections", worst, len(open))
	if worst > 5*time.Second {
		t.Errorf("the door needed %s to the centre", worst)
	}
	refused := c.awaitStored(v.id, "that frames of an unknown panel were refused", func(e event.Event) bool { return e.Kind == event.KindPanelRefused })
	if account, _ := refused.Body.Text(event.TagAccount); account != "9999" {
		t.Errorf("refused account %q", account)
	}
	v.drained()
	all := c.stored(v.id)
	checkOnce(t, all)
	checkMarks(t, all, 1, 5*rounds)
	if n := len(stateEvents(all)); n < 2 {
		t.Errorf("%d events tell of the camera", n)
	} else {
		t.Logf("%d camera.state events among %d", n, len(all))
	}
	stopsWell(t, v.agent)
}
