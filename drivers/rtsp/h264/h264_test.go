package h264_test

import (
	"bytes"
	"errors"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
	"pgregory.net/rapid"

	"watchpost/drivers/rtsp/h264"
)

// nal makes a NAL unit of n bytes of a type; no byte is zero, as emulation prevention nearly guarantees.
func nal(t h264.Type, n int) []byte {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(uint64(n), uint64(t)))
	for i := range b {
		b[i] = byte(1 + rnd.IntN(255))
	}
	b[0] = 0x60 | byte(t)
	return b
}

// stream numbers packets as a camera does.
type stream struct{ sequence uint16 }

func (s *stream) packet(time uint32, marker bool, payload ...byte) *rtp.Packet {
	s.sequence++
	return &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: s.sequence, Timestamp: time, Marker: marker}, Payload: payload}
}

// join runs packets through a fresh depacketizer and copies what comes out.
func join(t interface{ Fatal(...any) }, packets ...*rtp.Packet) []h264.Unit {
	var d h264.Depacketizer
	var out []h264.Unit
	for _, p := range packets {
		err := d.Push(p, func(u h264.Unit) {
			kept := u
			kept.NALs = nil
			for _, n := range u.NALs {
				kept.NALs = append(kept.NALs, bytes.Clone(n))
			}
			out = append(out, kept)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func same(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// TestCutAndJoin: what is cut comes back byte for byte, in order, and every packet is small enough.
func TestCutAndJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nals [][]byte
		for range rapid.IntRange(0, 4).Draw(t, "others") {
			nals = append(nals, nal(rapid.SampledFrom([]h264.Type{h264.SPS, h264.PPS, h264.SEI, 9}).Draw(t, "type"), rapid.IntRange(1, 1400).Draw(t, "size")))
		}
		key := false
		for range rapid.IntRange(1, 3).Draw(t, "slices") {
			ty := rapid.SampledFrom([]h264.Type{h264.Slice, h264.IDR}).Draw(t, "type")
			key = key || ty == h264.IDR
			nals = append(nals, nal(ty, rapid.OneOf(rapid.IntRange(1, 2500), rapid.SampledFrom([]int{1199, 1200, 1201, 2397, 2398, 65000})).Draw(t, "size")))
		}
		packets := h264.Cut(nals, 77)
		for i, p := range packets {
			p.SequenceNumber = uint16(i)
			if len(p.Payload) > h264.MaxPayload || p.Timestamp != 77 || p.Marker != (i == len(packets)-1) {
				t.Fatalf("packet %d of %d: %d bytes, %+v", i, len(packets), len(p.Payload), p.Header)
			}
		}
		units := join(t, packets...)
		if len(units) != 1 || !same(units[0].NALs, nals) || units[0].Key != key || units[0].Lost != 0 {
			t.Fatalf("%d units came back", len(units))
		}
	})
}

func TestFragmentsAreEqual(t *testing.T) {
	packets := h264.Cut([][]byte{nal(h264.IDR, 10_000)}, 0)
	if len(packets) != 9 {
		t.Fatalf("%d packets", len(packets))
	}
	for i, p := range packets[:8] {
		if len(p.Payload) != len(packets[0].Payload) {
			t.Errorf("packet %d has %d bytes, the first %d", i, len(p.Payload), len(packets[0].Payload))
		}
	}
}

func TestCutOfNothing(t *testing.T) {
	if p := h264.Cut([][]byte{nil, {}}, 0); len(p) != 0 {
		t.Errorf("%d packets", len(p))
	}
}

// TestWhatCamerasSend walks through the quirk list as far as it concerns packets.
func TestWhatCamerasSend(t *testing.T) {
	sps, pps, sei, idr, p1 := nal(h264.SPS, 12), nal(h264.PPS, 4), nal(h264.SEI, 20), nal(h264.IDR, 40), nal(h264.Slice, 30)
	fu := func(n []byte, flags byte, body []byte) []byte {
		return append([]byte{n[0]&0xe0 | 28, n[0]&0x1f | flags}, body...)
	}
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	start := []byte{0, 0, 0, 1}
	for _, c := range []struct {
		name  string
		build func(s *stream) []*rtp.Packet
		want  [][][]byte
		lost  int
	}{
		{"plain", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, false, sps...), s.packet(1, false, pps...), s.packet(1, true, idr...), s.packet(2, true, p1...)}
		}, [][][]byte{{sps, pps, idr}, {p1}}, 0},
		{"P6 marker on each of SPS, PPS and SEI", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, true, sps...), s.packet(1, true, pps...), s.packet(1, true, sei...), s.packet(1, true, idr...)}
		}, [][][]byte{{sps, pps, sei, idr}}, 0},
		{"P6 marker missing", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, false, sps...), s.packet(1, false, idr...), s.packet(2, false, p1...), s.packet(3, false, p1...)}
		}, [][][]byte{{sps, idr}, {p1}}, 0},
		{"parameter sets with a timestamp of their own", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, true, sps...), s.packet(2, true, pps...), s.packet(3, true, idr...)}
		}, [][][]byte{{sps, pps, idr}}, 0},
		{"P7 start and end in one fragment", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, true, fu(idr, 0xc0, idr[1:])...)}
		}, [][][]byte{{idr}}, 0},
		{"P7 type changes inside, empty piece, reserved bit", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, false, fu(idr, 0x80|0x20, idr[1:10])...), s.packet(1, false, fu(p1, 0, nil)...), s.packet(1, true, fu(p1, 0x40, idr[10:])...)}
		}, [][][]byte{{idr}}, 0},
		{"P8 Annex B inside RTP", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, true, cat(start, sps, start, pps, start[1:], idr)...)}
		}, [][][]byte{{sps, pps, idr}}, 0},
		{"P8 SPS, PPS and IDR in one packet split by start codes", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, true, cat(sps, start, pps, start, idr)...)}
		}, [][][]byte{{sps, pps, idr}}, 0},
		{"P8 several NAL units inside one FU", func(s *stream) []*rtp.Packet {
			all := cat(sps, start, pps, start, idr)
			return []*rtp.Packet{s.packet(1, false, fu(sps, 0x80, all[1:15])...), s.packet(1, true, fu(sps, 0x40, all[15:])...)}
		}, [][][]byte{{sps, pps, idr}}, 0},
		{"P12 any order", func(s *stream) []*rtp.Packet {
			aud := nal(9, 2)
			return []*rtp.Packet{s.packet(1, false, aud...), s.packet(1, false, sps...), s.packet(1, false, pps...), s.packet(1, false, sei...), s.packet(1, true, idr...)}
		}, [][][]byte{{nal(9, 2), sps, pps, sei, idr}}, 0},
		{"a lost fragment drops its NAL unit", func(s *stream) []*rtp.Packet {
			a := s.packet(1, false, fu(idr, 0x80, idr[1:10])...)
			s.sequence++
			return []*rtp.Packet{a, s.packet(1, true, fu(idr, 0x40, idr[20:])...), s.packet(2, true, p1...)}
		}, [][][]byte{{p1}}, 2},
		{"a repeated packet", func(s *stream) []*rtp.Packet {
			a := s.packet(1, false, sps...)
			return []*rtp.Packet{a, a, s.packet(1, true, idr...)}
		}, [][][]byte{{sps, idr}}, 0},
		{"STAP-A with a wrong length", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, false, cat([]byte{24, 0, 12}, sps, []byte{1, 0}, pps)...), s.packet(1, true, idr...)}
		}, [][][]byte{{sps, idr}}, 1},
		{"types that packetization mode 1 has not", func(s *stream) []*rtp.Packet {
			return []*rtp.Packet{s.packet(1, false, 29, 1, 2, 3), s.packet(1, false), s.packet(1, false, 0), s.packet(1, false, 31, 9), s.packet(1, false, 28), s.packet(1, true, idr...)}
		}, [][][]byte{{idr}}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			units := join(t, c.build(&stream{sequence: 65533})...)
			if len(units) != len(c.want) {
				t.Fatalf("%d units, want %d", len(units), len(c.want))
			}
			lost := 0
			for i, u := range units {
				if !same(u.NALs, c.want[i]) {
					t.Errorf("unit %d: % x, want % x", i, u.NALs, c.want[i])
				}
				lost += u.Lost
			}
			if lost != c.lost {
				t.Errorf("lost %d, want %d", lost, c.lost)
			}
		})
	}
}

