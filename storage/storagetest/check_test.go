package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"watchpost/storage/event"
)

const (
	caoping = "cs-baishi-caoping"
	panel   = "dc09/1409"
)

func epoch(n byte) event.Epoch { return event.Epoch{n, 1, 2, 3, 4, 5, 6, 7} }

// stored is an event of the standard station; key "" = the station's own.
func stored(seq uint64, lane event.Lane, key string) Stored {
	s := Stored{Station: caoping, Epoch: epoch(1), Seq: seq, Lane: lane, Source: "station", Key: key}
	if key != "" {
		s.Source = panel
	}
	return s
}

// acked are facts of the standard panel.
func acked(keys ...string) []Fact {
	var facts []Fact
	for _, k := range keys {
		facts = append(facts, Fact{Key: k, Acked: true, At: time.Unix(1_800_000_000, 0)})
	}
	return facts
}

// good is a history without fault: seq 1 is the station's own, a to d are the panel's, and d overtakes c.
func good() History {
	return History{
		Sources: []Source{{Station: caoping, Name: panel, Facts: acked("a", "b", "c", "d")}},
		Centres: []Centre{
			{ID: "changshan", Stored: []Stored{stored(1, event.LaneMain, ""), stored(2, event.LaneAlarm, "a"), stored(3, event.LaneMain, "b"),
				stored(5, event.LaneAlarm, "d"), stored(4, event.LaneMain, "c"), stored(6, event.LaneTrace, "")}},
			{ID: "yushan", Lanes: []event.Lane{event.LaneAlarm}, Stored: []Stored{stored(2, event.LaneAlarm, "a"), stored(5, event.LaneAlarm, "d")}},
		},
		Heads: []Head{{caoping, epoch(1), event.LaneAlarm, 5}, {caoping, epoch(1), event.LaneMain, 4}, {caoping, epoch(1), event.LaneTrace, 6}},
	}
}

// drop takes the events of these seqs out of a store.
func drop(list []Stored, seqs ...uint64) []Stored {
	return slices.DeleteFunc(slices.Clone(list), func(s Stored) bool { return slices.Contains(seqs, s.Seq) })
}

// evicted is a marker event that tells a range of the standard epoch.
func evicted(seq uint64, r Range) Stored {
	s := stored(seq, event.LaneMain, "")
	r.Epoch = epoch(1)
	s.Gone = []Range{r}
	return s
}

