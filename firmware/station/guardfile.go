package station

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"watchpost/storage/event"
)

// journalName is the file in the data directory that says which partitions are armed.
const journalName = "arming.json"

// maxJournal bounds the file, in bytes.
const maxJournal = 4 << 20

// journal is what the guard must not forget: how the partitions are, and what came of that and is not in the log yet.
type journal struct {
	Machine json.RawMessage `json:"machine"`
	Pending []pendingEvent  `json:"pending,omitempty"`
	// Veiled are the seqs of silent events in the epoch of the log, of which the alarm lane was looked through up to Looked.
	Veiled []uint64 `json:"veiled,omitempty"`
	Looked uint64   `json:"looked,omitempty"`
	Epoch  string   `json:"epoch,omitempty"`
}

// pendingEvent is an event that is not in the log yet.
type pendingEvent struct {
	Record []byte `json:"record"` // canonical, with seq 1
	Once   string `json:"once,omitempty"`
}

// errJournal says that the journal on disk is not one that a guard has written.
var errJournal = errors.New("the journal of arming is damaged")

// journalFile is the journal on disk, replaced atomically.
type journalFile struct {
	path string // "" = nothing is kept
	last []byte
}

// castagnoli is CRC-32C.
func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (j journal) encode() ([]byte, error) {
	body, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("writing the journal of arming: %w", err)
	}
	return fmt.Appendf(nil, `{"v":1,"crc32c":%d,"body":%s}`+"\n", castagnoli(body), body), nil
}

func decodeJournal(b []byte) (j journal, err error) {
	var f struct {
		V    int             `json:"v"`
		CRC  uint32          `json:"crc32c"`
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return j, fmt.Errorf("%w: %w", errJournal, err)
	}
	if f.V != 1 {
		return j, fmt.Errorf("%w: version %d, this agent reads 1", errJournal, f.V)
	}
	if castagnoli(f.Body) != f.CRC {
		return j, fmt.Errorf("%w: wrong checksum", errJournal)
	}
	if err := json.Unmarshal(f.Body, &j); err != nil {
		return j, fmt.Errorf("%w: %w", errJournal, err)
	}
	return j, nil
}

// load reads the journal of the run before; a first start has none.
func (f *journalFile) load() (j journal, err error) {
	if f.path == "" {
		return j, nil
	}
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return j, nil
	case err != nil:
		return j, fmt.Errorf("reading the journal of arming: %w", err)
	case info.Size() > maxJournal:
		return j, fmt.Errorf("%w: %d bytes, at most %d", errJournal, info.Size(), maxJournal)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return j, fmt.Errorf("reading the journal of arming: %w", err)
	}
	if j, err = decodeJournal(b); err == nil {
		f.last = b
	}
	return j, err
}

// save has j on disk when it returns nil: written beside the file, synced, renamed, and the name synced. Equal bytes are not
// written again.
func (f *journalFile) save(j journal) error {
	b, err := j.encode()
	if err != nil || f.path == "" || bytes.Equal(b, f.last) {
		return err
	}
	f.last = nil // if it fails half-way, nobody knows which of the two is there
	if err := writeSynced(f.path+".new", b); err != nil {
		return fmt.Errorf("writing the journal of arming: %w", err)
	}
	if err := errors.Join(os.Rename(f.path+".new", f.path), syncFolder(filepath.Dir(f.path))); err != nil {
		return fmt.Errorf("writing the journal of arming: %w", err)
	}
	f.last = b
	return nil
}

// setAside keeps a damaged journal for whoever wants to know how it came to that.
func (f *journalFile) setAside() error {
	if err := os.Rename(f.path, f.path+".damaged"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("setting the damaged journal of arming aside: %w", err)
	}
	return syncFolder(filepath.Dir(f.path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes names that were made or changed in dir lasting.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// keep is a stamped draft as the journal holds it.
func keep(d event.Draft) (pendingEvent, error) {
	record, err := event.AppendRecord(nil, d.Event("", event.Epoch{}, 1))
	return pendingEvent{Record: record, Once: d.Once}, err
}

// draft is the event that the journal has kept.
func (p pendingEvent) draft() (event.Draft, error) {
	e, err := event.DecodeRecord("", event.Epoch{}, p.Record)
	if err != nil {
		return event.Draft{}, fmt.Errorf("%w: %w", errJournal, err)
	}
	return event.Draft{
		At: e.At, KernelNS: e.KernelNS, BootID: e.BootID, ClockQuality: e.ClockQuality, Kind: e.Kind, Qualifier: e.Qualifier,
		Zone: e.Zone, Source: e.Source, Severity: e.Severity, Body: e.Body, Once: p.Once,
	}, nil
}
