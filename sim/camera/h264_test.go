package camera

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ffmpeg is the path of the second decoder. Without it a test is skipped, but
// never where CI is set.
func ffmpeg(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ffmpeg is not installed, and in CI it must be: apt-get install ffmpeg")
		}
		t.Skip("ffmpeg is not installed: apt-get install ffmpeg")
	}
	return path
}

func annexB(dst []byte, units ...[]byte) []byte {
	for _, unit := range units {
		dst = append(append(dst, 0, 0, 0, 1), unit...)
	}
	return dst
}

// decode has ffmpeg decode an Annex B stream, with any error fatal, and returns
// the planes of all pictures one behind the other.
func decode(t *testing.T, stream []byte) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), ffmpeg(t), "-hide_banner", "-loglevel", "error", "-xerror", "-err_detect", "explode",
		"-f", "h264", "-i", "pipe:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stream), &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffmpeg: %v\n%s", err, stderr.String())
	}
	return out
}

func planes(f *Frame) []byte { return bytes.Join([][]byte{f.Y, f.Cb, f.Cr}, nil) }

func TestDecodedPicturesAreWhatWasDrawn(t *testing.T) {
	for _, size := range [][2]int{{480, 272}, {320, 192}, {176, 144}, {640, 368}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			scene, err := NewScene(size[0], size[1], "GATE", "赣E6A2B8")
			if err != nil {
				t.Fatal(err)
			}
			encoder, err := NewEncoder(size[0], size[1])
			if err != nil {
				t.Fatal(err)
			}
			stream := annexB(nil, encoder.SPS(), encoder.PPS())
			frame := NewFrame(size[0], size[1])
			var want []byte
			at := time.Unix(1_800_000_000, 0)
			for n := range 45 { // past frame_num 15 and over two IDR pictures
				scene.Draw(frame, at, uint64(n))
				want = append(want, planes(frame)...)
				unit, err := encoder.Encode(frame, n%20 == 0)
				if err != nil {
					t.Fatal(err)
				}
				stream = annexB(stream, unit)
				at = at.Add(331 * time.Millisecond)
			}
			if got := decode(t, stream); !bytes.Equal(got, want) {
				t.Errorf("ffmpeg decoded %d bytes that differ from the %d drawn", len(got), len(want))
			}
		})
	}
}

// Noise with many zero bytes meets the emulation prevention in every place.
func TestNoiseWithZerosIsDecodedExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	encoder, err := NewEncoder(176, 144)
	if err != nil {
		t.Fatal(err)
	}
	frame := NewFrame(176, 144)
	stream := annexB(nil, encoder.SPS(), encoder.PPS())
	var want []byte
	for n := range 12 {
		for range 4000 {
			frame.Y[random.IntN(len(frame.Y))] = byte(random.IntN(4))
			frame.Cb[random.IntN(len(frame.Cb))] = byte(random.IntN(2))
			frame.Cr[random.IntN(len(frame.Cr)/8)] = byte(random.IntN(256))
		}
		unit, err := encoder.Encode(frame, n == 7)
		if err != nil {
			t.Fatal(err)
		}
		stream, want = annexB(stream, unit), append(want, planes(frame)...)
	}
	if !bytes.Equal(decode(t, stream), want) {
		t.Error("ffmpeg decoded other samples than were drawn")
	}
}

func TestUnchangedPictureIsAFewBytes(t *testing.T) {
	encoder, err := NewEncoder(480, 272)
	if err != nil {
		t.Fatal(err)
	}
	frame := NewFrame(480, 272)
	whole, err := encoder.Encode(frame, false)
	if err != nil {
		t.Fatal(err)
	}
	if whole[0] != nalIDR || len(whole) < 480*272*3/2 {
		t.Errorf("the first picture is NAL %#x of %d bytes, want a whole IDR", whole[0], len(whole))
	}
	same, err := encoder.Encode(frame, false)
	if err != nil {
		t.Fatal(err)
	}
	if same[0] != nalSlice || len(same) > 8 {
		t.Errorf("an unchanged picture is NAL %#x of %d bytes, want a slice of at most 8", same[0], len(same))
	}
	frame.Y[5*480+40]++ // one sample, one macroblock
	one, err := encoder.Encode(frame, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(one); n < 384 || n > 384+16 {
		t.Errorf("one changed sample costs %d bytes, want one macroblock of 384", n)
	}
}

func TestEncoderRefusesOtherSizes(t *testing.T) {
	encoder, err := NewEncoder(480, 272)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := encoder.Encode(NewFrame(320, 192), true); err == nil {
		t.Error("a picture of another size was coded")
	}
	for _, size := range [][2]int{{481, 272}, {480, 270}, {160, 144}, {176, 128}, {1920, 1088}, {0, 0}, {-16, -16}} {
		if _, err := NewEncoder(size[0], size[1]); err == nil {
			t.Errorf("size %v was accepted", size)
		}
	}
}

// Escaped bytes hold no start code, and removing the escapes gives them back.
func TestEscapeIsReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOf(rapid.ByteMax(5)).Draw(t, "raw")
		got := escape(nil, raw)
		for _, code := range [][]byte{{0, 0, 0}, {0, 0, 1}, {0, 0, 2}} {
			if bytes.Contains(got, code) {
				t.Fatalf("% x holds % x", got, code)
			}
		}
		var back []byte
		zeros := 0
		for _, b := range got {
			if zeros >= 2 && b == 3 {
				zeros = 0
				continue
			}
			back = append(back, b)
			if b == 0 {
				zeros++
			} else {
				zeros = 0
			}
		}
		if !bytes.Equal(back, raw) {
			t.Fatalf("% x became % x", raw, back)
		}
	})
}

func TestExpGolomb(t *testing.T) {
	// H.264 table 9-2, with the stop bit behind each code.
	for v, want := range map[uint32][]byte{0: {0b11000000}, 1: {0b01010000}, 2: {0b01110000}, 3: {0b00100100}, 7: {0b00010001}, 30: {0b00001111, 0b11000000}} {
		var w bitWriter
		w.ue(v)
		w.trailing()
		if !bytes.Equal(w.buf, want) {
			t.Errorf("ue(%d) = %08b, want %08b", v, w.buf, want)
		}
	}
}

func BenchmarkDrawAndEncode(b *testing.B) {
	scene, err := NewScene(480, 272, "GATE", "浙H12345")
	if err != nil {
		b.Fatal(err)
	}
	encoder, err := NewEncoder(480, 272)
	if err != nil {
		b.Fatal(err)
	}
	frame, at, total, n := NewFrame(480, 272), time.Unix(1_800_000_000, 0), 0, uint64(0)
	for b.Loop() {
		scene.Draw(frame, at, n)
		unit, err := encoder.Encode(frame, n%30 == 0)
		if err != nil {
			b.Fatal(err)
		}
		total += len(unit)
		n++
		at = at.Add(time.Second / 15)
	}
	b.ReportMetric(float64(total)/float64(n), "B/picture")
}
