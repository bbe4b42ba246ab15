package station

import (
	"context"
	"fmt"
	"slices"

	"watchpost/storage/event"
	"watchpost/storage/eventlog"
)

// commit puts all on disk: first the journal, then the events; then the outputs act and the asks are answered. What is not
// stored yet is tried again; a wish is done when the journal has it, a word when the log has, or the journal in place of a log that refuses.
func (g *guard) commit(ctx context.Context, batch []*ask) {
	err := g.save()
	if err != nil {
		for _, a := range batch {
			if a.wish != nil && a.err == nil {
				a.err = fmt.Errorf("%w: %w", errBusy, err)
			}
		}
	} else {
		if err = g.append(ctx); err != nil {
			g.takeOver()
		}
		g.act(ctx)
		v := g.machine.View()
		g.shown.Store(&v)
	}
	g.giveBack(err)
	g.note(err)
	for _, a := range batch {
		a.answer(a.err)
	}
}

// save writes the journal as it is to be now.
func (g *guard) save() error {
	j := journal{Machine: g.machine.Journal()}
	for _, e := range g.queue {
		if e.word != nil {
			continue
		}
		p, err := keep(e.draft)
		if err != nil {
			return err
		}
		j.Pending = append(j.Pending, p)
	}
	j.Epoch, j.Veiled, j.Looked = g.veil.list()
	err := g.file.save(j)
	g.saved = err == nil && len(j.Pending) == 0
	return err
}

// append hands what waits to the log, in order. It comes after the journal, also because a step that the journal does not have
// would be taken anew after a kill, and what the log already had of it would pass for a repeat. And it comes between the portions of
// a long queue: after a kill all that the journal holds is told again, and the log knows no more than so many of its keys.
func (g *guard) append(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), guardAppend)
	defer cancel()
	for first := true; len(g.queue) > 0; first = false {
		if !first {
			if err := g.save(); err != nil {
				return err
			}
		}
		n := portion(g.queue)
		drafts := make([]event.Draft, n)
		for i, e := range g.queue[:n] {
			drafts[i] = e.draft
		}
		if _, err := g.in.log.Append(ctx, drafts...); err != nil {
			return err
		}
		for _, e := range g.queue[:n] {
			if e.word != nil {
				delete(g.owed, e.draft.Zone)
			}
			g.tellLog(e.draft)
		}
		g.queue = g.queue[n:]
	}
	return nil
}

// takeOver keeps the words that the log does not take in the journal, as what is decided: they are on disk then, and their drivers go on
// to the next ones. A zone that nobody hears while the log is full would be a way in.
func (g *guard) takeOver() {
	before, taken := slices.Clone(g.queue), 0
	for i := range g.queue {
		e := &g.queue[i]
		if e.word == nil {
			continue
		}
		if e.draft.Once == "" {
			e.draft.Once = g.key()
		}
		p, err := keep(e.draft)
		if err != nil {
			continue // it was kept before
		}
		e.word, e.size = nil, len(p.Record)
		taken++
	}
	if taken == 0 {
		return
	}
	g.giveUp()
	if g.save() != nil {
		g.queue = before // their drivers will tell them again
		return
	}
	for _, e := range before {
		if e.word != nil {
			delete(g.owed, e.draft.Zone)
		}
	}
}

// giveBack leaves the words that are not on disk to their drivers, which will tell them again.
func (g *guard) giveBack(err error) {
	g.queue = slices.DeleteFunc(g.queue, func(e entry) bool {
		if e.word != nil {
			g.owed[e.draft.Zone], e.word.err = e.draft, err
		}
		return e.word != nil
	})
}

// portion is how many of the queue's first entries go into one append: no more decided ones than the log remembers of a source.
func portion(queue []entry) int {
	size, decided := 0, 0
	for i, e := range queue {
		p, err := keep(e.draft)
		if e.word == nil {
			decided++
		}
		size += len(p.Record)
		if err != nil || i > 0 && (size > guardBytes || i >= eventlog.MaxDrafts || decided > event.OnceKept) {
			return i
		}
	}
	return len(queue)
}

// tellLog says a change of state for whoever reads the agent's own log. Silent events are not for the station.
func (g *guard) tellLog(d event.Draft) {
	switch d.Kind {
	case event.KindPartitionChanged, event.KindAlarmRaised:
		partition, _ := d.Body.Text(event.TagPartition)
		state, _ := d.Body.Text(event.TagState)
		reason, _ := d.Body.Text(event.TagReason)
		g.log.Info(d.Kind.String(), "partition", partition, "zone", d.Zone, "qualifier", d.Qualifier, "state", state, "reason", reason)
	}
}

// note keeps the pace at which a disk that refuses is tried, and says once that it does.
func (g *guard) note(err error) {
	switch {
	case err == nil && g.behind > 0:
		g.behind = 0
		g.log.Info("what arming decides is stored again")
	case err != nil && g.behind == 0:
		g.behind = guardRetry
		g.log.Error("what arming decides is not stored, trying on", "err", err)
	case err != nil:
		g.behind = min(2*g.behind, guardRetry2)
	}
}
