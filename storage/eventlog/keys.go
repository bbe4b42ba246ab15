package eventlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"watchpost/storage/event"
)

// The first byte of every key. Events come first, in buckets in the order in which they were appended, and what changes all the
// time comes behind them: a merge rewrites every table between the first and the last key that it brings, and so touches
// the end of the log only.
const (
	keyEvent  = 'e'
	keyGone   = 'g'
	keyHole   = 'h'
	keyMeta   = 'm'
	keyOnce   = 'o'
	keyCursor = 'r'
)

// bucketBits is how many low bits of a seq tell its place in its bucket, the range of seqs whose events of one lane stand together.
// Eviction drops a lane's part of a bucket whole; some 8 MB where events are of 512 bytes.
const bucketBits = 14

// eventKey is where an event stands: 'e', bucket (6 bytes), lane, place in the bucket (2 bytes).
func eventKey(lane event.Lane, seq uint64) []byte {
	return binary.BigEndian.AppendUint16(bucketPrefix(lane, seq>>bucketBits), uint16(seq&(1<<bucketBits-1)))
}

// bucketPrefix begins the keys of a lane's events in a bucket.
func bucketPrefix(lane event.Lane, bucket uint64) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, 10), bucket|keyEvent<<48)[1:]
	return append(k, byte(lane))
}

var errSeal = errors.New("checksum does not match")

func lanePrefix(kind byte, lane event.Lane) []byte { return []byte{kind, byte(lane)} }

func laneKey(kind byte, lane event.Lane, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind, byte(lane)}, seq)
}

func cursorKey(centre string, lane event.Lane) []byte {
	return append(lanePrefix(keyCursor, lane), centre...)
}

func onceKey(source string, slot byte) []byte {
	k := make([]byte, 0, len(source)+3)
	k = append(k, keyOnce)
	k = append(k, source...)
	return append(k, 0, slot)
}

func metaKey(name string) []byte { return append([]byte{keyMeta}, name...) }

// checksum is CRC-32C over key and value, so that a value under the wrong key shows as well.
func checksum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

// seal appends the checksum of (key, value) to value.
func seal(key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, checksum(key, value))
}

// unseal is the value without its checksum.
func unseal(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - crc32.Size
	if n < 0 || binary.BigEndian.Uint32(sealed[n:]) != checksum(key, sealed[:n]) {
		return nil, errSeal
	}
	return sealed[:n], nil
}

// tail is what an event's value says about its lane up to and including it.
type tail struct {
	seq   uint64 // the event's own
	count uint64 // events of the lane so far
	bytes uint64 // bytes of their records so far
}

// stored is one event as it stands under its key.
type stored struct {
	prev uint64 // seq before it in its lane, 0 = none
	tail
	size  int // bytes of its record
	event event.Event
}

// before is the tail of the lane that the event followed.
func (s stored) before() tail {
	return tail{seq: s.prev, count: s.count - 1, bytes: s.bytes - uint64(s.size)}
}

// appendValue is the value of an event that follows before in its lane.
func appendValue(dst []byte, before tail, e event.Event) (value []byte, after tail, err error) {
	record, err := event.AppendRecord(make([]byte, 0, 1<<10), e) // stays on the stack
	if err != nil {
		return dst, before, err
	}
	dst = slices.Grow(dst, 3*binary.MaxVarintLen64+len(record)+crc32.Size)
	after = tail{seq: e.Seq, count: before.count + 1, bytes: before.bytes + uint64(len(record))}
	dst = binary.AppendUvarint(dst, before.seq)
	dst = binary.AppendUvarint(dst, after.count)
	dst = binary.AppendUvarint(dst, after.bytes)
	return append(dst, record...), after, nil
}

// readValue is the inverse of appendValue and seal.
func readValue(station string, epoch event.Epoch, key, sealed []byte) (stored, error) {
	b, err := unseal(key, sealed)
	if err != nil {
		return stored{}, err
	}
	s := stored{tail: tail{seq: seqOfKey(key)}}
	for _, n := range []*uint64{&s.prev, &s.count, &s.bytes} {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return stored{}, errors.New("value is cut")
		}
		*n, b = v, b[size:]
	}
	s.size = len(b)
	if s.event, err = event.DecodeRecord(station, epoch, b); err != nil {
		return stored{}, err
	}
	if s.event.Seq != s.seq || s.event.Lane != laneOfKey(key) {
		return stored{}, errors.New("record under another event's key")
	}
	return s, nil
}

// seqOfKey is the seq in a key made by eventKey or laneKey, 0 for any other.
func seqOfKey(key []byte) uint64 {
	switch {
	case len(key) != 10:
		return 0
	case key[0] == keyEvent:
		return (binary.BigEndian.Uint64(key)>>8&(1<<48-1))<<bucketBits | uint64(binary.BigEndian.Uint16(key[8:]))
	}
	return binary.BigEndian.Uint64(key[2:])
}

// laneOfKey is the lane in such a key, 0 for any other.
func laneOfKey(key []byte) event.Lane {
	switch {
	case len(key) != 10:
		return 0
	case key[0] == keyEvent:
		return event.Lane(key[7])
	}
	return event.Lane(key[1])
}
