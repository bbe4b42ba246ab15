package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// chromium is Debian's browser; CI installs it.
const chromium = "/usr/bin/chromium"

// browser is one headless Chromium with a profile of its own.
type browser struct {
	t   testing.TB
	run func(...chromedp.Action) error // with patience
}

// keepConnections lets tests ask the page's peer connections for their statistics.
const keepConnections = `window.__pcs = [];
	const Native = window.RTCPeerConnection;
	window.RTCPeerConnection = class extends Native { constructor(...a) { super(...a); window.__pcs.push(this); } };`

func newBrowser(t testing.TB, language string) *browser {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("no " + chromium + ": run make deps")
		}
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.WindowSize(1600, 900),
		chromedp.Flag("headless", "new"), chromedp.Flag("lang", language), chromedp.Flag("accept-lang", language), chromedp.Flag("mute-audio", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(2*patience))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		cancel()
		stop()
		chromedp.FromContext(allocator).Allocator.Wait()
	})
	// The first Run starts the browser, which lives as long as that context: no deadline there.
	err := chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(keepConnections).Do(ctx)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, func(actions ...chromedp.Action) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return chromedp.Run(ctx, actions...)
	}}
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := b.run(actions...); err != nil {
		b.t.Fatal(err)
	}
}

// value evaluates a JavaScript expression, waiting for a promise.
func value[T any](b *browser, expression string) (T, error) {
	var v T
	err := b.run(chromedp.Evaluate(expression, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return v, err
}

// await waits until a JavaScript expression is true.
func (b *browser) await(what, expression string) {
	b.t.Helper()
	eventually(b.t, what, func() error {
		ok, err := value[bool](b, expression)
		if err == nil && !ok {
			err = fmt.Errorf("not true: %s", expression)
		}
		return err
	})
}

// enter logs the tests' dispatcher in at the page.
func (b *browser) enter(c *centre) { b.t.Helper(); b.enterAs(c, dispatcher, password) }

func (b *browser) enterAs(c *centre, name, secret string) {
	b.t.Helper()
	b.do(chromedp.Navigate(c.url))
	b.await("the door", fmt.Sprintf(`(() => { const form = document.querySelector("form"); if (!form) return false;
		form.elements.name.value = %q; form.elements.password.value = %q; form.requestSubmit(); return true; })()`, name, secret))
	b.do(chromedp.WaitVisible(`section.picture`, chromedp.ByQuery))
}

// choose clicks an alarm's card.
func (b *browser) choose(id string) {
	b.t.Helper()
	card := fmt.Sprintf(`li.card[data-alarm-id=%q]`, id)
	b.do(chromedp.WaitVisible(card, chromedp.ByQuery), chromedp.Click(card, chromedp.ByQuery))
}

// look asks for the live picture of the chosen alarm, and answers how long after the click it was shown, by the page's own count.
func (b *browser) look() time.Duration {
	b.t.Helper()
	n, err := value[int](b, `window.__wp.firstFrame.length`)
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.WaitVisible(`section.picture [data-verb=view]`, chromedp.ByQuery), chromedp.Click(`section.picture [data-verb=view]`, chromedp.ByQuery))
	b.await("a first frame", fmt.Sprintf(`(() => { const s = document.querySelector("section.picture").dataset.state;
		if (s === "failed") throw new Error(document.querySelector("section.picture .overlay").innerText);
		return window.__wp.firstFrame.length > %d; })()`, n))
	ms, err := value[float64](b, `window.__wp.firstFrame.at(-1).ms`)
	if err != nil {
		b.t.Fatal(err)
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// stopLooking ends the picture.
func (b *browser) stopLooking() {
	b.t.Helper()
	b.do(chromedp.Click(`section.picture [data-verb=stop]`, chromedp.ByQuery))
}

// inbound is what getStats says of the picture that is coming in.
type inbound struct {
	FramesDecoded, KeyFramesDecoded, FramesDropped, FrameWidth, FrameHeight, PacketsLost, PliCount, FreezeCount int
	Cipher, Codec                                                                                               string
}

func (b *browser) inbound() (inbound, error) {
	return value[inbound](b, `(async () => {
		const pc = window.__pcs.at(-1), out = {};
		for (const s of (await pc.getStats()).values()) {
			if (s.type === "inbound-rtp") for (const k of ["framesDecoded","keyFramesDecoded","framesDropped","frameWidth","frameHeight","packetsLost","pliCount","freezeCount"]) out[k] = s[k] ?? 0;
			if (s.type === "transport") out.cipher = s.srtpCipher ?? "";
			if (s.type === "codec") out.codec = s.mimeType + " " + (s.sdpFmtpLine ?? "");
		}
		return out;
	})()`)
}

// framesGrow waits until n more frames were decoded, and answers the statistics then.
func (b *browser) framesGrow(n int) (now inbound) {
	b.t.Helper()
	var first inbound
	eventually(b.t, "a first frame in getStats", func() (err error) {
		if first, err = b.inbound(); err == nil && first.FramesDecoded == 0 {
			err = errors.New("no frame decoded")
		}
		return err
	})
	eventually(b.t, fmt.Sprintf("%d more frames", n), func() (err error) {
		if now, err = b.inbound(); err == nil && now.FramesDecoded < first.FramesDecoded+n {
			err = fmt.Errorf("%+v after %+v", now, first)
		}
		return err
	})
	return now
}

// readTimecode reads the camera's time code off the pixels of the playing video: how many ms ago the frame was captured.
// The code is described in sim/camera.
const readTimecode = `(() => {
	const v = document.querySelector("section.picture video"), w = v.videoWidth, h = v.videoHeight;
	const c = document.createElement("canvas"); c.width = w; c.height = h;
	const g = c.getContext("2d", {willReadFrequently: true}); g.drawImage(v, 0, 0);
	const now = Date.now(), side = Math.min(14, Math.floor(w / 34)), left = Math.floor((w - 34 * side) / 2);
	const row = g.getImageData(0, h - 8, w, 1).data, bit = [];
	for (let i = 0; i < 34; i++) bit.push(row[4 * (left + i * side + (side >> 1)) + 1] > 128 ? 1 : 0);
	const ones = (a, b) => bit.slice(a, b).reduce((x, y) => x + y, 0);
	if ((ones(0, 16) + bit[32]) % 2 !== 0 || (ones(16, 32) + bit[33]) % 2 !== 1) return -1;
	let ms = 0; for (let i = 0; i < 32; i++) ms = ms * 2 + bit[i];
	return ((now % 4294967296) - ms + 4294967296) % 4294967296;
})()`

// screenshot keeps a picture of the page where WATCHPOST_SCREENSHOTS says, or in the test's log folder.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("WATCHPOST_SCREENSHOTS")
	if dir == "" {
		dir = b.t.TempDir()
	}
	var png []byte
	b.do(chromedp.CaptureScreenshot(&png))
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

// attribute is an attribute of the first element that a selector finds.
func (b *browser) attribute(selector, name string) string {
	b.t.Helper()
	v, err := value[string](b, fmt.Sprintf(`document.querySelector(%q)?.getAttribute(%q) ?? ""`, selector, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(v)
}

// press is one key, given to the page as a whole.
func press(key string) chromedp.Action {
	if key == "Enter" {
		key = kb.Enter
	}
	return chromedp.KeyEvent(key)
}
