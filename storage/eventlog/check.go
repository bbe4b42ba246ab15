package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/dgraph-io/ristretto/v2/z"
	"google.golang.org/protobuf/proto"
)

// suspicious is how many openings in a row that neither ended in good order nor lasted until calm make the log look at
// every block before Badger does: a block that kills Badger's own goroutines would otherwise kill the agent at each start.
const (
	suspicious = 3
	calm       = time.Minute
)

// What is wrapped by what checkFiles and sound find.
var (
	errDamage     = errors.New("damaged")
	errUnreadable = errors.New("the disk does not give back what was written")
)

// checkFiles looks at the files in which Badger would meet its end rather than an error: Badger opens tables in goroutines
// of its own, and a cut one ends the process (readNoFail in table/table.go). Missing ones are struck out. It also refuses tables without a
// MANIFEST, which Badger would take for rubbish and delete. With deep set, every block is read.
func checkFiles(opt badger.Options, deep bool) error {
	f, err := os.Open(filepath.Join(opt.Dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return checkNoTables(opt.Dir)
	}
	if err != nil {
		return err
	}
	manifest, end, err := badger.ReplayManifestFile(f, 0, opt)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w MANIFEST: %w", errDamage, err)
	}
	if err := strikeMissing(opt, manifest.Tables, end); err != nil {
		return err
	}
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{
		Dir: opt.Dir, ReadOnly: true, EncryptionKey: opt.EncryptionKey, EncryptionKeyRotationDuration: opt.EncryptionKeyRotationDuration,
	})
	if err != nil {
		return fmt.Errorf("keys of the tables: %w", err)
	}
	for id, entry := range manifest.Tables {
		name := table.NewFilename(id, opt.Dir)
		if err := checkTable(name); err != nil {
			return fmt.Errorf("table %s: %w", filepath.Base(name), err)
		}
		if deep {
			key, err := keys.DataKey(entry.KeyID)
			if err != nil {
				return fmt.Errorf("table %s: %w key: %w", filepath.Base(name), errDamage, err)
			}
			if err := checkBlocks(name, table.Options{
				BlockSize: opt.BlockSize, Compression: entry.Compression, ChkMode: opt.ChecksumVerificationMode, DataKey: key,
			}); err != nil {
				return fmt.Errorf("table %s: %w", filepath.Base(name), err)
			}
		}
	}
	return nil
}

// strikeMissing takes tables that are not on disk out of the MANIFEST, if anything else is there. A memtable that was flushed may be
// such a table: where its name did not become lasting, or the MANIFEST could not be synced. Its log is still there then, and
// nothing is lost; whatever else was in a missing table shows as a hole. With tables that the MANIFEST does not name, what is
// missing may be what they were merged to: Badger would delete them, so nothing is changed.
func strikeMissing(opt badger.Options, tables map[uint64]badger.TableManifest, end int64) error {
	var gone pb.ManifestChangeSet
	for id := range tables {
		if _, err := os.Stat(table.NewFilename(id, opt.Dir)); errors.Is(err, os.ErrNotExist) {
			gone.Changes = append(gone.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
		}
	}
	logs, err := filepath.Glob(filepath.Join(opt.Dir, "*"+walSuffix))
	here, err2 := filepath.Glob(filepath.Join(opt.Dir, "*.sst"))
	left := len(tables) - len(gone.Changes)
	if err := errors.Join(err, err2); err != nil || len(gone.Changes) == 0 || len(here) > left || len(here)+len(logs) == 0 {
		return err
	}
	text, err := proto.Marshal(&gone)
	if err != nil {
		return err
	}
	record := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	record = binary.BigEndian.AppendUint32(record, crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
	f, err := os.OpenFile(filepath.Join(opt.Dir, badger.ManifestFilename), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(end) // a torn record may stand there
	if err == nil {
		_, err = f.WriteAt(append(record, text...), end)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("taking missing tables out of the MANIFEST: %w", err)
	}
	for _, c := range gone.Changes {
		delete(tables, c.Id)
	}
	opt.Logger.Errorf("%d tables in the MANIFEST are not on disk; it goes on without them", len(gone.Changes))
	return nil
}

func checkNoTables(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err == nil && len(tables) > 0 {
		err = fmt.Errorf("%w: %d tables without a MANIFEST", errDamage, len(tables))
	}
	return err
}

// checkTable verifies a table's footer and index: index, its length (4 bytes), checksum, its length (4 bytes) end the
// file (Builder.Done in badger's table/builder.go).
func checkTable(name string) (err error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: in the MANIFEST, not on disk", errDamage)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	sum, end, err := lastPart(f, end, 64)
	if err != nil {
		return err
	}
	index, _, err := lastPart(f, end, end)
	if err != nil {
		return err
	}
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return fmt.Errorf("%w footer: %w", errDamage, err)
	}
	if err := y.VerifyChecksum(index, &want); err != nil {
		return fmt.Errorf("%w index: %w", errDamage, err)
	}
	return nil
}

// lastPart reads a part that ends at end and is followed there by its length, and answers where it begins.
func lastPart(f io.ReaderAt, end, limit int64) (part []byte, start int64, err error) {
	var length [4]byte
	if end < int64(len(length)) {
		return nil, 0, fmt.Errorf("%w: cut short", errDamage)
	}
	if _, err := f.ReadAt(length[:], end-4); err != nil {
		return nil, 0, err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n == 0 || n > limit || n > end-4 {
		return nil, 0, fmt.Errorf("%w: a part of %d bytes where %d are left", errDamage, n, end-4)
	}
	part = make([]byte, n)
	if _, err := f.ReadAt(part, end-4-n); err != nil {
		return nil, 0, err
	}
	return part, end - 4 - n, nil
}

// checkBlocks reads every block of a table.
func checkBlocks(name string, opt table.Options) error {
	if opt.DataKey != nil { // the index of an encrypted table is read through a cache
		cache, err := ristretto.NewCache(&ristretto.Config[uint64, *fb.TableIndex]{NumCounters: 100, MaxCost: 8 << 20, BufferItems: 64})
		if err != nil {
			return err
		}
		defer cache.Close()
		opt.IndexCache = cache
	}
	f, err := z.OpenMmapFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return sound(func() error {
		t, err := table.OpenTable(f, opt)
		if err != nil {
			return fmt.Errorf("%w: %w", errDamage, err)
		}
		if err := t.VerifyChecksum(); err != nil {
			return errors.Join(fmt.Errorf("%w: %w", errDamage, err), t.Close(-1))
		}
		return t.Close(-1)
	})
}

// sound does something that reads through Badger, and answers a panic as damage: Badger takes a block apart before it
// looks at its checksum, and a sector that cannot be read is a fault of the memory map in which the file stands.
func sound(do func() error) error {
	deepen()
	err, r := caught(do)
	if fault, ok := r.(interface{ Addr() uintptr }); ok {
		return fmt.Errorf("%w: %w: %v", errDamage, errUnreadable, fault)
	} else if r != nil {
		return fmt.Errorf("%w: badger: %v", errDamage, r)
	}
	return err
}

// caught answers what do does, or what it panics with. The fault may come within assembly (Snappy's), whose frames the runtime
// can neither move nor scan. Until they are gone the stack must not grow, and nothing may take long: it would end the process.
func caught(do func() error) (err error, panicked any) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { panicked = recover() }()
	return do(), nil
}

// deepen makes the stack grow now by what Badger, a fault and its panic need of it.
//
//go:noinline
func deepen() {
	var room [32 << 10]byte
	touch(room[:])
}

//go:noinline
func touch(b []byte) { b[0] = 1 }
