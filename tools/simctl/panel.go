package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/panel"
)

// panelCommand is an alarm panel.
type panelCommand struct {
	To       string        `required:"" placeholder:"URL" help:"The receiver: tcp://HOST:PORT or udp://HOST:PORT."`
	Account  string        `required:"" help:"The panel's account, 3 to 16 hex digits."`
	Receiver string        `help:"Receiver number, left out of the frames if not given."`
	Line     string        `default:"0" help:"Line number (account prefix)."`
	KeyHex   string        `placeholder:"HEX" xor:"key" help:"AES key of 32, 48 or 64 hex digits: reports are encrypted."`
	KeyASCII string        `name:"key-ascii" placeholder:"TEXT" xor:"key" help:"AES key of 16, 24 or 32 characters."`
	Format   string        `enum:"sia,cid" default:"sia" help:"Format of the reports: ${enum}."`
	Quirks   []string      `placeholder:"QUIRK,…" help:"What is odd about its frames, see below."`
	Codes    []string      `placeholder:"CODE,…" help:"Codes of the reports, in turn. Default BA for sia, 1130 for cid."`
	Count    int           `help:"Reports to make by itself, then end. 0: make those that standard input asks for, without end."`
	First    int           `default:"1" help:"Running number of the first report."`
	Rate     float64       `help:"Reports per second; 0: as fast as they are acknowledged."`
	Window   int           `default:"1" help:"Frames in flight."`
	Retry    time.Duration `default:"3s" help:"An unanswered frame is sent again after this."`
	BackOff  time.Duration `default:"50ms" help:"First wait before connecting again; it doubles up to 3s."`
	Poll     time.Duration `help:"Send NULL when the wire was quiet for so long; 0: never."`
	Coalesce int           `default:"1" help:"Frames that may share one TCP segment."`
	Split    int           `help:"Send each TCP segment in two parts, cut behind so many bytes."`
	Skew     time.Duration `help:"By how much the panel's clock is wrong until a NAK sets it, such as --skew=-1h."`
	Log      string        `placeholder:"FILE" help:"Append a line for each report sent and each acknowledged; - is standard output."`
	Capture  string        `placeholder:"FILE" help:"Append every segment sent and every answer, in hex."`

	attackFlags
}

// Help is shown below the flags.
func (panelCommand) Help() string {
	return `Report N carries its running number: in sia as text ^WP-00000N^, in cid as (partition-1)*999 + zone. The log has lines

  sent N SEQ ACCOUNT ID DATA     written before the report goes out for the first time
  acked N SEQ                    written when its acknowledgement has come

each written at once, so that a kill loses none. Without --count it obeys lines on standard input:

  raise [CODE [ZONE [TEXT …]]]   such as: raise PA 003 village office
  hush DURATION                  send nothing for so long, not even a NULL: the station loses a panel that it supervises
  skew DURATION                  put the clock wrong, such as: skew -1h

At the end it prints one line of counts. With --count it fails if not all were acknowledged.

Quirks are those of panels that people have:

  binary-crc     CRC as two bytes (Lupusec, Trikdis)      crc-over-cr    CRC and length count the CR (Eldes)
  zero-crc       the first digit of each CRC is 0         nul            a NUL behind each CR (G90B)
  empty-line     L without digits (G90B)                  no-line        no L at all
  null-data      NULL with data (Hikvision)               null-no-bar    encrypted NULL without bar (Hikvision)
  peripheral     pi0 where others say ri1 (Satel)         other-account  the data names account 0000 (Satel)
  no-slash       ri1BA503                                 two-events     an alarm and its restoral in one block
  bar-text       the text behind |A                       blanks         the text ends in blanks
  extended       longitude and latitude (Ajax)            constant-pad   a pad of zeros
  stubborn       a NAK does not set the clock

An attack sends --count frames, 100 if 0, and prints what it was answered:

  plain     plain frames for an account with a key        key-leak       the same with extended blocks of every letter
  replay    the frames of a capture again                 stale          frames of the right key and of another time
  account   accounts that nobody has                      key            frames of another key
  answers   ACK, NAK, DUH                                 xsia           Osborne-Hoffman framing
  flood     frames that are believed, without pause       garbage        random bytes
  half      connections that end in the middle            slow           frames that come byte by byte
  huge      frames that lie about their length

For example:

  simctl panel --to tcp://127.0.0.1:5093 --account 1409 --count 100 --window 8 --log panel.log
  simctl panel --to udp://127.0.0.1:5093 --account 4711 --key-ascii 0123456789ABCDEF --skew=-1h --poll 30s
  simctl panel --to tcp://127.0.0.1:5093 --account 7890 --quirks null-data,extended --count 3 --capture hub.cap
  simctl panel --to tcp://127.0.0.1:5093 --account 7890 --attack replay --frames hub.cap
  simctl panel --to udp://127.0.0.1:5093 --account 4711 --attack key-leak --count 5000 --connections 64 --forge`
}

