package mqtt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"watchpost/storage/event"
	"watchpost/uplink/outbox"
	"watchpost/uplink/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a session at work, and what it told.
type rig struct {
	tb      testing.TB
	session *Session

	mu       sync.Mutex // guards the fields below
	changes  []Change
	commands [][]byte
	journal  bytes.Buffer
}

func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.Write(p)
}

func (r *rig) changed(c Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, c)
}

func (r *rig) command(_ context.Context, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands = append(r.commands, b)
}

// faults lists the changes so far: "up" or the fault's word.
func (r *rig) faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, c := range r.changes {
		if c.Up {
			list = append(list, "up")
		} else {
			list = append(list, c.Fault.String())
		}
	}
	return list
}

func (r *rig) lastError() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.changes) == 0 || r.changes[len(r.changes)-1].Err == nil {
		return ""
	}
	return r.changes[len(r.changes)-1].Err.Error()
}

func (r *rig) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.String()
}

// options are those of a test: everything quick.
func options(id, address string, files Files) Options {
	return Options{
		Centre: "changshan", Broker: "tls://" + address, Address: station(id), Files: files,
		KeepAlive: time.Second, ConnectTimeout: 3 * time.Second, AckTimeout: time.Second, Heartbeat: time.Hour,
		BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond, BackoffRefused: 50 * time.Millisecond,
	}
}

// run starts a session; stop ends it and waits for it. stop is also called at the end of the test.
func run(tb testing.TB, o Options) (r *rig, stop func()) {
	tb.Helper()
	r = &rig{tb: tb}
	o.Logger = textLogger(r)
	o.Changed = r.changed
	if o.Command == nil {
		o.Command = r.command
	}
	var err error
	if r.session, err = New(o); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.session.Run(ctx); err != nil {
			tb.Errorf("the session ended: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	tb.Cleanup(func() {
		stop()
		if tb.Failed() {
			tb.Logf("the session said:\n%s", r.said())
		}
	})
	return r, stop
}

func (r *rig) waitFor(fault string) {
	r.tb.Helper()
	eventually(r.tb, fault, func() bool {
		f := r.faults()
		return len(f) > 0 && f[len(f)-1] == fault
	})
}

// ear is the centre's client: it hears everything.
type ear struct {
	options *paho.ClientOptions
	client  paho.Client

	mu    sync.Mutex // guards the field below
	heard []paho.Message
}

func listen(tb testing.TB, b broker, files Files) *ear {
	tb.Helper()
	e := &ear{}
	e.options = paho.NewClientOptions().AddBroker("tls://" + b.address()).SetClientID(fmt.Sprintf("centre-%d", time.Now().UnixNano())).
		SetTLSConfig(files.config(tb)).SetAutoReconnect(false)
	e.connect(tb)
	tb.Cleanup(func() { e.client.Disconnect(100) })
	return e
}

// connect makes a new connection and waits until the broker has granted what it hears.
func (e *ear) connect(tb testing.TB) {
	tb.Helper()
	e.client = paho.NewClient(e.options)
	hear := func(_ paho.Client, m paho.Message) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard = append(e.heard, m)
	}
	for _, t := range []func() paho.Token{e.client.Connect, func() paho.Token { return e.client.Subscribe("wp/v1/#", 1, hear) }} {
		if t := t(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
			tb.Fatalf("the centre cannot listen: %v", t.Error())
		}
	}
}

func (e *ear) say(tb testing.TB, name string, payload []byte) {
	tb.Helper()
	if t := e.client.Publish(name, 1, false, payload); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		tb.Logf("the centre cannot publish on %s: %v", name, t.Error())
	}
}

func (e *ear) topics() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, m := range e.heard {
		list = append(list, m.Topic())
	}
	return list
}

// states are the states of a station, in order.
func (e *ear) states(tb testing.TB, id string) []topic.State {
	tb.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []topic.State
	for _, m := range e.heard {
		if m.Topic() != station(id).State() {
			continue
		}
		s, err := topic.DecodeMessage[topic.State](m.Payload())
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func (e *ear) online(tb testing.TB, id string) string {
	text := ""
	for _, s := range e.states(tb, id) {
		if s.Station != id || s.Jurisdiction != "changshan" || s.At.IsZero() {
			tb.Fatalf("a state that does not say whose: %+v", s)
		}
		text += map[bool]string{true: "+", false: "-"}[s.Online]
	}
	return text
}

// TestBroker is what a station asks of a broker, and what a session does with one. Every broker passes all of it.
func TestBroker(t *testing.T) {
	for name, make := range brokers() {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t, "county")
			b := make(t, ca)
			b.start(t)
			t.Cleanup(func() { b.kill(t) })
			for _, test := range []struct {
				name string
				run  func(*testing.T, broker, *authority)
			}{
				{"birth, heartbeat, farewell", testBirth}, {"will", testWill}, {"command and reply", testCommand},
				{"half-open", testHalfOpen}, {"certificates", testCertificates}, {"no clock", testNoClock}, {"denied topic", testDeniedTopic},
				{"killed mid-stream", testKilled},
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, b, ca) })
			}
		})
	}
}