func TestCameraThatStartsAnewMidway(t *testing.T) {
	s, idr := &stream{sequence: 40000}, nal(h264.IDR, 9)
	a := s.packet(1, true, idr...)
	s.sequence = 100
	if u := join(t, a, s.packet(7, true, idr...)); len(u) != 2 || u[1].Lost == 0 {
		t.Errorf("%+v", u)
	}
}

func TestUnitThatNeverEndsIsCapped(t *testing.T) {
	s := &stream{}
	piece := append([]byte{0x7c, 0x05}, bytes.Repeat([]byte{0xaa}, 60_000)...)
	packets := []*rtp.Packet{s.packet(1, false, 0x7c, 0x85, 1)}
	for range 2 * h264.MaxUnit / 60_000 {
		packets = append(packets, s.packet(1, false, piece...))
	}
	packets = append(packets, s.packet(1, true, 0x7c, 0x45, 1), s.packet(2, true, nal(h264.Slice, 5)...))
	units := join(t, packets...)
	if len(units) != 1 || len(units[0].NALs) != 1 || units[0].Lost == 0 {
		t.Errorf("%d units came out", len(units))
	}
}

func TestH265UnderTheNameOfH264(t *testing.T) {
	var d h264.Depacketizer
	vps := []byte{0x40, 0x01, 0x0c, 0x01, 0xff}
	err := d.Push((&stream{}).packet(1, false, vps...), func(h264.Unit) {})
	if !errors.Is(err, h264.ErrH265) {
		t.Errorf("D12: %v", err)
	}
	if u := join(t, (&stream{}).packet(1, false, nal(h264.SPS, 9)...), &rtp.Packet{Header: rtp.Header{SequenceNumber: 2, Timestamp: 1}, Payload: vps}); len(u) != 0 {
		t.Error("a stream with an SPS is H.264, and this gave a unit")
	}
}

