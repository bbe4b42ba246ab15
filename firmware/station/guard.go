package station

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"watchpost/firmware/arming"
	"watchpost/storage/event"
)

// Pauses of the guard.
const (
	guardRetry  = 100 * time.Millisecond // before a disk that refuses is tried again, doubled up to
	guardRetry2 = 5 * time.Second
	guardAppend = 2 * time.Second        // for the log to take what came of a step; outputs wait no longer, wishes twice as long
	guardTidy   = 200 * time.Millisecond // of quiet, before the journal forgets what is in the log
	guardLook   = time.Minute            // at most between two looks at the clock, which somebody may set
	guardHangs  = 2 * time.Minute        // a step takes so long only if something hangs
)

// Bounds of the guard.
const (
	guardQueue   = 256      // words and wishes that wait
	guardBatch   = 64       // of them share one sync of the journal and one of the log
	guardPending = 1024     // events that wait for a log that refuses; then the oldest that are no alarms go
	guardKept    = 2 << 20  // the same, bytes of their records: with all else they stay below maxJournal
	guardBytes   = 64 << 10 // of records in one append
	guardReads   = 5        // runs that begin with a journal that the disk does not give, before it is taken for damaged
)

// guard runs the machine of arming: every word of a zone that belongs to a partition and every wish goes through it. What a
// step decides is on disk before any output acts, and a repeat of a word that was stepped is not stepped again.
type guard struct {
	plan    arming.Plan
	zones   map[string]bool // that belong to a partition
	in      *intake
	file    *journalFile
	veil    *veil
	driver  outputDriver
	instant func() arming.Instant
	log     *slog.Logger
	asks    chan *ask
	shown   atomic.Pointer[arming.View]
	busy    atomic.Int64 // Up at which the batch under way began; 0 = none is

	// Run alone uses these.
	machine *arming.Machine
	queue   []entry                // what is not in the log yet, in order
	owed    map[string]event.Draft // by zone: the word that is stepped and not in the log
	acts    []arming.Output        // that wait for the journal
	saved   bool                   // the journal on disk is that of the machine, and waits for nothing
	facts   int                    // told by the guard itself in this run
	unread  int                    // runs that began with a journal that the disk did not give
	behind  time.Duration          // pause before the disk is tried again; 0 = it has taken all
}

// ask is one thing for the guard to do; exactly one of word, wish and fact is set.
type ask struct {
	word *event.Draft // a zone's zone.changed
	wish arming.Input
	fact *event.Draft // to be stored as if a step had decided it; nobody waits for it
	err  error        // of the step
	done chan error   // one place

	begun atomic.Bool // the guard has it, or nobody waits for it any more: who sets it first decides
}

// entry is a stamped event on its way into the log: a zone's word, which its driver keeps until it is told that it is on disk, or
// what a step has decided, which the journal keeps.
type entry struct {
	draft event.Draft
	word  *ask // nil = decided
	size  int  // of the record of what is decided
}

// errBusy is what a wish gets that waits behind a disk.
var errBusy = errors.New("the disk has not taken it yet")

// Word is how a zone's event is told to the machine.
func wordOf(d event.Draft) arming.Word {
	w := arming.Word{Zone: d.Zone, KernelNS: d.KernelNS, Once: d.Once}
	w.State, _ = d.Body.Text(event.TagState)
	w.Reason, _ = d.Body.Text(event.TagReason)
	w.LineSeq, _ = d.Body.Uint(event.TagLineSeq)
	return w
}

// severityOf is the severity of a guarded zone's word: the machine says what is an alarm.
func severityOf(state string) event.Severity {
	if state == "normal" || state == "active" {
		return event.SeverityNotice
	}
	return event.SeverityWarning
}

// store is the Sink for zones of partitions: nil means that the word is in the log, or in the journal while the log refuses, and that
// whatever it led to is, too.
func (g *guard) store(ctx context.Context, d event.Draft) error {
	w := wordOf(d)
	d.Severity = severityOf(w.State)
	if err := g.ask(ctx, &ask{word: &d}); err != nil {
		return fmt.Errorf("storing %s of %s: %w", d.Kind, d.Source, err)
	}
	return nil
}

