package contact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	"watchpost/drivers/zone"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errFull = errors.New("the log is full")

const (
	qNew    = event.QualifierNew
	alarm   = event.SeverityAlarm
	warning = event.SeverityWarning
)

// quiet is how long a chattering zone keeps still before it is believed again.
const quiet = 10 * time.Second

// store is a Sink that can refuse, and be slow for one zone.
type store struct {
	mu     sync.Mutex // guards the fields below
	drafts []event.Draft
	keys   map[string]bool
	fails  int    // the next calls fail
	calls  int    // in all
	stuck  string // a zone whose calls wait for ctx
}

func (s *store) sink(ctx context.Context, d event.Draft) error {
	s.mu.Lock()
	stuck := s.stuck == d.Zone
	s.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fails > 0 {
		s.fails--
		return errFull
	}
	if key := d.Source + " " + d.Once; d.Once != "" {
		if s.keys[key] {
			return nil // as the log does
		}
		if s.keys == nil {
			s.keys = map[string]bool{}
		}
		s.keys[key] = true
	}
	s.drafts = append(s.drafts, d)
	return nil
}

// told is "zone previous>state severity" of each event.
func (s *store) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for _, d := range s.drafts {
		state, _ := d.Body.Text(event.TagState)
		previous, _ := d.Body.Text(event.TagPrevious)
		list = append(list, fmt.Sprintf("%s %s>%s %s", d.Zone, previous, state, d.Severity))
	}
	return list
}

func (s *store) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	if got := strings.Join(s.told(), "\n"); got != strings.Join(lines, "\n") {
		t.Fatalf("told\n%s\nwant\n%s", got, strings.Join(lines, "\n"))
	}
}

func contacts() []Config {
	return []Config{
		{Zone: "front-door", Line: "door", NormallyClosed: true, Severity: warning},
		{Zone: "hold-up", Line: "panic", Severity: alarm},
	}
}

// run starts a driver over the box; the function it gives stops it.
func run(t *testing.T, box bus.Lines, s *store) (*Driver, func()) {
	t.Helper()
	d, err := New(Options{Lines: box, Contacts: contacts(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return d.Run(ctx, s.sink) })
	return d, func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, s := bustest.NewBox("door", "panic"), &store{}
		box.Drive("door", true)
		d, stop := run(t, box, s)
		defer stop()
		synctest.Wait()
		if got := s.told(); len(got) != 2 || got[0] == got[1] || !strings.HasSuffix(got[0], " unknown>normal notice") || !strings.HasSuffix(got[1], " unknown>normal notice") {
			t.Fatalf("first words %q", got)
		}
		box.Drive("panic", true)
		s.want(t, append(s.told(), "hold-up normal>active alarm")...)
		last := s.drafts[2]
		if seq, _ := last.Body.Uint(event.TagLineSeq); seq == 0 || last.KernelNS <= 0 || last.Kind != event.KindZoneChanged || last.Source != "line/hold-up" || last.Qualifier != qNew || last.Once == "" {
			t.Errorf("draft %+v", last)
		}
		if line, _ := last.Body.Text(event.TagLine); line != "panic" {
			t.Errorf("line %q", line)
		}
		box.Drive("door", false)
		s.want(t, append(s.told(), "front-door normal>active warning")...)
		before := len(s.told())
		box.Cut("cable pulled")
		synctest.Wait()
		for _, r := range d.Snapshot() {
			if r.State != "missing" {
				t.Errorf("over a dead wire %+v", r)
			}
		}
		if n := len(s.told()); n != before+2 {
			t.Errorf("%d events for two zones of a dead wire", n-before)
		}
		box.Mend()
		synctest.Wait()
		if r := d.Snapshot(); r[0].State != "active" || r[1].State != "active" || r[0].Name != "front-door" {
			t.Errorf("mended: %+v", r)
		}
	})
}

// TestRestart stops the driver while a zone is active, and starts another over the same box and log.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, s := bustest.NewBox("door", "panic"), &store{}
		box.Drive("door", true)
		_, stop := run(t, box, s)
		box.Drive("panic", true)
		synctest.Wait()
		stop()
		before := s.told()
		d, stop := run(t, box, s)
		synctest.Wait()
		if r := d.Snapshot(); r[1].State != "active" {
			t.Errorf("after the restart %+v", r)
		}
		stop()
		if got := s.told()[len(before):]; len(got) != 1 || got[0] != "front-door unknown>normal notice" {
			t.Errorf("told again: %q", got)
		}
		box.Drive("panic", false)
		box.Drive("panic", true) // while nobody watches
		_, stop = run(t, box, s)
		synctest.Wait()
		stop()
		if got := s.told(); got[len(got)-1] != "hold-up unknown>active alarm" && got[len(got)-2] != "hold-up unknown>active alarm" {
			t.Errorf("a new alarm was taken for the old one: %q", got)
		}
	})
}

