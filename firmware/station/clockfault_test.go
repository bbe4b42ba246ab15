package station

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"watchpost/drivers/bus"
	"watchpost/firmware/config"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/uplink/command"
	"watchpost/uplink/outbox"
	"watchpost/uplink/topic"
)

// clockFaults are how a wall clock goes wrong in the field.
func clockFaults() map[string]time.Duration {
	return map[string]time.Duration{"an hour on": time.Hour, "an hour back": -time.Hour, "1970": to1970(time.Now())}
}

const twoPanels = `
station: {id: cs-one, jurisdiction: changshan, name: 草坪村}
data: data
log: {reserve: 16MiB}
boards: [{id: main, backend: linesock, socket: board.sock}]
zones: [{id: door, board: main, line: door, rest: open}]
panels:
  listen: 127.0.0.1:0
  accounts: [{id: "1409", supervision: 1h}, {id: "1410", supervision: 1s}]
`

// Somebody sets the wall clock of a running station: every event is stored in its order, a panel that speaks is not lost,
// one that does not is.
func TestTheWallClockIsSet(t *testing.T) {
	for name, by := range clockFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var offset atomic.Int64
			s, hear := startWithClock(t, func() time.Time { return setClock(time.Now(), time.Duration(offset.Load())) })
			hear("1409")
			s.link(t, "1409", "up")
			s.line.levels <- true
			before := s.await(t, event.LaneAlarm, func(e event.Event) bool { return e.Zone == "door" })
			offset.Store(int64(by))
			hear("1410") // all links are looked at when one changes
			s.link(t, "1410", "up")
			s.link(t, "1410", "lost")
			s.line.levels <- false
			s.await(t, event.LaneMain, func(e event.Event) bool { return e.Zone == "door" && e.Seq > before.Seq })
			s.line.levels <- true
			after := s.await(t, event.LaneAlarm, func(e event.Event) bool { return e.Zone == "door" && e.Seq > before.Seq })
			if got := after.At.Sub(before.At); got < by || got > by+time.Minute || after.BootID != before.BootID {
				t.Errorf("the second alarm is %s after the first, the clock was set by %s", got, by)
			}
			within(t, "counted", func() bool { return s.jumps.Load() == 1 })
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			s.whole(t)
		})
	}
}

// startWithClock is a station with its log on disk, and a function that lets a panel say that it is there.
func startWithClock(t *testing.T, now func() time.Time) (*testStation, func(account string)) {
	t.Helper()
	dir := t.TempDir()
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), []byte(twoPanels))
	if err != nil {
		t.Fatal(err)
	}
	s := &testStation{dir: dir, line: switchboard{make(chan bool)}, panel: make(chan string, 4)}
	s.Station, err = New(Options{
		Config: c, Log: slog.New(slog.DiscardHandler), Now: now, NoDoor: true,
		Edition: Edition{Buses: Buses{Lines: map[string]func(config.Board, *slog.Logger) (bus.Lines, error){"linesock": func(config.Board, *slog.Logger) (bus.Lines, error) { return s.line, nil }}}},
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
	t.Cleanup(func() { _ = s.stop() })
	conn, err := net.Dial("tcp", <-s.panel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return s, func(account string) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		text := fmt.Sprintf("\"NULL\"0000L0#%s[]", account)
		if _, err := fmt.Fprintf(conn, "\n%04X%04X%s\r", crcARC(text), len(text), text); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 128)
		n, err := conn.Read(answer)
		if err != nil || !bytes.Contains(answer[:n], []byte(`"ACK"`)) {
			t.Fatalf("%s: %q, %v", account, answer[:n], err)
		}
	}
}

