package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// Config is one output.
type Config struct {
	// ID is the station's name of the output.
	ID string
	// Line is the name of the line in the bus.
	Line string
	// ActiveLow says that a low level is on.
	ActiveLow bool
	// Role says what hangs there, for people: siren, strobe or relay.
	Role string
	// MaxOn is how long one cause may have it on, more than 0 and at most [MaxOnLimit].
	MaxOn time.Duration
}

// Options are the outputs of one bus.
type Options struct {
	// Lines carries the lines of all outputs.
	Lines bus.Lines
	// Outputs have unique names and lines.
	Outputs []Config
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock, time.Now by default. Its readings have a monotonic part, so that nobody lengthens a siren by
	// setting the wall clock.
	Now func() time.Time
}

func (o Options) check() error {
	if o.Lines == nil {
		return errors.New("relay: no bus to find the lines on")
	}
	ids, lines := map[string]bool{}, map[string]bool{}
	for _, c := range o.Outputs {
		switch {
		case c.ID == "" || len(source(c.ID)) > event.MaxName:
			return fmt.Errorf("output on line %q: its name has 1 to %d bytes", c.Line, event.MaxName-len(source("")))
		case !bus.ValidName(c.Line):
			return fmt.Errorf("output %s: line %q: want 1 to %d of a-z, 0-9, hyphen", c.ID, c.Line, bus.MaxName)
		case ids[c.ID] || lines[c.Line]:
			return fmt.Errorf("output %s on line %s: the name or the line is taken by another output", c.ID, c.Line)
		case c.MaxOn <= 0 || c.MaxOn > MaxOnLimit:
			return fmt.Errorf("output %s: maximum on-time %s: want more than 0 and at most %s", c.ID, c.MaxOn, MaxOnLimit)
		}
		ids[c.ID], lines[c.Line] = true, true
	}
	return nil
}

func source(id string) string { return "output/" + id }
