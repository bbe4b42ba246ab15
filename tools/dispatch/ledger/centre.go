package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// Centre is the name under which the centre's own facts stand among its stations' events. No station may bear it, and the
// roster does not list it.
const Centre = "centre"

// Tell stores facts of the centre itself in one transaction: they are events of a source like any other, in an epoch that
// began when the ledger was opened, so that one restored from a backup gives no name a second time. A new alarm gets its card; one with QualifierStatus says how the alarm of its Source now stands; one
// with QualifierRestore ends it.
func (l *Ledger) Tell(ctx context.Context, now time.Time, drafts ...event.Draft) (keys []Key, err error) {
	err = l.write(ctx, "telling the centre's own facts", func(tx *sql.Tx) (bool, error) {
		keys = keys[:0]
		var seq uint64
		err := tx.QueryRowContext(ctx, "SELECT coalesce(max(head), 0) FROM chain WHERE station = ? AND epoch = ?", Centre, l.epoch[:]).Scan(&seq)
		if err != nil {
			return false, err
		}
		e := l.entry(tx)
		for _, d := range drafts {
			seq++
			ev := d.Event(Centre, l.epoch, seq)
			if err := e.events(ctx, []event.Event{ev}, now); err != nil {
				return false, err
			}
			e.advance(chain{Centre, l.epoch, ev.Lane}, seq, now)
			keys = append(keys, Key{Centre, l.epoch, seq})
		}
		return e.news, e.finish(ctx)
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// Standing lists the centre's own alarms whose cause has not ended, acknowledged or not, oldest first.
func (l *Ledger) Standing(ctx context.Context) ([]Alarm, error) {
	return l.alarms(ctx, alarmColumns+"WHERE place >= ? AND place < ? AND restored = 0 ORDER BY alarm.event", Centre+"\x00", Centre+"\x01")
}

// Watched is what the watch over silence needs to know of one station. Times are the centre's; zero = never.
type Watched struct {
	Address   topic.Address
	Name      string
	Heard     time.Time
	Farewell  bool          // it said goodbye in good order, and nothing since
	Carrier   string        // whose network carries it
	Heartbeat time.Duration // as it promised; 0 = it did not say
	Threat    time.Time     // when its last alarm about people or property came in
	ThreatKey Key
	Threatens bool // nobody has acknowledged that alarm
	Open      int  // its alarms that nobody has acknowledged, the centre's own about it not among them
	Tests     bool
	Test      TestTimes
}

// TestTimes is how a station's daily test has come through the links of its chain.
type TestTimes struct {
	Since     time.Time // when the centre first knew that the station tests
	Claimed   time.Time // the last test, by the station's own word and clock
	Stored    time.Time // the last test that came in
	Confirmed time.Time // the last time that a page showed one
	Failed    time.Time // the last time that the station itself said that a test failed
}

// Watchlist lists all stations as the watch needs them, ordered by id.
func (l *Ledger) Watchlist(ctx context.Context) ([]Watched, error) {
	rows, err := l.r.QueryContext(ctx, `SELECT s.id, s.jurisdiction, s.name, s.last_word, s.farewell <> 0, s.carrier, s.heartbeat,
			coalesce(e.received, 0), e.epoch, coalesce(e.seq, 0), coalesce(a.closed = 0, 0), coalesce(o.n, 0),
			t.station IS NOT NULL, coalesce(t.since, 0), coalesce(t.claimed, 0), coalesce(t.stored, 0), coalesce(t.confirmed, 0), coalesce(t.failed, 0)
		FROM station AS s LEFT JOIN event AS e ON e.id = s.threat LEFT JOIN alarm AS a ON a.event = s.threat LEFT JOIN test AS t ON t.station = s.id
		LEFT JOIN (SELECT station, count(*) AS n FROM alarm JOIN event ON event.id = alarm.event WHERE closed = 0 GROUP BY station) AS o ON o.station = s.id
		WHERE s.id <> ? ORDER BY s.id`, Centre)
	if err != nil {
		return nil, fmt.Errorf("reading the stations to watch: %w", err)
	}
	defer rows.Close()
	var out []Watched
	for rows.Next() {
		w, err := scanWatched(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the stations to watch: %w", err)
		}
		out = append(out, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the stations to watch: %w", err)
	}
	return out, nil
}

func scanWatched(rows *sql.Rows) (w Watched, err error) {
	var heard, heartbeat, threat, since, claimed, stored, confirmed, failed int64
	var epoch []byte
	err = rows.Scan(&w.Address.Station, &w.Address.Jurisdiction, &w.Name, &heard, &w.Farewell, &w.Carrier, &heartbeat, &threat, &epoch, &w.ThreatKey.Seq,
		&w.Threatens, &w.Open, &w.Tests, &since, &claimed, &stored, &confirmed, &failed)
	if err != nil {
		return w, err
	}
	w.ThreatKey.Station = w.Address.Station
	copy(w.ThreatKey.Epoch[:], epoch)
	w.Heard, w.Heartbeat, w.Threat = fromNanos(heard), time.Duration(heartbeat)*time.Second, fromNanos(threat)
	w.Test = TestTimes{fromNanos(since), fromNanos(claimed), fromNanos(stored), fromNanos(confirmed), fromNanos(failed)}
	return w, nil
}
