//lint:pure

package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"watchpost/storage/event"
)

// Fact is one thing that a source told its station.
type Fact struct {
	Key   string    // the source's own name for it; the same key again is a repeat and counts once
	Acked bool      // the source was told that it is stored; if not, it may be stored once or not at all
	At    time.Time // of the acknowledgement, for people; zero = not known

	// What the source knows of the event that became of it, if it knows: zero = not known.
	Lane  event.Lane
	Epoch event.Epoch
	Seq   uint64
}

// Source is one teller with its acknowledgement log: a panel, a line, a goroutine that appends.
type Source struct {
	Station   string
	Name      string // as Stored.Source has it
	Facts     []Fact // in the order in which it made them
	Unordered bool   // it tells several things at once, so that their order means nothing
}

// Range is what a marker tells to be gone: seqs From to Upto of a lane.
type Range struct {
	Epoch      event.Epoch
	Lane       event.Lane // 0 = of any lane
	From, Upto uint64     // both in it
	Count      uint64     // how many events of the lane are gone; 0 = not known
	Tail       bool       // only what follows the last stored event of the lane: a log that was set aside whole
}

// Stored is one event as a centre has it.
type Stored struct {
	Station string
	Epoch   event.Epoch
	Seq     uint64
	Lane    event.Lane
	Source  string
	Key     string  // of the source's fact; "" = the station's own
	Gone    []Range // of log.evicted and log.opened
}

// Centre is what one centre stored.
type Centre struct {
	ID       string
	Lanes    []event.Lane // that it is sent; nil = all
	Stored   []Stored     // in order of arrival
	Draining bool         // it has not got everything yet: what is missing is not lost
}

// Head is the last seq of a lane, as the station says: without it, nobody misses the end of a chain.
type Head struct {
	Station string
	Epoch   event.Epoch
	Lane    event.Lane
	Seq     uint64
}

// History is everything that Check judges.
type History struct {
	Sources []Source
	Centres []Centre
	Heads   []Head
}

// Verdict is what became of a history. Counts of stored events and of offences are over all centres.
type Verdict struct {
	Acked   int // facts acknowledged to their sources, repeats counted once
	Unsure  int // facts not acknowledged that are stored: they were under way when something broke
	Repeats int // facts that a source told again
	Stored  int // events
	Epochs  int // lives of logs

	Filtered      int // seqs that a centre is not sent
	Evicted       int // seqs that a marker tells to be gone
	MarkerCovered int // acknowledged facts that are not stored, as a marker tells

	Lost       int // acknowledged facts that are not stored, and nothing tells why
	Gaps       int // seqs that a chain lacks, and nothing tells why
	Duplicated int // (station, epoch, seq) or a fact stored again
	OutOfOrder int // events after a later one of their lane, facts after a later one of their source and lane
	Invented   int // facts stored that their source never told
	Differing  int // events that two centres, or a centre and the source, know differently
	Unentitled int // events of a lane that the centre is not sent

	// Offenders names the first few of each sort.
	Offenders []string
}

// Err is nil if nothing was lost, stored twice, out of order or made up.
func (v Verdict) Err() error {
	if v.offences() == 0 {
		return nil
	}
	return errors.New(v.String() + "\n  " + strings.Join(v.Offenders, "\n  "))
}

func (v Verdict) offences() int {
	return v.Lost + v.Gaps + v.Duplicated + v.OutOfOrder + v.Invented + v.Differing + v.Unentitled
}

// String is the verdict in one line.
func (v Verdict) String() string {
	return fmt.Sprintf("%d facts acknowledged, %d stored without it, %d repeats; %d events in %d epochs, %d filtered, %d evicted, %d facts covered by a marker; "+
		"lost %d, gaps %d, duplicated %d, out of order %d, invented %d, differing %d, unentitled %d",
		v.Acked, v.Unsure, v.Repeats, v.Stored, v.Epochs, v.Filtered, v.Evicted, v.MarkerCovered,
		v.Lost, v.Gaps, v.Duplicated, v.OutOfOrder, v.Invented, v.Differing, v.Unentitled)
}

// FromEvents is a centre's store as Check wants it; key answers the source's key of an event, "" if it has none.
func FromEvents(all []event.Event, key func(event.Event) string) []Stored {
	stored := make([]Stored, len(all))
	for i, e := range all {
		stored[i] = Stored{Station: e.Station, Epoch: e.Epoch, Seq: e.Seq, Lane: e.Lane, Source: e.Source, Key: key(e), Gone: gone(e)}
	}
	return stored
}

// gone reads the ranges out of a marker event.
func gone(e event.Event) []Range {
	number := func(t event.Tag) uint64 { n, _ := e.Body.Uint(t); return n }
	switch e.Kind {
	case event.KindLogEvicted:
		return []Range{{Epoch: e.Epoch, Lane: event.Lane(number(event.TagLane)), From: number(event.TagFrom),
			Upto: number(event.TagUpto), Count: number(event.TagCount)}}
	case event.KindLogOpened:
		var previous event.Epoch
		if b, ok := e.Body.Bytes(event.TagPrevEpoch); !ok || copy(previous[:], b) != len(previous) {
			return nil
		}
		var ranges []Range
		for i, tag := range []event.Tag{event.TagLastAlarm, event.TagLastMain, event.TagLastRead, event.TagLastTrace} {
			if last := number(tag); last > 0 {
				ranges = append(ranges, Range{Epoch: previous, Lane: event.Lanes()[i], From: 1, Upto: last, Tail: true})
			}
		}
		return ranges
	}
	return nil
}

