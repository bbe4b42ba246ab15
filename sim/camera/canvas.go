package camera

import "math"

// ink is a colour with premultiplied alpha, each part from 0 to 1. Alpha 0 with
// colour is light: it brightens what lies below.
type ink struct{ r, g, b, a float32 }

// rgb is an opaque ink from the usual 0 to 255.
func rgb(r, g, b float32) ink { return ink{r / 255, g / 255, b / 255, 1} }

// fade scales an ink, light or paint, by k from 0 to 1.
func (i ink) fade(k float32) ink { return ink{i.r * k, i.g * k, i.b * k, i.a * k} }

// light turns paint into light.
func (i ink) light() ink { return ink{i.r, i.g, i.b, 0} }

// mix goes from i (k = 0) to j (k = 1).
func (i ink) mix(j ink, k float32) ink {
	k = min(max(k, 0), 1)
	return ink{i.r + (j.r-i.r)*k, i.g + (j.g-i.g)*k, i.b + (j.b-i.b)*k, i.a + (j.a-i.a)*k}
}

// point is a place in the coordinates of a canvas.
type point struct{ x, y float32 }

// paint gives the ink for a place.
type paint func(x, y float32) ink

func flat(i ink) paint { return func(float32, float32) ink { return i } }

// vertical goes from one ink at y0 to another at y1.
func vertical(top, bottom ink, y0, y1 float32) paint {
	return func(_, y float32) ink { return top.mix(bottom, (y-y0)/(y1-y0)) }
}

// canvas is a picture in light and paint, drawn at more pixels than asked for
// and shrunk at the end, which smooths the edges.
type canvas struct {
	w, h   int     // pixels
	scale  float32 // pixels per unit of the drawing's coordinates
	origin point   // of the drawing's coordinates, in units
	pix    []ink
}

// newCanvas makes a transparent canvas of w x h units at scale pixels per unit.
func newCanvas(w, h, scale float32) *canvas {
	c := &canvas{w: int(w*scale + 0.5), h: int(h*scale + 0.5), scale: scale}
	c.pix = make([]ink, c.w*c.h)
	return c
}

// put composes i over the pixel.
func (c *canvas) put(x, y int, i ink) {
	p := &c.pix[y*c.w+x]
	k := 1 - i.a
	p.r, p.g, p.b, p.a = i.r+p.r*k, i.g+p.g*k, i.b+p.b*k, i.a+p.a*k
}

// unit is the place of a pixel's centre in units.
func (c *canvas) unit(x, y int) (float32, float32) {
	return (float32(x)+0.5)/c.scale + c.origin.x, (float32(y)+0.5)/c.scale + c.origin.y
}

// span is the range of pixels that covers from a to b units, clipped to size.
func (c *canvas) span(a, b, origin float32, size int) (int, int) {
	lo := int(math.Ceil(float64((min(a, b)-origin)*c.scale - 0.5)))
	hi := int(math.Ceil(float64((max(a, b)-origin)*c.scale - 0.5)))
	return min(max(lo, 0), size), min(max(hi, 0), size)
}

// area paints the box between two corners wherever inside says so.
func (c *canvas) area(x0, y0, x1, y1 float32, p paint, inside func(x, y float32) bool) {
	left, right := c.span(x0, x1, c.origin.x, c.w)
	top, bottom := c.span(y0, y1, c.origin.y, c.h)
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			if ux, uy := c.unit(x, y); inside == nil || inside(ux, uy) {
				c.put(x, y, p(ux, uy))
			}
		}
	}
}

// rect paints a rectangle given by its corners.
func (c *canvas) rect(x0, y0, x1, y1 float32, p paint) { c.area(x0, y0, x1, y1, p, nil) }

// shape paints a polygon by the even-odd rule.
func (c *canvas) shape(p paint, corners ...point) {
	low, high := corners[0], corners[0]
	for _, q := range corners {
		low = point{min(low.x, q.x), min(low.y, q.y)}
		high = point{max(high.x, q.x), max(high.y, q.y)}
	}
	c.area(low.x, low.y, high.x, high.y, p, func(x, y float32) bool {
		in := false
		j := len(corners) - 1
		for i, a := range corners {
			b := corners[j]
			if (a.y > y) != (b.y > y) && x < (b.x-a.x)*(y-a.y)/(b.y-a.y)+a.x {
				in = !in
			}
			j = i
		}
		return in
	})
}

