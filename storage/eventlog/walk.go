package eventlog

import (
	"github.com/dgraph-io/badger/v4"

	"watchpost/storage/event"
)

// walker goes through the keys of one lane's events, forwards or back, from bucket to bucket.
type walker struct {
	*badger.Iterator
	lane event.Lane
	back bool
}

// walk makes a walker, which is to be closed, also when Badger comes apart while it begins.
func walk(txn *badger.Txn, lane event.Lane, back bool) walker {
	return walker{txn.NewIterator(badger.IteratorOptions{Prefix: []byte{keyEvent}, Reverse: back}), lane, back}
}

// begin goes to a seq.
func (w walker) begin(seq uint64) {
	w.Seek(eventKey(w.lane, seq))
	w.settle()
}

func (w walker) next() {
	w.Next()
	w.settle()
}

// settle goes on to the next event of the lane, around those of the others.
func (w walker) settle() {
	for w.Valid() {
		key := w.Item().Key()
		lane, bucket := laneOfKey(key), seqOfKey(key)>>bucketBits
		switch {
		case lane == w.lane:
			return
		case !w.back && lane > w.lane:
			w.Seek(eventKey(w.lane, (bucket+1)<<bucketBits))
		case !w.back:
			w.Seek(eventKey(w.lane, bucket<<bucketBits))
		case lane > w.lane:
			w.Seek(eventKey(w.lane, (bucket+1)<<bucketBits-1))
		case bucket > 0:
			w.Seek(eventKey(w.lane, bucket<<bucketBits-1))
		default:
			w.Seek([]byte{keyEvent}) // nothing stands before it
			return
		}
	}
}