func TestParseSPS(t *testing.T) {
	for _, c := range []struct {
		name string
		sps  []byte
		want h264.Info
	}{
		// written by x264
		{"baseline 720p", []byte{0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0x83, 0xc6, 0x0c, 0xa8},
			h264.Info{Profile: 66, Constraints: 0xc0, Level: 31, Width: 1280, Height: 720}},
		{"360 lines, cropped from 368", []byte{0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x58, 0xba, 0x80},
			h264.Info{Profile: 66, Constraints: 0xc0, Level: 30, Width: 640, Height: 360}},
		{"high 1080p", []byte{0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc6, 0x58},
			h264.Info{Profile: 100, Level: 40, Width: 1920, Height: 1080}},
	} {
		got, err := h264.ParseSPS(c.sps)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		for cut := range c.sps[:8] {
			if info, err := h264.ParseSPS(c.sps[:cut]); err == nil {
				t.Errorf("%s cut at %d was read: %+v", c.name, cut, info)
			}
		}
	}
	if s := (h264.Info{Profile: 77, Constraints: 0x40, Level: 31}); s.String() != "main 3.1" || s.ID() != "4d401f" {
		t.Errorf("%s %s", s, s.ID())
	}
	if s := (h264.Info{Profile: 244, Level: 52}).String(); s != "profile 244 5.2" {
		t.Error(s)
	}
}

