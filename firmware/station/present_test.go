package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/firmware/config"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/uplink/mqtt"
	"watchpost/uplink/outbox"
	"watchpost/uplink/topic"
)

const oneOfEach = `
station: {id: cs-one, jurisdiction: changshan, name: 草坪村}
data: data
log: {reserve: 16MiB}
boards: [{id: main, backend: linesock, socket: nobody.sock}]
zones: [{id: door, name: 大门, board: main, line: door, camera: gate}]
panels: {listen: "127.0.0.1:0", accounts: [{id: abc1, name: 小学, supervision: 90s}, {id: "1409"}]}
cameras: [{id: gate, name: 村口, url: "rtsp://127.0.0.1:1/main"}]
centres:
  - {id: changshan, broker: "tls://127.0.0.1:1", ca: ca.pem, certificate: own.pem, key: own.key, command_key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=, lanes: [alarm, main]}
`

// idleStation is a station with one of each that does not run.
func idleStation(t *testing.T) *Station {
	t.Helper()
	c, err := config.Parse(filepath.Join(t.TempDir(), "station.yaml"), []byte(oneOfEach))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler), Edition: Edition{Version: "v-test"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.events.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Before anything was heard a centre is told of every input by its name, and of none that it is well.
func TestThePresentOfAStationThatHasHeardNothing(t *testing.T) {
	s := idleStation(t)
	st := s.present(s.centres[0])
	if len(st.Zones) != 1 || len(st.Panels) != 2 || len(st.Cameras) != 1 {
		t.Fatalf("present %+v", st)
	}
	states := []string{st.Zones[0].State, st.Panels[0].State, st.Panels[1].State, st.Cameras[0].State}
	for i, state := range states {
		if state != "unknown" {
			t.Errorf("input %d is %s, want unknown", i, state)
		}
	}
	if st.Zones[0].Camera != "gate" || st.Panels[0].Account != "ABC1" || st.Cameras[0].Name != "村口" || st.Name != "草坪村" || st.Epoch != s.events.Epoch() {
		t.Errorf("present %+v", st)
	}
	if _, told := st.Stored[event.LaneTrace]; told || len(st.Stored) != 2 {
		t.Errorf("receipts of lanes that this centre is not sent: %v", st.Stored)
	}
	if b, err := json.Marshal(st); err != nil || len(b) > topic.MaxPayload {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if got := orUnknown(""); got != "unknown" {
		t.Errorf("a state that nobody told is %q", got)
	}
}

// The local door says the same, and why a centre is not there.
func TestTheDoorOfAStationThatHasHeardNothing(t *testing.T) {
	s := idleStation(t)
	st := s.status()
	names := []string{}
	for _, d := range st.Drivers {
		for _, r := range d.Readings {
			names = append(names, r.Name+" "+r.State)
		}
	}
	if got, want := strings.Join(names, ", "), "door unknown, dc09/ABC1 unknown, dc09/1409 unknown, dc09 missing, gate unknown"; got != want {
		t.Errorf("readings %s, want %s", got, want)
	}
	x := s.centres[0]
	if c := st.Centres[0]; c.Online || c.Reason != "not connected yet" || c.Receipts["main"] != 0 {
		t.Errorf("centre %+v", c)
	}
	x.changed(mqtt.Change{Up: true})
	if c := s.status().Centres[0]; !c.Online || c.Reason != "" {
		t.Errorf("centre %+v", c)
	}
	x.changed(mqtt.Change{Fault: mqtt.FaultAway, Err: errors.New("nobody there: check the broker")})
	if c := s.status().Centres[0]; c.Online || c.Reason != "nobody there: check the broker" {
		t.Errorf("centre %+v", c)
	}
}

// Each change of a link becomes an event; a log that is behind costs news, never the link.
func TestLinkChangesAreEvents(t *testing.T) {
	s := idleStation(t)
	x := s.centres[0]
	for range 2 * changesKept { // nobody takes them yet: this must not wait
		x.changed(mqtt.Change{Fault: mqtt.FaultSilent, Err: errors.New("silent"), After: time.Second})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := x.tellNews(ctx); err != nil {
			t.Error(err)
		}
	})
	told := func() (list []event.Event) {
		all, err := s.events.Read(event.LaneMain, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Kind == event.KindCentreLink {
				list = append(list, e)
			}
		}
		return list
	}
	await := func(n int) []event.Event {
		t.Helper()
		deadline := time.NewTimer(20 * time.Second)
		defer deadline.Stop()
		for {
			wake := s.events.Wake()
			if list := told(); len(list) >= n {
				return list
			}
			select {
			case <-wake:
			case <-deadline.C:
				t.Fatalf("%d events of the link, want %d", len(told()), n)
			}
		}
	}
	await(changesKept)
	x.changed(mqtt.Change{Up: true, After: time.Minute})
	list := await(changesKept + 1)
	cancel()
	wg.Wait()
	down, up := list[0], list[len(list)-1]
	reason, _ := down.Body.Text(event.TagReason)
	if down.Qualifier != event.QualifierNew || down.Severity != event.SeverityWarning || reason != "broker_silent" || down.Source != "centre/changshan" {
		t.Errorf("down: %+v", down)
	}
	if d, _ := up.Body.Uint(event.TagDuration); up.Qualifier != event.QualifierRestore || up.Severity != event.SeverityNotice || d != uint64(time.Minute) {
		t.Errorf("up: %+v", up)
	}
}

// What an outbox reports is said in the log with its words, and a recovery is no warning.
func TestReportsOfTheOutbox(t *testing.T) {
	s := idleStation(t)
	x := s.centres[0]
	var said strings.Builder
	x.log = slog.New(slog.NewTextHandler(&said, nil))
	x.report(outbox.Report{Kind: outbox.ReportStalled, Lane: event.LaneAlarm, From: 3, Upto: 9, Count: 2, Text: "check the broker's permissions"})
	x.report(outbox.Report{Kind: outbox.ReportResumed, Lane: event.LaneAlarm, Upto: 9})
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[0], "lane=alarm from=3 upto=9 count=2") ||
		!strings.Contains(lines[0], "check the broker's permissions") || !strings.Contains(lines[1], "level=INFO") {
		t.Errorf("said\n%s", said.String())
	}
}

// What cannot be wired is an error that names it, and leaves the data directory free for the next try.
func TestNewThatFailsLetsGo(t *testing.T) {
	c, err := config.Parse(filepath.Join(t.TempDir(), "station.yaml"), []byte(oneOfEach))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: c, Log: slog.New(slog.DiscardHandler)}
	for what, breaks := range map[string]func(*config.Config){
		"board main":       func(c *config.Config) { c.Boards[0].Socket = "" },
		"account ABC1":     func(c *config.Config) { c.Panels.Accounts[0].KeyHex = "00" },
		"camera gate":      func(c *config.Config) { c.Cameras[0].URL = "http://x" },
		"link to":          func(c *config.Config) { c.Centres[0].Broker = "tls://x" },
		"centre changshan": func(c *config.Config) { c.Centres[0].CommandKey = nil },
	} {
		broken, err := config.Parse(filepath.Join(filepath.Dir(c.Data), "station.yaml"), []byte(oneOfEach))
		if err != nil {
			t.Fatal(err)
		}
		breaks(broken)
		o.Config = broken
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	o.Config = c
	s, err := New(o)
	if err != nil {
		t.Fatal(fmt.Errorf("after the failures: %w", err))
	}
	if err := s.events.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.events.Append(t.Context(), event.Draft{}); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("%v", err)
	}
}
