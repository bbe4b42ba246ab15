package dc09

import (
	"bytes"
	"encoding/hex"
	"strings"
	"time"
)

// maxExtended is how many extended blocks one frame may carry.
const maxExtended = 64

// Parse reads one frame, LF … CR as [Cut] finds it. The content of an encrypted frame stays shut until [Frame.Open].
//
// OverCR says whether an account may count the final CR in CRC and length, and that of "" whether a frame may whose account cannot be
// read; nil: none may. The error is a [*Refusal].
func Parse(wire []byte, overCR func(account string) bool) (Frame, error) {
	head := headLen(wire)
	if head == 0 {
		head = hexHead
	}
	if len(wire) < 1+head+1 || wire[0] != '\n' || wire[len(wire)-1] != '\r' {
		return Frame{}, grammar("no LF, CRC, length … CR")
	}
	body := wire[1+head : len(wire)-1]
	sent, sentLen := readHead(wire[1:1+head], head)
	sum := int(crc(body))
	if sum == sent && sentLen == len(body) {
		f, err := parseBody(string(body))
		f.BinaryCRC = head == binaryHead
		return f, err
	}
	if overCR != nil && int(crcAdd(uint16(sum), []byte{'\r'})) == sent && sentLen == len(body)+1 {
		if f, err := parseBody(string(body)); overCR(f.Account.Text) { // without an account if the grammar is wrong
			f.BinaryCRC, f.OverCR = head == binaryHead, true
			return f, err
		}
	}
	r := &Refusal{}
	if sum != sent {
		r.Reasons = append(r.Reasons, ReasonCRC)
	}
	if sentLen != len(body) {
		r.Reasons = append(r.Reasons, ReasonLength)
	}
	return Frame{}, r
}

// ParseCapture reads the one frame of a capture: what stands before its LF and after its CR does not matter. A capture
// that has lost one of them is judged as if it were there, and is then refused for its grammar at least.
func ParseCapture(capture []byte, overCR func(account string) bool) (Frame, error) {
	wire, whole := capturedFrame(capture)
	f, err := Parse(wire, overCR)
	if err == nil && !whole {
		return Frame{}, grammar("no LF before the frame, or no CR after it")
	}
	return f, err
}

// capturedFrame finds the frame; false: LF or CR are not in the capture, and have been added.
func capturedFrame(capture []byte) (wire []byte, whole bool) {
	wire, begins := capturedStart(capture)
	head := 1 + max(headLen(wire), binaryHead)
	if len(wire) < head {
		return wire, false
	}
	if end := bytes.IndexByte(wire[head:], '\r'); end >= 0 {
		return wire[:head+end+1], begins
	}
	return append(bytes.Clone(wire), '\r'), false
}

// capturedStart is the capture from the LF of its frame on; false: that LF is not in the capture, and has been added.
func capturedStart(capture []byte) (wire []byte, begins bool) {
	for i := range capture {
		if capture[i] == '\n' && headLen(capture[i:]) != 0 {
			return capture[i:], true
		}
	}
	added := append([]byte{'\n'}, capture...)
	if i := bytes.IndexByte(capture, '\n'); i >= 0 && headLen(added) == 0 {
		return capture[i:], true
	}
	return added, false
}

// readHead reads CRC and length; what is no hex digits is a number that no frame has.
func readHead(b []byte, head int) (sum, length int) {
	if head == binaryHead {
		sum = int(b[0])<<8 | int(b[1])
	} else {
		sum = hexNumber(b[:4])
	}
	if b[head-4] != '0' {
		return sum, -1
	}
	return sum, hexNumber(b[head-3:])
}

// hexNumber is -1 for what is no number.
func hexNumber(b []byte) int {
	n := 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int(c-'0')
		case c >= 'A' && c <= 'F':
			n = n<<4 | int(c-'A'+10)
		case c >= 'a' && c <= 'f':
			n = n<<4 | int(c-'a'+10)
		default:
			return -1
		}
	}
	return n
}

// parseBody reads from the first quote to before CR.
func parseBody(s string) (Frame, error) {
	var f Frame
	s, err := f.header(s)
	if err != nil {
		return Frame{}, err
	}
	if f.Encrypted {
		if len(s) == 0 || len(s)%32 != 0 || !isHex(s) {
			return Frame{}, grammar("the encrypted block is no multiple of 16 bytes as hex")
		}
		f.cipher, f.CipherBytes = s, len(s)/2
		return f, nil
	}
	if err := f.content(s); err != nil {
		return Frame{}, err
	}
	return f, nil
}

