package osdp

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzPacket reads what a line brings. What is read as a packet is written as it was.
func FuzzPacket(f *testing.F) {
	for _, text := range []string{
		"ff530009000461 00c066", "53e50900054101 0e8f", "53e507000140 80", "5381ffff04", "53530781070000",
		"53e52a000903120176 0001020304050607a0a1a2a3a4a5a6a7fde5d2f428ec16312471ea3c02bd7796 0000",
	} {
		f.Add(raw(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, used, err := cut(b)
		if err != nil || used == 0 {
			return
		}
		if used > len(b) || len(p.Data) > MaxPacket {
			t.Fatalf("%d of %d bytes, %d of data", used, len(b), len(p.Data))
		}
		if !p.Security.hasMAC() {
			again, err := p.Append(nil)
			if err != nil || !bytes.HasSuffix(b[:used], again[1:]) {
				t.Fatalf("% x became % x, %v", b[:used], again, err)
			}
		}
		r := &reader{crc: true}
		for r.phase = greeting; r.phase <= online; r.phase++ {
			was := r.phase
			r.handshake = exampleHandshake(t)
			q := p
			q.Data = slices.Clone(p.Data)
			if f, err := r.take(&q); err != nil && (f.card.Bits > 0 || f.keys != "") {
				t.Fatalf("phase %d: %+v with %v", was, f, err)
			}
			r.session, r.phase = nil, was
		}
	})
}

// FuzzSecure opens what comes in a secure channel. Only the reader can make what is believed, and the fuzzer is not the reader.
func FuzzSecure(f *testing.F) {
	said := [][]byte{
		otherEnd(exampleSession(f)).answer(f, ReplyACK, nil),
		otherEnd(exampleSession(f)).answer(f, ReplyRaw, []byte{0, 0, 26, 0, 1, 2, 3, 0x40}),
	}
	for _, b := range said {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(slices.Clone(b))
		if err != nil {
			return
		}
		s := exampleSession(t)
		mine := func(m []byte) bool { return bytes.HasSuffix(m, b) }
		if err := s.Open(&p); err == nil && !slices.ContainsFunc(said, mine) {
			t.Fatalf("% x is believed", b)
		}
		// With a right MAC, the data may still be anything.
		s = exampleSession(t)
		if q, err := Parse(slices.Clone(b)); err == nil && q.Security.hasMAC() {
			mac := s.mac(s.command, q.signed)
			q.MAC = mac[:macSize]
			if err := s.Open(&q); err == nil && len(q.Data) > len(b) {
				t.Fatalf("%d bytes of data in %d", len(q.Data), len(b))
			}
		}
	})
}
