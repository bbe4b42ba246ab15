package camera

import "time"

// stage turns moments into access units. One goroutine owns it.
type stage struct {
	opts    Options
	scene   *Scene
	encoder *Encoder
	frame   *Frame
	start   time.Time
	count   uint64 // pictures so far
	key     time.Time
	keyed   bool // key is the time of the last whole picture, still referred to
}

func newStage(o Options) (*stage, error) {
	s := &stage{opts: o, start: o.Now()}
	return s, s.resize(o.Width, o.Height)
}

// resize starts again with another picture size.
func (s *stage) resize(width, height int) error {
	scene, err := NewScene(width, height, s.opts.Name, s.opts.Plate)
	if err != nil {
		return err
	}
	encoder, err := NewEncoder(width, height)
	if err != nil {
		return err
	}
	s.scene, s.encoder, s.frame = scene, encoder, NewFrame(width, height)
	s.keyed = false
	return nil
}

// rest says that a picture was left out: the next one is whole.
func (s *stage) rest() { s.keyed = false }

// next makes the picture of the moment now.
func (s *stage) next(now time.Time, urgent bool) (*accessUnit, error) {
	faults := s.opts.Faults
	resized := faults.ResizeAfter > 0 && s.count == uint64(faults.ResizeAfter)
	if resized {
		if err := s.resize(faults.ResizeWidth, faults.ResizeHeight); err != nil {
			return nil, err
		}
	}
	idr := urgent || !s.keyed || now.Sub(s.key) >= s.opts.GOP-s.tolerance()
	if idr {
		s.key, s.keyed = now, true
	}
	s.scene.Draw(s.frame, now, s.count)
	s.count++
	slice, err := s.encoder.Encode(s.frame, idr)
	if err != nil {
		return nil, err
	}
	unit := &accessUnit{taken: now, ticks: ticks(now.Sub(s.start)), idr: idr, newSets: resized}
	switch {
	case faults.HEVC:
		unit.payloads = packetizeHEVC(slice, idr)
	case idr:
		unit.payloads = packetize([][]byte{s.encoder.SPS(), s.encoder.PPS()}, slice)
	default:
		unit.payloads = packetize(nil, slice)
	}
	return unit, nil
}

// tolerance is half a picture: a tick that comes early still ends the group.
func (s *stage) tolerance() time.Duration { return time.Second / time.Duration(2*s.opts.FPS) }

// ticks is a span of time on the RTP clock of 90 kHz.
func ticks(d time.Duration) uint32 { return uint32(int64(d) * (clockRate / 10000) / 100000) }
