package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Limits of names and passwords, in bytes; bcrypt reads no more than 72.
const (
	MaxPersonName = 64
	MinPassword   = 8
	MaxPassword   = 72
)

// SetPassword makes a person known, or changes the password; all sessions of that person end.
func (l *Ledger) SetPassword(ctx context.Context, name, password string, now time.Time) error {
	if name == "" || len(name) > MaxPersonName {
		return fmt.Errorf("user name %q: use 1 to %d bytes", name, MaxPersonName)
	}
	if len(password) < MinPassword || len(password) > MaxPassword {
		return fmt.Errorf("password of %s has %d bytes: use %d to %d", name, len(password), MinPassword, MaxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return fmt.Errorf("hashing the password of %s: %w", name, err)
	}
	return l.write(ctx, "setting the password of "+name, func(tx *sql.Tx) (bool, error) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO person VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, changed = excluded.changed`, name, hash, nanos(now)); err != nil {
			return false, err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE person = ?", name)
		return false, err
	})
}

// People counts those who may log in.
func (l *Ledger) People(ctx context.Context) (int, error) {
	var n int
	if err := l.r.QueryRowContext(ctx, "SELECT count(*) FROM person").Scan(&n); err != nil {
		return 0, fmt.Errorf("counting the users: %w", err)
	}
	return n, nil
}

// Login checks a password and begins a session: the secret goes into the browser's cookie, only its hash is kept. ok is
// false for a wrong password and for an unknown name alike, and both take the same time.
func (l *Ledger) Login(ctx context.Context, name, password string, now time.Time, life time.Duration) (token []byte, ok bool, err error) {
	var hash []byte
	err = l.r.QueryRowContext(ctx, "SELECT hash FROM person WHERE name = ?", name).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost) // as long as a comparison takes
		return nil, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("looking up user %q: %w", name, err)
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
		return nil, false, nil
	}
	token = make([]byte, 32)
	rand.Read(token) // never fails, by crypto/rand's contract
	sum := sha256.Sum256(token)
	err = l.write(ctx, "beginning a session of "+name, func(tx *sql.Tx) (bool, error) {
		if _, err := tx.ExecContext(ctx, "DELETE FROM session WHERE expires <= ?", nanos(now)); err != nil {
			return false, err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO session VALUES (?, ?, ?)", sum[:], name, nanos(now.Add(life)))
		return false, err
	})
	return token, err == nil, err
}

// Session is whose token this is; ErrNotFound when the session has ended or never was.
func (l *Ledger) Session(ctx context.Context, token []byte, now time.Time) (name string, err error) {
	sum := sha256.Sum256(token)
	err = l.r.QueryRowContext(ctx, "SELECT person FROM session WHERE token = ? AND expires > ?", sum[:], nanos(now)).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("session: %w", ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("looking up a session: %w", err)
	}
	return name, nil
}

// Logout ends a session.
func (l *Ledger) Logout(ctx context.Context, token []byte) error {
	sum := sha256.Sum256(token)
	return l.write(ctx, "ending a session", func(tx *sql.Tx) (bool, error) {
		_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE token = ?", sum[:])
		return false, err
	})
}
