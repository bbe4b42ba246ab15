package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// write is the writer: it takes what is queued and commits it, until the log is closed.
func (l *Log) write() {
	defer close(l.stopped)
	for {
		var first *request
		if first, l.carry = l.carry, nil; first == nil {
			select {
			case first = <-l.queue:
			case <-l.kick:
			case <-l.quit:
				l.drain()
				return
			}
		}
		if first.alone() {
			if first.drop != nil {
				first.answer(l.drop(first))
			} else {
				first.answer(l.again(first.again))
			}
			continue
		}
		if l.level0.Load() >= crowded && !first.hurries() {
			l.holdUp()
		}
		l.commit(l.collect(first))
	}
}

// holdUp gives merging a moment, unless an alarm comes.
func (l *Log) holdUp() {
	signal(l.chores)
	select {
	case <-l.done:
	case <-l.urgent:
	case <-time.After(heldUp):
	case <-l.quit:
	}
}

// drain answers whoever came too late.
func (l *Log) drain() {
	for {
		select {
		case r := <-l.queue:
			r.answer(ErrClosed)
		default:
			return
		}
	}
}

// collect makes a batch of first (nil = none) and what else is queued by now.
func (l *Log) collect(first *request) *batch {
	b := l.newBatch()
	l.ready(b)
	for r := first; ; {
		if r != nil && (r.alone() || !b.take(r)) {
			l.carry = r
			return b
		}
		select {
		case r = <-l.queue:
		default:
			return b
		}
	}
}

// ready finds out what the log can take now, and puts what it has to say itself at the front of the batch.
func (l *Log) ready(b *batch) {
	if b.refuse = l.broken(); b.refuse != nil {
		b.blocked = b.refuse
		if errors.Is(b.refuse, ErrFull) {
			l.sayFull(true)
		}
		return
	}
	ok, err := l.roomFor(roomToAppend)
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrFailed) {
		b.refuse, b.blocked = err, err
		return
	}
	l.sayFull(!ok)
	if l.short() {
		signal(l.chores)
	}
	if ok {
		b.tell(l.toTell(), &l.refused)
		return
	}
	b.refuse = fmt.Errorf("%w: the disk of %s has less than %d bytes to spare beside the reserve of %d, or is filling fast: free some space",
		ErrFull, l.opt.Dir, int64(roomToAppend), l.opt.ReserveBytes)
	if err != nil {
		b.refuse = fmt.Errorf("%w: free some space: %w", ErrFull, err)
	}
	if ok, _ = l.roomFor(roomToMark); ok {
		b.tell(l.toTell(), nil)
	} else {
		b.blocked = b.refuse
	}
}

// broken is why the log can take nothing at all, not even a cursor.
func (l *Log) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return l.failure
	}
	if l.wal.short {
		if err := l.wal.grow(); err != nil {
			return fmt.Errorf("%w: free some space: %w", ErrFull, err)
		}
	}
	return nil
}

func (l *Log) toTell() []hole {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.untold)
}

// sayFull logs each change between full and not, once.
func (l *Log) sayFull(full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if full == l.full {
		return
	}
	l.full = full
	if full {
		l.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: disk full, events are refused: free some space", slog.String("dir", l.opt.Dir))
	} else {
		l.opt.Log.LogAttrs(context.Background(), slog.LevelInfo, "event log: room again, events are taken")
	}
}

// refusal counts what the full log refused, to tell it when there is room again.
type refusal struct {
	drafts uint64
	since  time.Time
}

func (r refusal) draft() event.Draft {
	return event.Draft{
		Kind: event.KindLogRefused, Qualifier: event.QualifierStatus, Source: "station", Severity: event.SeverityWarning,
		Body: event.NewBody(
			event.Text(event.TagReason, "disk full"), event.Uint(event.TagCount, r.drafts),
			event.Uint(event.TagFrom, uint64(r.since.UnixNano()))),
	}
}

// batch is what one commit stores.
type batch struct {
	log     *Log
	refuse  error // what drafts are answered, nil = they are taken
	blocked error // what cursors are answered, nil = they are taken

	staged
	requests []*request
	refused  bool
}

// staged is what grows while a batch is put together, and is taken back when a request turns out not to fit.
type staged struct {
	next    uint64
	tails   [laneSlots]tail
	entries []*badger.Entry
	bytes   int
	drafts  int
	once    []onceNote
	cursors []*request
	told    int // of log.untold
	holes   []hole
	gone    [laneSlots]gone
	dead    [][]byte // keys to delete
}

func (l *Log) newBatch() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &batch{log: l, staged: staged{next: l.next, tails: l.tails, gone: l.gone, holes: l.holes[:len(l.holes):len(l.holes)]}}
}

// tell stages what the log has to say itself.
func (b *batch) tell(holes []hole, refused *refusal) {
	for _, h := range holes {
		if b.tellHole(h) != nil {
			return
		}
		b.told++
	}
	if refused != nil && refused.drafts > 0 {
		_, err := b.stageOwn(refused.draft())
		b.refused = err == nil
	}
}

