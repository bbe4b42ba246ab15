package station

import (
	"bytes"
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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/sim/board"
	"watchpost/storage/event"
)

// guardedYAML is a station with one partition of three zones, and one zone beside it. More zones may follow.
const guardedYAML = `
station: {id: %s, jurisdiction: changshan, name: 草坪村}
data: data
log: {reserve: 16MiB}
boards: [{id: main, backend: linesock, socket: board.sock}]
outputs: [{id: siren, board: main, line: siren, role: siren}]
partitions: [{id: house, name: 警务室, exit: 0s, entry: 0s, settle: 0s, siren: 1m, outputs: [siren]}]
users:
  - {id: li, name: 李, code: "%s", duress: "%s", rights: [arm, disarm, bypass, engineer]}
  - {id: wu, name: 吴, code: "%s", rights: [arm]}
zones:
  - {id: hall, name: 大厅, board: main, line: hall, rest: open, partition: house}
  - {id: door, board: main, line: door, rest: open, partition: house, entry: true}
  - {id: smoke, board: main, line: smoke, rest: open, kind: fire, partition: house}
  - {id: shed, board: main, line: shed, rest: open}
`

// The codes of the users.
const (
	codeLi     = "1234"
	codeDuress = "4321"
	codeWu     = "5678"
)

func guardedConfig(t testing.TB, dir, id, more string) *config.Config {
	t.Helper()
	yaml := fmt.Sprintf(guardedYAML, id, hashed(codeLi), hashed(codeDuress), hashed(codeWu)) + more
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sirens remembers what was driven, and looks at the journal each time.
type sirens struct {
	journal string // the file; "" = it is not looked at
	fail    error  // of every Drive

	mu    sync.Mutex // guards the fields below
	told  []string
	wrong []string // journals that did not hold the cause
}

func (x *sirens) Drive(_ context.Context, id string, on bool, most time.Duration, cause string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if cause == "restart" {
		return x.fail
	}
	word := fmt.Sprintf("%s %v %s", id, on, cause)
	if on {
		word += " " + most.Round(time.Second).String()
	}
	x.told = append(x.told, word)
	if b, err := os.ReadFile(x.journal); x.journal != "" && (err != nil || on && !bytes.Contains(b, []byte(`"state":"alarm"`))) {
		x.wrong = append(x.wrong, fmt.Sprintf("%s: %s, %v", word, b, err))
	}
	return x.fail
}

func (x *sirens) list() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.told)
}

// guardedStation is a station with a partition that runs over an I/O box.
type guardedStation struct {
	*Station
	t      testing.TB
	dir    string
	box    *board.Board
	sirens *sirens
	stderr *lines
	stop   func()
}