// writer writes the codes of ITU-T H.264 9.1, as an encoder would.
type writer struct {
	bits []byte
}

func (w *writer) u(n int, v uint64) {
	for i := n - 1; i >= 0; i-- {
		w.bits = append(w.bits, byte(v>>i&1))
	}
}

func (w *writer) ue(v int) {
	n := bits.Len(uint(v + 1))
	w.u(n-1, 0)
	w.u(n, uint64(v+1))
}

func (w *writer) se(v int) {
	if v > 0 {
		w.ue(2*v - 1)
	} else {
		w.ue(-2 * v)
	}
}

// nal closes the NAL unit: stop bit, alignment, emulation prevention.
func (w *writer) nal(header ...byte) []byte {
	w.u(1, 1)
	for len(w.bits)%8 != 0 {
		w.u(1, 0)
	}
	out, zeros := header, 0
	for i := 0; i < len(w.bits); i += 8 {
		c := byte(0)
		for _, bit := range w.bits[i : i+8] {
			c = c<<1 | bit
		}
		if zeros >= 2 && c <= 3 {
			out, zeros = append(out, 3), 0
		}
		out = append(out, c)
		zeros++
		if c != 0 {
			zeros = 0
		}
	}
	return out
}

// TestParseSPSOfAnySyntax writes parameter sets with every optional part and reads their size back.
func TestParseSPSOfAnySyntax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := func(name string) uint64 { return uint64(rapid.IntRange(0, 1).Draw(t, name)) }
		profile := rapid.SampledFrom([]byte{66, 77, 100, 110, 122, 244}).Draw(t, "profile")
		w := &writer{}
		w.ue(rapid.IntRange(0, 31).Draw(t, "id"))
		chroma := 1
		if profile >= 100 {
			chroma = rapid.IntRange(0, 3).Draw(t, "chroma")
			w.ue(chroma)
			if chroma == 3 {
				w.u(1, 0)
			}
			w.ue(rapid.IntRange(0, 6).Draw(t, "depth"))
			w.ue(0)
			w.u(1, 0)
			lists := flag("scaling")
			w.u(1, lists)
			for i := 0; lists == 1 && i < 8+4*(chroma/3); i++ {
				there := flag("list")
				w.u(1, there)
				size := 16
				if i >= 6 {
					size = 64
				}
				last := 8
				for j := 0; there == 1 && j < size; j++ {
					next := rapid.IntRange(1, 255).Draw(t, "scale")
					w.se((next-last+384)%256 - 128)
					last = next
				}
			}
		}
		w.ue(rapid.IntRange(0, 12).Draw(t, "frame num"))
		order := rapid.IntRange(0, 2).Draw(t, "order")
		w.ue(order)
		switch order {
		case 0:
			w.ue(4)
		case 1:
			w.u(1, 0)
			w.se(-3)
			w.se(5)
			n := rapid.IntRange(0, 255).Draw(t, "cycle")
			w.ue(n)
			for i := range n {
				w.se(i)
			}
		}
		w.ue(4)
		w.u(1, 0)
		across, down, frames := rapid.IntRange(1, 250).Draw(t, "across"), rapid.IntRange(1, 120).Draw(t, "down"), flag("frames only")
		w.ue(across - 1)
		w.ue(down - 1)
		w.u(1, frames)
		fields := 2 - int(frames)
		if frames == 0 {
			w.u(1, 0)
		}
		w.u(1, 1)
		width, height := across*16, down*16*fields
		cropped := flag("cropped")
		w.u(1, cropped)
		if cropped == 1 {
			left, bottom := rapid.IntRange(0, 3).Draw(t, "left"), rapid.IntRange(0, 3).Draw(t, "bottom")
			w.ue(left)
			w.ue(1)
			w.ue(0)
			w.ue(bottom)
			unitX := []int{1, 2, 2, 1}[chroma]
			unitY := []int{1, 2, 1, 1}[chroma] * fields
			width, height = width-unitX*(left+1), height-unitY*bottom
		}
		w.u(1, 0)
		info, err := h264.ParseSPS(w.nal(0x67, profile, 0, 30))
		if err != nil || info.Width != width || info.Height != height || info.Profile != profile {
			t.Fatalf("%+v, %v; want %d×%d", info, err, width, height)
		}
	})
}