// Run reports.
func (c *panelCommand) Run(ctx context.Context, d deps) (err error) {
	key, err := c.key()
	if err != nil {
		return usageError{err}
	}
	record, err := openRecord(c.Log, d.stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	capture, err := openRecord(c.Capture, d.stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, capture.Close()) }()
	if c.Attack != "" {
		return c.attack(ctx, d, key, capture)
	}
	quirks := make([]panel.Quirk, len(c.Quirks))
	for i, q := range c.Quirks {
		quirks[i] = panel.Quirk(q)
	}
	p, err := panel.New(panel.Options{
		To: c.To, Account: c.Account, Receiver: c.Receiver, Line: c.Line, Key: key, Format: panel.Format(c.Format), Quirks: quirks,
		Codes: c.Codes, Count: c.Count, First: c.First, Rate: c.Rate, Window: c.Window,
		Retry: c.Retry, BackOff: c.BackOff, Poll: c.Poll, Coalesce: c.Coalesce, Split: c.Split,
		Record: record, Capture: capture, Skew: c.Skew, Log: d.log,
	})
	if err != nil {
		return usageError{err}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.Run(ctx) })
	if c.Count == 0 {
		group.Go(func() error {
			return typed(ctx, d, func(words []string) error { return obey(ctx, p, words) })
		})
	}
	fmt.Fprintln(d.stdout, "ready")
	err = group.Wait()
	t := p.Totals()
	fmt.Fprintf(d.stdout, "sent %d acked %d retransmitted %d connects %d naks %d duhs %d bad %d stray %d\n",
		t.Sent, t.Acked, t.Retransmitted, t.Connects, t.NAKs, t.DUHs, t.Bad, t.Stray)
	if err == nil && t.Acked < c.Count {
		return fmt.Errorf("%d of %d reports are not acknowledged", c.Count-t.Acked, c.Count)
	}
	return err
}

func (c *panelCommand) key() ([]byte, error) {
	key, err := hex.DecodeString(c.KeyHex)
	if err != nil {
		return nil, fmt.Errorf("--key-hex: %w", err)
	}
	return append(key, c.KeyASCII...), nil
}

// obey does what one typed line asks for.
func obey(ctx context.Context, p *panel.Panel, words []string) error {
	if len(words) == 0 {
		return nil
	}
	switch {
	case words[0] == "raise":
		return raise(ctx, p, words)
	case len(words) == 2 && (words[0] == "hush" || words[0] == "skew"):
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		if words[0] == "hush" {
			return p.Hush(ctx, d)
		}
		return p.SetSkew(ctx, d)
	}
	return errors.New("unknown: use raise [CODE [ZONE [TEXT …]]], hush DURATION or skew DURATION")
}

// raise makes the report of one typed line.
func raise(ctx context.Context, p *panel.Panel, words []string) error {
	var r panel.Report
	words = words[1:]
	if len(words) > 0 {
		r.Code = words[0]
	}
	if len(words) > 1 {
		r.Zone = words[1]
		r.Text = strings.Join(words[2:], " ")
	}
	return p.Raise(ctx, r)
}

// openRecord opens the log of reports for appending.
func openRecord(path string, stdout io.Writer) (io.WriteCloser, error) {
	switch path {
	case "":
		return keepOpen{io.Discard}, nil
	case "-":
		return keepOpen{stdout}, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of reports: %w", err)
	}
	return f, nil
}

// keepOpen is a writer that is not ours to close.
type keepOpen struct{ io.Writer }

// Close does nothing.
func (keepOpen) Close() error { return nil }
