package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/storage/event"
)

// clock is when these tests begin.
func clock() time.Time { return time.Unix(2e9, 0).UTC() }

// limit is the time of a station that speaks every 30 s.
const limit = 100 * time.Second

// world is a centre and its stations, stepped every second.
type world struct {
	t        testing.TB
	now      time.Time
	tick     time.Duration // at one of more than a second, each speaks each time
	link     time.Time
	stations map[string]*Station
	beats    map[string]time.Duration // of those that speak: when in each 30 s
	state    State
	said     []string // of the steps since the last look
}

func newWorld(t testing.TB) *world {
	return &world{t: t, now: clock(), tick: time.Second, link: clock(), stations: make(map[string]*Station), beats: make(map[string]time.Duration)}
}

// station adds one that speaks; carrier "" = it says none.
func (w *world) station(id, carrier string) *Station {
	s := &Station{ID: id, Carrier: carrier, Heard: w.now}
	w.stations[id], w.beats[id] = s, time.Duration(len(w.stations)*7%30)*time.Second
	return s
}

func (w *world) mute(ids ...string) {
	for _, id := range ids {
		delete(w.beats, id)
	}
}

func (w *world) speak(ids ...string) {
	for _, id := range ids {
		w.beats[id], w.stations[id].Farewell = time.Duration(w.now.Unix()%30)*time.Second, false
		w.stations[id].Heard = w.now
	}
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(w.tick)
		for id, at := range w.beats {
			if (w.tick > time.Second || w.now.Unix()%30 == int64(at/time.Second)) && !w.link.IsZero() {
				w.stations[id].Heard = w.now
			}
		}
		w.step()
	}
}

func (w *world) step() {
	in := Input{Listening: w.link}
	for _, id := range slices.Sorted(maps.Keys(w.stations)) {
		in.Stations = append(in.Stations, *w.stations[id])
	}
	var effects []Effect
	w.state, effects = w.state.Step(in, w.now)
	for _, e := range effects {
		w.said = append(w.said, phrase(e))
	}
}

// phrase is an effect in a few words.
func phrase(e Effect) string {
	words := []string{e.Kind.String(), e.Qualifier.String()}
	words = append(words, e.Station+e.Carrier)
	if e.Threat {
		words = append(words, "after alarm")
	}
	if e.Farewell {
		words = append(words, "farewell")
	}
	if e.Kind == event.KindCarrierSilent {
		words = append(words, fmt.Sprint(len(e.Missing)))
	}
	if e.Stage != "" {
		words = append(words, string(e.Stage))
	}
	return strings.Join(words, " ")
}

// expect checks what was said since the last look.
func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	if !slices.Equal(w.said, want) {
		w.t.Errorf("%s: said %q\nwant %q", what, w.said, want)
	}
	w.said = nil
}

func TestOneStationFallsSilentAndIsHeardAgain(t *testing.T) {
	w := newWorld(t)
	w.station("a", "")
	w.station("b", "")
	w.stations["never"] = &Station{ID: "never"}
	w.run(10 * time.Minute)
	w.expect("all speak")
	w.mute("a")
	w.stations["a"].Heard = w.now
	w.run(limit - time.Second)
	w.expect("within the limit")
	w.run(time.Second)
	w.expect("at the limit", "station.silent new a")
	w.run(time.Hour)
	w.expect("and it is told once")
	w.speak("a")
	w.run(time.Second)
	w.expect("heard again", "station.silent restore a")
	w.run(time.Hour)
	w.expect("all is well")
}

func TestTheLimitIsTheStationsOwn(t *testing.T) {
	w := newWorld(t)
	w.station("a", "").Heartbeat = 5 * time.Second
	w.mute("a")
	w.step()
	w.run(24 * time.Second)
	w.expect("three heartbeats and ten seconds")
	w.run(time.Second)
	w.expect("are over", "station.silent new a")
}

func TestSilenceAfterAnAlarm(t *testing.T) {
	for name, c := range map[string]struct {
		ago  time.Duration
		open bool
		want time.Duration
		said string
	}{
		"a moment before":             {time.Minute, false, limit / 2, "station.silent new a after alarm"},
		"long before, and still open": {time.Hour, true, limit / 2, "station.silent new a after alarm"},
		"long before":                 {time.Hour, false, limit, "station.silent new a"},
	} {
		w := newWorld(t)
		s := w.station("a", "mobile")
		s.Threat, s.Threatens = w.now.Add(-c.ago), c.open
		w.mute("a")
		w.step()
		w.run(c.want - time.Second)
		w.expect(name + ": before its time")
		w.run(time.Second)
		w.expect(name, c.said)
	}
}

