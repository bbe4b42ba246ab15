package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/drivers/bus"
)

// judge is a TB that a test can look at.
type judge struct {
	said    []string
	cleanup []func()
}

func (j *judge) Helper() {}
func (j *judge) Errorf(format string, args ...any) {
	j.said = append(j.said, fmt.Sprintf(format, args...))
}
func (j *judge) Cleanup(f func()) { j.cleanup = append(j.cleanup, f) }

func (j *judge) verdict() string {
	for _, f := range j.cleanup {
		f()
	}
	return strings.Join(j.said, "\n")
}

const story = `# a sensor, then nobody, then a meter
i2c 76 1 d0 -> 60
i2c 4f 2 00 -> noanswer
spi 2 9f00 -> 00ef
w1search -> a200000001b81c02
w1 1 0 cc44 -> -
serial write 010300
serial read 010302
serial read timeout
`

func TestPlayback(t *testing.T) {
	p := Play(t, story)
	id := make([]byte, 2)
	if err := p.I2C().Tx(0x76, []byte{0xd0}, id[:1]); err != nil || id[0] != 0x60 {
		t.Errorf("%x, %v", id[0], err)
	}
	if err := p.I2C().Tx(0x4f, []byte{0}, id); !errors.Is(err, bus.ErrNoAnswer) {
		t.Error(err)
	}
	if err := p.SPI().Tx([]byte{0x9f, 0}, id); err != nil || id[1] != 0xef {
		t.Errorf("%x, %v", id, err)
	}
	if roms, err := p.OneWire().Search(t.Context()); err != nil || len(roms) != 1 || roms[0].Family() != 2 {
		t.Errorf("%s, %v", roms, err)
	}
	if err := p.OneWire().Tx([]byte{0xcc, 0x44}, nil, true); err != nil {
		t.Error(err)
	}
	s := p.Serial()
	for _, part := range [][]byte{{1}, {3, 0}} {
		if _, err := s.Write(part); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"\x01\x03", "\x02"} {
		if n, err := s.Read(id); err != nil || string(id[:n]) != want {
			t.Errorf("% x, %v", id[:n], err)
		}
	}
	if _, err := s.Read(id); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if err := s.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Error(err)
	}
	if _, err := s.Read(id); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read with nothing to come: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Read(id); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a read of a closed line: %v", err)
	}
}

// TestPlaybackTells holds what a test sees that asks for other things than the transcript has.
func TestPlaybackTells(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(p *Playback) error
		want string
	}{
		"other register": {func(p *Playback) error { return p.I2C().Tx(0x76, []byte{0xd1}, make([]byte, 1)) },
			"exchange 1 of 8:\n\twant  i2c 76 1 d0\n\tgot   i2c 76 1 d1\n\t                ^"},
		"other bus":      {func(p *Playback) error { return p.SPI().Tx([]byte{1}, nil) }, "got   spi 0 01"},
		"other strength": {func(p *Playback) error { return p.OneWire().Tx(nil, nil, true) }, "got   w1 1 0 -"},
		"serial": {func(p *Playback) error { _, err := p.Serial().Write([]byte{7}); return err },
			"want  i2c 76 1 d0 -> 60\n\tgot   serial write 07"},
		"left over": {func(p *Playback) error {
			return errors.Join(errPlayback, p.I2C().Tx(0x76, []byte{0xd0}, make([]byte, 1)))
		},
			"7 of 8 exchanges were not asked for, the first is\n\ti2c 4f 2 00 -> noanswer"},
	} {
		j := &judge{}
		p := Play(j, story)
		if err := c.do(p); !errors.Is(err, errPlayback) {
			t.Errorf("%s: %v", name, err)
		}
		if got := j.verdict(); !strings.Contains(got, c.want) {
			t.Errorf("%s: told\n%s\nwant\n%s", name, got, c.want)
		}
	}
	j := &judge{}
	p := Play(j, "i2c 76 1 d0 -> 60")
	var failed []error
	for range 3 {
		failed = append(failed, p.I2C().Tx(1, nil, nil))
	}
	if _, err := p.Serial().Read(make([]byte, 1)); err == nil || failed[2] == nil || len(j.said) != 1 {
		t.Errorf("%v, %v: told %d times", failed, err, len(j.said))
	}
}

func TestPlaybackRefusesTranscripts(t *testing.T) {
	for _, line := range []string{"i2c", "i2c 76 1 d0", "i2c 76 2 d0 -> 60", "i2c 76 x d0 -> 60", "spi -> 0", "serial read -", "serial write zz", "w1search -> 7", "w1search -> a200000001b81c03"} {
		j := &judge{}
		Play(j, line)
		if got := j.verdict(); !strings.Contains(got, "transcript line 1") {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// TestRecordThenPlay holds that what was recorded plays as itself.
func TestRecordThenPlay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chips := NewChips(map[uint16]*Registers{0x48: {}, 0x49: {Wide: true}})
		type ask struct {
			addr uint16
			w    []byte
			n    int
			r    []byte
			err  error
		}
		asks := make([]ask, rapid.IntRange(0, 9).Draw(t, "asks"))
		var rec Recorder
		for i := range asks {
			a := ask{addr: uint16(rapid.IntRange(0x48, 0x4a).Draw(t, "addr")), w: rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "w"), n: rapid.IntRange(0, 3).Draw(t, "n")}
			a.r = make([]byte, a.n)
			a.err = rec.I2C(chips).Tx(a.addr, a.w, a.r)
			asks[i] = a
		}
		j := &judge{}
		p := Play(j, rec.String())
		for _, a := range asks {
			r := make([]byte, a.n)
			if err := p.I2C().Tx(a.addr, a.w, r); !errors.Is(a.err, bus.ErrNoAnswer) && err != nil || (err == nil) != (a.err == nil) || !bytes.Equal(r, a.r) {
				t.Fatalf("%+v plays as % x, %v", a, r, err)
			}
		}
		if got := j.verdict(); got != "" {
			t.Fatal(got)
		}
	})
}

// TestRecordAll plays the story into a recorder, which writes the same story.
func TestRecordAll(t *testing.T) {
	p, rec := Play(t, story), &Recorder{}
	b := make([]byte, 8)
	_ = rec.I2C(p.I2C()).Tx(0x76, []byte{0xd0}, b[:1])
	_ = rec.I2C(p.I2C()).Tx(0x4f, []byte{0}, b[:2])
	_ = rec.SPI(p.SPI()).Tx([]byte{0x9f, 0}, b[:2])
	_, _ = rec.OneWire(p.OneWire()).Search(context.Background())
	_ = rec.OneWire(p.OneWire()).Tx([]byte{0xcc, 0x44}, nil, true)
	s := rec.Serial(p.Serial())
	_, _ = s.Write([]byte{1, 3, 0})
	_, _ = s.Read(b)
	_, _ = s.Read(b)
	if _, want, _ := strings.Cut(story, "\n"); rec.String() != want {
		t.Errorf("recorded\n%s\nwant\n%s", rec, want)
	}
	if err := errors.Join(s.SetReadDeadline(time.Now()), s.SetWriteDeadline(time.Now()), s.Close()); err != nil {
		t.Error(err)
	}
}