// stageOwn stages an event of the log's own.
func (b *batch) stageOwn(d event.Draft) (seq uint64, err error) {
	d.At = b.log.opt.Now()
	a, err := b.stage(d)
	if err != nil {
		b.log.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: own event not stored", slog.Any("err", err))
	}
	return a.Seq, err
}

// take adds a request to the batch and reports whether it fitted. One that cannot be stored at all is answered here.
func (b *batch) take(r *request) bool {
	if !r.state.CompareAndSwap(requestWaits, requestTaken) && r.state.Load() == requestLeft {
		return true
	}
	switch {
	case r.upto > 0:
		return b.takeCursor(r)
	case r.evict != nil:
		return b.takeEviction(r)
	}
	if b.refuse != nil && !(errors.Is(b.refuse, ErrFull) && b.knowsAll(r)) {
		b.turnAway(r)
		return true
	}
	before := b.staged
	for _, d := range r.drafts {
		a, err := b.stage(d)
		if err != nil {
			b.staged, r.got = before, nil
			r.answer(err)
			return true
		}
		r.got = append(r.got, a)
	}
	if b.drafts <= MaxDrafts && b.bytes <= MaxAppend {
		b.requests = append(b.requests, r)
		return true
	}
	size := b.bytes - before.bytes
	b.staged, r.got = before, nil
	if size <= MaxAppend {
		return false
	}
	r.answer(fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, MaxAppend))
	return true
}

func (b *batch) turnAway(r *request) {
	if errors.Is(b.refuse, ErrFull) {
		if b.log.refused.drafts == 0 {
			b.log.refused.since = b.log.opt.Now()
		}
		b.log.refused.drafts += uint64(len(r.drafts))
		b.log.mu.Lock()
		b.log.refuses += uint64(len(r.drafts))
		b.log.mu.Unlock()
	}
	r.answer(b.refuse)
}

// knowsAll reports whether all of a request is stored already, which a full log can say as well.
func (b *batch) knowsAll(r *request) bool {
	for _, d := range r.drafts {
		if _, ok := b.findOnce(d.Source, d.Once); !ok || d.Once == "" {
			return false
		}
	}
	return true
}

func (b *batch) takeCursor(r *request) bool {
	if b.blocked != nil {
		r.answer(b.blocked)
		return true
	}
	if len(b.cursors) >= MaxDrafts {
		return false
	}
	b.cursors = append(b.cursors, r)
	b.requests = append(b.requests, r)
	return true
}

func (b *batch) takeEviction(r *request) bool {
	if b.blocked != nil {
		r.answer(b.blocked)
		return true
	}
	before := b.staged
	if err := b.evict(*r.evict); err != nil {
		b.staged = before
		r.answer(err)
		return true
	}
	if b.bytes > MaxAppend && before.bytes > 0 {
		b.staged = before
		return false
	}
	b.requests = append(b.requests, r)
	return true
}

// stage gives a draft its place, unless its Once key is known.
func (b *batch) stage(d event.Draft) (Appended, error) {
	if d.Once != "" {
		if known, ok := b.findOnce(d.Source, d.Once); ok {
			return Appended{Seq: known.seq, Lane: known.lane, Repeat: true}, nil
		}
	}
	e := d.Event(b.log.opt.Station, b.log.epoch, b.next)
	if int(e.Lane) >= laneSlots {
		return Appended{}, fmt.Errorf("appending event %s of %s: no lane %d", d.Kind, d.Source, e.Lane)
	}
	key := eventKey(e.Lane, e.Seq)
	value, after, err := appendValue(nil, b.tails[e.Lane], e)
	if err != nil {
		return Appended{}, fmt.Errorf("appending: %w", err)
	}
	b.next++
	b.tails[e.Lane] = after
	b.drafts++
	b.add(key, seal(key, value))
	if d.Once != "" {
		note := onceNote{d.Source, onceSlot{key: d.Once, lane: e.Lane, seq: e.Seq, n: b.nthOnce(d.Source)}}
		b.once = append(b.once, note)
		b.add(note.entry())
	}
	return Appended{Seq: e.Seq, Lane: e.Lane}, nil
}

func (b *batch) add(key, value []byte) {
	b.entries = append(b.entries, badger.NewEntry(key, value))
	b.bytes += len(key) + len(value) + entryExtra
}

func (b *batch) findOnce(source, key string) (onceSlot, bool) {
	for _, n := range b.once {
		if n.source == source && n.slot.key == key {
			return n.slot, true
		}
	}
	return b.log.once.find(source, key)
}

func (b *batch) nthOnce(source string) uint64 {
	n := b.log.once.nth(source)
	for _, note := range b.once {
		if note.source == source {
			n++
		}
	}
	return n
}

