package dc09

import (
	"errors"
	"time"
)

// The message tokens that are not panel events.
const (
	idSIA  = "SIA-DCS"
	idCID  = "ADM-CID"
	idNull = "NULL"
	idACK  = "ACK"
	idNAK  = "NAK"
	idDUH  = "DUH"
	idRSP  = "RSP"
)

// Formats of a report.
const (
	FormatSIA = "sia" // two-letter codes of DC-03
	FormatCID = "cid" // Contact ID codes of DC-05
)

// Field is a header field that may be absent, or stand there without digits.
type Field struct {
	Text string // as sent, without its letter
	Set  bool   // the letter stands there
}

// Frame is one message of a panel or a receiver.
type Frame struct {
	ID        string // the token without quotes and asterisk, such as SIA-DCS, ADM-CID, NULL, ACK
	Encrypted bool   // the token carries an asterisk
	Seq       string // four decimal digits
	Receiver  Field  // R, 0 to 6 hex digits
	Line      Field  // L, 0 to 6 hex digits
	Account   Field  // #, 3 to 16 hex digits

	BinaryCRC bool // the CRC came as two bytes
	OverCR    bool // CRC and length count the final CR

	CipherBytes int    // of an encrypted frame
	Readable    bool   // the fields below are known: the frame is plain, or was decrypted
	PadLen      int    // bytes before the "|" of a decrypted frame, or before the "]" of a NULL that has none
	Data        string // between "[" and the first "]", without pad
	Extended    []string
	Stamp       string    // HH:MM:SS,MM-DD-YYYY as sent, "" when there is none
	Time        time.Time // Stamp in UTC; zero when there is none or when it names no time

	AccountInData Field
	Reports       []Report

	cipher string // hex of an encrypted frame
}

// Report is one event inside a frame. All texts are as sent, "" when absent.
type Report struct {
	Format     string // FormatSIA or FormatCID
	Qualifier  int    // of CID: 1 new or opening, 3 restore or closing, 6 status; 0 for SIA
	Code       string // two letters or three digits; "" when the payload could not be understood, which then is Text
	Zone       string // zone, or user where the code says so
	Area       string // ri, or the partition of CID
	Peripheral string // pi
	User       string // id
	Clock      string // ti, HH:MM or HH:MM:SS
	Text       string
}

// Reason says what is wrong with bytes that are no frame. Reasons are a word of the wire's tests: append only.
type Reason string

// The reasons, in the order in which they are judged.
const (
	ReasonCRC     Reason = "crc"
	ReasonLength  Reason = "length"
	ReasonGrammar Reason = "grammar" // judged only if CRC and length hold
)

// Refusal is the error for bytes that are no frame.
type Refusal struct {
	Reasons []Reason
	Detail  string // for people; never holds a byte of the frame
}

// Error implements error.
func (r *Refusal) Error() string {
	s := "not a DC-09 frame:"
	for _, x := range r.Reasons {
		s += " " + string(x)
	}
	if r.Detail != "" {
		s += ": " + r.Detail
	}
	return s
}

func grammar(detail string) error {
	return &Refusal{Reasons: []Reason{ReasonGrammar}, Detail: detail}
}

// ErrUnreadable means that there is no key, or that it does not open the frame.
var ErrUnreadable = errors.New("decrypting: the key does not open this frame")

// Supervision reports whether the frame only says that the panel is alive.
func (f *Frame) Supervision() bool { return f.ID == idNull }

// Answer reports whether the frame is what a receiver says, not a panel.
func (f *Frame) Answer() bool {
	return f.ID == idACK || f.ID == idNAK || f.ID == idDUH || f.ID == idRSP
}
