package station

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
	"watchpost/firmware/arming"
	"watchpost/uplink/topic"
)

// wireGuard makes the guard of the partitions, if there are any.
func (s *Station) wireGuard(o Options) error {
	s.veil = &veil{log: s.events}
	if len(s.config.Partitions) == 0 {
		return nil
	}
	g := &guard{
		plan: planOf(s.config), zones: map[string]bool{}, in: s.in, file: &journalFile{}, veil: s.veil, instant: s.clock.instant,
		log: s.log, asks: make(chan *ask, guardQueue),
	}
	if _, err := arming.New(g.plan); err != nil {
		return err
	}
	for _, z := range g.plan.Zones {
		g.zones[z.ID] = true
	}
	if o.Events == nil { // as with the memo: what is in memory needs no journal on disk
		g.file.path = filepath.Join(s.config.Data, journalName)
	}
	if j, err := g.file.load(); err == nil { // else it is for the guard to say so, and the veil looks through the log
		s.veil.restore(j.Epoch, j.Veiled, j.Looked)
	}
	var all outputs
	for _, d := range s.drivers() {
		if x, ok := d.(outputDriver); ok {
			all = append(all, x)
		}
	}
	g.driver, s.guard = all, g
	if s.cards != nil {
		s.cards.guard = g
	}
	return nil
}

// entrance is where the door takes wishes for the partitions.
func (s *Station) entrance() *entrance {
	e := &entrance{guard: s.guard, names: map[string]string{}, now: s.clock.now,
		keypad: &keypad{users: s.config.Users, up: func() time.Duration { return s.clock.instant().Up }}}
	for _, p := range s.config.Partitions {
		e.names["partition/"+p.ID] = p.Name
	}
	for _, z := range s.config.Zones {
		if z.Partition != "" {
			e.names["zone/"+z.ID] = z.Name
		}
	}
	return e
}

// partitions are what a centre is told of them.
func (s *Station) partitions() (list []topic.PartitionState) {
	if s.guard == nil {
		return nil
	}
	names := map[string]string{}
	for _, p := range s.config.Partitions {
		names[p.ID] = p.Name
	}
	for _, p := range s.guard.view().Partitions {
		list = append(list, topic.PartitionState{
			ID: p.ID, Name: names[p.ID], State: string(p.State), Mode: string(p.Mode), Since: p.Since, Bypassed: p.LeftOut,
		})
	}
	return list
}

// instant is now, for arming. CLOCK_BOOTTIME counts while the box sleeps, and nobody can set it.
func (c clock) instant() arming.Instant {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return arming.Instant{Wall: c.now(), Up: time.Duration(bus.Monotonic()), Boot: c.boot} // before Linux 2.6.39
	}
	return arming.Instant{Wall: c.now(), Up: time.Duration(ts.Nano()), Boot: c.boot}
}
