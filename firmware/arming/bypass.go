package arming

import "time"

// dayOfWork is how often a test or bypass that is renewed again and again is told.
const dayOfWork = 24 * time.Hour

// work is what an engineer has put out of action for a while.
type work struct {
	until  deadline // 0 = nothing is
	tell   deadline // when it is told again
	ends   int64    // until, by the wall clock, UTC seconds: the bound over power cuts
	who    string
	reason string
}

// silenced says that a zone raises nothing. The test of the whole station leaves what protects lives alone.
func (m *Machine) silenced(z *zone) bool {
	return z.soft || z.swinger || z.hard.until != 0 || z.test.until != 0 || m.test.until != 0 && !z.Kind.lifeSafety()
}

// leftOut is how, "" = the zone counts.
func (m *Machine) leftOut(z *zone) string {
	switch {
	case z.hard.until != 0:
		return LeftOutHard
	case z.test.until != 0 || m.test.until != 0 && !z.Kind.lifeSafety():
		return LeftOutTest
	case z.swinger:
		return LeftOutSwinger
	case z.soft:
		return LeftOutSoft
	}
	return ""
}

// underTest says that some zone of p is.
func (m *Machine) underTest(p *partition) bool {
	for _, z := range p.zones {
		if z.test.until != 0 {
			return true
		}
	}
	return false
}

// bypass does a wish to leave a zone out, or to have it count again.
func (m *Machine) bypass(in Bypass) *Refusal {
	z, refused := m.zoneFor(in.By, in.Zone, func(u User) bool { return in.Hard && u.Engineer || !in.Hard && u.Bypass })
	switch {
	case refused != nil:
		return refused
	case in.Hard && in.Off:
		m.endWork(z, &z.hard, in.By.name(), in.By.Via)
	case in.Hard:
		return m.beginWork(z, &z.hard, Maintain{By: in.By, For: in.For})
	case in.Off && z.soft:
		z.soft = false
		m.tellCounts(z, LeftOutSoft, in.By.name(), in.By.Via)
	case in.Off:
	case z.Kind.alwaysOn():
		return &Refusal{RefusedAlwaysOn, []string{z.ID}}
	case z.p.mode != "":
		return &Refusal{Reason: RefusedArmed}
	case !z.soft:
		z.soft = true
		m.tellBypassed(z, LeftOutSoft, in.By.name(), in.By.Via)
	}
	return nil
}

// maintain does a wish to put a zone or the station under test, or to end that.
func (m *Machine) maintain(in Maintain) *Refusal {
	var z *zone
	var refused *Refusal
	w := &m.test
	if in.Zone == "" {
		refused = m.stationFor(in.By)
	} else if z, refused = m.zoneFor(in.By, in.Zone, func(u User) bool { return u.Engineer }); refused == nil {
		w = &z.test
	}
	if refused != nil {
		return refused
	}
	for _, p := range m.partitions {
		if z == nil || p == z.p {
			p.by(in.By)
		}
	}
	if in.Off {
		m.endWork(z, w, in.By.name(), in.By.Via)
		return nil
	}
	return m.beginWork(z, w, in)
}

// beginWork puts a zone, or the station with z nil, out of action, or renews that.
func (m *Machine) beginWork(z *zone, w *work, in Maintain) *Refusal {
	if in.For <= 0 || in.For > maxWork {
		return &Refusal{Reason: RefusedDuration}
	}
	renewed := w.until != 0
	w.until, w.who, w.reason = m.after(in.For), in.By.name(), clip(in.Reason)
	w.ends = w.until.wall(m.now).Unix()
	if renewed {
		m.tellWorkStands(z, w)
		return nil
	}
	w.tell = m.after(dayOfWork)
	if z != nil && w == &z.hard {
		m.tellBypassed(z, LeftOutHard, w.who, w.reason)
	}
	m.tellWorkBegins(z, w)
	return nil
}

// endWork has a zone, or the station with z nil, count again.
func (m *Machine) endWork(z *zone, w *work, who, why string) {
	if w.until == 0 {
		return
	}
	m.tellWorkEnds(z, w, who, why)
	hard := z != nil && w == &z.hard
	*w = work{}
	if hard {
		m.tellCounts(z, LeftOutHard, who, why)
	}
	if z != nil {
		m.again(z)
		return
	}
	for _, z := range m.zones {
		m.again(z)
	}
}

// works are all that run.
func (m *Machine) works() []*work {
	var running []*work
	if m.test.until != 0 {
		running = append(running, &m.test)
	}
	for _, z := range m.zones {
		for _, w := range []*work{&z.hard, &z.test} {
			if w.until != 0 {
				running = append(running, w)
			}
		}
	}
	return running
}

// endWorks ends what has had its time, and tells what stands for a day more.
func (m *Machine) endWorks() {
	m.endOrTell(nil, &m.test)
	for _, z := range m.zones {
		if z.hard.until|z.test.until != 0 {
			m.endOrTell(z, &z.hard)
			m.endOrTell(z, &z.test)
		}
	}
}

func (m *Machine) endOrTell(z *zone, w *work) {
	switch {
	case w.until.due(m.now):
		m.endWork(z, w, "", causeTimeOut)
		for _, p := range m.partitions {
			p.because(causeTimeOut)
		}
	case w.tell.due(m.now):
		w.tell = m.after(dayOfWork)
		m.tellWorkStands(z, w)
	}
}
