package panel

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tokens of ANSI/SIA DC-07 that a panel sends and gets.
const (
	idSIA  = "SIA-DCS"
	idCID  = "ADM-CID"
	idNull = "NULL"
	idACK  = "ACK"
	idNAK  = "NAK"
	idDUH  = "DUH"
)

// Bounds of a frame: the length field has three hex digits.
const (
	maxBody   = 0xFFF
	frameHead = 8 // four digits of the CRC, "0" and three of the length
	binaryCRC = 2 // bytes of a CRC that is not written in digits
	maxFrame  = 1 + frameHead + maxBody + 1
	maxSeq    = 9999
	timestamp = "_15:04:05,01-02-2006" // UTC
)

// Frame is one message of a panel (ANSI/SIA DC-09-2013, 5.5.1).
type Frame struct {
	ID       string // SIA-DCS, ADM-CID or NULL, without quotes and asterisk
	Seq      int    // 0 to 9999
	Receiver string // 1-6 hex digits, left out if empty
	Line     string // 1-6 hex digits
	Account  string // 3-16 hex digits
	Data     string // between "[" and "]", for example "#1234|Nri1/BA001"
	Extra    []string
	Time     time.Time // none if zero; encrypted frames must have one
	Quirks   []Quirk   // of those that a frame can have
}

// Marshal gives the bytes on the wire, LF to CR. With a key of 16, 24 or 32
// bytes the frame is encrypted (5.4.4) and pad delivers the random bytes.
func (f Frame) Marshal(key []byte, pad io.Reader) ([]byte, error) {
	odd, extra := quirks(f.Quirks), f.Extra
	if !odd.has(QuirkZeroCRC) {
		return f.marshal(key, pad)
	}
	for i := range zeroTries {
		f.Extra = append(slices.Clone(extra), fmt.Sprintf("X%d", i))
		b, err := f.marshal(key, pad)
		if err != nil || odd.has(QuirkBinaryCRC) && b[1]>>4 == 0 || !odd.has(QuirkBinaryCRC) && b[1] == '0' {
			return b, err
		}
	}
	return nil, fmt.Errorf("no CRC of %d begins with 0", zeroTries)
}

func (f Frame) marshal(key []byte, pad io.Reader) ([]byte, error) {
	odd := quirks(f.Quirks)
	tail := f.Data + "]"
	for _, x := range f.Extra {
		tail += "[" + x + "]"
	}
	if !f.Time.IsZero() {
		tail += f.Time.UTC().Format(timestamp)
	}
	id := f.ID
	if len(key) > 0 {
		if f.Time.IsZero() {
			return nil, errors.New("an encrypted frame needs a timestamp")
		}
		bar := "|"
		if f.ID == idNull && odd.has(QuirkNullNoBar) {
			bar = ""
		}
		sealed, err := seal(key, odd.pad(pad), bar+tail)
		if err != nil {
			return nil, fmt.Errorf("encrypting a frame: %w", err)
		}
		id, tail = "*"+id, sealed
	}
	receiver := ""
	if f.Receiver != "" {
		receiver = "R" + f.Receiver
	}
	body := fmt.Sprintf(`"%s"%04d%s%s#%s[%s`, id, f.Seq, receiver, odd.line(f.Line), f.Account, tail)
	if len(body) > maxBody {
		return nil, fmt.Errorf("a frame of %d bytes: %d are the limit", len(body), maxBody)
	}
	return odd.envelope(body), nil
}

// crc16 is CRC-16/ARC: polynomial 8005 reflected, start 0.
func crc16(text string) uint16 {
	var crc uint16
	for i := range len(text) {
		crc ^= uint16(text[i])
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low == 1 {
				crc ^= 0xA001
			}
		}
	}
	return crc
}

// seal encrypts text behind 1 to 16 pad bytes and gives upper-case hex.
func seal(key []byte, pad io.Reader, text string) (string, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	n := aes.BlockSize - len(text)%aes.BlockSize
	plain := make([]byte, n, n+len(text))
	for i := range plain {
		for plain[i] == 0 || strings.IndexByte("|[]", plain[i]) >= 0 {
			if _, err := io.ReadFull(pad, plain[i:i+1]); err != nil {
				return "", err
			}
		}
	}
	plain = append(plain, text...)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(plain, plain)
	return strings.ToUpper(hex.EncodeToString(plain)), nil
}

// open reverses seal and cuts the pad and its "|" off.
func open(key []byte, text string) (string, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	plain, err := hex.DecodeString(text)
	if err != nil {
		return "", err
	}
	if len(plain) == 0 || len(plain)%aes.BlockSize != 0 {
		return "", fmt.Errorf("%d bytes are no whole blocks", len(plain))
	}
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(plain, plain)
	_, rest, ok := strings.Cut(string(plain), "|")
	if !ok {
		return "", errors.New("no bar behind the pad: is the key right?")
	}
	return rest, nil
}

