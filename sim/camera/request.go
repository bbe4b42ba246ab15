package camera

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of what a client may send.
const (
	maxLine    = 4096
	maxHeaders = 64
	maxBody    = 64 << 10
)

// errMalformed says that the bytes are no RTSP request: answered with 400.
var errMalformed = errors.New("malformed request")

// request is one RTSP request (RFC 2326, 6). Header names are in lower case.
type request struct {
	method, uri string
	header      map[string]string
	body        []byte
}

// interleaved is one binary frame between requests (RFC 2326, 10.12).
type interleaved struct {
	channel byte
	data    []byte
}

// readMessage reads the next request or interleaved frame; one of both is nil.
func readMessage(r *bufio.Reader) (*request, *interleaved, error) {
	for {
		first, err := r.Peek(1)
		if err != nil {
			return nil, nil, err
		}
		switch first[0] {
		case '\r', '\n': // left over between messages
			if _, err := r.Discard(1); err != nil {
				return nil, nil, err
			}
		case '$':
			frame, err := readInterleaved(r)
			return nil, frame, err
		default:
			req, err := readRequest(r)
			return req, nil, err
		}
	}
}

func readInterleaved(r *bufio.Reader) (*interleaved, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("reading an interleaved frame: %w", err)
	}
	f := &interleaved{channel: head[1], data: make([]byte, int(head[2])<<8|int(head[3]))}
	if _, err := io.ReadFull(r, f.data); err != nil {
		return nil, fmt.Errorf("reading an interleaved frame: %w", err)
	}
	return f, nil
}

func readRequest(r *bufio.Reader) (*request, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(line)
	if len(words) != 3 || words[2] != "RTSP/1.0" {
		return nil, fmt.Errorf("%w: request line %q", errMalformed, line)
	}
	req := &request{method: words[0], uri: words[1], header: map[string]string{}}
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%w: header %q", errMalformed, line)
		}
		if len(req.header) == maxHeaders {
			return nil, fmt.Errorf("%w: more than %d headers", errMalformed, maxHeaders)
		}
		req.header[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return req, readBody(r, req)
}

func readBody(r *bufio.Reader, req *request) error {
	text := req.header["content-length"]
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > maxBody {
		return fmt.Errorf("%w: content length %q", errMalformed, text)
	}
	req.body = make([]byte, n)
	if _, err := io.ReadFull(r, req.body); err != nil {
		return fmt.Errorf("reading the body of %s: %w", req.method, err)
	}
	return nil
}

// readLine reads up to LF, without the end of line.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: a line is longer than %d bytes", errMalformed, maxLine)
	case err != nil:
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// reply is one RTSP answer.
type reply struct {
	status int
	header [][2]string
	body   string
}

func (p *reply) set(name, value string) { p.header = append(p.header, [2]string{name, value}) }

// bytes is the answer as it goes on the wire.
func (p *reply) bytes() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "RTSP/1.0 %d %s\r\n", p.status, statusText(p.status))
	for _, h := range p.header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if p.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(p.body))
	}
	b.WriteString("\r\n")
	b.WriteString(p.body)
	return []byte(b.String())
}

// statusText names the codes this camera uses (RFC 2326, 7.1.1).
func statusText(status int) string {
	switch status {
	case statusOK:
		return "OK"
	case statusBadRequest:
		return "Bad Request"
	case statusUnauthorized:
		return "Unauthorized"
	case statusNotFound:
		return "Not Found"
	case statusNotAllowed:
		return "Method Not Allowed"
	case statusNoSession:
		return "Session Not Found"
	case statusBadState:
		return "Method Not Valid in This State"
	case statusTransport:
		return "Unsupported Transport"
	}
	return "Not Implemented"
}

const (
	statusOK             = 200
	statusBadRequest     = 400
	statusUnauthorized   = 401
	statusNotFound       = 404
	statusNotAllowed     = 405
	statusNoSession      = 454
	statusBadState       = 455
	statusTransport      = 461
	statusNotImplemented = 501
)
