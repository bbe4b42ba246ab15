package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// impostor has broken into the centre's broker: it publishes what it likes with the centre's own certificate, and hears the
// replies. Whether it has the command key as well is up to the test.
type impostor struct {
	t       testing.TB
	client  paho.Client
	key     ed25519.PrivateKey
	to      topic.Address
	replies chan topic.Reply
}

func (c *centre) impostor(to topic.Address) *impostor {
	c.t.Helper()
	own, err := tls.LoadX509KeyPair(filepath.Join(c.dir, "centre.pem"), filepath.Join(c.dir, "centre-key.pem"))
	if err != nil {
		c.t.Fatal(err)
	}
	secret, err := x509.ParsePKCS8PrivateKey(unpem(c.t, filepath.Join(c.dir, "command-key.pem")))
	if err != nil {
		c.t.Fatal(err)
	}
	root, err := x509.ParseCertificate(unpem(c.t, filepath.Join(c.dir, "ca.pem")))
	if err != nil {
		c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	i := &impostor{t: c.t, key: secret.(ed25519.PrivateKey), to: to, replies: make(chan topic.Reply, 64)}
	i.client = paho.NewClient(paho.NewClientOptions().AddBroker(c.broker).SetClientID("impostor").
		SetTLSConfig(&tls.Config{Certificates: []tls.Certificate{own}, RootCAs: roots}))
	i.settle(i.client.Connect())
	i.settle(i.client.Subscribe(to.Reply("+"), 1, func(_ paho.Client, m paho.Message) {
		r, err := topic.DecodeMessage[topic.Reply](m.Payload())
		if err != nil {
			r.ID = err.Error()
		}
		i.replies <- r
	}))
	c.t.Cleanup(func() { i.client.Disconnect(250) })
	return i
}

func (i *impostor) settle(token paho.Token) {
	i.t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		i.t.Fatalf("impostor at the broker: %v", token.Error())
	}
}

// command is a viewing.open with a time and a lifetime.
func (i *impostor) command(id, offer string, now time.Time, life time.Duration) topic.Command {
	body, err := json.Marshal(topic.ViewingOpen{
		Viewing: "viewing-" + id, Camera: "gate", Profile: "main", Purpose: "verify", Who: dispatcher, Role: "dispatcher", Offer: offer,
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return topic.Command{V: topic.Version, ID: id, Now: now, Expires: now.Add(life), Kind: topic.CommandViewingOpen, Body: body}
}

// sign makes the wire form of a command: an Ed25519 signature over the addressed station's topic, a NUL and the JSON; then the
// JSON.
func (i *impostor) sign(key ed25519.PrivateKey, to topic.Address, cmd topic.Command) []byte {
	text, err := json.Marshal(cmd)
	if err != nil {
		i.t.Fatal(err)
	}
	return append(ed25519.Sign(key, append([]byte(to.Cmd()+"\x00"), text...)), text...)
}

func (i *impostor) publish(payload []byte) {
	i.t.Helper()
	i.settle(i.client.Publish(i.to.Cmd(), 1, false, payload))
}

// reply waits for the answer to a command; the answers before it must be to other commands.
func (i *impostor) reply(id string) topic.Reply {
	i.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case r := <-i.replies:
			if r.ID == id {
				return r
			}
		case <-limit.C:
			i.t.Fatalf("no reply to command %s", id)
		}
	}
}

// obeyed sends a command that the station understands and denies, and waits for the answer: all that was sent before has been
// looked at by then.
func (i *impostor) obeyed(id string) {
	i.t.Helper()
	cmd := i.command(id, "", time.Now(), time.Minute)
	cmd.Kind = "unheard.of"
	i.publish(i.sign(i.key, i.to, cmd))
	if r := i.reply(id); r.OK || r.Error == nil || r.Error.Kind != "unknown_kind" || !strings.Contains(r.Error.Message, "update the station") {
		i.t.Errorf("answer to an unknown kind: %+v", r)
	}
}

// commandRefused is a command.refused event for a reason.
func commandRefused(reason string) func(event.Event) bool {
	return func(e event.Event) bool {
		why, _ := e.Body.Text(event.TagReason)
		return e.Kind == event.KindCommandRefused && why == reason
	}
}

