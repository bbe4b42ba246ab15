package eventlog

import (
	"encoding/binary"
	"errors"

	"watchpost/storage/event"
)

// maxOnce is the longest Once key in bytes.
const maxOnce = 256

// onceRing holds the last event.OnceKept keys of one source.
type onceRing struct {
	next  uint64 // how many keys the source ever had
	slots [event.OnceKept]onceSlot
	at    map[string]uint64 // a key's n
}

type onceSlot struct {
	key  string
	lane event.Lane
	seq  uint64
	n    uint64 // 1 + its place in the source's whole row of keys; 0 = empty
}

// onceNote is a key that joins its source's ring when the batch that holds it is on disk.
type onceNote struct {
	source string
	slot   onceSlot
}

func (n onceNote) entry() (key, value []byte) {
	key = onceKey(n.source, byte(n.slot.n%event.OnceKept))
	value = binary.AppendUvarint(nil, n.slot.n)
	value = binary.AppendUvarint(value, n.slot.seq)
	value = append(value, byte(n.slot.lane))
	return key, seal(key, append(value, n.slot.key...))
}

func decodeOnce(key, sealed []byte) (onceNote, error) {
	b, err := unseal(key, sealed)
	if err != nil {
		return onceNote{}, err
	}
	if len(key) < 3 {
		return onceNote{}, errors.New("once key is cut")
	}
	note := onceNote{source: string(key[1 : len(key)-2])}
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return onceNote{}, errors.New("once value is cut")
	}
	b = b[size:]
	seq, size := binary.Uvarint(b)
	if size <= 0 || len(b) == size {
		return onceNote{}, errors.New("once value is cut")
	}
	note.slot = onceSlot{n: n, seq: seq, lane: event.Lane(b[size]), key: string(b[size+1:])}
	return note, nil
}

// onceBook is every source's ring.
type onceBook map[string]*onceRing

func (b onceBook) add(n onceNote) {
	r := b[n.source]
	if r == nil {
		r = &onceRing{at: make(map[string]uint64)}
		b[n.source] = r
	}
	at := n.slot.n % event.OnceKept
	if old := r.slots[at]; old.n > n.slot.n {
		return
	} else if old.n != 0 && r.at[old.key] == old.n {
		delete(r.at, old.key)
	}
	r.slots[at] = n.slot
	r.at[n.slot.key] = n.slot.n
	r.next = max(r.next, n.slot.n)
}

func (b onceBook) addAll(notes []onceNote) {
	for _, n := range notes {
		b.add(n)
	}
}

func (b onceBook) find(source, key string) (onceSlot, bool) {
	r := b[source]
	if r == nil {
		return onceSlot{}, false
	}
	n, ok := r.at[key]
	if !ok {
		return onceSlot{}, false
	}
	return r.slots[n%event.OnceKept], true
}

// nth is the number that the source's next key takes.
func (b onceBook) nth(source string) uint64 {
	if r := b[source]; r != nil {
		return r.next + 1
	}
	return 1
}
