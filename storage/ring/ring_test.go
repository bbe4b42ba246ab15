package ring_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"pgregory.net/rapid"

	"watchpost/storage/ring"
)

// noon is when the test streams begin; the ring never asks a clock.
func noon() time.Time { return time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC) }

// unit makes a unit of n packets with size payload bytes each.
func unit(at time.Time, key bool, n, size int) ring.Unit {
	u := ring.Unit{At: at, Key: key, Time: uint32(at.Sub(noon()).Milliseconds() * 90)}
	for i := range n {
		u.Packets = append(u.Packets, &rtp.Packet{Header: rtp.Header{Version: 2, Marker: i == n-1, Timestamp: u.Time}, Payload: make([]byte, size)})
	}
	return u
}

// feed pushes frames of 40 ms with a key unit every gop frames.
func feed(r *ring.Ring, from, frames, gop int) {
	for i := from; i < from+frames; i++ {
		r.Push(unit(noon().Add(time.Duration(i)*40*time.Millisecond), i%gop == 0, 3, 1000))
	}
}

func TestJoinBeginsWithTheLastGOP(t *testing.T) {
	r := ring.New(ring.Limits{})
	feed(r, 0, 60, 25) // keys are units 1, 26, 51
	rd := r.Join()
	for want := uint64(51); want <= 60; want++ {
		u, ok := rd.Next()
		if !ok || u.Number != want || u.Key != (want == 51) {
			t.Fatalf("unit %d: got %d key %v ok %v", want, u.Number, u.Key, ok)
		}
	}
	if u, ok := rd.Next(); ok {
		t.Fatalf("a unit after the newest: %d", u.Number)
	}
	if rd.Missed() != 0 {
		t.Errorf("missed %d", rd.Missed())
	}
}

func TestJoinOfAnEmptyRingWaitsForAKey(t *testing.T) {
	r := ring.New(ring.Limits{})
	rd := r.Join()
	feed(r, 1, 24, 25) // 24 units, no key
	if u, ok := rd.Next(); ok {
		t.Fatalf("handed out unit %d, which nothing can decode", u.Number)
	}
	feed(r, 25, 1, 25)
	if u, ok := rd.Next(); !ok || !u.Key {
		t.Fatalf("key unit not handed out: %+v", u)
	}
	if rd.Missed() != 24 {
		t.Errorf("missed %d, want 24", rd.Missed())
	}
}

func TestSinceBeginsBeforeTheMoment(t *testing.T) {
	r := ring.New(ring.Limits{})
	feed(r, 0, 100, 25)
	for _, c := range []struct {
		after time.Duration
		want  uint64
	}{{-time.Hour, 1}, {0, 1}, {990 * time.Millisecond, 1}, {time.Second, 26}, {2500 * time.Millisecond, 51}, {time.Hour, 76}} {
		rd := r.Since(noon().Add(c.after))
		if u, ok := rd.Next(); !ok || u.Number != c.want || !u.Key {
			t.Errorf("since %v: unit %d key %v, want %d", c.after, u.Number, u.Key, c.want)
		}
	}
	if _, ok := ring.New(ring.Limits{}).Since(noon()).Next(); ok {
		t.Error("an empty ring handed out a unit")
	}
}

func TestReaderThatFallsBehindJumpsToAKey(t *testing.T) {
	r := ring.New(ring.Limits{Age: 2 * time.Second})
	feed(r, 0, 1, 25)
	rd := r.Join()
	if u, ok := rd.Next(); !ok || u.Number != 1 {
		t.Fatal("first unit not handed out")
	}
	feed(r, 1, 199, 25) // keeps about 50 units: 150..200, keys 151 and 176
	u, ok := rd.Next()
	if !ok || !u.Key || u.Number != 151 {
		t.Fatalf("got unit %d key %v", u.Number, u.Key)
	}
	if rd.Missed() != 149 {
		t.Errorf("missed %d, want 149", rd.Missed())
	}
}

