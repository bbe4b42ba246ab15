package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"watchpost/storage/event"
	"watchpost/uplink/command"
	"watchpost/uplink/topic"
)

// village is a station made of wire: frames and states over MQTT with its own certificate, and what the centre commanded.
type village struct {
	t       *testing.T
	address topic.Address
	name    string
	files   string
	epoch   event.Epoch
	client  paho.Client

	mu       sync.Mutex // guards the fields below
	seq      uint64
	last     map[event.Lane]uint64
	receipts map[event.Lane]uint64
	commands []topic.Command
	answer   func(topic.Command) (body any, problem *topic.Problem)
	verifier *command.Verifier
}

// enrol puts a station into the centre's roster.
func enrol(t *testing.T, dir, jurisdiction, id, name string) *village {
	t.Helper()
	v := &village{
		t: t, address: topic.Address{Jurisdiction: jurisdiction, Station: id}, name: name, files: filepath.Join(t.TempDir(), id),
		last: make(map[event.Lane]uint64), receipts: make(map[event.Lane]uint64),
	}
	rand.Read(v.epoch[:])
	dispatch(t, "enrol", "--dir", dir, "--jurisdiction", jurisdiction, "--station", id, "--name", name, "--out", v.files)
	text, err := os.ReadFile(filepath.Join(v.files, "command.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if v.verifier, err = command.NewVerifier(v.address, ed25519.PublicKey(key)); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *village) tls() *tls.Config {
	v.t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(v.files, "station.pem"), filepath.Join(v.files, "station-key.pem"))
	if err != nil {
		v.t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(v.files, "ca.pem"))
	if err != nil {
		v.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// connect begins a clean session and subscribes the station's commands.
func (v *village) connect(broker string) {
	v.t.Helper()
	if v.client != nil {
		v.client.Disconnect(0)
	}
	v.client = v.dial(broker, v.tls())
	v.wait(v.client.Connect())
	v.wait(v.client.Subscribe(v.address.Cmd(), 1, v.obey))
	client := v.client
	v.t.Cleanup(func() { client.Disconnect(100) })
}

func (v *village) dial(broker string, config *tls.Config) paho.Client {
	will, err := json.Marshal(topic.State{V: topic.Version, Station: v.address.Station, Jurisdiction: v.address.Jurisdiction, At: time.Now()})
	if err != nil {
		v.t.Fatal(err)
	}
	return paho.NewClient(paho.NewClientOptions().AddBroker(broker).SetClientID(v.address.Station).SetTLSConfig(config).
		SetAutoReconnect(false).SetConnectTimeout(10*time.Second).SetWriteTimeout(5*time.Second).
		SetBinaryWill(v.address.State(), will, 1, true))
}

func (v *village) wait(token paho.Token) {
	v.t.Helper()
	if !token.WaitTimeout(10 * time.Second) {
		v.t.Fatal("the broker does not answer")
	}
	if err := token.Error(); err != nil {
		v.t.Fatal(err)
	}
}

// obey checks and notes a command, and answers it if the test has an answer.
func (v *village) obey(_ paho.Client, m paho.Message) {
	cmd, err := v.verifier.Verify(m.Payload(), time.Now(), true)
	if err != nil {
		v.t.Errorf("a command of the centre is not believed: %v", err)
		return
	}
	v.mu.Lock()
	v.commands = append(v.commands, cmd)
	answer := v.answer
	if cmd.Kind == topic.CommandReceipt {
		var r topic.Receipt
		if err := json.Unmarshal(cmd.Body, &r); err != nil || r.Station != v.address.Station {
			v.t.Errorf("receipt %s: %v", cmd.Body, err)
		}
		if r.Epoch == v.epoch {
			v.receipts[r.Lane] = r.Upto
		}
		answer = nil
	}
	v.mu.Unlock()
	if answer == nil {
		return
	}
	body, problem := answer(cmd)
	b, err := json.Marshal(body)
	if err != nil {
		v.t.Error(err)
	}
	reply, err := json.Marshal(topic.Reply{V: topic.Version, ID: cmd.ID, Station: v.address.Station, OK: problem == nil, Error: problem, Body: b})
	if err != nil {
		v.t.Error(err)
	}
	v.client.Publish(v.address.Reply(cmd.ID), 1, false, reply) // never waited for inside a handler
}

// answers sets what the station says to commands other than receipts.
func (v *village) answers(f func(topic.Command) (any, *topic.Problem)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = f
}

// state is what the station says of itself.
func (v *village) state() topic.State {
	v.mu.Lock()
	defer v.mu.Unlock()
	heads := make(map[event.Lane]uint64)
	for lane, seq := range v.last {
		heads[lane] = seq
	}
	return topic.State{
		V: topic.Version, Station: v.address.Station, Jurisdiction: v.address.Jurisdiction, Name: v.name, Online: true, At: time.Now(),
		Epoch: v.epoch, Version: "test", Heads: heads,
		Zones: []topic.ZoneState{
			{ID: "office-door", Name: "警务室大门", State: "normal", Camera: "gate"}, {ID: "panic-button", Name: "紧急按钮", State: "normal"},
		},
		Panels:  []topic.PanelState{{Account: "1409", Name: "草坪小学", State: "up", Camera: "square"}},
		Cameras: []topic.CameraState{{ID: "gate", Name: "村口", State: "up"}, {ID: "square", Name: "广场", State: "idle"}},
	}
}

// online tells the state, retained, as a station does on connecting and every 30 s.
func (v *village) online() {
	v.t.Helper()
	b, err := json.Marshal(v.state())
	if err != nil {
		v.t.Fatal(err)
	}
	v.wait(v.client.Publish(v.address.State(), 1, true, b))
}

// next makes events of the station's log without sending them.
func (v *village) next(drafts ...event.Draft) []event.Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	var es []event.Event
	for _, d := range drafts {
		v.seq++
		if d.At.IsZero() {
			d.At = time.Now().UTC()
		}
		d.ClockQuality = event.ClockSynced
		es = append(es, d.Event(v.address.Station, v.epoch, v.seq))
	}
	return es
}

// frame links events of one lane to the chain.
func (v *village) frame(es ...event.Event) topic.Frame {
	v.mu.Lock()
	defer v.mu.Unlock()
	lane := es[0].Lane
	f := topic.Frame{Epoch: v.epoch, Lane: lane, Prev: v.last[lane], Events: es}
	v.last[lane] = es[len(es)-1].Seq
	return f
}

// publish sends a frame and waits for the broker's PUBACK, which says nothing of the centre.
func (v *village) publish(f topic.Frame) {
	v.t.Helper()
	b, err := topic.AppendFrame(nil, f)
	if err != nil {
		v.t.Fatal(err)
	}
	v.wait(v.client.Publish(v.address.Event(f.Lane), 1, false, b))
}

// raise logs a fact and sends it.
func (v *village) raise(d event.Draft) event.Event {
	v.t.Helper()
	e := v.next(d)[0]
	v.publish(v.frame(e))
	return e
}

// receipted waits until the centre has said that it has stored a lane up to seq.
func (v *village) receipted(lane event.Lane, seq uint64) {
	v.t.Helper()
	eventually(v.t, "receipt of "+lane.String(), func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.receipts[lane] == seq
	})
}

// commanded waits for a command of a kind and returns the first.
func (v *village) commanded(kind string) topic.Command {
	v.t.Helper()
	var cmd topic.Command
	eventually(v.t, "command "+kind, func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		i := slices.IndexFunc(v.commands, func(c topic.Command) bool { return c.Kind == kind })
		if i >= 0 {
			cmd = v.commands[i]
		}
		return i >= 0
	})
	return cmd
}

