// A centre answers for what it was told: every event that its stations send, who claimed and acknowledged which alarm, which
// commands are open and who watched which camera stand in one SQLite file, and a receipt is given only for what is committed
// there.
//
// One connection writes (WAL, synchronous=FULL: a commit is on disk when it returns), others read beside it. The chain rule
// runs inside the transaction that stores the events, so that a crash at any moment leaves chain heads and events agreeing.
package ledger

import (
	"context"
	"crypto/rand"
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

	"watchpost/storage/event"
)

// FileName is the name of the ledger in a centre's directory.
const FileName = "dispatch.db"

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not in the ledger")
	ErrTaken    = errors.New("somebody else has claimed it")
	ErrDone     = errors.New("acknowledged already")
	ErrNotOwner = errors.New("only the one who claimed it may release it")
	ErrConflict = errors.New("it contradicts what is stored")
)

// Ledger is the centre's opened store. Its methods may be called by many goroutines.
type Ledger struct {
	w     *sql.DB // one connection
	r     *sql.DB
	store storing     // what Store does over and over, prepared on w
	epoch event.Epoch // of what the centre itself tells while this Ledger is open

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
	if err := build(ctx, tx, name); err != nil {
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
	if err := migrate(ctx, w); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), w.Close())
	}
	l := &Ledger{w: w, stirs: make(map[chan struct{}]struct{})}
	rand.Read(l.epoch[:]) // never fails, by crypto/rand's contract
	if err := leap(ctx, w); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), w.Close())
	}
	if l.store, err = prepare(ctx, w); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), w.Close())
	}
	if l.r, err = open(path, "rw"); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	l.r.SetMaxOpenConns(4)
	return l, nil
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
	if err := errors.Join(l.r.Close(), l.store.close(), l.w.Close()); err != nil {
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
