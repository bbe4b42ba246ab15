package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// Station is one station of the roster and the last that it said of itself.
type Station struct {
	Address   topic.Address
	Name      string // for people
	Latitude  *float64
	Longitude *float64
	Enrolled  time.Time
	LastWord  time.Time   // when the centre last heard it; zero = never
	Online    bool        // what its state, or its will, last said
	State     topic.State // zero = never heard
	Heads     map[event.Lane]uint64
}

// Backlog is how many seqs of the station's log the centre has not stored yet, by the station's last word: an upper bound
// where a lane is filtered.
func (s Station) Backlog() uint64 {
	var n uint64
	for lane, head := range s.State.Heads {
		if have := s.Heads[lane]; head > have {
			n += head - have
		}
	}
	return n
}

// Enrol puts a station into the roster, or changes its name, jurisdiction and place.
func (l *Ledger) Enrol(ctx context.Context, s Station) error {
	return l.write(ctx, "enrolling "+s.Address.Station, func(tx *sql.Tx) (bool, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO station (id, jurisdiction, name, latitude, longitude, enrolled)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET jurisdiction = excluded.jurisdiction, name = excluded.name,
			latitude = excluded.latitude, longitude = excluded.longitude`,
			s.Address.Station, s.Address.Jurisdiction, s.Name, s.Latitude, s.Longitude, nanos(s.Enrolled))
		return false, err
	})
}

// Strike takes a station that has stored nothing out of the roster: from now on it is refused. One that has is ErrConflict,
// since its events stay.
func (l *Ledger) Strike(ctx context.Context, id string) error {
	return l.write(ctx, "striking "+id+" from the roster", func(tx *sql.Tx) (bool, error) {
		_, err := tx.ExecContext(ctx, "DELETE FROM station WHERE id = ?", id)
		return false, err
	})
}

// StationOf is the roster's address of a station id; ErrNotFound when it is not enrolled.
func (l *Ledger) StationOf(ctx context.Context, id string) (topic.Address, error) {
	a := topic.Address{Station: id}
	err := l.r.QueryRowContext(ctx, "SELECT jurisdiction FROM station WHERE id = ?", id).Scan(&a.Jurisdiction)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("station %q: %w; enrol it with `dispatch enrol`", id, ErrNotFound)
	}
	if err != nil {
		return a, fmt.Errorf("reading station %q: %w", id, err)
	}
	return a, nil
}

// Stations lists the roster with the chain heads of each station's present epoch, ordered by id.
func (l *Ledger) Stations(ctx context.Context) ([]Station, error) {
	rows, err := l.r.QueryContext(ctx, `SELECT id, jurisdiction, name, latitude, longitude, enrolled, last_word, online, state
		FROM station ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading the roster: %w", err)
	}
	defer rows.Close()
	var out []Station
	for rows.Next() {
		s, err := scanStation(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the roster: %w", err)
	}
	for i := range out {
		if out[i].Heads, err = l.Heads(ctx, out[i].Address.Station, out[i].State.Epoch); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func scanStation(rows *sql.Rows) (Station, error) {
	var s Station
	var enrolled, word int64
	var state []byte
	if err := rows.Scan(&s.Address.Station, &s.Address.Jurisdiction, &s.Name, &s.Latitude, &s.Longitude, &enrolled, &word,
		&s.Online, &state); err != nil {
		return s, fmt.Errorf("reading the roster: %w", err)
	}
	s.Enrolled, s.LastWord = fromNanos(enrolled), fromNanos(word)
	if state != nil {
		if err := json.Unmarshal(state, &s.State); err != nil {
			return s, fmt.Errorf("reading the state of %s: %w", s.Address.Station, err)
		}
	}
	return s, nil
}

// Heads are the chain heads of one life of a station's log: the highest stored seq of each lane.
func (l *Ledger) Heads(ctx context.Context, station string, epoch event.Epoch) (map[event.Lane]uint64, error) {
	rows, err := l.r.QueryContext(ctx, "SELECT lane, head FROM chain WHERE station = ? AND epoch = ?", station, epoch[:])
	if err != nil {
		return nil, fmt.Errorf("reading the chain of %s: %w", station, err)
	}
	defer rows.Close()
	heads := make(map[event.Lane]uint64)
	for rows.Next() {
		var lane event.Lane
		var head uint64
		if err := rows.Scan(&lane, &head); err != nil {
			return nil, fmt.Errorf("reading the chain of %s: %w", station, err)
		}
		heads[lane] = head
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the chain of %s: %w", station, err)
	}
	return heads, nil
}

// Heard keeps a station's state. heard is when its word was spoken as far as the centre can tell: the time of arrival, or
// for a retained message, which may be old, the time that it bears itself. A will has no new word in it: pass the zero time.
func (l *Ledger) Heard(ctx context.Context, s topic.State, heard time.Time) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the state of %s: %w", s.Station, err)
	}
	return l.write(ctx, "keeping the state of "+s.Station, func(tx *sql.Tx) (bool, error) {
		if s.Online {
			_, err := tx.ExecContext(ctx, "UPDATE station SET online = 1, state = ?, last_word = max(last_word, ?) WHERE id = ?",
				b, nanos(heard), s.Station)
			return false, err
		}
		// A will knows nothing of zones and cameras: the last full word stays.
		_, err := tx.ExecContext(ctx, "UPDATE station SET online = 0, state = coalesce(state, ?), last_word = max(last_word, ?) WHERE id = ?",
			b, nanos(heard), s.Station)
		return false, err
	})
}
