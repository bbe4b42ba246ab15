package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"watchpost/drivers/bus"
	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const twoInputs = `
station: {id: %s, jurisdiction: changshan, name: 草坪村}
data: data
log: {reserve: 16MiB}
boards: [{id: main, backend: linesock, socket: board.sock}]
zones: [{id: door, board: main, line: door, rest: open}]
panels:
  listen: 127.0.0.1:0
  accounts: [{id: "1409", name: 小学, supervision: 90s}]
`

// switchboard is a bus.Lines whose one line the test moves.
type switchboard struct{ levels chan bool }

func (s switchboard) Watch(ctx context.Context, lines []bus.LineConfig, edges chan<- bus.Edge) error {
	e := bus.Edge{Line: lines[0].Line, Quality: bus.Present}
	for {
		select {
		case edges <- e:
		case <-ctx.Done():
			return nil
		}
		select {
		case level := <-s.levels:
			e.Quality, e.Level, e.KernelNS = bus.Changed, level, 1234567
			e.Seq, e.LineSeq = e.Seq+1, e.LineSeq+1
		case <-ctx.Done():
			return nil
		}
	}
}

func (s switchboard) Read(context.Context, string) (bool, error) {
	return false, errors.New("not asked")
}
func (s switchboard) Set(context.Context, string, bool) error { return errors.New("not asked") }

// testStation is a station that runs until the test stops it.
type testStation struct {
	*Station
	dir   string
	line  switchboard
	panel chan string // the receiver's TCP address
	stop  func() error
}

