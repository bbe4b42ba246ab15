// An IP camera gives its pictures over RTSP (RFC 2326): the client asks what there is (DESCRIBE), names the
// transport (SETUP), says go (PLAY), and RTP packets follow in the same TCP connection until one side is gone.
//
// This is a client for one H.264 video over TCP, made for cameras as they are: each quirk number in a comment
// or test (A1, S5, P7, …) names one misbehaviour known from the field. It needs three round trips to the first
// packet once it knows the camera's challenge, every read has a deadline and every parser a size limit.
package rtsp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Defaults of Options.
const (
	defaultUserAgent = "watchpost"
	defaultTimeout   = 5 * time.Second
	defaultSilence   = 10 * time.Second
	maxRedirects     = 3
)

// ErrUnauthorized says that the camera refuses the user or the password.
var ErrUnauthorized = errors.New("camera refuses user or password: check both in the camera's own page")

// ErrEnded says that the camera ended the stream in good order.
var ErrEnded = errors.New("camera ended the stream")

// StatusError is an answer that is no success.
type StatusError struct {
	// Method is the request that failed, Status and Reason the camera's answer.
	Method string
	Status int
	Reason string
}

// Error names the remedy where one is known.
func (e *StatusError) Error() string {
	remedy := ""
	switch e.Status {
	case 403:
		remedy = ": the camera's user may not view, give it the right"
	case 404:
		remedy = ": no stream at this path, check the URL"
	case 453, 503:
		remedy = ": camera is busy, close other clients or raise its limit"
	case 461:
		remedy = ": camera refuses RTP over TCP, enable it there"
	}
	return fmt.Sprintf("%s answered %d %s%s", e.Method, e.Status, e.Reason, remedy)
}

// Options describe one camera stream.
type Options struct {
	// URL is rtsp://[user:password@]host[:port]/path; user and password in it are used when User is empty.
	URL            string
	User, Password string
	// UserAgent is sent with every request (A6); default "watchpost".
	UserAgent string
	// Timeout of one request; default 5 s. Silence is how long a playing camera may send nothing; default 10 s.
	Timeout, Silence time.Duration
	// Dial opens the connection; default net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client connects to one camera stream, again and again. Between sessions it remembers the camera's challenge
// and where it was redirected from. It is not safe for concurrent use.
type Client struct {
	options Options
	home    address
	auth    authorizer
	methods string // value of the Public header, "" until known (K1)
}

// NewClient checks the options; nothing is sent yet.
func NewClient(o Options) (*Client, error) {
	home, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.User == "" {
		o.User, o.Password = home.user, home.password
	}
	if o.UserAgent == "" {
		o.UserAgent = defaultUserAgent
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Silence <= 0 {
		o.Silence = defaultSilence
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	return &Client{options: o, home: home}, nil
}

// Connect opens a session up to the answer of PLAY, following redirects (U5). The session must be closed.
// Errors are a [StatusError], a [CodecError], [ErrUnauthorized], or those of the network.
func (c *Client) Connect(ctx context.Context) (*Session, error) {
	at := c.home
	for range maxRedirects + 1 {
		s, err := c.dial(ctx, at)
		if err != nil {
			return nil, err
		}
		location, err := s.open(ctx)
		if err != nil {
			s.Close()
			return nil, err
		}
		if location == "" {
			return s, nil
		}
		s.Close()
		next, err := parseURL(location)
		if err != nil {
			return nil, fmt.Errorf("redirected to %q: %w", location, err)
		}
		at = next
	}
	return nil, fmt.Errorf("more than %d redirects: check the URL", maxRedirects)
}

func (c *Client) dial(ctx context.Context, at address) (*Session, error) {
	dctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	conn, err := c.options.Dial(dctx, "tcp", at.host)
	if err != nil {
		return nil, fmt.Errorf("connecting to camera %s: %w: check its power and cable, and the address in its url", at.host, err)
	}
	f, err := newFramer(bufio.NewReaderSize(conn, readBuffer))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Session{client: c, conn: conn, framer: f, at: at, timeout: time.Minute}, nil
}

// Stats count what a session has received.
type Stats struct {
	// Packets and Bytes of RTP video; Lost packets of it; Skipped bytes and frames that belong to nothing.
	Packets, Bytes, Lost, Skipped uint64
}
