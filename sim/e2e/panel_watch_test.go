package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/panel"
)

// stopwatch is a panel's record that measures how long each report waited for its acknowledgement.
type stopwatch struct {
	mu   sync.Mutex // guards the fields below
	sent map[int]time.Time
	took map[int]time.Duration
}

// Write takes one line of the record.
func (s *stopwatch) Write(line []byte) (int, error) {
	var word string
	var n int
	if _, err := fmt.Sscanf(string(line), "%s %d", &word, &n); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent, s.took = map[int]time.Time{}, map[int]time.Duration{}
	}
	if word == "sent" {
		s.sent[n] = time.Now()
	} else {
		s.took[n] = time.Since(s.sent[n])
	}
	return len(line), nil
}

// counts are the reports sent and acknowledged so far.
func (s *stopwatch) counts() (sent, acked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent), len(s.took)
}

// since are the waits of the reports after number n, in milliseconds; one that still waits counts with what it waited so far.
func (s *stopwatch) since(n int) (ms []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.sent {
		if i <= n {
			continue
		}
		took, ok := s.took[i]
		if !ok {
			took = time.Since(at)
		}
		ms = append(ms, float64(took.Microseconds())/1000)
	}
	return ms
}

// hearing keeps what somebody hears.
type hearing struct {
	mu    sync.Mutex // guards the field below
	heard bytes.Buffer
}

// Write takes what was heard.
func (e *hearing) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard.Write(b)
}

func (e *hearing) bytes() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.heard.Bytes())
}

// honest is a panel that makes a report every now and then, as long as the test runs.
type honest struct {
	*stopwatch
	account string
	capture hearing
	panel   *panel.Panel
}

// honestly starts a panel that makes a report each pace until the function it answers is called.
func honestly(t testing.TB, o panel.Options, pace time.Duration) (h *honest, stop func()) {
	t.Helper()
	h = &honest{stopwatch: &stopwatch{}, account: o.Account}
	o.Record, o.Capture = h.stopwatch, &h.capture
	p, err := panel.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.panel = p
	ctx, cancel := context.WithCancel(t.Context())
	raising, quiet := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error { return p.Run(ctx) })
	group.Go(func() error {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-raising.Done():
				return nil
			}
			if err := p.Raise(raising, panel.Report{Code: "BA"}); err != nil && raising.Err() == nil {
				return err
			}
		}
	})
	return h, func() {
		t.Helper()
		quiet()
		eventually(t, "the panel's last acknowledgement", func() error {
			if sent, acked := h.counts(); acked < sent {
				return fmt.Errorf("panel %s: %d of %d", h.account, acked, sent)
			}
			return nil
		})
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// answers are the bytes that the panel got from the station.
func (h *honest) answers(t testing.TB) (all []byte) {
	t.Helper()
	for line := range strings.Lines(string(h.capture.bytes())) {
		if text, got := strings.CutPrefix(strings.TrimSpace(line), "< "); got {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
	}
	return all
}

// frames are the segments that the panel sent.
func (h *honest) frames(t testing.TB) [][]byte {
	t.Helper()
	frames, err := panel.Captured(bytes.NewReader(h.capture.bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

// udp is the address at which the station takes panels by UDP.
func (v *village) udp() string {
	v.t.Helper()
	v.agent.says("network=udp address=")
	return regexp.MustCompile(`network=udp address=(\S+)`).FindStringSubmatch(v.agent.stderr())[1]
}

// holdings is the most that a program held while it was watched.
type holdings struct {
	rss   float64 // MiB
	files int
}

// watched measures a program while something is done.
func watched(t testing.TB, p *process, do func()) (most holdings) {
	t.Helper()
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
			if err != nil {
				t.Error(err)
			}
			most.files, most.rss = max(most.files, len(files)), max(most.rss, rssMiB(t, p))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	do()
	close(done)
	group.Wait()
	return most
}

// from is the address of the hostile device: the honest ones have another.
func from() net.IP { return net.IPv4(127, 0, 0, 66) }

// spread says percentiles of milliseconds.
func spread(ms []float64) string {
	if len(ms) == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %.1f p99 %.1f worst %.1f ms", percentile(ms, 50), percentile(ms, 99), slices.Max(ms))
}
