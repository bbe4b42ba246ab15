package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"watchpost/storage/event"
)

// chunkSizes is how many sizes of insert statements there are.
const chunkSizes = 4

// chunks is how many rows one statement inserts: as many as a frame of the backlog has, and what the rest is made up of.
func chunks() [chunkSizes]int { return [chunkSizes]int{64, 16, 4, 1} }

// storing are the statements that every frame needs, prepared once on the connection that writes.
type storing struct {
	head, advance, word *sql.Stmt
	insert              [chunkSizes]*sql.Stmt // by chunks
}

func prepare(ctx context.Context, w *sql.DB) (storing, error) {
	var s storing
	into := map[**sql.Stmt]string{
		&s.head: "SELECT head FROM chain WHERE station = ? AND epoch = ? AND lane = ?",
		&s.advance: `INSERT INTO chain VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (station, epoch, lane) DO UPDATE SET head = excluded.head, touched = excluded.touched`,
		&s.word: "UPDATE station SET last_word = ? WHERE id = ?",
	}
	for i, n := range chunks() {
		rows := make([]string, n)
		for r := range rows {
			rows[r] = fmt.Sprintf("(?1, ?2, ?%d, ?3, ?%d)", 4+2*r, 5+2*r)
		}
		into[&s.insert[i]] = "INSERT INTO event (station, epoch, seq, received, record) VALUES " + strings.Join(rows, ", ")
	}
	for stmt, text := range into {
		var err error
		if *stmt, err = w.PrepareContext(ctx, text); err != nil {
			return s, errors.Join(fmt.Errorf("preparing %.40q: %w", text, err), s.close())
		}
	}
	return s, nil
}

func (s storing) close() error {
	var errs []error
	for _, stmt := range append(s.insert[:], s.head, s.advance, s.word) {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(errs...)
}

// rows inserts events of one station and epoch, and returns the row of the first; the others follow it without a gap, since
// rows are numbered by one writer.
func (e *entry) rows(ctx context.Context, es []event.Event, received time.Time) (first int64, err error) {
	records, err := recordsOf(es)
	if err != nil {
		return 0, err
	}
	args := make([]any, 3, 3+2*min(len(es), chunks()[0]))
	args[0], args[1], args[2] = es[0].Station, es[0].Epoch[:], nanos(received)
	var last int64
	for done := 0; done < len(es); {
		i, n := chunkFor(len(es) - done)
		args = args[:3]
		for k := done; k < done+n; k++ {
			args = append(args, es[k].Seq, records[k])
		}
		res, err := e.tx.StmtContext(ctx, e.store.insert[i]).ExecContext(ctx, args...)
		if err != nil {
			return 0, fmt.Errorf("events %s to %d: %w", es[done].Name(), es[done+n-1].Seq, err)
		}
		if last, err = res.LastInsertId(); err != nil {
			return 0, err
		}
		done += n
	}
	return last - int64(len(es)) + 1, nil
}

// chunkFor is the largest chunk of at most n rows.
func chunkFor(n int) (index, size int) {
	for i, size := range chunks() {
		if size <= n {
			return i, size
		}
	}
	return chunkSizes - 1, 1
}

// recordsOf writes the canonical records into one piece of memory.
func recordsOf(es []event.Event) ([][]byte, error) {
	var all []byte
	ends := make([]int, len(es))
	for i, e := range es {
		var err error
		if all, err = event.AppendRecord(all, e); err != nil {
			return nil, err
		}
		ends[i] = len(all)
	}
	out := make([][]byte, len(es))
	start := 0
	for i, end := range ends {
		out[i], start = all[start:end:end], end
	}
	return out, nil
}