func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*History)
		want  Verdict // the counts that differ from the good history's
		says  string
	}{
		{"nothing", func(*History) {}, Verdict{}, ""},
		{"a lost fact", func(h *History) { h.Centres[0].Stored = drop(h.Centres[0].Stored, 3) }, Verdict{Lost: 1, Gaps: 1, Stored: -1},
			`lost: changshan: "b" of cs-baishi-caoping dc09/1409 was acknowledged at`},
		{"the last of a chain", func(h *History) { h.Centres[0].Stored = drop(h.Centres[0].Stored, 6) }, Verdict{Gaps: 1, Stored: -1},
			"lacks seq 6 (lane trace)"},
		{"one centre less than the other", func(h *History) { h.Centres[1].Stored = drop(h.Centres[1].Stored, 5) }, Verdict{Lost: 1, Gaps: 1, Stored: -1},
			`lost: yushan: "d"`},
		{"everything", func(h *History) { h.Centres[1].Stored = nil }, Verdict{Lost: 2, Gaps: 2, Stored: -2}, "lost: yushan"},
		{"still draining", func(h *History) {
			h.Centres[0].Stored, h.Centres[0].Draining = h.Centres[0].Stored[:2], true
			h.Centres[1].Stored, h.Centres[1].Draining = nil, true
		}, Verdict{Stored: -6}, ""},
		{"a seq twice", func(h *History) { h.Centres[0].Stored = append(h.Centres[0].Stored, stored(3, event.LaneMain, "b")) }, Verdict{Duplicated: 1, Stored: 1},
			"duplicated: changshan: cs-baishi-caoping/0101020304050607/3 of lane main is stored again"},
		{"a fact twice", func(h *History) { h.Centres[0].Stored = append(h.Centres[0].Stored, stored(7, event.LaneMain, "b")) },
			Verdict{Duplicated: 1, Stored: 1, Gaps: 0, Filtered: 1}, `"b" of dc09/1409 is stored as`},
		{"a repeat of the source", func(h *History) { h.Sources[0].Facts = append(h.Sources[0].Facts, acked("a")...) }, Verdict{Repeats: 1}, ""},
		{"a lane out of order", func(h *History) { s := h.Centres[0].Stored; s[2], s[4] = s[4], s[2] }, Verdict{OutOfOrder: 1}, "of lane main came after seq 4"},
		{"facts out of order", func(h *History) {
			s := h.Centres[0].Stored
			s[1].Key, s[3].Key = s[3].Key, s[1].Key
			h.Centres = h.Centres[:1]
		}, Verdict{OutOfOrder: 1, Stored: -2, Filtered: -4}, "before what it told earlier in lane alarm"},
		{"facts without order", func(h *History) {
			s := h.Centres[0].Stored
			s[1].Key, s[3].Key = s[3].Key, s[1].Key
			h.Centres, h.Sources[0].Unordered = h.Centres[:1], true
		}, Verdict{Stored: -2, Filtered: -4}, ""},
		{"an invented fact", func(h *History) { h.Centres[0].Stored = append(h.Centres[0].Stored, stored(7, event.LaneMain, "x")) },
			Verdict{Invented: 1, Stored: 1, Filtered: 1}, `is "x", which dc09/1409 never told`},
		{"an unsure fact stored", func(h *History) { h.Sources[0].Facts[1].Acked = false }, Verdict{Acked: -1, Unsure: 1}, ""},
		{"an unsure fact not stored", func(h *History) { h.Sources[0].Facts = append(h.Sources[0].Facts, Fact{Key: "e"}) }, Verdict{}, ""},
		{"centres that differ", func(h *History) { h.Centres[1].Stored[0].Key = "b" }, Verdict{Differing: 1, Lost: 1}, "elsewhere"},
		{"a source that knows better", func(h *History) {
			f := &h.Sources[0].Facts[0]
			f.Epoch, f.Seq, f.Lane = epoch(1), 3, event.LaneAlarm
		}, Verdict{Differing: 1}, "its source was told"},
		{"a lane that is not sent", func(h *History) { h.Centres[1].Stored = append(h.Centres[1].Stored, stored(6, event.LaneTrace, "")) },
			Verdict{Unentitled: 1, Stored: 1, Filtered: -1}, "is of lane trace"},
		{"far too long a gap", func(h *History) {
			h.Centres[0].Stored = append(h.Centres[0].Stored, stored(1<<40, event.LaneTrace, ""))
		},
			Verdict{Gaps: 2, Stored: 1, Filtered: -1}, "lacks seq 7 to 1099511627775"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, base := good(), Check(good())
			c.spoil(&h)
			got := Check(h)
			want := base
			for _, f := range []struct{ sum, more *int }{
				{&want.Acked, &c.want.Acked}, {&want.Unsure, &c.want.Unsure}, {&want.Repeats, &c.want.Repeats}, {&want.Stored, &c.want.Stored},
				{&want.Filtered, &c.want.Filtered}, {&want.Lost, &c.want.Lost}, {&want.Gaps, &c.want.Gaps}, {&want.Duplicated, &c.want.Duplicated},
				{&want.OutOfOrder, &c.want.OutOfOrder}, {&want.Invented, &c.want.Invented}, {&want.Differing, &c.want.Differing}, {&want.Unentitled, &c.want.Unentitled},
			} {
				*f.sum += *f.more
			}
			want.Offenders = got.Offenders
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			err := got.Err()
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v, want %q", err, c.says)
			}
		})
	}
}

// TestCheckMarkers: what a marker tells to be gone is covered, in its lane and as many as it counts.
func TestCheckMarkers(t *testing.T) {
	const lost, covered = "lost", "covered"
	for _, c := range []struct {
		name   string
		marker Range
		drop   []uint64
		want   string
	}{
		{"told", Range{Lane: event.LaneMain, From: 3, Upto: 4, Count: 2}, []uint64{3, 4}, covered},
		{"told without a count", Range{Lane: event.LaneMain, From: 1, Upto: 4}, []uint64{3, 4}, covered},
		{"more than it counts", Range{Lane: event.LaneMain, From: 3, Upto: 4, Count: 1}, []uint64{3, 4}, lost},
		{"beyond its range", Range{Lane: event.LaneMain, From: 3, Upto: 3, Count: 1}, []uint64{3, 4}, lost},
		{"of any lane", Range{From: 2, Upto: 4, Count: 3}, []uint64{2, 3}, covered},         // numbers that a disk may have lost
		{"another lane", Range{Lane: event.LaneTrace, From: 1, Upto: 6}, []uint64{2}, lost}, // yushan knows that 2 is an alarm
	} {
		t.Run(c.name, func(t *testing.T) {
			h := good()
			h.Centres[0].Stored = append(drop(h.Centres[0].Stored, c.drop...), evicted(7, c.marker))
			v := Check(h)
			if c.want == covered && (v.Err() != nil || v.MarkerCovered != len(c.drop) || v.Evicted != len(c.drop)) || c.want == lost && (v.Lost != 1 || v.Gaps != 1) {
				t.Errorf("want it %s: %v\n%v", c.want, v, v.Err())
			}
		})
	}
}

