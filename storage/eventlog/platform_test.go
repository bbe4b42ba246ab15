package eventlog

import (
	"errors"
	"strconv"
	"testing"
)

// TestPlatform: where an int has 32 bits, no log is opened. The other tests of this package cannot pass there.
func TestPlatform(t *testing.T) {
	l, err := Open(Options{Dir: t.TempDir(), Station: "cs-baishi-caoping"})
	if err == nil {
		err = l.Close()
	}
	if got, want := errors.Is(err, ErrPlatform), strconv.IntSize < 64; got != want {
		t.Errorf("opening with an int of %d bits: %v", strconv.IntSize, err)
	}
}
