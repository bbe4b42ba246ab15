package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

const (
	metaLog    = "log"
	metaFormat = 2 // of the keys and values of everything else
)

func encodeMeta(station string, epoch event.Epoch) []byte {
	return append(append([]byte{metaFormat}, epoch[:]...), station...)
}

// load reads the log's state: whose it is, how far its lanes are, cursors, Once keys and holes. A log without a name is
// left with a zero epoch.
func (l *Log) load() error {
	l.epoch = event.Epoch{}
	l.next, l.tails = 1, [laneSlots]tail{}
	l.cursors, l.once, l.holes, l.gone = make(map[cursorName]uint64), make(onceBook), nil, [laneSlots]gone{}
	return l.db.View(func(txn *badger.Txn) error {
		if err := l.loadMeta(txn); err != nil || l.epoch.IsZero() {
			return err
		}
		notes := errors.Join(
			l.each(txn, keyCursor, l.loadCursor),
			l.each(txn, keyOnce, func(key, sealed []byte) error {
				n, err := decodeOnce(key, sealed)
				if err == nil {
					l.once.add(n)
				}
				return err
			}),
			l.each(txn, keyHole, func(key, sealed []byte) error {
				h, err := decodeHole(key, sealed)
				if err == nil {
					l.holes = append(l.holes, h)
				}
				return err
			}),
			l.each(txn, keyGone, l.loadGone))
		for _, lane := range event.Lanes() {
			t, err := l.loadTail(txn, lane)
			if err != nil {
				return errors.Join(notes, err)
			}
			l.tails[lane] = t
		}
		l.next = topSeq(l.tails) + 1
		return notes
	})
}

func (l *Log) loadMeta(txn *badger.Txn) error {
	b, err := get(txn, metaKey(metaLog))
	if errors.Is(err, errNotFound) {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		if it.Rewind(); it.Valid() {
			return fmt.Errorf("%w: the log has keys and no name", errDamage)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: the log's name: %w", errDamage, err)
	}
	if len(b) < 1+len(l.epoch) || b[0] != metaFormat {
		return fmt.Errorf("%w: the log is of a format that this agent does not read", errDamage)
	}
	if station := string(b[1+len(l.epoch):]); station != l.opt.Station {
		return fmt.Errorf("%w: %s holds the event log of %s, this agent is %s: give it a directory of its own, or correct the station's id",
			ErrStation, l.opt.Dir, station, l.opt.Station)
	}
	copy(l.epoch[:], b[1:])
	return nil
}

// loadTail finds the last readable event of a lane. What it passes over shows as a hole when the lane is read, or as a
// log that ends before its heads.
func (l *Log) loadTail(txn *badger.Txn, lane event.Lane) (tail, error) {
	it := walk(txn, lane, true)
	defer it.Close()
	var bad uint64 // the last one that cannot be read
	for it.begin(1 << 60); it.Valid(); it.next() {
		s, err := l.item(it.Item())
		if err == nil {
			t := s.tail
			t.seq = max(t.seq, bad)
			return t, nil
		}
		bad = max(bad, seqOfKey(it.Item().Key()))
	}
	t := l.gone[lane].tail
	t.seq = max(t.seq, bad)
	return t, nil
}

// each calls f with every key of a kind and its sealed value. One that f cannot read is left out: a cursor or a Once key
// that is gone costs a repetition, no event.
func (l *Log) each(txn *badger.Txn, kind byte, f func(key, sealed []byte) error) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{kind}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		if err := it.Item().Value(func(sealed []byte) error { return f(key, sealed) }); err != nil {
			l.opt.Log.Error("event log: note left out", "key", fmt.Sprintf("%q", key), "err", err)
		}
	}
	return nil
}

func (l *Log) loadCursor(key, sealed []byte) error {
	b, err := unseal(key, sealed)
	if err != nil {
		return err
	}
	if len(b) != 8 || len(key) < 3 {
		return errors.New("cursor is cut")
	}
	name := cursorName{centre: string(key[2:]), lane: event.Lane(key[1])}
	l.cursors[name] = binary.BigEndian.Uint64(b)
	return nil
}
