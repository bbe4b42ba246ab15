package zone

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// brief is a fact without its times and keys.
type brief struct {
	State, Previous string
	Qualifier       event.Qualifier
	Severity        event.Severity
	Lost, Count     uint64
	Reason          string
}

func briefs(facts []fact) []brief {
	out := []brief{}
	for _, f := range facts {
		out = append(out, brief{f.state, f.previous, f.qualifier, f.severity, f.lost, f.count, f.reason})
	}
	return out
}

const (
	qNew     = event.QualifierNew
	qRestore = event.QualifierRestore
	qStatus  = event.QualifierStatus
	alarm    = event.SeverityAlarm
	warning  = event.SeverityWarning
	notice   = event.SeverityNotice
)

func start() time.Time { return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC) }

// present and changed are words of a line: a level read, and an edge.
func present(level bool, lost uint64) Word {
	return Word{State: stateOf(level), KernelNS: 7, LineSeq: 3, Lost: lost}
}

func changed(level bool, lost uint64) Word {
	return Word{State: stateOf(level), Changed: true, KernelNS: 9, LineSeq: 4, Lost: lost}
}

func dead() Word { return Word{State: Missing, Reason: "wire", Detail: "cut"} }

// stateOf is a contact that is active when its level is high.
func stateOf(level bool) string {
	if level {
		return Active
	}
	return Normal
}