func TestSkipGoesToTheNewestKeyOnly(t *testing.T) {
	r := ring.New(ring.Limits{})
	feed(r, 0, 30, 25)
	rd := r.Since(noon())
	rd.Next()
	if !rd.Skip() {
		t.Fatal("did not skip")
	}
	if u, _ := rd.Next(); u.Number != 26 || rd.Missed() != 24 {
		t.Fatalf("unit %d, missed %d", u.Number, rd.Missed())
	}
	if rd.Skip() {
		t.Error("skipped without a newer key")
	}
	if u, _ := rd.Next(); u.Number != 27 {
		t.Errorf("a refused skip moved the reader to %d", u.Number)
	}
	if lag := rd.Lag(); lag != 80*time.Millisecond {
		t.Errorf("lag %v", lag)
	}
}

func TestClearGivesMemoryBackAndNumbersGoOn(t *testing.T) {
	r := ring.New(ring.Limits{})
	feed(r, 0, 50, 25)
	rd := r.Join()
	rd.Next()
	r.Clear()
	if s := r.Stats(); s != (ring.Stats{}) {
		t.Fatalf("after Clear: %+v", s)
	}
	if _, ok := r.Packet(150); ok {
		t.Error("a packet survived")
	}
	if _, ok := rd.Next(); ok {
		t.Error("a unit survived")
	}
	feed(r, 50, 1, 25)
	u, ok := rd.Next()
	if !ok || u.Number != 51 || u.First != 151 || u.Packets[0].SequenceNumber != 151 {
		t.Fatalf("after Clear the line goes on at unit %d packet %d", u.Number, u.First)
	}
}

func TestReadyWakes(t *testing.T) {
	r := ring.New(ring.Limits{})
	rd := r.Join()
	ready := rd.Ready()
	select {
	case <-ready:
		t.Fatal("ready with nothing to read")
	default:
	}
	feed(r, 0, 1, 1)
	select {
	case <-ready:
	default:
		t.Fatal("not woken by a push")
	}
	select {
	case <-rd.Ready():
	default:
		t.Fatal("not ready although a unit waits")
	}
}

func TestUnitWithoutPacketsIsIgnored(t *testing.T) {
	r := ring.New(ring.Limits{})
	r.Push(ring.Unit{Key: true, At: noon()})
	if s := r.Stats(); s.Units != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRingKeepsItsPromises drives a ring at random and holds it against a plain list of all units ever pushed.
func TestRingKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := ring.Limits{Bytes: rapid.IntRange(1, 20000).Draw(t, "bytes"), Age: time.Duration(rapid.IntRange(1, 5000).Draw(t, "age")) * time.Millisecond}
		r := ring.New(limits)
		var all []ring.Unit
		at, packet := noon(), uint64(1)
		type reader struct {
			*ring.Reader
			last  uint64 // number of the last unit handed out, or of the newest when it joined
			begun bool
		}
		var readers []*reader
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				at = at.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "gap")) * time.Millisecond)
				u := unit(at, rapid.IntRange(0, 4).Draw(t, "key") == 0, rapid.IntRange(1, 6).Draw(t, "packets"), rapid.IntRange(1, 1200).Draw(t, "size"))
				r.Push(u)
				u.Number, u.First = uint64(len(all)+1), packet
				packet += uint64(len(u.Packets))
				all = append(all, u)
			},
			"join":  func(t *rapid.T) { readers = append(readers, &reader{Reader: r.Join()}) },
			"since": func(t *rapid.T) { readers = append(readers, &reader{Reader: r.Since(at.Add(-time.Second))}) },
			"clear": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
					r.Clear()
				}
			},
			"skip": func(t *rapid.T) {
				for _, rd := range readers {
					rd.Skip()
				}
			},
			"read": func(t *rapid.T) {
				for _, rd := range readers {
					before := rd.Missed()
					u, ok := rd.Next()
					if !ok {
						continue
					}
					want := all[u.Number-1]
					if u.First != want.First || u.Key != want.Key || len(u.Packets) != len(want.Packets) || u.Packets[0] != want.Packets[0] {
						t.Fatalf("unit %d is not what was pushed", u.Number)
					}
					if !rd.begun || rd.Missed() != before || u.Number != rd.last+1 {
						if !u.Key {
							t.Fatalf("unit %d after %d: a jump must end at a key unit", u.Number, rd.last)
						}
					}
					if rd.begun && u.Number <= rd.last {
						t.Fatalf("went back from %d to %d", rd.last, u.Number)
					}
					rd.begun, rd.last = true, u.Number
				}
			},
			"": func(t *rapid.T) {
				s := r.Stats()
				if s.Units > 1 && (s.Bytes > limits.Bytes || s.Newest.Sub(s.Oldest) > limits.Age) {
					t.Fatalf("limits %+v broken: %+v", limits, s)
				}
				held := 0
				for i, u := range all {
					for j := range u.Packets {
						p, ok := r.Packet(u.First + uint64(j))
						if ok {
							held++
						}
						if ok && (p != u.Packets[j] || p.SequenceNumber != uint16(u.First+uint64(j))) {
							t.Fatalf("packet %d of unit %d is another", j, i+1)
						}
						if !ok && i >= len(all)-s.Units {
							t.Fatalf("packet %d of unit %d is not found though held", j, i+1)
						}
					}
				}
				if held != s.Packets {
					t.Fatalf("%d packets found, %d counted", held, s.Packets)
				}
				if _, ok := r.Packet(packet); ok {
					t.Fatal("found a packet that never was")
				}
			},
		})
	})
}

