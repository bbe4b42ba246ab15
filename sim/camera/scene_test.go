package camera

import (
	"strings"
	"testing"
	"time"
)

func mustScene(t testing.TB, name, plate string) *Scene {
	t.Helper()
	s, err := NewScene(480, 272, name, plate)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSceneRefusesWhatItCannotDraw(t *testing.T) {
	for _, c := range []struct{ name, plate, want string }{
		{"GATE", "京A12345", `'京'`},
		{"GATE", "浙H1234", "7 are needed"},
		{"GATE", "浙H1234567", "7 are needed"},
		{"门口", "浙H12345", "camera name"},
	} {
		_, err := NewScene(480, 272, c.name, c.plate)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want one with %s", c.name, c.plate, err, c.want)
		}
	}
	if _, err := NewScene(100, 100, "GATE", "浙H12345"); err == nil {
		t.Error("a size that cannot be coded was accepted")
	}
}

// changed counts the macroblocks that differ between two pictures, below row 1
// (clock and counter) and above the time code.
func changed(f, g *Frame) (n int) {
	for y := macroblock; y < f.Height-macroblock; y += macroblock {
		for x := 0; x < f.Width; x += macroblock {
			if !f.sameBlock(g, x, y) {
				n++
			}
		}
	}
	return n
}

func (s *Scene) at(act time.Duration) time.Time {
	start := int64(1_800_000_000e9)
	return time.Unix(0, start-start%int64(round)-int64(s.phase)).Add(act)
}

func TestCarComesWaitsAndLeaves(t *testing.T) {
	s := mustScene(t, "GATE", "浙H12345")
	draw := func(act time.Duration) *Frame {
		f := NewFrame(480, 272)
		s.Draw(f, s.at(act), 1)
		return f
	}
	empty := draw(actApproach + actWait + actLeave + time.Second)
	if n := changed(empty, draw(round-100*time.Millisecond)); n != 0 {
		t.Errorf("%d blocks change on an empty road", n)
	}
	far, near := changed(empty, draw(200*time.Millisecond)), changed(empty, draw(actApproach-time.Millisecond))
	if far < 2 || near < 60 || near > 200 {
		t.Errorf("the car covers %d blocks far away and %d near by, want a few and 60 to 200", far, near)
	}
	if n := changed(draw(actApproach+time.Second), draw(actApproach+3*time.Second)); n != 0 {
		t.Errorf("%d blocks change while the car waits", n)
	}
	if n := changed(draw(actApproach+actWait), draw(actApproach+actWait+actLeave/2)); n < 60 {
		t.Errorf("only %d blocks change while the car leaves", n)
	}
}

// The plate stands in the picture as it is asked for: another plate changes
// pixels in its corner and nowhere else on an empty road.
func TestPlateBoxShowsThePlate(t *testing.T) {
	a, b := mustScene(t, "GATE", "浙H12345"), mustScene(t, "GATE", "浙H12346")
	f, g := NewFrame(480, 272), NewFrame(480, 272)
	a.Draw(f, a.at(round-time.Second), 1)
	b.Draw(g, b.at(round-time.Second), 1)
	var left, right, n = 480, 0, 0
	for i := range f.Y {
		if f.Y[i] != g.Y[i] {
			left, right, n = min(left, i%480), max(right, i%480), n+1
		}
	}
	if n < 20 || left < 450 || right-left > 16 {
		t.Errorf("the last character differs in %d pixels from x %d to %d", n, left, right)
	}
	long := mustScene(t, "GATE", "赣ED12345")
	if long.plateBox.Width <= a.plateBox.Width {
		t.Error("the plate of an electric car is not longer")
	}
}

func TestSamplesStayInTheLegalRange(t *testing.T) {
	s := mustScene(t, "GATE", "浙H12345")
	f := NewFrame(480, 272)
	for act := time.Duration(0); act < round; act += 700 * time.Millisecond {
		s.Draw(f, s.at(act), 1)
		for i, y := range f.Y {
			if y < 16 || y > 235 {
				t.Fatalf("%v: luma %d at %d,%d", act, y, i%480, i/480)
			}
		}
		for i := range f.Cb {
			if f.Cb[i] < 16 || f.Cb[i] > 240 || f.Cr[i] < 16 || f.Cr[i] > 240 {
				t.Fatalf("%v: chroma %d %d at %d", act, f.Cb[i], f.Cr[i], i)
			}
		}
	}
}

func TestCamerasWithOtherNamesLookDifferent(t *testing.T) {
	a, b := mustScene(t, "GATE 1", "浙H12345"), mustScene(t, "GATE 2", "浙H12345")
	if n := changed(a.backdrop, b.backdrop); n < 50 {
		t.Errorf("only %d blocks differ between two cameras", n)
	}
}

func TestDrawingTwiceGivesTheSamePicture(t *testing.T) {
	a, b := mustScene(t, "GATE", "浙H12345"), mustScene(t, "GATE", "浙H12345")
	f, g := NewFrame(480, 272), NewFrame(480, 272)
	at := time.UnixMilli(1_800_000_001_234)
	b.Draw(g, at.Add(-7*time.Second), 3)
	a.Draw(f, at, 77)
	b.Draw(g, at, 77)
	if string(planes(f)) != string(planes(g)) {
		t.Error("a picture depends on more than its moment and number")
	}
	if ms, err := ReadTimecode(f.Y, 480, 272); err != nil || ms != uint32(at.UnixMilli()&0xFFFFFFFF) {
		t.Errorf("the time code reads %d, %v", ms, err)
	}
}

func FuzzPlate(f *testing.F) {
	for _, seed := range []string{"浙H12345", "赣ED12345", "", "浙", "浙H1234\xff", "浙H12·45"} {
		f.Add(seed)
	}
	l, err := newLettering()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, plate string) {
		if checkPlate(l, plate) != nil {
			return
		}
		if box := newPlateBox(l, plate, 2); box.Width > 220 || box.Height != plateHeight {
			t.Errorf("%q is drawn as %dx%d", plate, box.Width, box.Height)
		}
	})
}