// header reads up to the opening bracket, and gives back what follows it.
func (f *Frame) header(s string) (string, error) {
	s, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return "", grammar("the body begins with no quote")
	}
	s, f.Encrypted = strings.CutPrefix(s, "*")
	if f.ID, s, ok = strings.Cut(s, `"`); !ok || !isToken(f.ID) {
		return "", grammar("no message token in quotes")
	}
	if len(s) < 4 || !isDecimal(s[:4]) {
		return "", grammar("the sequence number is not four digits")
	}
	f.Seq, s = s[:4], s[4:]
	f.Receiver, s = letter(s, 'R', 6)
	f.Line, s = letter(s, 'L', 6)
	if f.ID == idNAK && strings.HasSuffix(f.Line.Text, "A0") && strings.HasPrefix(s, "[") {
		f.Line.Text = strings.TrimSuffix(f.Line.Text, "A0") // literal text of a NAK, though it is hex
	}
	f.Account, s = letter(s, '#', 16)
	if f.Account.Set && len(f.Account.Text) < 3 {
		return "", grammar("an account has 3 to 16 hex digits")
	}
	if s, ok = strings.CutPrefix(s, "["); !ok {
		return "", grammar("no bracket after the header")
	}
	return s, nil
}

// letter reads an optional field: its letter and up to limit hex digits.
func letter(s string, l byte, limit int) (Field, string) {
	if s == "" || s[0] != l {
		return Field{}, s
	}
	n := 1
	for n < len(s) && n <= limit && hexDigit(s[n]) {
		n++
	}
	return Field{Text: s[1:n], Set: true}, s[n:]
}

// content reads what stands after the opening bracket, or after the pad of a decrypted block.
func (f *Frame) content(s string) error {
	var ok bool
	if f.Data, s, ok = strings.Cut(s, "]"); !ok {
		return grammar("the data block does not end")
	}
	for strings.HasPrefix(s, "[") {
		var block string
		if block, s, ok = strings.Cut(s[1:], "]"); !ok || len(f.Extended) == maxExtended {
			return grammar("an extended block does not end, or there are too many")
		}
		f.Extended = append(f.Extended, block)
	}
	if s != "" {
		if f.Stamp, ok = strings.CutPrefix(s, "_"); !ok || !isStamp(f.Stamp) {
			if isOsborneHoffman(s) {
				return grammar("Osborne-Hoffman XSIA framing: set the panel to plain SIA DC-09")
			}
			return grammar("what follows the data is no timestamp")
		}
		f.Time = stampTime(f.Stamp)
	}
	f.Readable = true
	f.reports()
	return nil
}

// Open decrypts an encrypted frame. If the error is [ErrUnreadable] the key is wrong, as far as anybody can tell; if it is a
// [*Refusal] the key is right, and what it opens is no DC-09 data. Either way the frame stays shut.
func (f *Frame) Open(k *Key) error {
	if !f.Encrypted || k == nil {
		return ErrUnreadable
	}
	b, err := hex.DecodeString(f.cipher)
	if err != nil {
		return ErrUnreadable
	}
	k.decrypt(b)
	plain, g := string(b), *f
	pad, s, ok := strings.Cut(plain, "|")
	g.PadLen = len(pad)
	if !ok && f.Supervision() { // some hubs leave the bar of a NULL out
		if i := strings.LastIndexByte(plain, ']'); i >= 0 {
			s, ok, g.PadLen = plain[i:], true, i
		}
	}
	switch err := g.content(s); {
	case !ok, err != nil && !plausible(pad, s):
		return ErrUnreadable
	case err != nil:
		return err
	case g.Stamp == "" && plausible(pad, s):
		return grammar("an encrypted message carries no timestamp")
	case g.Stamp == "":
		return ErrUnreadable
	}
	*f = g
	return nil
}

// maxPad is the longest pad that the standard knows (DC-09 5.4.4.3).
const maxPad = 16

// plausible tells what the right key has opened from noise: a pad of the standard's size, and text with a bracket behind it.
func plausible(pad, s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(pad) <= maxPad && strings.Contains(s, "]")
}

// isStamp reports whether s has the shape HH:MM:SS,MM-DD-YYYY.
func isStamp(s string) bool {
	const shape = "00:00:00,00-00-0000"
	if len(s) != len(shape) {
		return false
	}
	for i := range len(shape) {
		if shape[i] == '0' && (s[i] < '0' || s[i] > '9') || shape[i] != '0' && s[i] != shape[i] {
			return false
		}
	}
	return true
}

// stampTime is the UTC time of a stamp, zero when its digits name no time.
func stampTime(s string) time.Time {
	n := func(i, digits int) int {
		v := 0
		for _, c := range []byte(s[i : i+digits]) {
			v = 10*v + int(c-'0')
		}
		return v
	}
	hour, minute, second, month, day, year := n(0, 2), n(3, 2), n(6, 2), n(9, 2), n(12, 2), n(15, 4)
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if t.Hour() != hour || t.Minute() != minute || t.Second() != second || int(t.Month()) != month || t.Day() != day || year < 1970 {
		return time.Time{}
	}
	return t
}

// isOsborneHoffman knows the tail that an Osborne-Hoffman panel puts after the data: 16 hex digits and "|#".
func isOsborneHoffman(s string) bool {
	tail, _, ok := strings.Cut(s, "|#")
	return ok && len(tail) == 16 && isHex(tail)
}

func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 16
}

func isDecimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isHex(s string) bool {
	for i := range len(s) {
		if !hexDigit(s[i]) {
			return false
		}
	}
	return true
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}
