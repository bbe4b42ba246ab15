package camera

import (
	"fmt"
	"hash/fnv"
	"math"
	"time"
)

// The car comes through the gate, waits before the camera, drives on, and the
// road stays empty until the next round. Lengths of the acts:
const (
	actApproach = 5 * time.Second
	actWait     = 4 * time.Second
	actLeave    = 900 * time.Millisecond
	actEmpty    = 4100 * time.Millisecond
	round       = actApproach + actWait + actLeave + actEmpty
)

// Scene draws the village gate at any moment. It is not safe for several
// goroutines: it keeps its work space.
type Scene struct {
	width, height int
	name, plate   string
	letters       lettering
	backdrop      *Frame
	plateBox      *Frame // the plate in full size, laid over the lower right corner
	car           car
	unit          float32 // pixels per unit of the layout
	size          int     // pixels per dot of the lettering
	phase         time.Duration
	zone          *time.Location
	work          []ink
}

// NewScene prepares the scene of a camera called name, with a car of the given
// plate. The name also chooses stars, windows, the colour of the car and when it
// comes, so that two cameras differ.
func NewScene(width, height int, name, plate string) (*Scene, error) {
	if err := CheckSize(width, height); err != nil {
		return nil, err
	}
	l, err := newLettering()
	if err != nil {
		return nil, err
	}
	if err := l.check(name); err != nil {
		return nil, fmt.Errorf("camera name: %w", err)
	}
	if err := checkPlate(l, plate); err != nil {
		return nil, err
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	seed := h.Sum64()
	paints := [5]ink{rgb(186, 30, 36), rgb(196, 200, 208), rgb(32, 74, 140), rgb(28, 92, 74), rgb(176, 132, 60)}
	s := &Scene{
		width: width, height: height, name: name, plate: plate, letters: l,
		unit:  float32(height) / sceneHeight,
		size:  max(1, min(width/240, height/136)),
		phase: time.Duration(seed % uint64(round)),
		zone:  time.FixedZone("CST", 8*60*60),
	}
	s.backdrop = drawBackdrop(width, height, l, seed)
	s.car = newCar(l, plate, paints[seed%uint64(len(paints))], s.unit)
	s.plateBox = newPlateBox(l, plate, s.size)
	return s, nil
}

// newPlateBox draws the plate in full size, as cameras that read plates show it.
func newPlateBox(l lettering, plate string, size int) *Frame {
	k := float32(size) / 2
	w, h := int(plateWidth(plate)*k+1)&^1, int(plateHeight*k)&^1
	c := newCanvas(float32(w), float32(h), supersampling)
	drawPlate(c, l, plate, 0, 0, k)
	f := NewFrame(w, h)
	drawOn(f, c.shrunk(w, h), w, h, 0, 0)
	return f
}

// Draw draws the picture number n of moment t into f.
func (s *Scene) Draw(f *Frame, t time.Time, n uint64) {
	f.CopyFrom(s.backdrop)
	s.drawTraffic(f, t)
	s.letters.osd(f, t.In(s.zone).Format("2006-01-02 15:04:05"), 4*s.size, max(1, s.size/2), s.size)
	counter := fmt.Sprintf("#%06d", n%1e6)
	s.letters.osd(f, counter, s.width-(len(counter)*(glyphWidth+1)+2)*s.size, max(1, s.size/2), s.size)
	f.lay(s.plateBox, s.width-s.plateBox.Width-4*s.size, s.height-macroblock-s.plateBox.Height-3*s.size)
	s.letters.osd(f, s.name, 4*s.size, s.height-macroblock-10*s.size, s.size)
	DrawTimecode(f, uint32(t.UnixMilli()))
}

// drawTraffic draws the car where it is at moment t.
func (s *Scene) drawTraffic(f *Frame, t time.Time) {
	at := time.Duration((t.UnixNano() + int64(s.phase)) % int64(round))
	near, aside := 1.0, 0.0
	switch {
	case at < actApproach:
		k := float64(at) / float64(actApproach)
		near = 0.09 + 0.91*(1-math.Pow(1-k, 2))
	case at < actApproach+actWait:
	case at < actApproach+actWait+actLeave:
		k := float64(at-actApproach-actWait) / float64(actLeave)
		near, aside = 1+0.9*k*k, k*k*300
	default:
		return
	}
	lane := float64(vanishX) - 32*near - aside
	ground := horizon + 14 + 86*near
	x := float32(lane-sceneWidth/2)*s.unit + float32(s.width)/2
	s.work = s.car.draw(f, x, float32(ground)*s.unit, float32(near), s.work)
}
