//lint:pure

package storagetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"watchpost/storage/event"
)

// longestGap is how many seqs of one gap are looked at one by one; a longer one is counted whole.
const longestGap = 1 << 22

// survey is one centre's store, looked through.
type survey struct {
	*checker
	centre *Centre
	places map[factName][]Stored // in order of arrival
	seqs   map[life][]uint64     // sorted, without repeats
	last   map[chain]uint64      // the last stored
	ranges map[life][]*Range     // that markers tell
	order  map[event.Epoch]int   // of the epochs, as far as the store tells
	gone   map[life][]uint64     // seqs that a marker covers, ascending
	spent  map[*Range]uint64     // seqs that a range has covered
}

func (c *checker) survey(centre *Centre) *survey {
	return &survey{
		checker: c, centre: centre, places: map[factName][]Stored{}, seqs: map[life][]uint64{}, last: map[chain]uint64{},
		ranges: map[life][]*Range{}, order: map[event.Epoch]int{}, gone: map[life][]uint64{}, spent: map[*Range]uint64{},
	}
}

// arrivals goes through the store in order of arrival.
func (s *survey) arrivals() {
	v := &s.verdict
	seen := map[name]bool{}
	for _, e := range s.centre.Stored {
		at, l := e.name(), life{e.Station, e.Epoch}
		c := chain{l, e.Lane}
		switch {
		case seen[at]:
			s.offend(&v.Duplicated, "duplicated", "%s: %s of lane %s is stored again", s.centre.ID, at, e.Lane)
			continue
		case e.Seq <= s.last[c]:
			s.offend(&v.OutOfOrder, "out of order", "%s: %s of lane %s came after seq %d", s.centre.ID, at, e.Lane, s.last[c])
		}
		seen[at] = true
		s.last[c] = max(s.last[c], e.Seq)
		s.seqs[l] = append(s.seqs[l], e.Seq)
		if !s.centre.wants(e.Lane) {
			s.offend(&v.Unentitled, "unentitled", "%s: %s is of lane %s", s.centre.ID, at, e.Lane)
		}
		if first := s.truth[at]; first.Lane != e.Lane || first.Source != e.Source || first.Key != e.Key {
			s.offend(&v.Differing, "differing", "%s: %s is %q of %s in lane %s, elsewhere %q of %s in lane %s",
				s.centre.ID, at, e.Key, e.Source, e.Lane, first.Key, first.Source, first.Lane)
		}
		s.place(e)
	}
	for l := range s.seqs {
		slices.Sort(s.seqs[l])
	}
}

// place notes what an event says of facts, of epochs and of what is gone.
func (s *survey) place(e Stored) {
	for i := range e.Gone {
		r := &e.Gone[i]
		l := life{e.Station, r.Epoch}
		s.ranges[l] = append(s.ranges[l], r)
		s.number(r.Epoch)
	}
	s.number(e.Epoch)
	if e.Key == "" {
		return
	}
	f := factName{e.Station, e.Source, e.Key}
	s.places[f] = append(s.places[f], e)
	if _, told := s.known[f]; !told && s.sources[[2]string{e.Station, e.Source}] {
		s.offend(&s.verdict.Invented, "invented", "%s: %s is %q, which %s never told", s.centre.ID, e.name(), e.Key, e.Source)
	}
}

// number gives an epoch its place in the order of epochs: a log names the one before it in its first event.
func (s *survey) number(e event.Epoch) {
	if _, ok := s.order[e]; !ok {
		s.order[e] = len(s.order)
	}
}

// chains looks for the seqs that are missing, life by life.
func (s *survey) chains() {
	lives := map[life]uint64{} // with the last seq that there must be
	for l, seqs := range s.seqs {
		lives[l] = seqs[len(seqs)-1]
	}
	for c, head := range s.heads {
		lives[c.life] = max(lives[c.life], head)
	}
	for at := range s.truth {
		l := life{at.station, at.epoch}
		lives[l] = max(lives[l], at.seq)
	}
	for l, ranges := range s.ranges {
		for _, r := range ranges {
			lives[l] = max(lives[l], r.Upto)
		}
	}
	byName := func(a, b life) int {
		return cmp.Or(cmp.Compare(a.station, b.station), cmp.Compare(a.epoch.String(), b.epoch.String()))
	}
	for _, l := range slices.SortedFunc(maps.Keys(lives), byName) {
		next := uint64(1)
		for _, seq := range append(slices.Clone(s.seqs[l]), lives[l]+1) {
			if seq > next {
				s.gap(l, next, seq-1)
			}
			next = max(next, seq+1)
		}
	}
}

// gap judges the seqs from to upto of a life, none of which is stored.
func (s *survey) gap(l life, from, upto uint64) {
	if upto-from >= longestGap {
		s.missing(l, fmt.Sprintf("%d to %d", from, upto))
		return
	}
	for seq := from; seq <= upto; seq++ {
		lane := s.lanes[name{l.station, l.epoch, seq}]
		switch {
		case lane != 0 && !s.centre.wants(lane):
			s.verdict.Filtered++
		case s.cover(l, lane, seq):
			s.verdict.Evicted++
			s.gone[l] = append(s.gone[l], seq)
		case lane == 0 && s.centre.Lanes != nil:
			s.verdict.Filtered++ // nobody can tell
		default:
			s.missing(l, fmt.Sprintf("%d (lane %s)", seq, lane))
		}
	}
}