func TestMachine(t *testing.T) {
	missing := func(previous string) brief {
		return brief{State: "missing", Previous: previous, Qualifier: qNew, Severity: warning, Reason: "wire"}
	}
	active := func(previous string, lost uint64, reason string) brief {
		return brief{State: "active", Previous: previous, Qualifier: qNew, Severity: alarm, Lost: lost, Reason: reason}
	}
	normal := func(previous string, q event.Qualifier, lost uint64, reason string) brief {
		return brief{State: "normal", Previous: previous, Qualifier: q, Severity: notice, Lost: lost, Reason: reason}
	}
	for name, c := range map[string]struct {
		edges []Word
		want  []brief
	}{
		"found normal":               {[]Word{present(false, 0)}, []brief{normal("unknown", qStatus, 0, "")}},
		"found active":               {[]Word{present(true, 0)}, []brief{active("unknown", 0, "")}},
		"found dead":                 {[]Word{dead(), dead()}, []brief{missing("unknown")}},
		"dead, then found active":    {[]Word{dead(), present(true, 0)}, []brief{missing("unknown"), active("missing", 0, "")}},
		"dead, then found normal":    {[]Word{dead(), present(false, 0)}, []brief{missing("unknown"), normal("missing", qStatus, 0, "")}},
		"opened and closed":          {[]Word{present(false, 0), changed(true, 0), changed(false, 0)}, []brief{normal("unknown", qStatus, 0, ""), active("normal", 0, ""), normal("active", qRestore, 0, "")}},
		"read again, nothing new":    {[]Word{present(false, 0), present(false, 0), changed(true, 0), present(true, 0)}, []brief{normal("unknown", qStatus, 0, ""), active("normal", 0, "")}},
		"wire back, as it was":       {[]Word{present(false, 0), dead(), present(false, 0)}, []brief{normal("unknown", qStatus, 0, ""), missing("normal"), normal("missing", qRestore, 0, "wire")}},
		"wire back, still active":    {[]Word{present(true, 0), dead(), present(true, 0)}, []brief{active("unknown", 0, ""), missing("active"), {State: "active", Previous: "missing", Qualifier: qStatus, Severity: notice, Reason: "wire"}}},
		"opened while dead":          {[]Word{present(false, 0), dead(), present(true, 1)}, []brief{normal("unknown", qStatus, 0, ""), missing("normal"), active("missing", 1, "")}},
		"closed while dead":          {[]Word{present(true, 0), dead(), present(false, 1)}, []brief{active("unknown", 0, ""), missing("active"), normal("missing", qRestore, 1, "")}},
		"pressed while dead":         {[]Word{present(false, 0), dead(), present(false, 2)}, []brief{normal("unknown", qStatus, 0, ""), missing("normal"), active("missing", 2, "lost"), normal("active", qRestore, 0, "")}},
		"pressed anew while dead":    {[]Word{present(true, 0), dead(), present(true, 2)}, []brief{active("unknown", 0, ""), missing("active"), active("missing", 2, "lost")}},
		"pulse lost on living wire":  {[]Word{present(false, 0), present(false, 2)}, []brief{normal("unknown", qStatus, 0, ""), active("normal", 2, "lost"), normal("active", qRestore, 0, "")}},
		"rise lost before a fall":    {[]Word{present(false, 0), changed(false, 1)}, []brief{normal("unknown", qStatus, 0, ""), active("normal", 1, "lost"), normal("active", qRestore, 0, "")}},
		"fall lost before a rise":    {[]Word{present(true, 0), changed(true, 1)}, []brief{active("unknown", 0, ""), active("active", 1, "lost")}},
		"lost edges before a change": {[]Word{present(false, 0), changed(true, 2)}, []brief{normal("unknown", qStatus, 0, ""), active("normal", 2, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			m, got := newMachine(alarm), []fact{}
			for i, e := range c.edges {
				got = append(got, m.hear(e, start().Add(time.Duration(i)*time.Minute))...)
			}
			if d := cmp.Diff(c.want, briefs(got)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestForeignReason is a box that says why in bytes that the log would refuse.
func TestForeignReason(t *testing.T) {
	f := newMachine(alarm).hear(Word{State: Missing, Reason: "wire", Detail: "kaputt\xff"}, start())
	if len(f) != 1 || f[0].detail != "kaputt?" {
		t.Errorf("%+v", f)
	}
}

// TestOnce holds that the same edge has the same key, told as an edge or read again by the next run, and another edge
// another one; and that a state which may be told again has none.
func TestOnce(t *testing.T) {
	first := newMachine(alarm)
	first.hear(present(false, 0), start())
	edge := Word{State: Active, Changed: true, KernelNS: 1234, LineSeq: 5}
	seen := first.hear(edge, start())[0]
	read := Word{State: Active, KernelNS: 1234, LineSeq: 5}
	found := newMachine(alarm).hear(read, start())[0]
	if seen.once == "" || seen.once != found.once {
		t.Errorf("keys %q and %q of one edge", seen.once, found.once)
	}
	read.KernelNS = 1235 // the same count in another life of the box
	if other := newMachine(alarm).hear(read, start())[0]; other.once == seen.once {
		t.Errorf("two edges have the key %q", other.once)
	}
	read.State = Normal
	if f := newMachine(alarm).hear(read, start())[0]; f.once != "" {
		t.Errorf("a normal state found has the key %q", f.once)
	}
	first.hear(dead(), start())
	edge.Changed = false
	if f := first.hear(edge, start())[0]; f.once != "" || f.previous != "missing" {
		t.Errorf("a wire that is back: %+v", f)
	}
}

// TestChatter latches one fault after 8 changes in 10 s, and ends it after 10 s of quiet.
func TestChatter(t *testing.T) {
	m, now := newMachine(alarm), start()
	m.hear(present(false, 0), now)
	got, level := []fact{}, false
	for range 100 {
		now = now.Add(100 * time.Millisecond)
		level = !level
		got = append(got, m.hear(changed(level, 0), now)...)
	}
	if len(got) != 9 || got[8].state != "fault" || got[8].reason != "chatter" || got[8].qualifier != qNew {
		t.Fatalf("100 changes in 10 s: %+v", briefs(got))
	}
	at, ok := m.due()
	if !ok || at != now.Add(chatterSpan) {
		t.Fatalf("due %v %v", at, ok)
	}
	if f := m.tick(at.Add(-time.Nanosecond)); f != nil {
		t.Fatalf("quiet too soon: %+v", f)
	}
	want := []brief{{State: "normal", Previous: "fault", Qualifier: qRestore, Severity: notice, Count: 91, Reason: "chatter"}}
	if d := cmp.Diff(want, briefs(m.tick(at))); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if _, ok := m.due(); ok {
		t.Error("still due")
	}
	if f := m.hear(changed(true, 0), at); len(f) != 1 || f[0].state != "active" {
		t.Errorf("after the chatter: %+v", f)
	}
}

// TestSlowChanges never latch.
func TestSlowChanges(t *testing.T) {
	m, now, level := newMachine(alarm), start(), false
	m.hear(present(false, 0), now)
	for i := range 200 {
		now = now.Add(1300 * time.Millisecond) // 8 changes take 10.4 s
		level = !level
		if f := m.hear(changed(level, 0), now); len(f) != 1 || f[0].state == "fault" {
			t.Fatalf("change %d: %+v", i, briefs(f))
		}
	}
}

// TestChatterEnds by a dead wire, and by quiet in the active state, which is an alarm.
func TestChatterEnds(t *testing.T) {
	m := newMachine(alarm)
	m.hear(present(false, 0), start())
	m.hear(changed(true, 20), start()) // a storm that the wire could not carry
	if m.told != Fault {
		t.Fatalf("state %s", m.told)
	}
	m.hear(dead(), start())
	if f := m.hear(present(true, 0), start()); len(f) != 1 || f[0].state != "active" || f[0].previous != "missing" {
		t.Fatalf("wire back: %+v", f)
	}
	m = newMachine(alarm)
	m.hear(present(false, 0), start())
	m.hear(changed(true, 20), start())
	f := m.tick(start().Add(chatterSpan))
	if len(f) != 1 || f[0].state != "active" || f[0].severity != alarm || f[0].qualifier != qNew {
		t.Fatalf("quiet while active: %+v", f)
	}
}

// TestBlinking: a corroded terminal makes a zone come and go. It is told some times, and then stays missing until it has been there
// for a while.
func TestBlinking(t *testing.T) {
	m, now := newMachine(alarm), start()
	got := m.hear(present(false, 0), now)
	for range 200 {
		now = now.Add(100 * time.Millisecond)
		got = append(got, m.hear(dead(), now)...)
		now = now.Add(100 * time.Millisecond)
		got = append(got, m.hear(present(false, 0), now)...)
	}
	if len(got) > 20 || m.told != Missing {
		t.Fatalf("%d facts of a zone that came and went for 40 s, at last %s", len(got), m.told)
	}
	m.hear(changed(true, 0), now)
	at, ok := m.due()
	if !ok || at != now.Add(chatterSpan) {
		t.Fatalf("due %v %v", at, ok)
	}
	want := []brief{{State: "active", Previous: "missing", Qualifier: qNew, Severity: alarm, Count: 1, Reason: "chatter"}}
	if d := cmp.Diff(want, briefs(m.tick(at))); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if f := m.hear(dead(), at); len(f) != 1 || f[0].state != Missing {
		t.Errorf("dead again: %+v", briefs(f))
	}
	if f := m.hear(present(true, 0), at); len(f) != 1 || f[0].state != Active {
		t.Errorf("back again: %+v", briefs(f))
	}
}

// TestBlinkingDead: what came and went and is dead at last stays missing, and nothing is due.
func TestBlinkingDead(t *testing.T) {
	m, now := newMachine(alarm), start()
	for range 20 {
		m.hear(present(false, 0), now)
		m.hear(dead(), now)
	}
	if _, due := m.due(); due || m.told != Missing {
		t.Errorf("due %v, %s", due, m.told)
	}
	if f := m.tick(now.Add(time.Hour)); f != nil {
		t.Errorf("%+v", briefs(f))
	}
	if f := m.hear(present(false, 0), now.Add(time.Hour)); len(f) != 1 || f[0].state != Normal {
		t.Errorf("back after an hour: %+v", briefs(f))
	}
}

// TestMachineProperties drives random words and time through a machine and holds what must always be true.
func TestMachineProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, now := newMachine(alarm), start()
		level, alive, told, seq := false, false, Unknown, uint64(0)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			var facts []fact
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
			lost := uint64(0)
			switch rapid.IntRange(0, 9).Draw(t, "word") {
			case 0:
				alive = false
				facts = m.hear(dead(), now)
			case 1, 2:
				if lost = uint64(rapid.IntRange(0, 3).Draw(t, "lost")); lost%2 == 1 {
					level = !level
				}
				if seq == 0 {
					lost = 0
				}
				seq += 1 + lost
				alive = true
				facts = m.hear(Word{State: stateOf(level), KernelNS: int64(seq), LineSeq: seq, Lost: lost}, now)
			case 3:
				facts = m.tick(now)
			default:
				if !alive {
					continue
				}
				level = !level
				seq++
				facts = m.hear(Word{State: stateOf(level), Changed: true, KernelNS: int64(seq), LineSeq: seq}, now)
			}
			for _, f := range facts {
				if f.previous != told {
					t.Fatalf("told %s, then a fact from %s to %s", told, f.previous, f.state)
				}
				if f.state == f.previous && f.lost == 0 {
					t.Fatalf("nothing new: %+v", f)
				}
				if f.state == Active && f.qualifier == qNew && f.severity != alarm {
					t.Fatalf("an activation of severity %s", f.severity)
				}
				told = f.state
			}
			if m.told != told {
				t.Fatalf("the machine says %s, it told %s", m.told, told)
			}
			if told == Normal && (level || !alive) {
				t.Fatalf("normal is told; level %v, alive %v", level, alive)
			}
			if !alive && seq > 0 && told != Missing {
				t.Fatalf("the wire is dead, told %s", told)
			}
			if lost > 1 && told != Fault && told != Missing && (len(facts) == 0 || facts[0].lost != lost) {
				t.Fatalf("%d edges lost, told %+v", lost, facts)
			}
		}
	})
}

// BenchmarkEdge is one change through the machine.
func BenchmarkEdge(b *testing.B) {
	m, now, level := newMachine(alarm), start(), false
	m.hear(present(false, 0), now)
	b.ReportAllocs()
	for b.Loop() {
		now, level = now.Add(2*time.Second), !level
		if len(m.hear(changed(level, 0), now)) != 1 {
			b.Fatal("no fact")
		}
	}
}
