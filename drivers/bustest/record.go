package bustest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"watchpost/drivers/bus"
)

// A transcript has one exchange a line, with the words of linesock:
//
//	i2c <address> <n> <written> -> <read>
//	spi <n> <written> -> <read>
//	w1 <strong> <n> <written> -> <read>
//	w1search -> <rom>,<rom>
//	serial write <bytes>
//	serial read <bytes>
//
// Bytes are hexadecimal, a hyphen is none. In place of what was read there may be a fault: noanswer, stuck, timeout, checksum
// or failed.
const (
	searchRequest = "w1search"
	serialWrite   = "serial write"
	serialRead    = "serial read"
	arrow         = " -> "
)

// step is one exchange.
type step struct {
	request string
	data    []byte
	roms    []bus.ROM
	fault   error
}

// String is the line of the transcript.
func (s step) String() string {
	answer := hexOf(s.data)
	if s.request == searchRequest {
		words := make([]string, len(s.roms))
		for i, r := range s.roms {
			words[i] = r.String()
		}
		answer = strings.Join(words, ",")
		if answer == "" {
			answer = "-"
		}
	}
	if s.fault != nil {
		answer = faultWord(s.fault)
	}
	if s.request == serialWrite || s.request == serialRead {
		return s.request + " " + answer
	}
	return s.request + arrow + answer
}

// errFailed stands for a fault that has no word of its own.
var errFailed = errors.New("failed as recorded")

func faultOf(word string) error {
	switch word {
	case "noanswer":
		return bus.ErrNoAnswer
	case "stuck":
		return bus.ErrStuck
	case "timeout":
		return bus.ErrTimeout
	case "checksum":
		return bus.ErrChecksum
	case "failed":
		return errFailed
	}
	return nil
}

func faultWord(err error) string {
	for _, word := range []string{"noanswer", "stuck", "timeout", "checksum"} {
		if errors.Is(err, faultOf(word)) {
			return word
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "timeout"
	}
	return "failed"
}

func hexOf(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

func bytesOf(s string) ([]byte, error) {
	if s == "-" {
		return nil, nil
	}
	return hex.DecodeString(s)
}

func i2cRequest(addr uint16, w, r []byte) string {
	return fmt.Sprintf("i2c %02x %d %s", addr, len(r), hexOf(w))
}

func spiRequest(w, r []byte) string { return fmt.Sprintf("spi %d %s", len(r), hexOf(w)) }

func wireRequest(w, r []byte, strong bool) string {
	bit := 0
	if strong {
		bit = 1
	}
	return fmt.Sprintf("w1 %d %d %s", bit, len(r), hexOf(w))
}

// parseStep reads one line.
func parseStep(line string) (step, error) {
	for _, way := range []string{serialWrite, serialRead} {
		if rest, ok := strings.CutPrefix(line, way+" "); ok {
			s := step{request: way, fault: faultOf(rest)}
			if s.fault != nil {
				return s, nil
			}
			var err error
			if s.data, err = bytesOf(rest); err == nil && len(s.data) == 0 {
				err = errors.New("no bytes")
			}
			return s, err
		}
	}
	request, answer, ok := strings.Cut(line, arrow)
	if !ok {
		return step{}, fmt.Errorf("%q has no arrow", line)
	}
	s := step{request: request, fault: faultOf(answer)}
	var err error
	switch words := strings.Fields(request); {
	case s.fault != nil:
	case request == searchRequest:
		s.roms, err = romsOf(answer)
	case len(words) < 3:
		err = fmt.Errorf("%q is no request", request)
	default:
		if s.data, err = bytesOf(answer); err == nil && words[len(words)-2] != strconv.Itoa(len(s.data)) {
			err = fmt.Errorf("%q: %s bytes are asked for, %d are answered", line, words[len(words)-2], len(s.data))
		}
	}
	return s, err
}

func romsOf(answer string) ([]bus.ROM, error) {
	var roms []bus.ROM
	for word := range strings.SplitSeq(answer, ",") {
		if word == "-" {
			continue
		}
		r, err := bus.ParseROM(word)
		if err != nil {
			return nil, err
		}
		roms = append(roms, r)
	}
	return roms, nil
}

// Recorder writes down what goes over buses, in the order in which it ends.
type Recorder struct {
	mu    sync.Mutex // guards steps
	steps []step
}

// String is the transcript, for [Play].
func (r *Recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, s := range r.steps {
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

func (r *Recorder) add(s step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.data = append([]byte(nil), s.data...)
	r.steps = append(r.steps, s)
}

// I2C is inner, written down.
func (r *Recorder) I2C(inner bus.I2C) bus.I2C { return i2cTap{r, inner} }

// SPI is inner, written down.
func (r *Recorder) SPI(inner bus.SPI) bus.SPI { return spiTap{r, inner} }

// OneWire is inner, written down.
func (r *Recorder) OneWire(inner bus.OneWire) bus.OneWire { return wireTap{r, inner} }

// Serial is inner, written down.
func (r *Recorder) Serial(inner bus.Serial) bus.Serial { return serialTap{r, inner} }

type i2cTap struct {
	rec   *Recorder
	inner bus.I2C
}

func (b i2cTap) Tx(addr uint16, w, r []byte) error {
	err := b.inner.Tx(addr, w, r)
	b.rec.add(step{request: i2cRequest(addr, w, r), data: r, fault: err})
	return err
}

type spiTap struct {
	rec   *Recorder
	inner bus.SPI
}

func (b spiTap) Tx(w, r []byte) error {
	request := spiRequest(w, r) // w and r may be the same bytes
	err := b.inner.Tx(w, r)
	b.rec.add(step{request: request, data: r, fault: err})
	return err
}

type wireTap struct {
	rec   *Recorder
	inner bus.OneWire
}

func (b wireTap) Tx(w, r []byte, strong bool) error {
	err := b.inner.Tx(w, r, strong)
	b.rec.add(step{request: wireRequest(w, r, strong), data: r, fault: err})
	return err
}

func (b wireTap) Search(ctx context.Context) ([]bus.ROM, error) {
	roms, err := b.inner.Search(ctx)
	b.rec.add(step{request: searchRequest, roms: roms, fault: err})
	return roms, err
}

type serialTap struct {
	rec   *Recorder
	inner bus.Serial
}

func (s serialTap) Write(b []byte) (int, error) {
	n, err := s.inner.Write(b)
	if n > 0 {
		s.rec.add(step{request: serialWrite, data: b[:n]})
	}
	return n, err
}

func (s serialTap) Read(b []byte) (int, error) {
	n, err := s.inner.Read(b)
	switch {
	case n > 0:
		s.rec.add(step{request: serialRead, data: b[:n]})
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.rec.add(step{request: serialRead, fault: bus.ErrTimeout})
	}
	return n, err
}

func (s serialTap) Close() error                       { return s.inner.Close() }
func (s serialTap) SetReadDeadline(t time.Time) error  { return s.inner.SetReadDeadline(t) }
func (s serialTap) SetWriteDeadline(t time.Time) error { return s.inner.SetWriteDeadline(t) }
