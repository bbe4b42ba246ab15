package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// encode makes a film with x264: the camera that is not of our making.
func encode(t testing.TB, file, size string, seconds, gop int, options ...string) {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("no ffmpeg: run make deps")
		}
		t.Fatal(err)
	}
	args := append([]string{"-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=25", "-t", fmt.Sprint(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "2000k", "-maxrate", "2000k", "-bufsize", "1000k",
		"-g", fmt.Sprint(gop), "-keyint_min", fmt.Sprint(gop), "-sc_threshold", "0"}, options...)
	tmp := file + ".new.mp4"
	if out, err := exec.CommandContext(t.Context(), ffmpeg, append(args, tmp)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}

// gstreamer serves a film with GStreamer's RTSP server and digest authentication, and answers its URL.
func gstreamer(t testing.TB, film string) string {
	t.Helper()
	p := start(t, "/usr/bin/python3", filepath.Join("..", "..", "drivers", "camera", "testdata", "gst.py"), film, "u", "p")
	var port string
	eventually(t, "GStreamer's port", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.lines) == 0 {
			return fmt.Errorf("nothing said yet: %s", p.tail(5))
		}
		port = p.lines[0]
		return nil
	})
	return "rtsp://127.0.0.1:" + port + "/cam"
}

// TestE2EForeignCamera plays x264's pictures from GStreamer's server, through the agent, in Chromium.
func TestE2EForeignCamera(t *testing.T) {
	const width, height = 1280, 720
	films := []struct {
		name    string
		seconds int
		gop     int
		options []string
	}{
		{"baseline with a GOP of 2 s", 40, 50, []string{"-profile:v", "baseline"}},
		{"main without B-frames, with a GOP of 10 s", 40, 250, []string{"-profile:v", "main", "-bf", "0"}},
	}
	c := newCentre(t)
	p := caoping(c)
	p.pull = "always"
	for i, f := range films {
		film := filepath.Join(t.TempDir(), fmt.Sprintf("film%d.mp4", i))
		encode(t, film, fmt.Sprintf("%dx%d", width, height), f.seconds, f.gop, f.options...)
		p.cameras = append(p.cameras, gstreamer(t, film))
	}
	v := p.build(t)
	v.start()
	v.online()
	b := newBrowser(t, "zh-CN")
	b.enter(c)
	for i, f := range films {
		t.Run(f.name, func(t *testing.T) {
			b.lookAt(v.id, v.cameras[i])
			first := b.look()
			stats := b.framesGrow(50)
			t.Logf("first frame %s after the click; %+v", first, stats)
			if stats.FrameWidth != width || stats.FrameHeight != height || stats.FramesDropped > 2 {
				t.Errorf("picture: %+v", stats)
			}
			if i == 1 && first > 2*time.Second {
				t.Errorf("first frame after %s: the last GOP was to come first, whatever its length", first)
			}
			b.stopLooking()
		})
	}
}

// lookAt points the page at a camera of the stations' list.
func (b *browser) lookAt(station, camera string) {
	b.t.Helper()
	button := fmt.Sprintf("document.querySelectorAll(`[data-station=\"%s\"] button.cam`)[%d]", station, cameraIndex(camera))
	b.await("the camera in the list", button+" !== undefined")
	b.await("the camera chosen", "("+button+".click(), true)")
	b.await("a purpose chosen", "(document.querySelector(`[data-purpose=purpose_check]`).click(), true)")
}

// cameraIndex is the place of a village's camera in its list: gate, cam2, cam3, …
func cameraIndex(id string) int {
	var n int
	if _, err := fmt.Sscanf(id, "cam%d", &n); err != nil {
		return 0
	}
	return n - 1
}

// TestE2EFilmEnds: the camera hangs up at the end of its film and comes back with another size; the viewer's connection is
// kept, and the picture goes on.
func TestE2EFilmEnds(t *testing.T) {
	film := filepath.Join(t.TempDir(), "film.mp4")
	encode(t, film, "640x360", 6, 50, "-profile:v", "baseline")
	c := newCentre(t)
	p := caoping(c)
	p.cameras = []string{gstreamer(t, film)}
	v := p.build(t)
	v.start()
	v.online()
	b := newBrowser(t, "en")
	b.enter(c)
	b.lookAt(v.id, "gate")
	b.look()
	if s := b.framesGrow(20); s.FrameWidth != 640 {
		t.Errorf("picture: %+v", s)
	}
	encode(t, film, "1280x720", 20, 50, "-profile:v", "baseline")
	eventually(t, "the new size on the same connection", func() error {
		s, err := b.inbound()
		if err == nil && s.FrameWidth != 1280 {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	b.framesGrow(20)
	if n, err := value[int](b, `window.__pcs.length`); err != nil || n != 1 {
		t.Errorf("%d connections, %v: the first one was to be kept", n, err)
	}
	var states []string
	for _, e := range c.stored(v.id) {
		if e.Kind == event.KindCameraState {
			state, _ := e.Body.Text(event.TagState)
			width, _ := e.Body.Uint(event.TagWidth)
			states = append(states, fmt.Sprint(state, width))
		}
	}
	if all := strings.Join(states, " "); !strings.Contains(all, "up640") || !strings.Contains(all, "up1280") {
		t.Errorf("camera events: %s", all)
	}
}

// TestE2EBFramesAreNamed: a camera with B-frames is told by name, with the remedy.
func TestE2EBFramesAreNamed(t *testing.T) {
	film := filepath.Join(t.TempDir(), "film.mp4")
	encode(t, film, "640x360", 20, 50, "-profile:v", "main", "-bf", "2", "-preset", "veryfast", "-b_strategy", "0")
	c := newCentre(t)
	p := caoping(c)
	p.cameras, p.pull = []string{gstreamer(t, film)}, "always"
	v := p.build(t)
	v.start()
	e := c.awaitStored(v.id, "the warning", func(e event.Event) bool {
		detail, _ := e.Body.Text(event.TagDetail)
		return e.Kind == event.KindCameraState && strings.Contains(detail, "B-frames")
	})
	detail, _ := e.Body.Text(event.TagDetail)
	if e.Severity != event.SeverityWarning || !strings.Contains(detail, "-bf 0") && !strings.Contains(detail, "baseline") {
		t.Errorf("%s: %s", e.Severity, detail)
	}
	t.Log(detail)
}
