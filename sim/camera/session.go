package camera

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of one client.
const (
	queueLength  = 64 // answers and pictures waiting for the socket
	writeTimeout = 5 * time.Second
	reportEvery  = 5 * time.Second
)

// errOver ends a session in good order: TEARDOWN, or a fault that was asked for.
var errOver = errors.New("session over")

// session is one connection. Its reader owns the fields of the RTSP state, its
// writer those of the RTP stream, the camera's producer the field skipping.
type session struct {
	cam   *Camera
	conn  net.Conn
	guard guard
	id    string
	out   chan outgoing

	ready, playing bool // SETUP was answered, PLAY was answered

	skipping bool // until the next whole picture

	stream stream
}

// outgoing is an answer or a picture.
type outgoing struct {
	answer []byte
	unit   *accessUnit
}

// stream is the state of a client's RTP packets.
type stream struct {
	ssrc, base      uint32
	firstSeq, seq   uint16
	packets, octets uint32
	pictures        int
	channel         byte
	buf             []byte
}

func newSession(c *Camera, conn net.Conn) *session {
	seq := uint16(mrand.Uint32N(1 << 15))
	return &session{
		cam: c, conn: conn,
		guard:    guard{user: c.opts.User, password: c.opts.Password, realm: realm, nonce: rand.Text(), algorithms: c.algorithms},
		id:       rand.Text()[:16],
		out:      make(chan outgoing, queueLength),
		skipping: true,
		stream:   stream{ssrc: mrand.Uint32(), base: mrand.Uint32(), firstSeq: seq, seq: seq},
	}
}

// run serves the connection until one side ends it.
func (s *session) run(ctx context.Context) error {
	group, both := errgroup.WithContext(ctx)
	stop := context.AfterFunc(both, func() { _ = s.conn.Close() }) // unblocks both goroutines
	defer stop()
	defer s.cam.stop(s)
	group.Go(func() error { return s.read(both) })
	group.Go(func() error { return s.write(both) })
	err := group.Wait()
	if errors.Is(err, errOver) || errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return err
}

// read takes requests and answers them.
func (s *session) read(ctx context.Context) error {
	r := bufio.NewReaderSize(s.conn, maxLine)
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(s.cam.opts.Timeout)); err != nil {
			return err
		}
		req, frame, err := readMessage(r)
		switch {
		case errors.Is(err, errMalformed):
			s.cam.opts.Log.Warn("client speaks no RTSP", logRemote, s.conn.RemoteAddr().String(), logError, err)
			return s.answer(ctx, &reply{status: statusBadRequest}, true)
		case err != nil:
			return err
		case frame != nil:
			if asksForPicture(frame.data) {
				s.cam.refresh()
			}
			continue
		}
		answer := s.handle(req)
		over := req.method == "TEARDOWN" && answer.status == statusOK
		if err := s.answer(ctx, answer, over); err != nil || over {
			return err
		}
		if req.method == "PLAY" && answer.status == statusOK {
			s.playing = true
			s.cam.play(s)
		}
	}
}

