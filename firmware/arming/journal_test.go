package arming_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// eventful is a journal with something of everything in it.
func eventful(t testing.TB) (*rig, []byte) {
	r := village(t)
	r.plan.Zones[2].Swinger = 1
	r.boot(nil)
	r.allNormal()
	r.later(time.Minute)
	r.do(arming.Bypass{By: chief(), Zone: "smoke", Hard: true, For: time.Hour})
	r.do(arming.Maintain{By: chief(), Zone: "hall", For: 2 * time.Hour, Reason: "new lens"})
	r.do(arming.Maintain{By: chief(), For: time.Minute})
	r.later(time.Minute)
	r.do(armNow(arming.Night))
	r.word("window", "active")
	r.word("button", "missing")
	r.word("door", "active")
	return r, bytes.Clone(r.m.Journal())
}

// A machine that takes up a journal writes the same one again: nothing is lost, and nothing is new.
func TestJournalComesBack(t *testing.T) {
	r, journal := eventful(t)
	again, err := arming.New(r.plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Restore(journal, r.now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(journal), string(again.Journal())); diff != "" {
		t.Errorf("the journal has changed\n%s", diff)
	}
	want, got := r.m.View(), again.View()
	for i := range want.Zones {
		want.Zones[i].State = "unknown"
	}
	for i := range want.Partitions {
		want.Partitions[i].Trouble = got.Partitions[i].Trouble
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the view has changed\n%s", diff)
	}
}

// The journal stays the same while nothing durable changes, so that a house in use costs no disk.
func TestJournalStaysTheSame(t *testing.T) {
	r := village(t)
	before := bytes.Clone(r.m.Journal())
	for range 3 {
		r.word("door", "active")
		r.word("hall", "active")
		r.word("window", "missing")
		r.later(time.Second)
		r.allNormal()
	}
	if !bytes.Equal(before, r.m.Journal()) {
		t.Errorf("a door in a disarmed house has changed\n%s\nto\n%s", before, r.m.Journal())
	}
	r.do(armNow(arming.Stay))
	armed := bytes.Clone(r.m.Journal())
	if bytes.Equal(before, armed) {
		t.Error("arming has not changed it")
	}
	r.later(time.Minute)
	if !bytes.Equal(armed, r.m.Journal()) {
		t.Error("a tick has changed it")
	}
}

// A step that is told twice, since the station died before its journal was on disk, has the same keys, and another step has others.
func TestKeysOfAStepToldTwice(t *testing.T) {
	r := village(t)
	r.do(armNow(arming.Away))
	journal := bytes.Clone(r.m.Journal())
	keys := func(zone string) []string {
		m, err := arming.New(r.plan)
		if err == nil {
			err = m.Restore(journal, r.now)
		}
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, in := range []arming.Input{arming.Started{}, arming.Word{Zone: zone, State: "active", KernelNS: 5}} {
			effects, err := m.Step(in, r.now)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range effects {
				if e.Event != nil {
					keys = append(keys, e.Event.Once)
				}
			}
		}
		return keys
	}
	if a, b := keys("window"), keys("window"); len(a) == 0 || !cmp.Equal(a, b) {
		t.Errorf("keys %q and %q of the same step", a, b)
	}
	first, second := r.word("window", "active"), r.word("hall", "active")
	if a, b := events(first, event.KindAlarmRaised, "")[0].Once, events(second, event.KindAlarmRaised, "")[0].Once; a == b {
		t.Errorf("two steps have the key %q", a)
	}
	other := village(t) // a new life, whose journal was lost
	other.now.Up += time.Minute
	other.boot(nil)
	other.allNormal()
	other.later(time.Minute)
	other.do(armNow(arming.Away))
	if a, b := events(first, event.KindAlarmRaised, "")[0].Once, events(other.word("window", "active"), event.KindAlarmRaised, "")[0].Once; a == b {
		t.Errorf("two lives have the key %q: the log would take the second alarm for the first", a)
	}
}

// After a technician has changed the plan, what it still has is as it was, and what is new begins.
func TestJournalOfAnotherPlan(t *testing.T) {
	r, journal := eventful(t)
	r.plan.Zones = append(r.plan.Zones[1:], arming.Zone{ID: "skylight", Partition: "house", Kind: arming.Intrusion},
		arming.Zone{ID: "gas", Partition: "shed", Kind: arming.Gas})
	r.plan.Partitions = append(r.plan.Partitions, arming.Partition{ID: "shed"})
	r.plan.Zones[1].Kind, r.plan.Zones[1].Swinger = arming.Fire, 0 // the window, which had silenced itself
	r.boot(journal)
	if r.zone("window").LeftOut != "" {
		t.Error("a fire zone is left out because it was a window once")
	}
	r.plan.Zones[1].Kind = arming.Intrusion
	r.boot(journal)
	if r.m.View().Partitions[0].Mode != arming.Night || r.zone("window").LeftOut != arming.LeftOutSwinger || r.m.View().Partitions[1].State != arming.StateFault {
		t.Errorf("%+v", r.m.View())
	}
	wantRaised(t, r.word("skylight", "active"), "skylight") // it was never normal while armed
	wantRaised(t, r.word("gas", "active"), "gas", "gas")    // it was never anything, and it is now
	wantRaised(t, r.later(30*time.Second), "door")          // it waited, and is gone
}

// A partition that was armed and is not in the plan any more is not forgotten in silence, and told once.
func TestAnArmedPartitionThatIsGoneIsTold(t *testing.T) {
	for _, armed := range []bool{true, false} {
		r := village(t)
		if armed {
			r.do(armNow(arming.Away))
		}
		r.plan.Partitions[0].ID = "home"
		for i := range r.plan.Zones {
			r.plan.Zones[i].Partition = "home"
		}
		r.plan.Users = users()
		told := events(r.restart(), event.KindPartitionChanged, "")
		if !armed {
			if len(told) > 0 {
				t.Errorf("it was disarmed, and told is %+v", told)
			}
			continue
		}
		if len(told) != 1 || told[0].Severity != event.SeverityWarning || told[0].Source != "arming/house" || text(told[0], event.TagPrevious) != "armed_away" ||
			text(told[0], event.TagState) != "disarmed" || text(told[0], event.TagReason) != "not-in-plan" || text(told[0], event.TagPartition) != "house" {
			t.Errorf("told is %+v", told)
		}
		if again := events(r.restart(), event.KindPartitionChanged, ""); len(again) > 0 {
			t.Errorf("told again: %+v", again)
		}
	}
}

// What is no journal of this version is refused by what is wrong with it, and leaves a machine that can begin.
func TestJournalsThatCannotBeBelieved(t *testing.T) {
	r, good := eventful(t)
	change := func(from, to string) []byte {
		if !bytes.Contains(good, []byte(from)) {
			t.Fatalf("%s is not in %s", from, good)
		}
		return bytes.Replace(good, []byte(from), []byte(to), 1)
	}
	for name, tt := range map[string]struct {
		journal []byte
		says    string
	}{
		"torn":              {good[:len(good)/2], "not whole"},
		"zeroes":            {make([]byte, 512), "not whole"},
		"two":               {append(bytes.Clone(good), good...), "not whole"},
		"older":             {change(`"v":1`, `"v":0`), "version 0, this one reads 1"},
		"newer":             {change(`"v":1`, `"v":2`), "version 2, this one reads 1"},
		"no object":         {[]byte(`[]`), "not whole"},
		"unknown field":     {change(`"v":1`, `"v":1,"colour":"red"`), `unknown field "colour"`},
		"too big":           {bytes.Repeat([]byte(" "), 1<<20+1), "1048577 bytes, at most 1048576"},
		"a mode":            {change(`"mode":"night"`, `"mode":"holiday"`), `mode "holiday"`},
		"a state":           {change(`"state":"alarm"`, `"state":"asleep"`), `state "asleep"`},
		"entry while off":   {change(`"mode":"night",`, ``), `mode ""`},
		"a word":            {change(`"judged":"active"`, `"judged":"ajar"`), `judged "ajar"`},
		"an endless delay":  {change(`"saved":`, `"saved":-`), "saved at -"},
		"a delay for years": {change(`"sounding":`, `"sounding":9`), "after the last step"},
		"no life":           {change(`"life":"`, `"life":"","zzz":"`), "unknown field"},
	} {
		m, err := arming.New(r.plan)
		if err != nil {
			t.Fatal(err)
		}
		err = m.Restore(tt.journal, r.now)
		if !errors.Is(err, arming.ErrJournal) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, tt.says)
		}
		if _, err := m.Step(arming.Started{}, r.now); err != nil || m.View().Partitions[0].State != arming.StateFault {
			t.Errorf("%s: the machine does not begin: %v, %+v", name, err, m.View())
		}
		if err := m.Restore(good, r.now); !errors.Is(err, arming.ErrJournal) {
			t.Errorf("%s: restored while it runs: %v", name, err)
		}
	}
}