func TestSequenceSpaceStaysUnambiguous(t *testing.T) {
	r := ring.New(ring.Limits{Bytes: math.MaxInt32, Age: time.Hour})
	for i := range 700 {
		r.Push(unit(noon().Add(time.Duration(i)*time.Millisecond), i%10 == 0, 100, 1))
	}
	if s := r.Stats(); s.Packets > 1<<15 || s.Packets < 1<<15-100 {
		t.Errorf("%d packets held of 70000", s.Packets)
	}
}

func TestManyReadersOneWriter(t *testing.T) {
	r := ring.New(ring.Limits{Age: time.Second})
	const frames = 2000
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			rd, last := r.Join(), uint64(0)
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for last < frames {
				u, ok := rd.Next()
				if !ok {
					<-rd.Ready()
					continue
				}
				if u.Number != last+1 && !u.Key {
					t.Errorf("reader %d: jumped from %d to %d, not a key", i, last, u.Number)
				}
				last = u.Number
				if rnd.IntN(50) == 0 {
					rd.Skip()
				}
				if p, ok := r.Packet(u.First); ok && p != u.Packets[0] {
					t.Errorf("reader %d: packet %d is another", i, u.First)
				}
			}
		})
	}
	feed(r, 0, frames-1, 25)
	r.Push(unit(noon().Add(frames*40*time.Millisecond), true, 1, 1)) // a key ends every wait
	wg.Wait()
}

func BenchmarkFanOut(b *testing.B) {
	for _, readers := range []int{1, 100} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			r := ring.New(ring.Limits{})
			rds := make([]*ring.Reader, readers)
			for i := range rds {
				rds[i] = r.Join()
			}
			units := make([]ring.Unit, 50)
			for i := range units {
				units[i] = unit(noon(), i == 0, 9, 1080)
			}
			at := noon()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				u := units[i%len(units)]
				at = at.Add(40 * time.Millisecond)
				u.At = at
				r.Push(u)
				for _, rd := range rds {
					if _, ok := rd.Next(); !ok {
						b.Fatal("nothing to read")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*readers*9), "ns/pkt")
		})
	}
}

func BenchmarkRepair(b *testing.B) {
	r := ring.New(ring.Limits{})
	feed(r, 0, 750, 50)
	b.ReportAllocs()
	for i := range b.N {
		if _, ok := r.Packet(uint64(1 + i%2250)); !ok {
			b.Fatal("not found")
		}
	}
}