// TestCheckEpochs: a log that was set aside whole is told by the first event of the next epoch; only the end of each lane is
// excused by it.
func TestCheckEpochs(t *testing.T) {
	opened := Stored{Station: caoping, Epoch: epoch(2), Seq: 1, Lane: event.LaneMain, Source: "station", Gone: []Range{
		{Epoch: epoch(1), Lane: event.LaneAlarm, From: 1, Upto: 5, Tail: true}, {Epoch: epoch(1), Lane: event.LaneMain, From: 1, Upto: 4, Tail: true}}}
	e := stored(2, event.LaneAlarm, "e")
	e.Epoch = epoch(2)
	one := func(drops ...uint64) History {
		h := good()
		h.Heads, h.Centres = nil, h.Centres[:1]
		h.Sources[0].Facts = append(h.Sources[0].Facts, acked("e")...)
		h.Centres[0].Stored = append(drop(h.Centres[0].Stored, drops...), opened, e)
		return h
	}
	if v := Check(one(4, 5, 6)); v.Err() != nil || v.MarkerCovered != 2 || v.Epochs != 2 {
		t.Errorf("the end of the lanes: %v\n%v", v, v.Err())
	}
	if v := Check(one(2)); v.Lost != 1 || v.Gaps != 1 {
		t.Errorf("an alarm before the end: %v", v)
	}
	if v := Check(one(3, 4, 5)); v.Lost != 0 || v.Gaps != 0 || v.MarkerCovered != 3 {
		t.Errorf("up to a trace event: %v\n%v", v, v.Err())
	}
}

