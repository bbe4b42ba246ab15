package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"watchpost/firmware/status"
)

// wireKey is the script's value that holds its *wire.
const wireKey = "wire"

// wire is a station as its local door shows it: HTTP on a Unix socket, with the paths, types and answers of firmware/status.
// It knows the code 2718, has the partition house with the zones door and hall, and does what it is told.
type wire struct {
	mu     sync.Mutex // guards the fields below
	hall   string     // state of the zone hall
	state  string     // of the partition
	left   string     // how hall is left out
	until  time.Time  // of the test of the whole station
	memory bool
	says   string // what it answers whatever is asked: "" = as a station does
}

// openStation serves the script's station: station SOCKET. It ends with the script.
func openStation(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	server := &http.Server{Handler: ts.Value(wireKey).(*wire)}
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			ts.Logf("the door: %v", err)
		}
	})
	ts.Defer(func() {
		ts.Check(server.Close())
		served.Wait()
	})
}

// tellStation changes the script's station: tell hall STATE, tell says locked|full|rubbish|"".
func tellStation(ts *testscript.TestScript, _ bool, args []string) {
	w := ts.Value(wireKey).(*wire)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch args[0] {
	case "hall":
		w.hall = args[1]
	case "says":
		w.says = args[1]
	case "memory":
		w.memory = true
	default:
		ts.Fatalf("tell hall, says or memory")
	}
}

// The moments of the wire's world; the year keeps them from being today.
func moment(clock string) time.Time {
	t, err := time.Parse(time.RFC3339, "2020-03-04T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

// ServeHTTP answers as a station's door does.
func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	code, answer := http.StatusNotFound, any(nil)
	switch {
	case w.says == "rubbish":
		_, _ = io.WriteString(out, "<html>")
		return
	case w.says == "locked" && r.Method == http.MethodPost:
		code, answer = http.StatusTooManyRequests, status.Refused{Reason: "5 wrong codes", RetryS: 90}
	case w.says == "full" && r.Method == http.MethodPost:
		code, answer = http.StatusServiceUnavailable, status.Refused{Reason: "the log is full"}
	case r.Method == http.MethodGet:
		code, answer = w.tell(r.URL.Path)
	case r.Method == http.MethodPost:
		code, answer = w.obey(r.URL.Path, r.Body)
	}
	out.WriteHeader(code)
	_ = json.NewEncoder(out).Encode(answer)
}

func (w *wire) tell(path string) (int, any) {
	switch path {
	case status.Path:
		return http.StatusOK, status.Status{
			Station: "cs-one", Name: "草坪村", Version: "v1", Started: moment("06:00:00"), Clock: "synced",
			Centres: []status.Centre{{ID: "changshan", Online: true, Since: moment("06:00:02")}, {ID: "yushan", Reason: "no route"}},
		}
	case status.PathArming:
		return http.StatusOK, w.arming()
	case status.PathIO:
		return http.StatusOK, status.IO{At: moment("07:00:00"), Groups: []status.IOGroup{
			{Driver: "contact/main", Points: []status.Point{{ID: "hall", State: w.hall, Raw: map[string]string{"normal": "low", "active": "high"}[w.hall], Since: moment("06:30:00")}}},
			{Driver: "eol/loops-1", Points: []status.Point{
				{ID: "window", State: "short", Raw: "0.12 kΩ", Since: moment("06:31:00"), Text: "两线相碰"},
				{ID: "shed", State: "missing", Text: "ads1115 0x49: no answer"},
			}},
		}}
	}
	return http.StatusNotFound, nil
}

// wish is the keys of all wishes.
type wish struct {
	status.Arm
	Zone    string `json:"zone"`
	Station bool   `json:"station"`
	Off     bool   `json:"off"`
	Hard    bool   `json:"hard"`
	For     string `json:"for"`
	Reason  string `json:"reason"`
}

func (w *wire) obey(path string, body io.Reader) (int, any) {
	var v wish
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return http.StatusBadRequest, status.Refused{Reason: err.Error()}
	}
	switch {
	case v.Partition != "" && v.Partition != "house":
		return http.StatusBadRequest, status.Refused{Reason: `partition "` + v.Partition + `" is not of this station`}
	case v.Code != "2718":
		return http.StatusForbidden, status.Refused{Reason: "wrong-code"}
	}
	no := func(reason string, zones ...string) (int, any) {
		return http.StatusConflict, status.Refused{Reason: reason, Zones: zones}
	}
	switch path {
	case status.PathArm:
		if w.hall != "normal" && !slices.Contains(v.Force, "hall") {
			return no("not-normal", "hall")
		}
		if w.hall != "normal" {
			w.left = "soft"
		}
		w.state = "armed_" + v.Mode
		if !v.Now {
			w.state = "arming"
		}
	case status.PathDisarm:
		w.state, w.left = "disarmed", ""
	case status.PathClear:
		if w.hall != "normal" {
			return no("alarm-stands", "hall")
		}
		w.memory = false
	case status.PathWalkTest:
		if w.state != "disarmed" && w.state != "walk_test" {
			return no("armed")
		}
		w.state = map[bool]string{false: "walk_test", true: "disarmed"}[v.Off]
	case status.PathBypass:
		if v.Zone == "smoke" && !v.Hard {
			return no("always-on", "smoke")
		}
		how := map[bool]string{false: "soft", true: "hard"}[v.Hard]
		switch {
		case !v.Off:
			w.left = how
		case w.left == how: // each is ended as it was begun
			w.left = ""
		}
	case status.PathTest:
		if !v.Station {
			return no("no-right")
		}
		w.until = time.Time{}
		if d, err := time.ParseDuration(v.For); err == nil && v.Reason == "new detector" {
			w.until = moment("07:00:00").Add(d)
		}
	}
	return http.StatusOK, w.arming()
}

func (w *wire) arming() status.Arming {
	p := status.Partition{ID: "house", Name: "警务室", State: w.state, Since: moment("06:40:00")}
	hall := status.Zone{ID: "hall", Name: "过道", Partition: "house", State: w.hall, Bypassed: w.left}
	if w.state == "arming" {
		p.Until = moment("06:41:00")
	}
	if w.left != "" {
		p.Bypassed = []string{"hall"}
	}
	if w.left == "hard" {
		hall.Until = moment("08:00:00")
	}
	if w.memory {
		p.Memory = []status.Alarm{{Zone: "hall", Reason: "intrusion", At: moment("05:00:00"), Count: 1}}
	}
	return status.Arming{At: moment("07:00:00"), TestUntil: w.until, Partitions: []status.Partition{p},
		Zones: []status.Zone{{ID: "door", Partition: "house", State: "normal"}, hall}}
}
