package camera

import (
	"math"
	"math/rand/v2"
)

// The scene is laid out in units of a picture of 480 x 272; other sizes stretch it.
const (
	sceneWidth  = 480
	sceneHeight = 272
	horizon     = 132
	vanishX     = 240
)

// supersampling is the number of drawn pixels per pixel and direction.
const supersampling = 3

// drawBackdrop draws all that stands still: sky, hills, houses, road and gate.
// The seed chooses stars, hills and windows, so that two cameras differ.
func drawBackdrop(width, height int, l lettering, seed uint64) *Frame {
	c := newCanvas(sceneWidth, sceneHeight, 1)
	c.w, c.h = width*supersampling, height*supersampling
	c.pix = make([]ink, c.w*c.h)
	c.scale = float32(c.h) / sceneHeight
	// A picture wider or narrower than 480:272 shows more or less at the sides.
	c.origin.x = sceneWidth/2 - float32(c.w)/c.scale/2
	random := rand.New(rand.NewPCG(seed, 2))
	left, right := c.origin.x, c.origin.x+float32(c.w)/c.scale

	drawSky(c, random, left, right)
	drawHills(c, random, left, right)
	drawFields(c, left, right)
	drawHouse(c, random, 44, 176, 78, 60)
	drawHouse(c, random, 118, 158, 44, 36)
	drawHouse(c, random, 432, 178, 84, 58)
	drawHouse(c, random, 356, 159, 46, 38)
	drawRoad(c)
	drawLamp(c, 108, 206, 116)
	drawGate(c, l)
	drawLamp(c, 384, 212, 124)

	f := NewFrame(width, height)
	pix := c.shrunk(width, height)
	grain(pix, random)
	drawOn(f, pix, width, height, 0, 0)
	return f
}

// grain is the noise of a night sensor; it also hides the steps of gradients.
func grain(pix []ink, random *rand.Rand) {
	for i := range pix {
		n := (random.Float32() - 0.5) * 0.012
		p := &pix[i]
		p.r, p.g, p.b = max(p.r+n, 0), max(p.g+n, 0), max(p.b+n, 0)
	}
}

func drawSky(c *canvas, random *rand.Rand, left, right float32) {
	c.rect(left, 0, right, horizon+20, func(_, y float32) ink {
		if y < 90 {
			return rgb(7, 11, 30).mix(rgb(22, 32, 68), y/90)
		}
		return rgb(22, 32, 68).mix(rgb(74, 64, 92), (y-90)/60)
	})
	for range 90 {
		x, y := left+random.Float32()*(right-left), random.Float32()*95
		r := 0.35 + 0.45*random.Float32()
		c.oval(x, y, r, r, flat(rgb(220, 226, 255).fade(0.35+0.6*random.Float32())))
	}
	c.glow(92, 44, 62, 62, rgb(90, 100, 130))
	c.oval(92, 44, 13, 13, flat(rgb(236, 234, 214)))
	c.oval(88, 41, 3.4, 2.8, flat(rgb(214, 212, 196)))
	c.oval(96, 49, 2.6, 2, flat(rgb(216, 214, 198)))
	c.oval(97, 39, 1.7, 1.5, flat(rgb(218, 216, 200)))
}

func drawHills(c *canvas, random *rand.Rand, left, right float32) {
	for layer, base := range [3]float32{104, 116, 126} {
		tint := rgb(34, 40, 74).mix(rgb(14, 22, 34), float32(layer)/2)
		height := 26 - 6*float32(layer)
		p1, p2 := random.Float64()*6, random.Float64()*6
		ridge := func(x float32) float32 {
			u := float64(x) / 480 * 2 * math.Pi
			return base - height*float32(0.5+0.34*math.Sin(1.3*u+p1)+0.16*math.Sin(3.7*u+p2)+0.05*math.Sin(11*u+p1))
		}
		c.area(left, 60, right, horizon+24, flat(tint), func(x, y float32) bool { return y > ridge(x) })
	}
}

func drawFields(c *canvas, left, right float32) {
	c.rect(left, horizon+12, right, sceneHeight, vertical(rgb(20, 34, 34), rgb(26, 48, 30), horizon+12, sceneHeight))
	for i := range 9 {
		y := float32(horizon+16) + float32(i*i)*1.7
		c.rect(left, y, right, y+0.6+float32(i)*0.12, flat(rgb(40, 66, 44).fade(0.45)))
	}
}

