package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"watchpost/storage/event"
)

// IsTest reports whether an event is the alarm that a station's daily test has asked for: an alarm in everything, but for a
// person to answer. One of the same zone that nobody asked for is an alarm like any other.
func IsTest(e event.Event) bool {
	reason, _ := e.Body.Text(event.TagReason)
	state, _ := e.Body.Text(event.TagState)
	return e.Kind == event.KindZoneChanged && e.Qualifier == event.QualifierNew && e.Severity == event.SeverityAlarm && reason == event.ReasonTest && state == "active"
}

// Test is a station's last daily test alarm, and how far it came.
type Test struct {
	Event    event.Event
	Received time.Time
	Painted  time.Time // when a page said that it shows it; zero = none has
}

// testStored notes a station's new test.
func testStored(ctx context.Context, tx *sql.Tx, e event.Event, row int64, received time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO test (station, since, event, stored) VALUES (?1, ?2, ?3, ?2)
		ON CONFLICT (station) DO UPDATE SET event = excluded.event, stored = excluded.stored, painted = 0`, e.Station, nanos(received), row)
	if err != nil {
		return err
	}
	return tell(ctx, tx, row)
}

// testFailed notes that the station itself says that a test did not come through: the centre need not say it too.
func testFailed(ctx context.Context, tx *sql.Tx, e event.Event, received time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO test (station, since, failed) VALUES (?1, ?2, ?2)
		ON CONFLICT (station) DO UPDATE SET failed = excluded.failed`, e.Station, nanos(received))
	return err
}

// testClaimed notes when a station says that it tested last: at is zero if it does not say so of a test that came through.
func testClaimed(ctx context.Context, tx *sql.Tx, station string, at, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO test (station, since, claimed) VALUES (?, ?, ?)
		ON CONFLICT (station) DO UPDATE SET claimed = iif(excluded.claimed = 0, claimed, excluded.claimed)`, station, nanos(now), nanos(at))
	return err
}

// Painted notes that a page shows a test. To say it of a test that is not its station's last, or twice, changes nothing;
// ErrNotFound if there is no such event.
func (l *Ledger) Painted(ctx context.Context, k Key, now time.Time) error {
	return l.write(ctx, "noting that test "+k.String()+" is on a page", func(tx *sql.Tx) (bool, error) {
		var row int64
		err := tx.QueryRowContext(ctx, "SELECT id FROM event WHERE station = ? AND epoch = ? AND seq = ?", k.Station, k.Epoch[:], k.Seq).Scan(&row)
		if errors.Is(err, sql.ErrNoRows) {
			return false, ErrNotFound
		}
		if err != nil {
			return false, err
		}
		res, err := tx.ExecContext(ctx, "UPDATE test SET painted = ?1, confirmed = ?1 WHERE station = ?2 AND event = ?3 AND painted = 0", nanos(now), k.Station, row)
		if err != nil {
			return false, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return false, err
		}
		return true, tell(ctx, tx, row)
	})
}

// Tests lists each station's last test, by station; it has no entry for one that never tested.
func (l *Ledger) Tests(ctx context.Context) (map[string]Test, error) {
	return l.tests(ctx, "WHERE true")
}

func (l *Ledger) tests(ctx context.Context, where string, args ...any) (map[string]Test, error) {
	rows, err := l.r.QueryContext(ctx, `SELECT event.station, epoch, record, received, painted
		FROM test JOIN event ON event.id = test.event `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the tests: %w", err)
	}
	defer rows.Close()
	out := make(map[string]Test)
	for rows.Next() {
		var station string
		var epochBytes, record []byte
		var received, painted int64
		if err := rows.Scan(&station, &epochBytes, &record, &received, &painted); err != nil {
			return nil, fmt.Errorf("reading the tests: %w", err)
		}
		var epoch event.Epoch
		copy(epoch[:], epochBytes)
		e, err := event.DecodeRecord(station, epoch, record)
		if err != nil {
			return nil, fmt.Errorf("reading the tests: %w", err)
		}
		out[station] = Test{e, fromNanos(received), fromNanos(painted)}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the tests: %w", err)
	}
	return out, nil
}
