package camera

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// painted counts the pixels that hold anything.
func (c *canvas) painted() (n int) {
	for _, p := range c.pix {
		if p != (ink{}) {
			n++
		}
	}
	return n
}

func TestShapesCoverTheirArea(t *testing.T) {
	white := flat(rgb(255, 255, 255))
	for name, c := range map[string]struct {
		draw func(*canvas)
		want float64
	}{
		"rectangle":       {func(c *canvas) { c.rect(10, 20, 40, 30, white) }, 30 * 10},
		"half outside":    {func(c *canvas) { c.rect(-50, 0, 50, 10, white) }, 50 * 10},
		"wholly outside":  {func(c *canvas) { c.rect(200, 0, 300, 10, white) }, 0},
		"corners swapped": {func(c *canvas) { c.rect(40, 30, 10, 20, white) }, 30 * 10},
		"triangle":        {func(c *canvas) { c.shape(white, point{0, 0}, point{60, 0}, point{0, 60}) }, 60 * 60 / 2},
		"oval":            {func(c *canvas) { c.oval(50, 50, 30, 20, white) }, math.Pi * 30 * 20},
		"line":            {func(c *canvas) { c.line(point{20, 20}, point{60, 50}, 8, white) }, 50*8 + math.Pi*16},
		"dot":             {func(c *canvas) { c.line(point{20, 20}, point{20, 20}, 8, white) }, math.Pi * 16},
	} {
		canvas := newCanvas(100, 100, 4)
		c.draw(canvas)
		if got := float64(canvas.painted()) / 16; math.Abs(got-c.want) > 0.02*c.want {
			t.Errorf("%s covers %.1f units, want %.1f", name, got, c.want)
		}
	}
}

func TestOriginMovesTheDrawing(t *testing.T) {
	c := newCanvas(10, 10, 1)
	c.origin = point{-5, -5}
	c.rect(-5, -5, -4, -4, flat(rgb(255, 0, 0)))
	if c.painted() != 1 || c.pix[0] == (ink{}) {
		t.Error("the upper left unit is not the first pixel")
	}
}

func TestPaintCoversAndLightAdds(t *testing.T) {
	c := newCanvas(1, 1, 1)
	c.put(0, 0, rgb(255, 0, 0))
	c.put(0, 0, rgb(0, 255, 0).fade(0.5))
	if got, want := c.pix[0], (ink{0.5, 0.5, 0, 1}); got != want {
		t.Errorf("half a coat of green on red is %v, want %v", got, want)
	}
	c.put(0, 0, rgb(0, 0, 255).light())
	if got, want := c.pix[0], (ink{0.5, 0.5, 1, 1}); got != want {
		t.Errorf("with blue light it is %v, want %v", got, want)
	}
}

func TestShrunkAverages(t *testing.T) {
	c := newCanvas(2, 2, 2)
	c.rect(0, 0, 1, 2, flat(rgb(255, 255, 255)))
	got := c.shrunk(1, 1)
	if want := (ink{0.5, 0.5, 0.5, 0.5}); len(got) != 1 || got[0] != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// The colours of BT.601 in limited range, from the definition of the colour bars.
func TestColours(t *testing.T) {
	for name, c := range map[string]struct {
		ink       ink
		y, cb, cr byte
	}{
		"black": {rgb(0, 0, 0), 16, 128, 128}, "white": {rgb(255, 255, 255), 235, 128, 128}, "red": {rgb(255, 0, 0), 81, 90, 240},
		"green": {rgb(0, 255, 0), 145, 54, 34}, "blue": {rgb(0, 0, 255), 41, 240, 110}, "yellow": {rgb(255, 255, 0), 210, 16, 146},
	} {
		f := NewFrame(2, 2)
		drawOn(f, []ink{c.ink, c.ink, c.ink, c.ink}, 2, 2, 0, 0)
		if f.Y[3] != c.y || f.Cb[0] != c.cb || f.Cr[0] != c.cr {
			t.Errorf("%s is %d %d %d, want %d %d %d", name, f.Y[3], f.Cb[0], f.Cr[0], c.y, c.cb, c.cr)
		}
	}
}

// Wherever a sprite is laid, nothing outside of it changes, and it may hang over any edge.
func TestDrawOnIsClipped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(t, "w"), rapid.IntRange(1, 40).Draw(t, "h")
		x, y := rapid.IntRange(-60, 60).Draw(t, "x"), rapid.IntRange(-60, 60).Draw(t, "y")
		pix := make([]ink, w*h)
		for i := range pix {
			pix[i] = rgb(255, 255, 255)
		}
		f := NewFrame(32, 32)
		drawOn(f, pix, w, h, x, y)
		x, y = x&^1, y&^1
		for i, luma := range f.Y {
			inside := i%32 >= x && i%32 < x+w && i/32 >= y && i/32 < y+h
			if want := map[bool]byte{true: 235, false: 16}[inside]; luma != want {
				t.Fatalf("luma %d at %d,%d", luma, i%32, i/32)
			}
		}
	})
}
