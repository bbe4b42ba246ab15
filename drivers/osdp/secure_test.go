package osdp

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The example of a secure channel in Annex E: the default key, these random numbers, and what becomes of them.
const (
	exampleHost   = "b0 b1 b2 b3 b4 b5 b6 b7"
	exampleReader = "a0 a1 a2 a3 a4 a5 a6 a7"

	exampleEnc       = "bf8dc2a8329acb8c67c6d0cd9a451682"
	exampleMAC1      = "5e86c676603bdee2d8beafe178637332"
	exampleMAC2      = "6fda86e857777e81132035758239172e"
	exampleByReader  = "fde5d2f428ec16312471ea3c02bd7796" // client cryptogram
	exampleByPanel   = "26d3356e07762d262801fc8e6665a891" // host cryptogram
	exampleFirstRMAC = "b2a30057eb98ba2229ec1f875662b524"
)

func exampleHandshake(t testing.TB) *Handshake {
	return NewHandshake(DefaultKey(), [8]byte(raw(t, exampleHost)))
}

func exampleCrypt(t testing.TB) *Packet {
	return &Packet{Reply: true, Security: SecurityCryptRply, Info: []byte{0}, Code: byte(ReplyCrypt),
		Data: raw(t, "0001020304050607"+exampleReader+exampleByReader)}
}

func exampleRMAC(t testing.TB) *Packet {
	return &Packet{Reply: true, Security: SecurityRMAC, Info: []byte{1}, Code: byte(ReplyRMAC), Data: raw(t, exampleFirstRMAC)}
}

