package camera

import (
	"fmt"
	"strconv"
	"strings"
)

// Faults are the defects a camera can be given. The zero value is a good camera.
type Faults struct {
	NoMarker   bool // no RTP marker bit at the end of a picture
	NoSprop    bool // no parameter sets in the SDP
	HEVC       bool // announces and frames H.265
	CloseAfter int  // drops a client's TCP connection after so many pictures
	StallAfter int  // sends a client no more pictures after so many
	// ResizeAfter changes the size to ResizeWidth x ResizeHeight after so many
	// pictures of the camera, with new parameter sets in the stream.
	ResizeAfter               int
	ResizeWidth, ResizeHeight int
}

// Set adds one fault by its name: no-marker, no-sprop, hevc, close-after=N,
// stall-after=N, resize-after=N:WxH.
func (f *Faults) Set(text string) error {
	name, value, _ := strings.Cut(text, "=")
	switch name {
	case "no-marker":
		f.NoMarker = true
	case "no-sprop":
		f.NoSprop = true
	case "hevc":
		f.HEVC = true
	case "close-after":
		return setCount(&f.CloseAfter, name, value)
	case "stall-after":
		return setCount(&f.StallAfter, name, value)
	case "resize-after":
		count, size, _ := strings.Cut(value, ":")
		if err := setCount(&f.ResizeAfter, name, count); err != nil {
			return err
		}
		width, height, err := ParseSize(size)
		if err != nil {
			return fmt.Errorf("fault %s: %w", text, err)
		}
		f.ResizeWidth, f.ResizeHeight = width, height
	default:
		return fmt.Errorf("fault %q is unknown: use no-marker, no-sprop, hevc, close-after=N, stall-after=N or resize-after=N:WxH", text)
	}
	return nil
}

func setCount(n *int, name, text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 {
		return fmt.Errorf("fault %s=%s: a number of pictures from 1 is needed", name, text)
	}
	*n = v
	return nil
}

// ParseSize reads a picture size such as 480x272 and checks it.
func ParseSize(text string) (width, height int, err error) {
	w, h, _ := strings.Cut(text, "x")
	width, errW := strconv.Atoi(w)
	height, errH := strconv.Atoi(h)
	if errW != nil || errH != nil {
		return 0, 0, fmt.Errorf("picture size %q: write it as WIDTHxHEIGHT, for example 480x272", text)
	}
	return width, height, CheckSize(width, height)
}
