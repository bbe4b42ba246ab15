package panel

import "time"

// take acts on one answer of the receiver.
func (p *Panel) take(frame []byte) error {
	if err := p.capture('<', frame); err != nil {
		return err
	}
	if p.opts.odd().has(QuirkBinaryCRC) {
		frame = digits(frame)
	}
	a, err := ParseAnswer(frame, p.opts.Key)
	if err != nil {
		p.tally(func(t *Totals) { t.Bad++ })
		p.opts.Log.Warn("answer refused", logError, err)
		return nil
	}
	p.heard = true
	if a.ID == idNAK {
		return p.setClock(a.Time)
	}
	i := p.find(a)
	if i < 0 {
		p.tally(func(t *Totals) { t.Stray++ })
		return nil
	}
	s := p.flight[i]
	if a.ID == idDUH { // it could not be processed: try again later
		p.tally(func(t *Totals) { t.DUHs++ })
		p.opts.Log.Warn("the receiver could not process a report", logReport, s.n)
		s.tries = 0
		return nil
	}
	p.flight = append(p.flight[:i], p.flight[i+1:]...)
	if s.n == 0 {
		return nil
	}
	p.tally(func(t *Totals) { t.Acked++ })
	return p.record("acked %d %04d", s.n, s.frame.Seq)
}

// find looks for the frame in flight that an answer belongs to, or gives -1. An
// answer repeats number, line, account and receiver of its frame, and to an
// encrypted frame an ACK must be encrypted too.
func (p *Panel) find(a Answer) int {
	switch {
	case a.ID != idACK && a.ID != idDUH,
		a.ID == idACK && a.Encrypted != (len(p.opts.Key) > 0),
		a.NoLine != p.opts.odd().has(QuirkNoLine) || !a.NoLine && "L"+a.Line != p.opts.odd().line(p.opts.Line),
		a.Account != p.opts.Account || a.Receiver != p.opts.Receiver:
		return -1
	}
	for i, s := range p.flight {
		if s.frame.Seq == a.Seq {
			return i
		}
	}
	return -1
}

// setClock believes the time of a NAK and sends again, with the new time, what
// carries an old one.
func (p *Panel) setClock(now time.Time) error {
	p.tally(func(t *Totals) { t.NAKs++ })
	if off := now.Sub(p.clock()); off.Abs() > time.Second && !p.opts.odd().has(QuirkStubborn) {
		p.skew += off
	}
	for _, s := range p.flight {
		if p.clock().Sub(s.frame.Time).Abs() < staleAfter {
			continue
		}
		if err := p.stamp(s); err != nil {
			return err
		}
	}
	return nil
}