// doorOpened is somebody at the door of the police office.
func doorOpened() event.Draft {
	return event.Draft{
		Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Zone: "office-door", Source: "line/office-door",
		Body: event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagPrevious, "normal"), event.Text(event.TagLine, "door")),
	}
}

// doorClosed ends it.
func doorClosed() event.Draft {
	return event.Draft{
		Kind: event.KindZoneChanged, Qualifier: event.QualifierRestore, Severity: event.SeverityNotice, Zone: "office-door", Source: "line/office-door",
		Body: event.NewBody(event.Text(event.TagState, "normal"), event.Text(event.TagPrevious, "active")),
	}
}

// panelSays is an alarm that a panel reported.
func panelSays(code, text string) event.Draft {
	return event.Draft{
		Kind: event.KindPanelEvent, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "dc09/1409",
		Body: event.NewBody(event.Text(event.TagFormat, "sia"), event.Text(event.TagCode, code), event.Text(event.TagAccount, "1409"),
			event.Text(event.TagArea, "1"), event.Text(event.TagText, text)),
	}
}

// note is something that asks nothing of people.
func note(text string) event.Draft {
	return event.Draft{Kind: event.KindCentreFilter, Qualifier: event.QualifierStatus, Severity: event.SeverityNotice, Source: "station",
		Body: event.NewBody(event.Text(event.TagText, text))}
}
