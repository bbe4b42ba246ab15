package live

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"watchpost/storage/ring"
)

// maxOffer bounds a session description; a browser's with every codec has some 8 KiB.
const maxOffer = 64 << 10

// profiles are the H.264 profiles that may be named in an answer: profile_idc and the constraint byte.
func profiles() []string {
	return []string{"42e0", "42c0", "4200", "4d00", "4d40", "6400", "640c", "f400"}
}

// h264Codec describes H.264 in packetization mode 1 (RFC 6184 8.1).
func h264Codec(pt webrtc.PayloadType, profileLevel string) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{PayloadType: pt, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine:  "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profileLevel,
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}},
	}}
}

// offered is one way in which the viewer takes H.264.
type offered struct {
	pt      webrtc.PayloadType
	profile string // profile-level-id, lower case
}

// offer is what must be known of a viewer's session description.
type offer struct{ formats []offered }

// readOffer checks an offer before anything is done for it.
func readOffer(text string) (offer, error) {
	if len(text) > maxOffer {
		return offer{}, errors.New("the offer is longer than 64 KiB")
	}
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		return offer{}, fmt.Errorf("the offer is no session description: %w", err)
	}
	var o offer
	videos := 0
	for _, m := range s.MediaDescriptions {
		if m.MediaName.Media != "video" {
			continue
		}
		videos++
		if _, ok := m.Attribute("sendonly"); ok {
			return offer{}, errors.New("the offer's video is to be sent, not received")
		}
		o.formats = append(o.formats, readFormats(m)...)
	}
	if videos != 1 {
		return offer{}, fmt.Errorf("the offer has %d videos: offer one", videos)
	}
	if len(o.formats) == 0 {
		return offer{}, errors.New("the offer has no H.264 in packetization mode 1")
	}
	return o, nil
}

// readFormats finds the payload types of H.264 in packetization mode 1, in the viewer's order.
func readFormats(m *sdp.MediaDescription) []offered {
	h264, fmtp := map[string]bool{}, map[string]string{}
	for _, a := range m.Attributes {
		pt, value, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "rtpmap":
			h264[pt] = strings.EqualFold(strings.TrimSpace(value), "H264/90000")
		case "fmtp":
			fmtp[pt] = value
		}
	}
	known := profiles()
	var out []offered
	for _, format := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil || !h264[format] {
			continue
		}
		mode, profile := "", ""
		for _, p := range strings.Split(fmtp[format], ";") {
			switch key, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.ToLower(key) {
			case "packetization-mode":
				mode = value
			case "profile-level-id":
				profile = strings.ToLower(value)
			}
		}
		for _, k := range known {
			if mode == "1" && len(profile) == 6 && strings.HasPrefix(profile, k) {
				out = append(out, offered{webrtc.PayloadType(pt), profile})
			}
		}
	}
	return out
}

// choose takes the format that fits the camera's parameter sets best: the same profile, then one that contains
// it, then the first. Decoders judge by the stream and not by what was agreed on, so even that one is likely to
// play. The level is the viewer's: asymmetry is allowed.
func (o offer) choose(sets *ring.Sets) webrtc.RTPCodecParameters {
	profile, constraints := byte(0x42), byte(0xe0)
	if sets != nil && len(sets.SPS) >= 4 {
		profile, constraints = sets.SPS[1], sets.SPS[2]
	}
	best, score := o.formats[0], -1
	for _, f := range o.formats {
		n, err := strconv.ParseUint(f.profile[:4], 16, 16)
		if err != nil {
			continue
		}
		if s := fit(profile, constraints, byte(n>>8), byte(n)); s > score {
			best, score = f, s
		}
	}
	return h264Codec(best.pt, best.profile)
}

// fit says how well a stream of one profile goes with an agreed one.
func fit(profile, constraints, agreed, agreedConstraints byte) int {
	constrained := profile == 0x42 && constraints&0x40 != 0
	switch {
	case profile == agreed && constrained == (agreedConstraints&0x40 != 0):
		return 4
	case profile == agreed:
		return 3
	case constrained && (agreed == 0x4d || agreed == 0x64): // constrained baseline is a part of both
		return 2
	case profile == 0x4d && agreed == 0x64: // main is a part of high
		return 2
	default:
		return 0
	}
}
