package eventlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"watchpost/storage/event"
)

// The first byte of every key.
const (
	keyEvent  = 'e'
	keyCursor = 'c'
	keyHole   = 'h'
	keyOnce   = 'o'
	keyMeta   = 'm'
)

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
	event event.Event
}

// appendValue is the value of an event that follows before in its lane.
func appendValue(dst []byte, before tail, e event.Event) (value []byte, after tail, err error) {
	record, err := event.AppendRecord(nil, e)
	if err != nil {
		return dst, before, err
	}
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
	if s.event, err = event.DecodeRecord(station, epoch, b); err != nil {
		return stored{}, err
	}
	if s.event.Seq != s.seq || len(key) < 2 || byte(s.event.Lane) != key[1] {
		return stored{}, errors.New("record under another event's key")
	}
	return s, nil
}

// seqOfKey is the number at the end of a key made by laneKey, 0 for any other.
func seqOfKey(key []byte) uint64 {
	if len(key) != 2+8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[2:])
}
