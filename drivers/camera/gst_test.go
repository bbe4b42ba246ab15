package camera_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/drivers/camera"
	"watchpost/drivers/rtsp/h264"
	"watchpost/storage/event"
	"watchpost/storage/ring"
)

// needed says whether a program is there; on CI it must be.
func needed(t *testing.T, program string, args ...string) {
	t.Helper()
	if err := exec.Command(program, args...).Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s %v: %v: make deps installs it", program, args, err)
		}
		t.Skipf("%s is not installed: make deps installs it", program)
	}
}

// film encodes a test picture with x264.
func film(t *testing.T, file, size string, seconds, gop int, options ...string) {
	t.Helper()
	needed(t, "ffmpeg", "-version")
	args := append([]string{"-v", "error", "-y", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%s:rate=25", size), "-t", fmt.Sprint(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "2000k", "-g", fmt.Sprint(gop), "-keyint_min", fmt.Sprint(gop), "-sc_threshold", "0"}, options...)
	tmp := file + ".new.mp4"
	if out, err := exec.Command("ffmpeg", append(args, tmp)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}

// gstreamer starts the server and returns the camera's URL.
func gstreamer(t *testing.T, args ...string) string {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's, which has gi
	needed(t, python, "-c", `import gi; gi.require_version("GstRtspServer", "1.0")`)
	cmd := exec.Command(python, append([]string{filepath.Join("testdata", "gst.py")}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait() // killed: its exit code says nothing
		if t.Failed() {
			t.Log(stderr.String())
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v\n%s", err, stderr.String())
	}
	return "rtsp://127.0.0.1:" + strings.TrimSpace(port) + "/cam"
}

// book collects events.
type book struct{ told chan event.Draft }

func (b *book) sink(_ context.Context, d event.Draft) error { b.told <- d; return nil }

func text(d event.Draft, tag event.Tag) string { s, _ := d.Body.Text(tag); return s }

// next waits for the next event and checks its state.
func (b *book) next(t *testing.T, state, reason string) event.Draft {
	t.Helper()
	select {
	case d := <-b.told:
		if d.Kind != event.KindCameraState || text(d, event.TagState) != state || text(d, event.TagReason) != reason {
			t.Fatalf("want camera.state %s %s, got %v %s %s: %s", state, reason, d.Kind, text(d, event.TagState), text(d, event.TagReason), text(d, event.TagDetail))
		}
		return d
	case <-time.After(20 * time.Second):
		t.Fatalf("no event in time, want %s %s", state, reason)
		return event.Draft{}
	}
}

// run runs a camera to the end of the test.
func run(t *testing.T, o camera.Options) (*camera.Camera, *book) {
	t.Helper()
	o.ID = "gate"
	c, err := camera.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &book{told: make(chan event.Draft, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx, b.sink); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c, b
}

// read takes n units from a ring and checks what must hold of every stream: decodable start, unbroken numbers,
// whole pictures when put together again.
func read(t *testing.T, r *ring.Ring, n int) []ring.Unit {
	t.Helper()
	rd := r.Join()
	var units []ring.Unit
	limit := time.After(30 * time.Second)
	var joiner h264.Depacketizer
	pictures := 0
	for len(units) < n {
		u, ok := rd.Next()
		if !ok {
			select {
			case <-rd.Ready():
			case <-limit:
				t.Fatalf("%d units of %d in time", len(units), n)
			}
			continue
		}
		if len(units) == 0 && !u.Key {
			t.Fatal("does not begin with a key unit")
		}
		if len(units) > 0 && u.First != units[len(units)-1].First+uint64(len(units[len(units)-1].Packets)) {
			t.Fatal("the packets' numbers have a gap")
		}
		for _, p := range u.Packets {
			if len(p.Payload) > h264.MaxPayload {
				t.Fatalf("payload of %d bytes", len(p.Payload))
			}
			if err := joiner.Push(p, func(j h264.Unit) {
				pictures++
				if j.Lost != 0 || j.Key != u.Key {
					t.Errorf("unit %d put together again: lost %d key %v", u.Number, j.Lost, j.Key)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		units = append(units, u)
	}
	if pictures != n {
		t.Errorf("%d units give %d pictures", n, pictures)
	}
	return units
}

func TestGStreamer(t *testing.T) {
	for _, c := range []struct {
		name    string
		gop     int
		options []string
		format  string
	}{
		{"baseline with a GOP of 2 s", 50, []string{"-profile:v", "baseline"}, "H.264 baseline 3.1"},
		{"main without B-frames, GOP of 10 s", 250, []string{"-profile:v", "main", "-bf", "0", "-preset", "veryfast"}, "H.264 main 3.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cam.mp4")
			film(t, file, "1280x720", 12, c.gop, c.options...)
			cam, b := run(t, camera.Options{URL: gstreamer(t, file)})
			lease := cam.Acquire()
			defer lease.Close()
			units := read(t, lease.Ring(), 60)
			d := b.next(t, camera.StateUp, "")
			w, _ := d.Body.Uint(event.TagWidth)
			h, _ := d.Body.Uint(event.TagHeight)
			if w != 1280 || h != 720 || text(d, event.TagDetail) != c.format {
				t.Errorf("told %d×%d %s", w, h, text(d, event.TagDetail))
			}
			keys := 0
			for i, u := range units {
				if u.Key {
					keys++
				}
				if i > 0 && (u.Gap || u.Time-units[i-1].Time != 3600) {
					t.Errorf("unit %d: gap %v, %d after the one before", i, u.Gap, u.Time-units[i-1].Time)
				}
			}
			if want := (60 + c.gop - 1) / c.gop; keys != want {
				t.Errorf("%d key units of 60, want %d", keys, want)
			}
			if health := cam.Health(); health.State != camera.StateUp || health.BFrames || health.FrameRate < 10 || health.FrameRate > 60 || health.BitRate < 500_000 || health.Lost != 0 {
				t.Errorf("health %+v", health)
			}
			if len(b.told) > 0 {
				t.Errorf("more told: %+v", <-b.told)
			}
		})
	}
}

func TestGStreamerAsksForThePassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cam.mp4")
	film(t, file, "320x240", 5, 25)
	url := gstreamer(t, file, "viewer", "s3cret:@/%")
	cam, _ := run(t, camera.Options{URL: url, User: "viewer", Password: "s3cret:@/%"})
	lease := cam.Acquire()
	defer lease.Close()
	read(t, lease.Ring(), 25)

	wrong, b := run(t, camera.Options{URL: url, User: "viewer", Password: "guess"})
	other := wrong.Acquire()
	defer other.Close()
	b.next(t, camera.StateDown, "password")
}

func TestGStreamerEndOfFileAndAnotherSize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cam.mp4")
	film(t, file, "640x360", 3, 25)
	film(t, file+".larger.mp4", "1280x720", 4, 25)
	cam, b := run(t, camera.Options{URL: gstreamer(t, file), Always: true, Silence: 3 * time.Second})
	b.next(t, camera.StateUp, "")
	if err := os.Rename(file+".larger.mp4", file); err != nil { // the server goes on with the one it has open
		t.Fatal(err)
	}
	b.next(t, camera.StateDown, "ended")
	d := b.next(t, camera.StateUp, "")
	if w, _ := d.Body.Uint(event.TagWidth); w != 1280 || d.Qualifier != event.QualifierRestore {
		t.Errorf("after the end of the file: width %d, %v", w, d.Qualifier)
	}
	var last *ring.Unit
	rd := cam.Ring().Since(time.Time{})
	sizes := map[int]bool{}
	for u, ok := rd.Next(); ok; u, ok = rd.Next() {
		if last != nil && int32(u.Time-last.Time) <= 0 {
			t.Errorf("time goes from %d to %d at unit %d", last.Time, u.Time, u.Number)
		}
		info, err := h264.ParseSPS(u.Sets.SPS)
		if err != nil {
			t.Fatal(err)
		}
		sizes[info.Width] = true
		last = &u
	}
	if !sizes[640] || !sizes[1280] {
		t.Errorf("sizes in the ring: %v", sizes)
	}
}

func TestGStreamerBFrames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cam.mp4")
	film(t, file, "640x360", 6, 50, "-profile:v", "main", "-bf", "2", "-preset", "veryfast")
	cam, b := run(t, camera.Options{URL: gstreamer(t, file)})
	lease := cam.Acquire()
	defer lease.Close()
	b.next(t, camera.StateUp, "")
	d := b.next(t, camera.StateDegraded, "b_frames")
	if !strings.Contains(text(d, event.TagDetail), "set baseline or -bf 0") || d.Severity != event.SeverityWarning {
		t.Errorf("warning %q", text(d, event.TagDetail))
	}
	if !cam.Health().BFrames {
		t.Error("health does not say so")
	}
	read(t, lease.Ring(), 40)
}

func TestGStreamerWithoutH264(t *testing.T) {
	cam, b := run(t, camera.Options{URL: strings.Replace(gstreamer(t, "/nothing.mp4"), "/cam", "/other", 1)})
	lease := cam.Acquire()
	defer lease.Close()
	d := b.next(t, camera.StateDown, "refused")
	if !strings.Contains(text(d, event.TagDetail), "check the URL") {
		t.Errorf("told %q", text(d, event.TagDetail))
	}
}
