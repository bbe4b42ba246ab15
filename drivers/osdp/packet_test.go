package osdp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func raw(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestChecks holds both checks to the examples of Annex E of the specification.
func TestChecks(t *testing.T) {
	for text, want := range map[string]uint16{"53 7f 0d 00 04 6e 00 80 25 00 00": 0x386e, "53 00 09 00 04 61 00": 0x66c0} {
		if got := crc16(raw(t, text)); got != want {
			t.Errorf("%s: %04x, want %04x", text, got, want)
		}
	}
	for text, want := range map[string]byte{"53 7f 0c 00 00 6e 00 80 25 00 00": 0x0f, "53 00 08 00 00 61 00": 0x44} {
		if got := checksum(raw(t, text)); got != want {
			t.Errorf("%s: %02x, want %02x", text, got, want)
		}
	}
}

// TestExamples writes the packets of Annex E and reads them again.
func TestExamples(t *testing.T) {
	for text, p := range map[string]Packet{
		"ff 53 00 09 00 04 61 00 c0 66": {CRC: true, Code: byte(CommandID), Data: []byte{0}},
		"ff 53 00 08 00 00 61 00 44":    {Code: byte(CommandID), Data: []byte{0}},
		"ff 53 65 08 00 04 60 60 90":    {Address: 0x65, CRC: true, Code: byte(CommandPoll), Data: []byte{}},
		"ff 53 e5 09 00 05 41 01 0e 8f": {Address: 0x65, Reply: true, Sequence: 1, CRC: true, Code: byte(ReplyNAK), Data: []byte{1}},
		"ff 53 e5 07 00 01 40 80":       {Address: 0x65, Reply: true, Sequence: 1, Code: byte(ReplyACK), Data: []byte{}},
	} {
		b, err := p.Append([]byte("before"))
		if err != nil || !bytes.Equal(b, append([]byte("before"), raw(t, text)...)) {
			t.Errorf("% x, %v; want %s", b, err, text)
		}
		for _, whole := range [][]byte{raw(t, text), raw(t, text)[1:]} {
			got, err := Parse(whole)
			if err != nil || got.Address != p.Address || got.Reply != p.Reply || got.Sequence != p.Sequence || got.CRC != p.CRC ||
				got.Code != p.Code || !bytes.Equal(got.Data, p.Data) || got.Security != SecurityNone || got.MAC != nil {
				t.Errorf("%s: %+v, %v", text, got, err)
			}
		}
	}
}

// TestDamage changes every bit of a packet, and cuts and lengthens it: none is read as what it was not.
func TestDamage(t *testing.T) {
	for _, crc := range []bool{true, false} {
		p := Packet{Address: 3, Reply: true, Sequence: 2, CRC: crc, Code: byte(ReplyRaw), Data: []byte{0, 0, 26, 0, 1, 2, 3, 0x40}}
		whole, err := p.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		whole = whole[1:]
		for i := range len(whole) * 8 {
			b := slices.Clone(whole)
			b[i/8] ^= 1 << (i % 8)
			if got, err := Parse(b); err == nil {
				t.Errorf("CRC %v: bit %d changed, read as %+v", crc, i, got)
			}
		}
		for n := range whole {
			if _, err := Parse(whole[:n]); !errors.Is(err, ErrPacket) {
				t.Errorf("the first %d bytes: %v", n, err)
			}
		}
		if _, err := Parse(append(whole, 0)); !errors.Is(err, ErrPacket) {
			t.Errorf("a byte more: %v", err)
		}
	}
}

// TestWrongPackets are packets whose check is right and that still are none.
func TestWrongPackets(t *testing.T) {
	summed := func(text string) []byte {
		b := raw(t, text)
		b[2] = byte(len(b) + 2)
		sum := crc16(b)
		return append(b, byte(sum), byte(sum>>8))
	}
	for name, b := range map[string][]byte{
		"reserved control bits":            summed("53 81 00 00 24 40"),
		"a block longer than the packet":   summed("53 81 00 00 0c 09 12 40"),
		"a block without a type":           summed("53 81 00 00 0c 01 40"),
		"an unknown block":                 summed("53 81 00 00 0c 02 1a 40"),
		"a command's block in a reply":     summed("53 81 00 00 0c 02 15 40 01 02 03 04"),
		"a reply's block in a command":     summed("53 01 00 00 0c 02 16 60 01 02 03 04"),
		"no room for the MAC":              summed("53 81 00 00 0c 02 16 40 01 02 03"),
		"no code behind the block":         summed("53 81 00 00 0c 02 12"),
		"a block that reaches to the code": summed("53 81 00 00 0c 03 12 01"),
	} {
		if p, err := Parse(b); !errors.Is(err, ErrPacket) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	long := Packet{CRC: true, Data: make([]byte, MaxPacket-headerSize-1-checkSize)}
	if b, err := long.Append(nil); err != nil || len(b) != MaxPacket+1 {
		t.Errorf("the longest packet: %d bytes, %v", len(b), err)
	}
	long.Data = append(long.Data, 0)
	if b, err := long.Append([]byte("x")); !errors.Is(err, ErrPacket) || string(b) != "x" {
		t.Errorf("one that is too long: %d bytes, %v", len(b), err)
	}
	for _, p := range []Packet{{Address: 0x80}, {Sequence: 4}} {
		if _, err := p.Append(nil); !errors.Is(err, ErrPacket) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// TestAnyPacket writes and reads packets of all sorts.
func TestAnyPacket(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := Packet{
			Address: byte(rapid.IntRange(0, 127).Draw(r, "address")), Reply: rapid.Bool().Draw(r, "reply"), CRC: rapid.Bool().Draw(r, "crc"),
			Sequence: byte(rapid.IntRange(0, 3).Draw(r, "sequence")), Code: rapid.Byte().Draw(r, "code"),
			Data: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(r, "data"),
		}
		if rapid.Bool().Draw(r, "secure") {
			p.Security = SecurityChallenge
			if p.Reply {
				p.Security = SecurityCryptRply
			}
			p.Info = rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(r, "info")
		}
		b, err := p.Append(nil)
		if err != nil {
			r.Fatal(err)
		}
		got, used, err := cut(append([]byte("noise\xff"), b...))
		if err != nil || used != 6+len(b) || got.Address != p.Address || got.Reply != p.Reply || got.CRC != p.CRC || got.Sequence != p.Sequence ||
			got.Code != p.Code || !bytes.Equal(got.Data, p.Data) || got.Security != p.Security || !bytes.Equal(got.Info, p.Info) {
			r.Fatalf("%+v, %d, %v; want %+v", got, used, err, p)
		}
		for n := range b {
			if _, used, err := cut(b[:n]); used != 0 || err != nil {
				r.Fatalf("the first %d bytes: %d, %v", n, used, err)
			}
		}
	})
}

// TestReplies reads what readers say, and refuses what they cannot mean.
func TestReplies(t *testing.T) {
	if c, err := parseRaw(raw(t, "00 00 1a 00 01 23 ab 7f")); err != nil || c.String() != "26:0123ab40" {
		t.Errorf("%v, %v", c, err)
	}
	for _, text := range []string{"", "00 00 1a", "00 00 1a 00 01 23 ab", "00 00 1a 00 01 23 ab 40 00", "00 00 00 00", "00 00 01 02" + strings.Repeat("00", 65)} {
		if c, err := parseRaw(raw(t, text)); !errors.Is(err, ErrPacket) {
			t.Errorf("RAW %s: %v, %v", text, c, err)
		}
	}
	if keys, err := parseKeypad(raw(t, "00 05 31 32 7f 39 0d")); err != nil || keys != "12*9#" {
		t.Errorf("%q, %v", keys, err)
	}
	for _, text := range []string{"", "00", "00 01", "00 02 31", "00 01 41"} {
		if keys, err := parseKeypad(raw(t, text)); !errors.Is(err, ErrPacket) {
			t.Errorf("KEYPAD %s: %q, %v", text, keys, err)
		}
	}
	for text, want := range map[string][2]bool{"00 00": {}, "01 00": {true, false}, "00 01": {false, true}} {
		if tamper, power, err := parseLocal(raw(t, text)); err != nil || tamper != want[0] || power != want[1] {
			t.Errorf("LSTATR %s: %v %v %v", text, tamper, power, err)
		}
	}
	for _, text := range []string{"", "00", "00 02", "ff 00", "00 00 00"} {
		if _, _, err := parseLocal(raw(t, text)); !errors.Is(err, ErrPacket) {
			t.Errorf("LSTATR %s: %v", text, err)
		}
	}
	if i, err := parseIdentity(raw(t, "ca fe 00 07 02 01 00 00 00 01 04 02")); err != nil || i.String() != "vendor 00feca, model 7.2, serial 00000001, firmware 1.4.2" {
		t.Errorf("%s, %v", i, err)
	}
	if _, err := parseIdentity(make([]byte, 11)); !errors.Is(err, ErrPacket) {
		t.Errorf("%v", err)
	}
	if c, err := parseCapabilities(raw(t, "04 01 01 05 01 01 08 01 00 09 01 01 7f 01 01")); err != nil || c != (capabilities{true, true}) {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := parseCapabilities(raw(t, "04 01 01 05")); !errors.Is(err, ErrPacket) {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestNAK holds that each reason has a name of its own.
func TestNAK(t *testing.T) {
	seen := map[string]bool{}
	for n := byte(1); n <= 10; n++ {
		err := parseNAK([]byte{n, 0xff})
		if !errors.Is(err, NAK(n)) || seen[err.Error()] || n < 10 && strings.HasPrefix(err.Error(), "NAK: reason") {
			t.Errorf("%d: %v", n, err)
		}
		seen[err.Error()] = true
	}
	if err := parseNAK(nil); !errors.Is(err, ErrPacket) {
		t.Errorf("%v", err)
	}
}

func TestReplyNames(t *testing.T) {
	for want, replies := range map[string][]Reply{
		"ACK NAK PDID PDCAP LSTATR RAW FMT KEYPAD CCRYPT RMAC_I BUSY": {0x40, 0x41, 0x45, 0x46, 0x48, 0x50, 0x51, 0x53, 0x76, 0x78, 0x79},
		"reply 99": {0x99},
	} {
		var names []string
		for _, r := range replies {
			names = append(names, r.String())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
