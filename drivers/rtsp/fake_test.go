package rtsp

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"watchpost/drivers/rtsp/h264"
)

const plainSDP = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=control:trackID=1\r\n" +
	"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9oBQBbsBEAAAAMAQAAADIPGDKg=,aM48gA==\r\n"

// asked is one request as the fake camera read it, with the header lines as they stood.
type asked struct {
	method, uri string
	lines       []string
}

// header finds a value by the exact name: the fake compares case, as some cameras do (A10).
func (a asked) header(name string) string {
	for _, l := range a.lines {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			return v
		}
	}
	return ""
}

// fake is a camera written down for one test. It shares no code with the client.
type fake struct {
	t         *testing.T
	sdp       string
	describe  string   // further header lines of the answer to DESCRIBE, each ended by \r\n
	transport string   // of the answer to SETUP
	session   []string // Session header of the answers to SETUP, PLAY, …; the last is repeated
	public    string
	realm     string // "" asks for no password
	algorithm string // of Digest
	qop       bool
	challenge string // replaces the whole WWW-Authenticate lines
	user      string
	password  string
	nonces    int                                         // requests after which a nonce is stale, 0 = never
	answer    func(a asked) string                        // "" = the usual answer
	beforeOK  []byte                                      // sent before the answer of PLAY
	media     func(conn net.Conn, played <-chan struct{}) // runs after PLAY until it returns; then the connection stays

	listener net.Listener
	tasks    sync.WaitGroup
	mu       sync.Mutex // mu guards the fields below
	log      []asked
	used     int
	nonce    int
	conns    []net.Conn
	raw      []byte // what came interleaved
}

func (f *fake) start() string {
	if f.sdp == "" {
		f.sdp = plainSDP
	}
	if f.transport == "" {
		f.transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
	}
	if len(f.session) == 0 {
		f.session = []string{"12345678;timeout=60"}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.listener = l
	f.tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
			f.tasks.Go(func() { f.serve(conn) })
		}
	})
	f.t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		f.tasks.Wait()
	})
	return "rtsp://" + l.Addr().String() + "/cam?ch=1"
}

// requests lists the methods asked for so far.
func (f *fake) requests() (methods []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.log {
		methods = append(methods, a.method)
	}
	return methods
}

func (f *fake) last(method string) asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.log) - 1; i >= 0; i-- {
		if f.log[i].method == method {
			return f.log[i]
		}
	}
	f.t.Errorf("no %s was asked", method)
	return asked{}
}

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	played := make(chan struct{})
	var media sync.WaitGroup
	defer media.Wait()
	defer conn.Close()
	for {
		first, err := br.Peek(1)
		if err != nil {
			return
		}
		if first[0] == '$' {
			head := make([]byte, 4)
			io.ReadFull(br, head)
			body := make([]byte, int(head[2])<<8|int(head[3]))
			io.ReadFull(br, body)
			f.mu.Lock()
			f.raw = append(f.raw, append(head, body...)...)
			f.mu.Unlock()
			continue
		}
		var a asked
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "RTSP/") { // the answer to the camera's own request
			a.method = strings.TrimSpace(line)
		} else {
			part := strings.Fields(line)
			a.method, a.uri = part[0], part[1]
		}
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
			a.lines = append(a.lines, strings.TrimRight(line, "\r\n"))
		}
		f.mu.Lock()
		f.log = append(f.log, a)
		f.mu.Unlock()
		if strings.HasPrefix(a.method, "RTSP/") {
			continue
		}
		if a.method == "PLAY" && f.beforeOK != nil {
			conn.Write(f.beforeOK)
		}
		res := f.reply(a)
		if res != "" {
			conn.Write([]byte(res))
		}
		if a.method == "PLAY" && strings.HasPrefix(res, "RTSP/1.0 200") && f.media != nil {
			close(played)
			media.Go(func() { f.media(conn, played) })
		}
	}
}