// drawHouse draws a house of the region: white walls, black tiles, stepped gables.
func drawHouse(c *canvas, random *rand.Rand, x, ground, w, h float32) {
	l, r, top := x-w/2, x+w/2, ground-h
	wall := vertical(rgb(92, 98, 118), rgb(66, 70, 86), top, ground)
	c.rect(l, top, r, ground, wall)
	tile := flat(rgb(16, 18, 26))
	c.shape(tile, point{l + 4, top + 2}, point{r - 4, top + 2}, point{r - 12, top - h*0.18}, point{l + 12, top - h*0.18})
	for _, side := range [2]float32{-1, 1} {
		edge := x + side*w/2
		for step := range 3 {
			rise := h * (0.30 - 0.11*float32(step))
			inner := edge - side*w*0.075*float32(step+1)
			outer := edge - side*w*0.075*float32(step)
			c.rect(inner, top-rise+h*0.12, outer, top+3, wall)
			c.rect(min(inner, outer)-1.2, top-rise+h*0.12-1.8, max(inner, outer)+1.2, top-rise+h*0.12, tile)
		}
	}
	c.rect(l-1, ground-3, r+1, ground, flat(rgb(44, 46, 54)))
	columns := 3
	for row := range 2 {
		for col := range columns {
			wx := l + w*(float32(col)+0.5)/float32(columns)
			wy := top + h*(0.24+0.38*float32(row))
			drawWindow(c, wx, wy, w*0.085, h*0.1, random.IntN(10) < 6)
		}
	}
}

func drawWindow(c *canvas, x, y, rx, ry float32, lit bool) {
	c.rect(x-rx-1, y-ry-1, x+rx+1, y+ry+1, flat(rgb(38, 32, 34)))
	if !lit {
		c.rect(x-rx, y-ry, x+rx, y+ry, flat(rgb(24, 30, 48)))
		return
	}
	c.rect(x-rx, y-ry, x+rx, y+ry, vertical(rgb(255, 214, 132), rgb(232, 160, 78), y-ry, y+ry))
	c.rect(x-0.5, y-ry, x+0.5, y+ry, flat(rgb(96, 64, 40)))
	c.rect(x-rx, y-0.4, x+rx, y+0.4, flat(rgb(96, 64, 40)))
	c.glow(x, y, rx*4, ry*4, rgb(110, 72, 30))
}

// roadEdge is half the width of the road at height y.
func roadEdge(y float32) float32 { return 7 + (y-horizon)*1.52 }

func drawRoad(c *canvas) {
	c.area(0-200, horizon+13, sceneWidth+200, sceneHeight, func(x, y float32) ink {
		near := (y - horizon) / (sceneHeight - horizon)
		lit := rgb(58, 60, 68).mix(rgb(76, 78, 86), near)
		side := float32(math.Abs(float64(x-vanishX))) / roadEdge(y)
		return lit.mix(rgb(36, 38, 46), side*side*0.8)
	}, func(x, y float32) bool { return float32(math.Abs(float64(x-vanishX))) < roadEdge(y) })
	line := flat(rgb(206, 208, 204).fade(0.85))
	for _, side := range [2]float32{-1, 1} {
		y0, y1 := float32(horizon+13), float32(sceneHeight)
		a, b := roadEdge(y0)*0.93*side, roadEdge(y1)*0.93*side
		c.shape(line, point{vanishX + a, y0}, point{vanishX + a*1.06, y0}, point{vanishX + b*1.022, y1}, point{vanishX + b, y1})
	}
	for y := float32(horizon + 16); y < sceneHeight; {
		near := (y - horizon) / 100
		length := 4 + 17*near
		w := 0.4 + 2.1*near
		c.shape(flat(rgb(222, 186, 84).fade(0.9)), point{vanishX - w*0.8, y}, point{vanishX + w*0.8, y}, point{vanishX + w, y + length}, point{vanishX - w, y + length})
		y += length * 2.1
	}
}