// TestSinkFails holds that nothing is lost and the order is kept while the log refuses, and that tries are spaced.
func TestSinkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, s := bustest.NewBox("door", "panic"), &store{}
		d, stop := run(t, box, s)
		defer stop()
		synctest.Wait()
		s.mu.Lock()
		s.fails, s.drafts, s.calls = 9, nil, 0
		s.mu.Unlock()
		for _, level := range []bool{true, false, true} {
			box.Drive("panic", level)
		}
		synctest.Wait()
		if r := d.Snapshot(); r[1].State != "active" || !strings.Contains(r[1].Text, "3 changes not stored yet") {
			t.Errorf("snapshot %+v", r[1])
		}
		<-time.After(time.Minute)
		s.want(t, "hold-up normal>active alarm", "hold-up active>normal notice", "hold-up normal>active alarm")
		if s.calls != 12 {
			t.Errorf("%d calls for 9 failures and 3 events", s.calls)
		}
	})
}

// TestStuckZone holds that a sink that hangs for one zone holds up no other.
func TestStuckZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, s := bustest.NewBox("door", "panic"), &store{stuck: "front-door"}
		box.Drive("door", true)
		_, stop := run(t, box, s)
		defer stop()
		box.Drive("door", false)
		box.Drive("panic", true)
		synctest.Wait()
		if got := s.told(); len(got) == 0 || got[len(got)-1] != "hold-up normal>active alarm" && got[len(got)-1] != "hold-up unknown>active alarm" {
			t.Errorf("told %q", got)
		}
	})
}

// TestStorm holds that 1,000 edges on one line are one chatter and lose no edge of another.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, s := bustest.NewBox("door", "panic"), &store{}
		box.Drive("door", true)
		d, stop := run(t, box, s)
		defer stop()
		synctest.Wait()
		for i := range 1000 {
			box.Drive("door", i%2 == 1)
			if i%100 == 0 {
				box.Drive("panic", i%200 == 0)
				<-time.After(1500 * time.Millisecond)
			}
		}
		synctest.Wait()
		holdUp, chatter := 0, 0
		for _, line := range s.told() {
			if strings.HasPrefix(line, "hold-up normal>active") {
				holdUp++
			}
			if strings.HasSuffix(line, ">fault warning") {
				chatter++
			}
		}
		if holdUp != 5 || chatter != 1 {
			t.Errorf("%d hold-ups, %d chatters", holdUp, chatter)
		}
		<-time.After(quiet)
		synctest.Wait()
		if got := s.told(); got[len(got)-1] != "front-door fault>normal notice" {
			t.Errorf("after quiet: %q", got[len(got)-1])
		}
		if r := d.Snapshot(); r[0].State != "normal" {
			t.Errorf("%+v", r[0])
		}
	})
}

func TestWrongOptions(t *testing.T) {
	box := bustest.NewBox()
	for name, c := range map[string][]Config{
		"no zone":        {{Line: "a", Severity: alarm}},
		"long zone":      {{Zone: strings.Repeat("z", 92), Line: "a", Severity: alarm}},
		"wrong line":     {{Zone: "a", Line: "A", Severity: alarm}},
		"same zone":      {{Zone: "a", Line: "a", Severity: alarm}, {Zone: "a", Line: "b", Severity: alarm}},
		"same line":      {{Zone: "a", Line: "a", Severity: alarm}, {Zone: "b", Line: "a", Severity: alarm}},
		"trace":          {{Zone: "a", Line: "a", Severity: event.SeverityTrace}},
		"no severity":    {{Zone: "a", Line: "a"}},
		"below no bound": {{Zone: "a", Line: "a", Severity: alarm, Debounce: -1}},
	} {
		if _, err := New(Options{Lines: box, Contacts: c}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no bus: no error")
	}
	d, err := New(Options{Lines: box, Contacts: contacts()})
	if err != nil || d.String() != "contacts (2)" {
		t.Errorf("%v, %v", d, err)
	}
	for _, r := range d.Snapshot() {
		if r.State != "unknown" {
			t.Errorf("before Run %+v", r)
		}
	}
}

// deafBus cannot be asked at all.
type deafBus struct{ bus.Lines }

func (deafBus) Watch(context.Context, []bus.LineConfig, chan<- bus.Edge) error {
	return errors.New("no such bus")
}

// TestRunReturns the one error that no waiting mends.
func TestRunReturns(t *testing.T) {
	d, err := New(Options{Lines: deafBus{}, Contacts: contacts()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context(), (&store{}).sink); err == nil || !strings.Contains(err.Error(), "no such bus") {
		t.Errorf("Run = %v", err)
	}
}

// TestWord holds what a word of the wire says of a zone, for both senses of a contact.
func TestWord(t *testing.T) {
	edge := bus.Edge{Line: "door", Quality: bus.Changed, Level: true, KernelNS: 9, Seq: 7, LineSeq: 4, Lost: 2}
	want := zone.Word{State: zone.Active, Changed: true, KernelNS: 9, LineSeq: 4, Lost: 2}
	if w := (Config{}).word(edge); w != want {
		t.Errorf("high: %+v", w)
	}
	edge.Quality, want.Changed, want.State = bus.Present, false, zone.Normal
	if w := (Config{NormallyClosed: true}).word(edge); w != want {
		t.Errorf("high, normally closed: %+v", w)
	}
	edge.Level, want.State = false, zone.Active
	if w := (Config{NormallyClosed: true}).word(edge); w != want {
		t.Errorf("low, normally closed: %+v", w)
	}
	want = zone.Word{State: zone.Missing, Reason: "wire", Detail: "cut"}
	if w := (Config{}).word(bus.Edge{Line: "door", Level: true, Reason: "cut"}); w != want {
		t.Errorf("dead: %+v", w)
	}
}
