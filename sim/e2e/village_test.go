package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"watchpost/storage/event"
)

// ledgerFile is the centre's database in its directory.
const ledgerFile = "dispatch.db"

// village is one station with what it is wired to, all as processes of their own.
type village struct {
	t       testing.TB
	id      string
	dir     string // with station.yaml, certificates and the data directory
	config  string
	board   *process
	agent   *process
	panels  string // the receiver's address, once the agent has said it
	cameras []string
}

// plan is what a test wants a village to be.
type plan struct {
	id, jurisdiction, name string
	centres                []*centre
	cameras                []string                        // URLs; the first is camera "gate", then "cam2", …; user and password are "u" and "p"
	lines                  []string                        // further lines of the board, each a zone of the same name
	box                    []string                        // further flags of the board
	zones                  string                          // YAML of further zones
	accounts               string                          // YAML of further panel accounts
	extra                  string                          // YAML of further top-level keys
	pull                   string                          // of the cameras, default on-demand
	roles                  string                          // who may look, default dispatcher
	data                   string                          // data directory, default "data" in the village's folder
	entry                  func(i int, yaml string) string // changes what enrolment wrote of centre i; nil = nothing
}

// The standard village of the tests.
func caoping(c *centre) plan {
	return plan{id: "cs-baishi-caoping", jurisdiction: "changshan", name: "草坪村", centres: []*centre{c}}
}

// build enrols the station, writes its configuration and starts its I/O box; the agent is not started yet.
func (p plan) build(t testing.TB) *village {
	t.Helper()
	dir, err := os.MkdirTemp("", "wp") // short, because a Unix socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	v := &village{t: t, id: p.id, dir: dir, config: filepath.Join(dir, "station.yaml")}
	v.board = start(t, "simctl", append([]string{"board", "--socket", filepath.Join(dir, "board.sock"), "--lines", strings.Join(append([]string{"door", "panic"}, p.lines...), ",")}, p.box...)...)
	v.board.line("ready")
	v.writeConfig(p, "127.0.0.1:0")
	return v
}

