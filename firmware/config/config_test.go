package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReferenceParses(t *testing.T) {
	c, err := Parse("/etc/watchpost/station.yaml", []byte(Reference))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Data, "/etc/watchpost/data"; got != want {
		t.Errorf("data = %q, want it anchored at the file: %q", got, want)
	}
	if got := c.Zones[1].Rest + c.Zones[1].Severity + c.Boards[0].Backend; got != "openalarmlinesock" {
		t.Errorf("defaults = %q", got)
	}
	if c.Panels.Accounts[1].Supervision != 90*time.Second || c.Log.Reserve != 64<<20 || len(c.Centres[0].CommandKey) != 32 {
		t.Errorf("values not read: %+v", c)
	}
	if c.Log.Keep != (Keep{256 << 20, 512 << 20, 64 << 20}) || c.Log.Key != nil || c.Centres[0].Heartbeat != 30*time.Second ||
		c.Centres[0].Carrier != "移动4G" || c.Centres[0].BacklogRate != 0 || c.Test.Zone != "test-loop" {
		t.Errorf("values not read: %+v", c)
	}
	if got := c.Zones[0].Camera + c.Panels.Accounts[0].Camera; got != "gategate" {
		t.Errorf("cameras = %q", got)
	}
}

// edit replaces one line of the reference.
func edit(t *testing.T, old, new string) (text string, line int) {
	t.Helper()
	before, after, ok := strings.Cut(Reference, old)
	if !ok {
		t.Fatalf("the reference has no %q", old)
	}
	return before + new + after, strings.Count(before, "\n") + 1
}

// mistake is one line of the reference gone wrong: its only problem is told at key, at the line, and says what to do.
type mistake struct{ name, old, new, key, says string }

func explained(t *testing.T, mistakes []mistake) {
	for _, tt := range mistakes {
		t.Run(tt.name, func(t *testing.T) {
			text, line := edit(t, tt.old, tt.new)
			_, err := Parse("station.yaml", []byte(text))
			p, ok := errors.AsType[*Problems](err)
			if !ok {
				t.Fatalf("error = %v, want *Problems", err)
			}
			if len(p.List) != 1 || p.List[0].Key != tt.key || !strings.Contains(p.List[0].Message, tt.says) {
				t.Errorf("problems:\n%v\nwant one at %q that says %q", err, tt.key, tt.says)
			}
			if p.List[0].Line != line {
				t.Errorf("line %d, want %d", p.List[0].Line, line)
			}
		})
	}
}

