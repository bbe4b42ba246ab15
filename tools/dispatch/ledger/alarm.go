package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"watchpost/storage/event"
)

// Key names an event for ever.
type Key struct {
	Station string
	Epoch   event.Epoch
	Seq     uint64
}

// String is the key as events write their own name: station/epoch/seq.
func (k Key) String() string {
	return event.Event{Station: k.Station, Epoch: k.Epoch, Seq: k.Seq}.Name()
}

// Verb is what a person did with an alarm.
type Verb string

// The verbs.
const (
	VerbClaim       Verb = "claim"
	VerbRelease     Verb = "release"
	VerbAcknowledge Verb = "acknowledge"
)

// Action is one step that a person took.
type Action struct {
	At   time.Time
	Who  string
	Verb Verb
}

// Alarm is an event that somebody must answer, and how far that has come.
type Alarm struct {
	Row      int64 // position in the ledger; ascending in order of arrival
	Event    event.Event
	Received time.Time
	Owner    string // who claimed it, "" = nobody
	Claimed  time.Time
	ClosedBy string // who acknowledged it
	Closed   time.Time
	Restored time.Time   // when its source said that the cause has ended
	Latest   event.Event // of an alarm of the centre's own: how it stands now, or stood when it came back; Kind 0 = as at first
	Actions  []Action
}

const alarmColumns = `SELECT alarm.event, station, epoch, seq, received, record, owner, claimed, closed_by, closed, restored,
	(SELECT epoch FROM event AS now WHERE now.id = alarm.latest), (SELECT record FROM event AS now WHERE now.id = alarm.latest)
	FROM alarm JOIN event ON event.id = alarm.event `

// Open lists the unacknowledged alarms, oldest first, at most limit of them, and how many there are in all.
func (l *Ledger) Open(ctx context.Context, limit int) (alarms []Alarm, total int, err error) {
	if err := l.r.QueryRowContext(ctx, "SELECT count(*) FROM alarm WHERE closed = 0").Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("counting open alarms: %w", err)
	}
	alarms, err = l.alarms(ctx, alarmColumns+"WHERE closed = 0 ORDER BY alarm.event LIMIT ?", limit)
	return alarms, total, err
}

// Recent lists acknowledged alarms, newest first, whose Row is below before (0 = from the newest).
func (l *Ledger) Recent(ctx context.Context, before int64, limit int) ([]Alarm, error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	return l.alarms(ctx, alarmColumns+"WHERE closed <> 0 AND alarm.event < ? ORDER BY alarm.event DESC LIMIT ?", before, limit)
}

// Alarm is one alarm by its key; ErrNotFound if there is none.
func (l *Ledger) Alarm(ctx context.Context, k Key) (Alarm, error) {
	as, err := l.alarms(ctx, alarmColumns+"WHERE station = ? AND epoch = ? AND seq = ?", k.Station, k.Epoch[:], k.Seq)
	if err != nil {
		return Alarm{}, err
	}
	if len(as) == 0 {
		return Alarm{}, fmt.Errorf("alarm %s: %w", k, ErrNotFound)
	}
	return as[0], nil
}

