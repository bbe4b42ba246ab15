package camera

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"
)

// Payloads put together again by an independent depacketizer are the NAL units.
func TestPacketsCarryTheUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(2, 5000), rapid.Just(maxPayload), rapid.Just(maxPayload+1), rapid.Just(1+2*(maxPayload-2))).Draw(t, "length")
		slice := append([]byte{nalIDR}, bytes.Repeat([]byte{0xAB, 0xCD, 1}, n)[:n-1]...)
		var sets [][]byte
		want := []byte{}
		if rapid.Bool().Draw(t, "sets") {
			sets = [][]byte{{nalSPS, 1, 2, 3}, {nalPPS, 4, 5}}
			want = annexB(want, sets...)
		}
		want = annexB(want, slice)
		var got []byte
		var depacketizer codecs.H264Packet
		for _, payload := range packetize(sets, slice) {
			if len(payload) > maxPayload {
				t.Fatalf("a payload of %d bytes", len(payload))
			}
			b, err := depacketizer.Unmarshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes in, %d other bytes out", len(want), len(got))
		}
	})
}

func TestPacketHeader(t *testing.T) {
	b := appendPacket(nil, 2, true, 65535, 90001, 0xDEADBEEF, []byte{1, 2, 3})
	if b[0] != '$' || b[1] != 2 || int(b[2])<<8|int(b[3]) != len(b)-4 {
		t.Fatalf("interleaved header % x for %d bytes", b[:4], len(b))
	}
	var p rtp.Packet
	if err := p.Unmarshal(b[4:]); err != nil {
		t.Fatal(err)
	}
	if !p.Marker || p.PayloadType != 96 || p.SequenceNumber != 65535 || p.Timestamp != 90001 || p.SSRC != 0xDEADBEEF || !bytes.Equal(p.Payload, []byte{1, 2, 3}) {
		t.Errorf("read back as %v", p.String())
	}
}

func TestSenderReport(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 9, 10, 500_000_000, time.UTC)
	for _, cname := range []string{"", "a", "ab", "abc", "camera"} {
		b := appendReport([]byte("before"), 1, 7, at, 90, 5, 6000, cname)[len("before"):]
		if int(b[2])<<8|int(b[3]) != len(b)-4 {
			t.Fatalf("length %d of %d", int(b[2])<<8|int(b[3]), len(b)-4)
		}
		packets, err := rtcp.Unmarshal(b[4:])
		if err != nil || len(packets) != 2 {
			t.Fatalf("%q: %v, %v", cname, packets, err)
		}
		sr, ok := packets[0].(*rtcp.SenderReport)
		if !ok || sr.SSRC != 7 || sr.RTPTime != 90 || sr.PacketCount != 5 || sr.OctetCount != 6000 {
			t.Errorf("sender report %v", packets[0])
		}
		if seconds, half := sr.NTPTime>>32, sr.NTPTime&0xFFFFFFFF; seconds != uint64(at.Unix()+ntpEpoch) || half != 1<<31 {
			t.Errorf("NTP time %d and %d", seconds, half)
		}
	}
}

func TestFeedbackAsksForAPicture(t *testing.T) {
	marshal := func(p ...rtcp.Packet) []byte {
		b, err := rtcp.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rr := &rtcp.ReceiverReport{SSRC: 1}
	for name, c := range map[string]struct {
		b    []byte
		want bool
	}{
		"pli behind a report": {marshal(rr, &rtcp.PictureLossIndication{MediaSSRC: 2}), true},
		"fir":                 {marshal(&rtcp.FullIntraRequest{MediaSSRC: 2, FIR: []rtcp.FIREntry{{SSRC: 2}}}), true},
		"report alone":        {marshal(rr), false},
		"cut":                 {marshal(rr)[:6], false},
		"nothing":             {nil, false},
	} {
		if got := asksForPicture(c.b); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzFeedback(f *testing.F) {
	f.Add([]byte{0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2})
	f.Add([]byte{0x80, 201, 0, 1, 0, 0, 0, 1})
	f.Add([]byte{0x80, 201, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		if asksForPicture(b) && len(b) < 4 {
			t.Error("four bytes are the least")
		}
	})
}

func TestTicks(t *testing.T) {
	for d, want := range map[time.Duration]uint32{time.Second: 90000, time.Second / 15: 5999, 24 * time.Hour: 7776000000 & 0xFFFFFFFF} {
		if got := ticks(d); got != want {
			t.Errorf("%v is %d ticks, want %d", d, got, want)
		}
	}
}
