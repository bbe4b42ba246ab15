package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestE2EStationctl arms a built station by hand: the technician makes the codes, looks at the live inputs, and walks through
// what a village does in an evening. The door that stands open is told by name, and leaving it out too.
func TestE2EStationctl(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	code, duress, wrong := file("code", "27182\n"), file("duress", "31415\n"), file("wrong", "11111\n")
	config := file("station.yaml", fmt.Sprintf(`
station: {id: cs-one, jurisdiction: changshan, name: 草坪村}
boards: [{id: main, socket: board.sock}]
outputs: [{id: siren, board: main, line: siren}]
zones:
  - {id: door, name: 大门, board: main, line: door, rest: open, partition: house, entry: true}
  - {id: hall, name: 过道, board: main, line: hall, rest: open, partition: house}
partitions: [{id: house, name: 警务室, exit: 0s, entry: 0s, settle: 0s, outputs: [siren]}]
users: [{id: li, code: %s, duress: %s, rights: [arm, disarm, bypass, engineer]}]
`, strings.TrimSpace(must(t, "stationctl", "code", "--code-file", code)), strings.TrimSpace(must(t, "stationctl", "code", "--code-file", duress))))

	box := start(t, "simctl", "board", "--socket", filepath.Join(dir, "board.sock"), "--lines", "door,hall", "--outputs", "siren")
	box.line("ready")
	must(t, "watchpostd", "-check", config)
	start(t, "watchpostd", "-config", config).line("ready")
	door := filepath.Join(dir, "data", "door.sock")
	ctl := func(args ...string) (string, string, int) {
		return run(t, "stationctl", append([]string{"--door", door}, args...)...)
	}
	shows := func(what string, args ...string) {
		t.Helper()
		eventually(t, strings.Join(args, " ")+" shows "+what, func() error {
			if out, errs, exit := ctl(args...); exit != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), what) {
				return fmt.Errorf("exit code %d\n%s%s", exit, out, errs)
			}
			return nil
		})
	}

	shows("door normal low", "io")
	shows("siren off", "io")
	box.say("set door 1")
	shows("door active high", "io")
	_, errs, exit := ctl("arm", "house", "--code-file", code)
	if exit != 3 || !strings.Contains(errs, "not normal: door; close them, or leave them out until the next disarming: stationctl arm house --mode away --force door") {
		t.Fatalf("arming with an open door: exit code %d\n%s", exit, errs)
	}
	if _, errs, exit = ctl("arm", "house", "--code-file", wrong); exit != 3 || !strings.Contains(errs, "nobody has this code: nothing was done") {
		t.Errorf("a wrong code: exit code %d\n%s", exit, errs)
	}
	shows("house armed_away", "arm", "house", "--force", "door", "--code-file", code)
	shows("left out: door", "status")

	box.say("set hall 1") // somebody is in the hall
	shows("partition house alarm", "status")
	shows("siren on", "io")
	shows("house alarm_memory", "disarm", "house", "--code-file", duress) // looks like any other disarming
	shows("remembers: hall intrusion", "status")
	shows("siren off", "io")
	out, _, _ := ctl("status", "--json")
	if strings.Contains(strings.ToLower(out), "duress") {
		t.Errorf("the station's own door tells of the duress code:\n%s", out)
	}
	box.say("set hall 0")
	box.say("set door 0")
	shows("house disarmed", "clear", "house", "--code-file", code)
	shows("hall normal left out: soft", "bypass", "hall", "--code-file", code)
	shows("hall normal counts", "bypass", "hall", "--off", "--code-file", code)
	shows("house walk_test", "walktest", "house", "--code-file", code)
}
