package osdp

import (
	"slices"
	"testing"
)

// BenchmarkParse is one card as it comes, in plain.
func BenchmarkParse(b *testing.B) {
	p := Packet{Address: 1, Reply: true, CRC: true, Code: byte(ReplyRaw), Data: []byte{0, 0, 26, 0, 1, 2, 3, 0x40}}
	wire, err := p.Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(wire); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPoll is one poll in a secure channel: POLL sealed and ACK opened. A bus of 32 readers has 640 a second.
func BenchmarkPoll(b *testing.B) {
	s := exampleSession(b)
	out, poll := make([]byte, 0, MaxPacket), Packet{Address: 1, CRC: true, Code: byte(CommandPoll)}
	ack := otherEnd(s).answer(b, ReplyACK, nil)
	start := *s
	b.ReportAllocs()
	for b.Loop() {
		*s = start
		p, err := Parse(ack)
		if err == nil {
			err = s.Open(&p)
		}
		if err == nil {
			out, err = s.Append(out[:0], &poll)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// TestPollAllocations holds that polling makes no garbage.
func TestPollAllocations(t *testing.T) {
	s := exampleSession(t)
	out, poll := make([]byte, 0, MaxPacket), Packet{Address: 1, CRC: true, Code: byte(CommandPoll)}
	ack := slices.Clone(otherEnd(s).answer(t, ReplyACK, nil))
	start := *s
	if n := testing.AllocsPerRun(100, func() {
		*s = start
		p, err := Parse(ack)
		if err == nil {
			err = s.Open(&p)
		}
		if err == nil {
			out, err = s.Append(out[:0], &poll)
		}
		if err != nil {
			t.Error(err)
		}
	}); n > 4 {
		t.Errorf("%v allocations for a poll and its answer, want at most 4", n)
	}
}
