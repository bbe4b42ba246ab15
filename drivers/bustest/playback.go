package bustest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"watchpost/drivers/bus"
)

// TB is what a [Playback] needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(func())
}

// errPlayback is what a driver gets that asks for something else than the transcript says.
var errPlayback = errors.New("not as in the transcript")

// Playback is a set of buses that answer as a transcript says, in its order, and to nothing else. The first request that is
// another one fails the test with both, one above the other; all after it fail quietly. What is left over at the end of the
// test fails it too. It never panics.
type Playback struct {
	t     TB
	steps []step

	mu     sync.Mutex // guards the fields below
	at     int        // the next step
	part   int        // bytes of a serial step that are done
	broken bool
	closed bool
	until  time.Time     // the read deadline of the serial line
	moved  chan struct{} // closed and made anew when any of these changes
}

// Play reads a transcript, as [Recorder.String] writes it. Lines that are empty or begin with # say nothing.
func Play(t TB, transcript string) *Playback {
	t.Helper()
	p := &Playback{t: t, moved: make(chan struct{})}
	n := 0
	for line := range strings.Lines(transcript) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			t.Errorf("transcript line %d: %v", n, err)
			p.broken = true
			continue
		}
		p.steps = append(p.steps, s)
	}
	t.Cleanup(p.finish)
	return p
}

func (p *Playback) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := len(p.steps) - p.at; left > 0 && !p.broken {
		p.t.Errorf("%d of %d exchanges were not asked for, the first is\n\t%s", left, len(p.steps), p.steps[p.at])
	}
}

// I2C is the I2C bus of the transcript.
func (p *Playback) I2C() bus.I2C { return i2cPlayer{p} }

// SPI is the SPI chip of the transcript.
func (p *Playback) SPI() bus.SPI { return spiPlayer{p} }

// OneWire is the 1-wire bus of the transcript.
func (p *Playback) OneWire() bus.OneWire { return wirePlayer{p} }

// Serial is the serial line of the transcript. A read at a point where the transcript has none waits for its deadline.
func (p *Playback) Serial() bus.Serial { return serialPlayer{p} }

// ask takes one request and gives its step.
func (p *Playback) ask(request string) (step, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		return step{}, errPlayback
	}
	if p.at == len(p.steps) {
		return step{}, p.fail(request, "nothing more")
	}
	s := p.steps[p.at]
	if s.request != request {
		return step{}, p.fail(request, s.request)
	}
	p.forward()
	return s, s.fault
}

// forward and fail need the mutex.
func (p *Playback) forward() {
	p.at++
	p.part = 0
	p.stir()
}

func (p *Playback) stir() {
	close(p.moved)
	p.moved = make(chan struct{})
}

func (p *Playback) fail(got, want string) error {
	p.broken = true
	p.stir()
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	p.t.Errorf("exchange %d of %d:\n\twant  %s\n\tgot   %s\n\t      %s^", p.at+1, len(p.steps), want, got, strings.Repeat(" ", same))
	return errPlayback
}

type i2cPlayer struct{ p *Playback }

func (b i2cPlayer) Tx(addr uint16, w, r []byte) error {
	s, err := b.p.ask(i2cRequest(addr, w, r))
	copy(r, s.data)
	return err
}

type spiPlayer struct{ p *Playback }

func (b spiPlayer) Tx(w, r []byte) error {
	s, err := b.p.ask(spiRequest(w, r))
	copy(r, s.data)
	return err
}

type wirePlayer struct{ p *Playback }

func (b wirePlayer) Tx(w, r []byte, strong bool) error {
	s, err := b.p.ask(wireRequest(w, r, strong))
	copy(r, s.data)
	return err
}

func (b wirePlayer) Search(context.Context) ([]bus.ROM, error) {
	s, err := b.p.ask(searchRequest)
	return s.roms, err
}

type serialPlayer struct{ p *Playback }

// Write may come in other pieces than it was recorded in.
func (s serialPlayer) Write(b []byte) (int, error) {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	for done := 0; done < len(b); {
		if p.closed {
			return done, os.ErrClosed
		}
		if p.broken {
			return done, errPlayback
		}
		if p.at == len(p.steps) || p.steps[p.at].request != serialWrite {
			return done, p.fail(serialWrite+" "+hexOf(b[done:]), p.next())
		}
		want := p.steps[p.at].data[p.part:]
		n := min(len(want), len(b)-done)
		if string(want[:n]) != string(b[done:done+n]) {
			return done, p.fail(serialWrite+" "+hexOf(b[done:]), serialWrite+" "+hexOf(want))
		}
		done += n
		if p.part += n; n == len(want) {
			p.forward()
		}
	}
	return len(b), nil
}

// next needs the mutex.
func (p *Playback) next() string {
	if p.at == len(p.steps) {
		return "nothing more"
	}
	return p.steps[p.at].String()
}

func (s serialPlayer) Read(b []byte) (int, error) {
	for {
		n, moved, until, err := s.p.take(b)
		if moved == nil {
			return n, err
		}
		var timeout <-chan time.Time
		if !until.IsZero() {
			t := time.NewTimer(time.Until(until))
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-moved:
		case <-timeout:
		}
	}
}

// take gives what the transcript has to read now, or a channel to wait for more.
func (p *Playback) take(b []byte) (n int, wait <-chan struct{}, until time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, nil, until, os.ErrClosed
	case p.broken:
		return 0, nil, until, errPlayback
	case !p.until.IsZero() && !time.Now().Before(p.until):
		return 0, nil, until, fmt.Errorf("reading the transcript: %w", os.ErrDeadlineExceeded)
	case p.at == len(p.steps) || p.steps[p.at].request != serialRead:
		return 0, p.moved, p.until, nil
	case p.steps[p.at].fault != nil:
		p.forward()
		return 0, nil, until, fmt.Errorf("reading the transcript: %w", os.ErrDeadlineExceeded)
	}
	data := p.steps[p.at].data[p.part:]
	n = copy(b, data)
	if p.part += n; n == len(data) {
		p.forward()
	}
	return n, nil, until, nil
}

func (s serialPlayer) Close() error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.closed = true
	s.p.stir()
	return nil
}

func (s serialPlayer) SetReadDeadline(t time.Time) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.until = t
	s.p.stir()
	return nil
}

func (s serialPlayer) SetWriteDeadline(time.Time) error { return nil }