// TestFaultCommands: with the broker in strange hands, and even with a stolen command of the centre, no viewing opens that the
// centre did not ask this station for, just now, once. Each attempt is told to the centre.
func TestFaultCommands(t *testing.T) {
	url, _ := newCamera(t)
	c := newCentre(t)
	p := caoping(c)
	p.cameras = []string{url}
	v := p.build(t)
	v.start()
	v.drained() // the station has heard the centre's time
	i := c.impostor(topic.Address{Jurisdiction: "changshan", Station: v.id})
	_, forger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	eye := newViewer(t)

	i.publish(i.sign(forger, i.to, i.command("forged", eye.offer, time.Now(), time.Minute)))
	c.awaitStored(v.id, "a refusal of the forged command", commandRefused("bad_signature")) // repeats are only counted for a minute
	i.publish([]byte("no command at all"))
	i.publish(nil)
	long := i.command("oversized", eye.offer, time.Now(), time.Minute)
	long.Body = append(long.Body[:len(long.Body)-1], (`,"padding":"` + strings.Repeat("x", topic.MaxPayload) + `"}`)...)
	i.publish(i.sign(i.key, i.to, long))
	i.publish(i.sign(i.key, i.to, i.command("eternal", eye.offer, time.Now(), 24*time.Hour)))
	i.publish(i.sign(i.key, i.to, i.command("expired", eye.offer, time.Now().Add(-20*time.Minute), time.Minute)))
	if r := i.reply("expired"); r.OK || r.Error == nil || r.Error.Kind != "expired" || !strings.Contains(r.Error.Message, "send it again") {
		t.Errorf("answer to an expired command: %+v", r)
	}
	i.obeyed("first-marker")
	for reason, remedy := range map[string]string{
		"bad_signature": "check command_key", "oversized": "send a smaller body", "malformed": "lifetime", "expired": "send it again", "unknown_kind": "update the station",
	} {
		e := c.awaitStored(v.id, "a refusal as "+reason, commandRefused(reason))
		if detail, _ := e.Body.Text(event.TagDetail); !strings.Contains(detail, remedy) {
			t.Errorf("%s: the event does not say %q: %q", reason, remedy, detail)
		}
		v.agent.says(remedy)
	}

	genuine := i.sign(i.key, i.to, i.command("genuine", eye.offer, time.Now(), 5*time.Minute))
	i.publish(genuine)
	if r := i.reply("genuine"); !r.OK {
		t.Fatalf("a genuine command: %+v", r)
	}
	i.publish(genuine) // recorded and sent again: its answer comes again, and nothing opens
	if r := i.reply("genuine"); !r.OK {
		t.Errorf("the answer of a repeated command: %+v", r)
	}
	i.obeyed("second-marker")
	stopsWell(t, v.agent)

	v.start() // it remembers no commands, but its log does
	v.drained()
	i.publish(genuine)
	if r := i.reply("genuine"); r.OK || r.Error == nil || !strings.Contains(r.Error.Message, "obeyed before") {
		t.Errorf("a command that was obeyed before the restart: %+v", r)
	}
	elsewhere := topic.Address{Jurisdiction: "changshan", Station: "cs-qiuchuan"}
	i.publish(i.sign(i.key, elsewhere, i.command("elsewhere", eye.offer, time.Now(), time.Minute)))
	i.obeyed("third-marker")
	eventually(t, "that another station's command was refused", func() error {
		n := 0
		for _, e := range c.stored(v.id) {
			if commandRefused("bad_signature")(e) {
				n++
			}
		}
		if n != 2 {
			return fmt.Errorf("%d events of wrong signatures, want one before the restart and one after", n)
		}
		return nil
	})
	if st, err := v.door(); err != nil || len(st.Viewings) != 0 {
		t.Errorf("viewings are open: %+v, %v", st.Viewings, err)
	}
	v.drained()
	all := c.stored(v.id)
	checkOnce(t, all)
	var opened []string
	for _, e := range all {
		if id, _ := e.Body.Text(event.TagViewing); e.Kind == event.KindViewingOpened {
			opened = append(opened, id)
		}
	}
	if len(opened) != 1 || opened[0] != "viewing-genuine" {
		t.Errorf("viewings %v were opened, want the genuine one alone", opened)
	}
	stopsWell(t, v.agent)
}
