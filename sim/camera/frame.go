package camera

import "image"

// Frame is one picture in YCbCr 4:2:0 with the limited range of ITU-R BT.601:
// Y from 16 to 235, Cb and Cr from 16 to 240 around 128. Y has Width x Height
// samples, Cb and Cr a quarter of that, rows without padding.
type Frame struct {
	Width, Height int
	Y, Cb, Cr     []byte
}

// NewFrame makes a black picture.
func NewFrame(width, height int) *Frame {
	f := &Frame{
		Width: width, Height: height,
		Y:  make([]byte, width*height),
		Cb: make([]byte, width*height/4),
		Cr: make([]byte, width*height/4),
	}
	fill(f.Y, 16)
	fill(f.Cb, 128)
	fill(f.Cr, 128)
	return f
}

// CopyFrom makes f the picture g, which has the same size.
func (f *Frame) CopyFrom(g *Frame) {
	copy(f.Y, g.Y)
	copy(f.Cb, g.Cb)
	copy(f.Cr, g.Cr)
}

// Image is the picture as the standard library draws it, without a copy. The
// library reads full-range values, so it looks a little pale.
func (f *Frame) Image() *image.YCbCr {
	return &image.YCbCr{
		Y: f.Y, Cb: f.Cb, Cr: f.Cr, YStride: f.Width, CStride: f.Width / 2,
		SubsampleRatio: image.YCbCrSubsampleRatio420,
		Rect:           image.Rect(0, 0, f.Width, f.Height),
	}
}

// box fills a rectangle with one grey value, clipped to the picture.
func (f *Frame) box(x, y, w, h int, luma byte) {
	for r := max(y, 0); r < min(y+h, f.Height); r++ {
		left, right := max(x, 0), min(x+w, f.Width)
		if left < right {
			fill(f.Y[r*f.Width+left:r*f.Width+right], luma)
		}
	}
	for r := max(y/2, 0); r < min((y+h+1)/2, f.Height/2); r++ {
		left, right := max(x/2, 0), min((x+w+1)/2, f.Width/2)
		if left < right {
			fill(f.Cb[r*f.Width/2+left:r*f.Width/2+right], 128)
			fill(f.Cr[r*f.Width/2+left:r*f.Width/2+right], 128)
		}
	}
}

// lay copies the whole of g into f with the upper left corner at (x, y), taken
// down to even numbers. g must fit.
func (f *Frame) lay(g *Frame, x, y int) {
	x, y = x&^1, y&^1
	for r := range g.Height {
		copy(f.Y[(y+r)*f.Width+x:], g.Y[r*g.Width:(r+1)*g.Width])
	}
	for r := range g.Height / 2 {
		at := (y/2+r)*f.Width/2 + x/2
		copy(f.Cb[at:], g.Cb[r*g.Width/2:(r+1)*g.Width/2])
		copy(f.Cr[at:], g.Cr[r*g.Width/2:(r+1)*g.Width/2])
	}
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}