func testBirth(t *testing.T, b broker, ca *authority) {
	centre := listen(t, b, ca.issue(t, centreID, time.Hour))
	o := options(stationID, b.address(), ca.issue(t, stationID, time.Hour))
	o.State = func() topic.State { return topic.State{Name: "草坪村", Station: "somebody else", V: 9} }
	o.Heartbeat = 100 * time.Millisecond
	r, stop := run(t, o)
	eventually(t, "birth and two heartbeats", func() bool { return strings.HasPrefix(centre.online(t, stationID), "+++") })
	if s := centre.states(t, stationID)[0]; s.Name != "草坪村" {
		t.Fatalf("birth says %+v", s)
	}
	stop()
	eventually(t, "farewell", func() bool { return strings.HasSuffix(centre.online(t, stationID), "+-") })
	late := listen(t, b, ca.issue(t, centreID, time.Hour)) // asks what is retained
	eventually(t, "retained farewell", func() bool { return late.online(t, stationID) == "-" })
	if got := r.faults(); !slices.Equal(got, []string{"up"}) {
		t.Fatalf("changes %v", got)
	}
}

func testWill(t *testing.T, b broker, ca *authority) {
	centre := listen(t, b, ca.issue(t, centreID, time.Hour))
	w := newWire(t, b.address())
	r, _ := run(t, options(stationID, w.address(), ca.issue(t, stationID, time.Hour)))
	r.waitFor("up")
	eventually(t, "birth", func() bool { return strings.HasSuffix(centre.online(t, stationID), "+") })
	w.cut()
	eventually(t, "will, then birth", func() bool { return strings.HasSuffix(centre.online(t, stationID), "+-+") })
	eventually(t, "up again", func() bool { return slices.Equal(r.faults(), []string{"up", "lost", "up"}) })
	r.session.Announce()
	eventually(t, "announced", func() bool { return strings.HasSuffix(centre.online(t, stationID), "+-++") })
	q := r.session.Quality()
	if q.Connects != 2 || len(q.Faults) != 1 || q.Faults[FaultLost] != 1 || q.Up <= 0 || q.RTTMedian <= 0 || q.RTTMedian > q.RTTWorst {
		t.Errorf("quality %+v", q)
	}
	if q.BytesOut < 2000 || q.BytesIn < 1000 { // two handshakes with certificates
		t.Errorf("%d bytes out, %d in", q.BytesOut, q.BytesIn)
	}
}

func testCommand(t *testing.T, b broker, ca *authority) {
	centre := listen(t, b, ca.issue(t, centreID, time.Hour))
	r, _ := run(t, options(stationID, b.address(), ca.issue(t, stationID, time.Hour)))
	reply := topic.Reply{ID: "c1", OK: true, Body: json.RawMessage(`{"a":1}`)}
	if err := r.session.Reply(t.Context(), reply); len(r.faults()) == 0 && !errors.Is(err, ErrDown) {
		t.Fatalf("a reply without a link: %v", err)
	}
	r.waitFor("up")
	big := bytes.Repeat([]byte("x"), topic.MaxPayload+5000)
	for _, p := range [][]byte{[]byte("one"), big[:topic.MaxPayload], big, []byte("two")} {
		centre.say(t, station(stationID).Cmd(), p)
	}
	centre.say(t, station(muteID).Cmd(), []byte("not ours"))
	eventually(t, "four commands", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.commands) == 4 })
	for i, want := range []int{3, topic.MaxPayload, topic.MaxPayload + 1, 3} {
		if len(r.commands[i]) != want {
			t.Fatalf("command %d has %d bytes, want %d", i, len(r.commands[i]), want)
		}
	}
	if err := r.session.Reply(t.Context(), reply); err != nil {
		t.Fatal(err)
	}
	eventually(t, "reply", func() bool { return slices.Contains(centre.topics(), station(stationID).Reply("c1")) })
	for name, bad := range map[string]topic.Reply{
		"no topic": {ID: "a/b"}, "no JSON": {ID: "c2", Body: json.RawMessage("{")},
		"too long": {ID: "c3", Body: json.RawMessage(`"` + string(big) + `"`)},
	} {
		if err := r.session.Reply(t.Context(), bad); err == nil {
			t.Errorf("%s: a reply went out", name)
		}
	}
}

