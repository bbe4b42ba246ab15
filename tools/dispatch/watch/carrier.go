//lint:pure

package watch

import (
	"maps"
	"slices"
	"time"

	"watchpost/storage/event"
)

// outages finds carriers whose stations fell silent together, and keeps the cards of those that are known.
func (r *round) outages() {
	names := slices.Collect(maps.Keys(r.carried))
	for c := range r.carriers {
		if r.carried[c] == nil { // all of its stations have gone to another
			names = append(names, c)
		}
	}
	slices.Sort(names)
	for _, c := range names {
		if missing, open := r.carriers[c]; open {
			r.keep(c, missing)
		} else if lost := r.lost(c); lost != nil {
			r.carriers[c] = make(map[string]mark)
			for _, s := range lost {
				r.carriers[c][s.ID] = mark{r.now, s.Heard}
			}
			r.carrier(c, event.QualifierNew)
		}
	}
}

// keep takes in who falls silent behind a dead carrier, and tells who is still missing when that has changed.
func (r *round) keep(carrier string, missing map[string]mark) {
	for _, s := range r.behind(carrier) {
		if _, known := missing[s.ID]; !known && r.untold(s) && r.quiet(s) >= s.Limit() {
			missing[s.ID] = mark{r.now, s.Heard}
			r.changed[carrier] = true
		}
	}
	switch {
	case !r.changed[carrier]:
	case len(missing) == 0:
		r.carrier(carrier, event.QualifierRestore)
		delete(r.carriers, carrier)
	default:
		r.carrier(carrier, event.QualifierStatus)
	}
}

func (r *round) carrier(name string, q event.Qualifier) {
	e := Effect{Kind: event.KindCarrierSilent, Qualifier: q, Carrier: name, Missing: slices.Sorted(maps.Keys(r.carriers[name]))}
	for _, s := range r.carried[name] {
		if r.missing(s) {
			e.Silence = max(e.Silence, r.now.Sub(s.Heard))
		}
	}
	r.tell(e)
}

// behind are a carrier's stations, but for those that were never heard, stopped in good order, or have had a card of their
// own for longer than an outage takes to show.
func (r *round) behind(carrier string) []Station {
	var out []Station
	for _, s := range r.carried[carrier] {
		m, silent := r.silent[s.ID]
		if !s.Heard.IsZero() && !s.Farewell && !(silent && r.now.Sub(m.told) > 2*s.Limit()) {
			out = append(out, s)
		}
	}
	return out
}

// lost are the stations of a carrier that fell silent together, if they are enough to say that it is dead: at least
// carrierLeast, and at least half of its stations. Their last words are spread over a heartbeat, so when the first of them
// is past its limit the others are not yet, but each is late. Being past the limit is believed at once, being late only when
// a single card cannot be held back any longer. A station whose last word is older by far is no part of it.
func (r *round) lost(carrier string) []Station {
	all := r.behind(carrier)
	var newest time.Time
	for _, s := range all {
		if r.quiet(s) >= s.Limit()/2 && s.Heard.After(newest) {
			newest = s.Heard
		}
	}
	var late []Station
	overdue, held, up := 0, false, 0
	for _, s := range all {
		quiet := r.quiet(s)
		switch {
		case quiet < s.Limit()/2:
			up++
		case newest.Sub(s.Heard) <= 2*s.Limit():
			late = append(late, s)
			if quiet >= s.Limit() {
				overdue++
			}
			held = held || quiet >= s.Limit()+correlation
		}
	}
	enough := func(n int) bool { return n >= carrierLeast && 2*n >= up+len(late) }
	if enough(overdue) || held && enough(len(late)) {
		return late
	}
	return nil
}
