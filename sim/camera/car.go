package camera

import "math"

// The car is drawn once, from the front, and shrunk for each distance. In its
// own coordinates the wheels stand on y = 0, the middle is x = 0, and one unit
// is one unit of the scene when the car is nearest.
const (
	carLeft   = -96
	carRight  = 96
	carTop    = -112
	carBottom = 32
	carLevels = 4 // each half the size of the one before
)

// sprite is a picture with transparency at one size.
type sprite struct {
	w, h int
	pix  []ink
}

// car is one car at several sizes, the largest first.
type car struct{ levels []sprite }

// newCar draws a car with its plate for pictures of the given pixels per unit.
func newCar(l lettering, plate string, body ink, scale float32) car {
	c := newCanvas(carRight-carLeft, carBottom-carTop, scale*2)
	c.origin = point{carLeft, carTop}
	drawCar(c, l, plate, body)
	s := sprite{c.w, c.h, c.pix}
	var out car
	for range carLevels {
		s = s.half()
		out.levels = append(out.levels, s)
	}
	return out
}

func drawCar(c *canvas, l lettering, plate string, body ink) {
	dark, black := body.mix(rgb(8, 8, 14), 0.55), flat(rgb(12, 12, 16))
	// Light on the road before the car, then the shadow under it.
	c.glow(-40, 14, 52, 18, rgb(190, 176, 128))
	c.glow(40, 14, 52, 18, rgb(190, 176, 128))
	c.oval(0, -1, 66, 7, flat(ink{0, 0, 0, 0.75}))
	for _, side := range [2]float32{-1, 1} {
		c.rect(side*58, -20, side*42, 1, black)
	}
	// Cabin with the wind screen.
	c.shape(vertical(body, dark, -98, -54), point{-38, -98}, point{38, -98}, point{54, -58}, point{-54, -58})
	c.shape(vertical(rgb(58, 74, 104), rgb(18, 24, 40), -94, -60), point{-34, -94}, point{34, -94}, point{48, -60}, point{-48, -60})
	c.shape(flat(rgb(150, 170, 205).fade(0.28)), point{-26, -94}, point{-8, -94}, point{-26, -60}, point{-44, -60})
	c.oval(20, -66, 7, 8, flat(rgb(20, 20, 28)))
	for _, side := range [2]float32{-1, 1} {
		c.oval(side*60, -62, 6, 4, flat(dark))
	}
	// Body.
	c.shape(vertical(body.mix(rgb(255, 255, 255), 0.18), dark, -60, -10),
		point{-54, -60}, point{54, -60}, point{63, -44}, point{64, -16}, point{58, -8}, point{-58, -8}, point{-64, -16}, point{-63, -44})
	c.shape(flat(body.mix(rgb(255, 255, 255), 0.3).fade(0.5)), point{-48, -58}, point{48, -58}, point{52, -53}, point{-52, -53})
	c.rect(-33, -47, 33, -31, vertical(rgb(26, 26, 34), rgb(10, 10, 14), -47, -31))
	for y := float32(-44); y < -32; y += 4 {
		c.rect(-32, y, 32, y+1, flat(rgb(120, 124, 132)))
	}
	c.oval(0, -39, 5, 4, flat(rgb(190, 194, 200)))
	c.rect(-58, -12, 58, -8, black)
	k := float32(52) / plateWidth(plate)
	drawPlate(c, l, plate, -26, -27, k)
	for _, side := range [2]float32{-1, 1} {
		c.oval(side*48, -39, 11, 7.5, flat(rgb(60, 62, 70)))
		c.oval(side*48, -39, 9.5, 6.2, flat(rgb(255, 252, 232)))
		c.oval(side*50, -19, 5, 3, flat(rgb(255, 196, 96)))
		c.glow(side*48, -39, 44, 40, rgb(190, 176, 136))
	}
}

// half is the picture at half the size.
func (s sprite) half() sprite {
	c := canvas{w: s.w &^ 1, h: s.h &^ 1}
	if c.w == s.w {
		c.pix = s.pix
	} else {
		for y := range c.h {
			c.pix = append(c.pix, s.pix[y*s.w:y*s.w+c.w]...)
		}
	}
	return sprite{c.w / 2, c.h / 2, c.shrunk(c.w/2, c.h/2)}
}

// draw lays the car over f, k times the size of the largest level, with the
// wheels in the middle at (x, y) pixels. work is kept between calls.
func (c car) draw(f *Frame, x, y, k float32, work []ink) []ink {
	level, ratio := c.levels[0], k
	for _, next := range c.levels[1:] {
		if ratio > 0.5 {
			break
		}
		level, ratio = next, ratio*2
	}
	w, h := int(float32(level.w)*ratio)&^1, int(float32(level.h)*ratio)&^1
	if w < 4 || h < 4 {
		return work
	}
	if cap(work) < w*h {
		work = make([]ink, w*h)
	}
	work = work[:w*h]
	level.scaled(work, w, h)
	middle := float32(w) * -carLeft / (carRight - carLeft)
	foot := float32(h) * -carTop / (carBottom - carTop)
	drawOn(f, work, w, h, int(math.Round(float64(x-middle))), int(math.Round(float64(y-foot))))
	return work
}

// scaled fills out with the sprite at w x h pixels, linear between samples.
func (s sprite) scaled(out []ink, w, h int) {
	for y := range h {
		v := max((float32(y)+0.5)*float32(s.h)/float32(h)-0.5, 0)
		y0 := min(int(v), s.h-1)
		y1 := min(y0+1, s.h-1)
		for x := range w {
			u := max((float32(x)+0.5)*float32(s.w)/float32(w)-0.5, 0)
			x0 := min(int(u), s.w-1)
			x1 := min(x0+1, s.w-1)
			top := s.pix[y0*s.w+x0].mix(s.pix[y0*s.w+x1], u-float32(x0))
			bottom := s.pix[y1*s.w+x0].mix(s.pix[y1*s.w+x1], u-float32(x0))
			out[y*w+x] = top.mix(bottom, v-float32(y0))
		}
	}
}