func (s *survey) missing(l life, what string) {
	if !s.centre.Draining {
		s.offend(&s.verdict.Gaps, "gap", "%s: %s/%s lacks seq %s", s.centre.ID, l.station, l.epoch, what)
	}
}

// cover looks for a marker that tells a missing seq; lane 0 = not known. A marker covers as many as it counts.
func (s *survey) cover(l life, lane event.Lane, seq uint64) bool {
	for _, r := range s.ranges[l] {
		if seq < r.From || seq > r.Upto || lane != 0 && r.Lane != 0 && lane != r.Lane || r.Count > 0 && s.spent[r] >= r.Count ||
			r.Tail && seq <= s.last[chain{l, r.Lane}] {
			continue
		}
		s.spent[r]++
		return true
	}
	return false
}

// position is where a fact stands in a centre's history of one station.
type position struct {
	epoch int
	seq   uint64
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.epoch, q.epoch), cmp.Compare(p.seq, q.seq))
}

// position places an event; one of an epoch that this centre never heard of stands nowhere.
func (s *survey) position(at name) position {
	epoch, ok := s.order[at.epoch]
	if !ok {
		epoch = -2
	}
	return position{epoch, at.seq}
}

// retell looks for what one source told.
func (s *survey) retell(source Source) {
	facts := once(source.Facts)
	free := s.coveredOf(source.Station) // seqs that are gone, as a marker tells, and may be facts that are not found
	after, last := position{epoch: -1}, map[event.Lane]position{}
	for i, f := range facts {
		n := factName{source.Station, source.Name, f.Key}
		places := s.places[n]
		if len(places) == 0 {
			if f.Acked {
				free = s.absent(source, facts, i, after, free)
			}
			continue
		}
		for _, again := range places[1:] {
			s.offend(&s.verdict.Duplicated, "duplicated", "%s: %q of %s is stored as %s and as %s", s.centre.ID, f.Key, n.source, places[0].name(), again.name())
		}
		here, lane := s.position(places[0].name()), places[0].Lane
		if was, ok := last[lane]; ok && !source.Unordered && here.compare(was) < 0 {
			s.offend(&s.verdict.OutOfOrder, "out of order", "%s: %q of %s is stored as %s, before what it told earlier in lane %s", s.centre.ID, f.Key, n.source, places[0].name(), lane)
		}
		last[lane] = here
		if here.compare(after) > 0 {
			after = here
		}
	}
}

// once are the facts without repeats, each at its first place.
func once(facts []Fact) []Fact {
	var first []Fact
	at := map[string]int{}
	for _, f := range facts {
		if i, again := at[f.Key]; again {
			first[i].Acked = first[i].Acked || f.Acked
			continue
		}
		at[f.Key] = len(first)
		first = append(first, f)
	}
	return first
}

// coveredOf are the places of a station that a marker covers, in order.
func (s *survey) coveredOf(station string) []position {
	var free []position
	for l, seqs := range s.gone {
		if l.station != station {
			continue
		}
		for _, seq := range seqs {
			at := name{l.station, l.epoch, seq}
			if first, ok := s.truth[at]; !ok || first.Key != "" {
				free = append(free, s.position(at))
			}
		}
	}
	slices.SortFunc(free, position.compare)
	return free
}

// absent judges the acknowledged fact i, which is not stored here, and answers what is left of the free places.
func (s *survey) absent(source Source, facts []Fact, i int, after position, free []position) []position {
	f := facts[i]
	at, located := s.where[factName{source.Station, source.Name, f.Key}]
	lane := cmp.Or(f.Lane, s.lanes[at])
	if lane != 0 && !s.centre.wants(lane) || lane == 0 && s.centre.Lanes != nil && s.whole || s.centre.Draining {
		return free
	}
	before := position{epoch: len(s.order)}
	if source.Unordered {
		after = position{epoch: -1}
	} else {
		before = s.next(source, facts[i+1:], before)
	}
	for k, p := range free {
		if located && p == s.position(at) || !located && p.compare(after) > 0 && p.compare(before) < 0 {
			s.verdict.MarkerCovered++
			return slices.Delete(free, k, k+1)
		}
	}
	when := ""
	if !f.At.IsZero() {
		when = " at " + f.At.Format("15:04:05.000")
	}
	s.offend(&s.verdict.Lost, "lost", "%s: %q of %s %s was acknowledged%s and is not stored", s.centre.ID, f.Key, source.Station, source.Name, when)
	return free
}

// next is where the first stored one of the facts stands.
func (s *survey) next(source Source, facts []Fact, end position) position {
	for _, f := range facts {
		if places := s.places[factName{source.Station, source.Name, f.Key}]; len(places) > 0 {
			return s.position(places[0].name())
		}
	}
	return end
}