func TestIsB(t *testing.T) {
	for _, c := range []struct {
		nal  []byte
		want bool
	}{
		{[]byte{0x01, 0b1_010_0000}, true},      // first_mb 0, slice_type 1
		{[]byte{0x01, 0b1_00111_00, 0}, true},   // slice_type 6
		{[]byte{0x41, 0b1_1_000000}, false},     // P
		{[]byte{0x41, 0b1_011_0000}, false},     // I
		{[]byte{0x65, 0b1_010_0000}, false},     // an IDR is never B
		{[]byte{0x01}, false},                   // nothing behind the header
		{[]byte{0x01, 0, 0, 0, 0, 0, 0}, false}, // a code that never ends
		{nil, false},
	} {
		if got := h264.IsB(c.nal); got != c.want {
			t.Errorf("% x: %v", c.nal, got)
		}
	}
}

func FuzzDepacketizer(f *testing.F) {
	f.Add([]byte{0x67, 1, 2, 0xff, 0x80, 0x65, 1, 2, 3})
	f.Add([]byte{0x7c, 0x85, 1, 2, 0xff, 0, 0x7c, 0x45, 3, 4, 0xff, 1, 24, 0, 1, 0x67, 0, 1, 0x68})
	f.Add([]byte{0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68})
	f.Fuzz(func(t *testing.T, data []byte) {
		var d h264.Depacketizer
		var sequence uint16
		for _, part := range bytes.Split(data, []byte{0xff}) {
			sequence++
			p := &rtp.Packet{Header: rtp.Header{SequenceNumber: sequence, Timestamp: uint32(len(part) & 3), Marker: len(part)&4 != 0}, Payload: part}
			if len(part) > 0 && part[0] == 0xfe {
				sequence += uint16(part[0])
			}
			err := d.Push(p, func(u h264.Unit) {
				picture := false
				for _, n := range u.NALs {
					if len(n) == 0 {
						t.Fatal("empty NAL unit")
					}
					picture = picture || h264.TypeOf(n).Picture()
				}
				if !picture {
					t.Fatal("a unit without a picture")
				}
				h264.Cut(u.NALs, u.Timestamp)
			})
			if err != nil && !errors.Is(err, h264.ErrH265) {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseSPS(f *testing.F) {
	f.Add([]byte{0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00})
	f.Add([]byte{0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84})
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := h264.ParseSPS(data)
		if err == nil && (info.Width < 1 || info.Height < 1 || info.Width > 16384 || info.Height > 16384) {
			t.Fatalf("%+v", info)
		}
		h264.IsB(data)
	})
}

func BenchmarkCut(b *testing.B) {
	nals := [][]byte{nal(h264.Slice, 9700)}
	b.SetBytes(9700)
	b.ReportAllocs()
	for range b.N {
		h264.Cut(nals, 1)
	}
}

func BenchmarkDepacketizer(b *testing.B) {
	packets := h264.Cut([][]byte{nal(h264.Slice, 9700)}, 1)
	var d h264.Depacketizer
	n, sequence := 0, uint16(0)
	b.SetBytes(9700)
	b.ReportAllocs()
	for i := range b.N {
		for _, p := range packets {
			sequence++
			p.SequenceNumber, p.Timestamp = sequence, uint32(i)
			if err := d.Push(p, func(h264.Unit) { n++ }); err != nil {
				b.Fatal(err)
			}
		}
	}
	if n != b.N {
		b.Fatalf("%d units of %d", n, b.N)
	}
}