// A line that is dead without anybody saying so shows within the ack timeout, and the next link is whole.
func testHalfOpen(t *testing.T, b broker, ca *authority) {
	w := newWire(t, b.address())
	o := options(stationID, w.address(), ca.issue(t, stationID, time.Hour))
	o.Serve = func(ctx context.Context, l *Link) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				if err := l.Publish(ctx, station(stationID).Event(event.LaneMain), []byte("x"), nil); err != nil {
					return err
				}
			}
		}
	}
	r, _ := run(t, o)
	r.waitFor("up")
	w.hush()
	eventually(t, "silent, then up", func() bool { return slices.Equal(r.faults(), []string{"up", "broker_silent", "up"}) })

	quiet, _ := run(t, options(muteID, w.address(), ca.issue(t, muteID, time.Hour)))
	quiet.waitFor("up")
	w.hush() // with nothing to send, MQTT's own ping finds it
	eventually(t, "silent, then up", func() bool { return slices.Equal(quiet.faults(), []string{"up", "broker_silent", "up"}) })
}

func testCertificates(t *testing.T, b broker, ca *authority) {
	stranger := newAuthority(t, "stranger")
	good := ca.issue(t, stationID, time.Hour)
	foreign := stranger.issue(t, stationID, time.Hour)
	stale := ca.issue(t, stationID, -time.Minute)
	for _, test := range []struct {
		name, fault, remedy string
		files               Files
	}{
		{"another CA", "broker_untrusted", foreign.CA, Files{CA: foreign.CA, Cert: good.Cert, Key: good.Key}},
		{"certificate of another CA", "certificate_refused", foreign.Cert, Files{CA: good.CA, Cert: foreign.Cert, Key: foreign.Key}},
		{"expired certificate", "certificate_refused", stale.Cert, stale},
		{"another name", "name_mismatch", "server_name", Files{CA: good.CA, Cert: good.Cert, Key: good.Key, ServerName: "broker.example"}},
		{"no such file", "files", "nowhere.pem", Files{CA: "nowhere.pem", Cert: good.Cert, Key: good.Key}},
		{"no certificate", "files", good.Key, Files{CA: good.Key, Cert: good.Cert, Key: good.Key}},
		{"key of another", "files", foreign.Key, Files{CA: good.CA, Cert: good.Cert, Key: foreign.Key}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, stop := run(t, options(stationID, b.address(), test.files))
			eventually(t, "a change", func() bool { return len(r.faults()) > 0 })
			n := 0
			eventually(t, "some more attempts", func() bool { n++; return n > 20 })
			stop()
			if got := r.faults(); !slices.Equal(got, []string{test.fault}) || !strings.Contains(r.lastError(), test.remedy) {
				t.Fatalf("got %v: %s; want %s once, naming %s", got, r.lastError(), test.fault, test.remedy)
			}
		})
	}
}

// A box without a battery for its clock wakes up in 1970: the time from which its own certificate is good has passed for
// certain, and so it finds its broker and learns the time. The state says what the clock says, for people to see.
func testNoClock(t *testing.T, b broker, ca *authority) {
	centre := listen(t, b, ca.issue(t, centreID, time.Hour))
	o := options(stationID, b.address(), ca.issue(t, stationID, time.Hour))
	o.Now = func() time.Time { return time.Unix(86400, 0) }
	r, stop := run(t, o)
	r.waitFor("up")
	eventually(t, "birth in 1970", func() bool { s := centre.states(t, stationID); return len(s) > 0 && s[len(s)-1].At.Year() == 1970 })
	stop()
	o.Now = func() time.Time { return time.Now().Add(48 * time.Hour) } // the floor lets no certificate live longer
	r, _ = run(t, o)
	r.waitFor("broker_untrusted")
}

// shelf is an event log in memory.
type shelf struct {
	mu      sync.Mutex // guards the fields below
	events  []event.Event
	wake    chan struct{}
	cursors map[event.Lane]uint64
}

var _ outbox.Log = (*shelf)(nil)

func newShelf() *shelf { return &shelf{wake: make(chan struct{}), cursors: map[event.Lane]uint64{}} }

func (s *shelf) Epoch() event.Epoch { return event.Epoch{7} }

func (s *shelf) Read(lane event.Lane, after uint64, n int) (list []event.Event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events[min(int(after), len(s.events)):] {
		if e.Lane == lane && len(list) < n {
			list = append(list, e)
		}
	}
	return list, nil
}

func (s *shelf) Cursor(_ string, lane event.Lane) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursors[lane], nil
}

func (s *shelf) SetCursor(_ string, lane event.Lane, upto uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursors[lane] = upto
	return nil
}

func (s *shelf) Wake() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wake
}