func (f *fake) reply(a asked) string {
	cseq := "CSeq: " + a.header("CSeq") + "\r\n"
	if f.realm != "" {
		if res := f.unauthorized(a); res != "" {
			return "RTSP/1.0 401 Unauthorized\r\n" + cseq + res + "\r\n"
		}
	}
	if f.answer != nil {
		if res := f.answer(a); res != "" {
			if res == "-" {
				return ""
			}
			return strings.Replace(res, "\r\n", "\r\n"+cseq, 1)
		}
	}
	session := func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		s := f.session[0]
		if len(f.session) > 1 {
			f.session = f.session[1:]
		}
		return "Session: " + s + "\r\n"
	}
	switch a.method {
	case "DESCRIBE":
		return fmt.Sprintf("RTSP/1.0 200 OK\r\n%s%sContent-Length: %d\r\n\r\n%s", cseq, f.describe, len(f.sdp), f.sdp)
	case "SETUP":
		return "RTSP/1.0 200 OK\r\n" + cseq + session() + "Transport: " + f.transport + "\r\n\r\n"
	case "OPTIONS", "GET_PARAMETER":
		return "RTSP/1.0 200 OK\r\n" + cseq + "Public: " + f.public + "\r\n\r\n"
	default:
		return "RTSP/1.0 200 OK\r\n" + cseq + session() + "\r\n"
	}
}

// unauthorized checks the Authorization header by a computation of its own; "" lets the request pass.
func (f *fake) unauthorized(a asked) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	hash := func(s string) string {
		if strings.HasPrefix(f.algorithm, "SHA-256") {
			h := sha256.Sum256([]byte(s))
			return hex.EncodeToString(h[:])
		}
		h := md5.Sum([]byte(s))
		return hex.EncodeToString(h[:])
	}
	params := map[string]string{}
	for _, p := range strings.Split(strings.TrimPrefix(a.header("Authorization"), "Digest "), ", ") {
		k, v, _ := strings.Cut(p, "=")
		params[k] = strings.Trim(v, `"`)
	}
	nonce := fmt.Sprint("nonce", f.nonce)
	stale := ""
	if f.nonces > 0 && f.used >= f.nonces && params["nonce"] == nonce {
		f.nonce++
		f.used = 0
		nonce, stale = fmt.Sprint("nonce", f.nonce), ", stale=true"
	}
	ha1 := hash(f.user + ":" + f.realm + ":" + f.password)
	if strings.HasSuffix(f.algorithm, "-sess") {
		ha1 = hash(ha1 + ":" + nonce + ":" + params["cnonce"])
	}
	middle := nonce
	if f.qop {
		middle = strings.Join([]string{nonce, params["nc"], params["cnonce"], "auth"}, ":")
	}
	want := hash(ha1 + ":" + middle + ":" + hash(a.method+":"+a.uri))
	if params["response"] == want && params["uri"] == a.uri && params["username"] == f.user {
		f.used++
		return ""
	}
	if f.challenge != "" {
		return strings.ReplaceAll(f.challenge, "NONCE", nonce)
	}
	c := fmt.Sprintf("WWW-Authenticate: Digest realm=\"%s\", nonce=\"%s\"%s", f.realm, nonce, stale)
	if f.algorithm != "" {
		c += ", algorithm=" + f.algorithm
	}
	if f.qop {
		c += `, qop="auth,auth-int"`
	}
	return c + "\r\n"
}

// interleave frames a packet.
func interleave(channel uint8, b []byte) []byte {
	return append([]byte{'$', channel, byte(len(b) >> 8), byte(len(b))}, b...)
}

// pictures makes n frames of one small packet each, as interleaved bytes.
func pictures(channel uint8, pt uint8, from, n int) (out []byte) {
	for i := from; i < from+n; i++ {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pt, SSRC: 7, SequenceNumber: uint16(i), Timestamp: uint32(i) * 3600, Marker: true}, Payload: []byte{0x65, 0x88, byte(i)}}
		b, err := p.Marshal()
		if err != nil {
			panic(err)
		}
		out = append(out, interleave(channel, b)...)
	}
	return out
}

// client makes a client for a fake with short time-outs.
func client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// watch connects and plays until n units have come.
func watch(t *testing.T, c *Client, n int) (*Session, []h264.Unit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := c.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var units []h264.Unit
	err = s.Play(ctx, func(u h264.Unit) error {
		units = append(units, h264.Unit{Timestamp: u.Timestamp, Key: u.Key, Lost: u.Lost})
		if len(units) >= n {
			return errEnough
		}
		return nil
	})
	if len(units) < n {
		t.Fatalf("%d units of %d: %v, stats %+v", len(units), n, err, s.Stats())
	}
	return s, units
}

type enough struct{}

func (enough) Error() string { return "enough" }

var errEnough error = enough{}
