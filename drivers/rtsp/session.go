package rtsp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Session is one connection to a camera, from DESCRIBE to TEARDOWN. It belongs to one goroutine.
type Session struct {
	client *Client
	conn   net.Conn
	framer *framer
	at     address

	cseq      int
	media     Media
	aggregate string // URL of PLAY, keepalive and TEARDOWN (K2)
	id        string // of the Session header
	timeout   time.Duration
	rtp, rtcp uint8 // interleaved channels
	playing   bool
	stats     Stats
	receiver  receiver
}

// Media returns what the camera said of its video.
func (s *Session) Media() Media { return s.media }

// Stats returns the counts so far.
func (s *Session) Stats() Stats {
	stats := s.stats
	stats.Skipped += s.framer.skipped
	return stats
}

// open runs DESCRIBE, SETUP and PLAY; it returns where the camera redirects to, if it does.
func (s *Session) open(ctx context.Context) (location string, err error) {
	stop := context.AfterFunc(ctx, func() { s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	res, err := s.request(ctx, "DESCRIBE", s.at.url, field{"Accept", "application/sdp"})
	if err != nil {
		return "", err
	}
	if res.status >= 300 && res.status < 400 {
		if location := res.get("Location"); location != "" {
			return location, nil
		}
	}
	if err := expectOK("DESCRIBE", res); err != nil {
		return "", err
	}
	media, control, err := parseSDP(res.body)
	if err != nil {
		return "", err
	}
	s.media = media
	base := baseURL(res, s.at.url)
	s.aggregate = joinControl(base, control)
	if err := s.setup(ctx, joinControl(base, media.control)); err != nil {
		return "", err
	}
	// Range always (S8). RTP-Info in the answer is not looked at: too often wrong (S10).
	res, err = s.request(ctx, "PLAY", s.aggregate, field{"Session", s.id}, field{"Range", "npt=0-"})
	if err != nil {
		return "", err
	}
	if err := expectOK("PLAY", res); err != nil {
		return "", err
	}
	s.playing = true
	return "", nil
}

// setup asks for TCP; mode= is left out, since it upsets some (S9). The answer's interleaved= counts, not its
// protocol name (S5), and its channels, not those asked for (S2).
func (s *Session) setup(ctx context.Context, url string) error {
	res, err := s.request(ctx, "SETUP", url, field{"Transport", "RTP/AVP/TCP;unicast;interleaved=0-1"})
	if err != nil {
		return err
	}
	if err := expectOK("SETUP", res); err != nil {
		return err
	}
	if s.id == "" {
		return errors.New("SETUP answered without a Session header: the camera's firmware may need an update")
	}
	s.rtp, s.rtcp, err = channels(res.get("Transport"))
	s.framer.channels = func(c uint8) bool { return c == s.rtp || c == s.rtcp }
	return err
}

// channels reads the interleaved channels of a Transport header; 0 and 1 when it names none and no UDP port.
func channels(transport string) (rtp, rtcp uint8, err error) {
	lower := strings.ToLower(transport)
	for _, part := range strings.Split(lower, ";") {
		v, ok := strings.CutPrefix(strings.TrimSpace(part), "interleaved=")
		if !ok {
			continue
		}
		first, second, pair := strings.Cut(v, "-")
		a, err := strconv.ParseUint(strings.TrimSpace(first), 10, 8)
		if err != nil {
			return 0, 0, fmt.Errorf("transport %.80q: channel is no number", transport)
		}
		b, err := strconv.ParseUint(strings.TrimSpace(second), 10, 8)
		if !pair || err != nil {
			b = (a + 1) & 0xff
		}
		return uint8(a), uint8(b), nil
	}
	if strings.Contains(lower, "client_port") || strings.Contains(lower, "multicast") {
		return 0, 0, fmt.Errorf("camera answers a request for TCP with transport %.80q: enable RTP over TCP there", transport)
	}
	return 0, 1, nil
}

// request sends one request and waits for its answer, answering challenges: a remembered one may be out of
// date, so a new one is taken, and once more if the camera calls it stale (A3).
func (s *Session) request(ctx context.Context, method, url string, extra ...field) (*message, error) {
	fresh := false // the authorization in use answers a challenge to this very request
	for try := 0; ; try++ {
		res, err := s.roundTrip(ctx, method, url, extra)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		if res.status != 401 {
			return res, nil
		}
		challenges := parseChallenges(res.all("WWW-Authenticate"))
		if try > 1 || fresh && !stale(challenges) {
			s.client.auth = nil
			return nil, ErrUnauthorized
		}
		o := &s.client.options
		if o.User == "" {
			return nil, errors.New("camera wants a user and a password: set them for this camera")
		}
		s.client.auth = choose(challenges, o.User, o.Password, s.home())
		if s.client.auth == nil {
			return nil, errors.New("camera offers no password scheme that can be used: enable Digest in it")
		}
		fresh = true
	}
}

func stale(challenges []challenge) bool {
	for _, c := range challenges {
		if strings.EqualFold(c.params["stale"], "true") {
			return true
		}
	}
	return false
}

func (s *Session) roundTrip(ctx context.Context, method, url string, extra []field) (*message, error) {
	deadline := time.Now().Add(s.client.options.Timeout)
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	if err := s.send(method, url, extra...); err != nil {
		return nil, err
	}
	for {
		if err := ctx.Err(); err != nil { // also closes the window between AfterFunc and SetReadDeadline
			return nil, err
		}
		f, err := s.framer.next(func() error { return nil })
		if err != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		if m := f.message; m != nil { // data before the answer is skipped (P2)
			if err := s.heard(m); err != nil {
				return nil, err
			}
			if answers(m, s.cseq) {
				return m, nil
			}
		}
	}
}

// home says whether this is the host that the camera's URL names, and not where a redirect led.
func (s *Session) home() bool { return s.at.host == s.client.home.host }

// send writes a request. The header is named CSeq exactly (A10), and User-Agent is always there (A6).
func (s *Session) send(method, url string, extra ...field) error {
	s.cseq++
	m := message{method: method, uri: url, header: []field{
		{"CSeq", strconv.Itoa(s.cseq)}, {"User-Agent", s.client.options.UserAgent}}}
	if a := s.client.auth; a != nil && (s.home() || !isBasic(a)) {
		m.header = append(m.header, field{"Authorization", a.authorize(method, url)})
	}
	m.header = append(m.header, extra...)
	return s.write(m.append(nil))
}

func (s *Session) write(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.client.options.Timeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// answers says whether m is the response to request number cseq. One without CSeq is taken for it.
func answers(m *message, cseq int) bool {
	if m.status == 0 {
		return false
	}
	n, err := strconv.Atoi(m.get("CSeq"))
	return err != nil || n == cseq
}

// heard takes from any message what must be remembered, and answers the camera's own requests (K6).
func (s *Session) heard(m *message) error {
	if public := m.get("Public"); public != "" {
		s.client.methods = public
	}
	if m.status == 0 {
		answer := message{status: 200, reason: "OK"}
		if cseq := m.get("CSeq"); cseq != "" {
			answer.header = append(answer.header, field{"CSeq", cseq})
		}
		if err := s.write(answer.append(nil)); err != nil {
			return err
		}
		if strings.EqualFold(m.method, "TEARDOWN") {
			return ErrEnded
		}
		return nil
	}
	if v := m.get("Session"); v != "" && m.status < 300 {
		id, rest, _ := strings.Cut(v, ";")
		s.id = strings.TrimSpace(id) // the latest counts (S6)
		for _, p := range strings.Split(rest, ";") {
			v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "timeout=")
			if n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 16); ok && err == nil && n > 0 {
				s.timeout = time.Duration(n) * time.Second
			}
		}
	}
	return nil
}

func expectOK(method string, m *message) error {
	if m.status >= 200 && m.status < 300 {
		return nil
	}
	return &StatusError{Method: method, Status: m.status, Reason: m.reason}
}

// Close takes leave with TEARDOWN – some servers keep sending to a connection that only went away (K5) – and
// closes the connection. It waits at most a second for the answer.
func (s *Session) Close() error {
	if s.id != "" {
		s.farewell()
	}
	return s.conn.Close()
}

// farewell is best effort: the connection may be gone already.
func (s *Session) farewell() {
	if s.conn.SetDeadline(time.Now().Add(time.Second)) != nil || s.send("TEARDOWN", s.aggregate, field{"Session", s.id}) != nil {
		return
	}
	if s.conn.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return
	}
	for {
		f, err := s.framer.next(func() error { return nil })
		if err != nil || f.message != nil && answers(f.message, s.cseq) {
			return
		}
	}
}
