package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"watchpost/sim/panel"
)

// attackFlags make a panel a hostile one.
type attackFlags struct {
	Attack      string        `placeholder:"KIND" help:"Attack the receiver instead: plain, key-leak, replay, stale, account, key, answers, xsia, flood, garbage, half, slow or huge."`
	Frames      string        `type:"existingfile" placeholder:"FILE" help:"The capture of a panel, for the attack replay."`
	Connections int           `default:"4" help:"Connections of the attack at once; over UDP, sockets."`
	From        net.IP        `placeholder:"IP" help:"Local address that the attack comes from."`
	Forge       bool          `help:"Each datagram of the attack comes from an address of its own of 127.0.0.0/8."`
	For         time.Duration `default:"5s" help:"The attack ends after this at the latest."`
	Seed        uint64        `help:"Repeats the choices of an attack."`
}

// attack is Run of a hostile panel.
func (c *panelCommand) attack(ctx context.Context, d deps, key []byte, heard io.Writer) error {
	o := panel.AttackOptions{
		To: c.To, Attack: panel.Attack(c.Attack), Account: c.Account, Key: key, Count: c.Count, Connections: c.Connections,
		From: c.From, Forge: c.Forge, For: c.For, Seed: c.Seed, Heard: hexLines{heard},
	}
	if c.Frames != "" {
		f, err := os.Open(c.Frames)
		if err != nil {
			return err
		}
		o.Frames, err = panel.Captured(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", c.Frames, err)
		}
	}
	a, err := panel.NewAttacker(o)
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintln(d.stdout, "ready")
	loot, err := a.Run(ctx)
	fmt.Fprintf(d.stdout, "sent %d bytes %d heard %d acks %d naks %d duhs %d connects %d closed %d\n", loot.Sent, loot.SentBytes, loot.HeardBytes,
		loot.Answers["ACK"], loot.Answers["NAK"], loot.Answers["DUH"], loot.Connects, loot.Closed)
	return err
}

// hexLines writes what a receiver said as a capture has it.
type hexLines struct{ to io.Writer }

// Write takes one read.
func (h hexLines) Write(b []byte) (int, error) {
	_, err := fmt.Fprintf(h.to, "< %x\n", b)
	return len(b), err
}
