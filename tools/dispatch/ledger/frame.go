package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// Arrival is a frame that came in from an enrolled station.
type Arrival struct {
	Address  topic.Address
	Frame    topic.Frame
	Received time.Time
}

// Outcome is what became of an arrival: the verdict of the chain rule, the chain head that a receipt may now state, and how
// many events were stored.
type Outcome struct {
	Verdict topic.Verdict
	Head    uint64
	Stored  int
}

// Store commits arrivals in one transaction: events and chain heads together, alarms with their card. When it returns without
// an error the outcomes are on disk. Outcomes stand in the order of the arrivals.
func (l *Ledger) Store(ctx context.Context, arrivals []Arrival) ([]Outcome, error) {
	var out []Outcome
	err := l.write(ctx, "storing events", func(tx *sql.Tx) (bool, error) {
		// The transaction is short, and a statement that can be interrupted costs the driver a goroutine each time.
		ctx := context.WithoutCancel(ctx)
		e := l.entry(tx)
		out = out[:0]
		for _, a := range arrivals {
			o, err := e.frame(ctx, a)
			if err != nil {
				return false, fmt.Errorf("of station %s: %w", a.Address.Station, err)
			}
			out = append(out, o)
		}
		return e.news, e.finish(ctx)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// chain names one lane of one life of a station's log.
type chain struct {
	station string
	epoch   event.Epoch
	lane    event.Lane
}

// entry is one transaction that stores frames. Heads and last words are written once, at its end.
type entry struct {
	tx     *sql.Tx
	store  storing
	chains map[chain]uint64
	moved  map[chain]time.Time
	words  map[string]time.Time // of the stations that moved a chain
	news   bool
}

func (l *Ledger) entry(tx *sql.Tx) *entry {
	return &entry{tx: tx, store: l.store, chains: make(map[chain]uint64), moved: make(map[chain]time.Time), words: make(map[string]time.Time)}
}

func (e *entry) frame(ctx context.Context, a Arrival) (Outcome, error) {
	c := chain{a.Address.Station, a.Frame.Epoch, a.Frame.Lane}
	head, err := e.head(ctx, c)
	if err != nil {
		return Outcome{}, err
	}
	verdict, fresh := topic.Accept(head, a.Frame)
	if verdict != topic.VerdictStore {
		return Outcome{Verdict: verdict, Head: head}, nil
	}
	if err := e.events(ctx, fresh, a.Received); err != nil {
		return Outcome{}, err
	}
	e.advance(c, a.Frame.Last(), a.Received)
	return Outcome{Verdict: verdict, Head: a.Frame.Last(), Stored: len(fresh)}, nil
}

func (e *entry) head(ctx context.Context, c chain) (head uint64, err error) {
	if head, ok := e.chains[c]; ok {
		return head, nil
	}
	err = e.tx.StmtContext(ctx, e.store.head).QueryRowContext(ctx, c.station, c.epoch[:], c.lane).Scan(&head)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	e.chains[c] = head
	return head, nil
}

func (e *entry) advance(c chain, head uint64, received time.Time) {
	e.chains[c], e.moved[c], e.words[c.station] = head, received, received
}

func (e *entry) finish(ctx context.Context) error {
	for c, at := range e.moved {
		if _, err := e.tx.StmtContext(ctx, e.store.advance).ExecContext(ctx, c.station, c.epoch[:], c.lane, e.chains[c], nanos(at)); err != nil {
			return err
		}
	}
	for station, at := range e.words {
		if _, err := e.tx.StmtContext(ctx, e.store.word).ExecContext(ctx, nanos(at), station); err != nil {
			return err
		}
	}
	return nil
}

// events inserts a run of one station's events and does what follows from each.
func (e *entry) events(ctx context.Context, es []event.Event, received time.Time) error {
	row, err := e.rows(ctx, es, received)
	if err != nil {
		return err
	}
	for i, ev := range es {
		news, err := follow(ctx, e.tx, ev, row+int64(i), received)
		if err != nil {
			return fmt.Errorf("event %s: %w", ev.Name(), err)
		}
		e.news = e.news || news
	}
	return nil
}

// follow does what an event that has been stored as row asks for; news = somebody is to be told.
func follow(ctx context.Context, tx *sql.Tx, e event.Event, row int64, received time.Time) (news bool, err error) {
	switch {
	case e.Kind == event.KindViewingClosed:
		return false, viewingClosed(ctx, tx, e, received)
	case e.Qualifier == event.QualifierRestore:
		return restoreAlarms(ctx, tx, e, received)
	case e.Station == Centre && e.Qualifier == event.QualifierStatus:
		return continueAlarm(ctx, tx, e, row)
	case e.Severity != event.SeverityAlarm:
		return false, nil
	case e.Station == Centre:
		if known, err := returnAlarm(ctx, tx, e, row); err != nil || known {
			return known, err
		}
	case IsTest(e):
		return true, testStored(ctx, tx, e, row, received)
	case e.Kind == event.KindTestFailed && e.Station != Centre:
		err = testFailed(ctx, tx, e, received)
	case e.Kind == event.KindZoneChanged || e.Kind == event.KindPanelEvent || e.Kind == event.KindAlarmRaised || e.Kind == event.KindDuress:
		_, err = tx.ExecContext(ctx, "UPDATE station SET threat = ? WHERE id = ?", row, e.Station)
	}
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO alarm (event, place) VALUES (?, ?)", row, place(e)); err != nil {
		return false, err
	}
	return true, tell(ctx, tx, row)
}

// restoreAlarms marks the open alarms of e's place that came before e as restored at their source; they stay open until
// somebody acknowledges them. Lanes overtake one another, so "before" is by seq, not by arrival. Of the centre's own alarms
// the acknowledged ones are marked too: whether they are restored is how the centre knows what it has told.
func restoreAlarms(ctx context.Context, tx *sql.Tx, e event.Event, at time.Time) (bool, error) {
	return changeAlarms(ctx, tx, `SELECT alarm.event FROM alarm JOIN event ON event.id = alarm.event
		WHERE place = ? AND (closed = 0 OR station = ?) AND restored = 0 AND (epoch <> ? OR seq < ?)`,
		[]any{place(e), Centre, e.Epoch[:], e.Seq}, "UPDATE alarm SET restored = ? WHERE event = ?", nanos(at))
}

// continueAlarm notes that an alarm of the centre that still stands has a newer event: row.
func continueAlarm(ctx context.Context, tx *sql.Tx, e event.Event, row int64) (bool, error) {
	return changeAlarms(ctx, tx, "SELECT event FROM alarm WHERE place = ? AND restored = 0", []any{place(e)},
		"UPDATE alarm SET latest = ? WHERE event = ?", row)
}

// returnAlarm takes up the card of an alarm of the centre that had ended, and that nobody has acknowledged, when the same comes
// back: a station that comes and goes fills no queue. What has become more urgent meanwhile gets a card of its own.
func returnAlarm(ctx context.Context, tx *sql.Tx, e event.Event, row int64) (bool, error) {
	rows, err := tx.QueryContext(ctx, "SELECT event.id, record FROM alarm JOIN event ON event.id = alarm.event WHERE place = ? AND closed = 0", place(e))
	if err != nil {
		return false, err
	}
	card := int64(0)
	for rows.Next() {
		var id int64
		var record []byte
		if err := rows.Scan(&id, &record); err != nil {
			return false, errors.Join(err, rows.Close())
		}
		first, err := event.DecodeRecord(Centre, e.Epoch, record)
		if err != nil {
			return false, errors.Join(err, rows.Close())
		}
		if sameWhy(first, e) {
			card = id
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || card == 0 {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE alarm SET restored = 0, latest = ? WHERE event = ?", row, card); err != nil {
		return false, err
	}
	return true, tell(ctx, tx, card)
}

// sameWhy reports whether two facts of one place have the same reason and the same stage.
func sameWhy(a, b event.Event) bool {
	for _, tag := range []event.Tag{event.TagReason, event.TagStage} {
		x, _ := a.Body.Text(tag)
		if y, _ := b.Body.Text(tag); x != y {
			return false
		}
	}
	return true
}

// changeAlarms sets value in the alarms that a query finds, and tells the feed of each.
func changeAlarms(ctx context.Context, tx *sql.Tx, query string, args []any, update string, value int64) (bool, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return false, errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return false, err
	}
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, update, value, id); err != nil {
			return false, err
		}
		if err := tell(ctx, tx, id); err != nil {
			return false, err
		}
	}
	return len(ids) > 0, nil
}

// place is where an alarm is, so that a restore finds it: one station, one source, one zone.
func place(e event.Event) string { return e.Station + "\x00" + e.Source + "\x00" + e.Zone }

// tell appends to the feed that an alarm or a test is new or has changed.
func tell(ctx context.Context, tx *sql.Tx, event int64) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO feed (event) VALUES (?)", event)
	return err
}