func (l *Ledger) alarms(ctx context.Context, query string, args ...any) ([]Alarm, error) {
	rows, err := l.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading alarms: %w", err)
	}
	defer rows.Close()
	var out []Alarm
	for rows.Next() {
		a, err := scanAlarm(rows)
		if err != nil {
			return nil, fmt.Errorf("reading alarms: %w", err)
		}
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading alarms: %w", err)
	}
	for i := range out {
		if out[i].Actions, err = l.actions(ctx, out[i].Row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func scanAlarm(rows *sql.Rows) (Alarm, error) {
	var a Alarm
	var station string
	var epochBytes, record, latestEpoch, latest []byte
	var seq uint64
	var received, claimed, closed, restored int64
	err := rows.Scan(&a.Row, &station, &epochBytes, &seq, &received, &record, &a.Owner, &claimed, &a.ClosedBy, &closed, &restored, &latestEpoch, &latest)
	if err != nil {
		return a, err
	}
	var epoch event.Epoch
	copy(epoch[:], epochBytes)
	if a.Event, err = event.DecodeRecord(station, epoch, record); err != nil {
		return a, err
	}
	if latest != nil {
		copy(epoch[:], latestEpoch)
		if a.Latest, err = event.DecodeRecord(station, epoch, latest); err != nil {
			return a, err
		}
	}
	a.Received, a.Claimed = fromNanos(received), fromNanos(claimed)
	a.Closed, a.Restored = fromNanos(closed), fromNanos(restored)
	return a, nil
}

func (l *Ledger) actions(ctx context.Context, row int64) ([]Action, error) {
	rows, err := l.r.QueryContext(ctx, "SELECT at, who, verb FROM action WHERE event = ? ORDER BY id", row)
	if err != nil {
		return nil, fmt.Errorf("reading an alarm's actions: %w", err)
	}
	defer rows.Close()
	var out []Action
	for rows.Next() {
		var a Action
		var at int64
		if err := rows.Scan(&at, &a.Who, &a.Verb); err != nil {
			return nil, fmt.Errorf("reading an alarm's actions: %w", err)
		}
		a.At = fromNanos(at)
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading an alarm's actions: %w", err)
	}
	return out, nil
}

// Act does verb with an alarm on behalf of who. It is decided in one transaction, so of two people who claim at the same
// moment one gets it and the other ErrTaken. To acknowledge what nobody has claimed claims it as well. To claim or
// acknowledge again what is one's own already changes nothing and is no error. The owner who stands in the way, if any, is
// returned in either case.
func (l *Ledger) Act(ctx context.Context, k Key, verb Verb, who string, now time.Time) (owner string, err error) {
	err = l.write(ctx, string(verb)+" of alarm "+k.String(), func(tx *sql.Tx) (bool, error) {
		var row int64
		var closed int64
		err := tx.QueryRowContext(ctx, `SELECT alarm.event, owner, closed FROM alarm JOIN event ON event.id = alarm.event
			WHERE station = ? AND epoch = ? AND seq = ?`, k.Station, k.Epoch[:], k.Seq).Scan(&row, &owner, &closed)
		if errors.Is(err, sql.ErrNoRows) {
			return false, ErrNotFound
		}
		if err != nil {
			return false, err
		}
		steps, err := decide(verb, who, owner, closed != 0)
		if err != nil || len(steps) == 0 {
			return false, err
		}
		for _, s := range steps {
			if err := step(ctx, tx, row, s, who, now); err != nil {
				return false, err
			}
		}
		owner = who
		return true, tell(ctx, tx, row)
	})
	return owner, err
}

// decide is the rule of Act: which steps follow from verb, given the alarm's owner and whether it is closed.
func decide(verb Verb, who, owner string, closed bool) ([]Verb, error) {
	if closed {
		if verb == VerbAcknowledge && owner == who {
			return nil, nil
		}
		return nil, ErrDone
	}
	switch {
	case verb == VerbRelease && owner != who:
		return nil, ErrNotOwner
	case verb == VerbRelease:
		return []Verb{VerbRelease}, nil
	case owner != "" && owner != who:
		return nil, ErrTaken
	case verb == VerbClaim && owner == who:
		return nil, nil
	case verb == VerbClaim:
		return []Verb{VerbClaim}, nil
	case verb == VerbAcknowledge && owner == "":
		return []Verb{VerbClaim, VerbAcknowledge}, nil
	case verb == VerbAcknowledge:
		return []Verb{VerbAcknowledge}, nil
	}
	return nil, fmt.Errorf("unknown verb %q", verb)
}

func step(ctx context.Context, tx *sql.Tx, row int64, verb Verb, who string, now time.Time) error {
	var err error
	switch verb {
	case VerbClaim:
		_, err = tx.ExecContext(ctx, "UPDATE alarm SET owner = ?, claimed = ? WHERE event = ?", who, nanos(now), row)
	case VerbRelease:
		_, err = tx.ExecContext(ctx, "UPDATE alarm SET owner = '', claimed = 0 WHERE event = ?", row)
	case VerbAcknowledge:
		_, err = tx.ExecContext(ctx, "UPDATE alarm SET closed_by = ?, closed = ? WHERE event = ?", who, nanos(now), row)
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO action (event, at, who, verb) VALUES (?, ?, ?, ?)", row, nanos(now), who, verb)
	return err
}
