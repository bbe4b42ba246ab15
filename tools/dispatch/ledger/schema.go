package ledger

import (
	"context"
	"database/sql"
	"fmt"
)

// schemaVersion is what PRAGMA user_version says of the tables below.
const schemaVersion = 2

const schema = `
CREATE TABLE station (
	id            TEXT PRIMARY KEY,
	jurisdiction  TEXT NOT NULL,
	name          TEXT NOT NULL,
	latitude      REAL,
	longitude     REAL,
	enrolled      INTEGER NOT NULL,
	last_word     INTEGER NOT NULL DEFAULT 0,
	online        INTEGER NOT NULL DEFAULT 0,
	farewell      INTEGER NOT NULL DEFAULT 0,  -- when it said goodbye in good order; 0 = it has not, or a will spoke for it
	carrier       TEXT NOT NULL DEFAULT '',    -- these two by its last state
	heartbeat     INTEGER NOT NULL DEFAULT 0,
	threat        INTEGER NOT NULL DEFAULT 0,  -- the last event of it that threatens people or property
	state         BLOB                         -- at the end: it is long, and what stands behind it is slow to read
) STRICT, WITHOUT ROWID;

CREATE TABLE chain (
	station  TEXT NOT NULL REFERENCES station(id),
	epoch    BLOB NOT NULL,
	lane     INTEGER NOT NULL,
	head     INTEGER NOT NULL,
	touched  INTEGER NOT NULL,
	PRIMARY KEY (station, epoch, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	station   TEXT NOT NULL REFERENCES station(id),
	epoch     BLOB NOT NULL,
	seq       INTEGER NOT NULL,
	received  INTEGER NOT NULL,
	record    BLOB NOT NULL,
	UNIQUE (station, epoch, seq)
) STRICT;

CREATE TABLE alarm (
	event      INTEGER PRIMARY KEY REFERENCES event(id),
	place      TEXT NOT NULL,             -- station, source and zone: what a restore ends
	owner      TEXT NOT NULL DEFAULT '',
	claimed    INTEGER NOT NULL DEFAULT 0,
	closed_by  TEXT NOT NULL DEFAULT '',
	closed     INTEGER NOT NULL DEFAULT 0, -- acknowledged at; 0 = open
	restored   INTEGER NOT NULL DEFAULT 0,
	latest     INTEGER NOT NULL DEFAULT 0  -- the last event that told how things stand; 0 = only the first has
) STRICT;
CREATE INDEX alarm_open  ON alarm(event) WHERE closed = 0;
CREATE INDEX alarm_place ON alarm(place, event);

CREATE TABLE action (
	id     INTEGER PRIMARY KEY,
	event  INTEGER NOT NULL REFERENCES alarm(event),
	at     INTEGER NOT NULL,
	who    TEXT NOT NULL,
	verb   TEXT NOT NULL
) STRICT;
CREATE INDEX action_event ON action(event, id);

CREATE TABLE feed (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	event  INTEGER NOT NULL
) STRICT;

CREATE TABLE command (
	id        TEXT PRIMARY KEY,
	station   TEXT NOT NULL REFERENCES station(id),
	kind      TEXT NOT NULL,
	body      BLOB NOT NULL,
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	state     TEXT NOT NULL DEFAULT 'open', -- open, done, refused, expired
	reply     BLOB,
	answered  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX command_open ON command(station) WHERE state = 'open';

CREATE TABLE viewing (
	id       TEXT PRIMARY KEY,
	station  TEXT NOT NULL REFERENCES station(id),
	camera   TEXT NOT NULL,
	profile  TEXT NOT NULL,
	purpose  TEXT NOT NULL,
	who      TEXT NOT NULL,
	asked    INTEGER NOT NULL,
	began    INTEGER NOT NULL DEFAULT 0,
	ended    INTEGER NOT NULL DEFAULT 0,
	outcome  TEXT NOT NULL DEFAULT 'asked' -- asked, live, refused, closed
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
	name     TEXT PRIMARY KEY,
	hash     BLOB NOT NULL,
	changed  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
	token    BLOB PRIMARY KEY,             -- SHA-256 of the cookie
	person   TEXT NOT NULL REFERENCES person(name),
	expires  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
	key    TEXT PRIMARY KEY,
	value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The daily test alarm: how far the last one came.
CREATE TABLE test (
	station    TEXT PRIMARY KEY REFERENCES station(id),
	since      INTEGER NOT NULL,           -- when the centre first knew that the station tests
	claimed    INTEGER NOT NULL DEFAULT 0, -- when the station last tested, by its own word
	event      INTEGER NOT NULL DEFAULT 0,
	stored     INTEGER NOT NULL DEFAULT 0,
	painted    INTEGER NOT NULL DEFAULT 0, -- that very event, on a page
	confirmed  INTEGER NOT NULL DEFAULT 0, -- any test of the station, on a page
	failed     INTEGER NOT NULL DEFAULT 0  -- when the station last said itself that a test failed
) STRICT, WITHOUT ROWID;
`

// migration2 makes a ledger of schema 1 one of schema 2.
const migration2 = `
ALTER TABLE station RENAME COLUMN state TO was;
ALTER TABLE station ADD COLUMN farewell  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE station ADD COLUMN carrier   TEXT NOT NULL DEFAULT '';
ALTER TABLE station ADD COLUMN heartbeat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE station ADD COLUMN threat    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE station ADD COLUMN state     BLOB;
UPDATE station SET state = was;
ALTER TABLE station DROP COLUMN was;
ALTER TABLE alarm   ADD COLUMN latest    INTEGER NOT NULL DEFAULT 0;
CREATE TABLE test (
	station    TEXT PRIMARY KEY REFERENCES station(id),
	since      INTEGER NOT NULL,
	claimed    INTEGER NOT NULL DEFAULT 0,
	event      INTEGER NOT NULL DEFAULT 0,
	stored     INTEGER NOT NULL DEFAULT 0,
	painted    INTEGER NOT NULL DEFAULT 0,
	confirmed  INTEGER NOT NULL DEFAULT 0,
	failed     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
`

// build makes the tables of an empty ledger.
func build(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO setting VALUES ('name', ?)", name); err != nil {
		return err
	}
	return settle(ctx, tx)
}

// settle gives the centre its row, and marks the ledger as one of the present schema.
func settle(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO station (id, jurisdiction, name, enrolled) VALUES (?, '', '', 0)", Centre); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	return err
}

// migrate brings an older ledger up to the present schema, in one transaction: another process that opens it at the same
// moment finds it done.
func migrate(ctx context.Context, w *sql.DB) error {
	tx, err := w.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		return nil
	case 1:
	default:
		return fmt.Errorf("it has schema %d, this program knows 1 to %d; use the program that made it", version, schemaVersion)
	}
	var taken int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM station WHERE id = ?", Centre).Scan(&taken); err != nil {
		return err
	}
	if taken > 0 {
		return fmt.Errorf("a station is enrolled as %q, the name by which the centre itself speaks: give it another with the older program first", Centre)
	}
	if _, err := tx.ExecContext(ctx, migration2); err != nil {
		return fmt.Errorf("bringing it from schema 1 to 2: %w", err)
	}
	if err := settle(ctx, tx); err != nil {
		return fmt.Errorf("bringing it from schema 1 to 2: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("bringing it from schema 1 to 2: %w", err)
	}
	return nil
}
