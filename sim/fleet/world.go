package fleet

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
)

// patience is how long, after the last fault, everything may take to arrive.
const patience = 12 * time.Hour

// start is when every world begins.
func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// world is one history in the making.
type world struct {
	plan     Plan
	defects  defects
	agenda   agenda
	trace    *trace
	now      time.Duration // since start
	fair     bool          // nothing goes wrong any more
	stations []*station
	centres  []*centre
	sum      Summary
	offence  error // the first
}

func newWorld(p Plan, d defects) *world {
	w := &world{plan: p, defects: d, trace: newTrace(p.Trace)}
	weather := w.dice("weather") // a fault too many hides what another one does: each is absent from a third of the worlds
	for i := range AllFaults.count() {
		if weather.oneIn(3) {
			w.plan.Without |= 1 << i
		}
	}
	w.centres = []*centre{
		newCentre(w, "changshan", true, nil),
		newCentre(w, "yushan", false, []event.Lane{event.LaneAlarm, event.LaneMain}),
	}
	for i := range p.Stations {
		w.stations = append(w.stations, newStation(w, p.First+i))
	}
	return w
}

// run plays the world to its end and answers what must not have happened.
func (w *world) run() error {
	for _, c := range w.centres {
		c.begin()
	}
	for _, s := range w.stations {
		s.begin()
	}
	w.at(w.plan.Span, w.heal)
	end := w.plan.Span + patience
	look := w.plan.Span
	for w.offence == nil {
		e, ok := w.agenda.next()
		if !ok {
			return errors.New("nothing is planned any more, and not everything has arrived")
		}
		for ; look <= e.at && w.offence == nil; look += time.Minute {
			why := w.drained()
			if why == nil && look > w.plan.Span {
				return w.judge()
			}
			if look >= end {
				return fmt.Errorf("%s after the last fault not everything has arrived: %w", patience, why)
			}
		}
		w.now = e.at
		e.do()
	}
	return w.offence
}

// heal ends all faults.
func (w *world) heal() {
	w.step("world", "is fair")
	w.fair = true
	for _, c := range w.centres {
		c.heal()
	}
	for _, s := range w.stations {
		for _, l := range s.links {
			l.denied = false
			if l.hole {
				l.lose()
			}
			if !l.up {
				l.cut()
				w.after(l.comes.between(0, time.Minute), l.during(l.connect))
			}
		}
	}
}

func (w *world) drained() error {
	for _, s := range w.stations {
		if err := s.drained(); err != nil {
			return err
		}
	}
	return nil
}

// judge hands what the centres stored and what the sources were acknowledged to the checker of all tests.
func (w *world) judge() error {
	w.sum.Ended = w.now
	var h storagetest.History
	for _, s := range w.stations {
		h.Sources = append(h.Sources, s.source())
		h.Heads = append(h.Heads, slices.Clone(s.disk.headsNow())...)
	}
	for _, c := range w.centres {
		h.Centres = append(h.Centres, c.judged())
	}
	v := storagetest.Check(h)
	w.sum.Verdict = v.String()
	return v.Err()
}

func (w *world) dice(actor string) dice { return newDice(w.plan.Seed, actor) }

// may says whether a fault belongs to this world.
func (w *world) may(f Faults) bool { return w.plan.Without&f == 0 }

func (w *world) time() time.Time { return start().Add(w.now) }

func (w *world) at(at time.Duration, do func()) { w.agenda.plan(max(at, w.now), do) }

func (w *world) after(d time.Duration, do func()) { w.at(w.now+d, do) }

// sometimes lets a fault happen again and again until the world is fair.
func (w *world) sometimes(f Faults, d dice, typical time.Duration, do func()) {
	if !w.may(f) {
		return
	}
	w.after(d.about(2*typical), func() {
		if !w.fair {
			do()
			w.sometimes(f, d, typical, do)
		}
	})
}

// pause is the typical time between two moments at which a village tells something; the storms are in it.
func (w *world) pause() time.Duration { return 24 * time.Hour * 5 / 2 / time.Duration(w.plan.Daily) }

func (w *world) step(actor, action string, numbers ...uint64) {
	w.trace.step(w.now, actor, action, numbers...)
}

// offend ends the world: something happened that must not.
func (w *world) offend(err error) {
	if w.offence == nil {
		w.offence = err
	}
}
