package bustest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"watchpost/drivers/bus"
)

// Plan says how often what goes wrong: each chance is of one transaction, from 0 to 1, and one at most comes true.
type Plan struct {
	// NoAnswer is the chance that the chip does not acknowledge: nothing is done.
	NoAnswer float64
	// Stuck is the chance that the bus hangs, from this transaction on, for StuckFor transactions.
	Stuck    float64
	StuckFor int
	// Damaged is the chance that one bit of what is read is wrong, which the bus itself does not see.
	Damaged float64
	// BrownOut is the chance that the supply falls before the transaction: Reset is called then.
	BrownOut float64
	Reset    func()
	// Slow is the chance that the transaction takes SlowFor longer.
	Slow    float64
	SlowFor time.Duration
}

// Faults makes a good bus a bad one, the same way for the same seed. Its methods may be called at once from several goroutines.
type Faults struct {
	plan Plan

	mu    sync.Mutex // guards the fields below
	dice  *rand.Rand
	stuck int
	count map[string]int
}

// NewFaults has a plan and a seed.
func NewFaults(seed uint64, plan Plan) *Faults {
	return &Faults{plan: plan, dice: rand.New(rand.NewPCG(seed, 0)), count: map[string]int{}}
}

// Count is how often each fault came: noanswer, stuck, damaged, brownout, slow. A hang counts each of its transactions.
func (f *Faults) Count(fault string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[fault]
}

// I2C is inner with the faults of the plan.
func (f *Faults) I2C(inner bus.I2C) bus.I2C { return faultyI2C{f, inner} }

// OneWire is inner with the faults of the plan.
func (f *Faults) OneWire(inner bus.OneWire) bus.OneWire { return faultyWire{f, inner} }

// draw says what happens to the next transaction; damage is the bit of its answer that is turned over, or less than 0.
func (f *Faults) draw(bits int) (fault string, damage int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		if fault != "" {
			f.count[fault]++
		}
	}()
	damage = -1
	at := f.dice.Float64()
	if f.stuck > 0 {
		f.stuck--
		return "stuck", damage
	}
	hit := func(chance float64) bool {
		at -= chance
		return at < 0
	}
	switch p := f.plan; {
	case hit(p.NoAnswer):
		return "noanswer", damage
	case hit(p.Stuck):
		f.stuck = p.StuckFor - 1
		return "stuck", damage
	case hit(p.Damaged):
		if bits == 0 {
			return "", damage
		}
		return "damaged", f.dice.IntN(bits)
	case hit(p.BrownOut):
		return "brownout", damage
	case hit(p.Slow):
		return "slow", damage
	}
	return "", damage
}

// suffer does to a transaction what was drawn.
func (f *Faults) suffer(r []byte, tx func() error) error {
	fault, damage := f.draw(8 * len(r))
	switch fault {
	case "noanswer":
		return fmt.Errorf("by the fault plan: %w", bus.ErrNoAnswer)
	case "stuck":
		return fmt.Errorf("by the fault plan: %w", bus.ErrStuck)
	case "brownout":
		f.plan.Reset()
	case "slow":
		<-time.NewTimer(f.plan.SlowFor).C
	}
	err := tx()
	if damage >= 0 {
		r[damage/8] ^= 1 << (damage % 8)
	}
	return err
}

type faultyI2C struct {
	f     *Faults
	inner bus.I2C
}

func (b faultyI2C) Tx(addr uint16, w, r []byte) error {
	return b.f.suffer(r, func() error { return b.inner.Tx(addr, w, r) })
}

type faultyWire struct {
	f     *Faults
	inner bus.OneWire
}

func (b faultyWire) Tx(w, r []byte, strong bool) error {
	return b.f.suffer(r, func() error { return b.inner.Tx(w, r, strong) })
}

// Search suffers too, but what it finds is not damaged.
func (b faultyWire) Search(ctx context.Context) (roms []bus.ROM, err error) {
	err = b.f.suffer(nil, func() error {
		roms, err = b.inner.Search(ctx)
		return err
	})
	return roms, err
}