// answer queues a reply. The last one ends the session: the writer closes the
// connection behind it.
func (s *session) answer(ctx context.Context, p *reply, last bool) error {
	messages := []outgoing{{answer: p.bytes()}}
	if last {
		messages = append(messages, outgoing{})
	}
	for _, m := range messages {
		select {
		case s.out <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// offer hands a picture to the client. A client that is too slow misses all
// pictures up to the next whole one.
func (s *session) offer(u *accessUnit) {
	if s.skipping && !u.idr {
		return
	}
	select {
	case s.out <- outgoing{unit: u}:
		s.skipping = false
	default:
		s.skipping = true
	}
}

// write sends what is queued and a sender report now and then.
func (s *session) write(ctx context.Context) error {
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for {
		s.stream.buf = s.stream.buf[:0]
		closing := false
		select {
		case <-ctx.Done():
			return nil
		case <-report.C:
			s.appendReport()
		case m := <-s.out:
			switch {
			case m.unit != nil:
				closing = s.appendUnit(m.unit)
			case m.answer != nil:
				s.stream.buf = append(s.stream.buf, m.answer...)
			default:
				return errOver
			}
		}
		if len(s.stream.buf) > 0 {
			if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
				return err
			}
			if _, err := s.conn.Write(s.stream.buf); err != nil {
				return fmt.Errorf("sending to the client: %w", err)
			}
		}
		if closing {
			return errOver
		}
	}
}

// appendUnit buffers the packets of a picture and tells whether it is the last
// one that this camera's faults allow.
func (s *session) appendUnit(u *accessUnit) (closing bool) {
	faults, t := s.cam.opts.Faults, &s.stream
	if faults.StallAfter > 0 && t.pictures >= faults.StallAfter {
		return false
	}
	for i, payload := range u.payloads {
		marker := i == len(u.payloads)-1 && !faults.NoMarker
		t.buf = appendPacket(t.buf, t.channel, marker, t.seq, t.base+u.ticks, t.ssrc, payload)
		t.seq++
		t.packets++
		t.octets += uint32(len(payload))
	}
	first := t.pictures == 0
	t.pictures++
	if first {
		s.appendReport()
	}
	return faults.CloseAfter > 0 && t.pictures >= faults.CloseAfter
}

// appendReport buffers a sender report of this moment, if there is a stream.
func (s *session) appendReport() {
	t := &s.stream
	if t.pictures == 0 {
		return
	}
	now := s.cam.opts.Now()
	t.buf = appendReport(t.buf, t.channel+1, t.ssrc, now, t.base+ticks(now.Sub(s.cam.stage.start)), t.packets, t.octets, "camera")
}

// handle answers one request.
func (s *session) handle(req *request) *reply {
	p := &reply{status: statusOK}
	p.set("CSeq", req.header["cseq"])
	p.set("Server", "village-gate/1")
	if req.header["cseq"] == "" {
		p.status = statusBadRequest
		return p
	}
	if req.method == "OPTIONS" {
		p.set("Public", "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN")
		return p
	}
	if ok, stale := s.guard.admits(req.method, req.uri, req.header["authorization"]); !ok {
		p.status = statusUnauthorized
		for _, challenge := range s.guard.challenges(stale) {
			p.set("WWW-Authenticate", challenge)
		}
		return p
	}
	switch req.method {
	case "DESCRIBE":
		s.describe(req, p)
	case "SETUP":
		s.setup(req, p)
	case "PLAY", "GET_PARAMETER", "TEARDOWN":
		s.control(req, p)
	case "PAUSE", "RECORD", "ANNOUNCE", "SET_PARAMETER", "REDIRECT":
		p.status = statusNotAllowed
	default:
		p.status = statusNotImplemented
	}
	return p
}

// at tells whether a request URI names the stream, or the stream and a suffix.
func (s *session) at(uri, suffix string) bool {
	u, err := url.Parse(uri)
	return err == nil && strings.TrimSuffix(u.Path, "/") == strings.TrimSuffix(s.cam.opts.Path, "/")+suffix
}

func (s *session) describe(req *request, p *reply) {
	if !s.at(req.uri, "") {
		p.status = statusNotFound
		return
	}
	host, _, err := net.SplitHostPort(s.conn.LocalAddr().String())
	if err != nil {
		host = "127.0.0.1"
	}
	p.set("Content-Base", strings.TrimSuffix(req.uri, "/")+"/")
	p.set("Content-Type", "application/sdp")
	p.body = s.cam.sdp(host)
}

func (s *session) setup(req *request, p *reply) {
	switch {
	case !s.at(req.uri, "/"+track):
		p.status = statusNotFound
		return
	case s.playing: // the channel belongs to the writer now
		p.status = statusBadState
		return
	}
	channel, ok := interleavedChannel(req.header["transport"])
	if !ok {
		p.status = statusTransport
		return
	}
	// The writer sees it before the first picture: PLAY comes after SETUP.
	s.ready, s.stream.channel = true, channel
	p.set("Transport", fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d;ssrc=%08X", channel, channel+1, s.stream.ssrc))
	p.set("Session", fmt.Sprintf("%s;timeout=%d", s.id, max(1, int(s.cam.opts.Timeout/time.Second))))
}

// interleavedChannel finds the RTP channel in a Transport header that offers
// TCP (RFC 2326, 12.39). Of several offers the first with TCP is taken.
func interleavedChannel(transport string) (byte, bool) {
	for offer := range strings.SplitSeq(transport, ",") {
		fields := strings.Split(offer, ";")
		if !strings.EqualFold(strings.TrimSpace(fields[0]), "RTP/AVP/TCP") {
			continue
		}
		for _, field := range fields[1:] {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			if !strings.EqualFold(name, "interleaved") {
				continue
			}
			low, _, _ := strings.Cut(value, "-")
			n, err := strconv.ParseUint(low, 10, 8)
			if err != nil || n > 254 {
				return 0, false
			}
			return byte(n), true
		}
		return 0, true
	}
	return 0, false
}

func (s *session) control(req *request, p *reply) {
	id, _, _ := strings.Cut(req.header["session"], ";")
	switch {
	case id != s.id && !(req.method == "GET_PARAMETER" && id == ""):
		p.status = statusNoSession
		return
	case req.method == "PLAY" && !s.ready:
		p.status = statusBadState
		return
	case id != "":
		p.set("Session", s.id)
	}
	if req.method == "PLAY" {
		p.set("Range", "npt=now-")
		p.set("RTP-Info", fmt.Sprintf("url=%s/%s;seq=%d", strings.TrimSuffix(req.uri, "/"), track, s.stream.firstSeq))
	}
}
