package camera

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// track is the control attribute of the only media.
const track = "trackID=1"

// describe is the SDP of the camera (RFC 4566, RFC 6184 8.2.1).
func describe(host string, f Faults, sps, pps []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 1 1 IN IP4 %s\r\ns=Village gate\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\na=range:npt=now-\r\n", host)
	fmt.Fprintf(&b, "m=video 0 RTP/AVP %d\r\n", payloadType)
	if f.HEVC {
		fmt.Fprintf(&b, "a=rtpmap:%d H265/%d\r\n", payloadType, clockRate)
	} else {
		fmt.Fprintf(&b, "a=rtpmap:%d H264/%d\r\n", payloadType, clockRate)
		fmt.Fprintf(&b, "a=fmtp:%d packetization-mode=1; profile-level-id=%02X%02X%02X", payloadType, sps[1], sps[2], sps[3])
		if !f.NoSprop {
			encode := base64.StdEncoding.EncodeToString
			fmt.Fprintf(&b, "; sprop-parameter-sets=%s,%s", encode(sps), encode(pps))
		}
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "a=control:%s\r\n", track)
	return b.String()
}
