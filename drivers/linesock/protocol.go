package linesock

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"watchpost/drivers/bus"
)

// errProtocol is wrapped by every error about a line that is no linesock line.
var errProtocol = errors.New("not a linesock line")

// kind is the sort of a line from the box.
type kind uint8

const (
	kindHello kind = iota + 1
	kindWatched
	kindRead
	kindSet
	kindRefused
	kindEdge
	kindPong
	kindData  // what a chip on an I2C or 1-wire bus answered
	kindFault // what went wrong on such a bus
)

// message is one line from the box.
type message struct {
	kind     kind
	verb     string // of a refusal: watch, read or set; of a bus: i2c, w1 or w1search
	line     string // or bus
	level    bool
	kernelNS int64
	seq      uint64
	lineSeq  uint64
	text     string // of a refusal or a fault
	data     string // bytes of a bus; for w1search the codes, eight bytes each in the order of the wire
	fault    string // noanswer, stuck, timeout, checksum or refused
}

// isBus says whether a verb is one of the buses.
func isBus(verb string) bool { return verb == "i2c" || verb == "w1" || verb == "w1search" }

// parse reads one line without its line feed.
func parse(b []byte) (message, error) {
	if len(b) >= bus.MaxLine {
		return message{}, fmt.Errorf("%w: %d bytes, at most %d", errProtocol, len(b), bus.MaxLine-1)
	}
	words := bytes.SplitN(b, []byte{' '}, 7)
	w := make([]string, len(words))
	for i := range words {
		w[i] = string(words[i])
	}
	var m message
	var err error
	switch {
	case len(w) == 2 && w[0] == "linesock" && w[1] == "1":
		m.kind = kindHello
	case len(w) == 1 && w[0] == "pong":
		m.kind = kindPong
	case len(w) == 6 && w[0] == "ok" && w[1] == "watch":
		m.kind = kindWatched
		m.line = w[2]
		m.level, m.kernelNS, m.lineSeq, err = numbers(w[3], w[4], w[5])
	case len(w) == 6 && w[0] == "edge":
		m.kind = kindEdge
		m.line = w[1]
		if m.level, m.kernelNS, m.lineSeq, err = numbers(w[2], w[3], w[5]); err == nil {
			m.seq, err = strconv.ParseUint(w[4], 10, 64)
		}
		if err == nil && (m.lineSeq == 0 || m.seq < m.lineSeq) {
			err = errors.New("edges count from 1, a line's never above the box's")
		}
	case len(w) == 4 && w[0] == "ok" && (w[1] == "read" || w[1] == "set"):
		m.kind = kindRead
		if w[1] == "set" {
			m.kind = kindSet
		}
		m.line = w[2]
		m.level, err = level(w[3])
	case len(w) == 4 && w[0] == "ok" && isBus(w[1]):
		m.kind, m.verb, m.line = kindData, w[1], w[2]
		m.data, err = data(w[1], w[3])
	case len(w) >= 4 && w[0] == "err" && isBus(w[1]):
		m.kind, m.verb, m.line, m.fault = kindFault, w[1], w[2], w[3]
		m.text = string(bytes.Join(words[4:], []byte{' '}))
		if faultOf(m.fault) == nil {
			err = errors.New("that is no fault of a bus")
		}
	case len(w) >= 3 && w[0] == "err" && (w[1] == "watch" || w[1] == "read" || w[1] == "set"):
		m.kind, m.verb, m.line = kindRefused, w[1], w[2]
		m.text = string(bytes.Join(words[3:], []byte{' '}))
	default:
		return message{}, fmt.Errorf("%w: %q", errProtocol, b)
	}
	if err != nil {
		return message{}, fmt.Errorf("%w: %q: %w", errProtocol, b, err)
	}
	if m.kind != kindHello && m.kind != kindPong && !bus.ValidName(m.line) {
		return message{}, fmt.Errorf("%w: line name %q", errProtocol, m.line)
	}
	return m, nil
}

func numbers(lv, ns, seq string) (l bool, kernelNS int64, lineSeq uint64, err error) {
	if l, err = level(lv); err != nil {
		return false, 0, 0, err
	}
	if kernelNS, err = strconv.ParseInt(ns, 10, 64); err != nil {
		return false, 0, 0, err
	}
	if kernelNS < 0 {
		return false, 0, 0, errors.New("kernel time is negative")
	}
	lineSeq, err = strconv.ParseUint(seq, 10, 64)
	return l, kernelNS, lineSeq, err
}

// data reads what a bus answered. Codes of chips are taken as they are: whether their checksums are right is for the caller.
func data(verb, s string) (string, error) {
	if s == "-" {
		return "", nil
	}
	if verb != "w1search" {
		b, err := hex.DecodeString(s)
		if err == nil && (len(b) == 0 || len(b) > bus.MaxData) {
			err = fmt.Errorf("%d bytes, want 1 to %d", len(b), bus.MaxData)
		}
		return string(b), err
	}
	var all []byte
	for code := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseUint(code, 16, 64)
		if err == nil && len(code) != 16 {
			err = errors.New("a code has 16 digits")
		}
		if err != nil {
			return "", err
		}
		all = binary.LittleEndian.AppendUint64(all, n)
	}
	if len(all) > 8*bus.MaxROMs {
		return "", fmt.Errorf("%d codes, at most %d", len(all)/8, bus.MaxROMs)
	}
	return string(all), nil
}

func level(s string) (bool, error) {
	switch s {
	case "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, fmt.Errorf("level %q is not 0 or 1", s)
}