func TestEachMistakeIsExplained(t *testing.T) {
	explained(t, []mistake{
		{"unknown key", "jurisdiction:", "juristiction:", "station.juristiction", "did you mean jurisdiction?"},
		{"unknown key in a list", "    debounce: 30ms", "    debunce: 30ms", "zones[0].debunce", "did you mean debounce?"},
		{"far from any key", "name: 村口", "qqqqqqqqqq: 1", "cameras[0].qqqqqqqqqq", "known here: id, name, url"},
		{"bad id", "id: cs-baishi-caoping", "id: Caoping.1", "station.id", "only a-z, 0-9 and -"},
		{"unknown camera", "camera: gate               # the", "camera: gaet # the", "zones[0].camera", `no camera is called "gaet"; did you mean gate?`},
		{"bad word", "severity: alarm ", "severity: alram ", "zones[0].severity", "did you mean alarm?"},
		{"debounce too long", "debounce: 30ms ", "debounce: 3s ", "zones[0].debounce", "outside 0s to 1s"},
		{"no duration", "debounce: 30ms ", "debounce: soon ", "zones[0].debounce", "soon"},
		{"bad size", "reserve: 64MiB", "reserve: 64", "log.reserve", "MiB"},
		{"reserve too small", "reserve: 64MiB", "reserve: 1MiB", "log.reserve", "at least 16MiB"},
		{"key of odd length", "key_hex: 000102030405060708090A0B0C0D0E0F", "key_hex: 0001", "panels.accounts[1].key_hex", "32, 48 or 64 hex"},
		{"password in the URL", "rtsp://192.0.2.10", "rtsp://a:b@192.0.2.10", "cameras[0].url", "out of the URL"},
		{"plain broker", "tls://dispatch", "tcp://dispatch", "centres[0].broker", "want tls://HOST:PORT"},
		{"short command key", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "AAAA", "centres[0].command_key", "base64 of 32 bytes"},
		{"unknown lane", "[alarm, main, read, trace] ", "[alarm, mian] ", "centres[0].lanes[1]", "did you mean main?"},
		{"unknown kind of zone", "kind: panic", "kind: pannic", "zones[1].kind", "did you mean panic?"},
		{"zone without a name", `"002": 大门`, `"002": ""`, "panels.accounts[0].zones", "1 to 64 bytes"},
		{"rule for nobody", "roles: [dispatcher]", "roles: []", "access[0].roles", "name the roles"},
		{"bad account", `id: "1409"`, `id: "14x9"`, "panels.accounts[0].id", "hex digits"},
		{"two zones on a line", "line: panic", "line: door", "zones[1].line", "zone office-door has it already"},
		{"no lanes", "[alarm, main, read, trace] ", "[] ", "centres[0].lanes", "leave it out for all lanes"},
		{"list expected", "lanes: [alarm, main, read, trace]", "lanes: alarm", "centres[0].lanes", "want a list"},
		{"no unit of time", "entry: 30s", "entry: 30", "partitions[0].entry", "want a duration such as 250ms, 90s or 10m"},
		{"no time", "entry: 30s", "entry: soon", "partitions[0].entry", "want a duration such as 250ms, 90s or 10m"},
		{"neither true nor false", "follow: true", "follow: 3", "zones[3].follow", "want true or false"},
		{"no number", "baud: 9600", "baud: fast", "buses[2].baud", "want a whole number"},
		{"a number too far", "baud: 9600", "baud: 1e99", "buses[2].baud", "want a whole number"},
		{"half a slave", "unit: 3, input", "unit: 3.5, input", "zones[5].modbus.unit", "want a whole number"},
		{"no factor", "scale: 0.1", "scale: tenth", "sensors[5].modbus.scale", "want a number"},
		{"a list of names", "name: 地窖", "name: [地窖]", "sensors[0].name", "want one text"},
		{"limits of nothing", "high: {level: 3200}", "high: 3200", "sensors[4].high", "want a value for each name, such as {temperature: 40}"},
		{"a limit in words", "high: {level: 3200}", "high: {level: much}", "sensors[4].high", "want a value for each name, such as {temperature: 40}"},
		{"mapping expected", "  keep: {main: 256MiB, read: 512MiB, trace: 64MiB}", "  keep: 64MiB", "log.keep", "want keys and values"},
		{"line that no box has", "line: panic", "line: Panic 1", "zones[1].line", "1 to 32 of a-z, 0-9, hyphen"},
		{"blank in the URL", "/Streaming/Channels/101", "/Streaming Channels", "cameras[0].url", "want rtsp://HOST:PORT/PATH"},
		{"camera without a host", "rtsp://192.0.2.10:554", "rtsp://:554", "cameras[0].url", "want rtsp://HOST:PORT/PATH"},
		{"broker without a host", "tls://dispatch.changshan.example:8883", "tls://:8883", "centres[0].broker", "want tls://HOST:PORT"},
		{"hours of no length", "# hours: 00:00-24:00", "hours: 08:00-08:00", "access[0].hours", "begin and end at the same time"},
		{"hours that are none", "# hours: 00:00-24:00", "hours: 8-17", "access[0].hours", "HH:MM-HH:MM"},
		{"no viewings", "max: 8 ", "max: 0 ", "viewings.max", "leave access out"},
		{"too many viewings", "max: 8 ", "max: 257 ", "viewings.max", "outside 1 to 256"},
		{"lane kept too small", "main: 256MiB", "main: 512KiB", "log.keep.main", "at least 1MiB"},
		{"lane that has no bound", "main: 256MiB", "alarm: 256MiB", "log.keep.alarm", "unknown key"},
		{"key where a file belongs", "# key_file: log.key", "Key: abc", "log.Key", "known here: reserve, keep, key_file"},
		{"field that is no key", "# key_file: log.key", "\"-\": abc", "log.\"-\"", "unknown key"},
		{"backlog too fast", "# backlog_rate: 64KiB", "backlog_rate: 2GiB", "centres[0].backlog_rate", "outside 1KiB to 1GiB"},
		{"carrier of two lines", "carrier: 移动4G ", `carrier: "a\nb" `, "centres[0].carrier", "on one line"},
		{"carrier too long", "carrier: 移动4G ", "carrier: " + strings.Repeat("x", 65) + " ", "centres[0].carrier", "at most 64 bytes"},
		{"heart too slow", "heartbeat: 30s", "heartbeat: 11m", "centres[0].heartbeat", "outside 5s to 10m0s"},
		{"heart too fast", "heartbeat: 30s", "heartbeat: 1s", "centres[0].heartbeat", "outside 5s to 10m0s"},
		{"test at no time", `at: "04:00"`, `at: "24:00"`, "test.at", "want HH:MM"},
		{"test of another zone", "zone: test-loop", "zone: panic-button", "test.zone", "known here: test-loop"},
		{"test without an output", "output: test-out", `output: ""`, "test.output", "output line of board main"},
		{"test by a line that feels", "output: test-out", "output: panic", "test.output", "feeds zone panic-button"},
		{"test by its own line", "output: test-out", "output: test-loop", "test.output", "feeds zone test-loop"},
		{"test too patient", "within: 5s", "within: 2m", "test.within", "outside 100ms to 1m0s"},
		{"test that is no alarm", "kind: test ", "severity: notice\n    kind: test ", "zones[2].severity", "leave severity out"},
		{"bad listen", "listen: 127.0.0.1:5093", "listen: 5093", "panels.listen", "HOST:PORT"},
	})
}