// do has a wish done. A *arming.Refusal says why it was not; any other error that it is not on disk.
func (g *guard) do(ctx context.Context, wish arming.Input) error { return g.ask(ctx, &ask{wish: wish}) }

// tell has an event of the guard's own stored some time; it does not wait.
func (g *guard) tell(d event.Draft) {
	select {
	case g.asks <- &ask{fact: &d, done: make(chan error, 1)}:
	default:
		g.log.Error("an event of the guard is lost: the disk is too far behind", "kind", d.Kind, "source", d.Source)
	}
}

func (g *guard) ask(ctx context.Context, a *ask) error {
	a.done = make(chan error, 1)
	select {
	case g.asks <- a:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errBusy, ctx.Err())
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		a.begun.Store(true) // a wish that has not begun is not done later, when nobody expects it
		return fmt.Errorf("%w: %w", errBusy, ctx.Err())
	}
}

// view is how the partitions are, as far as the disk has it.
func (g *guard) view() arming.View {
	if v := g.shown.Load(); v != nil {
		return *v
	}
	return arming.View{}
}

// run begins where the journal ends and works until ctx does. After a panic the supervisor has it begin again.
func (g *guard) run(ctx context.Context) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(g.wait())
		select {
		case <-ctx.Done():
			return nil
		case a := <-g.asks:
			g.work(ctx, g.gather(a))
		case <-timer.C:
			g.work(ctx, nil)
		}
	}
}

// well is how the watchdog asks: a guard that has worked on one batch for too long hangs, or its disk does, and nobody can arm.
func (g *guard) well(context.Context) error {
	if since := time.Duration(g.busy.Load()); since != 0 && g.instant().Up-since > guardHangs {
		return fmt.Errorf("arming has worked on one step for %s", (g.instant().Up - since).Round(time.Second))
	}
	return nil
}