func (v *village) writeConfig(p plan, panels string) {
	v.t.Helper()
	var b strings.Builder
	data := cmp.Or(p.data, "data")
	fmt.Fprintf(&b, "station: {id: %s, jurisdiction: %s, name: %s}\ndata: %s\nlog: {reserve: 16MiB}\n", p.id, p.jurisdiction, p.name, data)
	b.WriteString("boards: [{id: main, socket: board.sock}]\nzones:\n")
	camera := ""
	if len(p.cameras) > 0 {
		camera = ", camera: gate"
	}
	fmt.Fprintf(&b, "  - {id: door, name: 大门, board: main, line: door, rest: open%s}\n", camera)
	fmt.Fprintf(&b, "  - {id: panic, name: 紧急按钮, kind: panic, board: main, line: panic, rest: open, debounce: 20ms%s}\n", camera)
	for _, line := range p.lines {
		fmt.Fprintf(&b, "  - {id: %s, board: main, line: %s, rest: open%s}\n", line, line, camera)
	}
	b.WriteString(p.zones)
	fmt.Fprintf(&b, "panels:\n  listen: %s\n  accounts:\n  - {id: \"1409\", name: 小学, zones: {\"001\": 小学教学楼}, supervision: 90s}\n%s", panels, p.accounts)
	if len(p.cameras) > 0 {
		b.WriteString("cameras:\n")
	}
	for i, url := range p.cameras {
		id := "gate"
		if i > 0 {
			id = fmt.Sprintf("cam%d", i+1)
		}
		v.cameras = append(v.cameras, id)
		fmt.Fprintf(&b, "  - {id: %s, name: 村口, url: \"%s\", user: u, password: p, linger: 1s, pull: %s}\n", id, url, cmp.Or(p.pull, "on-demand"))
	}
	b.WriteString("centres:\n")
	for i, c := range p.centres {
		yaml := v.centreYAML(c, p)
		if p.entry != nil {
			yaml = p.entry(i, yaml)
		}
		b.WriteString(yaml)
	}
	fmt.Fprintf(&b, "access:\n  - {action: viewing.open, jurisdictions: [%s], roles: [%s]}\nviewings: {loopback: true}\n%s",
		p.jurisdiction, cmp.Or(p.roles, "dispatcher"), p.extra)
	if err := os.WriteFile(v.config, []byte(b.String()), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// centreYAML is the list entry that enrolment wrote, with its files beside the configuration.
func (v *village) centreYAML(c *centre, p plan) string {
	v.t.Helper()
	files := c.enrol(p.id, p.jurisdiction, p.name)
	text, err := os.ReadFile(filepath.Join(files, "centre.yaml"))
	if err != nil {
		v.t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(text), "centres:\n")
	if !ok {
		v.t.Fatalf("no centres in %s", text)
	}
	for _, name := range []string{"ca.pem", "station.pem", "station-key.pem"} {
		list = strings.ReplaceAll(list, ": "+name, ": "+filepath.Join(files, name))
	}
	return list
}

// start runs the agent, the first time or again, and waits until it listens for panels.
func (v *village) start() {
	v.t.Helper()
	v.agent = start(v.t, "watchpostd", "-config", v.config)
	v.agent.line("ready")
	v.agent.says("network=tcp address=") // the UDP one may be told before it
	m := regexp.MustCompile(`listening for panels.*network=tcp address=(\S+)`).FindStringSubmatch(v.agent.stderr())
	if m == nil {
		v.t.Fatalf("no address of the panel receiver in\n%s", v.agent.tail(20))
	}
	if v.panels == "" { // the same address after a restart
		v.panels = m[1]
		text, err := os.ReadFile(v.config)
		if err != nil {
			v.t.Fatal(err)
		}
		text = []byte(strings.Replace(string(text), "listen: 127.0.0.1:0", "listen: "+v.panels, 1))
		if err := os.WriteFile(v.config, text, 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
}

// set moves a line of the station's I/O box.
func (v *village) set(line string, level int) { v.t.Helper(); v.board.say("set %s %d", line, level) }

// doorWord is what the local door says of the station, as far as the tests look.
type doorWord struct {
	Log struct {
		Epoch   string
		Full    bool
		Refused uint64
		Heads   map[string]uint64
	}
	Drivers []struct {
		Name     string
		Readings []struct{ Name, State, Text string }
	}
	Centres []struct {
		ID, Reason string
		Online     bool
		Receipts   map[string]uint64
	}
	Viewings []struct {
		ID, Camera, State string
		Packets           uint64
	}
}

// door asks the station's local door.
func (v *village) door() (word doorWord, err error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(v.dir, "data", "door.sock"))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: patience}
	r, err := client.Get("http://station/v1/status")
	if err != nil {
		return word, err
	}
	defer func() { _ = r.Body.Close() }()
	err = json.NewDecoder(r.Body).Decode(&word)
	return word, err
}

// online waits until the station's first centre has the station's link.
func (v *village) online() {
	v.t.Helper()
	eventually(v.t, v.id+" online", func() error {
		st, err := v.door()
		if err == nil && !st.Centres[0].Online {
			err = fmt.Errorf("link: %s", st.Centres[0].Reason)
		}
		return err
	})
}

// newCamera starts a synthetic camera and answers its URL.
func newCamera(t testing.TB, more ...string) (url string, p *process) {
	t.Helper()
	args := append([]string{"camera", "--listen", "127.0.0.1:0", "--path", "/main", "--user", "u", "--password", "p", "--gop", "2s"}, more...)
	p = start(t, "simctl", args...)
	url = p.line("rtsp ")
	p.line("ready")
	return url, p
}

// zoneActive is an alarm event of a zone.
func zoneActive(zone string) func(event.Event) bool {
	return func(e event.Event) bool {
		state, _ := e.Body.Text(event.TagState)
		return e.Kind == event.KindZoneChanged && e.Zone == zone && state == "active"
	}
}