// drawLamp draws a street lamp with its light on the ground.
func drawLamp(c *canvas, x, ground, top float32) {
	reach := float32(26)
	if x > vanishX {
		reach = -reach
	}
	head := x + reach
	c.glow(head, ground+6, 92, 30, rgb(150, 112, 56))
	c.shape(func(_, y float32) ink {
		return rgb(255, 206, 128).light().fade(0.16 * (1 - (y-top)/(ground-top)*0.85))
	}, point{head - 3, top + 4}, point{head + 3, top + 4}, point{head + 44, ground + 8}, point{head - 44, ground + 8})
	pole := flat(rgb(30, 32, 40))
	c.line(point{x, ground}, point{x, top}, 2.6, pole)
	c.line(point{x, top}, point{head, top - 1}, 1.8, pole)
	c.shape(pole, point{head - 6, top - 2}, point{head + 6, top - 2}, point{head + 4, top + 2}, point{head - 4, top + 2})
	c.oval(head, top+2.6, 4, 1.8, flat(rgb(255, 240, 206)))
	c.glow(head, top+3, 30, 24, rgb(255, 196, 110))
}

// drawGate draws the village gate: two posts, two roofs and a board with the
// characters of the two provinces that meet here.
func drawGate(c *canvas, l lettering) {
	stone := func(x, _ float32) ink {
		k := float32(math.Mod(float64(x-136), 192)) / 16
		return rgb(150, 142, 134).mix(rgb(92, 86, 88), k)
	}
	for _, x := range [2]float32{136, 328} {
		c.rect(x, 84, x+16, 204, stone)
		c.rect(x-4, 196, x+20, 206, flat(rgb(96, 92, 92)))
		c.rect(x-2, 192, x+18, 196, flat(rgb(118, 112, 110)))
		c.rect(x+2, 112, x+14, 168, flat(rgb(104, 34, 32)))
	}
	c.rect(128, 92, 352, 99, vertical(rgb(148, 52, 42), rgb(96, 28, 26), 92, 99))
	c.rect(132, 70, 348, 75, vertical(rgb(148, 52, 42), rgb(96, 28, 26), 70, 75))
	for x := float32(150); x < 340; x += 15 {
		c.rect(x, 75, x+4, 92, flat(rgb(84, 70, 66)))
	}
	drawRoof(c, 240, 70, 128, 15)
	drawRoof(c, 240, 49, 76, 14)
	c.rect(184, 51, 296, 57, flat(rgb(110, 36, 32)))
	c.rect(192, 66, 288, 103, flat(rgb(214, 172, 86)))
	c.rect(194.5, 68.5, 285.5, 100.5, flat(rgb(30, 44, 92)))
	gold := flat(rgb(255, 222, 130))
	l.write(c, '浙', 204, 71.5, 26, 26, gold)
	l.write(c, '赣', 250, 71.5, 26, 26, gold)
	c.glow(240, 84, 80, 36, rgb(70, 56, 26))
	for _, x := range [2]float32{166, 314} {
		drawLantern(c, x, 112)
	}
}

func drawRoof(c *canvas, x, y, half, rise float32) {
	tile := vertical(rgb(52, 56, 68), rgb(22, 24, 34), y-rise, y)
	c.shape(tile,
		point{x - half, y - 6}, point{x - half*0.86, y - 2.5}, point{x - half*0.7, y - 4}, point{x - half*0.58, y - rise},
		point{x + half*0.58, y - rise}, point{x + half*0.7, y - 4}, point{x + half*0.86, y - 2.5}, point{x + half, y - 6},
		point{x + half*0.9, y + 2}, point{x - half*0.9, y + 2})
	c.rect(x-half*0.6, y-rise-1.6, x+half*0.6, y-rise+1.2, flat(rgb(76, 80, 92)))
	c.rect(x-half*0.9, y+0.6, x+half*0.9, y+2.4, flat(rgb(164, 120, 62)))
}

func drawLantern(c *canvas, x, y float32) {
	c.line(point{x, y - 13}, point{x, y - 7}, 0.9, flat(rgb(60, 40, 30)))
	c.glow(x, y, 34, 30, rgb(210, 62, 34))
	c.oval(x, y, 7.4, 6.6, func(px, py float32) ink {
		k := (px-x)*(px-x)/55 + (py-y)*(py-y)/44
		return rgb(255, 120, 66).mix(rgb(190, 28, 24), k)
	})
	c.rect(x-3.2, y-7.6, x+3.2, y-5.8, flat(rgb(220, 176, 84)))
	c.rect(x-3.2, y+5.8, x+3.2, y+7.6, flat(rgb(220, 176, 84)))
	c.line(point{x, y + 7.6}, point{x, y + 13}, 1, flat(rgb(206, 56, 40)))
}
