package station

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
	"watchpost/uplink/outbox"
)

func stalled(lane event.Lane, count int) outbox.Report {
	return outbox.Report{Kind: outbox.ReportStalled, Lane: lane, From: 3, Upto: 9, Count: count, Text: "check the broker's permissions"}
}

func resumed(lane event.Lane) outbox.Report {
	return outbox.Report{Kind: outbox.ReportResumed, Lane: lane, Upto: 12, Count: 4}
}

// told takes all that is due and names it.
func (s *stalls) tell(now time.Time) (list []string) {
	for {
		d, lane, _ := s.due(now, "changshan")
		if lane == 0 {
			return list
		}
		list = append(list, lane.String()+" "+d.Qualifier.String())
		s.told(lane, d.Qualifier)
	}
}

func TestAStallIsOneFact(t *testing.T) {
	var s stalls
	now := time.Now()
	want := func(what string, words ...string) {
		t.Helper()
		if got := s.tell(now); !slices.Equal(got, words) {
			t.Errorf("%s: told %q, want %q", what, got, words)
		}
	}
	want("nothing happened")
	s.take(now, outbox.Report{Kind: outbox.ReportRefused, Lane: event.LaneMain})
	s.take(now, resumed(event.LaneMain))
	s.take(now, stalled(event.Lane(9), 1))
	want("nothing stalled")
	s.take(now, stalled(event.LaneMain, 1))
	s.take(now, outbox.Report{Kind: outbox.ReportRefusedByBroker, Lane: event.LaneAlarm, Text: "too large"})
	want("two lanes", "alarm new", "main new")
	for n := 2; n <= 64; n *= 2 {
		s.take(now, stalled(event.LaneMain, n))
	}
	want("the outbox repeats itself")
	s.take(now, resumed(event.LaneMain))
	want("just resumed")
	now = now.Add(stallCalm - time.Second)
	want("not long enough")
	if _, _, wait := s.due(now, "changshan"); wait != time.Second {
		t.Errorf("looks again in %s, want 1s", wait)
	}
	s.take(now, stalled(event.LaneMain, 1)) // comes and goes
	now = now.Add(time.Hour)
	want("stalled again meanwhile")
	s.take(now, resumed(event.LaneMain))
	now = now.Add(stallCalm)
	d, lane, _ := s.due(now, "changshan")
	if upto, _ := d.Body.Uint(event.TagUpto); lane != event.LaneMain || upto != 12 || d.Severity != event.SeverityNotice {
		t.Errorf("the end of it: %+v", d)
	}
	s.take(now, stalled(event.LaneMain, 1)) // while the log was at work
	s.told(lane, event.QualifierRestore)
	want("stalled again in that moment", "main new")
	if s.count != 10 {
		t.Errorf("%d stalls counted", s.count)
	}
}

// The event of a stalled lane may be the next in that lane. It is written once, and the log is tried again if it refuses.
func TestStallsBecomeEvents(t *testing.T) {
	s := idleStation(t)
	log := storagetest.NewMemLog("cs-one")
	x := s.centres[0]
	x.in = &intake{clock: s.clock, log: log}
	x.report(stalled(event.LaneMain, 1))
	log.Refuse(eventlog.ErrFull)
	if wait := x.tellStalls(t.Context()); wait != stallRetry {
		t.Errorf("a full log is tried again in %s", wait)
	}
	log.Refuse(nil)
	for range 3 {
		x.tellStalls(t.Context())
		x.report(stalled(event.LaneMain, 2))
	}
	var told []event.Event
	all, err := log.Read(event.LaneMain, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == event.KindCentreStalled {
			told = append(told, e)
		}
	}
	if len(told) != 1 {
		t.Fatalf("%d events: %+v", len(told), told)
	}
	e := told[0]
	centre, _ := e.Body.Text(event.TagCentre)
	lane, _ := e.Body.Uint(event.TagLane)
	from, _ := e.Body.Uint(event.TagFrom)
	detail, _ := e.Body.Text(event.TagDetail)
	if e.Qualifier != event.QualifierNew || e.Severity != event.SeverityWarning || centre != "changshan" || lane != uint64(event.LaneMain) || from != 3 || detail == "" {
		t.Errorf("event %+v", e)
	}
	if c := s.status().Centres[0]; c.Gauges["link_stalls_count"] != 4 {
		t.Errorf("gauges %v", c.Gauges)
	}
}

func TestAChangedFilterIsAnEvent(t *testing.T) {
	dir := t.TempDir()
	log := storagetest.NewMemLog("cs-one")
	run := func(lanes ...string) (told []string) {
		t.Helper()
		memo, err := openMemo(dir)
		if err != nil {
			t.Fatal(err)
		}
		c := &config.Config{}
		if len(lanes) > 0 {
			c.Centres = []config.Centre{{ID: "changshan", Lanes: lanes}}
		}
		s := &Station{config: c, log: slog.New(slog.DiscardHandler), memo: memo, in: &intake{clock: clock{time.Now, clockQuality, 1}, log: log}}
		before := log.Head(event.LaneMain)
		s.tellFilters(t.Context())
		all, err := log.Read(event.LaneMain, before, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			text, _ := e.Body.Text(event.TagText)
			told = append(told, e.Kind.String()+" "+e.Qualifier.String()+" "+text)
		}
		return told
	}
	want := func(got []string, words ...string) {
		t.Helper()
		if !slices.Equal(got, words) {
			t.Errorf("told %q, want %q", got, words)
		}
	}
	want(run("alarm", "main"), "centre.filter new alarm main")
	want(run("alarm", "main"))
	want(run("main", "alarm"))
	want(run("alarm"), "centre.filter status alarm")
	log.Refuse(eventlog.ErrFull)
	want(run("alarm", "read"))
	log.Refuse(nil)
	want(run("alarm", "read"), "centre.filter status alarm read")
	want(run(), "centre.filter restore none: the centre is not in the configuration any more")
	want(run())
	want(run("alarm"), "centre.filter new alarm")
}

func TestAMemoThatCannotBeReadIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, memoName)
	for _, content := range []string{"", "{", `{"v":2}`, `{"v":1,"filters":3}`, strings.Repeat(" ", maxMemo) + `{"v":1}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := openMemo(dir)
		if err == nil || m == nil || m.read().Filters != nil {
			t.Errorf("%.20q: %+v, %v", content, m, err)
			continue
		}
		if err := m.change(func(m *memory) { m.Test.OK = true }); err != nil {
			t.Fatal(err)
		}
		if m, err := openMemo(dir); err != nil || !m.read().Test.OK {
			t.Errorf("written anew: %+v, %v", m, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	m, err := openMemo("")
	if err != nil || m.change(func(m *memory) { m.Test.OK = true }) != nil || !m.read().Test.OK {
		t.Errorf("without a disk: %+v, %v", m, err)
	}
}

// Every number that a station tells is in the table, with its unit, and the table promises nothing else.
func TestGaugesAreInTheTable(t *testing.T) {
	s := idleStation(t)
	known := map[string]bool{}
	units := []string{"_s", "_ms", "_bytes", "_count", "_c", "_ok", "_synced", "load1"}
	for _, g := range append(status.Gauges(), status.CentreGauges()...) {
		if known[g.Name] || g.Says == "" || !slices.ContainsFunc(units, func(u string) bool { return strings.HasSuffix(g.Name, u) }) {
			t.Errorf("gauge %+v: twice, without a word, or without a unit", g)
		}
		known[g.Name] = true
	}
	st := s.present(s.centres[0])
	for name := range st.Gauges {
		if !known[name] {
			t.Errorf("gauge %s is in no table", name)
		}
	}
	if len(st.Gauges) < 30 {
		t.Errorf("%d gauges: %v", len(st.Gauges), st.Gauges)
	}
	for name, least := range map[string]float64{
		"rss_bytes": 1 << 20, "heap_bytes": 1 << 16, "goroutines_count": 2, "cpu_ms": 1, "memory_available_bytes": 1 << 20,
		"disk_free_bytes": 1, "log_main_count": 1, "log_main_bytes": 1, "backlog_main_count": 1,
		"zones_trouble_count": 1, "panels_trouble_count": 2, "cameras_trouble_count": 1,
	} {
		if v, ok := st.Gauges[name]; !ok || v < least {
			t.Errorf("%s is %v, want at least %v", name, v, least)
		}
	}
	for _, name := range []string{"link_rtt_ms", "last_test_ok", "log_alarm_oldest_s", "backlog_trace_count"} {
		if v, ok := st.Gauges[name]; ok {
			t.Errorf("%s is told as %v although there is none", name, v)
		}
	}
	door := s.status()
	if door.Gauges["rss_bytes"] == 0 || door.Centres[0].Gauges["backlog_main_count"] == 0 {
		t.Errorf("the local door says %v and %v", door.Gauges, door.Centres[0].Gauges)
	}
	if st.Heartbeat != 30 || st.Carrier != "" {
		t.Errorf("heartbeat %d, carrier %q", st.Heartbeat, st.Carrier)
	}
}

// One number that is none costs itself, not the whole state.
func TestAGaugeThatIsNoNumberIsLeftOut(t *testing.T) {
	g := map[string]float64{"nan": math.NaN(), "inf": math.Inf(-1), "huge": math.MaxFloat64, "good": 1.005}
	round(g)
	if b, err := json.Marshal(g); err != nil || string(b) != `{"good":1}` {
		t.Errorf("%s: %v", b, err)
	}
}

// A run that was killed while it opened the local door leaves a socket that nobody listens on; the next one has its door.
func TestTheDoorOpensAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), status.Socket)
	for _, name := range []string{path, path + ".new"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		done <- (door{path, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() })}).run(ctx)
	})
	defer wg.Wait()
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	for ctx.Err() == nil {
		select {
		case err := <-done:
			t.Fatalf("no door: %v", err)
		default:
			if r, err := client.Get("http://station" + status.Path); err == nil {
				_ = r.Body.Close()
			}
		}
	}
}

func BenchmarkPresent(b *testing.B) {
	log := storagetest.NewMemLog("cs-one")
	c, err := config.Parse("station.yaml", []byte(strings.ReplaceAll(centreAlone, "%s", "cs-one")))
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler), Events: log, NoDoor: true})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.present(s.centres[0])
	}
}
