package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"watchpost/uplink/topic"
)

// Files names the certificate files of a session, all PEM. They are read anew for every connection, so a renewed
// certificate needs no restart.
type Files struct {
	CA   string // who signed the broker's certificate
	Cert string // the station's own certificate
	Key  string // and its private key
	// ServerName is the name that the broker's certificate must carry; "" = the host of Broker.
	ServerName string
}

// Options is what a session needs to know. Centre, Broker, Address and Files must be given; the rest has defaults.
type Options struct {
	Centre  string        // the centre's id, for logs
	Broker  string        // tls://host:port, or tcp://host:port for a broker on this very machine
	Address topic.Address // the station's; its Station is the MQTT client id
	Files   Files

	// State says the station's present; the session sets V, Online, Station, Jurisdiction and At. It is asked at each
	// birth, at each heartbeat and after Announce.
	State func() topic.State
	// Serve is run on each link once birth is told, and its context ends with the link. The link ends if it returns
	// an error before that. nil = nothing to send.
	Serve func(ctx context.Context, link *Link) error
	// Command is given every message of the cmd topic, one at a time, off MQTT's own goroutines. It should return at
	// once: a slow one fills the queue, and what does not fit is dropped and told. nil = commands are dropped.
	Command func(ctx context.Context, payload []byte)
	// Changed is told each change of the link's state, in order. It must not block. nil = nobody.
	Changed func(Change)
	Logger  *slog.Logger     // nil = silent
	Now     func() time.Time // the wall clock: for the state, and for how long certificates are good; nil = time.Now

	KeepAlive      time.Duration // default 10 s; whole seconds, at least 1
	ConnectTimeout time.Duration // default 20 s: name, TCP, TLS, CONNACK and subscription together
	WriteTimeout   time.Duration // default 5 s: a piece of writeChunk bytes to the socket
	AckTimeout     time.Duration // default 10 s: the oldest message's PUBACK, once it is the oldest
	Heartbeat      time.Duration // default 30 s: the retained state again
	BackoffMin     time.Duration // default 1 s
	BackoffMax     time.Duration // default 20 s: while nobody is there, so that a broker that comes back has its stations soon
	BackoffRefused time.Duration // default 60 s, at least BackoffMax: while the broker says no, or takes too long
	Repeat         time.Duration // default 10 min: how often a lasting fault is told again
	CommandQueue   int           // default 64 messages
}

func (o *Options) setDefaults() {
	durations := []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.KeepAlive, 10 * time.Second}, {&o.ConnectTimeout, 20 * time.Second}, {&o.WriteTimeout, 5 * time.Second},
		{&o.AckTimeout, 10 * time.Second}, {&o.Heartbeat, 30 * time.Second}, {&o.BackoffMin, time.Second},
		{&o.BackoffMax, 20 * time.Second}, {&o.BackoffRefused, time.Minute}, {&o.Repeat, 10 * time.Minute},
	}
	for _, d := range durations {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	o.BackoffMax = max(o.BackoffMin, o.BackoffMax)
	o.BackoffRefused = max(o.BackoffMax, o.BackoffRefused)
	if o.CommandQueue <= 0 {
		o.CommandQueue = 64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.State == nil {
		o.State = func() topic.State { return topic.State{} }
	}
	if o.Serve == nil {
		o.Serve = func(ctx context.Context, _ *Link) error { <-ctx.Done(); return nil }
	}
	if o.Command == nil {
		o.Command = func(context.Context, []byte) {}
	}
	if o.Changed == nil {
		o.Changed = func(Change) {}
	}
}

func (o *Options) validate() (*url.URL, error) {
	var errs []error
	if o.Centre == "" {
		errs = append(errs, errors.New("the centre has no id"))
	}
	errs = append(errs, o.Address.Validate())
	u, err := url.Parse(o.Broker)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("broker %q: %w", o.Broker, err))
	case u.Scheme != "tls" && u.Scheme != "tcp" || u.Port() == "" || u.Hostname() == "":
		errs = append(errs, fmt.Errorf("broker %q: want tls://host:port", o.Broker))
	case u.Scheme == "tls" && (o.Files.CA == "" || o.Files.Cert == "" || o.Files.Key == ""):
		errs = append(errs, fmt.Errorf("broker %q: ca, cert and key files are needed: dispatch enrol makes them", o.Broker))
	}
	return u, errors.Join(errs...)
}
