package station

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// memoName is the file of a memo in the data directory.
const memoName = "memo.json"

// maxMemo bounds the file, in bytes.
const maxMemo = 64 << 10

// memo is the little that a station remembers from run to run beside its log. A memo that is lost or cannot be read costs
// a repeated event, nothing else.
type memo struct {
	path string // "" = it is remembered for this run only

	mu  sync.Mutex // guards the field below
	now memory
}

// memory is the content of a memo, and of its file.
type memory struct {
	V       int                 `json:"v"`
	Filters map[string][]string `json:"filters"` // the lanes that each centre was last told to be sent
	Test    testResult          `json:"test,omitzero"`
}

// testResult is how the last daily test alarm went.
type testResult struct {
	At time.Time `json:"at"` // by the wall clock
	OK bool      `json:"ok"`
}

// openMemo reads the memo in a data directory; "" is one that no disk holds.
func openMemo(dir string) (*memo, error) {
	m := &memo{now: memory{V: 1}}
	if dir == "" {
		return m, nil
	}
	m.path = filepath.Join(dir, memoName)
	b, err := os.ReadFile(m.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return m, nil
	case err != nil:
		return m, fmt.Errorf("reading the memo: %w", err)
	}
	var was memory
	if len(b) > maxMemo || json.Unmarshal(b, &was) != nil || was.V != 1 {
		return m, fmt.Errorf("%s cannot be read, and is written anew", m.path)
	}
	m.now = was
	return m, nil
}

// read is what is remembered. It is not to be changed.
func (m *memo) read() memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// change remembers what f makes of it, on disk before it returns nil.
func (m *memo) change(f func(*memory)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.now)
	if m.path == "" {
		return nil
	}
	b, err := json.Marshal(m.now)
	if err != nil {
		return fmt.Errorf("writing the memo: %w", err)
	}
	if err := renameio.WriteFile(m.path, b, 0o600); err != nil {
		return fmt.Errorf("writing the memo: %w", err)
	}
	return nil
}