// lines takes what a station logs.
type lines struct {
	mu   sync.Mutex // guards the field below
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// boxIn serves an I/O box in dir until the test ends.
func boxIn(t testing.TB, dir string) *board.Board {
	t.Helper()
	box, err := board.New("hall", "door", "smoke", "shed", "loop-in")
	if err = errors.Join(err, box.Outputs("siren", "loop-out"), box.Loop("loop-out", "loop-in")); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "board.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := box.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return box
}

// startGuarded runs a station until the test ends or stop is called. prepare, if not nil, changes it before it runs.
func startGuarded(t testing.TB, dir string, box *board.Board, more string, prepare func(*Options, *guardedStation)) *guardedStation {
	t.Helper()
	x := &guardedStation{t: t, dir: dir, box: box, sirens: &sirens{journal: filepath.Join(dir, "data", journalName)}, stderr: &lines{}}
	o := Options{Config: guardedConfig(t, dir, "cs-one", more), Log: slog.New(slog.NewTextHandler(x.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if prepare != nil {
		prepare(&o, x)
	}
	var err error
	if x.Station, err = New(o); err != nil {
		t.Fatal(err)
	}
	if x.sirens != nil { // else the box's own
		x.guard.driver = x.sirens
	}
	if o.Events != nil {
		if err := os.MkdirAll(o.Config.Data, 0o700); err != nil {
			t.Fatal(err)
		}
		x.guard.file.path = x.sirens.journal // a log in memory, and the journal on disk all the same
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := x.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	x.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(x.stop)
	x.await("every zone is heard", func() bool {
		zones := x.guard.view().Zones
		return len(zones) == 3 && !slices.ContainsFunc(zones, func(z arming.ZoneView) bool { return z.State == "unknown" })
	})
	return x
}

// ask sends a request to the local door.
func (x *guardedStation) ask(method, path, body string) (code int, answer string) {
	x.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(x.dir, "data", status.Socket))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	var r *http.Response
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for begin := time.Now(); ; <-again.C { // the door opens a moment after the station starts
		req, err := http.NewRequestWithContext(x.t.Context(), method, "http://station"+path, strings.NewReader(body))
		if err != nil {
			x.t.Fatal(err)
		}
		if r, err = client.Do(req); err == nil {
			break
		} else if time.Since(begin) > 20*time.Second {
			x.t.Fatal(err)
		}
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// wish has something done that must be done.
func (x *guardedStation) wish(path, body string) {
	x.t.Helper()
	if code, answer := x.ask("POST", path, body); code != http.StatusOK {
		x.t.Fatalf("%s %s: %d %s", path, body, code, answer)
	}
}

func (x *guardedStation) arm() {
	x.t.Helper()
	x.wish(status.PathArm, `{"partition": "house", "mode": "away", "code": "1234"}`)
}

func (x *guardedStation) disarm() {
	x.t.Helper()
	x.wish(status.PathDisarm, `{"partition": "house", "code": "1234"}`)
}

func (x *guardedStation) arming() (a status.Arming) {
	x.t.Helper()
	code, answer := x.ask("GET", status.PathArming, "")
	if err := json.Unmarshal([]byte(answer), &a); err != nil || code != http.StatusOK {
		x.t.Fatalf("%d %s: %v", code, answer, err)
	}
	return a
}

// state is that of the partition.
func (x *guardedStation) state() string {
	for _, p := range x.guard.view().Partitions {
		return string(p.State)
	}
	return ""
}

func (x *guardedStation) awaitState(want string) {
	x.t.Helper()
	x.await("the partition is "+want, func() bool { return x.state() == want })
}

// await waits until ok.
func (x *guardedStation) await(what string, ok func() bool) {
	x.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for begin := time.Now(); !ok(); <-again.C {
		if time.Since(begin) > 20*time.Second {
			x.t.Fatalf("not: %s; it is %+v\n%s", what, x.guard.view(), x.stderr)
		}
	}
}

// zones waits until zones are in the states that are named.
func (x *guardedStation) zones(want ...string) {
	x.t.Helper()
	for _, w := range want {
		id, state, _ := strings.Cut(w, " ")
		x.await(w, func() bool {
			return slices.ContainsFunc(x.guard.view().Zones, func(z arming.ZoneView) bool { return z.ID == id && z.State == state })
		})
	}
}

// set moves a line of the box.
func (x *guardedStation) set(line string, level bool) {
	x.t.Helper()
	if err := x.box.Set(line, level); err != nil {
		x.t.Fatal(err)
	}
}

// all are the events of a kind in a log, in order.
func all(t testing.TB, log EventLog, kind event.Kind) (list []event.Event) {
	t.Helper()
	for _, lane := range event.Lanes() {
		events, err := log.Read(lane, 0, 10000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind == kind {
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, func(a, b event.Event) int { return int(a.Seq) - int(b.Seq) })
	return list
}

func text(e event.Event, tag event.Tag) string {
	s, _ := e.Body.Text(tag)
	return s
}

func TestAnArmedZoneRaisesAnAlarm(t *testing.T) {
	dir := t.TempDir()
	x := startGuarded(t, dir, boxIn(t, dir), "", nil)
	x.set("hall", true) // nobody minds while it is disarmed
	x.zones("hall active")
	x.set("hall", false)
	x.zones("hall normal")
	x.arm()
	if a := x.arming(); a.Partitions[0].State != "armed_away" || a.Partitions[0].Name != "警务室" || len(a.Zones) != 3 || a.Zones[0].State != "normal" || a.Zones[0].Name != "大厅" {
		t.Errorf("the door says %+v", a)
	}
	x.set("hall", true)
	e := awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised })
	if seq, _ := e.Body.Uint(event.TagLineSeq); e.Zone != "hall" || e.KernelNS == 0 || e.BootID == 0 || seq != 3 || text(e, event.TagReason) != "intrusion" ||
		text(e, event.TagPartition) != "house" || text(e, event.TagCode) != "BA" || text(e, event.TagState) != "active" {
		t.Errorf("alarm %+v", e)
	}
	for _, c := range all(t, x.events, event.KindZoneChanged) {
		if c.Severity != event.SeverityNotice || c.Lane != event.LaneMain {
			t.Errorf("a zone's word is an alarm by itself: %+v", c)
		}
	}
	x.awaitState("alarm")
	x.disarm()
	if got := x.sirens.list(); !slices.Equal(got, []string{"siren true intrusion 1m0s", "siren false disarmed"}) || len(x.sirens.wrong) > 0 {
		t.Errorf("driven %q; without their cause on disk %q", got, x.sirens.wrong)
	}
	if p := x.arming().Partitions[0]; p.State != "alarm_memory" || len(p.Memory) != 1 || p.Memory[0].Zone != "hall" || p.Memory[0].Count != 1 {
		t.Errorf("the door says %+v", p)
	}
	x.wish(status.PathClear, `{"partition": "house", "code": "1234"}`)
	if p := x.arming().Partitions[0]; p.State != "disarmed" || len(p.Memory) != 0 {
		t.Errorf("the door says %+v", p)
	}
	x.set("shed", true) // a zone of no partition is an alarm by itself
	awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindZoneChanged && e.Zone == "shed" })
}

// Whatever a station was when it ended, it is after the next start; what was opened meanwhile is told, and nothing else is.
func TestArmedStaysArmed(t *testing.T) {
	dir := t.TempDir()
	box := boxIn(t, dir)
	x := startGuarded(t, dir, box, "", nil)
	x.set("door", true)
	x.zones("door active")
	x.wish(status.PathArm, `{"partition": "house", "mode": "night", "force": ["door"], "code": "1234"}`)
	x.stop()
	x = startGuarded(t, dir, box, "", nil)
	p := x.arming().Partitions[0]
	if p.State != "armed_night" || p.Mode != "night" || !slices.Equal(p.Bypassed, []string{"door"}) {
		t.Errorf("after a restart: %+v", p)
	}
	x.zones("door active")
	if n := x.events.Head(event.LaneAlarm); n != 0 {
		t.Errorf("a restart raised alarm %d", n)
	}
	x.stop()
	x.set("hall", true)
	x = startGuarded(t, dir, box, "", nil)
	e := awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised })
	if e.Zone != "hall" || text(e, event.TagReason) != arming.CauseOpenedWhileDown {
		t.Errorf("alarm %+v", e)
	}
	x.awaitState("alarm")
	x.stop()
	x = startGuarded(t, dir, box, "", nil)
	x.awaitState("alarm")
	x.disarm()
	x.stop()
	x = startGuarded(t, dir, box, "", nil)
	x.awaitState("alarm_memory")
	if got := all(t, x.events, event.KindAlarmRaised); len(got) != 1 {
		t.Errorf("%d alarms: %+v", len(got), got)
	}
}

// The siren is a wire of the box: it is driven for an alarm, stays so while the station is away, and is quiet after a disarming.
func TestTheSirenSounds(t *testing.T) {
	dir := t.TempDir()
	box := boxIn(t, dir)
	own := func(_ *Options, x *guardedStation) { x.sirens = nil }
	x := startGuarded(t, dir, box, "", own)
	level := func(want bool) {
		t.Helper()
		x.await(fmt.Sprintf("the siren's wire is %v", want), func() bool { on, err := box.Level("siren"); return err == nil && on == want })
	}
	x.arm()
	x.set("hall", true)
	level(true)
	e := awaitIn(t, x.events, event.LaneMain, func(e event.Event) bool { return e.Kind == event.KindOutputChanged && text(e, event.TagState) == "on" })
	alarm := awaitIn(t, x.events, event.LaneAlarm, func(e event.Event) bool { return e.Kind == event.KindAlarmRaised })
	if e.Seq < alarm.Seq || text(e, event.TagReason) != "intrusion" {
		t.Errorf("the siren's event %+v, the alarm's is %d", e, alarm.Seq)
	}
	x.stop()
	level(true)
	x = startGuarded(t, dir, box, "", own)
	x.awaitState("alarm")
	level(true)
	x.disarm()
	level(false)
}

// Two stations with all of this in one process, on boxes of their own: what one is told, the other knows nothing of.
func TestTwoGuardsShareNothing(t *testing.T) {
	var both []*guardedStation
	for range 2 {
		dir := t.TempDir()
		both = append(both, startGuarded(t, dir, boxIn(t, dir), "", nil))
	}
	one, two := both[0], both[1]
	one.arm()
	for range keypadTries {
		one.ask("POST", status.PathDisarm, `{"partition": "house", "code": "0000"}`)
	}
	if two.state() != "disarmed" {
		t.Errorf("the second is %s", two.state())
	}
	two.arm() // its keypad is not locked
	one.set("hall", true)
	one.awaitState("alarm")
	two.set("smoke", true)
	two.awaitState("alarm")
	for _, x := range both {
		if got := all(t, x.events, event.KindAlarmRaised); len(got) != 1 {
			t.Errorf("alarms %+v", got)
		}
		if got := x.sirens.list(); len(got) != 1 {
			t.Errorf("driven %q", got)
		}
	}
}
