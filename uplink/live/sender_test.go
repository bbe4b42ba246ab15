package live

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"pgregory.net/rapid"

	"watchpost/storage/ring"
)

// sent is one packet as it left.
type sent struct {
	header rtp.Header
	number int // the frame's, from the first two payload bytes
	size   int
	at     time.Time
}

// wire takes what a sender writes.
type wire struct {
	mu     sync.Mutex // mu guards the fields below
	out    []sent
	deaf   int           // writes that are not taken at the beginning
	block  time.Duration // of each write
	broken error
	sr     []*rtcp.SenderReport
}

func (w *wire) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	w.mu.Lock()
	block := w.block
	w.mu.Unlock()
	if block > 0 {
		<-time.After(block)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf > 0 {
		w.deaf--
		return 0, nil
	}
	if w.broken != nil {
		return 0, w.broken
	}
	w.out = append(w.out, sent{*h, int(binary.BigEndian.Uint16(payload)), len(payload), time.Now()})
	return len(payload), nil
}

func (w *wire) control(packets []rtcp.Packet) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range packets {
		w.sr = append(w.sr, p.(*rtcp.SenderReport))
	}
	return nil
}

// fail makes writes fail from now on, nil ends it.
func (w *wire) fail(err error) { w.mu.Lock(); defer w.mu.Unlock(); w.broken = err }

func (w *wire) all() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sent(nil), w.out...)
}

// bench is a sender on a wire.
type bench struct {
	*sender
	wire   *wire
	ring   *ring.Ring
	begin  func()     // the viewer comes
	mu     sync.Mutex // mu guards the fields below
	counts Counts
	states []string
	given  string
	frame  int
	time   uint32
}

func newBench() *bench {
	b := &bench{wire: &wire{}, ring: ring.New(ring.Limits{})}
	b.sender = &sender{ring: b.ring, out: b.wire, control: b.wire.control, now: time.Now, idle: time.Minute, ssrc: 99, pt: 102, offset: 5000,
		count: func(f func(*Counts)) { b.mu.Lock(); defer b.mu.Unlock(); f(&b.counts) },
		set:   func(s string) { b.mu.Lock(); defer b.mu.Unlock(); b.states = append(b.states, s) },
		give:  func(s string) { b.mu.Lock(); defer b.mu.Unlock(); b.given = s },
	}
	b.sender.line.next = 1<<16 + 65530 // the 16 bits wrap early
	return b
}

// tally returns the counts so far.
func (b *bench) tally() Counts { b.mu.Lock(); defer b.mu.Unlock(); return b.counts }

// push adds a frame of n packets of size bytes; the first bytes of each count frames.
func (b *bench) push(key bool, n, size int) {
	u := ring.Unit{At: time.Now(), Time: b.time, Key: key}
	for i := range n {
		p := make([]byte, size)
		binary.BigEndian.PutUint16(p, uint16(b.frame))
		u.Packets = append(u.Packets, &rtp.Packet{Header: rtp.Header{Version: 2, Timestamp: b.time, Marker: i == n-1}, Payload: p})
	}
	b.ring.Push(u)
	b.frame++
	b.time += 3600
}

// play pushes frames at 25 per second for d, with a key every gop frames.
func (b *bench) play(d time.Duration, gop, n, size int) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		b.push(b.frame%gop == 0, n, size)
	}
}

// during lets f drive a sender, in a bubble with its own time; the sender runs from begin on.
func during(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		b.begin = func() { wg.Go(func() { b.run(ctx) }) }
		f(t, b)
	})
}

func TestBurstIsPaced(t *testing.T) {
	during(t, func(t *testing.T, b *bench) {
		b.play(4*time.Second, 1000, 9, 1100) // one GOP of four seconds: 247.5 kB/s
		b.begin()
		began := time.Now()
		b.play(4*time.Second, 1000, 9, 1100)
		synctest.Wait()
		out := b.wire.all()
		if len(out) != b.frame*9 {
			t.Fatalf("%d packets of %d", len(out), b.frame*9)
		}
		rate := float64(burstRate * leastRate)
		bytes := 0
		for i, p := range out {
			bytes += p.size
			if most := burstCredit + rate*p.at.Sub(began).Seconds()*1.05 + 1100; float64(bytes) > most {
				t.Fatalf("packet %d: %d bytes after %v, the pacer allows %.0f", i, bytes, p.at.Sub(began), most)
			}
			if p.header.SequenceNumber != out[0].header.SequenceNumber+uint16(i) || p.header.SSRC != 99 || p.header.PayloadType != 102 {
				t.Fatalf("packet %d: %+v", i, p.header)
			}
		}
		if first := out[0].at.Sub(began); first > 0 {
			t.Errorf("the first packet came after %v", first)
		}
		// (GOP's age) / 3 later the viewer is live
		for _, p := range out {
			if p.number == 200 && p.at.Sub(began) > 4100*time.Millisecond {
				t.Errorf("still behind after %v", p.at.Sub(began))
			}
		}
		b.wire.mu.Lock()
		defer b.wire.mu.Unlock()
		if len(b.wire.sr) < 1 || b.wire.sr[0].SSRC != 99 {
			t.Error("no sender report")
		}
	})
}

