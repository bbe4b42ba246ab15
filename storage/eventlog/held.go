package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"
)

// held are Badger's tables as they were before a merge. Badger takes a merge for done even if it could not write a table that
// comes of it (subcompact in levels.go defers Done with an error that is nil at that point), and deletes what it was made
// of: one fault of the disk, and acknowledged events would be gone without a word. So an iterator keeps the tables until
// it is known that all that was in them is still there.
type held struct {
	log    *Log
	txn    *badger.Txn
	it     *badger.Iterator
	tables []badger.TableInfo
}

func (l *Log) hold() *held {
	txn := l.db.NewTransaction(false)
	return &held{l, txn, txn.NewIterator(badger.IteratorOptions{}), l.db.Tables()}
}

func (h *held) let() {
	h.it.Close()
	h.txn.Discard()
}

// mend has put store what was there and is not any more, but what begins with dropped (nil = nothing).
func (h *held) mend(dropped []byte, put func([]*badger.Entry) error) error {
	found := 0
	err := sound(func() error {
		txn := h.log.db.NewTransaction(false)
		defer txn.Discard()
		now := txn.NewIterator(badger.IteratorOptions{})
		defer now.Close()
		for _, r := range h.replaced() {
			n, err := h.compare(now, r, dropped, put)
			if found += n; err != nil {
				return err
			}
		}
		return nil
	})
	if found > 0 {
		h.log.opt.Log.Error("event log: tables were merged and could not be written; what stood in them is stored again: check the disk", slog.Int("entries", found))
	}
	if err != nil {
		return fmt.Errorf("holding what was merged against what it was made of: %w", err)
	}
	return nil
}

type keyRange struct{ left, right []byte }

// replaced are the ranges of the tables that are gone, in order.
func (h *held) replaced() (ranges []keyRange) {
	there := make(map[uint64]bool)
	for _, t := range h.log.db.Tables() {
		there[t.ID] = true
	}
	gone := slices.DeleteFunc(slices.Clone(h.tables), func(t badger.TableInfo) bool { return there[t.ID] })
	slices.SortFunc(gone, func(a, b badger.TableInfo) int { return bytes.Compare(y.ParseKey(a.Left), y.ParseKey(b.Left)) })
	for _, t := range gone {
		left, right := y.ParseKey(t.Left), y.ParseKey(t.Right)
		if n := len(ranges); n > 0 && bytes.Compare(left, ranges[n-1].right) <= 0 {
			ranges[n-1].right = slices.MaxFunc([][]byte{ranges[n-1].right, right}, bytes.Compare)
			continue
		}
		ranges = append(ranges, keyRange{left, right})
	}
	return ranges
}

// compare puts what of a range now lacks, and counts it.
func (h *held) compare(now *badger.Iterator, r keyRange, dropped []byte, put func([]*badger.Entry) error) (found int, err error) {
	var lack []*badger.Entry
	size := 0
	flush := func() error {
		err := put(lack)
		found, lack, size = found+len(lack), nil, 0
		return err
	}
	now.Seek(r.left)
	for h.it.Seek(r.left); h.it.Valid(); h.it.Next() {
		was := h.it.Item()
		if len(dropped) > 0 && bytes.HasPrefix(was.Key(), dropped) {
			h.it.Seek(append(bytes.Clone(dropped), 0xff, 0xff)) // behind the last place of a bucket, which no event has
			if !h.it.Valid() {
				break
			}
			was = h.it.Item()
		}
		if bytes.Compare(was.Key(), r.right) > 0 {
			break
		}
		for now.Valid() && bytes.Compare(now.Item().Key(), was.Key()) < 0 {
			now.Next()
		}
		if now.Valid() && bytes.Equal(now.Item().Key(), was.Key()) && now.Item().Version() >= was.Version() || was.Key()[0] == keyHole {
			continue // notes of holes are deleted by the way
		}
		value, err := was.ValueCopy(nil)
		if err != nil {
			return found, err
		}
		lack = append(lack, badger.NewEntry(was.KeyCopy(nil), value))
		if size += len(value); size > MaxAppend/2 || len(lack) == MaxDrafts {
			if err := flush(); err != nil {
				return found, err
			}
		}
	}
	if len(lack) > 0 {
		return found, flush()
	}
	return found, nil
}

// restore stores entries again, by way of the writer as long as there is one.
func (l *Log) restore(entries []*badger.Entry) error {
	err := l.submit(context.Background(), &request{again: entries, done: make(chan struct{})})
	if errors.Is(err, ErrClosed) {
		<-l.stopped
		err = l.again(entries)
	}
	return err
}
