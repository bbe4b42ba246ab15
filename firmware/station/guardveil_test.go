package station

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

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
				v.add(got[0])
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
		for _, v := range []*veil{v, again} {
			sameBehind(rt, v, plain, other, twin)
			for _, s := range silent { // a receipt that ends with a silent event looks like one for the event before
				before := uint64(0)
				for seq := range twin[s.Lane] {
					if seq < s.Seq {
						before = max(before, seq)
					}
				}
				if got, want := v.seq(s.Lane, s.Seq), twin[s.Lane][before]; got != want {
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
		v.restore(epoch, []uint64{1, 2, 3})
		if got := v.heads(log.Heads()); !maps.Equal(got, log.Heads()) {
			t.Errorf("epoch %q: heads %v, want %v", epoch, got, log.Heads())
		}
		if epoch, seqs := v.list(); epoch != "" || len(seqs) > 0 {
			t.Errorf("hidden are %v of %q", seqs, epoch)
		}
	}
}

// The door's age of a lane's oldest event is not that of a silent one.
func TestTheOldestEventIsNoSilentOne(t *testing.T) {
	log := storagetest.NewMemLog("cs-one")
	v := &veil{log: log}
	got, err := log.Append(context.WithoutCancel(t.Context()), note(event.KindDuress, event.SeverityAlarm), note(event.KindDuress, event.SeverityAlarm))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range slices.Backward(got) {
		v.add(a)
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