// The form of the journal is a promise to every later version: it is this one.
func TestJournalIsGolden(t *testing.T) {
	_, got := eventful(t)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "journal-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), pretty.String()); diff != "" {
		t.Errorf("a journal of version 1 is never changed: add a version\n%s", diff)
	}
}

// Whatever is read as a journal is either refused, or gives a machine that works and writes it again.
func FuzzRestore(f *testing.F) {
	r, journal := eventful(f)
	f.Add(journal)
	f.Add(r.m.Journal()[:len(journal)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := arming.New(r.plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Restore(b, r.now); err != nil {
			if !errors.Is(err, arming.ErrJournal) {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		now := r.now
		for _, in := range []arming.Input{arming.Started{}, arming.Word{Zone: "smoke", State: "active"}, arming.Word{Zone: "door", State: "normal"},
			arming.Disarm{By: chief(), Partition: "house"}, arming.Tick{}} {
			if _, err := m.Step(in, now); err != nil {
				t.Fatalf("%T: %v", in, err)
			}
			now.Up += time.Hour
			now.Wall = now.Wall.Add(time.Hour)
		}
		m.View()
		m.Due(now)
		again, err := arming.New(r.plan)
		if err == nil {
			err = again.Restore(m.Journal(), now)
		}
		if err != nil {
			t.Fatalf("its own journal is refused: %v\n%s", err, m.Journal())
		}
	})
}
