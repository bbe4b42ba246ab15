package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"watchpost/storage/event"
)

// Viewing is the centre's own record of who asked to see which camera, what for, and what came of it. The station keeps
// another in its event log.
type Viewing struct {
	ID, Station, Camera, Profile string
	Purpose, Who                 string
	Asked, Began, Ended          time.Time
	Outcome                      string // asked, live, closed, or the kind of problem that refused it
}

// Ask records a viewing before the station hears of it: no record, no request.
func (l *Ledger) Ask(ctx context.Context, v Viewing) error {
	return l.write(ctx, "recording viewing "+v.ID, func(tx *sql.Tx) (bool, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO viewing (id, station, camera, profile, purpose, who, asked) VALUES (?, ?, ?, ?, ?, ?, ?)",
			v.ID, v.Station, v.Camera, v.Profile, v.Purpose, v.Who, nanos(v.Asked))
		return false, err
	})
}

// Began records that the station gave the picture.
func (l *Ledger) Began(ctx context.Context, id string, now time.Time) error {
	return l.outcome(ctx, "UPDATE viewing SET began = ?, outcome = 'live' WHERE id = ? AND ended = 0", id, nanos(now))
}

// Ended records the end of a viewing: "closed", or why it never began.
func (l *Ledger) Ended(ctx context.Context, id, outcome string, now time.Time) error {
	return l.outcome(ctx, "UPDATE viewing SET ended = ?, outcome = ? WHERE id = ? AND ended = 0", id, nanos(now), outcome)
}

// viewingClosed ends the record of a viewing whose station says that it has ended: its browser may have gone without a word.
func viewingClosed(ctx context.Context, tx *sql.Tx, e event.Event, received time.Time) error {
	id, _ := e.Body.Text(event.TagViewing)
	_, err := tx.ExecContext(ctx, "UPDATE viewing SET ended = ?, outcome = 'closed' WHERE id = ? AND station = ? AND ended = 0",
		nanos(received), id, e.Station)
	return err
}

func (l *Ledger) outcome(ctx context.Context, query, id string, args ...any) error {
	return l.write(ctx, "recording the course of viewing "+id, func(tx *sql.Tx) (bool, error) {
		_, err := tx.ExecContext(ctx, query, append(args, id)...)
		return false, err
	})
}

// Viewing is one viewing by id; ErrNotFound if there is none.
func (l *Ledger) Viewing(ctx context.Context, id string) (Viewing, error) {
	v := Viewing{ID: id}
	var asked, began, ended int64
	err := l.r.QueryRowContext(ctx, "SELECT station, camera, profile, purpose, who, asked, began, ended, outcome FROM viewing WHERE id = ?", id).
		Scan(&v.Station, &v.Camera, &v.Profile, &v.Purpose, &v.Who, &asked, &began, &ended, &v.Outcome)
	if errors.Is(err, sql.ErrNoRows) {
		return v, fmt.Errorf("viewing %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return v, fmt.Errorf("reading viewing %q: %w", id, err)
	}
	v.Asked, v.Began, v.Ended = fromNanos(asked), fromNanos(began), fromNanos(ended)
	return v, nil
}

// Live lists the viewings that have begun and not ended, newest first.
func (l *Ledger) Live(ctx context.Context) ([]Viewing, error) {
	rows, err := l.r.QueryContext(ctx, "SELECT id FROM viewing WHERE outcome = 'live' ORDER BY asked DESC LIMIT 256")
	if err != nil {
		return nil, fmt.Errorf("reading the viewings: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("reading the viewings: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the viewings: %w", err)
	}
	out := make([]Viewing, 0, len(ids))
	for _, id := range ids {
		v, err := l.Viewing(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
