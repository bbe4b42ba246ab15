package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/tools/dispatch/authority"
	"watchpost/tools/dispatch/broker"
	"watchpost/tools/dispatch/console"
	"watchpost/tools/dispatch/intake"
	"watchpost/tools/dispatch/ledger"
	"watchpost/tools/dispatch/watch"
	"watchpost/tools/dispatch/web"
)

// subscribeLimit is how long "ready" may wait for the intake to hear the stations.
const subscribeLimit = 5 * time.Second

// serveCommand runs the centre.
type serveCommand struct {
	Dir         string `required:"" placeholder:"DIR" help:"The centre's directory, made by dispatch init."`
	Listen      string `default:"127.0.0.1:8080" help:"Where the console serves its page. Loopback only: there is no identity system yet. Port 0 takes a free one."`
	MQTT        string `name:"mqtt" default:"127.0.0.1:8883" help:"Where the built-in broker listens for stations (MQTT over TLS, client certificates). Port 0 takes a free one."`
	Broker      string `placeholder:"tls://HOST:PORT" help:"Use this MQTT 3.1.1 broker instead of the built-in one, with the centre's certificate. See mosquitto.conf and mosquitto.acl in tools/dispatch/broker."`
	MaxPayload  int32  `default:"1048576" help:"Largest MQTT payload in bytes that the built-in broker takes."`
	StreamBytes int64  `default:"268435456" help:"Most bytes of messages that the built-in broker keeps until the intake has taken them. Beyond it the oldest are dropped, acknowledged as they are; they show as missing receipts and are sent again. Small values are for tests of just that."`
	SyncAlways  bool   `help:"Make the built-in broker write every message through to disk. Not needed for safety: what counts is in the ledger before a receipt is given."`
}

// Run serves until the context ends. It prints the addresses, one to a line, then "ready".
func (c *serveCommand) Run(ctx context.Context, d deps) (err error) {
	a, err := authority.Open(c.Dir)
	if err != nil {
		return err
	}
	book, err := ledger.Open(ctx, c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	if err := c.askForUsers(ctx, d, book); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	err = c.start(ctx, g, d, a, book)
	if err != nil {
		g.Go(func() error { return err }) // stops what has been started
	}
	return g.Wait()
}

// start brings up broker, intake, watch and console, in this order, as members of g, and then lets the stations in.
func (c *serveCommand) start(ctx context.Context, g *errgroup.Group, d deps, a *authority.Authority, book *ledger.Ledger) error {
	client, err := a.ClientTLS()
	if err != nil {
		return err
	}
	address, admit, err := c.broker(ctx, g, d, a)
	if err != nil {
		return err
	}
	in := intake.New(intake.Options{Broker: address, TLS: client, Key: a.CommandKey(), Ledger: book, Log: d.log})
	con, err := console.Listen(ctx, console.Options{Listen: c.Listen, Ledger: book, Asker: in, Pages: web.Pages(), Log: d.log})
	if err != nil {
		return err
	}
	silence, err := watch.New(ctx, book, in, d.log)
	if err != nil {
		return err
	}
	g.Go(func() error { return in.Run(ctx) })
	g.Go(func() error { return silence.Run(ctx) })
	g.Go(func() error { return con.Run(ctx) })
	g.Go(func() error {
		patience := time.NewTimer(subscribeLimit)
		defer patience.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-in.Subscribed():
		case <-patience.C: // the console shows why
		}
		admit()
		_, err := fmt.Fprintf(d.stdout, "http %s\nmqtt %s\nready\n", con.URL(), address)
		return err
	})
	return nil
}

// broker starts the built-in broker unless another is to be used. It returns the address and what lets stations in.
func (c *serveCommand) broker(ctx context.Context, g *errgroup.Group, d deps, a *authority.Authority) (address string, admit func(), err error) {
	if c.Broker != "" {
		u, err := url.Parse(c.Broker)
		if err != nil || u.Scheme != "tls" || u.Port() == "" {
			return "", nil, fmt.Errorf("--broker %q: want tls://HOST:PORT", c.Broker)
		}
		return c.Broker, func() {}, nil
	}
	server, err := a.ServerTLS()
	if err != nil {
		return "", nil, err
	}
	b, err := broker.Start(broker.Options{
		Dir: c.Dir, Listen: c.MQTT, TLS: server, MaxPayload: c.MaxPayload, StreamBytes: c.StreamBytes, SyncAlways: c.SyncAlways, Log: d.log,
	})
	if err != nil {
		return "", nil, err
	}
	g.Go(func() error { return b.Run(ctx) })
	return "tls://" + b.Addr(), b.Admit, nil
}

func (c *serveCommand) askForUsers(ctx context.Context, d deps, book *ledger.Ledger) error {
	n, err := book.People(ctx)
	if err == nil && n == 0 {
		d.log.Warn("nobody can log in yet", "remedy", "dispatch user --dir "+c.Dir+" NAME")
	}
	return err
}
