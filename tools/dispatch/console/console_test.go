package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/intake"
	"watchpost/tools/dispatch/ledger"
	"watchpost/tools/dispatch/ledger/ledgertest"
	"watchpost/uplink/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stations answers commands as the test wants.
type stations struct {
	mu     sync.Mutex // guards the fields below
	asked  []string
	answer func(kind string, body any) (topic.Reply, error)
}

var _ Asker = (*stations)(nil)

func (s *stations) Ask(_ context.Context, a topic.Address, kind string, body any, _ time.Duration) (topic.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, kind+" to "+a.Station)
	return s.answer(kind, body)
}

func (s *stations) Status() intake.Status {
	return intake.Status{Fault: "no broker here", Refused: []intake.Refused{{Station: "stranger", Reason: "not enrolled", Count: 3}}}
}

// say sets what is answered from now on.
func (s *stations) say(f func(kind string, body any) (topic.Reply, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *stations) commands() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, ", ")
}

// desk is a console with its ledger.
type desk struct {
	t        *testing.T
	book     *ledger.Ledger
	stations *stations
	people   map[string]bool
	url      string
	seq      uint64
	stop     func()
}

func caoping() topic.Address {
	return topic.Address{Jurisdiction: "changshan", Station: "cs-baishi-caoping"}
}

func open(t *testing.T) *desk {
	t.Helper()
	book := ledgertest.Open(t, ledger.Station{Address: caoping(), Name: "草坪村"})
	d := &desk{t: t, book: book, stations: &stations{}, people: make(map[string]bool)}
	d.start()
	return d
}

