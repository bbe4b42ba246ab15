package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/fleet"
	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// fleetCommand is many stations at once.
type fleetCommand struct {
	Stations     int           `placeholder:"N" help:"How many stations: by default 6 in virtual time, else 100."`
	Virtual      bool          `help:"Play one history in virtual time: seconds for a day, and the same for a seed on every machine."`
	Seed         uint64        `default:"1" placeholder:"N" help:"Which history."`
	Days         float64       `default:"1" placeholder:"D" help:"How long faults may happen in it."`
	Trace        string        `placeholder:"FILE" help:"Where to write each of its steps: nanoseconds, actor, action, numbers."`
	Centre       string        `placeholder:"DIR" help:"Run real stations against the centre of this directory, which dispatch serves."`
	Broker       string        `default:"tls://127.0.0.1:8883" help:"Where they reach its broker."`
	Jurisdiction string        `default:"changshan" help:"Whose stations they are."`
	Dir          string        `default:"fleet" placeholder:"DIR" help:"Where their certificates are kept, for the next time as well."`
	Rate         float64       `default:"10" placeholder:"N" help:"Events a second of all stations together."`
	For          time.Duration `placeholder:"TIME" help:"For how long; by default until Ctrl-C."`
	Bin          string        `placeholder:"DIR" help:"Folder with dispatch, which enrols the stations; by default it is built from the sources around, or taken from beside this program."`
}

// Help is shown below the flags.
func (fleetCommand) Help() string {
	return `For example:

  simctl fleet --virtual --seed 7 --days 2 --trace history.txt
  simctl fleet --centre centre --stations 200 --rate 50`
}

// Run plays or runs the fleet.
func (c *fleetCommand) Run(ctx context.Context, d deps) error {
	switch {
	case c.Virtual == (c.Centre != ""):
		return usageError{errors.New("give either --virtual or --centre DIR")}
	case c.Stations < 0 || c.Stations > 9999 || c.Days <= 0 || c.Days > 3650 || c.Rate < 0 || c.Rate > 100_000:
		return usageError{errors.New("--stations, --days or --rate is out of range")}
	case c.Virtual:
		return c.play(d)
	}
	return c.run(ctx, d)
}

// play runs a history of virtual time and tells what came of it.
func (c *fleetCommand) play(d deps) (err error) {
	p := fleet.Plan{Seed: c.Seed, Stations: c.Stations, Span: time.Duration(c.Days * float64(24*time.Hour))}
	if c.Trace != "" {
		f, err2 := os.Create(c.Trace)
		if err2 != nil {
			return fmt.Errorf("writing the trace: %w", err2)
		}
		out := bufio.NewWriterSize(f, 1<<20)
		defer func() { err = errors.Join(err, out.Flush(), f.Close()) }()
		p.Trace = out
	}
	sum, err := fleet.Play(p)
	var failure *fleet.Failure
	if errors.As(err, &failure) {
		p := failure.Plan
		p.Trace = nil
		return fmt.Errorf("%w\n\nas little as it takes: %w", failure.What, fleet.Shrink(&fleet.Failure{Plan: p, What: failure.What, Tail: failure.Tail}))
	}
	if err == nil {
		fmt.Fprintln(d.stdout, sum)
	}
	return err
}

// run enrols real stations where that is to be done, and runs them with a line of progress a second.
func (c *fleetCommand) run(ctx context.Context, d deps) error {
	o := fleet.Options{Dir: c.Dir, Log: slog.New(slog.DiscardHandler)}
	n := c.Stations
	if n == 0 {
		n = 100
	}
	for i := range n {
		o.Stations = append(o.Stations, topic.Address{Jurisdiction: c.Jurisdiction, Station: fmt.Sprintf("sim-%04d", i)})
	}
	if err := c.enrol(ctx, d.stdout, o); err != nil {
		return err
	}
	f, err := fleet.New(o)
	if err != nil {
		return err
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	fmt.Fprintln(d.stdout, "ready")
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.Run(ctx) })
	g.Go(func() error { return c.tell(ctx, f) })
	g.Go(func() error { return c.watch(ctx, d.stdout, f) })
	return g.Wait()
}

// enrol has dispatch enrol the stations that have no certificate yet.
func (c *fleetCommand) enrol(ctx context.Context, out io.Writer, o fleet.Options) error {
	var missing []topic.Address
	for _, s := range o.Stations {
		if _, err := os.Stat(filepath.Join(o.Dir, s.Station, "centre.yaml")); err != nil {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	p, err := findPrograms(ctx, out, c.Bin)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "enrolling %d stations\n", len(missing))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, s := range missing {
		g.Go(func() error {
			cmd := exec.CommandContext(ctx, p.dispatch, "enrol", "--dir", c.Centre, "--jurisdiction", s.Jurisdiction, "--station", s.Station,
				"--name", s.Station, "--broker", c.Broker, "--out", filepath.Join(o.Dir, s.Station))
			if text, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("enrolling %s: %w\n%s", s.Station, err, text)
			}
			return nil
		})
	}
	return g.Wait()
}

// tell has random stations tell something, at the rate that was asked for.
func (c *fleetCommand) tell(ctx context.Context, f *fleet.Fleet) error {
	if c.Rate == 0 {
		return nil
	}
	severities := []event.Severity{event.SeverityNotice, event.SeverityNotice, event.SeverityTrace, event.SeverityNotice, event.SeverityAlarm}
	tick := time.NewTicker(time.Duration(float64(time.Second) / c.Rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := f.Tell(ctx, rand.IntN(f.Len()), severities[rand.IntN(len(severities))])
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// watch prints how the fleet does, once a second.
func (c *fleetCommand) watch(ctx context.Context, out io.Writer, f *fleet.Fleet) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var before fleet.Progress
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		p := f.Progress(c.Jurisdiction)
		fmt.Fprintf(out, "connected %d of %d, %d events, %d/s, backlog %d\n", p.Connected, p.Stations, p.Events, p.Events-before.Events, p.Backlog)
		before = p
	}
}