// Check holds what centres stored against what sources were acknowledged:
//
//   - each (station, epoch, seq) stands once in a centre's store, and each fact of a source under one seq alone;
//   - in order of arrival each lane of an epoch ascends, and in it each source's facts keep the source's order;
//   - each acknowledged fact is stored at every centre that is sent its lane;
//   - of a (station, epoch) whose lanes are all sent no seq is missing up to the station's head.
//
// What a centre is not sent is filtered; what a marker tells to be gone is covered, as many as the marker counts. A fact whose lane
// nobody knows is missed by the centres that are sent all lanes, or by every centre if there is no such.
func Check(h History) Verdict {
	c := newChecker(h)
	for i := range h.Centres {
		s := c.survey(&h.Centres[i])
		s.arrivals()
		s.chains()
		for _, source := range h.Sources {
			s.retell(source)
		}
	}
	return c.verdict
}

// name is what names an event.
type name struct {
	station string
	epoch   event.Epoch
	seq     uint64
}

func (n name) String() string { return fmt.Sprintf("%s/%s/%d", n.station, n.epoch, n.seq) }

func (s Stored) name() name { return name{s.Station, s.Epoch, s.Seq} }

// life is one epoch of one station's log.
type life struct {
	station string
	epoch   event.Epoch
}

// chain is one lane of a life.
type chain struct {
	life
	lane event.Lane
}

// factName names what a source told.
type factName struct{ station, source, key string }

// checker is what all centres are judged by.
type checker struct {
	verdict Verdict
	named   map[string]int        // offenders named, by sort
	truth   map[name]Stored       // the first word on each event
	where   map[factName]name     // where a fact was stored first, or where its source says
	sources map[[2]string]bool    // that gave their log
	known   map[factName]struct{} // facts that were told
	lanes   map[name]event.Lane   // of events that nobody need have stored
	heads   map[chain]uint64
	whole   bool // some centre is sent all lanes
}

func newChecker(h History) *checker {
	c := &checker{
		named: map[string]int{}, truth: map[name]Stored{}, where: map[factName]name{}, sources: map[[2]string]bool{},
		known: map[factName]struct{}{}, lanes: map[name]event.Lane{}, heads: map[chain]uint64{},
	}
	lives := map[life]bool{}
	for _, centre := range h.Centres {
		c.verdict.Stored += len(centre.Stored)
		c.whole = c.whole || centre.Lanes == nil
		for _, s := range centre.Stored {
			lives[life{s.Station, s.Epoch}] = true
			if _, ok := c.truth[s.name()]; !ok {
				c.truth[s.name()] = s
				c.lanes[s.name()] = s.Lane
			}
			if f := (factName{s.Station, s.Source, s.Key}); s.Key != "" && c.where[f] == (name{}) {
				c.where[f] = s.name()
			}
		}
	}
	for _, head := range h.Heads {
		c.heads[chain{life{head.Station, head.Epoch}, head.Lane}] = head.Seq
		c.lanes[name{head.Station, head.Epoch, head.Seq}] = head.Lane
	}
	c.verdict.Epochs = len(lives)
	for _, source := range h.Sources {
		c.take(source)
	}
	return c
}

// take counts what a source told, and learns from it where events are.
func (c *checker) take(source Source) {
	c.sources[[2]string{source.Station, source.Name}] = true
	acked := map[string]bool{}
	for _, f := range source.Facts {
		n := factName{source.Station, source.Name, f.Key}
		if _, again := c.known[n]; again {
			c.verdict.Repeats++
		}
		c.known[n] = struct{}{}
		acked[f.Key] = acked[f.Key] || f.Acked
		if f.Seq == 0 {
			continue
		}
		at := name{source.Station, f.Epoch, f.Seq}
		if was, ok := c.where[n]; ok && was != at {
			c.offend(&c.verdict.Differing, "differing", "%s of %s: its source was told %s, it is stored as %s", f.Key, n.source, at, was)
		}
		c.where[n] = at
		if _, ok := c.lanes[at]; !ok && f.Lane != 0 {
			c.lanes[at] = f.Lane
		}
	}
	for key, ok := range acked {
		if ok {
			c.verdict.Acked++
		} else if _, stored := c.where[factName{source.Station, source.Name, key}]; stored {
			c.verdict.Unsure++
		}
	}
}

// namedOffenders is how many of each sort are named.
const namedOffenders = 5

func (c *checker) offend(count *int, sort, format string, args ...any) {
	*count++
	if c.named[sort]++; c.named[sort] <= namedOffenders {
		c.verdict.Offenders = append(c.verdict.Offenders, sort+": "+fmt.Sprintf(format, args...))
	}
}

// wants says whether a centre is sent a lane.
func (c *Centre) wants(lane event.Lane) bool { return c.Lanes == nil || slices.Contains(c.Lanes, lane) }
