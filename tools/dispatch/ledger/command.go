package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"watchpost/uplink/topic"
)

// Command is a wish to a station that has not been answered: it is sent again each time the station comes online, under the
// same id, until it is answered or expires.
type Command struct {
	ID      string
	Address topic.Address
	Kind    string
	Body    json.RawMessage
	Expires time.Time
}

// Put keeps a new open command, and closes those whose time has passed.
func (l *Ledger) Put(ctx context.Context, c Command, now time.Time) error {
	return l.write(ctx, "keeping command "+c.ID, func(tx *sql.Tx) (bool, error) {
		if _, err := tx.ExecContext(ctx, "UPDATE command SET state = 'expired' WHERE state = 'open' AND expires <= ?", nanos(now)); err != nil {
			return false, err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO command (id, station, kind, body, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
			c.ID, c.Address.Station, c.Kind, []byte(c.Body), nanos(now), nanos(c.Expires))
		return false, err
	})
}

// Commands lists a station's open commands that have not expired, oldest first.
func (l *Ledger) Commands(ctx context.Context, a topic.Address, now time.Time) ([]Command, error) {
	rows, err := l.r.QueryContext(ctx, `SELECT id, kind, body, expires FROM command
		WHERE station = ? AND state = 'open' AND expires > ? ORDER BY created`, a.Station, nanos(now))
	if err != nil {
		return nil, fmt.Errorf("reading the open commands of %s: %w", a.Station, err)
	}
	defer rows.Close()
	var out []Command
	for rows.Next() {
		c := Command{Address: a}
		var body []byte
		var expires int64
		if err := rows.Scan(&c.ID, &c.Kind, &body, &expires); err != nil {
			return nil, fmt.Errorf("reading the open commands of %s: %w", a.Station, err)
		}
		c.Body, c.Expires = body, fromNanos(expires)
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the open commands of %s: %w", a.Station, err)
	}
	return out, nil
}

// Answered closes the command that a station's reply names. known is false when that station has no such open command: a
// repeated reply, or one to a command that has expired.
func (l *Ledger) Answered(ctx context.Context, a topic.Address, r topic.Reply, now time.Time) (known bool, err error) {
	b, err := json.Marshal(r)
	if err != nil {
		return false, fmt.Errorf("encoding the reply to %s: %w", r.ID, err)
	}
	state := "done"
	if !r.OK {
		state = "refused"
	}
	err = l.write(ctx, "keeping the reply to "+r.ID, func(tx *sql.Tx) (bool, error) {
		res, err := tx.ExecContext(ctx, "UPDATE command SET state = ?, reply = ?, answered = ? WHERE id = ? AND station = ? AND state = 'open'",
			state, b, nanos(now), r.ID, a.Station)
		if err != nil {
			return false, err
		}
		n, err := res.RowsAffected()
		known = n > 0
		return false, err
	})
	return known, err
}

// Withdraw closes a command that nobody waits for any more, so that it is not sent again.
func (l *Ledger) Withdraw(ctx context.Context, id string) error {
	return l.write(ctx, "withdrawing command "+id, func(tx *sql.Tx) (bool, error) {
		_, err := tx.ExecContext(ctx, "UPDATE command SET state = 'expired' WHERE id = ? AND state = 'open'", id)
		return false, err
	})
}