func TestTheDailyTestNeedsBothEnds(t *testing.T) {
	begin, end := strings.Index(Reference, "# Once a day"), strings.Index(Reference, "# The receiver for")
	for says, text := range map[string]string{
		"zones[2].kind: nothing tests by it: add test: {zone: test-loop": Reference[:begin] + Reference[end:],
		"test: there is no zone for it: give a zone kind: test":          strings.Replace(Reference, "kind: test ", "kind: panic ", 1),
		"zones[2].kind: zone panic-button is for the daily test already": strings.Replace(Reference, "kind: panic", "kind: test", 1),
	} {
		_, err := Parse("s.yaml", []byte(text))
		if p, ok := errors.AsType[*Problems](err); !ok || len(p.List) != 1 || p.List[0].Line == 0 || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	text := strings.NewReplacer(`  at: "04:00"`, "  #", "  within: 5s", "  #").Replace(Reference)
	c, err := Parse("s.yaml", []byte(text))
	if err != nil || c.Test != (Test{At: "04:00", Output: "test-out", Zone: "test-loop", Within: 5 * time.Second}) {
		t.Errorf("defaults of the test: %+v, %v", c, err)
	}
	if ZoneKinds()[KindTest] != "RP" {
		t.Error("the automatic test is RP in DC-03")
	}
}

func TestLoadReadsTheLogsKey(t *testing.T) {
	dir := t.TempDir()
	text, _ := edit(t, "# key_file: log.key", "key_file: log.key")
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600), os.Chmod(filepath.Join(dir, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("station.yaml", text, 0o600)
	write("camera.password", "x", 0o600)
	raw := strings.Repeat("\x00\xff", 16)
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		says          string // "" = taken
	}{
		{"raw", raw, 0o600, ""},
		{"hex", strings.Repeat("00ff", 16) + "\n", 0o400, ""},
		{"others may read it", raw, 0o640, "chmod 600"},
		{"too short", raw[:16], 0o600, "want 32 bytes or 64 hex digits"},
		{"too long", strings.Repeat("00", 600), 0o600, "want 32 bytes or 64 hex digits"},
		{"no hex", strings.Repeat("0g", 32), 0o600, "openssl rand"},
		{"empty", "", 0o600, "openssl rand"},
	} {
		write("log.key", test.content, test.mode)
		c, err := Load(filepath.Join(dir, "station.yaml"))
		switch {
		case test.says == "" && (err != nil || string(c.Log.Key) != raw):
			t.Errorf("%s: %v", test.name, err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), "log.key_file: ") || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
	if err := os.Remove(filepath.Join(dir, "log.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "station.yaml")); err == nil || !strings.Contains(err.Error(), "put the log's own key back") {
		t.Errorf("missing key: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "log.key"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "station.yaml")); err == nil || strings.Contains(err.Error(), "chmod") {
		t.Errorf("a folder was taken for a key: %v", err)
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	text := "station: {idd: x}\nzone: []\ndata: a\n"
	_, err := Parse("s.yaml", []byte(text))
	want := "s.yaml:1: station.idd: unknown key; did you mean id?\ns.yaml:2: zone: unknown key; did you mean zones?"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestPathsOfSockets(t *testing.T) {
	for _, tt := range []struct {
		dir  string
		want []string
	}{
		{strings.Repeat("d", 87), nil},
		{strings.Repeat("d", 88), []string{"data"}},
		{strings.Repeat("d", 110), []string{"data", "boards[0].socket"}},
	} {
		_, err := Parse("/"+tt.dir+"/s.yaml", []byte(Reference))
		var keys []string
		if p, ok := errors.AsType[*Problems](err); ok {
			for _, x := range p.List {
				keys = append(keys, x.Key)
				if x.Line == 0 || !strings.Contains(x.Message, "too long") {
					t.Errorf("%+v", x)
				}
			}
		}
		if !slices.Equal(keys, tt.want) {
			t.Errorf("below a folder of %d bytes: %v, want %v", len(tt.dir), err, tt.want)
		}
	}
}

func TestRubbish(t *testing.T) {
	for _, text := range []string{"", "\n", "- a", "a: [", "\t\tx", "station: *a", "a: 1\n---\nb: 2", strings.Repeat("a", maxFile+1)} {
		if _, err := Parse("s.yaml", []byte(text)); err == nil {
			t.Errorf("%.20q was taken", text)
		}
	}
}

func TestLoadReadsPasswordFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "station.yaml")
	if err := os.WriteFile(path, []byte(Reference), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "cameras[0].password_file: open "+filepath.Join(dir, "camera.password")) {
		t.Errorf("missing password file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "camera.password"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || c.Cameras[0].Password != "s3cret" {
		t.Errorf("password = %v, %v", c, err)
	}
}