// Answer is what a receiver says to a frame (5.5.2 to 5.5.5).
type Answer struct {
	ID        string // ACK, NAK, DUH or another token
	Encrypted bool
	Seq       int
	Receiver  string    // without its R; empty if left out
	Line      string    // without its L
	NoLine    bool      // there is no L at all
	Account   string    // without its #; empty for a NAK
	Time      time.Time // zero if none
}

// ParseAnswer reads one answer, LF to CR. It is strict: length, CRC and grammar
// must fit, and an encrypted answer must open with the key and carry a time.
func ParseAnswer(frame []byte, key []byte) (Answer, error) {
	text := string(frame)
	if len(text) < 2+frameHead || len(text) > maxFrame || text[0] != '\n' || text[len(text)-1] != '\r' {
		return Answer{}, errors.New("answer without LF, CRC, length and CR")
	}
	head, body := text[1:1+frameHead], text[1+frameHead:len(text)-1]
	if want := fmt.Sprintf("%04X0%03X", crc16(body), len(body)); !strings.EqualFold(head, want) {
		return Answer{}, fmt.Errorf("answer begins %s: CRC and length of the body are %s", head, want)
	}
	return parseBody(body, key)
}

func parseBody(body string, key []byte) (Answer, error) {
	var a Answer
	rest, ok := strings.CutPrefix(body, `"`)
	a.ID, rest, _ = strings.Cut(rest, `"`)
	a.ID, a.Encrypted = strings.CutPrefix(a.ID, "*")
	if !ok || a.ID == "" || len(rest) < 4 {
		return a, fmt.Errorf("answer %q has no token", body)
	}
	seq, err := strconv.ParseUint(rest[:4], 10, 16)
	if err != nil {
		return a, fmt.Errorf("answer %q: sequence: %w", body, err)
	}
	a.Seq = int(seq)
	address, tail, ok := strings.Cut(rest[4:], "[")
	if !ok {
		return a, fmt.Errorf("answer %q has no data block", body)
	}
	if err := a.parseAddress(address); err != nil {
		return a, fmt.Errorf("answer %q: %w", body, err)
	}
	if a.Encrypted {
		if tail, err = open(key, tail); err != nil {
			return a, fmt.Errorf("answer %q: decrypting: %w", body, err)
		}
	}
	return a, a.parseTail(tail)
}

// digits writes a CRC of two bytes in digits, so that [ParseAnswer] reads the
// answer to a panel of [QuirkBinaryCRC].
func digits(frame []byte) []byte {
	if len(frame) < 1+binaryCRC {
		return frame
	}
	return append(fmt.Appendf(nil, "\n%02X%02X", frame[1], frame[2]), frame[1+binaryCRC:]...)
}

// parseAddress reads [R receiver] [L line] [# account]; a NAK has its line, and
// ends in the literal A0.
func (a *Answer) parseAddress(text string) error {
	if rest, ok := strings.CutPrefix(text, "R"); ok {
		a.Receiver, text = cutHex(rest)
		if a.Receiver == "" {
			return errors.New("R without digits")
		}
	}
	rest, ok := strings.CutPrefix(text, "L")
	a.NoLine = !ok
	if a.ID == idNAK {
		if rest, ok = strings.CutSuffix(rest, "A0"); !ok {
			return errors.New("a NAK without A0")
		}
	}
	a.Line, rest = cutHex(rest)
	if account, ok := strings.CutPrefix(rest, "#"); ok {
		a.Account, rest = cutHex(account)
	}
	if rest != "" || len(a.Line) > 6 || len(a.Receiver) > 6 || len(a.Account) > 16 {
		return fmt.Errorf("address %q is none", text)
	}
	return nil
}

// cutHex cuts the leading hex digits off.
func cutHex(text string) (digits, rest string) {
	rest = strings.TrimLeft(text, "0123456789ABCDEFabcdef")
	return text[:len(text)-len(rest)], rest
}

func (a *Answer) parseTail(tail string) error {
	at := strings.LastIndexByte(tail, ']')
	if at < 0 {
		return errors.New("answer without the end of its data block")
	}
	stamp := tail[at+1:]
	if stamp == "" {
		if a.Encrypted || a.ID == idNAK {
			return fmt.Errorf("%s without a timestamp", a.ID)
		}
		return nil
	}
	// Clock and date are read in the other order: behind seconds the time package
	// takes a comma and digits for a fraction.
	clock, date, _ := strings.Cut(stamp, ",")
	t, err := time.Parse("01-02-2006_15:04:05", date+clock)
	if err != nil {
		return fmt.Errorf("answer with the timestamp %q: %w", stamp, err)
	}
	a.Time = t
	return nil
}
