// A zone is one supervised input of a village's alarm system, whatever wire or chip says how it stands.
//
// A driver reads its wires and hands each word to the [Zone], which tells each change once and keeps it until it is stored.
// What cannot be read is missing, never normal; what chatters is one fault instead of a thousand events; and edges that are
// known to be lost are told as an activation, because a zone that changed and changed back has been active.
package zone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/backlog"
	"watchpost/storage/event"
)

// Config is what a zone is.
type Config struct {
	// Zone is the station's name of the zone.
	Zone string
	// Source is the event's source and Line the name of the wire, as people look for it.
	Source, Line string
	// Code says what the zone is for, as a panel would: a SIA code (DC-03) such as BA or PA. It goes into the event when the
	// zone becomes active; "" = not told.
	Code string
	// Severity is that of the event when the zone becomes active: alarm, warning or notice. Short, open and masked are a
	// warning at least.
	Severity event.Severity
}

// Zone is one input at work. Hear and Tick belong to one goroutine, the other methods to anybody.
type Zone struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	backlog *backlog.Backlog

	mu      sync.Mutex // guards the fields below
	machine *machine
	since   time.Time
}

// New checks the configuration; log and now are not nil.
func New(c Config, log *slog.Logger, now func() time.Time) (*Zone, error) {
	switch {
	case c.Zone == "" || c.Source == "":
		return nil, errors.New("a zone has a name and a source")
	case len(c.Source) > event.MaxName || len(c.Zone) > event.MaxName:
		return nil, fmt.Errorf("zone %s: its source %q may have %d bytes: take a shorter name", c.Zone, c.Source, event.MaxName)
	case c.Severity < event.SeverityNotice || c.Severity > event.SeverityAlarm:
		return nil, fmt.Errorf("zone %s: severity must be notice, warning or alarm", c.Zone)
	}
	return &Zone{cfg: c, log: log, now: now, backlog: backlog.New(c.Source, log), machine: newMachine(c.Severity), since: now()}, nil
}

// Hear takes one word of the zone. It never waits.
func (z *Zone) Hear(w Word) { z.step(func(now time.Time) []fact { return z.machine.hear(w, now) }) }

// Due is when Tick wants to be called; false: not at all.
func (z *Zone) Due() (time.Time, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.machine.due()
}

// Tick does what time brings: a chatter ends after quiet.
func (z *Zone) Tick() { z.step(z.machine.tick) }

func (z *Zone) step(do func(time.Time) []fact) {
	now := z.now()
	z.mu.Lock()
	before := z.machine.told
	facts := do(now)
	if z.machine.told != before {
		z.since = now
	}
	z.mu.Unlock()
	for _, f := range facts {
		z.log.Info("zone changed", "zone", z.cfg.Zone, "state", f.state, "previous", f.previous, "reason", f.reason, "lost", f.lost)
		z.backlog.Add(z.draft(f))
	}
}

// Reading is how the zone stands now, with a text for people.
func (z *Zone) Reading(text string) drivers.Reading {
	if n := z.backlog.Len(); n > 0 {
		text += fmt.Sprintf(", %d changes not stored yet", n)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	return drivers.Reading{Name: z.cfg.Zone, State: z.machine.told, Text: text, Since: z.since}
}

// Store hands the zone's facts to the sink until ctx ends, in order, each until it is stored.
func (z *Zone) Store(ctx context.Context, sink drivers.Sink) error {
	z.backlog.Run(ctx, sink)
	return nil
}

// draft is the fact as an event.
func (z *Zone) draft(f fact) event.Draft {
	fields := []event.Field{
		event.Text(event.TagState, f.state), event.Text(event.TagPrevious, f.previous),
		event.Text(event.TagReason, f.reason), event.Text(event.TagDetail, f.detail), event.Text(event.TagLine, z.cfg.Line),
	}
	if f.state == Active {
		fields = append(fields, event.Text(event.TagCode, z.cfg.Code))
	}
	for _, n := range []struct {
		tag   event.Tag
		value uint64
	}{{event.TagLost, f.lost}, {event.TagCount, f.count}, {event.TagLineSeq, f.lineSeq}} {
		if n.value > 0 {
			fields = append(fields, event.Uint(n.tag, n.value))
		}
	}
	return event.Draft{
		KernelNS: f.kernelNS, Kind: event.KindZoneChanged, Qualifier: f.qualifier, Zone: z.cfg.Zone, Source: z.cfg.Source,
		Severity: f.severity, Body: event.NewBody(fields...), Once: f.once,
	}
}
