package camera

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// viewer is an RTSP client of a test, with its own code.
type viewer struct {
	t             *testing.T
	conn          net.Conn
	r             *bufio.Reader
	url           string
	cseq          int
	session       string
	authorization func(method, uri string) string
	next          *rtp.Packet // read already, of the picture after the last shot
}

func dial(t *testing.T, url string) *viewer {
	t.Helper()
	host := strings.TrimPrefix(url, "rtsp://")
	host, _, _ = strings.Cut(host, "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		t.Fatal(err)
	}
	return &viewer{t: t, conn: conn, r: bufio.NewReaderSize(conn, 1<<16), url: url}
}

// answer is a response of the camera.
type answer struct {
	status int
	header textproto.MIMEHeader
	body   string
}

// ask sends a request and reads its answer, passing over pictures.
func (v *viewer) ask(method, uri string, headers ...string) answer {
	v.t.Helper()
	v.cseq++
	text := fmt.Sprintf("%s %s RTSP/1.0\r\nCSeq: %d\r\nUser-Agent: test\r\n", method, uri, v.cseq)
	if v.session != "" {
		text += "Session: " + v.session + "\r\n"
	}
	if v.authorization != nil {
		text += "Authorization: " + v.authorization(method, uri) + "\r\n"
	}
	for _, h := range headers {
		text += h + "\r\n"
	}
	if _, err := v.conn.Write([]byte(text + "\r\n")); err != nil {
		v.t.Fatal(err)
	}
	for {
		first, err := v.r.Peek(1)
		if err != nil {
			v.t.Fatalf("waiting for the answer to %s: %v", method, err)
		}
		if first[0] != '$' {
			return v.answer()
		}
		if _, _, err := v.frame(); err != nil {
			v.t.Fatal(err)
		}
	}
}

func (v *viewer) answer() answer {
	v.t.Helper()
	r := textproto.NewReader(v.r)
	line, err := r.ReadLine()
	if err != nil {
		v.t.Fatal(err)
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		v.t.Fatal(err)
	}
	a := answer{header: header}
	if _, err := fmt.Sscanf(line, "RTSP/1.0 %d", &a.status); err != nil {
		v.t.Fatalf("status line %q: %v", line, err)
	}
	if n, _ := strconv.Atoi(header.Get("Content-Length")); n > 0 {
		body := make([]byte, n)
		if _, err := io.ReadFull(v.r, body); err != nil {
			v.t.Fatal(err)
		}
		a.body = string(body)
	}
	if got := header.Get("Cseq"); a.status == statusOK && got != strconv.Itoa(v.cseq) {
		v.t.Errorf("CSeq %q, want %d", got, v.cseq)
	}
	return a
}

// frame reads one interleaved frame.
func (v *viewer) frame() (channel byte, data []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(v.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0] != '$' {
		return 0, nil, fmt.Errorf("%q stands where a frame begins", head)
	}
	data = make([]byte, binary.BigEndian.Uint16(head[2:]))
	_, err = io.ReadFull(v.r, data)
	return head[1], data, err
}

// play goes through SETUP and PLAY.
func (v *viewer) play() {
	v.t.Helper()
	a := v.ask("SETUP", v.url+"/"+track, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	if a.status != statusOK {
		v.t.Fatalf("SETUP: %d", a.status)
	}
	v.session, _, _ = strings.Cut(a.header.Get("Session"), ";")
	if a := v.ask("PLAY", v.url, "Range: npt=0-"); a.status != statusOK {
		v.t.Fatalf("PLAY: %d", a.status)
	}
}

// shot is one picture as it came in packets.
type shot struct {
	annexB  []byte
	ticks   uint32
	packets []rtp.Packet
}

// packet reads the next RTP packet.
func (v *viewer) packet() (*rtp.Packet, error) {
	if p := v.next; p != nil {
		v.next = nil
		return p, nil
	}
	for {
		channel, data, err := v.frame()
		if err != nil {
			return nil, err
		}
		if channel == 0 {
			p := new(rtp.Packet)
			return p, p.Unmarshal(data)
		}
	}
}

// shots reads n pictures; one ends where the RTP time changes.
func (v *viewer) shots(n int) ([]shot, error) {
	var out []shot
	var depacketizer codecs.H264Packet
	for {
		p, err := v.packet()
		if err != nil {
			return out, err
		}
		if len(out) == 0 || out[len(out)-1].ticks != p.Timestamp {
			if len(out) == n {
				v.next = p
				return out, nil
			}
			out = append(out, shot{ticks: p.Timestamp})
		}
		last := &out[len(out)-1]
		last.packets = append(last.packets, *p)
		b, err := depacketizer.Unmarshal(p.Payload)
		if err != nil {
			return out, err
		}
		last.annexB = append(last.annexB, b...)
	}
}

func (v *viewer) mustShots(n int) []shot {
	v.t.Helper()
	shots, err := v.shots(n)
	if err != nil {
		v.t.Fatalf("after %d of %d pictures: %v", len(shots), n, err)
	}
	return shots
}