func TestAFarewellIsSilenceToo(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.station(fmt.Sprint("s", i), "mobile").Farewell = true
	}
	w.mute("s0", "s1", "s2", "s3")
	w.step()
	w.run(limit)
	w.expect("four stopped, and no carrier is to blame", "station.silent new s0 farewell", "station.silent new s1 farewell", "station.silent new s2 farewell", "station.silent new s3 farewell")
}

// village names the n-th of twelve.
func village(n int) string { return fmt.Sprintf("v%02d", n) }

func twelve(w *world) (ids []string) {
	for i := range 12 {
		w.station(village(i), "mobile")
		ids = append(ids, village(i))
	}
	w.run(5 * time.Minute)
	w.expect("twelve villages speak")
	return ids
}

func TestTwelveStationsBehindOneDeadCarrierMakeOneCard(t *testing.T) {
	w := newWorld(t)
	ids := twelve(w)
	for i := range 5 {
		w.station(fmt.Sprint("u", i), "unicom")
	}
	threat := w.stations[ids[3]]
	w.run(30 * time.Second)
	threat.Threat = w.now
	w.mute(ids...)
	w.run(limit/2 + 30*time.Second)
	w.expect("the one that had an alarm has its own card", "station.silent new v03 after alarm")
	w.run(time.Hour)
	w.expect("and the others one for all", "carrier.silent new mobile 12")
	w.speak(ids[:7]...)
	w.run(time.Second)
	w.expect("seven are back", "station.silent restore v03", "carrier.silent status mobile 5")
	w.mute(ids[0])
	w.run(2 * limit)
	w.expect("one goes again: it belongs to the card", "carrier.silent status mobile 6")
	w.speak(ids...)
	w.run(time.Second)
	w.expect("all are back", "carrier.silent restore mobile 0")
	w.mute(ids[0])
	w.run(2 * limit)
	w.expect("then one is gone for itself", "station.silent new v00")
}

func TestAFewOfManyAreNoDeadCarrier(t *testing.T) {
	w := newWorld(t)
	ids := twelve(w)
	w.mute(ids[:5]...)
	w.run(2 * limit)
	slices.Sort(w.said) // each at its own time
	w.expect("five of twelve", "station.silent new v00", "station.silent new v01", "station.silent new v02", "station.silent new v03", "station.silent new v04")
	w.mute(ids[5:7]...)
	w.run(time.Hour)
	slices.Sort(w.said)
	w.expect("two more, while the card of none is new", "station.silent new v05", "station.silent new v06")
}

func TestSingleCardsAreHeldBackNoLonger(t *testing.T) {
	w := newWorld(t)
	ids := twelve(w)
	w.stations[ids[0]].Heard = w.now
	w.mute(ids[0])
	w.run(limit + correlation - time.Second)
	w.expect("others may follow")
	w.run(time.Second)
	w.expect("none did", "station.silent new v00")
}

func TestADeafCentreCallsNobodySilent(t *testing.T) {
	w := newWorld(t)
	w.station("a", "")
	w.run(time.Minute)
	w.link = time.Time{}
	w.run(24 * time.Hour)
	w.expect("it hears nothing")
	w.link = w.now
	w.mute("a")
	w.run(limit - time.Second)
	w.expect("everybody has the full time")
	w.run(2 * time.Second)
	w.expect("and no longer", "station.silent new a")
}

func TestARestartTellsNothingTwice(t *testing.T) {
	w := newWorld(t)
	ids := twelve(w)
	w.station("a", "")
	w.mute(append(ids, "a")...)
	w.run(time.Hour)
	w.expect("all are silent", "carrier.silent new mobile 12", "station.silent new a")
	silent, carriers := w.state.silent, w.state.carriers
	w.state = State{}.ready()
	w.state.silent, w.state.carriers = silent, carriers
	w.run(time.Hour)
	w.expect("the next run knows")
	w.state = State{}
	w.run(limit - time.Second)
	w.expect("one that knows nothing gives them time")
}

func TestAClockThatIsSet(t *testing.T) {
	for name, by := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		w := newWorld(t)
		w.station("a", "")
		w.station("b", "")
		w.mute("b")
		w.run(10 * time.Minute)
		w.expect(name, "station.silent new b")
		w.now = w.now.Add(by)
		w.run(10 * time.Minute)
		w.expect(name + ": nobody is silent for that")
		w.speak("b")
		w.run(2 * time.Second)
		w.expect(name+": and a station that returns is heard", "station.silent restore b")
	}
}

