package station

import (
	"context"
	"errors"
	"fmt"
	"time"

	"watchpost/drivers/relay"
	"watchpost/storage/event"
)

// outputDriver takes the wish that an output be on, for at most the time given, or off. It does not wait for the wire: it tries on
// by itself, tells what became of it, and ends what is on in time.
type outputDriver interface {
	Drive(ctx context.Context, id string, on bool, most time.Duration, cause string) error
}

// act drives the outputs; what they are driven for is in the journal. A wish that its driver does not take is told.
func (g *guard) act(ctx context.Context) {
	acts := g.acts
	g.acts = nil
	for _, o := range acts {
		if err := g.driver.Drive(ctx, o.ID, o.On, o.For, o.Cause); err != nil && ctx.Err() == nil {
			g.log.Error("an output is not driven", "output", o.ID, "on", o.On, "cause", o.Cause, "err", err)
			state, reason := "fault", "refused"
			if errors.Is(err, relay.ErrSpent) {
				state, reason = "off", "spent"
			}
			g.add(event.Draft{
				Kind: event.KindOutputChanged, Qualifier: event.QualifierStatus, Source: "output/" + o.ID, Severity: event.SeverityWarning,
				Body: event.NewBody(event.Text(event.TagOutput, o.ID), event.Text(event.TagState, state), event.Text(event.TagReason, reason),
					event.Text(event.TagDetail, err.Error())),
			})
			g.saved = false
		}
	}
}

// outputs are all drivers that have outputs.
type outputs []outputDriver

// Drive asks the driver that has the output.
func (all outputs) Drive(ctx context.Context, id string, on bool, most time.Duration, cause string) error {
	err := fmt.Errorf("output %s: %w", id, relay.ErrUnknown)
	for _, d := range all {
		if err = d.Drive(ctx, id, on, most, cause); !errors.Is(err, relay.ErrUnknown) {
			return err
		}
	}
	return err
}