// commit puts a batch on disk and answers its requests.
func (l *Log) commit(b *batch) {
	for name, upto := range b.newCursors() {
		key := cursorKey(name.centre, name.lane)
		b.entries = append(b.entries, badger.NewEntry(key, seal(key, laneKey(0, 0, upto)[2:])))
	}
	err := l.promise(b.next - 1)
	if err == nil {
		err = l.store(b)
	}
	if err == nil {
		l.settle(b)
	} else {
		err = l.fail(err)
	}
	for _, r := range b.requests {
		r.answer(err)
	}
	if err == nil && l.promise(b.next+seqStep/2) != nil { // ahead, so that nobody waits for it
		l.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "event log: no seqs promised ahead")
	}
}

// newCursors are the cursors that a batch moves. A request that came late and says less moves none back.
func (b *batch) newCursors() map[cursorName]uint64 {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	moved := make(map[cursorName]uint64, len(b.cursors))
	for _, r := range b.cursors {
		if r.upto > max(moved[r.centre], b.log.cursors[r.centre]) {
			moved[r.centre] = r.upto
		}
	}
	return moved
}

// promise makes sure that no restart gives a seq up to upto again.
func (l *Log) promise(upto uint64) error {
	h := l.keeper.now
	if upto <= h.promised {
		return nil
	}
	h.promised = upto + seqStep
	return errors.Join(l.keeper.write(h), l.keeper.sync())
}

// store writes a batch in one transaction and returns when it is on disk.
func (l *Log) store(b *batch) error {
	if len(b.entries) == 0 {
		return nil
	}
	l.dirty = true
	txn := l.db.NewTransaction(true)
	defer txn.Discard()
	for _, key := range b.dead {
		if err := txn.Delete(key); err != nil {
			return err
		}
	}
	for _, e := range b.entries {
		if err := txn.SetEntry(e); err != nil {
			return err
		}
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	return l.synced()
}

// synced makes what Badger was given last lasting. A transaction stands in one file whole.
func (l *Log) synced() error {
	turned, err := l.wal.follow()
	if err != nil {
		return err
	}
	if err := l.wal.sync(); err != nil {
		return err
	}
	if turned {
		l.turn()
	}
	return nil
}

// drop takes keys out of Badger, tables whole where it can. Badger takes no commit meanwhile: it writes what its memtable has
// to a table, merges level 0, and writes the tables at the ends of the range anew.
func (l *Log) drop(r *request) error {
	if err := l.broken(); err != nil {
		return err
	}
	if ok, err := l.roomFor(roomToMerge); err != nil || !ok {
		return errors.Join(ErrFull, err)
	}
	l.dirty = true
	r.held = l.hold()
	err := l.db.DropPrefix(r.drop)
	if err == nil {
		err = l.synced()
	}
	if err != nil {
		return l.fail(err)
	}
	return nil
}

// again stores what was stored before.
func (l *Log) again(entries []*badger.Entry) error {
	if err := l.store(&batch{staged: staged{entries: entries}}); err != nil {
		return l.fail(err)
	}
	return nil
}

// turn gets the next memtable's log ready when a commit has begun a new one.
func (l *Log) turn() {
	if err := l.wal.grow(); err != nil {
		l.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "event log: next file not allocated", slog.Any("err", err))
	}
	if err := l.keeper.sync(); err != nil {
		l.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: heads not synced", slog.Any("err", err))
	}
	l.countLevel0()
	signal(l.chores)
}

// settle makes what is on disk known.
func (l *Log) settle(b *batch) {
	l.once.addAll(b.once)
	if b.refused {
		l.refused = refusal{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range b.cursors {
		l.cursors[r.centre] = max(l.cursors[r.centre], r.upto)
	}
	l.untold, l.holes, l.gone = l.untold[b.told:], b.holes, b.gone
	if b.next == l.next {
		return
	}
	l.next, l.tails = b.next, b.tails
	h := l.keeper.now
	h.last = lastOf(b.tails)
	if time.Since(l.opened) > calm {
		h.starts = 0 // what Badger does behind an opening is done
	}
	told := h.boot != l.opt.boot && len(l.untold) == 0
	if told {
		h.boot = l.opt.boot
	}
	err := l.keeper.write(h)
	if told && err == nil {
		err = l.keeper.sync()
	}
	if err != nil {
		l.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: heads not noted", slog.Any("err", err))
	}
	if slices.ContainsFunc(evictable(), func(lane event.Lane) bool { return l.over(lane) > 0 }) {
		signal(l.chores)
	}
	close(l.wake)
	l.wake = make(chan struct{})
}

// fail stops the log: after a failed sync nobody knows what is on disk, and a seq must not be given twice.
func (l *Log) fail(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = fmt.Errorf("%w: close it and open it again: %w", ErrFailed, cause)
	l.opt.Log.LogAttrs(context.Background(), slog.LevelError, "event log: write failed, no more events are taken", slog.Any("err", cause))
	return l.failure
}