func startStation(t *testing.T, id string) *testStation {
	t.Helper()
	dir := t.TempDir()
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), fmt.Appendf(nil, twoInputs, id))
	if err != nil {
		t.Fatal(err)
	}
	s := &testStation{dir: dir, line: switchboard{make(chan bool)}, panel: make(chan string, 4)}
	s.Station, err = New(Options{
		Config: c, Log: slog.New(slog.DiscardHandler),
		Edition: Edition{Version: "v-test", Buses: Buses{Lines: map[string]func(config.Board, *slog.Logger) (bus.Lines, error){"linesock": func(config.Board, *slog.Logger) (bus.Lines, error) { return s.line, nil }}}},
		Listening: func(a net.Addr) {
			if a.Network() == "tcp" {
				s.panel <- a.String()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	var result error
	wg.Go(func() { result = s.Run(ctx) })
	s.stop = sync.OnceValue(func() error { cancel(); wg.Wait(); return result })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// await reads a lane until an event fits.
func (s *testStation) await(t *testing.T, lane event.Lane, fits func(event.Event) bool) event.Event {
	t.Helper()
	return awaitIn(t, s.events, lane, fits)
}

func TestAnEdgeBecomesAnEvent(t *testing.T) {
	s := startStation(t, "cs-one")
	s.line.levels <- true
	e := s.await(t, event.LaneAlarm, func(e event.Event) bool { return e.Zone == "door" })
	if state, _ := e.Body.Text(event.TagState); state != "active" || e.KernelNS != 1234567 || e.Source != "line/door" {
		t.Errorf("event %+v", e)
	}
	if e.BootID == 0 || e.ClockQuality == event.ClockUnknown || time.Since(e.At) > time.Minute {
		t.Errorf("not stamped: %+v", e)
	}
}

// nullFrame is a plain supervision frame of account 1409, from a public capture (home-assistant/core#180511).
const nullFrame = "\nEA740027\"NULL\"0000L0#1409[]_20:38:07,08-27-2026\r"

func TestTwoStationsShareNothing(t *testing.T) {
	one, two := startStation(t, "cs-one"), startStation(t, "cs-two")
	conn, err := net.Dial("tcp", <-one.panel)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, nullFrame); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err != nil || !strings.Contains(string(answer[:n]), `"ACK"0000L0#1409[]`) {
		t.Fatalf("%q, %v", answer[:n], err)
	}
	if one.events.Epoch() == two.events.Epoch() {
		t.Error("two logs in one epoch")
	}
	one.await(t, event.LaneMain, func(e event.Event) bool { return e.Kind == event.KindPanelLink })
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for begin := time.Now(); one.door(t).Drivers[1].Readings[0].State != "up"; <-again.C {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the panel of the first station does not come up")
		}
	}
	if got := two.door(t).Drivers[1].Readings[0].State; got != "unknown" {
		t.Errorf("panel of the second station is %s, want unknown", got)
	}
}

// door asks the station's local door.
func (s *testStation) door(t *testing.T) status.Status {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "data", status.Socket))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := client.Get("http://station" + status.Path)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for begin := time.Now(); err != nil && time.Since(begin) < 10*time.Second; {
		<-again.C // the door opens a moment after the station starts
		r, err = client.Get("http://station" + status.Path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var st status.Status
	if err := json.NewDecoder(r.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestLocalDoorIsForItsOwner(t *testing.T) {
	s := startStation(t, "cs-one")
	s.await(t, event.LaneMain, func(e event.Event) bool { return e.Kind == event.KindStationStarted })
	st := s.door(t)
	if st.Station != "cs-one" || st.Version != "v-test" || st.Log.Heads["main"] < 2 || st.Drivers[0].Readings[0].Name != "door" {
		t.Errorf("status %+v", st)
	}
	info, err := os.Stat(filepath.Join(s.dir, "data", status.Socket))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("door: %v, %v", info, err)
	}
}

func TestStartAndStopAreEvents(t *testing.T) {
	s := startStation(t, "cs-one")
	s.await(t, event.LaneMain, func(e event.Event) bool { return e.Kind == event.KindStationStarted })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(s.dir, "data"), Station: "cs-one", ReserveBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	all, err := log.Read(event.LaneMain, 0, 100)
	if err != nil || all[len(all)-1].Kind != event.KindStationStopped {
		t.Errorf("last event %v, %v", all[len(all)-1], err)
	}
}

func TestSecondAgentOnOneDataDirectory(t *testing.T) {
	s := startStation(t, "cs-one")
	_, err := New(Options{Config: s.config, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, eventlog.ErrLocked) {
		t.Errorf("second agent: %v, want ErrLocked", err)
	}
}

// The configuration's key is the log's. Without it, or with another, the agent says what to do and ends; nothing is changed
// however often it is started.
func TestTheLogIsEncrypted(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("right", strings.Repeat("0123456789abcdef", 4))
	write("wrong", strings.Repeat("fedcba9876543210", 4))
	with := func(key string) string {
		return write("station.yaml", fmt.Sprintf(centreAlone, "cs-one")+"data: data\nlog: {reserve: 16MiB"+key+"}\n")
	}
	epoch := func() event.Epoch {
		t.Helper()
		c, err := config.Load(with(", key_file: right"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.events.Close() }()
		return s.events.Epoch()
	}
	before := epoch()
	for _, c := range []struct {
		key, says string
		code      int
	}{
		{", key_file: wrong", "log.key_file " + filepath.Join(dir, "wrong") + ": opening the event log: " + eventlog.ErrKey.Error(), exitFailed},
		{"", "log.key_file is not set: opening the event log: " + eventlog.ErrKey.Error(), exitFailed},
		{", key_file: missing", "put the log's own key back", exitUsage},
	} {
		path := with(c.key)
		for range 4 {
			var says strings.Builder
			if code := Main(t.Context(), []string{"-config", path}, io.Discard, &says, Edition{}); code != c.code || !strings.Contains(says.String(), c.says) {
				t.Fatalf("%q: exit code %d, want %d, and %q; it said %s", c.key, code, c.code, c.says, says.String())
			}
		}
	}
	if after := epoch(); after != before {
		t.Errorf("epoch %s, then %s", before, after)
	}
}
