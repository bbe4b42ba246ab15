package arming

import "time"

// deadline is the Up of the machine's boot at which something ends; 0 = it does not run.
type deadline time.Duration

func (d deadline) due(now Instant) bool { return d != 0 && now.Up >= time.Duration(d) }

// left is how long a running deadline has still to go.
func (d deadline) left(now Instant) time.Duration { return max(0, time.Duration(d)-now.Up) }

// wall is when a running deadline ends, as far as the wall clock can tell; zero if none runs.
func (d deadline) wall(now Instant) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return now.Wall.Add(d.left(now))
}

// after is the deadline d from now. It is never 0, which would be none. From here on the journal knows what time it was.
func (m *Machine) after(d time.Duration) deadline {
	m.saved, m.cached = m.now.Up, nil
	return deadline(max(1, m.now.Up+d))
}

// advance does what time has brought: first what was left out counts again, then each partition's delays.
func (m *Machine) advance() {
	m.endWorks()
	for _, p := range m.partitions {
		if p.settle.due(m.now) {
			m.settled(p)
		}
		if p.exit.due(m.now) {
			m.exitOver(p)
		}
		if p.entry.due(m.now) {
			m.entryOver(p)
		}
		if p.sounding.due(m.now) {
			p.sounding = 0
			m.quieten(p, causeTimeOut)
			p.because(causeTimeOut)
		}
		if p.walk.due(m.now) {
			p.endWalk()
			p.because(causeTimeOut)
		}
	}
}

// settled believes the detectors of a partition from now on, and judges what stands.
func (m *Machine) settled(p *partition) {
	p.settle, m.cached = 0, nil
	for _, z := range p.zones {
		if z.heard && z.level != unknown && !z.Kind.button() {
			m.judge(z, true)
		}
	}
}

// leave takes an opening while the exit delay runs: who comes back through the door once gets the whole delay again (CP-01).
func (m *Machine) leave(z *zone) {
	if !z.Entry {
		return
	}
	if z.p.leaves++; z.p.leaves == 2 {
		z.p.exit = m.after(z.p.Exit)
	}
}

// exitOver arms the partition. A zone that stands active begins the entry delay, so that who left it open can come back; one that
// cannot be read now must be normal when it can.
func (m *Machine) exitOver(p *partition) {
	p.exit, m.cached = 0, nil
	for _, z := range p.zones {
		if z.Kind.alwaysOn() || !z.counts(p.mode) || m.silenced(z) {
			continue
		}
		switch {
		case !m.believes(z) || z.level != normal && z.level != active:
			z.stood = normal
		case z.level == active && p.Entry > 0:
			m.wait(z, CauseExitError)
		case z.level == active:
			m.raiseActive(z, CauseExitError, z.edge)
		}
	}
	p.because(causeTimeOut)
}

// waiting is a zone that will be an alarm when the entry delay ends.
type waiting struct {
	Zone  string `json:"zone"`
	Cause string `json:"cause"`
	edge
}

// wait begins the entry delay, or joins the one that runs.
func (m *Machine) wait(z *zone, cause string) {
	p := z.p
	for _, w := range p.waiting {
		if w.Zone == z.ID {
			return
		}
	}
	p.waiting = append(p.waiting, waiting{z.ID, cause, z.edge})
	if p.entry == 0 {
		p.entry = m.after(p.Entry)
		p.because(cause)
		p.note.detail = z.ID
	}
}

// entryOver raises what has waited: nobody has disarmed. A zone that was left out meanwhile has waited for nothing.
func (m *Machine) entryOver(p *partition) {
	waited := p.waiting
	p.entry, p.waiting = 0, nil
	for _, w := range waited {
		z := m.byZone[w.Zone]
		if z == nil || z.p != p || m.silenced(z) {
			continue
		}
		m.raiseActive(z, w.Cause, w.edge)
		m.ended(z)
	}
	p.because(causeTimeOut)
}

// Due says how long until a Tick is wanted; false: none is.
func (m *Machine) Due(now Instant) (time.Duration, bool) {
	first := deadline(0)
	note := func(d deadline) {
		if d != 0 && (first == 0 || d < first) {
			first = d
		}
	}
	scheduled := false
	for _, p := range m.partitions {
		note(p.settle)
		note(p.exit)
		note(p.entry)
		note(p.sounding)
		note(p.walk)
		scheduled = scheduled || p.ArmAt != "" || p.DisarmAt != ""
	}
	for _, w := range m.works() {
		note(w.until)
		note(w.tell)
	}
	wait := first.left(now)
	if scheduled { // once in each minute, since the wall clock may be set
		look := m.looked.Add(time.Minute).Sub(now.Wall)
		if look < 0 || look > time.Minute {
			look = 0
		}
		if first == 0 || look < wait {
			wait = look
		}
	}
	return wait, first != 0 || scheduled
}
