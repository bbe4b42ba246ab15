package modbus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// raw reads the bytes of a written example, "01 00 13".
func raw(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bits reads "1011…", the lowest address first.
func bits(s string) []bool {
	b := make([]bool, len(s))
	for i := range s {
		b[i] = s[i] == '1'
	}
	return b
}

// TestStandard holds the codec to the examples of the Application Protocol V1.1b3, by paragraph.
func TestStandard(t *testing.T) {
	for name, c := range map[string]struct {
		r               Request
		request, answer string
		want            Answer
	}{
		"6.1 read coils": {Request{Function: ReadCoils, Address: 0x13, Count: 19}, "01 00 13 00 13", "01 03 cd 6b 05",
			Answer{Bits: bits("1011001111010110101")}},
		"6.2 read discrete inputs": {Request{Function: ReadDiscreteInputs, Address: 0xc4, Count: 22}, "02 00 c4 00 16", "02 03 ac db 35",
			Answer{Bits: bits("0011010111011011101011")}},
		"6.3 read holding registers": {Request{Function: ReadHoldingRegisters, Address: 0x6b, Count: 3}, "03 00 6b 00 03",
			"03 06 02 2b 00 00 00 64", Answer{Registers: []uint16{0x022b, 0, 0x64}}},
		"6.4 read input registers": {Request{Function: ReadInputRegisters, Address: 8, Count: 1}, "04 00 08 00 01", "04 02 00 0a",
			Answer{Registers: []uint16{10}}},
		"6.5 write single coil":         {Request{Function: WriteCoil, Address: 0xac, Bits: bits("1")}, "05 00 ac ff 00", "05 00 ac ff 00", Answer{}},
		"6.5 write single coil off":     {Request{Function: WriteCoil, Address: 0xac, Bits: bits("0")}, "05 00 ac 00 00", "05 00 ac 00 00", Answer{}},
		"6.6 write single register":     {Request{Function: WriteRegister, Address: 1, Registers: []uint16{3}}, "06 00 01 00 03", "06 00 01 00 03", Answer{}},
		"6.11 write multiple coils":     {Request{Function: WriteCoils, Address: 0x13, Bits: bits("1011001110")}, "0f 00 13 00 0a 02 cd 01", "0f 00 13 00 0a", Answer{}},
		"6.12 write multiple registers": {Request{Function: WriteRegisters, Address: 1, Registers: []uint16{10, 0x102}}, "10 00 01 00 02 04 00 0a 01 02", "10 00 01 00 02", Answer{}},
	} {
		got, err := c.r.Append(nil)
		if err != nil || !bytes.Equal(got, raw(t, c.request)) {
			t.Errorf("%s: % x, %v; want %s", name, got, err, c.request)
		}
		a, err := c.r.Answer(raw(t, c.answer))
		if err != nil || !same(a, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, a, err, c.want)
		}
		refusal := []byte{byte(c.r.Function) | 0x80, 2}
		if _, err := c.r.Answer(refusal); !errors.Is(err, IllegalDataAddress) {
			t.Errorf("%s refused: %v", name, err)
		}
	}
}

func same(a, b Answer) bool {
	if len(a.Bits) != len(b.Bits) || len(a.Registers) != len(b.Registers) {
		return false
	}
	for i := range a.Bits {
		if a.Bits[i] != b.Bits[i] {
			return false
		}
	}
	for i := range a.Registers {
		if a.Registers[i] != b.Registers[i] {
			return false
		}
	}
	return true
}

