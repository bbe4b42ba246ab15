package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

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
	Farewell  time.Time   // when it said goodbye in good order, by its own clock; zero = it has not, or a will spoke for it
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
	if s.Address.Station == Centre {
		return fmt.Errorf("enrolling %s: the centre itself speaks under that name; give the station another", Centre)
	}
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
		_, err := tx.ExecContext(ctx, "DELETE FROM station WHERE id = ? AND id <> ?", id, Centre)
		return false, err
	})
}

// StationOf is the roster's address of a station id; ErrNotFound when it is not enrolled.
func (l *Ledger) StationOf(ctx context.Context, id string) (topic.Address, error) {
	a := topic.Address{Station: id}
	err := l.r.QueryRowContext(ctx, "SELECT jurisdiction FROM station WHERE id = ? AND id <> ?", id, Centre).Scan(&a.Jurisdiction)
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
	rows, err := l.r.QueryContext(ctx, `SELECT id, jurisdiction, name, latitude, longitude, enrolled, last_word, online, farewell, state
		FROM station WHERE id <> ? ORDER BY id`, Centre)
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
	var enrolled, word, farewell int64
	var state []byte
	if err := rows.Scan(&s.Address.Station, &s.Address.Jurisdiction, &s.Name, &s.Latitude, &s.Longitude, &enrolled, &word,
		&s.Online, &farewell, &state); err != nil {
		return s, fmt.Errorf("reading the roster: %w", err)
	}
	s.Enrolled, s.LastWord, s.Farewell = fromNanos(enrolled), fromNanos(word), fromNanos(farewell)
	if state != nil {
		if err := json.Unmarshal(state, &s.State); err != nil {
			return s, fmt.Errorf("reading the state of %s: %w", s.Address.Station, err)
		}
	}
	return s, nil
}

// LastState is the last full state that a station told; the zero State if it never told one.
func (l *Ledger) LastState(ctx context.Context, id string) (topic.State, error) {
	var b []byte
	var s topic.State
	err := l.r.QueryRowContext(ctx, "SELECT state FROM station WHERE id = ?", id).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("state of station %q: %w", id, ErrNotFound)
	}
	if err == nil && b != nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reading the state of %s: %w", id, err)
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

// Word is what a station said of its present.
type Word struct {
	State topic.State
	// Heard is when it was spoken as far as the centre can tell: the time of arrival, or for a retained message, which may be
	// old, the time that it bears itself. A will has no new word in it: zero.
	Heard    time.Time
	Retained bool
}

// The gauges by which a station tells of its last daily test: when it was raised, in seconds since 1970, and whether it came
// through to its own log.
const (
	lastTestAt = "last_test_at_s"
	lastTestOK = "last_test_ok"
)

// Heard keeps what stations say of themselves, in one transaction.
func (l *Ledger) Heard(ctx context.Context, words ...Word) error {
	if len(words) == 0 {
		return nil
	}
	return l.write(ctx, "keeping the state of "+words[0].State.Station, func(tx *sql.Tx) (bool, error) {
		for _, w := range words {
			if err := hear(ctx, tx, w); err != nil {
				return false, fmt.Errorf("of %s: %w", w.State.Station, err)
			}
		}
		return false, nil
	})
}

func hear(ctx context.Context, tx *sql.Tx, w Word) error {
	s := w.State
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the state: %w", err)
	}
	if !s.Online {
		return hearGoodbye(ctx, tx, w, b)
	}
	// The present moves the last word even backwards: the centre's clock may have been set. What is retained does not.
	_, err = tx.ExecContext(ctx, `UPDATE station SET online = 1, farewell = 0, state = ?, carrier = ?, heartbeat = ?,
		last_word = CASE WHEN ? THEN max(last_word, ?5) ELSE ?5 END WHERE id = ?`, b, cut(s.Carrier, maxCarrier), min(max(s.Heartbeat, 0), maxHeartbeat), w.Retained, nanos(w.Heard), s.Station)
	if err != nil {
		return err
	}
	at, tests := s.Gauges[lastTestAt]
	if !tests {
		return nil
	}
	if ok, told := s.Gauges[lastTestOK]; told && ok == 0 {
		at = 0 // of that one it tells by itself
	}
	return testClaimed(ctx, tx, s.Station, fromSeconds(at), w.Heard)
}

// maxHeartbeat is how many seconds a station may promise to be silent, as many as the firmware allows. Who claims more is
// watched all the same.
const maxHeartbeat = 600

// soon is how long after its last state a station's farewell may be: heartbeats are shorter.
const soon = 15 * time.Minute

// maxCarrier is how many bytes of a carrier's name are kept.
const maxCarrier = 64

// cut is at most n bytes of s, in whole characters.
func cut(s string, n int) string {
	for len(s) > n {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return s
}

// hearGoodbye keeps what is known: a will, and a farewell, know nothing of zones and cameras. A will was written before the
// station's last word, a farewell soon after it: one that seems to come long after is a will from before the station's clock
// was set back. Of a retained one nothing is known of the words between.
func hearGoodbye(ctx context.Context, tx *sql.Tx, w Word, b []byte) error {
	s := w.State
	var known []byte
	err := tx.QueryRowContext(ctx, "SELECT state FROM station WHERE id = ?", s.Station).Scan(&known)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var last topic.State
	if known != nil {
		if err := json.Unmarshal(known, &last); err != nil {
			return err
		}
	}
	farewell := time.Time{}
	if after := s.At.Sub(last.At); last.Online && after > 0 && (w.Retained || after <= soon) {
		farewell = s.At
	}
	_, err = tx.ExecContext(ctx, "UPDATE station SET online = 0, farewell = max(farewell, ?), state = coalesce(state, ?) WHERE id = ?",
		nanos(farewell), b, s.Station)
	return err
}

// fromSeconds is a gauge's time; what cannot be one is zero.
func fromSeconds(s float64) time.Time {
	if !(s > 0 && s < 1<<33) {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}
