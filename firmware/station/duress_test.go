package station

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"watchpost/firmware/status"
	"watchpost/storage/event"
)

// looks is all that somebody at a station can look at, with what differs from any run to the next made alike.
type looks struct {
	names []string
	says  []string
}

// blur leaves out what differs between two runs of the same history: times, the epoch, and what the box and its network do by
// themselves.
func blur(text, dir string) string {
	text = strings.ReplaceAll(text, dir, "DIR")
	for _, b := range []struct{ from, to string }{
		{`"\d{4}-\d\d-\d\dT[^"]*"`, `"TIME"`},
		{`time=\S+`, "time=TIME"},
		{`(took|for|after|within)=\S+`, "$1=SPAN"},
		{`[0-9a-f]{16}`, "EPOCH"},
		{`"(uptime_s|rss_bytes|heap_bytes|goroutines_count|cpu_ms|load1|memory_available_bytes|box_temperature_c|disk_free_bytes)": [-0-9.e+]+`, `"$1": N`},
		{`"(clock_[a-z_]+|log_[a-z]+_oldest_s|link_[a-z_0-9]+|log_main_bytes)": [-0-9.e+]+`, `"$1": N`},
		{`"free": \d+`, `"free": N`},
	} {
		text = regexp.MustCompile(b.from).ReplaceAllString(text, b.to)
	}
	return text
}

func (l *looks) take(x *guardedStation, name, answer string) {
	x.t.Helper()
	x.await("the journal is tidy", func() bool {
		j, err := (&journalFile{path: x.guard.file.path}).load()
		return err == nil && len(j.Pending) == 0
	})
	add := func(what, says string) {
		l.names, l.says = append(l.names, name+": "+what), append(l.says, blur(says, x.dir))
	}
	add("answer", answer)
	for _, path := range []string{status.Path, status.PathArming, status.PathIO} {
		code, says := x.ask("GET", path, "")
		add(path, fmt.Sprint(code, says))
	}
}

// history is one evening at a station: what was done, and all that could be looked at meanwhile.
func history(t *testing.T, code string) (l looks, duresses int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	box := boxIn(t, dir)
	const centre = "centres: [{id: changshan, broker: \"tls://127.0.0.1:1\", ca: ca.pem, certificate: own.pem, key: own.key, command_key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=}]\n"
	var logged []string
	started := func() *guardedStation {
		x := startGuarded(t, dir, box, centre, nil)
		x.await("the link's event", func() bool { return len(all(t, x.events, event.KindCentreLink)) == len(logged)+1 })
		return x
	}
	x := started()
	wish := func(name, path, body string) {
		t.Helper()
		code, answer := x.ask("POST", path, body)
		l.take(x, name, fmt.Sprint(code, " ", answer))
	}
	disarm := fmt.Sprintf(`{"partition": "house", "code": "%s"}`, code)
	armBody := fmt.Sprintf(`{"partition": "house", "mode": "away", "code": "%s"}`, code)
	x.arm()
	wish("made to disarm", status.PathDisarm, disarm)
	wish("made to arm", status.PathArm, armBody)
	wish("made to try what is refused", status.PathArm, armBody)
	x.set("hall", true)
	x.awaitState("alarm")
	x.zones("hall active")
	wish("made to end an alarm", status.PathDisarm, disarm)
	wish("made to clear", status.PathClear, disarm)
	x.set("hall", false)
	x.zones("hall normal")
	for range 2 {
		x.arm()
		wish("disarmed", status.PathDisarm, `{"partition": "house", "code": "1234"}`)
	}
	x.set("smoke", true)
	x.awaitState("alarm")
	l.take(x, "fire", "")
	duresses = len(all(t, x.events, event.KindDuress))
	logged = append(logged, x.stderr.String())
	x.stop()
	x = started()
	l.take(x, "after a restart", "")
	wish("disarmed after a restart", status.PathDisarm, `{"partition": "house", "code": "1234"}`)
	logged = append(logged, x.stderr.String())
	x.stop()
	var told []string
	for _, line := range strings.Split(blur(strings.Join(logged, "\n"), dir), "\n") {
		if !strings.Contains(line, "centre=changshan") { // its pace is the dice's
			told = append(told, line)
		}
	}
	slices.Sort(told) // lines of several goroutines
	l.names, l.says = append(l.names, "the agent's own log"), append(l.says, strings.Join(told, "\n"))
	return l, duresses
}

// Whoever stands behind a villager sees on the screen, on the page and in the logs what he would see after the usual code,
// before and after, however often he looks: only the centre knows.
func TestADuressCodeLeavesNoTrace(t *testing.T) {
	normal, none := history(t, codeLi)
	duress, some := history(t, codeDuress)
	if none != 0 || some != 5 {
		t.Fatalf("%d and %d events of duress, want 0 and 5", none, some)
	}
	if len(normal.says) != len(duress.says) {
		t.Fatalf("%d looks, and %d", len(normal.says), len(duress.says))
	}
	for i, name := range normal.names {
		if normal.says[i] != duress.says[i] {
			t.Errorf("%s differs:\n%s", name, difference(normal.says[i], duress.says[i]))
		}
		if strings.Contains(strings.ToLower(duress.says[i]), "duress") {
			t.Errorf("%s has the word:\n%s", name, duress.says[i])
		}
	}
}

// difference is the lines that two texts do not share.
func difference(a, b string) string {
	var out strings.Builder
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(x), len(y)) {
		var l, r string
		if i < len(x) {
			l = x[i]
		}
		if i < len(y) {
			r = y[i]
		}
		if l != r {
			fmt.Fprintf(&out, "- %s\n+ %s\n", l, r)
		}
	}
	return out.String()
}
