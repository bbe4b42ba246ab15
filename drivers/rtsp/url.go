package rtsp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// address is a camera URL taken apart by hand: the path and query stay exactly as they were typed, since a
// camera may compare them byte by byte (quirk A1).
type address struct {
	host           string // host:port to dial
	url            string // rtsp://host[:port]/path?query, without user and password
	user, password string // decoded once (A4)
}

const maxURL = 2 << 10

// parseURL reads an rtsp:// URL. A doubled scheme is repaired (U2), and so is an IPv6 address without brackets (U3).
func parseURL(raw string) (address, error) {
	rest := strings.TrimSpace(raw)
	if len(rest) > maxURL || strings.ContainsAny(rest, "\r\n\x00 ") {
		return address{}, errors.New("camera URL is too long or holds white space")
	}
	found := false
	for len(rest) >= 7 && strings.EqualFold(rest[:7], "rtsp://") {
		rest, found = rest[7:], true
	}
	if !found {
		return address{}, errors.New("camera URL must begin with rtsp://")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	var a address
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, _ := strings.Cut(authority[:i], ":")
		a.user, a.password = decodeOnce(user), decodeOnce(password)
		authority = authority[i+1:]
	}
	if strings.Count(authority, ":") > 1 && !strings.HasPrefix(authority, "[") {
		authority = "[" + authority + "]"
	}
	if authority == "" || authority == "[]" {
		return address{}, errors.New("camera URL names no host")
	}
	a.host = authority
	if _, _, err := net.SplitHostPort(authority); err != nil {
		a.host = net.JoinHostPort(strings.Trim(authority, "[]"), "554")
	}
	if _, port, err := net.SplitHostPort(a.host); err != nil || port == "" {
		return address{}, fmt.Errorf("camera URL has no valid host and port in %q", authority)
	}
	a.url = "rtsp://" + authority + path
	return a, nil
}

// decodeOnce undoes percent-encoding; what is not validly encoded is taken as typed.
func decodeOnce(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// joinControl makes the URL of a control attribute: plain joining with one slash, which more cameras
// understand than the RFC's relative reference (U4).
func joinControl(base, control string) string {
	switch {
	case control == "" || control == "*":
		return base
	case len(control) >= 7 && strings.EqualFold(control[:7], "rtsp://"):
		return control
	default:
		return strings.TrimRight(base, "/") + "/" + strings.TrimLeft(control, "/")
	}
}

// baseURL finds what relative control attributes are relative to. A Content-Base without scheme is repaired
// (U1), one that is no URL at all is ignored.
func baseURL(m *message, asked string) string {
	for _, name := range []string{"Content-Base", "Content-Location"} {
		v := m.get(name)
		if v == "" {
			continue
		}
		if strings.HasPrefix(v, "/") {
			continue
		}
		if !strings.Contains(v, "://") {
			v = "rtsp://" + v
		}
		if a, err := parseURL(v); err == nil {
			return a.url
		}
	}
	return asked
}
