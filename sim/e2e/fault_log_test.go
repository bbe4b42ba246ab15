package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"watchpost/storage/event"
)

// files are the regular files of a village's Badger that fit a pattern, sorted by name, without empty ones.
func (v *village) files(pattern string) (names []string) {
	v.t.Helper()
	all, err := filepath.Glob(filepath.Join(v.dir, "data", "events", pattern))
	if err != nil {
		v.t.Fatal(err)
	}
	for _, name := range all {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		v.t.Fatalf("no %s in %v", pattern, all)
	}
	return names
}

func (v *village) truncate(name string, share float64) {
	v.t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		v.t.Fatal(err)
	}
	if err := os.Truncate(name, int64(float64(info.Size())*share)); err != nil {
		v.t.Fatal(err)
	}
}

// damage is one way in which a crash or a bad disk leaves the log.
type damage struct {
	name  string
	do    func(v *village)
	fresh bool // it costs the log: it is set aside, and a new epoch begins
	says  string
}

func damages() []damage {
	return []damage{
		{name: "empty memtable file", do: func(v *village) {
			put(v.t, map[string]string{filepath.Join(v.dir, "data", "events", "00099.mem"): "x"})
			v.truncate(filepath.Join(v.dir, "data", "events", "00099.mem"), 0)
		}},
		{name: "memtable cut to nothing", do: func(v *village) {
			mem := v.files("*.mem")
			v.truncate(mem[len(mem)-1], 0)
		}, says: "events cannot be read any more"},
		{name: "memtable torn", do: func(v *village) { // in the middle of what was written, as a power cut does
			mem := v.files("*.mem")
			name := mem[len(mem)-1]
			b, err := os.ReadFile(name)
			if err != nil {
				v.t.Fatal(err)
			}
			written := len(strings.TrimRight(string(b), "\x00"))
			if err := os.Truncate(name, int64(written/2)); err != nil {
				v.t.Fatal(err)
			}
		}, says: "events cannot be read any more"},
		{name: "table cut", do: func(v *village) { v.truncate(v.files("*.sst")[0], 0.5) }, fresh: true, says: "set aside whole"},
		{name: "table gone", do: func(v *village) { put(v.t, map[string]string{v.files("*.sst")[0]: ""}) }, fresh: true, says: "set aside whole"},
		{name: "garbage in MANIFEST", do: func(v *village) {
			put(v.t, map[string]string{v.files("MANIFEST")[0]: strings.Repeat("garbage ", 100)})
		}, fresh: true, says: "set aside whole"},
		{name: "MANIFEST gone", do: func(v *village) { put(v.t, map[string]string{v.files("MANIFEST")[0]: ""}) }, fresh: true, says: "set aside whole"},
	}
}

// TestFaultDamagedLog damages the files of the event log of a killed agent. It starts again without a person; what it had to set
// aside it names, and the centre is told which epoch ended.
func TestFaultDamagedLog(t *testing.T) {
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) { damagedLog(t, d) })
	}
}

func damagedLog(t *testing.T, d damage) {
	c := newCentre(t)
	v := caoping(c).build(t)
	v.start()
	v.set("door", 1)
	c.awaitStored(v.id, "the door", zoneActive("door"))
	stopsWell(t, v.agent) // makes a table of the memtable
	v.start()
	panel := func(first int) {
		must(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--count", "40", "--window", "8", "--first", fmt.Sprint(first))
	}
	panel(1)
	v.drained()
	before, err := v.door()
	if err != nil {
		t.Fatal(err)
	}
	v.agent.kill()
	d.do(v)

	v.start()
	if d.says != "" {
		v.agent.says(d.says)
	}
	v.set("door", 0)
	v.set("panic", 1)
	panel(41)
	c.awaitStored(v.id, "the panic button", zoneActive("panic"))
	v.drained()
	all := c.stored(v.id)
	checkOnce(t, all)
	checkMarks(t, all, 1, 80)
	after, err := v.door()
	if err != nil {
		t.Fatal(err)
	}
	if fresh := before.Log.Epoch != after.Log.Epoch; fresh != d.fresh {
		t.Errorf("epoch %s, then %s: a new one is %t, want %t", before.Log.Epoch, after.Log.Epoch, fresh, d.fresh)
	}
	if d.fresh {
		v.checkSetAside(all, before.Log.Epoch, before.Log.Heads)
	} else if d.says != "" && !slices.ContainsFunc(all, func(e event.Event) bool { return e.Kind == event.KindLogEvicted }) {
		t.Error("no event tells the centre that a part of the log is gone")
	}
	stopsWell(t, v.agent)
}

// checkSetAside holds that a damaged log is kept, that the agent said where, and that the first event of the new epoch tells the
// centre what ended.
func (v *village) checkSetAside(all []event.Event, old string, heads map[string]uint64) {
	v.t.Helper()
	aside := filepath.Join(v.dir, "data", "events.corrupt-1")
	if _, err := os.Stat(aside); err != nil {
		v.t.Error(err)
	}
	holdsAll(v.t, "the agent", v.agent.stderr(), "dir="+aside)
	i := slices.IndexFunc(all, func(e event.Event) bool { return e.Epoch.String() != old && e.Kind == event.KindLogOpened })
	if i < 0 {
		v.t.Fatal("no log.opened event of the new epoch at the centre")
	}
	e := all[i]
	reason, _ := e.Body.Text(event.TagReason)
	detail, _ := e.Body.Text(event.TagDetail)
	previous, _ := e.Body.Bytes(event.TagPrevEpoch)
	alarm, _ := e.Body.Uint(event.TagLastAlarm)
	main, _ := e.Body.Uint(event.TagLastMain)
	if e.Seq != 1 || reason != "damaged" || detail == "" || fmt.Sprintf("%x", previous) != old || alarm != heads["alarm"] || main != heads["main"] {
		v.t.Errorf("first event of the new epoch: seq %d, reason %q, detail %q, previous epoch %x (%s), last of alarm %d and main %d (%v)",
			e.Seq, reason, detail, previous, old, alarm, main, heads)
	}
}
