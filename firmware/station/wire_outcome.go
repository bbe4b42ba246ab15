package station

import (
	"cmp"
	"context"
	"errors"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/bus"
)

// tryWait bounds how long a device is waited for, for the log at the start.
const tryWait = time.Second

// try asks once whether what a driver hangs on answers.
type try func(ctx context.Context) error

// tryLine asks by reading one line of a board.
func tryLine(lines bus.Lines, line string) try {
	return func(ctx context.Context) error {
		_, err := lines.Read(ctx, line)
		if errors.Is(err, errors.ErrUnsupported) { // an output that cannot be read back answers all the same
			return nil
		}
		return err
	}
}

// outcome says how a driver's start goes, as far as anybody can say.
func (s *Station) outcome(ctx context.Context, d drivers.Driver) drivers.Outcome {
	if p, ok := d.(drivers.Prober); ok {
		return p.Probe(ctx)
	}
	if try := s.wires.tries[d]; try != nil {
		ctx, cancel := context.WithTimeout(ctx, tryWait)
		defer cancel()
		if err := try(ctx); err != nil {
			return drivers.Failed(err.Error())
		}
	}
	return drivers.Ready()
}

// name is what a driver is called at the door and in the log.
func (s *Station) name(d drivers.Driver) string { return cmp.Or(s.wires.names[d], d.String()) }

// skipped says why a part of the configuration has no driver.
func (s *Station) skipped(what, why string) {
	s.log.Info("driver starts", "driver", what, "outcome", drivers.Skipped(why).String())
}