func (d *desk) start() {
	d.t.Helper()
	c, err := Listen(d.t.Context(), Options{Listen: "127.0.0.1:0", Ledger: d.book, Asker: d.stations,
		Pages: fstest.MapFS{"index.html": {Data: []byte("the page")}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	d.url, d.stop = c.URL(), sync.OnceFunc(func() { cancel(); running.Wait() })
	d.t.Cleanup(d.stop)
}

// raise stores an alarm.
func (d *desk) raise(drafts ...event.Draft) (keys []map[string]any) {
	d.t.Helper()
	if len(drafts) == 0 {
		drafts = []event.Draft{{Kind: event.KindZoneChanged, Zone: "office-door", Source: "line/office-door",
			Body: event.NewBody(event.Text(event.TagState, "active"))}}
	}
	f := topic.Frame{Epoch: event.Epoch{1}, Lane: event.LaneAlarm, Prev: d.seq}
	for _, x := range drafts {
		d.seq++
		x.At, x.Qualifier, x.Severity = time.Now().UTC(), event.QualifierNew, event.SeverityAlarm
		e := x.Event(caoping().Station, f.Epoch, d.seq)
		f.Events = append(f.Events, e)
		keys = append(keys, map[string]any{"station": e.Station, "epoch": e.Epoch.String(), "seq": e.Seq})
	}
	if _, err := d.book.Store(d.t.Context(), []ledger.Arrival{{Address: caoping(), Frame: f, Received: time.Now()}}); err != nil {
		d.t.Fatal(err)
	}
	return keys
}

// visitor makes requests, with a session or without.
type visitor struct {
	*desk
	cookie *http.Cookie
	header http.Header
}

func (d *desk) stranger() *visitor { return &visitor{desk: d, header: make(http.Header)} }

// login makes a person known who is not, and begins a session.
func (d *desk) login(name string) *visitor {
	d.t.Helper()
	if !d.people[name] {
		d.people[name] = true
		if err := d.book.SetPassword(d.t.Context(), name, "correct horse", time.Now()); err != nil {
			d.t.Fatal(err)
		}
	}
	v := d.stranger()
	res := v.do("POST", "/api/login", map[string]string{"name": name, "password": "correct horse"})
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 {
		d.t.Fatalf("login: %s, cookies %v", res.Status, res.Cookies())
	}
	v.cookie = res.Cookies()[0]
	return v
}

func (v *visitor) do(method, path string, body any) *http.Response {
	v.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.raw(method, path, b)
}

func (v *visitor) raw(method, path string, body []byte) *http.Response {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, bytes.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	for name, values := range v.header {
		req.Header[name] = values
		if name == "Host" {
			req.Host = values[0]
		}
	}
	if v.cookie != nil {
		req.AddCookie(v.cookie)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	return res
}

// call is a request whose answer is JSON.
func (v *visitor) call(method, path string, body any) (status int, answer map[string]any) {
	v.t.Helper()
	res := v.do(method, path, body)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &answer); err != nil {
			v.t.Fatalf("%s %s answers %s: %v", method, path, b, err)
		}
	}
	return res.StatusCode, answer
}

func TestTheDoor(t *testing.T) {
	d := open(t)
	for _, path := range []string{"/api/me", "/api/alarms", "/api/alarms/recent", "/api/events", "/api/stations", "/api/viewings"} {
		if status, answer := d.stranger().call("GET", path, nil); status != http.StatusUnauthorized || answer["kind"] != "login" {
			t.Errorf("GET %s without a session: %d %v", path, status, answer)
		}
	}
	li := d.login("李娜")
	if !li.cookie.HttpOnly || li.cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %v", li.cookie)
	}
	if status, me := li.call("GET", "/api/me", nil); status != http.StatusOK || me["name"] != "李娜" || me["centre"] != "常山县" {
		t.Errorf("%d %v", status, me)
	}
	if status, answer := d.stranger().call("POST", "/api/login", map[string]string{"name": "李娜", "password": "wrong"}); status != http.StatusUnauthorized || answer["kind"] != "password" {
		t.Errorf("a wrong password: %d %v", status, answer)
	}
	if status, _ := li.call("POST", "/api/logout", nil); status != http.StatusNoContent {
		t.Errorf("logout: %d", status)
	}
	if status, _ := li.call("GET", "/api/me", nil); status != http.StatusUnauthorized {
		t.Errorf("after logout: %d", status)
	}
	forged := d.stranger()
	forged.cookie = &http.Cookie{Name: cookieName, Value: "AAAA"}
	if status, _ := forged.call("GET", "/api/me", nil); status != http.StatusUnauthorized {
		t.Errorf("a made-up session: %d", status)
	}
	if status, name := d.stranger().call("GET", "/api/name", nil); status != http.StatusOK || name["centre"] != "常山县" {
		t.Errorf("the centre's name: %d %v", status, name)
	}
}

func TestPasswordsCannotBeTriedForLong(t *testing.T) {
	c := &Console{failures: make(map[string]failure)}
	now := time.Unix(1e9, 0)
	for range failLimit {
		if c.barred("li", now) {
			t.Fatal("barred too early")
		}
		c.countFailure("li", now)
	}
	if !c.barred("li", now.Add(failWithin-time.Second)) || c.barred("wang", now) {
		t.Error("the one who failed is not barred, or another is")
	}
	if c.barred("li", now.Add(failWithin)) {
		t.Error("barred for ever")
	}
	for i := range 2 * failuresKept {
		c.countFailure(fmt.Sprint(i), now)
	}
	if len(c.failures) > failuresKept {
		t.Errorf("%d names are remembered", len(c.failures))
	}
}

func TestOtherSitesCannotAct(t *testing.T) {
	d := open(t)
	key := d.raise()[0]
	li := d.login("李娜")
	for name, c := range map[string]struct {
		header, value string
		want          int
	}{
		"another origin":        {"Origin", "https://evil.example", http.StatusForbidden},
		"another port":          {"Origin", "http://127.0.0.1:1", http.StatusForbidden},
		"an opaque origin":      {"Origin", "null", http.StatusForbidden},
		"the browser's word":    {"Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		"a sister":              {"Sec-Fetch-Site", "same-site", http.StatusForbidden},
		"another name for here": {"Host", "evil.example", http.StatusMisdirectedRequest},
		"the page itself":       {"Origin", d.url, http.StatusOK},
	} {
		li.header = http.Header{c.header: {c.value}}
		if status, answer := li.call("POST", "/api/alarms/claim", key); status != c.want {
			t.Errorf("%s: %d %v, want %d", name, status, answer, c.want)
		}
	}
}

func TestWhatIsNoRequest(t *testing.T) {
	d := open(t)
	d.raise()
	li := d.login("李娜")
	for name, c := range map[string]struct {
		method, path, body string
		want               int
	}{
		"no JSON":         {"POST", "/api/alarms/claim", "{", http.StatusBadRequest},
		"an unknown key":  {"POST", "/api/alarms/claim", `{"station":"a","colour":"red"}`, http.StatusBadRequest},
		"no epoch":        {"POST", "/api/alarms/claim", `{"station":"a","epoch":"xyz","seq":1}`, http.StatusBadRequest},
		"too large":       {"POST", "/api/viewings", `{"offer":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusBadRequest},
		"unknown verb":    {"POST", "/api/alarms/dance", `{}`, http.StatusNotFound},
		"unknown alarm":   {"POST", "/api/alarms/claim", `{"station":"a","epoch":"0100000000000000","seq":9}`, http.StatusNotFound},
		"a bad page":      {"GET", "/api/alarms/recent?before=x", "", http.StatusBadRequest},
		"a bad position":  {"GET", "/api/events?after=-1", "", http.StatusBadRequest},
		"unknown viewing": {"DELETE", "/api/viewings/v", "", http.StatusNotFound},
		"wrong method":    {"PUT", "/api/alarms/claim", `{}`, http.StatusMethodNotAllowed},
	} {
		res := li.raw(c.method, c.path, []byte(c.body))
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", name, res.Status, c.want)
		}
	}
}

func TestEveryAnswerHasThePolicy(t *testing.T) {
	d := open(t)
	res := d.stranger().raw("GET", "/", nil)
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "the page" {
		t.Errorf("%s, %v", b, err)
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self'") {
		t.Errorf("policy %q", csp)
	}
	if res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("nosniff is missing")
	}
}

func TestClaimReleaseAcknowledge(t *testing.T) {
	d := open(t)
	key := d.raise()[0]
	li, wang := d.login("李娜"), d.login("王强")
	must := func(v *visitor, verb string, want int, field, value string) {
		t.Helper()
		status, answer := v.call("POST", "/api/alarms/"+verb, key)
		if status != want || answer[field] != value {
			t.Errorf("%s: %d %v, want %d with %s %q", verb, status, answer, want, field, value)
		}
	}
	must(li, "claim", http.StatusOK, "owner", "李娜")
	must(wang, "claim", http.StatusConflict, "owner", "李娜")
	must(wang, "acknowledge", http.StatusConflict, "kind", "taken")
	must(wang, "release", http.StatusConflict, "kind", "not_owner")
	must(li, "release", http.StatusOK, "state", "open")
	must(wang, "acknowledge", http.StatusOK, "closed_by", "王强")
	must(wang, "acknowledge", http.StatusOK, "state", "acknowledged")
	must(li, "claim", http.StatusConflict, "kind", "done")
	status, all := li.call("GET", "/api/alarms", nil)
	if recent, _ := all["recent"].([]any); status != http.StatusOK || all["open_total"] != 0.0 || len(recent) != 1 {
		t.Errorf("%d %v", status, all)
	}
}

// sse reads an event stream.
type sse struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Scanner
}

func (v *visitor) stream(lastEventID string) *sse {
	v.t.Helper()
	v.header = http.Header{"Last-Event-Id": {lastEventID}}
	res := v.raw("GET", "/api/events", nil)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		v.t.Fatalf("stream: %s", res.Status)
	}
	v.t.Cleanup(func() { res.Body.Close() })
	return &sse{v.t, res.Body, bufio.NewScanner(res.Body)}
}

// next is the next event of a name: its id and data.
func (s *sse) next(name string) (id string, data map[string]any) {
	s.t.Helper()
	found := false
	for s.in.Scan() {
		switch field, value, _ := strings.Cut(s.in.Text(), ": "); {
		case field == "event":
			found = value == name
		case found && field == "id":
			id = value
		case found && field == "data":
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				s.t.Fatal(err)
			}
			return id, data
		}
	}
	s.t.Fatalf("the stream ended: %v", s.in.Err())
	return "", nil
}

func TestTheStreamResumes(t *testing.T) {
	d := open(t)
	li := d.login("李娜")
	first := li.stream("0")
	d.raise()
	id, a := first.next("alarm")
	if a["seq"] != 1.0 || a["state"] != "open" {
		t.Errorf("%v", a)
	}
	first.body.Close()
	d.stop()
	d.raise()
	d.raise()
	d.start()
	again := li.stream(id)
	for want := 2.0; want <= 3; want++ {
		if _, a := again.next("alarm"); a["seq"] != want {
			t.Errorf("after the restart: %v, want seq %v", a["seq"], want)
		}
	}
	key := d.raise()[0]
	again.next("alarm")
	if status, _ := d.login("王强").call("POST", "/api/alarms/claim", key); status != http.StatusOK {
		t.Fatal(status)
	}
	if _, a := again.next("alarm"); a["owner"] != "王强" || a["seq"] != 4.0 {
		t.Errorf("another's claim: %v", a)
	}
}

// The daily test is told like an alarm, and the page says that it shows it.
func TestTheDailyTest(t *testing.T) {
	d := open(t)
	li := d.login("李娜")
	s := li.stream("0")
	key := d.raise(event.Draft{Kind: event.KindZoneChanged, Zone: "test", Source: "line/test",
		Body: event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagCode, "RP"), event.Text(event.TagReason, event.ReasonTest))})[0]
	if _, x := s.next("test"); x["seq"] != 1.0 || x["village"] != "草坪村" || x["painted"] != nil {
		t.Errorf("%v", x)
	}
	_, page := li.call("GET", "/api/alarms", nil)
	if tests := page["tests"].([]any); len(tests) != 1 || page["open_total"] != 0.0 {
		t.Errorf("a page begins with %v tests, %v alarms", tests, page["open_total"])
	}
	if status, _ := d.stranger().call("POST", "/api/tests/painted", key); status != http.StatusUnauthorized {
		t.Errorf("without a session: %d", status)
	}
	for range 2 {
		if status, _ := li.call("POST", "/api/tests/painted", key); status != http.StatusNoContent {
			t.Errorf("painted: %d", status)
		}
	}
	if _, x := s.next("test"); x["painted"] == nil {
		t.Errorf("after painting: %v", x)
	}
	key["seq"] = 99
	if status, x := li.call("POST", "/api/tests/painted", key); status != http.StatusNotFound || x["kind"] != "unknown_test" {
		t.Errorf("one that is not: %d %v", status, x)
	}
	if status, _ := li.call("POST", "/api/tests/painted", "nonsense"); status != http.StatusBadRequest {
		t.Errorf("nonsense: %d", status)
	}
}

func TestTheStreamTellsTheStations(t *testing.T) {
	d := open(t)
	s := d.login("李娜").stream("0")
	_, r := s.next("stations")
	list := r["stations"].([]any)
	if one := list[0].(map[string]any); len(list) != 1 || one["health"] != "never" || one["age"] != -1.0 {
		t.Errorf("%v", list)
	}
	if r["broker"].(map[string]any)["fault"] != "no broker here" || len(r["refused"].([]any)) != 1 {
		t.Errorf("%v", r)
	}
	word := topic.State{V: 1, Station: caoping().Station, Jurisdiction: "changshan", Online: true, Cameras: []topic.CameraState{{ID: "gate"}}}
	if err := d.book.Heard(t.Context(), ledger.Word{State: word, Heard: time.Now()}); err != nil {
		t.Fatal(err)
	}
	_, r = s.next("stations")
	if one := r["stations"].([]any)[0].(map[string]any); one["health"] != "fresh" || len(one["cameras"].([]any)) != 1 {
		t.Errorf("%v", one)
	}
}

// A browser that takes nothing costs no memory and loses nothing: the feed is its queue.
func TestASlowBrowserLosesNothing(t *testing.T) {
	d := open(t)
	s := d.login("李娜").stream("0")
	const many = 600
	for range many / 100 {
		var drafts []event.Draft
		for range 100 {
			drafts = append(drafts, event.Draft{Kind: event.KindPanelEvent, Source: "dc09/1", Body: event.NewBody(event.Text(event.TagText, strings.Repeat("长", 500)))})
		}
		d.raise(drafts...)
	}
	for want := range many {
		if _, a := s.next("alarm"); a["seq"] != float64(want+1) {
			t.Fatalf("seq %v, want %d", a["seq"], want+1)
		}
	}
}

func TestViewings(t *testing.T) {
	d := open(t)
	li, wang := d.login("李娜"), d.login("王强")
	wish := func(change map[string]string) map[string]string {
		w := map[string]string{"station": caoping().Station, "camera": "gate", "profile": "main", "purpose": "核实警情", "offer": "v=0"}
		for k, v := range change {
			w[k] = v
		}
		return w
	}
	for name, c := range map[string]struct {
		change map[string]string
		status int
		kind   string
	}{
		"no purpose":      {map[string]string{"purpose": "  "}, http.StatusBadRequest, "purpose"},
		"a long purpose":  {map[string]string{"purpose": strings.Repeat("x", maxPurpose+1)}, http.StatusBadRequest, "purpose"},
		"no camera":       {map[string]string{"camera": ""}, http.StatusBadRequest, "request"},
		"no such profile": {map[string]string{"profile": "best"}, http.StatusBadRequest, "request"},
		"no offer":        {map[string]string{"offer": ""}, http.StatusBadRequest, "request"},
		"unknown station": {map[string]string{"station": "nobody"}, http.StatusNotFound, "unknown_station"},
	} {
		if status, answer := li.call("POST", "/api/viewings", wish(c.change)); status != c.status || answer["kind"] != c.kind {
			t.Errorf("%s: %d %v, want %d %s", name, status, answer, c.status, c.kind)
		}
	}
	if asked := d.stations.commands(); asked != "" {
		t.Errorf("stations were asked: %s", asked)
	}
	refuse := func(err error) func(string, any) (topic.Reply, error) {
		return func(string, any) (topic.Reply, error) { return topic.Reply{}, err }
	}
	for kind, err := range map[string]error{
		"denied": &topic.Problem{Kind: "denied", Message: "no rule"}, "silent": fmt.Errorf("x: %w", intake.ErrSilent), "centre": errors.New("disk full"),
	} {
		d.stations.say(refuse(err))
		if status, answer := li.call("POST", "/api/viewings", wish(nil)); status != http.StatusBadGateway || answer["kind"] != kind {
			t.Errorf("%s: %d %v", kind, status, answer)
		}
	}
	d.stations.say(func(kind string, body any) (topic.Reply, error) {
		if kind == topic.CommandViewingClose {
			return topic.Reply{OK: true}, nil
		}
		open := body.(topic.ViewingOpen)
		if open.Who != "李娜" || open.Role != roleDispatcher || open.Purpose != "核实警情" {
			t.Errorf("the station is asked %+v", open)
		}
		if v, err := d.book.Viewing(context.Background(), open.Viewing); err != nil || v.Outcome != "asked" || v.Who != "李娜" {
			t.Errorf("on record before the station is asked: %+v, %v", v, err)
		}
		b, err := json.Marshal(topic.ViewingAnswer{Viewing: open.Viewing, Answer: "v=1"})
		return topic.Reply{OK: true, Body: b}, err
	})
	status, answer := li.call("POST", "/api/viewings", wish(nil))
	if status != http.StatusOK || answer["answer"] != "v=1" {
		t.Fatalf("%d %v", status, answer)
	}
	id := answer["id"].(string)
	if status, _ := wang.call("DELETE", "/api/viewings/"+id, nil); status != http.StatusNotFound {
		t.Errorf("another ends the viewing: %d", status)
	}
	if live, err := d.book.Live(t.Context()); err != nil || len(live) != 1 || live[0].ID != id {
		t.Errorf("%+v, %v", live, err)
	}
	if status, _ := li.call("DELETE", "/api/viewings/"+id, nil); status != http.StatusNoContent {
		t.Errorf("ending it: %d", status)
	}
	if v, err := d.book.Viewing(t.Context(), id); err != nil || v.Outcome != "closed" {
		t.Errorf("%+v, %v", v, err)
	}
	limit := time.After(10 * time.Second)
	for !strings.HasSuffix(d.stations.commands(), "viewing.close to cs-baishi-caoping") {
		select {
		case <-limit:
			t.Fatalf("the station was not told: %s", d.stations.commands())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:80": "without an identity system", ":80": "without an identity system", "[::]:80": "without an identity system",
		"192.0.2.1:80": "without an identity system", "127.0.0.1": "want HOST:PORT", "127.0.0.1:80": "", "[::1]:80": "", "localhost:80": "",
	} {
		err := loopbackOnly(t.Context(), listen)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", listen, err, want)
		}
	}
	taken := open(t)
	_, err := Listen(t.Context(), Options{Listen: strings.TrimPrefix(taken.url, "http://"), Ledger: taken.book})
	if err == nil || !strings.Contains(err.Error(), "give another address with --listen") {
		t.Errorf("a port that is taken: %v", err)
	}
}