// gather adds what else waits, so that it shares the syncs.
func (g *guard) gather(a *ask) []*ask {
	batch := []*ask{a}
	for len(batch) < guardBatch {
		select {
		case a := <-g.asks:
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

// wait is how long the guard may sleep.
func (g *guard) wait() time.Duration {
	d := guardLook
	if due, ok := g.machine.Due(g.instant()); ok {
		d = min(d, max(due, 0))
	} else if g.behind == 0 && g.saved {
		d = 24 * time.Hour // nothing but an ask changes anything
	}
	if g.behind > 0 {
		return min(d, g.behind)
	}
	if !g.saved {
		return min(d, guardTidy)
	}
	return d
}

// begin restores the machine and does what the run before has left.
func (g *guard) begin(ctx context.Context) (err error) {
	g.queue, g.owed, g.acts, g.saved, g.behind = nil, map[string]event.Draft{}, nil, false, 0
	damage := g.restore()
	if damage != nil && !errors.Is(damage, errJournal) && !errors.Is(damage, arming.ErrJournal) {
		if g.unread++; g.unread < guardReads {
			return damage // the disk may give it the next time
		}
	}
	g.unread = 0
	if damage != nil {
		if g.machine, err = arming.New(g.plan); err == nil {
			err = g.machine.Restore(nil, g.instant())
		}
		if err != nil {
			return fmt.Errorf("arming: %w", err)
		}
		g.damaged(damage)
	}
	if err := g.step(arming.Started{}); err != nil {
		return fmt.Errorf("arming: %w", err)
	}
	g.commit(ctx, nil)
	return nil
}

// restore reads the journal into a new machine.
func (g *guard) restore() error {
	j, err := g.file.load()
	if err != nil {
		return err
	}
	if j.Machine == nil && g.file.path != "" && g.wasArmed() {
		return fmt.Errorf("%w: it is gone", errJournal)
	}
	var queue []entry
	for _, p := range j.Pending {
		d, err := p.draft()
		if err != nil {
			return err
		}
		queue = append(queue, entry{draft: d, size: len(p.Record)})
	}
	if g.machine, err = arming.New(g.plan); err != nil {
		return err
	}
	if err := g.machine.Restore(j.Machine, g.instant()); err != nil {
		return err
	}
	g.queue = queue
	return nil
}

// work does a batch of asks, and what time has brought; nobody else steps the machine.
func (g *guard) work(ctx context.Context, batch []*ask) {
	g.busy.Store(max(1, int64(g.instant().Up)))
	defer func() {
		g.busy.Store(0)
		for _, a := range batch {
			a.answer(errBusy) // only where a panic goes through here
		}
	}()
	if due, ok := g.machine.Due(g.instant()); ok && due <= 0 {
		if err := g.step(arming.Tick{}); err != nil {
			g.log.Error("arming", "err", err)
		}
	}
	for _, a := range batch {
		switch {
		case a.fact != nil:
			g.add(*a.fact)
		case a.wish != nil:
			if a.err = errBusy; a.begun.CompareAndSwap(false, true) {
				a.err = g.step(a.wish)
			}
		default:
			a.err = g.hear(a)
		}
	}
	g.commit(ctx, batch)
}

// answer ends an ask; only the first answer counts.
func (a *ask) answer(err error) {
	select {
	case a.done <- err:
	default:
	}
}

// hear steps a zone's word, unless the driver tells again what was stepped and not stored.
func (g *guard) hear(a *ask) error {
	if was, ok := g.owed[a.word.Zone]; ok && sameWord(was, *a.word) {
		g.queue = append(g.queue, entry{draft: was, word: a})
		return nil
	}
	d := g.in.clock.stamp(*a.word)
	if _, err := keep(d); err != nil { // or it would hold up all that comes with it
		return err
	}
	delete(g.owed, d.Zone)
	g.queue = append(g.queue, entry{draft: d, word: a})
	if err := g.step(wordOf(d)); err != nil {
		g.log.Error("arming does not understand a zone's word", "zone", d.Zone, "err", err)
	}
	return nil
}

// sameWord says whether a driver tells the same again. It tells the words of a zone in order, each until it is stored.
func sameWord(was, now event.Draft) bool {
	return was.KernelNS == now.KernelNS && was.Once == now.Once && was.Qualifier == now.Qualifier && was.Source == now.Source &&
		slices.Equal(was.Body, now.Body)
}

// step has the machine decide, and notes what it asks for.
func (g *guard) step(in arming.Input) error {
	effects, err := g.machine.Step(in, g.instant())
	for _, e := range effects {
		if e.Output != nil {
			g.acts = append(g.acts, *e.Output)
		}
		if e.Event != nil {
			g.add(*e.Event)
		}
	}
	return err
}

// add notes an event that is to be stored.
func (g *guard) add(d event.Draft) {
	if d.Once == "" {
		d.Once = g.key()
	}
	d = g.in.clock.stamp(d)
	p, err := keep(d)
	if err != nil {
		g.log.Error("an event of arming cannot be stored", "err", err)
		return
	}
	g.queue = append(g.queue, entry{draft: d, size: len(p.Record)})
	g.giveUp()
}

// key is a Once key that nothing else ever has.
func (g *guard) key() string {
	now := g.instant()
	g.facts++
	return fmt.Sprintf("guard/%08x%x.%d", now.Boot, int64(now.Up), g.facts)
}

// giveUp drops the oldest decided events beyond what may wait: first what is no alarm.
func (g *guard) giveUp() {
	count, size := 0, 0
	for _, e := range g.queue {
		if count, size = count+1, size+e.size; e.word != nil {
			count--
		}
	}
	for count > guardPending || size > guardKept {
		drop := slices.IndexFunc(g.queue, func(e entry) bool { return e.word == nil && e.draft.Severity < event.SeverityAlarm })
		if drop < 0 {
			drop = slices.IndexFunc(g.queue, func(e entry) bool { return e.word == nil })
		}
		if d := g.queue[drop].draft; !d.Kind.Silent() {
			g.log.Error("an event of arming is given up: too many wait for the log", "kind", d.Kind, "at", d.At)
		}
		count, size = count-1, size-g.queue[drop].size
		g.queue = slices.Delete(g.queue, drop, drop+1)
	}
}
