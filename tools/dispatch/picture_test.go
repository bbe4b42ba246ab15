package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"watchpost/sim/camera"
	"watchpost/uplink/topic"
)

// The size of the picture that a village sends.
const cameraWidth, cameraHeight = 480, 272

// hear keeps the page's errors: exceptions, and what the browser itself logs.
func (f *faults) hear(ev any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		f.said = append(f.said, e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			f.said = append(f.said, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// all is what was complained of, but for what the tests provoke: no session yet, and who was first.
func (f *faults) all() (said []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.said {
		if !expected(s) {
			said = append(said, s)
		}
	}
	return said
}

func expected(complaint string) bool {
	for _, part := range []string{"401 (Unauthorized)", "409 (Conflict)"} {
		if strings.Contains(complaint, part) {
			return true
		}
	}
	return false
}

// pictured makes a village answer viewings of its camera "gate" with a picture, and refuse others.
func pictured(t *testing.T, v *village) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var mu sync.Mutex
	live := make(map[string]context.CancelFunc)
	t.Cleanup(func() { cancel(); group.Wait() })
	v.answers(func(c topic.Command) (any, *topic.Problem) {
		mu.Lock()
		defer mu.Unlock()
		if c.Kind == topic.CommandViewingClose {
			var close topic.ViewingClose
			if err := json.Unmarshal(c.Body, &close); err != nil {
				return nil, &topic.Problem{Kind: "malformed", Message: err.Error()}
			}
			if end := live[close.Viewing]; end != nil {
				end()
			}
			return nil, nil
		}
		var open topic.ViewingOpen
		if err := json.Unmarshal(c.Body, &open); err != nil {
			return nil, &topic.Problem{Kind: "malformed", Message: err.Error()}
		}
		if open.Camera != "square" {
			return nil, &topic.Problem{Kind: "denied", Message: "no rule allows it"}
		}
		viewing, end := context.WithCancel(ctx)
		answer, run, err := film(open.Offer)
		if err != nil {
			end()
			return nil, &topic.Problem{Kind: "failed", Message: err.Error()}
		}
		live[open.Viewing] = end
		group.Go(func() {
			if err := run(viewing); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
		return topic.ViewingAnswer{Viewing: open.Viewing, Answer: answer}, nil
	})
}

// film answers an offer; run sends the picture until its context ends.
func film(offer string) (answer string, run func(context.Context) error, err error) {
	var setting webrtc.SettingEngine
	setting.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(setting), withH264()).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", nil, err
	}
	track, err := webrtc.NewTrackLocalStaticSample(h264(), "video", "gate")
	if err != nil {
		return "", nil, err
	}
	if _, err := pc.AddTrack(track); err != nil {
		return "", nil, err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", nil, err
	}
	description, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", nil, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(description); err != nil {
		return "", nil, err
	}
	<-gathered
	return pc.LocalDescription().SDP, func(ctx context.Context) error {
		defer pc.GracefulClose()
		return send(ctx, track)
	}, nil
}

func withH264() func(*webrtc.API) {
	var m webrtc.MediaEngine
	if err := m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: h264(), PayloadType: 102}, webrtc.RTPCodecTypeVideo); err != nil {
		panic(fmt.Sprint("a codec that pion knows: ", err))
	}
	return webrtc.WithMediaEngine(&m)
}

func h264() webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"}
}

func send(ctx context.Context, track *webrtc.TrackLocalStaticSample) error {
	const rate = 10
	scene, err := camera.NewScene(cameraWidth, cameraHeight, "CAOPING 2", "浙H12345")
	if err != nil {
		return err
	}
	encoder, err := camera.NewEncoder(cameraWidth, cameraHeight)
	if err != nil {
		return err
	}
	start := []byte{0, 0, 0, 1}
	frame := camera.NewFrame(cameraWidth, cameraHeight)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		scene.Draw(frame, time.Now(), n)
		idr := n%rate == 0
		nal, err := encoder.Encode(frame, idr)
		if err != nil {
			return err
		}
		var unit []byte
		if idr {
			for _, set := range [][]byte{encoder.SPS(), encoder.PPS()} {
				unit = append(append(unit, start...), set...)
			}
		}
		unit = append(append(unit, start...), nal...)
		if err := track.WriteSample(media.Sample{Data: unit, Duration: time.Second / rate}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
