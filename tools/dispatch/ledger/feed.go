package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
)

// Change says that an alarm, or a station's last test, is new or has changed. Feed counts up, with leaps, and never repeats,
// across restarts too: whoever has seen Feed n and asks for what follows it misses nothing and sees nothing twice.
type Change struct {
	Feed  int64
	Alarm Alarm // as it stands now
	Test  *Test // nil = it is about an alarm
}

// Cursor is the feed's present end.
func (l *Ledger) Cursor(ctx context.Context) (int64, error) {
	var n int64
	if err := l.r.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM feed").Scan(&n); err != nil {
		return 0, fmt.Errorf("reading the feed: %w", err)
	}
	return n, nil
}

// leap moves the feed on by a random step each time the ledger is opened. So one that was restored from a backup does not give
// out the positions that were given before, and Gave can tell.
func leap(ctx context.Context, w *sql.DB) error {
	step := 1 + int64(rand.Uint32()) // a browser counts exactly up to 2^53: after millions of steps
	res, err := w.ExecContext(ctx, "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'feed'", step)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	_, err = w.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES ('feed', ?)", step)
	return err
}

// Gave reports whether a feed position is one that this ledger has told; 0, the beginning, always is. What follows one that is
// not means nothing: it was told before a backup was restored, or by another ledger.
func (l *Ledger) Gave(ctx context.Context, position int64) (bool, error) {
	var n int
	if err := l.r.QueryRowContext(ctx, "SELECT count(*) FROM feed WHERE id = ?", position).Scan(&n); err != nil {
		return false, fmt.Errorf("reading the feed: %w", err)
	}
	return n > 0 || position == 0, nil
}

// Follow reads at most limit changes after a feed position. Of several changes of one alarm only the last is told, since each
// tells the alarm as it stands now; next is the position after them.
func (l *Ledger) Follow(ctx context.Context, after int64, limit int) (changes []Change, next int64, err error) {
	rows, err := l.r.QueryContext(ctx, "SELECT max(id), event FROM (SELECT id, event FROM feed WHERE id > ? ORDER BY id LIMIT ?) GROUP BY event ORDER BY 1",
		after, limit)
	if err != nil {
		return nil, after, fmt.Errorf("reading the feed: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Change
		if err := rows.Scan(&c.Feed, &c.Alarm.Row); err != nil {
			return nil, after, fmt.Errorf("reading the feed: %w", err)
		}
		changes = append(changes, c)
	}
	if err := rows.Err(); err != nil {
		return nil, after, fmt.Errorf("reading the feed: %w", err)
	}
	next = after
	told := changes[:0]
	for _, c := range changes {
		next = c.Feed
		as, err := l.alarms(ctx, alarmColumns+"WHERE alarm.event = ?", c.Alarm.Row)
		if err != nil {
			return nil, after, err
		}
		if len(as) > 0 {
			told = append(told, Change{Feed: c.Feed, Alarm: as[0]})
			continue
		}
		tests, err := l.tests(ctx, "WHERE test.event = ?", c.Alarm.Row)
		if err != nil {
			return nil, after, err
		}
		for _, t := range tests { // one at most; none if a later test has taken its place
			told = append(told, Change{Feed: c.Feed, Test: &t})
		}
	}
	return told, next, nil
}

// Watch returns a channel that holds one token after the feed has grown, and the function that ends the watch.
func (l *Ledger) Watch() (stirred <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stirs[c] = struct{}{}
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.stirs, c)
	}
}

func (l *Ledger) stir() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.stirs {
		select {
		case c <- struct{}{}:
		default: // a token is there already: the reader will see all of it
		}
	}
}
