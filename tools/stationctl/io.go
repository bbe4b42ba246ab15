package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"watchpost/firmware/status"
)

// watchEvery is how often io --watch looks.
const watchEvery = time.Second

// ioCommand lists the inputs and outputs.
type ioCommand struct {
	Watch bool `help:"Go on: on a terminal the table stays and changes, elsewhere each change is a line. Ctrl-C ends it."`
	JSON  bool `name:"json" help:"As the station says it; with --watch one line each second."`
}

// Help is shown below the flags.
func (ioCommand) Help() string {
	return `For example, to see a door contact change while you stand at the box:

  stationctl io --watch`
}

// Run asks the station, once or again and again.
func (c ioCommand) Run(ctx context.Context, d deps) error {
	var before map[string]status.Point
	terminal, colours := screen(d.stdout)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var all status.IO
		if err := d.door.get(ctx, status.PathIO, &all); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := c.show(d, all, before, terminal, colours); err != nil {
			return err
		}
		before = points(all)
		if !c.Watch {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// show prints one look; before is the look before it, nil at the first.
func (c ioCommand) show(d deps, all status.IO, before map[string]status.Point, terminal, colours bool) error {
	switch {
	case c.JSON:
		enc := json.NewEncoder(d.stdout)
		if !c.Watch {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(all)
	case c.Watch && terminal:
		var page bytes.Buffer
		ioTable(&page, all, d.now(), colours)
		// Home, each line cut at the screen's edge and cleared behind its text, and what is below: the table changes in place
		// without a flicker.
		rows := bytes.ReplaceAll(fit(page.Bytes(), height(d.stdout)), []byte("\n"), []byte("\x1b[K\n"))
		_, err := fmt.Fprintf(d.stdout, "\x1b[?7l\x1b[H%s\x1b[J\x1b[?7h", rows)
		return err
	case before != nil:
		changes(d.stdout, all, before, d.now())
		return nil
	}
	ioTable(d.stdout, all, d.now(), colours)
	return nil
}

// ioTable is all points, driver by driver.
func ioTable(w io.Writer, all status.IO, now time.Time, colours bool) {
	t := table{}
	if colours {
		t.colour = func(row []string) string {
			if len(row) == 5 && row[1] != "STATE" {
				return colourOf(row[1])
			}
			return ""
		}
	}
	t.add("POINT", "STATE", "RAW", "SINCE", "SAYS")
	for _, g := range all.Groups {
		t.add(g.Driver)
		for _, p := range g.Points {
			t.add("  "+p.ID, p.State, p.Raw, clock(p.Since, now), p.Text)
		}
	}
	t.write(w)
}

// points are all points by driver and id.
func points(all status.IO) map[string]status.Point {
	list := map[string]status.Point{}
	for _, g := range all.Groups {
		for _, p := range g.Points {
			list[g.Driver+" "+p.ID] = p
		}
	}
	return list
}

// changes prints each point that is in another state, or reads another raw value, than before.
func changes(w io.Writer, all status.IO, before map[string]status.Point, now time.Time) {
	for _, g := range all.Groups {
		for _, p := range g.Points {
			if was := before[g.Driver+" "+p.ID]; was.State != p.State || was.Raw != p.Raw {
				fmt.Fprintf(w, "%s  %s: %s %s → %s %s\n", now.Local().Format(time.TimeOnly), p.ID, was.State, was.Raw, p.State, p.Raw)
			}
		}
	}
}