// oval paints an ellipse.
func (c *canvas) oval(cx, cy, rx, ry float32, p paint) {
	c.area(cx-rx, cy-ry, cx+rx, cy+ry, p, func(x, y float32) bool {
		dx, dy := (x-cx)/rx, (y-cy)/ry
		return dx*dx+dy*dy <= 1
	})
}

// glow adds light that falls off to nothing at the rim of an ellipse.
func (c *canvas) glow(cx, cy, rx, ry float32, i ink) {
	soft := func(x, y float32) ink {
		dx, dy := (x-cx)/rx, (y-cy)/ry
		k := max(1-float32(math.Sqrt(float64(dx*dx+dy*dy))), 0)
		return i.light().fade(k * k)
	}
	c.rect(cx-rx, cy-ry, cx+rx, cy+ry, soft)
}

// line paints a stroke with round ends.
func (c *canvas) line(a, b point, width float32, p paint) {
	r := width / 2
	dx, dy := b.x-a.x, b.y-a.y
	length := dx*dx + dy*dy
	c.area(min(a.x, b.x)-r, min(a.y, b.y)-r, max(a.x, b.x)+r, max(a.y, b.y)+r, p, func(x, y float32) bool {
		k := float32(0)
		if length > 0 {
			k = min(max(((x-a.x)*dx+(y-a.y)*dy)/length, 0), 1)
		}
		ex, ey := x-a.x-k*dx, y-a.y-k*dy
		return ex*ex+ey*ey <= r*r
	})
}

// shrunk averages to w x h pixels; the canvas must be a whole multiple of that.
func (c *canvas) shrunk(w, h int) []ink {
	out := make([]ink, w*h)
	n, m := c.w/w, c.h/h
	k := 1 / float32(n*m)
	for y := range h {
		for x := range w {
			var sum ink
			for j := range m {
				for _, p := range c.pix[(y*m+j)*c.w+x*n:][:n] {
					sum = ink{sum.r + p.r, sum.g + p.g, sum.b + p.b, sum.a + p.a}
				}
			}
			out[y*w+x] = sum.fade(k)
		}
	}
	return out
}

// luma and chroma are the BT.601 transforms to limited range, without rounding.
// They are linear: premultiplied parts stay premultiplied.
func (i ink) luma() float32 { return 65.481*i.r + 128.553*i.g + 24.966*i.b }

func (i ink) chroma() (cb, cr float32) {
	return -37.797*i.r - 74.203*i.g + 112*i.b, 112*i.r - 93.786*i.g - 18.214*i.b
}

func limited(v float32, top float32) byte { return byte(min(max(v+0.5, 16), top)) }

// drawOn lays w x h inks over f with the upper left corner at (x0, y0), clipped.
// x0 and y0 are taken down to even numbers, as chroma has half the samples.
func drawOn(f *Frame, pix []ink, w, h, x0, y0 int) {
	x0, y0 = x0&^1, y0&^1
	for y := max(0, -y0); y < min(h, f.Height-y0); y++ {
		row := f.Y[(y+y0)*f.Width:]
		for x := max(0, -x0); x < min(w, f.Width-x0); x++ {
			p := pix[y*w+x]
			if p != (ink{}) {
				row[x+x0] = limited(16+p.luma()+(float32(row[x+x0])-16)*(1-p.a), 235)
			}
		}
	}
	for y := max(0, -y0); y+1 < min(h, f.Height-y0); y += 2 {
		for x := max(0, -x0); x+1 < min(w, f.Width-x0); x += 2 {
			a, b, c, d := pix[y*w+x], pix[y*w+x+1], pix[(y+1)*w+x], pix[(y+1)*w+x+1]
			p := ink{a.r + b.r + c.r + d.r, a.g + b.g + c.g + d.g, a.b + b.b + c.b + d.b, a.a + b.a + c.a + d.a}.fade(0.25)
			if p == (ink{}) {
				continue
			}
			cb, cr := p.chroma()
			at := (y+y0)/2*f.Width/2 + (x+x0)/2
			f.Cb[at] = limited(128+cb+(float32(f.Cb[at])-128)*(1-p.a), 240)
			f.Cr[at] = limited(128+cr+(float32(f.Cr[at])-128)*(1-p.a), 240)
		}
	}
}
