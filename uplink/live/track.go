package live

import (
	"errors"

	"github.com/pion/webrtc/v4"
)

// track is the video of one viewing as pion sees it: it only passes on where packets are to be written.
type track struct {
	id    string
	codec webrtc.RTPCodecParameters
	bound chan webrtc.TrackLocalContext // what Bind was given, once
}

var _ webrtc.TrackLocal = (*track)(nil)

func newTrack(id string, codec webrtc.RTPCodecParameters) *track {
	return &track{id: id, codec: codec, bound: make(chan webrtc.TrackLocalContext, 1)}
}

// Bind is called once the answer stands.
func (t *track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, codec := range c.CodecParameters() {
		if codec.PayloadType == t.codec.PayloadType {
			select {
			case t.bound <- c:
				return codec, nil
			default:
				return webrtc.RTPCodecParameters{}, errors.New("the video is bound already")
			}
		}
	}
	return webrtc.RTPCodecParameters{}, errors.New("the H.264 that was chosen is not in the answer")
}

// Unbind is called when the connection is closed.
func (t *track) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID names the track in the answer.
func (t *track) ID() string { return "video" }

// RID is empty: there is no simulcast.
func (t *track) RID() string { return "" }

// StreamID is the viewing's id.
func (t *track) StreamID() string { return t.id }

// Kind is video.
func (t *track) Kind() webrtc.RTPCodecType { return webrtc.RTPCodecTypeVideo }
