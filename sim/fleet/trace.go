package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strconv"
	"time"
)

// tailKept is how many of the last steps a failure shows.
const tailKept = 80

// trace writes each step down: nanoseconds since the beginning, actor, action, numbers. Its hash is the history's name.
type trace struct {
	sum   hash.Hash
	out   io.Writer // nil = nowhere
	err   error     // of out, the first
	line  []byte
	tail  [tailKept]string
	steps uint64
}

func newTrace(out io.Writer) *trace { return &trace{sum: sha256.New(), out: out} }

func (t *trace) step(at time.Duration, actor, action string, numbers ...uint64) {
	b := strconv.AppendInt(t.line[:0], int64(at), 10)
	b = append(append(append(append(b, ' '), actor...), ' '), action...)
	for _, n := range numbers {
		b = strconv.AppendUint(append(b, ' '), n, 10)
	}
	b = append(b, '\n')
	t.line = b
	_, _ = t.sum.Write(b) // a hash never fails
	if t.out != nil && t.err == nil {
		_, t.err = t.out.Write(b)
	}
	t.tail[t.steps%tailKept] = string(b)
	t.steps++
}

func (t *trace) hash() string { return hex.EncodeToString(t.sum.Sum(nil)) }

// last are the latest steps, the oldest first.
func (t *trace) last() []string {
	var lines []string
	for i := t.steps; i < t.steps+tailKept; i++ {
		if l := t.tail[i%tailKept]; l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}
