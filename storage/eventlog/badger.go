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
)

// tiny is Badger's profile for a box with 512 MB to 1 GB: values stay in the tree, so that the memtable's log alone
// decides what survives; at most 15 % of MemTableSize (314,572 bytes) go into one transaction.
func tiny(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(memTableSize).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(6).
		WithBaseTableSize(1 << 20).
		WithBlockCacheSize(1 << 20).
		WithIndexCacheSize(1 << 20).
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
