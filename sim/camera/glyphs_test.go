package camera

import "testing"

func mustLettering(t testing.TB) lettering {
	t.Helper()
	l, err := newLettering()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEveryLetterIsThereAndDifferent(t *testing.T) {
	l := mustLettering(t)
	seen := map[[glyphHeight]byte]rune{}
	for _, r := range " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-:./#" {
		rows, ok := l.letters[r]
		if !ok {
			t.Errorf("%q is missing", r)
		}
		if other, twice := seen[rows]; twice {
			t.Errorf("%q looks like %q", r, other)
		}
		seen[rows] = r
	}
	if err := l.check("caoping 12:30 浙赣"); err != nil {
		t.Error(err)
	}
	if err := l.check("a_b"); err == nil {
		t.Error("an underscore was accepted")
	}
}

// The strokes stay on their square, and cover as much of it as print does.
func TestProvincesFillTheirSquare(t *testing.T) {
	l := mustLettering(t)
	for _, r := range "浙赣" {
		c := newCanvas(3*strokeUnits, 3*strokeUnits, 4)
		l.write(c, r, strokeUnits, strokeUnits, strokeUnits, strokeUnits, flat(rgb(255, 255, 255)))
		inside := 0
		for i, p := range c.pix {
			if p == (ink{}) {
				continue
			}
			x, y := c.unit(i%c.w, i/c.w)
			if x < strokeUnits-1 || x > 2*strokeUnits+1 || y < strokeUnits-1 || y > 2*strokeUnits+1 {
				t.Fatalf("%q leaves its square at %.1f,%.1f", r, x, y)
			}
			inside++
		}
		if share := float64(inside) / (16 * strokeUnits * strokeUnits); share < 0.2 || share > 0.6 {
			t.Errorf("%q covers %.0f %% of its square", r, 100*share)
		}
	}
}

func TestStrokesThatCannotBeRead(t *testing.T) {
	for pen, text := range map[string]string{"thick": "1,1 2,2", "1.5": "1,1 2;2"} {
		if _, err := readStrokes(pen, text); err == nil {
			t.Errorf("%s %s was read", pen, text)
		}
	}
}

func TestOSDStaysInThePicture(t *testing.T) {
	l := mustLettering(t)
	f := NewFrame(32, 16)
	l.osd(f, "WIDE TEXT OVER THE EDGE", 20, -3, 2)
	light := 0
	for _, y := range f.Y {
		if y == 232 {
			light++
		}
	}
	if light == 0 {
		t.Error("nothing of the text is seen")
	}
}
