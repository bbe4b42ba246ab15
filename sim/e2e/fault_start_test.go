package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// stopsWell asks a program to end, and fails the test unless it does so in good order within ten seconds.
func stopsWell(t testing.TB, p *process) {
	t.Helper()
	begun := time.Now()
	if code := p.stop(); code != 0 {
		t.Errorf("%s: exit code %d after SIGTERM, want 0:\n%s", p.name, code, p.tail(20))
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("%s: SIGTERM took %s, want at most 10 s", p.name, took)
	}
}

// launch starts the agent without waiting for its panel receiver.
func (v *village) launch() {
	v.t.Helper()
	v.agent = start(v.t, "watchpostd", "-config", v.config)
	v.agent.line("ready")
}

// drained waits until the station's first centre has given a receipt for all that is in the log. After links that lived
// only a moment the station may wait up to a minute before it tries again.
func (v *village) drained() {
	v.t.Helper()
	within(v.t, 4*patience, "receipts for all of the log", func() error {
		st, err := v.door()
		if err != nil {
			return err
		}
		for lane, head := range st.Log.Heads {
			if got := st.Centres[0].Receipts[lane]; got < head {
				return fmt.Errorf("lane %s: receipt up to %d of %d", lane, got, head)
			}
		}
		return nil
	})
}

// holdsAll fails the test unless text holds each of the words.
func holdsAll(t testing.TB, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", what, w, text)
		}
	}
}

// TestFaultConfig: each mistake in the file is told with its line and what was probably meant, whether the file is only
// checked or is to be run; nothing is started.
func TestFaultConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "station.yaml")
	text := "station: {id: cs-one, jurisdiction: changshan}\ndata: data\nzoens: []\npanels:\n  listn: 127.0.0.1:0\nlog: {reserve: 1MiB}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"-check", "-config"} {
		_, stderr, code := run(t, "watchpostd", flag, file)
		if code != 2 {
			t.Errorf("%s: exit code %d, want 2", flag, code)
		}
		holdsAll(t, flag, stderr, file+":3: zoens: unknown key; did you mean zones?", file+":5: panels.listn: unknown key; did you mean listen?")
	}
	if err := os.WriteFile(file, []byte("station: {id: cs-one, jurisdiction: changshan}\nlog: {reserve: 1MiB}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := run(t, "watchpostd", "-config", file)
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	holdsAll(t, "the agent", stderr, file+":2: log.reserve", "at least 16MiB")
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a wrong configuration made a data directory")
	}
}

// TestFaultTwoAgents: a second agent on a data directory says who has it and what to do, and the first does not notice.
func TestFaultTwoAgents(t *testing.T) {
	c := newCentre(t)
	v := caoping(c).build(t)
	v.start()
	v.online()
	_, stderr, code := run(t, "watchpostd", "-config", v.config)
	if code != 1 {
		t.Errorf("exit code %d of the second agent, want 1", code)
	}
	holdsAll(t, "the second agent", stderr, "data directory is in use by another agent", fmt.Sprintf("process %d", v.agent.cmd.Process.Pid),
		"stop that one, or give this agent a directory of its own")
	v.set("door", 1)
	c.awaitStored(v.id, "the door", zoneActive("door"))
	if _, err := v.door(); err != nil {
		t.Errorf("the first agent's local door is gone: %v", err)
	}
	stopsWell(t, v.agent)
	checkOnce(t, c.stored(v.id))
}

// TestFaultPortTaken: the panel receiver's port belongs to somebody else at first. The agent says so, does all its other
// work, and takes the port when it gets free.
func TestFaultPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	c := newCentre(t)
	p := caoping(c)
	v := p.build(t)
	v.panels = taken.Addr().String()
	v.writeConfig(p, v.panels)
	v.launch()
	v.agent.says("panels cannot reach this station")
	v.agent.says("stop the program that has the port, or name another one")
	v.set("door", 1)
	c.awaitStored(v.id, "the door", zoneActive("door"))

	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	v.agent.says("network=tcp address=" + v.panels)
	must(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--count", "3")
	c.awaitStored(v.id, "the panel's report", func(e event.Event) bool { return e.Kind == event.KindPanelEvent })
	if n := strings.Count(v.agent.stderr(), "panels cannot reach this station"); n != 1 {
		t.Errorf("a lasting fault was told %d times", n)
	}
	stopsWell(t, v.agent)
}
