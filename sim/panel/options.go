package panel

import (
	"bufio"
	"crypto/aes"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Values used where [Options] leaves a field empty.
const (
	defaultRetry      = 3 * time.Second
	defaultBackOff    = 50 * time.Millisecond
	defaultMaxBackOff = 3 * time.Second
	defaultLine       = "0"
	maxWindow         = 1000
)

// Options say what panel to be and what to send.
type Options struct {
	To       string  // tcp://HOST:PORT or udp://HOST:PORT
	Account  string  // 3-16 hex digits
	Receiver string  // 1-6 hex digits; left out of the frames if empty
	Line     string  // 1-6 hex digits; "0" if empty
	Key      []byte  // AES key of 16, 24 or 32 bytes; none: plain frames
	Format   Format  // FormatSIA if empty
	Quirks   []Quirk // of its maker

	Codes  []string // of the reports made by themselves, in turn; BA or 1130 if empty
	Count  int      // reports made by themselves; 0: only what Raise is given, without end
	First  int      // running number of the first report; 1 if zero
	Rate   float64  // reports per second; 0: as fast as they are acknowledged
	Window int      // frames in flight; 1 if zero

	Retry      time.Duration // an unanswered frame is sent again after this; 3 s if zero
	BackOff    time.Duration // the first wait before connecting again; 50 ms if zero
	MaxBackOff time.Duration // and the longest; 3 s if zero
	Poll       time.Duration // a NULL goes out when the wire was quiet for so long; 0: never
	Coalesce   int           // frames that may share one TCP segment; 1 if zero
	Split      int           // a TCP frame is sent in two parts, cut here; 0: whole

	// Record gets a line for each frame, with one Write each:
	//	sent N SEQ ACCOUNT ID DATA   before report N goes out for the first time
	//	acked N SEQ                  when its acknowledgement came
	// Nothing is recorded if it is nil.
	Record io.Writer
	// Capture gets all bytes of the wire in hex, with one Write each: "> HEX" for a
	// segment sent and "< HEX" for a frame received. Nothing is captured if it is nil.
	Capture io.Writer
	Now     func() time.Time // time.Now if nil
	Skew    time.Duration    // by which the clock of the panel is wrong at first
	Log     *slog.Logger     // nothing is logged if nil
}

// withDefaults fills the empty fields and checks the others.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Line, defaultLine)
	setDefault(&o.Format, FormatSIA)
	setDefault(&o.First, 1)
	setDefault(&o.Window, 1)
	setDefault(&o.Coalesce, 1)
	setDefault(&o.Retry, defaultRetry)
	setDefault(&o.BackOff, defaultBackOff)
	setDefault(&o.MaxBackOff, defaultMaxBackOff)
	if len(o.Codes) == 0 {
		o.Codes = []string{o.Format.code()}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Record == nil {
		o.Record = io.Discard
	}
	if o.Capture == nil {
		o.Capture = io.Discard
	}
	return o, o.check()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// code is what a report says if nobody chose.
func (f Format) code() string {
	if f == FormatCID {
		return "1130"
	}
	return "BA"
}

func (o Options) check() error {
	if _, _, err := o.address(); err != nil {
		return err
	}
	switch {
	case o.Format != FormatSIA && o.Format != FormatCID:
		return fmt.Errorf("format %q: use sia or cid", string(o.Format))
	case !isHex(o.Account, 3, 16):
		return fmt.Errorf("account %q: 3 to 16 hex digits are needed", o.Account)
	case !isHex(o.Line, 1, 6):
		return fmt.Errorf("line %q: 1 to 6 hex digits are needed", o.Line)
	case o.Receiver != "" && !isHex(o.Receiver, 1, 6):
		return fmt.Errorf("receiver %q: 1 to 6 hex digits are needed", o.Receiver)
	case o.Count < 0 || o.First < 1 || o.Rate < 0 || o.Coalesce < 1 || o.Split < 0:
		return fmt.Errorf("count %d, first %d, rate %g, coalesce %d, split %d: none may be below its least value", o.Count, o.First, o.Rate, o.Coalesce, o.Split)
	case o.Window < 1 || o.Window > maxWindow:
		return fmt.Errorf("a window of %d frames: choose 1 to %d", o.Window, maxWindow)
	case o.Retry < 0 || o.BackOff < 0 || o.MaxBackOff < o.BackOff || o.Poll < 0:
		return fmt.Errorf("retry %v, back-off %v to %v, poll %v: none may be negative", o.Retry, o.BackOff, o.MaxBackOff, o.Poll)
	}
	for _, code := range o.Codes {
		if err := o.Format.checkCode(code); err != nil {
			return err
		}
	}
	if err := o.odd().check(o.Format); err != nil {
		return err
	}
	if len(o.Key) > 0 {
		if _, err := aes.NewCipher(o.Key); err != nil {
			return fmt.Errorf("key: 16, 24 or 32 bytes are needed: %w", err)
		}
	}
	return nil
}

// address splits To.
func (o Options) address() (network, address string, err error) {
	network, address, _ = strings.Cut(o.To, "://")
	if network != "tcp" && network != "udp" {
		return "", "", fmt.Errorf("receiver address %q: write tcp://HOST:PORT or udp://HOST:PORT", o.To)
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", "", fmt.Errorf("receiver address %q: %w", o.To, err)
	}
	return network, address, nil
}

// Captured reads the segments that a panel sent out of what [Options.Capture] got.
func Captured(r io.Reader) (segments [][]byte, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text, sent := strings.CutPrefix(lines.Text(), "> ")
		if !sent {
			continue
		}
		segment, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("captured segment %d: %w", len(segments)+1, err)
		}
		segments = append(segments, segment)
	}
	return segments, lines.Err()
}

// odd are the quirks.
func (o Options) odd() quirks { return o.Quirks }

// crcBytes is how many bytes of an answer behind its LF are a binary CRC.
func (o Options) crcBytes() int {
	if o.odd().has(QuirkBinaryCRC) {
		return binaryCRC
	}
	return 0
}

func isHex(text string, least, most int) bool {
	_, rest := cutHex(text)
	return rest == "" && len(text) >= least && len(text) <= most
}
