package bustest

import (
	"net"
	"testing"
)

// TestPipeConformance runs the contract against a pipe in memory, which tests of drivers may use for a serial line.
func TestPipeConformance(t *testing.T) {
	Serial(t, func(t *testing.T) SerialBench {
		line, other := net.Pipe()
		t.Cleanup(func() { _ = line.Close(); _ = other.Close() })
		return SerialBench{Line: line, Other: other}
	})
}
