package rtsp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of what a camera may send in one message.
const (
	maxLine    = 4 << 10   // bytes of one header line
	maxHeaders = 64        // header lines of one message
	maxBody    = 256 << 10 // bytes of a body; real SDPs stay below 4 KiB
)

// Errors of the message parser. They end a session: nothing behind a broken message can be trusted.
var (
	errLineTooLong    = errors.New("header line longer than 4 KiB")
	errTooManyHeaders = errors.New("more than 64 header lines")
	errBodyTooLong    = errors.New("body longer than 256 KiB")
	errNotRTSP        = errors.New("neither an RTSP response nor a request")
)

// field is one header line. The name is written exactly as it stands, because some cameras compare case
// (quirk A10), and read without regard to case.
type field struct{ name, value string }

// message is an RTSP request or response (RFC 2326 chapters 4 to 7).
type message struct {
	method, uri string // of a request
	status      int    // of a response; zero for a request
	reason      string
	header      []field
	body        []byte
}

// get returns the first value of a header, "" when there is none.
func (m *message) get(name string) string {
	for _, f := range m.header {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// all returns every value of a header.
func (m *message) all(name string) []string {
	var values []string
	for _, f := range m.header {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// append writes the message out.
func (m *message) append(dst []byte) []byte {
	if m.status != 0 {
		dst = fmt.Appendf(dst, "RTSP/1.0 %d %s\r\n", m.status, m.reason)
	} else {
		dst = fmt.Appendf(dst, "%s %s RTSP/1.0\r\n", m.method, m.uri)
	}
	for _, f := range m.header {
		dst = fmt.Appendf(dst, "%s: %s\r\n", f.name, f.value)
	}
	return append(append(dst, "\r\n"...), m.body...)
}

// readMessage reads one message. Blank lines in front are skipped (A12), white space around values is trimmed
// (A11), header lines that are none, or hold a carriage return, are passed over.
func readMessage(br *bufio.Reader) (*message, error) {
	var line string
	for blank := 0; line == ""; blank++ {
		if blank > maxHeaders {
			return nil, errNotRTSP
		}
		var err error
		if line, err = readLine(br); err != nil {
			return nil, err
		}
	}
	m, err := parseStart(line)
	if err != nil {
		return nil, err
	}
	for {
		line, err := readLine(br)
		if err != nil {
			return nil, unexpected(err)
		}
		if line == "" {
			break
		}
		if len(m.header) >= maxHeaders {
			return nil, errTooManyHeaders
		}
		if name, value, ok := strings.Cut(line, ":"); ok && !strings.Contains(line, "\r") { // it would end a line of ours
			m.header = append(m.header, field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return m, m.readBody(br)
}

func (m *message) readBody(br *bufio.Reader) error {
	length := m.get("Content-Length")
	if length == "" {
		return nil
	}
	n, err := strconv.ParseUint(length, 10, 32)
	if err != nil {
		return fmt.Errorf("content-length %q: %w", length, errNotRTSP)
	}
	if n > maxBody {
		return errBodyTooLong
	}
	m.body = make([]byte, n)
	if _, err := io.ReadFull(br, m.body); err != nil {
		return unexpected(err)
	}
	return nil
}

// parseStart parses a status line or a request line.
func parseStart(line string) (*message, error) {
	if rest, ok := strings.CutPrefix(line, "RTSP/"); ok {
		_, rest, _ = strings.Cut(rest, " ")
		code, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
		status, err := strconv.Atoi(code)
		if err != nil || status < 100 || status > 999 {
			return nil, fmt.Errorf("status line %q: %w", line, errNotRTSP)
		}
		return &message{status: status, reason: reason}, nil
	}
	part := strings.Fields(line)
	if len(part) != 3 || strings.HasPrefix(part[0], "RTSP/") || !strings.HasPrefix(part[2], "RTSP/") {
		return nil, fmt.Errorf("start line %.40q: %w", line, errNotRTSP)
	}
	return &message{method: part[0], uri: part[1]}, nil
}

// readLine reads one line without its end and without white space at the end.
func readLine(br *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return "", errLineTooLong
		}
		if err == nil && line == nil {
			return string(bytes.TrimRight(part, "\r\n \t")), nil
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return string(bytes.TrimRight(line, "\r\n \t")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if len(line) > 0 {
				err = unexpected(err)
			}
			return "", err
		}
	}
}

// unexpected turns the end of the stream in the middle of something into an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
