package station

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/firmware/status"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/storage/storagetest"
)

// note is a small event of a kind in a lane.
func note(k event.Kind, s event.Severity) event.Draft {
	return event.Draft{At: time.Unix(1700000000, 0), Kind: k, Qualifier: event.QualifierStatus, Source: "station", Severity: s}
}

// Two logs have the same history but for the silent events of one. Behind the veil they look alike, whatever the order, and at
// whatever moment a receipt is looked at.
func TestTheVeilLeavesNoGap(t *testing.T) {
	severities := []event.Severity{event.SeverityTrace, event.SeverityNotice, event.SeverityAlarm}
	rapid.Check(t, func(rt *rapid.T) {
		plain, other := storagetest.NewMemLog("cs-one"), storagetest.NewMemLog("cs-one")
		v := &veil{log: other}
		twin := map[event.Lane]map[uint64]uint64{} // a visible event's seq in other → in plain
		for _, lane := range event.Lanes() {
			twin[lane] = map[uint64]uint64{0: 0}
		}
		twin[event.LaneMain][1] = 1 // log.opened
		var silent []eventlog.Appended
		for i := range rapid.IntRange(0, 60).Draw(rt, "events") {
			if rapid.IntRange(0, 3).Draw(rt, "silent") == 0 {
				got, err := other.Append(t.Context(), note(event.KindDuress, event.SeverityAlarm))
				if err != nil {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "looked at") {
					v.heads(nil)
				}
				silent = append(silent, got[0])
				continue
			}
			d := note(event.KindStationStarted, rapid.SampledFrom(severities).Draw(rt, "severity"))
			d.Body = event.NewBody(event.Text(event.TagDetail, fmt.Sprint(i)))
			a, err := plain.Append(t.Context(), d)
			if err != nil {
				rt.Fatal(err)
			}
			b, err := other.Append(t.Context(), d)
			if err != nil {
				rt.Fatal(err)
			}
			twin[b[0].Lane][b[0].Seq] = a[0].Seq
		}
		again := &veil{log: other}
		again.restore(v.list())
		for _, v := range []*veil{v, again, {log: other}} { // one that has lost its journal, too
			sameBehind(rt, v, plain, other, twin)
			for _, s := range silent { // a receipt that ends with a silent event looks like one for the event before
				before := uint64(0)
				for seq := range twin[s.Lane] {
					if seq < s.Seq {
						before = max(before, seq)
					}
				}
				if got, want := behind(v.look(), s.Lane, s.Seq), twin[s.Lane][before]; got != want {
					rt.Errorf("a receipt up to the silent %d is shown as %d, want %d", s.Seq, got, want)
				}
			}
		}
	})
}

func sameBehind(rt *rapid.T, v *veil, plain, other *storagetest.MemLog, twin map[event.Lane]map[uint64]uint64) {
	if got := v.heads(other.Heads()); !maps.Equal(got, plain.Heads()) {
		rt.Errorf("heads %v, want %v", got, plain.Heads())
	}
	for lane, seqs := range twin {
		for seq, want := range seqs {
			if got := v.receipts(map[event.Lane]uint64{lane: seq})[lane]; got != want {
				rt.Errorf("receipt %d of lane %s is shown as %d, want %d", seq, lane, got, want)
			}
		}
	}
	got, want := v.stats(other.Stats()), plain.Stats()
	for _, lane := range event.Lanes() {
		a, b := got.Lanes[lane], want.Lanes[lane]
		if a.Count != b.Count || twin[lane][a.First] != b.First || math.Abs(float64(a.Bytes)-float64(b.Bytes)) > float64(a.Count) { // a larger seq may take a byte more
			rt.Errorf("lane %s: %+v, want %+v", lane, a, b)
		}
	}
}

// The seqs of one epoch say nothing of another, and a journal that names an event which is no silent one hides nothing.
func TestAVeilOfAnotherEpochHidesNothing(t *testing.T) {
	log := storagetest.NewMemLog("cs-one")
	if _, err := log.Append(t.Context(), note(event.KindStationStarted, event.SeverityAlarm)); err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []string{"", "0123456789abcdef", log.Epoch().String()} {
		v := &veil{log: log}
		v.restore(epoch, []uint64{1, 2, 3}, 0)
		if got := v.heads(log.Heads()); !maps.Equal(got, log.Heads()) {
			t.Errorf("epoch %q: heads %v, want %v", epoch, got, log.Heads())
		}
		if _, seqs, _ := v.list(); len(seqs) > 0 {
			t.Errorf("hidden are %v of %q", seqs, epoch)
		}
	}
}

// The door's age of a lane's oldest event is not that of a silent one.
func TestTheOldestEventIsNoSilentOne(t *testing.T) {
	log := storagetest.NewMemLog("cs-one")
	v := &veil{log: log}
	if _, err := log.Append(t.Context(), note(event.KindDuress, event.SeverityAlarm), note(event.KindDuress, event.SeverityAlarm)); err != nil {
		t.Fatal(err)
	}
	if s := v.stats(log.Stats()).Lanes[event.LaneAlarm]; s != (eventlog.LaneStats{}) {
		t.Errorf("a lane of silent events shows %+v", s)
	}
	if _, err := log.Append(t.Context(), note(event.KindStationStarted, event.SeverityAlarm)); err != nil {
		t.Fatal(err)
	}
	if s := v.stats(log.Stats()).Lanes[event.LaneAlarm]; s.First != 4 || s.Count != 1 {
		t.Errorf("behind two silent events: %+v", s)
	}
}

// Whoever looks while a silent event is being stored, or holds numbers from before it, sees nothing of it.
func TestTheVeilIsThereBeforeTheEvent(t *testing.T) {
	log := storagetest.NewMemLog("cs-one")
	v := &veil{log: log}
	stats := log.Stats()
	if _, err := log.Append(t.Context(), note(event.KindStationStarted, event.SeverityAlarm), note(event.KindDuress, event.SeverityAlarm)); err != nil {
		t.Fatal(err)
	}
	if got := v.heads(log.Heads()); got[event.LaneAlarm] != 2 {
		t.Errorf("nobody has told the veil, and it shows %v", got)
	}
	if got := v.stats(stats).Lanes[event.LaneAlarm]; got != (eventlog.LaneStats{}) {
		t.Errorf("of an empty lane it shows %+v", got)
	}
}

// The door opens before arming begins, and a journal may be lost: behind the veil nothing is different.
func TestTheVeilNeedsNoGuard(t *testing.T) {
	for _, lost := range []bool{false, true} {
		dir := t.TempDir()
		x := startGuarded(t, dir, boxIn(t, dir), "", nil)
		x.arm()
		x.wish(status.PathDisarm, `{"partition": "house", "code": "4321"}`)
		x.stop()
		if lost {
			if err := os.WriteFile(x.sirens.journal, []byte("gone"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := New(Options{Config: x.config, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if st := s.status(); len(all(t, s.events, event.KindDuress)) != 1 || st.Log.Heads["alarm"] != 0 || st.Gauges["log_alarm_count"] != 0 {
			t.Errorf("journal lost %v: the door says %v, %v", lost, st.Log.Heads, st.Gauges)
		}
		if err := errors.Join(s.wires.Close(), s.events.Close()); err != nil {
			t.Error(err)
		}
	}
}