func exampleSession(t testing.TB) *Session {
	t.Helper()
	h := exampleHandshake(t)
	if _, err := h.Crypt(exampleCrypt(t)); err != nil {
		t.Fatal(err)
	}
	s, err := h.Finish(exampleRMAC(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAnnexE holds the handshake to the specification's example.
func TestAnnexE(t *testing.T) {
	h := exampleHandshake(t)
	if p := h.Challenge(); p.Code != 0x76 || p.Security != 0x11 || !bytes.Equal(p.Info, []byte{0}) || !bytes.Equal(p.Data, raw(t, exampleHost)) {
		t.Errorf("CHLNG %+v", p)
	}
	p, err := h.Crypt(exampleCrypt(t))
	if err != nil || p.Code != 0x77 || p.Security != 0x13 || !bytes.Equal(p.Info, []byte{0}) || !bytes.Equal(p.Data, raw(t, exampleByPanel)) {
		t.Fatalf("SCRYPT %+v, %v", p, err)
	}
	s, err := h.Finish(exampleRMAC(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		made cipher.Block
		want string
	}{"S-ENC": {s.data, exampleEnc}, "S-MAC1": {s.mac1, exampleMAC1}, "S-MAC2": {s.mac2, exampleMAC2}} {
		var got, want vector
		c.made.Encrypt(got[:], []byte("a block of bytes"))
		cipherOf(vector(raw(t, c.want))).Encrypt(want[:], []byte("a block of bytes"))
		if got != want {
			t.Errorf("%s is not that of the example", name)
		}
	}
	if !bytes.Equal(s.reply[:], raw(t, exampleFirstRMAC)) {
		t.Errorf("R-MAC-I %x", s.reply)
	}
}

// TestHandshakeRefused is what an impostor may answer.
func TestHandshakeRefused(t *testing.T) {
	flip := func(b []byte, i int) []byte { b = slices.Clone(b); b[i] ^= 1; return b }
	for name, c := range map[string]struct {
		change func(*Packet)
		want   error
	}{
		"a wrong cryptogram": {func(p *Packet) { p.Data = flip(p.Data, 31) }, ErrCryptogram},
		"another number":     {func(p *Packet) { p.Data = flip(p.Data, 8) }, ErrCryptogram},
		"another key":        {func(p *Packet) { p.Info = []byte{1} }, ErrCryptogram},
		"short":              {func(p *Packet) { p.Data = p.Data[:31] }, ErrPacket},
		"long":               {func(p *Packet) { p.Data = append(p.Data, 0) }, ErrPacket},
		"another reply":      {func(p *Packet) { p.Code = byte(ReplyACK) }, ErrPacket},
		"in plain":           {func(p *Packet) { p.Security = SecurityNone }, ErrPacket},
		"another block":      {func(p *Packet) { p.Security = SecurityRMAC }, ErrPacket},
		"an empty block":     {func(p *Packet) { p.Info = nil }, ErrPacket},
		"our own cryptogram": {func(p *Packet) { copy(p.Data[16:], raw(t, exampleByPanel)) }, ErrCryptogram},
	} {
		p := exampleCrypt(t)
		c.change(p)
		h := exampleHandshake(t)
		if _, err := h.Crypt(p); !errors.Is(err, c.want) {
			t.Errorf("CCRYPT, %s: %v", name, err)
		}
		if s, err := h.Finish(exampleRMAC(t)); s != nil || err == nil {
			t.Errorf("CCRYPT, %s: a channel all the same", name)
		}
	}
	for name, c := range map[string]struct {
		change func(*Packet)
		want   error
	}{
		"a wrong MAC":   {func(p *Packet) { p.Data = flip(p.Data, 0) }, ErrMAC},
		"no":            {func(p *Packet) { p.Info = []byte{0xff} }, ErrCryptogram},
		"short":         {func(p *Packet) { p.Data = p.Data[:15] }, ErrPacket},
		"another reply": {func(p *Packet) { p.Code = byte(ReplyACK) }, ErrPacket},
		"in plain":      {func(p *Packet) { p.Security = SecurityNone }, ErrPacket},
	} {
		h := exampleHandshake(t)
		if _, err := h.Crypt(exampleCrypt(t)); err != nil {
			t.Fatal(err)
		}
		p := exampleRMAC(t)
		c.change(p)
		if s, err := h.Finish(p); s != nil || !errors.Is(err, c.want) {
			t.Errorf("RMAC_I, %s: %v", name, err)
		}
	}
}

// otherEnd is a reader's end of the channel, from the same keys and by the other way round.
func otherEnd(s *Session) *Session {
	o := *s
	o.command, o.reply = s.reply, s.command
	return &o
}

// answer is a sealed reply, as the other end sends it: what it calls command is ours to read.
func (s *Session) answer(t testing.TB, code Reply, data []byte) []byte {
	t.Helper()
	p := Packet{Address: 1, Reply: true, CRC: true, Code: byte(code), Security: SecurityMACReply}
	if len(data) > 0 {
		p.Security = SecurityDataReply
		data = append(slices.Clone(data), endOfData)
		for len(data)%block != 0 {
			data = append(data, 0)
		}
		s.encrypt(data)
	}
	b, start, err := p.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, data...)
	if err := p.length(b, start, macSize); err != nil {
		t.Fatal(err)
	}
	s.command = s.mac(s.reply, b[1:])
	b, err = p.close(append(b, s.command[:macSize]...), start)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestChannel sends packets both ways; each end reads what the other has meant, and nothing of it can be seen on the wire.
func TestChannel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := exampleSession(t)
		reader := otherEnd(s)
		for range rapid.IntRange(1, 8).Draw(r, "exchanges") {
			say := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(r, "command")
			b, err := s.Append(nil, &Packet{Address: 1, CRC: true, Code: byte(CommandLED), Data: say})
			if err != nil {
				r.Fatal(err)
			}
			p, err := Parse(b)
			if err != nil || len(p.MAC) != macSize || p.Security != SecurityMAC && len(say) == 0 || p.Security != SecurityData && len(say) > 0 {
				r.Fatalf("%+v, %v", p, err)
			}
			p.Security++ // the other end reads commands as this one reads replies
			if err := reader.Open(&p); err != nil || !bytes.Equal(p.Data, say) {
				r.Fatalf("% x, %v; want % x", p.Data, err, say)
			}
			answer := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(r, "answer")
			b = reader.answer(t, ReplyRaw, answer)
			if len(answer) > 3 && bytes.Contains(b, answer) {
				r.Fatal("the answer can be read on the wire")
			}
			if p, err = Parse(b); err != nil {
				r.Fatal(err)
			}
			if err := s.Open(&p); err != nil || !bytes.Equal(p.Data, answer) {
				r.Fatalf("% x, %v; want % x", p.Data, err, answer)
			}
		}
	})
}

// TestNotBelieved is what is not the answer to the last command. The true one still is, afterwards.
func TestNotBelieved(t *testing.T) {
	s := exampleSession(t)
	reader := otherEnd(s)
	exchange := func() []byte {
		b, err := s.Append(nil, &Packet{Address: 1, CRC: true, Code: byte(CommandPoll)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		p.Security++
		if err := reader.Open(&p); err != nil {
			t.Fatal(err)
		}
		return reader.answer(t, ReplyRaw, []byte{0, 0, 8, 0, 0x5a})
	}
	open := func(b []byte) (Packet, error) {
		p, err := Parse(slices.Clone(b))
		if err != nil {
			t.Fatal(err)
		}
		return p, s.Open(&p)
	}
	old := exchange()
	if _, err := open(old); err != nil {
		t.Fatal(err)
	}
	now := exchange()
	if p, err := open(old); !errors.Is(err, ErrMAC) {
		t.Errorf("an old answer: %+v, %v", p, err)
	}
	for i := 1; i < len(now)-checkSize; i++ {
		b := slices.Clone(now)
		b[i] ^= 0x01
		sum := crc16(b[1 : len(b)-checkSize])
		b[len(b)-2], b[len(b)-1] = byte(sum), byte(sum>>8)
		p, err := Parse(b)
		if err == nil {
			err = s.Open(&p)
		}
		if err == nil {
			t.Errorf("byte %d changed: %+v", i, p)
		}
	}
	plain := Packet{Address: 1, Reply: true, CRC: true, Code: byte(ReplyRaw), Data: []byte{0, 0, 8, 0, 0x5a}}
	if err := s.Open(&plain); !errors.Is(err, ErrPlain) {
		t.Errorf("in plain: %v", err)
	}
	clear := Packet{Security: SecurityMACReply, MAC: make([]byte, 4), Code: byte(ReplyRaw), Data: []byte{0, 0, 8, 0, 0x5a}}
	if err := s.Open(&clear); !errors.Is(err, ErrPlain) {
		t.Errorf("with a MAC and in clear: %v", err)
	}
	if p, err := open(now); err != nil || !bytes.Equal(p.Data, []byte{0, 0, 8, 0, 0x5a}) {
		t.Errorf("the true one: %+v, %v", p, err)
	}
}

// TestPadding is data whose MAC is right and whose padding is not, which only the reader itself can make.
func TestPadding(t *testing.T) {
	for name, data := range map[string][]byte{
		"zeros": make([]byte, 16), "another end": append(make([]byte, 15), 0x81), "not a block": make([]byte, 15),
	} {
		s := exampleSession(t)
		p := Packet{Reply: true, Security: SecurityDataReply, Code: byte(ReplyRaw), Data: data, signed: []byte("signed")}
		iv := inverted(s.command)
		if len(data) == block {
			for i := range data {
				data[i] ^= iv[i]
			}
			s.data.Encrypt(data, data)
		}
		mac := s.mac(s.command, p.signed)
		p.MAC = mac[:macSize]
		if err := s.Open(&p); !errors.Is(err, ErrPacket) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	k, err := ParseKey("000102030405060708090A0B0C0D0E0F")
	if err != nil || k.info() != 1 || DefaultKey().info() != 0 {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); text != "(key) (key) (key) (key)" {
		t.Errorf("a key tells itself: %s", text)
	}
	if got := keySet(nil, k); !bytes.Equal(got, raw(t, "01 10 000102030405060708090a0b0c0d0e0f")) {
		t.Errorf("KEYSET % x", got)
	}
	for _, text := range []string{"", "00", "000102030405060708090A0B0C0D0E0", "000102030405060708090A0B0C0D0E0G", "303132333435363738393a3b3c3d3e3f"} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}