func TestSlowViewerDropsToTheNextKey(t *testing.T) {
	during(t, func(t *testing.T, b *bench) {
		b.push(true, 1, 100)
		b.begin()
		b.wire.mu.Lock()
		b.wire.block = 30 * time.Millisecond // 33 packets a second, of 50
		b.wire.mu.Unlock()
		b.play(20*time.Second, 25, 2, 500)
		synctest.Wait()
		out := b.wire.all()
		if c := b.tally(); c.Skips == 0 || c.Missed == 0 {
			t.Fatalf("%+v", c)
		}
		for i, p := range out[1:] {
			if p.header.SequenceNumber != out[i].header.SequenceNumber+1 {
				t.Fatalf("the viewer sees a gap at packet %d", i)
			}
			if step := p.number - out[i].number; step > 1 && p.number%25 != 0 {
				t.Fatalf("jumped from frame %d to %d, which is no key", out[i].number, p.number)
			}
		}
		last := out[len(out)-1]
		if behind := b.frame - last.number; behind > 40 {
			t.Errorf("%d frames behind", behind)
		}
	})
}

func TestFirstPacketIsWrittenUntilItIsTaken(t *testing.T) {
	during(t, func(t *testing.T, b *bench) {
		b.wire.deaf = 7
		b.push(true, 3, 100)
		b.begin()
		<-time.After(time.Second)
		if out := b.wire.all(); len(out) != 3 || out[0].number != 0 {
			t.Errorf("%d packets", len(out))
		}
	})
}

func TestWaysOut(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.wire.broken = io.ErrClosedPipe
			b.push(true, 1, 100)
			b.run(t.Context()) // returns by itself
		})
	})
	t.Run("a failing write is a lost packet", func(t *testing.T) {
		during(t, func(t *testing.T, b *bench) {
			b.push(true, 1, 100)
			b.begin()
			synctest.Wait()
			b.wire.fail(errors.New("no buffer space"))
			b.push(false, 1, 100)
			synctest.Wait()
			b.wire.fail(nil)
			b.push(false, 1, 100)
			synctest.Wait()
			if out := b.wire.all(); len(out) != 2 || out[1].header.SequenceNumber != out[0].header.SequenceNumber+2 {
				t.Errorf("%+v", out)
			}
		})
	})
	t.Run("no picture for too long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.push(true, 1, 100)
			began := time.Now()
			b.run(t.Context())
			if b.given != endIdle || time.Since(began) < time.Minute || len(b.states) < 2 || b.states[len(b.states)-1] != "waiting" {
				t.Errorf("given up as %q after %v, states %v", b.given, time.Since(began), b.states)
			}
		})
	})
}

func TestRepairsKeepToTheirBudget(t *testing.T) {
	during(t, func(t *testing.T, b *bench) {
		b.begin()
		b.play(10*time.Second, 25, 9, 1100)
		synctest.Wait()
		before := len(b.wire.all())
		first := b.wire.all()[before-1000].header.SequenceNumber
		storm := &rtcp.TransportLayerNack{}
		for i := range uint16(1000) {
			storm.Nacks = append(storm.Nacks, rtcp.NackPair{PacketID: first + i})
		}
		began := time.Now()
		for range 50 { // a viewer that loses everything, for five seconds
			b.repair(storm)
			<-time.After(100 * time.Millisecond)
		}
		bytes := 0
		for _, p := range b.wire.all()[before:] {
			bytes += p.size
		}
		if most := b.repairs.most + leastRate/repairShare*time.Since(began).Seconds(); float64(bytes) > most || bytes == 0 {
			t.Errorf("%d bytes of repairs in %v, the budget is %.0f", bytes, time.Since(began), most)
		}
		if c := b.tally(); c.Repaired == 0 || c.Refused == 0 {
			t.Errorf("%+v", c)
		}
	})
}

