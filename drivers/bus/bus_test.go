package bus

import (
	"io/fs"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"door": true, "pir-2": true, "0": true, "-": true, strings.Repeat("x", MaxName): true,
		"": false, "Door": false, "a b": false, "tür": false, "a\n": false, strings.Repeat("x", MaxName+1): false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
}

// TestZeroEdge holds the rule that an edge that nobody filled in is not taken for a level.
func TestZeroEdge(t *testing.T) {
	if (Edge{}).Quality != Missing {
		t.Error("the zero Edge is not missing")
	}
}

// TestDown holds which faults are the bus's own.
func TestDown(t *testing.T) {
	for err, want := range map[error]bool{ErrStuck: true, ErrTimeout: true, fs.ErrNotExist: true, ErrNoAnswer: false, ErrChecksum: false, nil: false} {
		if Down(err) != want {
			t.Errorf("Down(%v) = %v", err, !want)
		}
	}
}
