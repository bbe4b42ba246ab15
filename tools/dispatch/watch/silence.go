//lint:pure

package watch

import (
	"maps"
	"slices"
	"time"

	"watchpost/storage/event"
)

// Figures of the watch.
const (
	standardHeartbeat = 30 * time.Second // of a station that does not say how often it speaks
	beatsMissed       = 3                // heartbeats that must fail before a station is silent …
	lateness          = 10 * time.Second // … and how late the last of them may be
	threatMemory      = 10 * time.Minute // how long after an alarm a silence is a consequence of it
	correlation       = 15 * time.Second // how long a single card is held back, in case a carrier turns out to be dead
	carrierLeast      = 3                // stations that must fall silent together before their carrier is suspected
	crossing          = 5 * time.Second  // a word that came in just before its silence was told; less than half of any limit
	sleptFor          = 30 * time.Second // between two steps: the centre itself was asleep, or its clock was set
)

// Input is what the centre knows at one moment.
type Input struct {
	Listening time.Time // since when the centre has heard its broker without a break; zero = it does not
	Stations  []Station // in order of ID
}

// Station is one station as the centre knows it. Times are the centre's; zero = never.
type Station struct {
	ID        string
	Heard     time.Time
	Farewell  bool          // it said goodbye in good order, and nothing since
	Carrier   string        // whose network carries it; "" = it does not say
	Heartbeat time.Duration // how often it promised to speak; 0 = it does not say
	Threat    time.Time     // when its last alarm about people or property came in
	Threatens bool          // nobody has acknowledged that alarm
	Tests     bool          // it tests daily
	Test      Test
}

// Effect is something that the centre must tell.
type Effect struct {
	Kind      event.Kind
	Qualifier event.Qualifier
	Station   string        // of KindStationSilent and KindTestFailed
	Carrier   string        // of KindCarrierSilent
	Missing   []string      // of KindCarrierSilent: who is not heard now, in order
	Silence   time.Duration // of KindStationSilent, since its last word; of KindCarrierSilent, since the first of them fell silent
	Threat    bool          // of KindStationSilent: an alarm came before it
	Farewell  bool          // of KindStationSilent: it stopped in good order
	Stage     Stage         // of KindTestFailed: where the test stopped
}

// State is what the watch has told, and since when silence counts. The zero State has told nothing and begins to listen.
type State struct {
	last      time.Time                  // the step before
	listening time.Time                  // Input.Listening of the step before
	since     time.Time                  // silence counts from here on: the start, a link that is back, a clock that was set
	silent    map[string]mark            // stations with a card of their own
	carriers  map[string]map[string]mark // dead carriers, and who is missing
	tests     map[string]Stage           // stations whose test failed
}

// mark says when a silence was told, and what the last word before it was; zero = not known any more.
type mark struct{ told, heard time.Time }

// ended reports whether a station has spoken since. A last word that has moved back is a word too: the centre's clock was set.
// Where the word before is not known, one that lies in the future says nothing.
func (m mark) ended(heard, now time.Time) bool {
	if m.heard.IsZero() {
		return heard.After(m.told.Add(-crossing)) && heard.Sub(now) <= sleptFor
	}
	return !heard.Equal(m.heard)
}

// Limit is how long a station may say nothing before it counts as silent.
func (s Station) Limit() time.Duration {
	beat := s.Heartbeat
	if beat <= 0 {
		beat = standardHeartbeat
	}
	return beatsMissed*beat + lateness
}

// threatened reports whether its silence would follow an alarm.
func (s Station) threatened() bool {
	return !s.Threat.IsZero() && (s.Threatens || s.Heard.Sub(s.Threat) <= threatMemory)
}

