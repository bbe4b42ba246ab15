package rtsp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"watchpost/drivers/rtsp/h264"
)

// Limits of a session description.
const (
	maxSDPLines = 1024
	maxMedia    = 32
	maxSet      = 4 << 10 // bytes of one parameter set
)

var errNoVideo = errors.New("camera offers no video: choose another stream or path")

// CodecError says that the stream is not H.264, the only format that every browser shows without transcoding.
type CodecError struct {
	// Codec is the name the camera uses, such as "H265" or "JPEG".
	Codec string
}

// Error names the remedy.
func (e *CodecError) Error() string {
	return fmt.Sprintf("camera sends %s: choose its H.264 sub-stream", e.Codec)
}

// Media is what the camera says of its video before it sends any.
type Media struct {
	// PayloadType of the video's RTP packets.
	PayloadType uint8
	// SPS and PPS are the parameter sets from sprop-parameter-sets, nil when missing or unusable (D7).
	SPS, PPS []byte
	// ClockRate of the RTP timestamps in Hz, nearly always 90,000.
	ClockRate uint32

	control string
}

// section is one m= section of a session description, or the part before the first.
type section struct {
	kind     string // "video"; "" before the first m=
	formats  []string
	control  string
	rtpmap   map[string]string
	fmtp     map[string]string
	backward bool // a=sendonly: the camera says it wants to hear, not to send (ONVIF back channel)
}

// parseSDP finds the first H.264 video. It does not use a strict parser on purpose: v=, o=, s=, c=, t= and b=
// are written in too many broken ways and say nothing that is needed here (D1 to D4); only m= and a= lines
// count, in any order (D13), and a media that cannot be read is passed over (D5).
func parseSDP(body []byte) (media Media, base string, err error) {
	session, sections, err := sdpSections(body)
	if err != nil {
		return Media{}, "", err
	}
	codec := ""
	for _, forward := range []bool{true, false} { // D11: if no media is forward, all are
		for i := range sections {
			s := &sections[i]
			if s.kind != "video" || forward && s.backward {
				continue
			}
			m, name, ok := s.h264(sections)
			if ok {
				return m, session.control, nil
			}
			if codec == "" {
				codec = name
			}
		}
		if codec != "" {
			return Media{}, "", &CodecError{Codec: codec}
		}
	}
	return Media{}, "", errNoVideo
}

func sdpSections(body []byte) (session section, sections []section, err error) {
	session = section{rtpmap: map[string]string{}, fmtp: map[string]string{}}
	now := &session
	// A carriage return alone ends a line, too: what stands in one goes into a request line of ours.
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(body)), "\n")
	if len(lines) > maxSDPLines {
		return section{}, nil, fmt.Errorf("session description of more than %d lines", maxSDPLines)
	}
	for _, raw := range lines {
		line := strings.TrimSpace(raw)
		switch {
		case strings.HasPrefix(line, "m="):
			if len(sections) >= maxMedia {
				return section{}, nil, fmt.Errorf("session description of more than %d media", maxMedia)
			}
			part := strings.Fields(line[2:])
			s := section{kind: "?", rtpmap: map[string]string{}, fmtp: map[string]string{}}
			if len(part) >= 4 && strings.Contains(part[2], "RTP/") {
				s.kind, s.formats = strings.ToLower(part[0]), part[3:]
			}
			sections = append(sections, s)
			now = &sections[len(sections)-1]
		case strings.HasPrefix(line, "a="):
			now.attribute(line[2:])
		}
	}
	return session, sections, nil
}

func (s *section) attribute(a string) {
	name, value, _ := strings.Cut(a, ":")
	value = strings.TrimSpace(value)
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "control":
		s.control = value
	case "sendonly":
		s.backward = true
	case "rtpmap":
		if pt, m, ok := strings.Cut(value, " "); ok {
			s.rtpmap[pt] = strings.TrimSpace(m)
		}
	case "fmtp":
		if pt, f, ok := strings.Cut(value, " "); ok { // D6: nothing after the payload type is no fmtp
			s.fmtp[pt] = strings.TrimSpace(f)
		}
	}
}

// h264 reads a video section; when it is no H.264, it returns the codec's name.
func (s *section) h264(all []section) (m Media, codec string, ok bool) {
	for _, format := range s.formats {
		pt, err := strconv.ParseUint(format, 10, 8)
		if err != nil || pt > 127 {
			continue
		}
		name, rest, _ := strings.Cut(s.rtpmap[format], "/")
		name = strings.TrimSpace(name)
		if name == "" {
			name = staticVideo(pt)
		}
		if !strings.EqualFold(name, "H264") {
			if codec == "" {
				codec = name
			}
			continue
		}
		m = Media{PayloadType: uint8(pt), ClockRate: clockRate(rest), control: s.control}
		fmtp := s.fmtp[format]
		for i := 0; fmtp == "" && i < len(all); i++ { // D6: on the wrong media
			fmtp = all[i].fmtp[format]
		}
		m.SPS, m.PPS = spropSets(fmtp)
		return m, "H264", true
	}
	if codec == "" {
		codec = "an unknown format"
	}
	return Media{}, codec, false
}

// staticVideo names the payload types that need no rtpmap (RFC 3551 table 5, and D10: 35 at Bosch).
func staticVideo(pt uint64) string {
	switch pt {
	case 26:
		return "JPEG"
	case 32:
		return "MPEG video"
	case 34:
		return "H263"
	case 35:
		return "H264"
	default:
		return "an unknown format"
	}
}

// clockRate reads the rate of an rtpmap; 90,000 when it is missing or nonsense (D9).
func clockRate(s string) uint32 {
	s, _, _ = strings.Cut(s, "/")
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil || n < 1000 {
		return 90000
	}
	return uint32(n)
}

// spropSets reads sprop-parameter-sets (RFC 6184 8.1). Start codes in front are stripped (D7); what is no SPS
// or PPS is left out: the sets will come in-band.
func spropSets(fmtp string) (sps, pps []byte) {
	for _, p := range strings.Split(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(strings.TrimSpace(key), "sprop-parameter-sets") {
			continue
		}
		for _, one := range strings.Split(value, ",") {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(one))
			if err != nil {
				if raw, err = base64.RawStdEncoding.DecodeString(strings.TrimSpace(one)); err != nil {
					continue
				}
			}
			for _, nal := range h264.Split(nil, raw) {
				switch {
				case len(nal) < 2 || len(nal) > maxSet:
				case h264.TypeOf(nal) == h264.SPS && sps == nil:
					sps = nal
				case h264.TypeOf(nal) == h264.PPS && pps == nil:
					pps = nal
				}
			}
		}
	}
	return sps, pps
}
