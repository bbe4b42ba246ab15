package linesock

import (
	"errors"
	"strings"
	"testing"

	"watchpost/drivers/bus"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]message{
		"linesock 1":                       {kind: kindHello},
		"pong":                             {kind: kindPong},
		"ok watch door 1 123 4":            {kind: kindWatched, line: "door", level: true, kernelNS: 123, lineSeq: 4},
		"edge door 0 99 7 3":               {kind: kindEdge, line: "door", kernelNS: 99, seq: 7, lineSeq: 3},
		"ok read door 1":                   {kind: kindRead, line: "door", level: true},
		"ok set siren 0":                   {kind: kindSet, line: "siren"},
		"err watch attic no line by  name": {kind: kindRefused, verb: "watch", line: "attic", text: "no line by  name"},
		"err set door":                     {kind: kindRefused, verb: "set", line: "door"},
		"err watch a b c d e f g h i":      {kind: kindRefused, verb: "watch", line: "a", text: "b c d e f g h i"},
		"ok i2c chips 60ff":                {kind: kindData, verb: "i2c", line: "chips", data: "\x60\xff"},
		"ok w1 keys -":                     {kind: kindData, verb: "w1", line: "keys"},
		"ok w1search keys a200000001b81c02,0000000000000000": {kind: kindData, verb: "w1search", line: "keys", data: "\x02\x1c\xb8\x01\x00\x00\x00\xa2\x00\x00\x00\x00\x00\x00\x00\x00"},
		"err i2c chips stuck SDA is low":                     {kind: kindFault, verb: "i2c", line: "chips", fault: "stuck", text: "SDA is low"},
		"err w1search keys refused":                          {kind: kindFault, verb: "w1search", line: "keys", fault: "refused"},
	} {
		got, err := parse([]byte(line))
		if err != nil || got != want {
			t.Errorf("%q = %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"", " ", "linesock", "linesock 2", "linesock 1 ", "pong ", "ok", "ok watch", "ok watch door 1 123", "ok watch door 2 1 1",
		"ok watch Door 1 1 1", "ok watch door 1 -1 1", "ok watch door 1 1 -1", "ok watch door 1 1 1 1", "edge door 1 1 1", "edge door 1 1 0 0",
		"edge door 1 1 1 2", "edge  1 1 1 1", "edge door 1 99999999999999999999 1 1", "ok read door", "ok read door 1 1", "err jump door", "err watch",
		"ok i2c chips", "ok i2c chips 6", "ok i2c chips zz", "ok i2c chips  ", "ok i2c chips " + strings.Repeat("00", bus.MaxData+1), "ok w1search keys 60",
		"ok w1search keys ,", "ok w1search keys " + strings.Repeat("0,", bus.MaxROMs) + "0", "ok w1search keys a200000001b81c0g", "err i2c chips", "err i2c chips tired x", "err w1 Keys stuck",
		"err watch " + strings.Repeat("x", 33) + " t", "err watch door " + strings.Repeat("x", bus.MaxLine),
	} {
		if m, err := parse([]byte(line)); !errors.Is(err, errProtocol) {
			t.Errorf("%q = %+v, %v", line, m, err)
		}
	}
}

// FuzzParse looks for lines that panic, and for readings that their own words contradict.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"linesock 1", "pong", "ok watch door 1 123 4", "edge door 0 99 7 3", "ok read door 1", "ok set siren 0", "err watch attic no such line", "err read - x", "edge door 1 18446744073709551615 1 1",
		"ok i2c chips 60ff", "ok w1 keys -", "ok w1search keys a200000001b81c02,0000000000000000", "err w1 keys stuck held low"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Errorf("error %v is none of the protocol", err)
			}
			return
		}
		if len(b) >= bus.MaxLine || m.kernelNS < 0 || m.kind == 0 {
			t.Errorf("%q = %+v", b, m)
		}
		if m.kind != kindHello && m.kind != kindPong && (!bus.ValidName(m.line) || !strings.Contains(string(b), " "+m.line)) {
			t.Errorf("%q names line %q", b, m.line)
		}
		if m.kind == kindData && (!isBus(m.verb) || len(m.data) > 8*bus.MaxROMs) || m.kind == kindFault && (!isBus(m.verb) || faultOf(m.fault) == nil) {
			t.Errorf("%q of a bus is %+v", b, m)
		}
		if m.kind == kindEdge && (m.lineSeq == 0 || m.seq < m.lineSeq) {
			t.Errorf("%q counts %+v", b, m)
		}
	})
}
