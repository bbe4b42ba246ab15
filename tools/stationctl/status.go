package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"watchpost/firmware/status"
)

// statusCommand says how the station is.
type statusCommand struct {
	JSON bool `name:"json" help:"As the station says it: a Status, and an Arming behind it."`
}

// Run asks the station.
func (c statusCommand) Run(ctx context.Context, d deps) error {
	var st status.Status
	var arming status.Arming
	if err := d.door.get(ctx, status.Path, &st); err != nil {
		return err
	}
	if err := d.door.get(ctx, status.PathArming, &arming); err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(d.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(st); err != nil {
			return err
		}
		return enc.Encode(arming)
	}
	fmt.Fprintf(d.stdout, "%s %s, version %s, up since %s, clock %s\n", st.Station, st.Name, st.Version, clock(st.Started, d.now()), st.Clock)
	if st.Log.Full {
		fmt.Fprintln(d.stdout, "the log is full: new events are refused")
	}
	t := table{}
	if _, colours := screen(d.stdout); colours {
		t.colour = func(row []string) string { return colourOf(row[1]) }
	}
	for _, x := range st.Centres {
		t.add("centre "+x.ID, map[bool]string{true: "up", false: "down"}[x.Online], clock(x.Since, d.now()), x.Reason)
	}
	for _, p := range arming.Partitions {
		row := partitionRow(p, d.now())
		t.add("partition "+row[0], row[1], row[2], strings.Join(row[3:], "  "))
	}
	for _, z := range arming.Zones {
		t.add("zone "+z.ID, z.State, leftOut(z, d.now()), z.Name)
	}
	t.write(d.stdout)
	if words := underTest(arming, d.now()); !arming.TestUntil.IsZero() {
		d.say(words)
	}
	return nil
}

// partitionRow is one partition: id, state, when, and what else there is to say of it.
func partitionRow(p status.Partition, now time.Time) []string {
	when := clock(p.Since, now)
	if !p.Until.IsZero() {
		when = "until " + clock(p.Until, now)
	}
	var memory []string
	for _, a := range p.Memory {
		memory = append(memory, strings.TrimSpace(a.Zone+" "+a.Reason)+" "+clock(a.At, now))
	}
	row := []string{p.ID, p.State, when, p.Name}
	for _, list := range []struct {
		says  string
		zones []string
	}{{"left out: ", p.Bypassed}, {"not to be relied on: ", p.Trouble}, {"walked: ", p.Walked}, {"remembers: ", memory}} {
		if len(list.zones) > 0 {
			row = append(row, list.says+strings.Join(list.zones, ", "))
		}
	}
	return row
}

// leftOut says whether and how a zone is left out.
func leftOut(z status.Zone, now time.Time) string {
	switch {
	case z.Bypassed == "":
		return "counts"
	case z.Until.IsZero():
		return "left out: " + z.Bypassed
	}
	return "left out: " + z.Bypassed + " until " + clock(z.Until, now)
}

// underTest says whether the whole station is under test.
func underTest(a status.Arming, now time.Time) []string {
	if a.TestUntil.IsZero() {
		return []string{"the station is not under test"}
	}
	return []string{"the station is under test until " + clock(a.TestUntil, now)}
}