// Step decides what has to be told now. A centre that does not hear its broker is deaf itself: nobody is silent then, and
// afterwards everybody gets a fresh time to speak. The same holds at its start, and when its own clock was set.
func (s State) Step(in Input, now time.Time) (State, []Effect) {
	slept := s.last.IsZero() || now.Before(s.last) || now.Sub(s.last) > sleptFor
	if slept || !in.Listening.Equal(s.listening) {
		s.since = now
	}
	s.silent, s.tests, s.carriers = maps.Clone(s.silent), maps.Clone(s.tests), maps.Clone(s.carriers)
	for c, missing := range s.carriers {
		s.carriers[c] = maps.Clone(missing)
	}
	s.last, s.listening = now, in.Listening
	if in.Listening.IsZero() {
		return s, nil
	}
	r := round{State: s.ready(), now: now, stations: in.Stations, carried: make(map[string][]Station), changed: make(map[string]bool)}
	for _, x := range in.Stations {
		if x.Carrier != "" {
			r.carried[x.Carrier] = append(r.carried[x.Carrier], x)
		}
	}
	r.returns()
	r.threats()
	r.outages()
	r.silences()
	r.failures()
	return r.State, r.effects
}

// ready has its maps.
func (s State) ready() State {
	if s.silent == nil {
		s.silent = make(map[string]mark)
	}
	if s.carriers == nil {
		s.carriers = make(map[string]map[string]mark)
	}
	if s.tests == nil {
		s.tests = make(map[string]Stage)
	}
	return s
}

// round is one step under way.
type round struct {
	State
	now      time.Time
	stations []Station
	carried  map[string][]Station // by carrier
	changed  map[string]bool      // carriers whose card has to be told anew
	effects  []Effect
}

func (r *round) tell(e Effect) { r.effects = append(r.effects, e) }

// quiet is how long a station has said nothing while the centre listened. A last word far in the future is one from before the
// centre's clock was set.
func (r *round) quiet(s Station) time.Duration {
	from := s.Heard
	if from.Before(r.since) || from.Sub(r.now) > sleptFor {
		from = r.since
	}
	return r.now.Sub(from)
}

// returns ends the silence of those who were heard after it was told.
func (r *round) returns() {
	heard := make(map[string]time.Time, len(r.stations))
	for _, s := range r.stations {
		heard[s.ID] = s.Heard
	}
	for _, id := range slices.Sorted(maps.Keys(r.silent)) {
		if m := r.silent[id]; m.ended(heard[id], r.now) {
			delete(r.silent, id)
			r.tell(Effect{Kind: event.KindStationSilent, Qualifier: event.QualifierRestore, Station: id})
		} else {
			r.silent[id] = mark{m.told, heard[id]}
		}
	}
	for carrier, missing := range r.carriers {
		for id, m := range missing {
			if m.ended(heard[id], r.now) {
				delete(missing, id)
				r.changed[carrier] = true
			} else {
				missing[id] = mark{m.told, heard[id]}
			}
		}
	}
}

// threats tells of those whose silence follows an alarm: after half the time, each by itself, and nothing is waited for.
func (r *round) threats() {
	for _, s := range r.stations {
		if s.threatened() && r.untold(s) && r.quiet(s) >= s.Limit()/2 {
			r.silence(s)
		}
	}
}

// silences tells of the others that are past their limit. Where a carrier may be the cause, the rest of its stations get a
// moment to show it.
func (r *round) silences() {
	together := make(map[string]bool) // carriers with enough stations to fall silent together
	for c := range r.carried {
		together[c] = len(r.behind(c)) >= carrierLeast
	}
	for _, s := range r.stations {
		wait := s.Limit()
		if together[s.Carrier] && !s.Farewell {
			wait += correlation
		}
		if r.untold(s) && !r.missing(s) && r.quiet(s) >= wait {
			r.silence(s)
		}
	}
}

func (r *round) silence(s Station) {
	r.silent[s.ID] = mark{r.now, s.Heard}
	r.tell(Effect{Kind: event.KindStationSilent, Qualifier: event.QualifierNew, Station: s.ID,
		Silence: max(0, r.now.Sub(s.Heard)), Threat: s.threatened(), Farewell: s.Farewell})
}

// untold reports whether a station that was ever heard has no card of its own.
func (r *round) untold(s Station) bool {
	_, told := r.silent[s.ID]
	return !told && !s.Heard.IsZero()
}

// missing reports whether the card of the station's carrier covers it.
func (r *round) missing(s Station) bool {
	_, ok := r.carriers[s.Carrier][s.ID]
	return ok
}
