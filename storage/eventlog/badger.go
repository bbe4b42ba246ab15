package eventlog

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	memTableSize = 2 << 20
	walSize      = 2 * memTableSize // Badger maps a memtable's log at twice its size
	walSuffix    = ".mem"
	oneLevel     = 1 << 40 // bytes up to which level 0 is merged into the last level, whose end is all that it meets there
	noStall      = 1 << 20 // tables of level 0: the writer is held up instead (crowded)
)

// tiny is Badger's profile for a box with 512 MB to 1 GB: values stay in the tree, so that the memtable's log alone
// decides what survives, and that is synced here (wal); at most 15 % of MemTableSize (314,572 bytes) go into one
// transaction. Badger's compactors look for work twenty times a second each; there are none, and merge calls for the work.
func tiny(dir string, key []byte, log *slog.Logger) badger.Options {
	indexCache := int64(1 << 20)
	if len(key) > 0 {
		indexCache = 4 << 20 // the indexes are not simply mapped then
	}
	return badger.DefaultOptions(dir).
		WithEncryptionKey(key).
		WithSyncWrites(false).
		WithMemTableSize(memTableSize).
		WithNumMemtables(2).
		WithNumCompactors(0).
		WithNumLevelZeroTables(1).
		WithNumLevelZeroTablesStall(noStall).
		WithBaseTableSize(1 << 20).
		WithBaseLevelSize(oneLevel).
		WithBlockCacheSize(1 << 20).
		WithIndexCacheSize(indexCache).
		WithValueLogFileSize(4 << 20).
		WithValueThreshold(64 << 10).
		WithCompression(options.Snappy).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithNumGoroutines(2).
		WithLogger(badgerLog{log})
}

// badgerLog tells the station's log what Badger complains about. What Badger is merely doing is left out.
type badgerLog struct{ log *slog.Logger }

var _ badger.Logger = badgerLog{}

func (b badgerLog) say(level slog.Level, format string, args []any) {
	b.log.Log(context.Background(), level, "event log: badger", "detail", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Errorf tells an error.
func (b badgerLog) Errorf(format string, args ...any) { b.say(slog.LevelError, format, args) }

// Warningf tells a warning.
func (b badgerLog) Warningf(format string, args ...any) { b.say(slog.LevelWarn, format, args) }

// Infof tells nothing.
func (badgerLog) Infof(string, ...any) {}

// Debugf tells nothing.
func (badgerLog) Debugf(string, ...any) {}