// Whatever stations and links do: nothing is told twice or taken back untold, silence is told in time, and only silence.
func TestWhatIsToldIsTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		carriers := []string{"", "mobile", "unicom"}
		n := rapid.IntRange(1, 14).Draw(rt, "stations")
		for i := range n {
			s := w.station(village(i), rapid.SampledFrom(carriers).Draw(rt, "carrier"))
			s.Heartbeat = rapid.SampledFrom([]time.Duration{0, 30 * time.Second, time.Minute}).Draw(rt, "heartbeat")
		}
		cards := make(map[string]bool)
		quietSince := make(map[string]time.Time) // as a patient observer counts: silence while the centre listened
		linkSince := w.now
		for range rapid.IntRange(1, 12).Draw(rt, "turns") {
			id := village(rapid.IntRange(0, n-1).Draw(rt, "who"))
			switch rapid.SampledFrom([]string{"mute", "mute", "speak", "alarm", "goodbye", "deaf", "all mute"}).Draw(rt, "what") {
			case "mute":
				w.mute(id)
			case "all mute":
				w.mute(slices.Collect(maps.Keys(w.stations))...)
			case "speak":
				w.speak(id)
			case "alarm":
				w.stations[id].Threat, w.stations[id].Heard = w.now, w.now
			case "goodbye":
				w.mute(id)
				w.stations[id].Farewell = true
			case "deaf":
				w.link = time.Time{}
				w.run(2 * time.Minute)
				if len(w.said) > 0 {
					rt.Fatalf("deaf, and says %q", w.said)
				}
				w.link, linkSince = w.now, w.now.Add(time.Second)
			}
			for range rapid.IntRange(1, 400).Draw(rt, "seconds") {
				w.run(time.Second)
				for id, s := range w.stations {
					quietSince[id] = s.Heard
					if s.Heard.Before(linkSince) {
						quietSince[id] = linkSince
					}
				}
				for _, line := range w.said {
					f := strings.Fields(line)
					key, now := f[0]+" "+f[2], f[1]
					if cards[key] != (now != "new") {
						rt.Fatalf("%q, and its card stood: %t", line, cards[key])
					}
					cards[key] = now != "restore"
					if s := w.stations[f[2]]; f[0] == "station.silent" && now == "new" && w.now.Sub(quietSince[f[2]]) < s.Limit()/2 {
						rt.Fatalf("%q after %s", line, w.now.Sub(quietSince[f[2]]))
					}
				}
				w.said = nil
				for id, s := range w.stations {
					told := cards["station.silent "+id]
					_, carried := w.state.carriers[s.Carrier][id]
					if quiet := w.now.Sub(quietSince[id]); quiet > s.Limit()+correlation && !told && !carried {
						rt.Fatalf("%s is silent for %s and nobody is told", id, quiet)
					} else if quiet == 0 && w.now.Sub(linkSince) > time.Second && (told || carried) && w.beats[id] != 0 {
						rt.Fatalf("%s was heard this second and still counts as silent", id)
					}
				}
			}
		}
		w.speak(slices.Collect(maps.Keys(w.stations))...)
		w.run(2 * time.Second)
		if len(w.state.silent)+len(w.state.carriers) > 0 {
			rt.Fatalf("all speak, and yet: %v %v", w.state.silent, w.state.carriers)
		}
	})
}

// The centre's clock was set back by a day: the last word lies in the future. That is no negative time, and no new word each
// second; after a restart neither.
func TestALastWordInTheFuture(t *testing.T) {
	in := Input{Listening: clock(), Stations: []Station{{ID: "a", Heard: clock().Add(24 * time.Hour)}}}
	run := func(s State, d time.Duration) (n int) {
		for end := clock().Add(d + 5*time.Minute); clock().Add(d).Before(end); d += time.Second {
			var es []Effect
			s, es = s.Step(in, clock().Add(d))
			for _, e := range es {
				if n++; e.Silence < 0 || e.Qualifier != event.QualifierNew {
					t.Fatalf("after %s: %+v", d, e)
				}
			}
		}
		return n
	}
	if n := run(State{}, 0); n != 1 {
		t.Errorf("told %d times", n)
	}
	told := State{}.ready()
	told.silent["a"] = mark{told: clock()}
	if n := run(told, time.Hour); n != 0 {
		t.Errorf("after a restart told %d times more", n)
	}
}