func TestFromEvents(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	events := []event.Event{
		{Station: caoping, Epoch: epoch(2), Seq: 1, Lane: event.LaneMain, At: at, Kind: event.KindLogOpened, Source: "station", Body: event.NewBody(
			event.Bytes(event.TagPrevEpoch, []byte{1, 1, 2, 3, 4, 5, 6, 7}), event.Uint(event.TagLastAlarm, 9), event.Uint(event.TagLastTrace, 4))},
		{Station: caoping, Epoch: epoch(2), Seq: 2, Lane: event.LaneMain, At: at, Kind: event.KindLogEvicted, Source: "station", Body: event.NewBody(
			event.Uint(event.TagLane, uint64(event.LaneTrace)), event.Uint(event.TagFrom, 3), event.Uint(event.TagUpto, 8), event.Uint(event.TagCount, 2))},
		{Station: caoping, Epoch: epoch(2), Seq: 3, Lane: event.LaneMain, At: at, Kind: event.KindLogOpened, Source: "station"},
		{Station: caoping, Epoch: epoch(2), Seq: 4, Lane: event.LaneAlarm, At: at, Kind: event.KindPanelEvent, Source: panel, Body: event.NewBody(event.Text(event.TagText, "k"))},
	}
	got := FromEvents(events, text)
	want := []Stored{
		{Station: caoping, Epoch: epoch(2), Seq: 1, Lane: event.LaneMain, Source: "station", Gone: []Range{
			{Epoch: epoch(1), Lane: event.LaneAlarm, From: 1, Upto: 9, Tail: true}, {Epoch: epoch(1), Lane: event.LaneTrace, From: 1, Upto: 4, Tail: true}}},
		{Station: caoping, Epoch: epoch(2), Seq: 2, Lane: event.LaneMain, Source: "station", Gone: []Range{{Epoch: epoch(2), Lane: event.LaneTrace, From: 3, Upto: 8, Count: 2}}},
		{Station: caoping, Epoch: epoch(2), Seq: 3, Lane: event.LaneMain, Source: "station"},
		{Station: caoping, Epoch: epoch(2), Seq: 4, Lane: event.LaneAlarm, Source: panel, Key: "k"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// history draws a good history: stations with epochs and sources, events lost at random moments and told, two centres of which
// the first is sent everything.
func history(t *rapid.T) History {
	var h History
	centres := []Centre{{ID: "all"}, {ID: "alarms", Lanes: []event.Lane{event.LaneAlarm}}}
	for s := range rapid.IntRange(1, 2).Draw(t, "stations") {
		station := fmt.Sprintf("cs-%d", s)
		sources := []Source{{Station: station, Name: "dc09/1"}, {Station: station, Name: "dc09/2"}}
		for e := range rapid.IntRange(1, 2).Draw(t, "epochs") {
			log := draw(t, station, epoch(byte(10*s+e)), sources)
			for i := range centres {
				centres[i].Stored = append(centres[i].Stored, arrive(t, centres[i], log)...)
			}
			for _, lane := range event.Lanes() {
				of := slices.DeleteFunc(slices.Clone(log), func(s Stored) bool { return s.Lane != lane })
				if len(of) > 0 {
					h.Heads = append(h.Heads, Head{station, of[0].Epoch, lane, of[len(of)-1].Seq})
				}
			}
		}
		h.Sources = append(h.Sources, sources...)
	}
	h.Centres = centres
	return h
}

// draw draws one epoch of a station's log, as what is left of it, and adds to its sources' logs. Evicted traces are told at once.
func draw(t *rapid.T, station string, e event.Epoch, sources []Source) (log []Stored) {
	seq := uint64(0)
	put := func(lane event.Lane, source, key string, gone ...Range) Stored {
		seq++
		return Stored{Station: station, Epoch: e, Seq: seq, Lane: lane, Source: source, Key: key, Gone: gone}
	}
	log = append(log, put(event.LaneMain, "station", ""))
	for i := range rapid.IntRange(2, 20).Draw(t, "events") {
		lane := rapid.SampledFrom([]event.Lane{event.LaneAlarm, event.LaneMain, event.LaneTrace}).Draw(t, "lane")
		source := &sources[rapid.IntRange(0, 1).Draw(t, "source")]
		key := fmt.Sprintf("%s-%d", e, i)
		source.Facts = append(source.Facts, Fact{Key: key, Acked: rapid.IntRange(0, 9).Draw(t, "acked") > 0})
		made := put(lane, source.Name, key)
		if lane == event.LaneTrace && rapid.Bool().Draw(t, "evicted") {
			log = append(log, put(event.LaneMain, "station", "", Range{Epoch: e, Lane: lane, From: made.Seq, Upto: made.Seq, Count: 1}))
			continue
		}
		log = append(log, made)
	}
	return log
}

// arrive draws an order of arrival that keeps each lane's.
func arrive(t *rapid.T, c Centre, log []Stored) (got []Stored) {
	queues := map[event.Lane][]Stored{}
	for _, s := range log {
		if c.wants(s.Lane) {
			queues[s.Lane] = append(queues[s.Lane], s)
		}
	}
	for {
		var ready []event.Lane
		for _, lane := range event.Lanes() {
			if len(queues[lane]) > 0 {
				ready = append(ready, lane)
			}
		}
		if len(ready) == 0 {
			return got
		}
		lane := rapid.SampledFrom(ready).Draw(t, "next")
		got, queues[lane] = append(got, queues[lane][0]), queues[lane][1:]
	}
}

// mutations each spoil a store in one way; ok = false where the drawn place cannot be spoilt so.
func mutations() map[string]func(t *rapid.T, list []Stored, at int) (spoilt []Stored, ok bool) {
	return map[string]func(*rapid.T, []Stored, int) ([]Stored, bool){
		"drop": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) { return slices.Delete(l, i, i+1), true },
		"double": func(t *rapid.T, l []Stored, i int) ([]Stored, bool) {
			return slices.Insert(l, rapid.IntRange(0, len(l)).Draw(t, "to"), l[i]), true
		},
		"swap": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) {
			for k := i + 1; k < len(l); k++ {
				if l[k].Lane == l[i].Lane && l[k].Epoch == l[i].Epoch && l[k].Station == l[i].Station {
					l[i], l[k] = l[k], l[i]
					return l, true
				}
			}
			return l, false
		},
		"invent": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) {
			l[i].Key += "?"
			return l, l[i].Source != "station"
		},
		"retell": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) {
			again := l[i]
			again.Seq = 1 << 30
			return append(l, again), again.Key != ""
		},
		"another lane": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) {
			alarm := l[i].Lane == event.LaneAlarm // which the other centre knows
			l[i].Lane = event.LaneRead
			return l, alarm
		},
		"another epoch": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) {
			l[i].Epoch = epoch(99)
			return l, true
		},
		"another seq": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) {
			l[i].Seq += 1 << 30
			return l, true
		},
		"untold": func(_ *rapid.T, l []Stored, i int) ([]Stored, bool) {
			told := len(l[i].Gone) > 0
			l[i].Gone = nil
			return l, told
		},
	}
}

// TestCheckProperty: a good history passes, and no single mutation of what the first centre stored passes.
func TestCheckProperty(t *testing.T) {
	all := mutations()
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		h := history(t)
		if v := Check(h); v.Err() != nil {
			t.Fatalf("a good history: %v", v.Err())
		}
		for _, n := range names {
			list := slices.Clone(h.Centres[0].Stored)
			spoilt, ok := all[n](t, list, rapid.IntRange(0, len(list)-1).Draw(t, n))
			if !ok {
				continue
			}
			bad := h
			bad.Centres = []Centre{{ID: "all", Stored: spoilt}, h.Centres[1]}
			if v := Check(bad); v.Err() == nil {
				t.Fatalf("%s passes: %v", n, v)
			}
		}
	})
}
