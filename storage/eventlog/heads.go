package eventlog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// heads is what is known of the log without Badger: which epoch it is and how far each lane has come. It stands in a file
// of its own, so that a log which cannot be read any more still has a name and an end.
//
// The file holds two slots, written in turn, each with a checksum: a torn write leaves the other. Every commit writes one
// without syncing it, after Badger's sync: the numbers never run ahead of what is on disk, and after a kill (not a power
// cut) they are exact. A log that ends before its heads has lost something.
//
// A disk that acknowledges a sync and keeps nothing can lose the end of the log and of its heads together, after a centre has
// had what is lost. So seqs are promised, synced, in steps before they are given, and with a new boot of the machine numbering
// goes on behind the last promise: no seq is given twice, unless such a disk forgets more than half a step, or the promise itself
// since it was lying when the log was opened. Closing the log takes back what was not given, so that a restart in good order leaves
// no gap.
type heads struct {
	epoch event.Epoch
	last  [laneSlots]uint64 // by lane
	// starts counts the openings since one that ended in good order or lasted until calm.
	starts   uint8
	promised uint64  // no seq beyond it was given
	boot     [8]byte // tells one boot of the machine from another; zero = unknown
	key      [8]byte // tells the key of the log's encryption from another; zero = not encrypted
}

// seqStep is how many seqs are promised at a time.
const seqStep = 4096

const (
	laneSlots   = int(event.LaneTrace) + 1
	headsFile   = "epoch"
	headsMagic  = "wplog\x00\x00\x02" // the last byte is the format
	headsSlot   = 512                 // bytes, a sector each
	headsLength = len(headsMagic) + 8 + 8 + 1 + 4*8 + 3*8 + crc32.Size
)

func (h heads) seq() uint64 {
	var top uint64
	for _, n := range h.last {
		top = max(top, n)
	}
	return top
}

func (h heads) encode(turn uint64) []byte {
	b := append(make([]byte, 0, headsSlot), headsMagic...)
	b = binary.BigEndian.AppendUint64(b, turn)
	b = append(b, h.epoch[:]...)
	b = append(b, h.starts)
	for _, lane := range event.Lanes() {
		b = binary.BigEndian.AppendUint64(b, h.last[lane])
	}
	b = binary.BigEndian.AppendUint64(b, h.promised)
	b = append(append(b, h.boot[:]...), h.key[:]...)
	return seal(nil, b)
}

func decodeHeads(b []byte) (h heads, turn uint64, err error) {
	if len(b) < headsLength {
		return heads{}, 0, errors.New("too short")
	}
	if b, err = unseal(nil, b[:headsLength]); err != nil {
		return heads{}, 0, err
	}
	if string(b[:len(headsMagic)]) != headsMagic {
		return heads{}, 0, errors.New("not a heads file of this version")
	}
	b = b[len(headsMagic):]
	turn = binary.BigEndian.Uint64(b)
	copy(h.epoch[:], b[8:16])
	h.starts = b[16]
	for i, lane := range event.Lanes() {
		h.last[lane] = binary.BigEndian.Uint64(b[17+8*i:])
	}
	b = b[17+8*len(event.Lanes()):]
	h.promised = binary.BigEndian.Uint64(b)
	copy(h.boot[:], b[8:16])
	copy(h.key[:], b[16:24])
	return h, turn, nil
}

// bootID is this boot of the machine.
func bootID() (id [8]byte) {
	if text, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		sum := sha256.Sum256(text)
		copy(id[:], sum[:])
	}
	return id
}

// keyMark tells one key from another and says nothing else of it.
func keyMark(key []byte) (mark [8]byte) {
	if len(key) > 0 {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write([]byte("watchpost event log")) // never fails
		copy(mark[:], h.Sum(nil))
	}
	return mark
}

// headsKeeper is the open heads file. It belongs to whoever writes the log.
type headsKeeper struct {
	f    *os.File
	turn uint64
	now  heads
}

// readHeads reads the better slot of the heads file. No file, or none that can be read, are zero heads.
func readHeads(dir string) (heads, uint64) {
	b, err := os.ReadFile(filepath.Join(dir, headsFile))
	if err != nil {
		return heads{}, 0
	}
	var best heads
	var turn uint64
	for at := 0; at < len(b) && at < 2*headsSlot; at += headsSlot {
		if h, n, err := decodeHeads(b[at:]); err == nil && n >= turn {
			best, turn = h, n
		}
	}
	return best, turn
}

// keepHeads replaces the heads file atomically by one that says h, and keeps it open.
func keepHeads(dir string, h heads, turn uint64) (*headsKeeper, error) {
	name := filepath.Join(dir, headsFile)
	f, err := os.OpenFile(name+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing the log's heads: %w", err)
	}
	k := &headsKeeper{f: f, turn: turn, now: h}
	if err := errors.Join(k.write(h), k.write(h), k.sync(), os.Rename(name+".new", name), syncDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the log's heads: %w", err), f.Close())
	}
	return k, nil
}

func (k *headsKeeper) write(h heads) error {
	k.turn++
	slot := make([]byte, headsSlot)
	copy(slot, h.encode(k.turn))
	if _, err := k.f.WriteAt(slot, int64(k.turn%2)*headsSlot); err != nil {
		return fmt.Errorf("writing the log's heads: %w", err)
	}
	k.now = h
	return nil
}

func (k *headsKeeper) sync() error {
	if err := unix.Fdatasync(int(k.f.Fd())); err != nil {
		return fmt.Errorf("syncing the log's heads: %w", err)
	}
	return nil
}

func (k *headsKeeper) close() error { return k.f.Close() }

// syncDir makes names that were created, removed or renamed in dir lasting.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
