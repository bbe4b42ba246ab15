package arming_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// The axes of testdata/words.txt. Each cell of their product stands there once.
func tableZones() []string {
	zones := strings.Fields("intrusion entry follow inner soft-intrusion hard-intrusion swinger-intrusion hard-fire test-fire test-hold-up test-tamper station-intrusion")
	for _, kind := range strings.Fields("panic hold-up medical fire gas co flood tamper") {
		zones = append(zones, kind, "station-"+kind)
	}
	return zones
}

func tableStates() []string {
	return strings.Fields("disarmed arming armed_away armed_stay armed_night entry alarm alarm-disarmed tamper tamper-disarmed alarm_memory fault walk_test maintenance")
}

func tableFrom() []string {
	return strings.Fields("never normal active short open masked fault missing lost-normal lost-active cut-active")
}

func tableWords() []string {
	return strings.Fields("unknown normal active short open masked fault missing")
}

type cell struct{ zone, state, from, word string }

// table is a file of blocks: lines that name their axes, a line of columns, and rows of verdicts.
func readTable(t *testing.T, name string) map[cell]string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	cells := map[cell]string{}
	var zones, states, columns []string
	for n, line := range strings.Split(string(b), "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "zones":
			zones, states, columns = words[1:], nil, nil
		case words[0] == "partitions":
			states = words[1:]
		case columns == nil:
			columns = words
		case len(words) != len(columns)+1:
			t.Fatalf("%s:%d: %d verdicts for %d columns", name, n+1, len(words)-1, len(columns))
		default:
			for _, zone := range zones {
				for _, state := range states {
					for i, word := range columns {
						c := cell{zone, state, words[0], word}
						if cells[c] != "" {
							t.Fatalf("%s:%d: %v stands twice", name, n+1, c)
						}
						cells[c] = words[i+1]
					}
				}
			}
		}
	}
	return cells
}

// Every word of every zone in every state of its partition has the verdict of the table, and so it has when the station was
// started again, or lost its power, between what it knew of the zone and the word.
func TestTableOfWords(t *testing.T) {
	cells := readTable(t, "words.txt")
	axes := [][]string{tableZones(), tableStates(), tableFrom(), tableWords()}
	for c := range cells {
		for i, name := range []string{c.zone, c.state, c.from, c.word} {
			if !slices.Contains(axes[i], name) {
				t.Errorf("%v: nothing is called %s", c, name)
			}
		}
	}
	for _, zone := range axes[0] {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			for _, state := range axes[1] {
				for _, from := range axes[2] {
					checkRow(t, cells, cell{zone: zone, state: state, from: from})
				}
			}
		})
	}
}

// checkRow checks the cells of one row. A restart needs no more of what came before than its journal.
func checkRow(t *testing.T, cells map[cell]string, c cell) {
	t.Helper()
	for _, c.word = range tableWords() {
		switch cells[c] {
		case "":
			t.Errorf("%v is missing", c)
		case "-":
		default:
			r := rigFor(t, c)
			r.bring(c)
			journal, at := bytes.Clone(r.m.Journal()), r.now
			checkCell(t, r, c, cells[c], "")
			for _, down := range []string{"restart", "power-up"} {
				again := &rig{t: t, plan: r.plan, now: at, once: map[string]bool{}, edge: r.edge}
				if down == "power-up" {
					again.now.Boot, again.now.Up = at.Boot+1, 20*time.Second
				}
				again.boot(journal)
				checkCell(t, again, c, cells[c], down)
			}
		}
	}
}

func checkCell(t *testing.T, r *rig, c cell, want, down string) {
	t.Helper()
	way := c.zone == "entry" || c.zone == "follow"
	waited := way && r.waits("x")
	effects := r.word("x", c.word)
	if down == "power-up" {
		effects = append(effects, r.later(time.Minute)...)
	}
	got := verdict(t, effects)
	if way && !waited && r.waits("x") {
		got += "E"
	}
	if got == "" {
		got = "."
	}
	if got != want {
		t.Errorf("%s zone, partition %s, %s → %s %s: %s, want %s", c.zone, c.state, c.from, c.word, down, got, want)
	}
}

// verdict is what a step says of zone x, in the letters of the table.
func verdict(t *testing.T, effects []arming.Effect) string {
	t.Helper()
	var b strings.Builder
	loud := false
	for _, d := range events(effects, event.KindAlarmRaised, "x") {
		switch {
		case d.Qualifier == event.QualifierRestore:
			b.WriteByte('r')
			continue
		case text(d, event.TagReason) == arming.CauseFault:
			b.WriteByte('F')
		case text(d, event.TagState) == "active":
			b.WriteByte('A')
			loud = true
		default:
			b.WriteByte('T')
			loud = true
		}
		seq, _ := d.Body.Uint(event.TagLineSeq)
		if d.KernelNS == 0 || d.KernelNS != int64(seq)*1000 || d.Source != "arming/house" || d.Severity != event.SeverityAlarm || text(d, event.TagPartition) != "house" {
			t.Errorf("the alarm does not carry its edge: %+v", d)
		}
	}
	if o, _ := output(effects, "siren"); o.On != loud {
		t.Errorf("an alarm is %v, the siren is %+v", loud, o)
	}
	return b.String()
}

