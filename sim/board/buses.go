package board

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"watchpost/sim/board/wire"
)

// Bounds of one transaction, so that it fits one line.
const (
	maxData  = 96 // bytes each way
	maxCodes = 12 // of a search
)

// I2C is a bus of chips behind the box.
type I2C interface {
	Tx(addr uint16, w, r []byte) error
}

// OneWire is a bus of 1-wire devices behind the box.
type OneWire interface {
	Tx(w, r []byte, strong bool) error
	Search(ctx context.Context) ([]uint64, error)
}

var (
	_ I2C     = (*wire.I2C)(nil)
	_ OneWire = (*wire.OneWire)(nil)
)

// CarryI2C puts an I2C bus behind the box, under a name like a line's.
func (b *Board) CarryI2C(name string, bus I2C) error {
	return carry(b, name, func() {
		if b.i2c == nil {
			b.i2c = map[string]I2C{}
		}
		b.i2c[name] = bus
	})
}

// CarryOneWire puts a 1-wire bus behind the box, under a name like a line's.
func (b *Board) CarryOneWire(name string, bus OneWire) error {
	return carry(b, name, func() {
		if b.oneWire == nil {
			b.oneWire = map[string]OneWire{}
		}
		b.oneWire[name] = bus
	})
}

func carry(b *Board, name string, put func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !validName(name):
		return fmt.Errorf("bus name %q: use 1 to %d of a-z, 0-9 and -", name, maxName)
	case b.i2c[name] != nil || b.oneWire[name] != nil:
		return fmt.Errorf("bus %q is named twice", name)
	}
	put()
	return nil
}

// transact does what a request of a bus asks for. asked is false if text is none.
func (b *Board) transact(ctx context.Context, text string) (answer string, asked bool) {
	words := strings.Split(text, " ")
	arguments, asked := map[string]int{"i2c": 4, "w1": 4, "w1search": 1}[words[0]]
	if !asked {
		return "", false
	}
	name := "-"
	if len(words) > 1 && validName(words[1]) {
		name = words[1]
	}
	said, err := "", error(nil)
	if len(words) != 1+arguments {
		err = fmt.Errorf("%d arguments are needed", arguments)
	} else {
		b.mu.Lock()
		i2c, oneWire := b.i2c[name], b.oneWire[name]
		b.mu.Unlock()
		switch {
		case words[0] == "i2c" && i2c != nil:
			said, err = transactI2C(i2c, words[2:])
		case words[0] == "w1" && oneWire != nil:
			said, err = transactOneWire(oneWire, words[2:])
		case words[0] == "w1search" && oneWire != nil:
			said, err = search(ctx, oneWire)
		default:
			err = fmt.Errorf("this box has no such bus for %s", words[0])
		}
	}
	if err != nil {
		return fmt.Sprintf("err %s %s %s %.150s", words[0], name, faultWord(err), err), true
	}
	return fmt.Sprintf("ok %s %s %s", words[0], name, said), true
}

// faultWord is an error's word on the wire.
func faultWord(err error) string {
	switch {
	case errors.Is(err, wire.NoAnswer):
		return "noanswer"
	case errors.Is(err, wire.Stuck):
		return "stuck"
	case errors.Is(err, wire.Timeout):
		return "timeout"
	}
	return "refused"
}

func transactI2C(bus I2C, words []string) (string, error) {
	addr, err := strconv.ParseUint(words[0], 16, 8)
	if err != nil || len(words[0]) != 2 || addr > 0x7F {
		return "", errors.New("the address is 00 to 7f")
	}
	w, r, err := buffers(words[1], words[2])
	if err != nil {
		return "", err
	}
	if err := bus.Tx(uint16(addr), w, r); err != nil {
		return "", err
	}
	return inHex(r), nil
}

func transactOneWire(bus OneWire, words []string) (string, error) {
	if words[0] != "0" && words[0] != "1" {
		return "", errors.New("strong is 0 or 1")
	}
	w, r, err := buffers(words[1], words[2])
	if err != nil {
		return "", err
	}
	if err := bus.Tx(w, r, words[0] == "1"); err != nil {
		return "", err
	}
	return inHex(r), nil
}

func search(ctx context.Context, bus OneWire) (string, error) {
	codes, err := bus.Search(ctx)
	switch {
	case err != nil:
		return "", err
	case len(codes) > maxCodes:
		return "", fmt.Errorf("%d devices, a line holds %d", len(codes), maxCodes)
	case len(codes) == 0:
		return "-", nil
	}
	said := make([]string, len(codes))
	for i, code := range codes {
		said[i] = fmt.Sprintf("%016x", code)
	}
	return strings.Join(said, ","), nil
}

// buffers are what is written and where to read to.
func buffers(n, data string) (w, r []byte, err error) {
	count, err := strconv.ParseUint(n, 10, 8)
	if err != nil || count > maxData {
		return nil, nil, fmt.Errorf("bytes to read: 0 to %d", maxData)
	}
	if data != "-" {
		if w, err = hex.DecodeString(data); err != nil || len(w) > maxData || len(w) == 0 {
			return nil, nil, fmt.Errorf("bytes to write: at most %d, in hexadecimal, or -", maxData)
		}
	}
	return w, make([]byte, count), nil
}

func inHex(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}
