package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"
)

// A writer is this test binary run again: it stores numbers on the disk and says so line by line, until it is killed.
const (
	writerEnv    = "DISK_TEST_WRITER" // what it stores them in
	writerDirEnv = "DISK_TEST_DIR"
)

func runWriter() bool {
	kind := os.Getenv(writerEnv)
	if kind == "" {
		return false
	}
	s, err := openStore(kind, os.Getenv(writerDirEnv))
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	for n := s.count(); ; n++ {
		if err := s.put(n); err != nil {
			fmt.Println("error", err)
			return true
		}
		fmt.Println("ack", n)
	}
}

// numbers is something that stores 0, 1, 2 …
type numbers interface {
	put(n uint64) error
	count() uint64 // how many there are, without a gap
	close() error
}

func openStore(kind, dir string) (numbers, error) {
	kind, sync := strings.CutSuffix(kind, "+sync")
	if kind == "badger" {
		return openBadger(filepath.Join(dir, "badger"), sync)
	}
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	return &plainLog{f, sync}, err
}

// plainLog is a file with a record of 64 bytes for each number.
type plainLog struct {
	f    *os.File
	sync bool
}

func (l *plainLog) put(n uint64) error {
	var record [64]byte
	binary.BigEndian.PutUint64(record[:], n+1)
	if _, err := l.f.Write(record[:]); err != nil || !l.sync {
		return err
	}
	return l.f.Sync()
}

func (l *plainLog) count() (n uint64) {
	for record := make([]byte, 64); ; n++ {
		if _, err := l.f.ReadAt(record, int64(n)*64); err != nil || binary.BigEndian.Uint64(record) != n+1 {
			return n
		}
	}
}

func (l *plainLog) close() error { return l.f.Close() }

type badgerStore struct{ *badger.DB }

// openBadger opens Badger as small as it gets, again when it finds a memtable file that a cut has left empty.
func openBadger(dir string, sync bool) (numbers, error) {
	opt := badger.DefaultOptions(dir).WithSyncWrites(sync).WithMemTableSize(2 << 20).WithNumMemtables(2).WithNumCompactors(2).
		WithBaseTableSize(1 << 20).WithValueLogFileSize(4 << 20).WithValueThreshold(64 << 10).WithLogger(nil)
	var all error
	for range 10 {
		db, err := badger.Open(opt)
		if err == nil {
			return badgerStore{db}, nil
		}
		all = errors.Join(all, err)
	}
	return nil, all
}

func (b badgerStore) put(n uint64) error {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], n)
	return b.Update(func(txn *badger.Txn) error { return txn.Set(key[:], make([]byte, 200)) })
}

func (b badgerStore) count() (n uint64) {
	txn := b.NewTransaction(false)
	defer txn.Discard()
	for key := make([]byte, 8); ; n++ {
		binary.BigEndian.PutUint64(key, n)
		if _, err := txn.Get(key); err != nil {
			return n
		}
	}
}

func (b badgerStore) close() error { return b.DB.Close() }

// cutWriter runs a writer until it has said acks times that it stored something, and cuts the power. It answers how many numbers
// were acknowledged.
func cutWriter(t *testing.T, d *Disk, kind string, acks int, torn bool) (acked uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+kind, writerDirEnv+"="+d.Mount)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	var power errgroup.Group
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		word, number, _ := strings.Cut(lines.Text(), " ")
		if word != "ack" {
			if n <= acks { // afterwards it has no power
				t.Errorf("writer: %s", lines.Text())
			}
			break
		}
		i, err := strconv.ParseUint(number, 10, 64)
		check(t, err)
		if acked = i + 1; n == acks {
			power.Go(func() error { return errors.Join(d.Off(torn), cmd.Process.Kill()) })
		}
	}
	for lines.Scan() { // what it says without power is not said
	}
	check(t, power.Wait())
	_ = cmd.Wait()
	check(t, d.On())
	return acked
}

// TestControl holds that the disk catches whoever does not sync, and does not accuse whoever does.
func TestControl(t *testing.T) {
	for kind, synced := range map[string]bool{"log": false, "log+sync": true, "badger": false, "badger+sync": true} {
		for _, torn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s torn=%t", kind, torn), func(t *testing.T) {
				const cuts = 4
				d := newDisk(t, Options{Seed: 1, Medium: t.TempDir()})
				random := rand.New(rand.NewPCG(1, 1))
				caught := 0
				for i := range cuts {
					acked := cutWriter(t, d, kind, 300+random.IntN(300), torn)
					s, err := openStore(kind, d.Mount)
					if err != nil && !synced {
						t.Logf("cut %d: %v", i, err) // a store that does not sync may as well be broken
						caught++
						break
					}
					check(t, err)
					if have := s.count(); have < acked {
						t.Logf("cut %d: %d of %d acknowledged numbers are lost", i, acked-have, acked)
						caught++
					}
					check(t, s.close())
				}
				if (caught == 0) != synced {
					t.Errorf("%d of %d cuts lost something; this store syncs: %t", caught, cuts, synced)
				}
			})
		}
	}
}
