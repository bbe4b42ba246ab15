package dc09

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// MaxNumber is the highest sequence number of a message; the next one is 1 again (DC-09-2013 5.5.1.5).
const MaxNumber = 9999

// Message is what a transmitter says. Texts are those of a frame, without their letters.
type Message struct {
	ID       string    // SIA-DCS, ADM-CID or NULL
	Number   int       // 1 to MaxNumber; 0 for NULL
	Receiver string    // R, up to 6 hex digits; "" leaves it out
	Line     string    // L, 1 to 6 hex digits
	Account  string    // #, 3 to 16 hex digits; repeated in the data of an event
	Payload  string    // behind the account, such as Nri1/BA012 or 1130 01 012; "" for NULL. No bracket may stand in it
	Time     time.Time // the stamp; zero leaves it out, which only a plain message may do
}

// AppendMessage appends the frame of m, LF … CR, encrypted if there is a key. random fills the pad, which has 1 to 16 bytes
// (5.4.4.3).
func AppendMessage(dst []byte, m Message, k *Key, random io.Reader) ([]byte, error) {
	if m.Number < 0 || m.Number > MaxNumber {
		return dst, fmt.Errorf("message number %d is outside 0 to %d", m.Number, MaxNumber)
	}
	if k != nil && m.Time.IsZero() {
		return dst, errors.New("an encrypted message needs a time")
	}
	start := len(dst)
	out := append(dst, "\n    0   \""...)
	if k != nil {
		out = append(out, '*')
	}
	out = fmt.Appendf(out, `%s"%04d`, m.ID, m.Number)
	out = appendField(out, 'R', Field{Text: m.Receiver, Set: m.Receiver != ""})
	out = appendField(out, 'L', Field{Text: m.Line, Set: true})
	out = append(appendField(out, '#', Field{Text: m.Account, Set: m.Account != ""}), '[')
	if k == nil {
		out = m.appendContent(out)
	} else {
		var err error
		if out, err = m.appendSealed(out, k, random); err != nil {
			return dst, err
		}
	}
	if n := len(out) - start - 1 - hexHead; n > MaxBody {
		return dst, fmt.Errorf("a message of %d bytes: at most %d fit", n, MaxBody)
	}
	return finish(out, start), nil
}

// appendContent appends what stands behind the opening bracket.
func (m *Message) appendContent(dst []byte) []byte {
	if m.Payload != "" {
		dst = append(append(append(append(dst, '#'), m.Account...), '|'), m.Payload...)
	}
	dst = append(dst, ']')
	if m.Time.IsZero() {
		return dst
	}
	return appendStamp(append(dst, '_'), m.Time)
}

// appendSealed appends pad, bar and content, encrypted, as hex.
func (m *Message) appendSealed(dst []byte, k *Key, random io.Reader) ([]byte, error) {
	const block = 16
	plain := m.appendContent([]byte{'|'})
	pad := block - len(plain)%block
	plain = slices.Insert(plain, 0, make([]byte, pad)...)
	if err := fillPad(plain[:pad], random); err != nil {
		return dst, err
	}
	k.encrypt(plain)
	for _, c := range plain {
		dst = append(dst, upperHex[c>>4], upperHex[c&15])
	}
	return dst, nil
}
