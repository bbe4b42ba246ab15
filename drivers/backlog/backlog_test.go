package backlog

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errFull = errors.New("the log is full")

// shelf is a sink that refuses its next calls, or hangs until its context ends.
type shelf struct {
	mu    sync.Mutex // guards the fields below
	zones []string
	calls int
	fails int
	hangs bool
}

func (s *shelf) sink(ctx context.Context, d event.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.hangs {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return ctx.Err()
	}
	if s.fails > 0 {
		s.fails--
		return errFull
	}
	s.zones = append(s.zones, d.Zone)
	return nil
}

// count is how often it was called, and what it has stored.
func (s *shelf) count() (calls int, zones []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, slices.Clone(s.zones)
}

func notice(zone string) event.Draft {
	return event.Draft{Zone: zone, Severity: event.SeverityNotice}
}

func alarm(zone string) event.Draft {
	return event.Draft{Zone: zone, Severity: event.SeverityAlarm}
}

func run(t *testing.T, b *Backlog, s *shelf) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx, s.sink) })
	return func() { cancel(); wg.Wait() }
}

func TestInOrderUntilStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		b, s := New("line/door", slog.New(slog.NewTextHandler(&said, nil))), &shelf{fails: 8}
		defer run(t, b, s)()
		for i := range 4 {
			b.Add(notice(strconv.Itoa(i)))
		}
		synctest.Wait()
		if calls, _ := s.count(); b.Len() != 4 || calls != 1 {
			t.Errorf("%d wait after %d calls, want 4 after 1", b.Len(), calls)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if calls, zones := s.count(); !slices.Equal(zones, []string{"0", "1", "2", "3"}) || b.Len() != 0 || calls != 12 {
			t.Errorf("stored %v in %d calls, %d wait", zones, calls, b.Len())
		}
		if n := strings.Count(said.String(), "\n"); n != 2 || !strings.Contains(said.String(), "line/door") {
			t.Errorf("want one line when it began and one when it ended, got\n%s", said.String())
		}
	})
}

// TestPausesDouble counts with 100+200+400+800+1600+3200+5000+5000 ms.
func TestPausesDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := New("x", slog.New(slog.DiscardHandler)), &shelf{fails: 8}
		defer run(t, b, s)()
		b.Add(notice("a"))
		<-time.After(16299 * time.Millisecond)
		synctest.Wait()
		if calls, _ := s.count(); calls != 8 {
			t.Errorf("%d calls just before the ninth is due", calls)
		}
		<-time.After(time.Millisecond)
		synctest.Wait()
		if calls, zones := s.count(); calls != 9 || len(zones) != 1 {
			t.Errorf("%d calls, stored %v", calls, zones)
		}
	})
}

func TestStopsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []*shelf{{hangs: true}, {fails: 1 << 30}, {}} {
			b := New("x", slog.New(slog.DiscardHandler))
			stop := run(t, b, s)
			if s.hangs || s.fails > 0 {
				b.Add(notice("a"))
			}
			synctest.Wait()
			stop()
			if want := min(s.calls, 1); b.Len() != want {
				t.Errorf("%d wait after the stop, want %d", b.Len(), want)
			}
		}
	})
}

// TestLostAdds: a fact that tells of lost edges tells of lost facts in the same number, and both are kept when it is lost itself.
func TestLostAdds(t *testing.T) {
	b := New("x", slog.New(slog.DiscardHandler))
	for range Size + 3 {
		b.Add(event.Draft{Severity: event.SeverityNotice, Body: event.NewBody(event.Uint(event.TagLost, 2), event.Text(event.TagState, "normal"))})
	}
	b.pop()
	d, _ := b.head()
	if lost, _ := d.Body.Uint(event.TagLost); lost != 3*3+2 || len(d.Body) != 2 {
		t.Errorf("lost %d in %d fields, want 11 in 2", lost, len(d.Body))
	}
	b.pop()
	d, _ = b.head()
	if lost, _ := d.Body.Uint(event.TagLost); lost != 2 {
		t.Errorf("lost %d, want 2", lost)
	}
}

// TestFull holds against a plain count that no alarm goes while anything else could, that order holds, and that what is
// lost is told.
func TestFull(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := New("x", slog.New(slog.DiscardHandler))
		severe := rapid.SliceOfN(rapid.Bool(), Size-2, 2*Size).Draw(r, "alarms")
		alarms := 0
		for i, a := range severe {
			d := notice(strconv.Itoa(i))
			if a {
				d = alarm(strconv.Itoa(i))
				alarms++
			}
			b.Add(d)
		}
		kept, keptAlarms, lost, last := 0, 0, uint64(0), -1
		for b.Len() > 0 {
			d, _ := b.head()
			b.pop()
			kept++
			if d.Severity == event.SeverityAlarm {
				keptAlarms++
			}
			n, _ := d.Body.Uint(event.TagLost)
			lost += n
			at, err := strconv.Atoi(d.Zone)
			if err != nil || at <= last || kept == 1 && at != 0 { // the first may be with the sink
				r.Fatalf("%s after %d", d.Zone, last)
			}
			last = at
		}
		if kept+int(lost) != len(severe) || last != len(severe)-1 {
			r.Fatalf("%d kept and %d told lost of %d", kept, lost, len(severe))
		}
		if keptAlarms < min(alarms, Size-2) {
			r.Fatalf("%d of %d alarms kept", keptAlarms, alarms)
		}
	})
}