// TestLineFindsWhatWentOut: every packet that went out lately is found again under its sequence number.
func TestLineFindsWhatWentOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := line{next: 1<<16 + uint64(rapid.IntRange(0, 1<<16).Draw(t, "first"))}
		shared := uint64(1)
		type one struct{ out, shared uint64 }
		var all []one
		jumps := []int{}
		for range rapid.IntRange(1, 60).Draw(t, "units") {
			if rapid.IntRange(0, 4).Draw(t, "jump") == 0 {
				shared += uint64(rapid.IntRange(1, 500).Draw(t, "missed"))
				jumps = append(jumps, len(all))
			}
			n := rapid.IntRange(1, 40).Draw(t, "packets")
			first := l.extend(shared, n)
			for i := range n {
				all = append(all, one{first + uint64(i), shared + uint64(i)})
			}
			shared += uint64(n)
		}
		known := 0
		if len(jumps) >= keptPieces {
			known = jumps[len(jumps)-keptPieces+1] // at least what went out since then
		}
		for i, o := range all {
			if i > 0 && o.out != all[i-1].out+1 {
				t.Fatalf("the viewer's line has a gap after %d", all[i-1].out)
			}
			out, sh, ok := l.find(uint16(o.out))
			if i >= known && !ok || ok && (out != o.out || sh != o.shared) {
				t.Fatalf("packet %d of %d: found %d as %d (%v), want %d as %d", i, len(all), sh, out, ok, o.shared, o.out)
			}
		}
		if _, _, ok := l.find(uint16(l.next + 5)); ok && len(all) < 1<<15 {
			t.Fatal("found a packet that has not gone out")
		}
	})
}

func TestNTP(t *testing.T) {
	at := time.Date(2026, 11, 3, 12, 0, 0, 500_000_000, time.UTC)
	if got := ntp(at); got>>32 != uint64(at.Unix())+2208988800 || uint32(got) != 1<<31 {
		t.Errorf("%x", got)
	}
}

func FuzzReadOffer(f *testing.F) {
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\na=recvonly\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := readOffer(text)
		if err != nil {
			return
		}
		if c := o.choose(nil); c.PayloadType > 127 || c.SDPFmtpLine == "" {
			t.Fatalf("%+v", c)
		}
	})
}

func TestChooseFitsTheCamera(t *testing.T) {
	browser := offer{[]offered{{102, "42001f"}, {104, "42e01f"}, {106, "4d001f"}, {108, "64001f"}}}
	plain := offer{[]offered{{102, "42001f"}, {104, "42e01f"}}}
	for _, c := range []struct {
		name string
		sps  []byte
		from offer
		want uint8
	}{
		{"not known yet", nil, browser, 104},
		{"constrained baseline", []byte{0x67, 0x42, 0xc0, 0x1f}, browser, 104},
		{"baseline", []byte{0x67, 0x42, 0x00, 0x1f}, browser, 102},
		{"main", []byte{0x67, 0x4d, 0x40, 0x1f}, browser, 106},
		{"high", []byte{0x67, 0x64, 0x00, 0x28}, browser, 108},
		{"high to a browser that has none", []byte{0x67, 0x64, 0x00, 0x28}, plain, 102},
	} {
		var sets *ring.Sets
		if c.sps != nil {
			sets = &ring.Sets{SPS: c.sps}
		}
		if got := c.from.choose(sets); uint8(got.PayloadType) != c.want {
			t.Errorf("%s: payload type %d, want %d", c.name, got.PayloadType, c.want)
		}
	}
}

// BenchmarkSender is the work per packet and viewer above encryption and system call.
func BenchmarkSender(b *testing.B) {
	s := newBench()
	s.wire = nil
	s.out = discard{}
	s.push(true, 9, 1080)
	u, _ := s.ring.Join().Next()
	s.pace = bucket{rate: 1e15, most: 1e15}
	s.ready = true
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if !s.unit(b.Context(), u) {
			b.Fatal("over")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(9*b.N), "ns/pkt")
}

// BenchmarkSenderOnTheWire adds AES-GCM and one system call per packet, as every viewer costs them.
func BenchmarkSenderOnTheWire(b *testing.B) {
	sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // never read
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	conn, err := net.DialUDP("udp", nil, sink.LocalAddr().(*net.UDPAddr))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	crypto, err := srtp.CreateContext(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		b.Fatal(err)
	}
	s := newBench()
	s.out = &encrypted{conn: conn, crypto: crypto, plain: make([]byte, 0, 1500), out: make([]byte, 0, 1500)}
	s.push(true, 9, 1080)
	u, _ := s.ring.Join().Next()
	s.pace = bucket{rate: 1e15, most: 1e15}
	s.ready = true
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if !s.unit(b.Context(), u) {
			b.Fatal("over")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(9*b.N), "ns/pkt")
	b.ReportMetric(float64(9*b.N)/b.Elapsed().Seconds(), "pkt/s")
}

type encrypted struct {
	conn       *net.UDPConn
	crypto     *srtp.Context
	plain, out []byte
}

func (e *encrypted) WriteRTP(h *rtp.Header, p []byte) (int, error) {
	n, err := h.MarshalTo(e.plain[:cap(e.plain)])
	if err != nil {
		return 0, err
	}
	e.plain = append(e.plain[:n], p...)
	out, err := e.crypto.EncryptRTP(e.out[:0], e.plain, h)
	if err != nil {
		return 0, err
	}
	e.out = out
	return e.conn.Write(out)
}

type discard struct{}

func (discard) WriteRTP(_ *rtp.Header, p []byte) (int, error) { return len(p), nil }
