package modbus

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bytesOf reads hexadecimal digits with blanks between.
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	must(t, err)
	return b
}

// example is a slave with the values that the examples of V1.1b3 read and write.
func example() *Slave {
	s := NewSlave()
	for i, v := range []byte{0xCD, 0x6B, 0x05} { // coils 20 to 38
		for bit := range 8 {
			s.Set(Coils, uint16(19+8*i+bit), uint16(v>>bit)&1)
		}
	}
	for i, v := range []byte{0xAC, 0xDB, 0x35} { // discrete inputs 197 to 218
		for bit := range 8 {
			s.Set(Discrete, uint16(196+8*i+bit), 4*(uint16(v>>bit)&1))
		}
	}
	for i, v := range []uint16{0x022B, 0x0000, 0x0064} { // holding registers 108 to 110
		s.Set(Holding, uint16(107+i), v)
	}
	s.Set(Input, 8, 0x000A)
	s.Set(Coils, 172, 0)
	s.Set(Holding, 1, 0)
	s.Set(Holding, 2, 0)
	return s
}

// The examples are those of Modbus Application Protocol V1.1b3, 6.1 to 6.6, 6.11 and 6.12.
func TestExamples(t *testing.T) {
	s := example()
	for _, c := range []struct{ request, answer string }{
		{"01 0013 0013", "01 03 CD 6B 05"},
		{"02 00C4 0016", "02 03 AC DB 35"},
		{"03 006B 0003", "03 06 022B 0000 0064"},
		{"04 0008 0001", "04 02 000A"},
		{"05 00AC FF00", "05 00AC FF00"},
		{"06 0001 0003", "06 0001 0003"},
		{"0F 0013 000A 02 CD 01", "0F 0013 000A"},
		{"10 0001 0002 04 000A 0102", "10 0001 0002"},
		{"01 00AC 0001", "01 01 01"},
		{"01 0013 000B", "01 02 CD 01"},
		{"03 0001 0002", "03 04 000A 0102"},

		{"07", "87 01"},
		{"17 0000 0001", "97 01"},
		{"03 0000", "83 03"},
		{"03 006B 0000", "83 03"},
		{"03 006B 007E", "83 03"},
		{"01 0013 07D1", "81 03"},
		{"03 006B 0004", "83 02"},
		{"03 006B 0003 00", "83 03"},
		{"04 FFFF 0002", "84 02"},
		{"05 00AC 1234", "85 03"},
		{"05 0000 FF00", "85 02"},
		{"06 1000 0001", "86 02"},
		{"0F 0013 0000 00", "8F 03"},
		{"0F 0013 000A 01 CD", "8F 03"},
		{"0F 0013 000A 03 CD", "8F 03"},
		{"10 0001 0002 03 000A 01", "90 03"},
		{"10 0001 0000 00", "90 03"},
		{"10 0002 0002 04 0001 0002", "90 02"},
	} {
		got, _, _ := s.answer(bytesOf(t, c.request))
		if !bytes.Equal(got, bytesOf(t, c.answer)) {
			t.Errorf("%s is answered with % X, want %s", c.request, got, c.answer)
		}
	}
	if v, ok := s.Value(Coils, 172); v != 1 || !ok {
		t.Errorf("coil 172 is %d", v)
	}
	if _, ok := s.Value(Input, 9); ok {
		t.Error("a register that nobody set has a value")
	}
}

func TestMoods(t *testing.T) {
	for name, want := range map[string]struct{ rtu, tcp string }{
		"alive":     {"01 04 02 000A 3937", "0007 0000 0005 01 04 02 000A"},
		"dead":      {"", ""},
		"slow":      {"01 04 02 000A 3937", "0007 0000 0005 01 04 02 000A"},
		"bad-crc":   {"01 04 02 000A 396D", "0007 0000 0005 01 04 02 00"},
		"wrong-id":  {"02 04 02 000A 7D37", "0006 0000 0005 01 04 02 000A"},
		"exception": {"01 84 04 42C3", "0007 0000 0003 01 84 04"},
		"babble":    {hex.EncodeToString([]byte(noise)), hex.EncodeToString([]byte(noise))},
	} {
		mood, err := ParseMood(name)
		must(t, err)
		s := example()
		s.Behave(mood, time.Second)
		frame := bytesOf(t, "01 04 0008 0001 B008")
		got, delay := serveFrame(frame, map[byte]*Slave{1: s})
		if !bytes.Equal(got, bytesOf(t, want.rtu)) || (delay == time.Second) != (name == "slow") {
			t.Errorf("%s over RTU: % X after %s, want %s", name, got, delay, want.rtu)
		}
		pdu, mood, _ := s.answer(frame[1:6])
		if got = nil; mood != Dead {
			got = wrap([header]byte{0, 7, 0, 0, 0, 6, 1}, pdu, mood)
		}
		if !bytes.Equal(got, bytesOf(t, want.tcp)) {
			t.Errorf("%s over TCP: % X, want %s", name, got, want.tcp)
		}
		if s.Asked() != 2 {
			t.Errorf("%s: asked %d times", name, s.Asked())
		}
	}
	if _, err := ParseMood("moody"); err == nil {
		t.Error("a mood that there is not")
	}
}

func TestTables(t *testing.T) {
	for i, name := range TableNames() {
		if table, err := ParseTable(name); err != nil || table != Table(i) {
			t.Errorf("%s: %v, %v", name, table, err)
		}
	}
	if _, err := ParseTable("register"); err == nil {
		t.Error("a table that there is not")
	}
}
