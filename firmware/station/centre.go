package station

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/firmware/supervise"
	"watchpost/storage/event"
	"watchpost/uplink/command"
	"watchpost/uplink/mqtt"
	"watchpost/uplink/outbox"
	"watchpost/uplink/topic"
)

// centre is the station's side of one centre: its outbox, its link and its command desk.
type centre struct {
	config  config.Centre
	in      *intake
	log     *slog.Logger
	outbox  *outbox.Outbox
	session *mqtt.Session
	desk    *command.Desk
	changes chan mqtt.Change
	poke    chan struct{} // there may be a stall to tell

	mu     sync.Mutex // guards the fields below
	up     bool
	since  time.Time
	why    string
	stalls stalls
}

// changesKept is how many link changes may wait for the log's disk before the oldest news is given up.
const changesKept = 64

func (s *Station) newCentre(c config.Centre, packer *topic.Packer) (*centre, error) {
	addr, now := s.address(), s.clock.now
	x := &centre{
		config: c, in: s.in, log: s.log.With("centre", c.ID), changes: make(chan mqtt.Change, changesKept), poke: make(chan struct{}, 1),
		since: now(), why: "not connected yet",
	}
	var lanes []event.Lane
	for _, name := range c.Lanes {
		lane, err := event.ParseLane(name)
		if err != nil {
			return nil, fmt.Errorf("centre %s: %w", c.ID, err)
		}
		lanes = append(lanes, lane)
	}
	var err error
	x.outbox, err = outbox.New(outbox.Options{
		Log: s.events, Centre: c.ID, Address: addr, Report: x.report, Packer: packer,
		Settings: outbox.Settings{Lanes: lanes, Window: c.Window, BacklogRate: int(c.BacklogRate)},
	})
	if err != nil {
		return nil, err
	}
	x.session, err = mqtt.New(mqtt.Options{
		Centre: c.ID, Broker: c.Broker, Address: addr, Files: mqtt.Files{CA: c.CA, Cert: c.Certificate, Key: c.Key},
		State:   func() topic.State { return s.present(x) },
		Serve:   func(ctx context.Context, l *mqtt.Link) error { return x.outbox.Run(ctx, l) },
		Command: func(ctx context.Context, payload []byte) { x.desk.Handle(ctx, payload) },
		Changed: x.changed, Logger: s.log, Heartbeat: c.Heartbeat, Now: now,
	})
	if err != nil {
		return nil, err
	}
	verifier, err := command.NewVerifier(addr, ed25519.PublicKey(c.CommandKey))
	if err != nil {
		return nil, fmt.Errorf("centre %s: %w", c.ID, err)
	}
	x.desk, err = command.NewDesk(command.Options{
		Centre: c.ID, Verifier: verifier, Replier: x.session, Receipt: x.outbox.Receipt, Audit: s.in.store, Logger: s.log,
		Synced:   func() bool { return s.clock.quality() == event.ClockSynced },
		Handlers: s.viewings.handlers(c.ID),
	})
	return x, err
}

// tasks are the goroutines of this centre.
func (x *centre) tasks() []supervise.Task {
	return []supervise.Task{
		{Name: "commands of " + x.config.ID, Run: x.desk.Run},
		{Name: "news of the link to " + x.config.ID, Run: x.tellNews},
		{Name: "link to " + x.config.ID, Run: x.session.Run},
	}
}

// report takes what the outbox has to say. It does not wait for a disk: tellNews writes the event of it.
func (x *centre) report(r outbox.Report) {
	x.mu.Lock()
	tell := x.stalls.take(time.Now(), r)
	x.mu.Unlock()
	if tell {
		select {
		case x.poke <- struct{}{}:
		default:
		}
	}
	if r.Kind == outbox.ReportResumed {
		x.log.Info("receipts come again", "lane", r.Lane)
		return
	}
	x.log.Warn("outbox", "lane", r.Lane, "from", r.From, "upto", r.Upto, "count", r.Count, "says", r.Text)
}

// changed takes news of the link; the event of it is written by tellNews, since this must not wait for a disk.
func (x *centre) changed(c mqtt.Change) {
	x.mu.Lock()
	x.up, x.since, x.why = c.Up, x.in.clock.now(), ""
	if c.Err != nil {
		x.why = c.Err.Error()
	}
	x.mu.Unlock()
	select {
	case x.changes <- c:
	default:
		x.log.Warn("a change of the link could not be kept as an event: the log is behind")
	}
}

// tellNews writes the events of this centre's uplink: changes of the link, and lanes whose receipts do not come.
func (x *centre) tellNews(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var f flaps
	for {
		c, count, wait := f.due(time.Now())
		if count > 0 {
			if err := x.in.store(ctx, x.changeDraft(c, count)); err != nil && ctx.Err() == nil {
				x.log.Warn("a change of the link is not kept as an event", "err", err)
			}
			wait = time.Hour
		}
		timer.Reset(min(wait, x.tellStalls(ctx)))
		select {
		case <-ctx.Done():
			return nil
		case c := <-x.changes:
			f.take(c)
		case <-x.poke:
		case <-timer.C:
		}
	}
}

// changeDraft tells a change of the link, the last of so many.
func (x *centre) changeDraft(c mqtt.Change, count uint64) event.Draft {
	d := event.Draft{
		Kind: event.KindCentreLink, Qualifier: event.QualifierRestore, Source: "centre/" + x.config.ID, Severity: event.SeverityNotice,
		Body: event.NewBody(event.Text(event.TagCentre, x.config.ID), event.Uint(event.TagDuration, uint64(c.After))),
	}
	if !c.Up {
		d.Qualifier, d.Severity = event.QualifierNew, event.SeverityWarning
		d.Body = event.NewBody(append(d.Body, event.Text(event.TagReason, c.Fault.String()), event.Text(event.TagDetail, errText(c.Err)))...)
	}
	if count > 1 {
		d.Body = event.NewBody(append(d.Body, event.Uint(event.TagCount, count))...)
	}
	return d
}

// stallRetry is when a stall is tried again that the log did not take.
const stallRetry = 10 * time.Second

// tellStalls writes what is due, and says when to look again.
func (x *centre) tellStalls(ctx context.Context) time.Duration {
	for {
		x.mu.Lock()
		draft, lane, wait := x.stalls.due(time.Now(), x.config.ID)
		x.mu.Unlock()
		if lane == 0 {
			return cmp.Or(wait, time.Hour)
		}
		if err := x.in.store(ctx, draft); err != nil {
			return stallRetry
		}
		x.mu.Lock()
		x.stalls.told(lane, draft.Qualifier)
		x.mu.Unlock()
	}
}

// linkBytes is the step in which the local door tells what crossed a link; a heartbeat alone is a few KiB.
const linkBytes = 64 << 10

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (x *centre) status(heads, stored map[event.Lane]uint64) status.Centre {
	receipts := map[string]uint64{}
	for lane, upto := range stored {
		receipts[lane.String()] = upto
	}
	gauges := map[string]float64{}
	x.gauges(gauges, heads, stored)
	for _, name := range []string{"link_out_bytes", "link_in_bytes"} { // or whoever looks twice counts an event that is not shown
		gauges[name] -= math.Mod(gauges[name], linkBytes)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return status.Centre{ID: x.config.ID, Online: x.up, Since: x.since, Reason: x.why, Receipts: receipts, Gauges: gauges}
}
