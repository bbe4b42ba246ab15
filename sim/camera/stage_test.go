package camera

import (
	"testing"
	"time"
)

// performance is a stage with a clock of the test.
func performance(t testing.TB, o Options) (*stage, func(time.Duration)) {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	o.Now = func() time.Time { return now }
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStage(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, func(d time.Duration) { now = now.Add(d) }
}

// take makes the next picture.
func (s *stage) take(t testing.TB, urgent bool) *accessUnit {
	t.Helper()
	unit, err := s.next(s.opts.Now(), urgent)
	if err != nil {
		t.Fatal(err)
	}
	return unit
}

func TestWholePicturesComeOncePerGroup(t *testing.T) {
	s, pass := performance(t, Options{Width: 176, Height: 144, FPS: 15, GOP: 2 * time.Second})
	for n := range 100 {
		if got, want := s.take(t, false).idr, n%30 == 0; got != want {
			t.Errorf("picture %d is whole: %v, want %v", n, got, want)
		}
		pass(time.Second / 15)
	}
}

// A tick may be late or early by a few milliseconds: the groups keep their length.
func TestGroupsWithUnsteadyTicks(t *testing.T) {
	s, pass := performance(t, Options{Width: 176, Height: 144, FPS: 10, GOP: time.Second})
	late := [4]time.Duration{0, 9 * time.Millisecond, -7 * time.Millisecond, -2 * time.Millisecond}
	whole := 0
	for n := range 40 {
		if s.take(t, false).idr {
			whole++
			if n%10 != 0 {
				t.Errorf("picture %d is whole", n)
			}
		}
		pass(100*time.Millisecond + late[n%4])
	}
	if whole != 4 {
		t.Errorf("%d whole pictures of 40, want 4", whole)
	}
}

func TestWholePictureAfterARestAndOnRequest(t *testing.T) {
	s, pass := performance(t, Options{Width: 176, Height: 144})
	var got []bool
	for n := range 8 {
		if n == 5 {
			s.rest()
		}
		got = append(got, s.take(t, n == 2).idr)
		pass(time.Second / 15)
	}
	for n, want := range []bool{true, false, true, false, false, true, false, false} {
		if got[n] != want {
			t.Errorf("picture %d is whole: %v, want %v", n, got[n], want)
		}
	}
}

func TestTicksFollowTheClock(t *testing.T) {
	s, pass := performance(t, Options{Width: 176, Height: 144})
	first := s.take(t, false)
	pass(1500 * time.Millisecond)
	second := s.take(t, false)
	if step := second.ticks - first.ticks; step != clockRate*3/2 {
		t.Errorf("1.5 s are %d ticks", step)
	}
	if !second.taken.After(first.taken) {
		t.Error("the second picture is not later")
	}
}

func BenchmarkPacketize(b *testing.B) {
	s, _ := performance(b, Options{})
	slice, err := s.encoder.Encode(s.frame, true)
	if err != nil {
		b.Fatal(err)
	}
	sets := [][]byte{s.encoder.SPS(), s.encoder.PPS()}
	b.SetBytes(int64(len(slice)))
	var buf []byte
	for b.Loop() {
		buf = buf[:0]
		for i, payload := range packetize(sets, slice) {
			buf = appendPacket(buf, 0, false, uint16(i), 0, 0, payload)
		}
	}
}