// crcARC is the CRC of a DC-09 frame (SIA DC-09, 5.5.1.4).
func crcARC(text string) uint16 {
	var crc uint16
	for _, b := range []byte(text) {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

// link waits for a panel's link to be told so.
func (s *testStation) link(t *testing.T, account, state string) {
	t.Helper()
	s.await(t, event.LaneMain, func(e event.Event) bool {
		who, _ := e.Body.Text(event.TagAccount)
		got, _ := e.Body.Text(event.TagState)
		return e.Kind == event.KindPanelLink && who == account && got == state
	})
}

// whole opens the log of a stopped station: all seqs are there, in their order, and the panel that could speak was not lost.
func (s *testStation) whole(t *testing.T) {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: s.config.Data, Station: "cs-one", ReserveBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	seen := uint64(0)
	for _, lane := range event.Lanes() {
		all, err := log.Read(lane, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range all {
			if seen++; i > 0 && e.Seq <= all[i-1].Seq {
				t.Errorf("seq %d follows %d", e.Seq, all[i-1].Seq)
			}
			who, _ := e.Body.Text(event.TagAccount)
			if state, _ := e.Body.Text(event.TagState); who == "1409" && state == "lost" {
				t.Errorf("a panel within its time was told lost: %+v", e)
			}
		}
	}
	if seen != log.LastSeq() {
		t.Errorf("%d events, the last seq is %d", seen, log.LastSeq())
	}
}

// What waits for a receipt waits by the monotonic clock.
func TestTheWallClockIsSetUnderAnOutbox(t *testing.T) {
	for name, by := range clockFaults() {
		now := time.Now()
		core := outbox.NewCore(outbox.Settings{}, event.Epoch{1}, nil)
		core.LinkUp(now)
		e := event.Draft{At: now, Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Source: "line/door", Severity: event.SeverityAlarm}.Event("cs-one", event.Epoch{1}, 1)
		core.Offer(event.LaneAlarm, 0, []outbox.Item{{Event: e, Size: 50}}, 10)
		for lane, after, n, ok := core.Want(); ok; lane, after, n, ok = core.Want() {
			core.Offer(lane, after, nil, n)
		}
		sent, ok := core.Next(now)
		if !ok {
			t.Fatalf("%s: nothing is sent", name)
		}
		core.Acked(now, sent.ID)
		later := setClock(now.Add(time.Second), by)
		if core.Tick(later); len(core.TakeReports()) > 0 {
			t.Errorf("%s: a stall after one second", name)
		}
		if err := core.Receipt(later, topic.Receipt{Station: "cs-one", Epoch: event.Epoch{1}, Lane: event.LaneAlarm, Upto: 1}); err != nil {
			t.Errorf("%s: the receipt: %v", name, err)
		}
	}
}

// A command expires by the centre's clock carried on, wherever the station's own goes. The kernel takes a clock that was
// set for one that nobody disciplines.
func TestTheWallClockIsSetUnderACommand(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	address := topic.Address{Jurisdiction: "changshan", Station: "cs-one"}
	for name, by := range clockFaults() {
		verifier, err := command.NewVerifier(address, public)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		sign := func(id string, at time.Time) []byte {
			payload, err := command.Sign(private, address, topic.Command{
				ID: id, Now: at.Round(0).UTC(), Expires: at.Add(time.Minute).Round(0).UTC(), Kind: topic.CommandReceipt, Body: []byte(`{}`),
			})
			if err != nil {
				t.Fatal(err)
			}
			return payload
		}
		early := sign("c1", now)
		if _, err := verifier.Verify(early, now, true); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after time.Duration
			want  string
		}{{30 * time.Second, ""}, {90 * time.Second, "expired"}} {
			after, want := step.after, step.want
			_, err := verifier.Verify(early, setClock(now.Add(after), by), false)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("clock set to %s, %s later: %v, want %q", name, after, err, want)
			}
		}
		if _, err := verifier.Verify(sign("c2", now.Add(100*time.Second)), setClock(now.Add(100*time.Second), by), false); err != nil {
			t.Errorf("clock set to %s: a fresh command: %v", name, err)
		}
	}
}
