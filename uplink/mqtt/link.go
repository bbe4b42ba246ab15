package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"watchpost/uplink/topic"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// maxUnderWay is how many messages a link holds for their PUBACK; Publish waits beyond it.
const maxUnderWay = 512

// Link is one connection to the broker. It is used until its first error and never again.
type Link struct {
	client paho.Client
	lost   chan error // the connection ended
	ack    time.Duration
	flight chan *message
	head   *message // the one that settle waits for, or waited for last
	meter  *meter
	sizes  *sizes
}

// message is one that waits for its PUBACK.
type message struct {
	token paho.Token
	topic string
	acked func()
	size  int // of the payload, in bytes
	sent  time.Time
}

// Publish hands a message to the broker at QoS 1 and does not wait for its PUBACK; acked, if not nil, is called once if
// and when that comes. Messages are acknowledged in the order of publishing. An error means that the link is of no more
// use.
func (l *Link) Publish(ctx context.Context, topicName string, payload []byte, acked func()) error {
	return l.publish(ctx, topicName, payload, false, acked)
}

func (l *Link) publish(ctx context.Context, topicName string, payload []byte, retained bool, acked func()) error {
	if len(payload) > topic.MaxPayload {
		return fmt.Errorf("publishing %d bytes on %s: at most %d", len(payload), topicName, topic.MaxPayload)
	}
	m := &message{topic: topicName, acked: acked, size: len(payload), sent: time.Now()}
	m.token = l.client.Publish(topicName, 1, retained, payload)
	select {
	case <-m.token.Done(): // an error that came before anything was sent
		if err := m.token.Error(); err != nil {
			return &linkError{fault: FaultLost, err: fmt.Errorf("publishing on %s: %w", topicName, err)}
		}
	default:
	}
	select {
	case l.flight <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verdict waits a moment for the pump to say why the link failed its user, which it knows better; then ctx ends.
func verdict(ctx context.Context, err error) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
		return err
	}
}

// say publishes a retained message and waits for its PUBACK.
func (l *Link) say(ctx context.Context, topicName string, payload []byte) error {
	sent := time.Now()
	if err := await(ctx, l.client.Publish(topicName, 1, true, payload)); err != nil {
		return err
	}
	l.meter.rtt(time.Since(sent))
	return nil
}

// pump waits for the oldest message's PUBACK, again and again, until ctx ends or the link does.
func (l *Link) pump(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-l.lost:
			return fmt.Errorf("connection lost: %w", err)
		case m := <-l.flight:
			if err := l.settle(ctx, m); err != nil {
				return err
			}
		}
	}
}

func (l *Link) settle(ctx context.Context, m *message) error {
	l.head = m
	timer := time.NewTimer(l.ack)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
		return &linkError{fault: FaultSilent, err: fmt.Errorf("no acknowledgement on %s within %s", m.topic, l.ack)}
	case <-m.token.Done():
	}
	if err := m.token.Error(); err != nil {
		select {
		case lost := <-l.lost: // says why better than the token does
			err = lost
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		return fmt.Errorf("publishing on %s: %w", m.topic, err)
	}
	l.head = nil
	l.meter.rtt(time.Since(m.sent))
	l.sizes.acked(m.size)
	if m.acked != nil {
		m.acked()
	}
	return nil
}

// largest is the largest message that the link ended without a PUBACK for, in bytes. The pump must have ended.
func (l *Link) largest() int {
	n := 0
	if l.head != nil {
		n = l.head.size
	}
	for {
		select {
		case m := <-l.flight:
			n = max(n, m.size)
		default:
			return n
		}
	}
}

// await waits for a token, at most as long as ctx.
func await(ctx context.Context, t paho.Token) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.Done():
		return t.Error()
	}
}

// connect makes a fresh client, connects, subscribes and tells the birth, all within ConnectTimeout.
func (s *Session) connect(ctx context.Context) (*Link, error) {
	security, err := s.security()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.ConnectTimeout, errConnectTimeout)
	defer cancel()
	l := &Link{lost: make(chan error, 1), ack: s.o.AckTimeout, flight: make(chan *message, maxUnderWay), meter: &s.meter, sizes: &s.sizes}
	d := dialer{tls: security, write: s.o.WriteTimeout, meter: &s.meter}
	l.client = paho.NewClient(s.clientOptions(ctx, l, &d))
	if err := s.open(ctx, l, &d); err != nil {
		l.client.Disconnect(0)
		if cause := context.Cause(ctx); errors.Is(cause, errConnectTimeout) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return nil, err
	}
	return l, nil
}

// open takes the steps of connect that can be waited for. The token of Connect is always waited for, because paho goes
// on connecting until it is done; the dialer ends it with ctx.
func (s *Session) open(ctx context.Context, l *Link, d *dialer) error {
	token := l.client.Connect()
	<-token.Done()
	d.settled()
	if err := token.Error(); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if err := s.subscribe(ctx, l); err != nil {
		return fmt.Errorf("subscribing to %s: %w", s.o.Address.Cmd(), err)
	}
	if err := l.say(ctx, s.o.Address.State(), s.state(true)); err != nil {
		return fmt.Errorf("telling the state on %s: %w", s.o.Address.State(), err)
	}
	return nil
}

// subscribe asks for the commands, at QoS 0: the centre sends one again with each state until it is answered, and a broker may
// pay dearly for an acknowledgement of thousands of subscribers (NATS keeps a consumer for each). A refusal comes in the SUBACK, as code 0x80, and is no error to paho.
func (s *Session) subscribe(ctx context.Context, l *Link) error {
	name := s.o.Address.Cmd()
	token := l.client.Subscribe(name, 0, func(_ paho.Client, m paho.Message) { s.enqueue(m.Payload()) })
	if err := await(ctx, token); err != nil {
		return err
	}
	sub, ok := token.(*paho.SubscribeToken)
	if !ok {
		return errors.New("paho's subscription is none")
	}
	granted, answered := sub.Result()[name]
	switch {
	case !answered:
		return errors.New("the broker answered something else")
	case granted > 2:
		return &linkError{fault: FaultNotAuthorised, err: errors.New("the broker does not allow it")}
	}
	return nil
}

func (s *Session) clientOptions(ctx context.Context, l *Link, d *dialer) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker(s.broker.String())
	o.SetClientID(s.o.Address.Station)
	o.SetProtocolVersion(4)
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetKeepAlive(s.o.KeepAlive)
	o.SetPingTimeout(max(s.o.KeepAlive/2, time.Second))
	o.SetConnectTimeout(s.o.ConnectTimeout)
	o.SetWriteTimeout(s.o.AckTimeout) // how long Publish waits for the message before it; the dialer bounds the socket's writes
	o.SetBinaryWill(s.o.Address.State(), s.state(false), 1, true)
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { l.lost <- err })
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) { return d.dial(ctx, u.Host) })
	return o
}
