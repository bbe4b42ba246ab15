// A centre answers for what it was told: every event that its stations send, who claimed and acknowledged which alarm, which
// commands are open and who watched which camera stand in one SQLite file, and a receipt is given only for what is committed
// there.
//
// One connection writes (WAL, synchronous=FULL: a commit is on disk when it returns), others read beside it. The chain rule
// runs inside the transaction that stores the events, so that a crash at any moment leaves chain heads and events agreeing.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// FileName is the name of the ledger in a centre's directory.
const FileName = "dispatch.db"

// schemaVersion is what PRAGMA user_version says of the tables below.
const schemaVersion = 1

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not in the ledger")
	ErrTaken    = errors.New("somebody else has claimed it")
	ErrDone     = errors.New("acknowledged already")
	ErrNotOwner = errors.New("only the one who claimed it may release it")
	ErrConflict = errors.New("it contradicts what is stored")
)

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
	state         BLOB
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
	restored   INTEGER NOT NULL DEFAULT 0
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
`

// Ledger is the centre's opened store. Its methods may be called by many goroutines.
type Ledger struct {
	w *sql.DB // one connection
	r *sql.DB

	mu    sync.Mutex // guards the fields below
	stirs map[chan struct{}]struct{}
}

// Create makes an empty ledger in dir, with the centre's name for people.
func Create(ctx context.Context, dir, name string) error {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s is there already; move it away to start an empty one", path)
	}
	db, err := open(path, "rwc")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO setting VALUES ('name', ?)", name); err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	return db.Close()
}

// Open opens the ledger in dir. Another process (dispatch enrol, dispatch user) may have it open too.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("opening the ledger: %w; run `dispatch init --dir %s` first", err, dir)
	}
	w, err := open(path, "rw")
	if err != nil {
		return nil, err
	}
	w.SetMaxOpenConns(1)
	var version int
	if err := w.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), w.Close())
	}
	if version != schemaVersion {
		return nil, errors.Join(fmt.Errorf("opening %s: it has schema %d, this program knows %d; use the program that made it",
			path, version, schemaVersion), w.Close())
	}
	r, err := open(path, "rw")
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	r.SetMaxOpenConns(4)
	return &Ledger{w: w, r: r, stirs: make(map[chan struct{}]struct{})}, nil
}

func open(path, mode string) (*sql.DB, error) {
	q := url.Values{
		"mode":    {mode},
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return db, nil
}

// Close ends all use of the ledger.
func (l *Ledger) Close() error {
	if err := errors.Join(l.r.Close(), l.w.Close()); err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// Name is the centre's name for people, as given at `dispatch init`.
func (l *Ledger) Name(ctx context.Context) (string, error) {
	var name string
	if err := l.r.QueryRowContext(ctx, "SELECT value FROM setting WHERE key = 'name'").Scan(&name); err != nil {
		return "", fmt.Errorf("reading the centre's name: %w", err)
	}
	return name, nil
}

// write runs f in a transaction of its own and, when f reports news, wakes those who follow the feed after the commit.
func (l *Ledger) write(ctx context.Context, what string, f func(*sql.Tx) (news bool, err error)) error {
	tx, err := l.w.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer tx.Rollback()
	news, err := f(tx)
	var fault *sqlite.Error
	if errors.As(err, &fault) && fault.Code()&0xff == sqlite3.SQLITE_CONSTRAINT {
		return fmt.Errorf("%s: %w: %w", what, ErrConflict, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if news {
		l.stir()
	}
	return nil
}

// nanos is a time as the tables hold it: UTC nanoseconds, 0 = never.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// fromNanos is the inverse of nanos.
func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