func TestWrongAnswers(t *testing.T) {
	read := Request{Function: ReadHoldingRegisters, Address: 0x6b, Count: 3}
	write := Request{Function: WriteCoil, Address: 0xac, Bits: bits("1")}
	for name, c := range map[string]struct {
		r   Request
		pdu string
	}{
		"nothing":             {read, ""},
		"another function":    {read, "04 06 02 2b 00 00 00 64"},
		"another refusal":     {read, "84 02"},
		"half a refusal":      {read, "83"},
		"one register less":   {read, "03 04 02 2b 00 00"},
		"one register more":   {read, "03 08 02 2b 00 00 00 64 00 00"},
		"a count that lies":   {read, "03 05 02 2b 00 00 00 64"},
		"only the function":   {read, "03"},
		"another coil":        {write, "05 00 ad ff 00"},
		"off instead of on":   {write, "05 00 ac 00 00"},
		"write cut short":     {write, "05 00 ac ff"},
		"a refusal too long":  {read, "83 02 00"},
		"a write answered by": {write, "06 00 ac ff 00"},
	} {
		if a, err := c.r.Answer(raw(t, c.pdu)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestWrongRequests(t *testing.T) {
	for name, r := range map[string]Request{
		"no function":          {Count: 1},
		"diagnostics":          {Function: 8, Count: 1},
		"no bits":              {Function: ReadCoils},
		"2001 bits":            {Function: ReadDiscreteInputs, Count: 2001},
		"126 registers":        {Function: ReadHoldingRegisters, Count: 126},
		"past the end":         {Function: ReadInputRegisters, Address: 65535, Count: 2},
		"a coil without level": {Function: WriteCoil},
		"two coils":            {Function: WriteCoil, Bits: bits("11")},
		"two registers":        {Function: WriteRegister, Registers: []uint16{1, 2}},
		"1969 coils":           {Function: WriteCoils, Bits: make([]bool, 1969)},
		"124 registers":        {Function: WriteRegisters, Registers: make([]uint16, 124)},
	} {
		if b, err := r.Append(nil); err == nil || len(b) != 0 {
			t.Errorf("%s: % x, %v", name, b, err)
		}
	}
}

func TestExceptions(t *testing.T) {
	for code, word := range map[Exception]string{
		1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure", 5: "acknowledge",
		6: "server device busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target device failed to respond", 0x7f: "exception 7f",
	} {
		if !strings.Contains(code.Error(), word) {
			t.Errorf("%d: %q", byte(code), code.Error())
		}
		if code.ofAddress() != (code == 2 || code == 3) {
			t.Errorf("%v is of the address: %v", code, code.ofAddress())
		}
	}
}

// drawRequest is any request that the standard allows.
func drawRequest(r *rapid.T) Request {
	q := Request{Function: rapid.SampledFrom([]Function{1, 2, 3, 4, 5, 6, 15, 16}).Draw(r, "function")}
	n := 1
	switch q.Function {
	case ReadCoils, ReadDiscreteInputs:
		n = rapid.IntRange(1, MaxReadBits).Draw(r, "count")
		q.Count = uint16(n)
	case ReadHoldingRegisters, ReadInputRegisters:
		n = rapid.IntRange(1, MaxReadRegisters).Draw(r, "count")
		q.Count = uint16(n)
	case WriteCoil:
		q.Bits = []bool{rapid.Bool().Draw(r, "level")}
	case WriteRegister:
		q.Registers = []uint16{rapid.Uint16().Draw(r, "value")}
	case WriteCoils:
		q.Bits = rapid.SliceOfN(rapid.Bool(), 1, MaxWriteBits).Draw(r, "levels")
		n = len(q.Bits)
	case WriteRegisters:
		q.Registers = rapid.SliceOfN(rapid.Uint16(), 1, MaxWriteRegisters).Draw(r, "values")
		n = len(q.Registers)
	}
	q.Address = uint16(rapid.IntRange(0, 1<<16-n).Draw(r, "address"))
	return q
}

// TestAgainstSlave asks a slave with a codec of its own at random, and holds what it has in memory against what is read.
func TestAgainstSlave(t *testing.T) {
	s := newTestSlave()
	rapid.Check(t, func(r *rapid.T) {
		q := drawRequest(r)
		pdu, err := q.Append(nil)
		if err != nil || len(pdu) > MaxPDU {
			r.Fatalf("%d bytes, %v", len(pdu), err)
		}
		answer := s.answer(pdu)
		if len(answer) != q.answerSize() {
			r.Fatalf("an answer of %d bytes, %d were expected", len(answer), q.answerSize())
		}
		a, err := q.Answer(answer)
		if err != nil {
			r.Fatalf("% x answered by % x: %v", pdu, answer, err)
		}
		want := Answer{}
		for i := range int(q.Count) {
			at := q.Address + uint16(i)
			switch q.Function {
			case ReadCoils:
				want.Bits = append(want.Bits, s.coils[at])
			case ReadDiscreteInputs:
				want.Bits = append(want.Bits, s.inputs[at])
			case ReadHoldingRegisters:
				want.Registers = append(want.Registers, s.holding[at])
			case ReadInputRegisters:
				want.Registers = append(want.Registers, s.input[at])
			}
		}
		for i, on := range q.Bits {
			if s.coils[q.Address+uint16(i)] != on {
				r.Fatalf("coil %d of %d was not written", i, len(q.Bits))
			}
		}
		for i, v := range q.Registers {
			if s.holding[q.Address+uint16(i)] != v {
				r.Fatalf("register %d of %d was not written", i, len(q.Registers))
			}
		}
		if !same(a, want) {
			r.Fatalf("read %+v, the slave has %+v", a, want)
		}
	})
}
