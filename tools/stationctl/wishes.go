package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"watchpost/firmware/status"
)

// codeFlag is where a wish's code comes from.
type codeFlag struct {
	CodeFile string `placeholder:"FILE" help:"File whose first line is the code; without it the code is asked for, or read from standard input."`
}

// armCommand arms a partition.
type armCommand struct {
	codeFlag
	Partition string   `arg:"" help:"Id of the partition."`
	Mode      string   `default:"away" enum:"away,stay,night" help:"away: nobody is in; stay: people are awake; night: people are asleep."`
	Force     []string `placeholder:"ZONE" help:"Zones to leave out if they are not normal."`
	Now       bool     `help:"Without exit delay."`
}

// Help is shown below the flags.
func (armCommand) Help() string {
	return `For example, for the night, with the window open:

  stationctl arm house --mode night --force window`
}

// Run asks the station.
func (c armCommand) Run(ctx context.Context, d deps) error {
	return d.partition(ctx, c.codeFlag, c.Partition, status.PathArm, func(code string) any {
		return status.Arm{Partition: c.Partition, Mode: c.Mode, Force: c.Force, Now: c.Now, Code: code}
	})
}

// disarmCommand disarms a partition.
type disarmCommand struct {
	codeFlag
	Partition string `arg:"" help:"Id of the partition."`
}

// Run asks the station.
func (c disarmCommand) Run(ctx context.Context, d deps) error {
	return d.partition(ctx, c.codeFlag, c.Partition, status.PathDisarm, func(code string) any {
		return status.Disarm{Partition: c.Partition, Code: code}
	})
}

// clearCommand forgets an alarm memory.
type clearCommand struct {
	codeFlag
	Partition string `arg:"" help:"Id of the partition."`
}

// Run asks the station.
func (c clearCommand) Run(ctx context.Context, d deps) error {
	return d.partition(ctx, c.codeFlag, c.Partition, status.PathClear, func(code string) any {
		return status.Clear{Partition: c.Partition, Code: code}
	})
}

// walktestCommand begins or ends a walk test.
type walktestCommand struct {
	codeFlag
	Partition string `arg:"" help:"Id of the partition."`
	Off       bool   `help:"End it."`
}

// Help is shown below the flags.
func (walktestCommand) Help() string {
	return `For example, begin, walk, see what was walked past, end:

  stationctl walktest house
  stationctl status
  stationctl walktest house --off`
}

// Run asks the station.
func (c walktestCommand) Run(ctx context.Context, d deps) error {
	return d.partition(ctx, c.codeFlag, c.Partition, status.PathWalkTest, func(code string) any {
		return status.WalkTest{Partition: c.Partition, Off: c.Off, Code: code}
	})
}

// bypassCommand leaves a zone out.
type bypassCommand struct {
	codeFlag
	Zone string        `arg:"" help:"Id of the zone."`
	Off  bool          `help:"Have it count again."`
	Hard bool          `help:"An engineer's: over disarmings, for any kind of zone, until --for is over."`
	For  time.Duration `placeholder:"DURATION" help:"How long a hard one lasts, at most 2h."`
}

// Help is shown below the flags.
func (bypassCommand) Help() string {
	return `For example, a window until the next disarming, and a smoke detector while the kitchen is painted:

  stationctl bypass window
  stationctl bypass smoke --hard --for 30m

Each ends as it began: --off, or --off --hard.`
}

// Run asks the station.
func (c bypassCommand) Run(ctx context.Context, d deps) error {
	if c.Hard != (c.For > 0) && !c.Off {
		return usageError{fmt.Errorf("--hard and --for go together: --hard --for 30m")}
	}
	v := status.Bypass{Zone: c.Zone, Off: c.Off, Hard: c.Hard}
	if c.For > 0 {
		v.For = c.For.String()
	}
	return d.zone(ctx, c.codeFlag, c.Zone, c.Off, status.PathBypass, func(code string) any { v.Code = code; return v })
}

// testCommand puts a zone or the station under test.
type testCommand struct {
	codeFlag
	Zone    string        `arg:"" optional:"" help:"Id of the zone."`
	Station bool          `help:"All of the station. Hold-up and fire stay what they are."`
	For     time.Duration `placeholder:"DURATION" help:"How long, at most 2h; it ends by itself."`
	Reason  string        `placeholder:"TEXT" help:"Why, for the centre."`
	Off     bool          `help:"End it."`
}