// rigFor lays down the zone x of a cell, and others that bring the partition into its state.
func rigFor(t *testing.T, c cell) *rig {
	x := arming.Zone{ID: "x", Partition: "house", Kind: arming.Intrusion, Code: "BA"}
	switch c.zone {
	case "intrusion", "soft-intrusion", "hard-intrusion", "station-intrusion":
	case "entry":
		x.Entry = true
	case "follow":
		x.Follow = true
	case "inner":
		x.Modes = []arming.Mode{arming.Stay}
		if c.state == "armed_stay" {
			x.Modes = []arming.Mode{arming.Away}
		}
	case "swinger-intrusion":
		x.Swinger = 1
	default:
		x.Kind = arming.Kind(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(c.zone, "station-"), "hard-"), "test-"))
	}
	return newRig(t, arming.Plan{
		Partitions: []arming.Partition{{ID: "house", Exit: 255 * time.Second, Entry: 4 * time.Minute, Settle: time.Minute,
			Siren: 15 * time.Minute, Outputs: []string{"siren"}}},
		Zones: []arming.Zone{x,
			{ID: "porch", Partition: "house", Kind: arming.Intrusion, Entry: true},
			{ID: "button", Partition: "house", Kind: arming.Panic},
			{ID: "box", Partition: "house", Kind: arming.Tamper},
			{ID: "shed", Partition: "house", Kind: arming.Intrusion},
		},
		Users: users(),
	})
}

// bring has partition and zone stand as the cell says.
func (r *rig) bring(c cell) {
	r.t.Helper()
	for _, z := range []string{"porch", "button", "box", "shed"} {
		r.word(z, "normal")
	}
	if c.from != "never" {
		r.word("x", "normal")
	}
	r.later(time.Minute)
	how, _, _ := strings.Cut(c.zone, "-")
	if how == "soft" {
		r.do(arming.Bypass{By: chief(), Zone: "x"})
	}
	mode := map[string]arming.Mode{"armed_stay": arming.Stay, "armed_night": arming.Night}[c.state]
	if mode == "" {
		mode = arming.Away
	}
	switch c.state {
	case "arming":
		r.do(arming.Arm{By: chief(), Partition: "house", Mode: mode, Force: []string{"x"}})
	case "armed_away", "armed_stay", "armed_night", "entry", "alarm", "tamper":
		r.do(armNow(mode, "x"))
	case "fault":
		r.word("shed", "fault")
	case "walk_test":
		r.do(arming.WalkTest{By: chief(), Partition: "house"})
	case "maintenance":
		r.do(arming.Maintain{By: chief(), Zone: "shed", For: 2 * time.Hour})
	}
	if how == "swinger" {
		r.word("x", "active")
		r.word("x", "normal")
		r.later(15 * time.Minute)
	}
	switch c.state {
	case "entry":
		r.word("porch", "active")
	case "alarm", "alarm-disarmed", "alarm_memory":
		r.word("button", "active")
	case "tamper", "tamper-disarmed":
		r.word("box", "open")
	}
	if c.state == "alarm_memory" {
		r.later(15 * time.Minute)
	}
	switch how {
	case "hard":
		r.do(arming.Bypass{By: chief(), Zone: "x", Hard: true, For: 2 * time.Hour})
	case "test":
		r.do(arming.Maintain{By: chief(), Zone: "x", For: 2 * time.Hour})
	case "station":
		r.do(arming.Maintain{By: chief(), For: 2 * time.Hour})
	}
	r.mustStand(c, how)
	for _, s := range map[string][]string{
		"never": nil, "lost-normal": {"unknown"}, "lost-active": {"active", "unknown"}, "cut-active": {"active", "missing"},
	}[c.from] {
		r.word("x", s)
	}
	if !strings.Contains(c.from, "-") && c.from != "never" {
		r.word("x", c.from)
	}
}

// mustStand fails if the partition is not in the cell's state after all.
func (r *rig) mustStand(c cell, how string) {
	r.t.Helper()
	want := arming.State(strings.TrimSuffix(c.state, "-disarmed"))
	got := r.state()
	switch {
	case want == "fault" || want == arming.StateDisarmed || want == arming.StateAlarmMemory:
		if how == "station" || how == "test" {
			want = arming.StateMaintenance
		} else if want == arming.StateDisarmed && c.from == "never" {
			want = arming.StateFault
		}
	}
	if got != want {
		r.t.Fatalf("%v: the partition is brought to %s, want %s", c, got, want)
	}
}