func (s *shelf) add(id string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		severity := event.SeverityNotice
		if len(s.events)%7 == 0 {
			severity = event.SeverityAlarm
		}
		s.events = append(s.events, event.Draft{
			At: time.Now(), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Source: "line/door", Severity: severity,
		}.Event(id, s.Epoch(), uint64(len(s.events)+1)))
	}
	close(s.wake)
	s.wake = make(chan struct{})
}

// store is the centre's: the chain rule over what the ear heard.
type store struct {
	box   *outbox.Outbox
	from  int
	heads map[event.Lane]uint64
	kept  map[event.Lane][]uint64
}

// take stores what came since the last call and answers receipts for it.
func (s *store) take(t *testing.T, e *ear, id string) {
	t.Helper()
	e.mu.Lock()
	fresh := slices.Clone(e.heard[s.from:])
	s.from = len(e.heard)
	e.mu.Unlock()
	for _, m := range fresh {
		a, leaf, _, err := topic.Parse(m.Topic())
		if err != nil || leaf != topic.LeafEvent || a != station(id) {
			continue
		}
		f, err := topic.DecodeFrame(id, m.Payload())
		if err != nil {
			t.Fatal(err)
		}
		v, events := topic.Accept(s.heads[f.Lane], f)
		if v == topic.VerdictStore {
			for _, e := range events {
				s.kept[f.Lane] = append(s.kept[f.Lane], e.Seq)
			}
			s.heads[f.Lane] = f.Last()
		}
		if err := s.box.Receipt(topic.Receipt{Station: id, Epoch: f.Epoch, Lane: f.Lane, Upto: s.heads[f.Lane]}); err != nil {
			t.Fatal(err)
		}
	}
}

func drain(t *testing.T, id, address string, files Files, log *shelf, report func(outbox.Report)) (*rig, *store) {
	t.Helper()
	box, err := outbox.New(outbox.Options{
		Log: log, Centre: "changshan", Address: station(id), Report: report, Settings: outbox.Settings{FrameEvents: 3, StallAfter: 500 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := options(id, address, files)
	o.Serve = func(ctx context.Context, l *Link) error { return box.Run(ctx, l) }
	r, _ := run(t, o)
	return r, &store{box: box, heads: map[event.Lane]uint64{}, kept: map[event.Lane][]uint64{}}
}

// The broker acknowledges what its permissions forbid; the outbox shows it as missing receipts.
func testDeniedTopic(t *testing.T, b broker, ca *authority) {
	log := newShelf()
	log.add(muteID, 10)
	stalled := make(chan outbox.Report, 100)
	r, _ := drain(t, muteID, b.address(), ca.issue(t, muteID, time.Hour), log, func(p outbox.Report) { stalled <- p })
	r.waitFor("up")
	for range 2 { // both lanes
		select {
		case p := <-stalled:
			if p.Kind != outbox.ReportStalled || !strings.Contains(p.Text, "permissions") {
				t.Fatalf("report %+v", p)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was reported")
		}
	}
	if got := r.faults(); !slices.Equal(got, []string{"up"}) {
		t.Fatalf("changes %v", got)
	}
}

func testKilled(t *testing.T, b broker, ca *authority) {
	centre := listen(t, b, ca.issue(t, centreID, time.Hour))
	log := newShelf()
	log.add(stationID, 100)
	r, s := drain(t, stationID, b.address(), ca.issue(t, stationID, time.Hour), log, nil)
	r.waitFor("up")
	for i := range 3 {
		log.add(stationID, 200)
		eventually(t, "some were stored", func() bool { s.take(t, centre, stationID); return len(s.kept[event.LaneMain]) > 100+150*i })
		log.add(stationID, 200)
		b.kill(t)
		log.add(stationID, 50)
		eventually(t, "the loss is noticed", func() bool { f := r.faults(); return f[len(f)-1] != "up" })
		b.start(t)
		centre.connect(t)
	}
	eventually(t, "all are stored and receipted", func() bool {
		s.take(t, centre, stationID)
		stored := s.box.Stored()
		return len(s.kept[event.LaneMain])+len(s.kept[event.LaneAlarm]) >= len(log.events) &&
			stored[event.LaneMain] == s.heads[event.LaneMain] && stored[event.LaneAlarm] == s.heads[event.LaneAlarm]
	})
	if slices.Contains(r.faults(), "own") {
		t.Fatalf("the broker's death was told as our own: %v", r.faults())
	}
	for _, lane := range []event.Lane{event.LaneAlarm, event.LaneMain} {
		var want []uint64
		for _, e := range log.events {
			if e.Lane == lane {
				want = append(want, e.Seq)
			}
		}
		if !slices.Equal(s.kept[lane], want) {
			t.Fatalf("lane %s: %d stored, want %d: lost, twice or out of order", lane, len(s.kept[lane]), len(want))
		}
	}
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