// Help is shown below the flags.
func (testCommand) Help() string {
	return `For example, all of the station while its wires are measured, and one zone again when its detector was changed:

  stationctl test --station --for 30m --reason "loops measured"
  stationctl test hall --off`
}

// Run asks the station.
func (c testCommand) Run(ctx context.Context, d deps) error {
	switch {
	case c.Station == (c.Zone != ""):
		return usageError{fmt.Errorf("name one zone, or --station for all of the station")}
	case !c.Off && c.For <= 0:
		return usageError{fmt.Errorf("say how long: --for 30m, at most 2h")}
	}
	v := status.Test{Zone: c.Zone, Station: c.Station, Off: c.Off, Reason: c.Reason}
	if c.For > 0 {
		v.For = c.For.String()
	}
	return d.zone(ctx, c.codeFlag, c.Zone, c.Off, status.PathTest, func(code string) any { v.Code = code; return v })
}

// readerKeyCommand gives a card reader its key.
type readerKeyCommand struct {
	codeFlag
	Reader string `arg:"" help:"Id of the reader."`
}

// Help is shown below the flags.
func (readerKeyCommand) Help() string {
	return `A reader from the factory has a key that everybody knows, and is not believed. This sends it, once, the key_hex that the
station's configuration has for it. Whoever listens on the wire meanwhile has the key: do it with the reader alone on the bench.
The code is an engineer's.

  stationctl readerkey gate`
}

// Run asks the station.
func (c readerKeyCommand) Run(ctx context.Context, d deps) error {
	_, err := d.wish(ctx, c.codeFlag, status.PathReaderKey, func(code string) any { return status.ReaderKey{Reader: c.Reader, Code: code} })
	if err != nil {
		return err
	}
	d.say([]string{c.Reader, "has its key"})
	return nil
}

// partition has a wish done and says how its partition is then.
func (d deps) partition(ctx context.Context, from codeFlag, id, path string, wish func(code string) any) error {
	then, err := d.wish(ctx, from, path, wish)
	if err != nil {
		return err
	}
	for _, p := range then.Partitions {
		if p.ID == id {
			d.say(partitionRow(p, d.now()))
		}
	}
	return nil
}

// zone has a wish done and says how its zone is then; without a zone, how the station is. A zone that is to count again and
// does not, since it was left out in another way, too, is a refusal.
func (d deps) zone(ctx context.Context, from codeFlag, id string, count bool, path string, wish func(code string) any) error {
	then, err := d.wish(ctx, from, path, wish)
	if err != nil {
		return err
	}
	if id == "" {
		d.say(underTest(then, d.now()))
	}
	for _, z := range then.Zones {
		if z.ID == id {
			d.say([]string{z.ID, z.State, leftOut(z, d.now()), z.Name})
			if count && z.Bypassed != "" {
				return stays(z)
			}
		}
	}
	return nil
}

// stays is the no to whoever wanted a zone to count that does not.
func stays(z status.Zone) *refusal {
	by, with := z.Bypassed, "bypass "+z.ID+" --off"
	switch z.Bypassed {
	case "hard":
		by, with = "by an engineer", with+" --hard"
	case "test":
		by, with = "by a test", "test "+z.ID+" --off"
	case "swinger":
		by, with = "after too many alarms", "disarm "+z.Partition
	}
	return &refusal{fmt.Sprintf("%s is left out yet, %s: stationctl %s", z.ID, by, with)}
}

func (d deps) wish(ctx context.Context, from codeFlag, path string, wish func(code string) any) (status.Arming, error) {
	code, err := d.code(ctx, from.CodeFile)
	if err != nil {
		return status.Arming{}, err
	}
	return d.door.wish(ctx, path, wish(code))
}

// say prints the words of one line that are not empty.
func (d deps) say(words []string) {
	var said []string
	for _, w := range words {
		if w != "" {
			said = append(said, w)
		}
	}
	fmt.Fprintln(d.stdout, strings.Join(said, "  "))
}
