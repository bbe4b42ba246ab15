package live_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/pion/rtp"

	"watchpost/storage/event"
	"watchpost/storage/ring"
	"watchpost/uplink/live"

	sim "watchpost/sim/camera"
)

const (
	offerScript = `(async () => {
		document.body.innerHTML = '<video muted autoplay playsinline></video>';
		const pc = window.pc = new RTCPeerConnection();
		pc.ontrack = e => {
			const v = document.querySelector('video');
			v.srcObject = new MediaStream([e.track]);
			v.requestVideoFrameCallback(() => { window.firstFrame = performance.now() - window.answered; });
		};
		pc.addTransceiver('video', {direction: 'recvonly'});
		await pc.setLocalDescription(await pc.createOffer());
		while (pc.iceGatheringState !== 'complete') await new Promise(r => pc.addEventListener('icegatheringstatechange', r, {once: true}));
		return pc.localDescription.sdp;
	})()`
	statsScript = `(async () => {
		const out = {first: window.firstFrame ?? -1};
		for (const s of (await pc.getStats()).values()) {
			if (s.type === 'inbound-rtp') Object.assign(out, {decoded: s.framesDecoded, keys: s.keyFramesDecoded, width: s.frameWidth ?? 0, height: s.frameHeight ?? 0, lost: s.packetsLost});
			if (s.type === 'transport') Object.assign(out, {cipher: s.srtpCipher ?? '', role: s.dtlsRole ?? ''});
		}
		return out;
	})()`
)

type browserStats struct {
	First                        float64
	Decoded, Keys, Width, Height int
	Lost                         int
	Cipher, Role                 string
}

// film draws the simulated village gate into a ring until ctx ends, 15 pictures a second.
func film(ctx context.Context, t *testing.T, r *ring.Ring, gop int) {
	const width, height = 320, 176
	scene, err := sim.NewScene(width, height, "VILLAGE GATE", "浙H12345")
	if err != nil {
		t.Error(err)
		return
	}
	encoder, err := sim.NewEncoder(width, height)
	if err != nil {
		t.Error(err)
		return
	}
	frame := sim.NewFrame(width, height)
	tick := time.NewTicker(time.Second / 15)
	defer tick.Stop()
	for n := 0; ; n++ {
		scene.Draw(frame, time.Now(), uint64(n))
		key := n%gop == 0
		nal, err := encoder.Encode(frame, key)
		if err != nil {
			t.Error(err)
			return
		}
		u := ring.Unit{At: time.Now(), Time: uint32(n) * 6000, Key: key, Sets: &ring.Sets{SPS: encoder.SPS(), PPS: encoder.PPS()}}
		if key {
			u.Packets = append(u.Packets, packet(u.Time, encoder.SPS()), packet(u.Time, encoder.PPS()))
		}
		u.Packets = append(u.Packets, fragments(u.Time, nal)...)
		u.Packets[len(u.Packets)-1].Marker = true
		r.Push(u)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func packet(at uint32, payload []byte) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, Timestamp: at}, Payload: payload}
}

// fragments cuts a NAL unit (RFC 6184 5.8).
func fragments(at uint32, nal []byte) (out []*rtp.Packet) {
	if len(nal) <= 1200 {
		return []*rtp.Packet{packet(at, nal)}
	}
	flags := nal[0]&0x1f | 0x80
	for body := nal[1:]; len(body) > 0; flags &^= 0x80 {
		piece := body[:min(1198, len(body))]
		if body = body[len(piece):]; len(body) == 0 {
			flags |= 0x40
		}
		out = append(out, packet(at, append([]byte{nal[0]&0xe0 | 28, flags}, piece...)))
	}
	return out
}

// TestChromiumShowsTheCamera: the browser that people use shows the last GOP at once, goes on with every frame, and
// encrypts with AES-GCM.
func TestChromiumShowsTheCamera(t *testing.T) {
	const chromium = "/usr/bin/chromium"
	if _, err := os.Stat(chromium); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is missing: make deps installs it")
		}
		t.Skip("chromium is not installed: make deps installs it")
	}
	h := open(t, func(o *live.Options) { o.Loopback = true })
	feeding, stop := context.WithCancel(context.Background())
	var camera sync.WaitGroup
	camera.Go(func() { film(feeding, t, h.shelf.ring, 300) }) // one key picture in twenty seconds
	defer camera.Wait()
	defer stop()

	allocator, closeBrowser := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("headless", "new"), chromedp.Flag("mute-audio", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.WSURLReadTimeout(time.Minute))...)
	defer closeBrowser()
	tab, closeTab := chromedp.NewContext(allocator)
	defer closeTab()
	if err := chromedp.Run(tab, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	evaluate := func(script string, into any) {
		t.Helper()
		ctx, cancel := context.WithTimeout(tab, patience)
		defer cancel()
		if err := chromedp.Run(ctx, chromedp.Evaluate(script, into, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) })); err != nil {
			t.Fatal(err)
		}
	}
	var offer string
	evaluate(offerScript, &offer)
	answer, err := h.Open(t.Context(), request("v1", offer))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(answer, "a=setup:passive") || !strings.Contains(answer, "profile-level-id=42e01f") || strings.Count(answer, "a=rtpmap:") != 1 {
		t.Errorf("answer:\n%s", answer)
	}
	evaluate(fmt.Sprintf(`(async () => { window.answered = performance.now(); await pc.setRemoteDescription({type: 'answer', sdp: %s}); return true })()`, strconv.Quote(answer)), new(bool))
	var s browserStats
	until(t, "thirty frames decoded", func() bool { evaluate(statsScript, &s); return s.First >= 0 && s.Decoded >= 30 })
	seen := s.Decoded
	until(t, "thirty more", func() bool { evaluate(statsScript, &s); return s.Decoded >= seen+30 })
	t.Logf("first frame %.0f ms after the answer; %+v", s.First, s)
	if s.Width != 320 || s.Height != 176 || s.Keys != 1 {
		t.Errorf("picture %+v", s)
	}
	if !strings.Contains(s.Cipher, "GCM") || s.Role != "client" {
		t.Errorf("cipher %s, the browser is DTLS %s", s.Cipher, s.Role)
	}
	evaluate(`pc.close(), true`, new(bool))
	h.book.next(t) // opened
	if d := h.book.next(t); text(d, event.TagReason) != "viewer_gone" {
		t.Errorf("ended as %q", text(d, event.TagReason))
	}
}
