package fleet

import (
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"time"
)

// dice are one actor's own random numbers: the same for a seed on every machine, whatever the other actors do. They are whole
// numbers throughout; a processor that fuses floating-point operations would make another history.
type dice struct{ source *rand.PCG }

func newDice(seed uint64, actor string) dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(actor)) // a hash never fails
	return dice{rand.NewPCG(seed, h.Sum64())}
}

// below is a number from 0 to n-1; n is at least 1.
func (d dice) below(n uint64) uint64 {
	high, _ := bits.Mul64(d.source.Uint64(), n)
	return high
}

func (d dice) oneIn(n uint64) bool { return d.below(n) == 0 }

// between is a time from least to most.
func (d dice) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.below(uint64(most-least)+1))
}

// about is a time around a typical one: seldom far longer, as outages and pauses are.
func (d dice) about(typical time.Duration) time.Duration {
	t := d.between(typical/4, typical)
	for range 6 {
		if !d.oneIn(3) {
			break
		}
		t *= 2
	}
	return t
}
