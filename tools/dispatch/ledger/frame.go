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
		out = out[:0]
		news := false
		for _, a := range arrivals {
			o, alarm, err := storeFrame(ctx, tx, a)
			if err != nil {
				return false, fmt.Errorf("of station %s: %w", a.Address.Station, err)
			}
			out, news = append(out, o), news || alarm
		}
		return news, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func storeFrame(ctx context.Context, tx *sql.Tx, a Arrival) (o Outcome, alarm bool, err error) {
	f, station := a.Frame, a.Address.Station
	err = tx.QueryRowContext(ctx, "SELECT head FROM chain WHERE station = ? AND epoch = ? AND lane = ?",
		station, f.Epoch[:], f.Lane).Scan(&o.Head)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return o, false, err
	}
	verdict, fresh := topic.Accept(o.Head, f)
	o.Verdict = verdict
	if verdict != topic.VerdictStore {
		return o, false, nil
	}
	for _, e := range fresh {
		raised, err := storeEvent(ctx, tx, e, a.Received)
		if err != nil {
			return o, false, err
		}
		alarm = alarm || raised
	}
	o.Head, o.Stored = f.Last(), len(fresh)
	_, err = tx.ExecContext(ctx, `INSERT INTO chain VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (station, epoch, lane) DO UPDATE SET head = excluded.head, touched = excluded.touched`,
		station, f.Epoch[:], f.Lane, o.Head, nanos(a.Received))
	if err != nil {
		return o, false, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE station SET last_word = max(last_word, ?) WHERE id = ?", nanos(a.Received), station)
	return o, alarm, err
}

func storeEvent(ctx context.Context, tx *sql.Tx, e event.Event, received time.Time) (alarm bool, err error) {
	record, err := event.AppendRecord(nil, e)
	if err != nil {
		return false, err
	}
	res, err := tx.ExecContext(ctx, "INSERT INTO event (station, epoch, seq, received, record) VALUES (?, ?, ?, ?, ?)",
		e.Station, e.Epoch[:], e.Seq, nanos(received), record)
	if err != nil {
		return false, fmt.Errorf("event %s: %w", e.Name(), err)
	}
	if e.Kind == event.KindViewingClosed {
		return false, viewingClosed(ctx, tx, e, received)
	}
	if e.Qualifier == event.QualifierRestore {
		return restoreAlarms(ctx, tx, e, received)
	}
	if e.Severity != event.SeverityAlarm {
		return false, nil
	}
	id, err := res.LastInsertId()
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO alarm (event, place) VALUES (?, ?)", id, place(e)); err != nil {
		return false, err
	}
	return true, tell(ctx, tx, id)
}

// restoreAlarms marks the open alarms of e's place that came before e as restored at their source; they stay open until
// somebody acknowledges them. Lanes overtake one another, so "before" is by seq, not by arrival.
func restoreAlarms(ctx context.Context, tx *sql.Tx, e event.Event, at time.Time) (bool, error) {
	rows, err := tx.QueryContext(ctx, `SELECT alarm.event FROM alarm JOIN event ON event.id = alarm.event
		WHERE place = ? AND closed = 0 AND restored = 0 AND (epoch <> ? OR seq < ?)`, place(e), e.Epoch[:], e.Seq)
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
		if _, err := tx.ExecContext(ctx, "UPDATE alarm SET restored = ? WHERE event = ?", nanos(at), id); err != nil {
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

// tell appends to the feed that an alarm is new or has changed.
func tell(ctx context.Context, tx *sql.Tx, event int64) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO feed (event) VALUES (?)", event)
	return err
}
