package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"watchpost/tools/dispatch/authority"
	"watchpost/uplink/command"
	"watchpost/uplink/topic"
)

// message is what came in.
type message struct {
	topic    string
	payload  []byte
	retained bool
	received time.Time
}

// wish is a command to be signed and sent at once.
type wish struct {
	address topic.Address
	id      string
	kind    string
	body    json.RawMessage
	expires time.Time
}

// link is one connection to the broker. It ends for good at the first fault.
type link struct {
	client paho.Client
	inbox  inbox
	lost   chan struct{} // closed at the first fault

	mu    sync.Mutex // guards the fields below
	fault error
}

// dial connects. Nothing is subscribed yet.
func dial(ctx context.Context, o Options) (*link, error) {
	l := &link{inbox: newInbox(o.Queue), lost: make(chan struct{})}
	opts := paho.NewClientOptions().
		AddBroker(o.Broker).
		SetClientID(authority.CentreName).
		SetTLSConfig(o.TLS).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetKeepAlive(10 * time.Second).
		SetConnectTimeout(connectLimit).
		SetWriteTimeout(publishLimit).
		SetDefaultPublishHandler(l.take).
		SetConnectionLostHandler(func(_ paho.Client, err error) { l.lose(fmt.Errorf("the broker hung up: %w", err)) })
	l.client = paho.NewClient(opts)
	if err := await(ctx, l.client.Connect(), connectLimit); err != nil {
		l.client.Disconnect(0)
		return nil, fmt.Errorf("connecting to the broker %s: %w", o.Broker, err)
	}
	return l, nil
}

// subscribe asks for everything that stations tell. The retained states come first.
func (l *link) subscribe(ctx context.Context) error {
	filters := map[string]byte{"wp/v1/+/+/event/+": 1, "wp/v1/+/+/state": 1, "wp/v1/+/+/reply/+": 1}
	token := l.client.SubscribeMultiple(filters, nil)
	if err := await(ctx, token, connectLimit); err != nil {
		return fmt.Errorf("subscribing at the broker: %w", err)
	}
	for filter, granted := range token.(*paho.SubscribeToken).Result() {
		if granted > 2 {
			return fmt.Errorf("subscribing at the broker: %s was not granted; give the centre the rules of mosquitto.acl", filter)
		}
	}
	return nil
}

// take runs on the MQTT client's own goroutine and never waits.
func (l *link) take(_ paho.Client, m paho.Message) {
	select {
	case <-l.lost:
		return
	default:
	}
	if err := l.inbox.put(message{m.Topic(), m.Payload(), m.Retained(), time.Now()}); err != nil {
		l.lose(err)
	}
}

func (l *link) lose(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
		close(l.lost)
	}
}

func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

func (l *link) hangUp() { l.client.Disconnect(disconnectWait) }

// post signs and sends wishes until ctx ends or the broker stops taking them. Tokens are only watched for age: what is lost
// with the link is sent again when its station says online.
func (l *link) post(ctx context.Context, out <-chan wish, o Options) error {
	var sent []paho.Token
	for {
		var w wish
		select {
		case <-ctx.Done():
			return nil
		case w = <-out:
		}
		now := time.Now().UTC()
		if !w.expires.After(now) {
			continue
		}
		payload, err := command.Sign(o.Key, w.address, topic.Command{ID: w.id, Now: now, Expires: w.expires.UTC(), Kind: w.kind, Body: w.body})
		if err != nil {
			o.Log.Error("a command cannot be sent", "station", w.address.Station, "kind", w.kind, "err", err)
			continue
		}
		sent = append(sent, l.client.Publish(w.address.Cmd(), 1, false, payload))
		if len(sent) > sendWindow {
			if err := await(ctx, sent[0], publishLimit); err != nil {
				return fmt.Errorf("sending a command to %s: %w", w.address.Station, err)
			}
			sent = sent[1:]
		}
	}
}

// await waits for a token, at most limit.
func await(ctx context.Context, t paho.Token, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("no answer within %s", limit)
	}
}
