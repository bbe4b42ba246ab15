package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"watchpost/drivers/bus"
)

// ROM commands of 1-wire (Maxim application note 187).
const (
	readROM  = 0x33
	matchROM = 0x55
	skipROM  = 0xcc
)

// Slave is what a 1-wire chip does once it is addressed: w is what follows the ROM command, and r, all ff, is pulled low bit
// by bit. strong is that of the transaction.
type Slave func(w, r []byte, strong bool)

// Wires is a bus.OneWire in memory, with chips by their codes.
type Wires struct {
	mu     sync.Mutex // guards the fields below and holds a transaction together
	slaves map[bus.ROM]Slave
	stuck  bool
}

var _ bus.OneWire = (*Wires)(nil)

// NewWires is a bus with chips on it; a nil Slave answers nothing but its code.
func NewWires(slaves map[bus.ROM]Slave) *Wires {
	b := &Wires{slaves: map[bus.ROM]Slave{}}
	maps.Copy(b.slaves, slaves)
	return b
}

// Put touches a chip to the bus.
func (b *Wires) Put(rom bus.ROM, s Slave) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slaves[rom] = s
}

// Take takes a chip away.
func (b *Wires) Take(rom bus.ROM) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.slaves, rom)
}

// Stick holds the wire low, or lets it go.
func (b *Wires) Stick(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stuck = on
}

// ready needs the mutex.
func (b *Wires) ready() error {
	switch {
	case b.stuck:
		return fmt.Errorf("1-wire: %w", bus.ErrStuck)
	case len(b.slaves) == 0:
		return fmt.Errorf("1-wire: %w", bus.ErrNoAnswer)
	}
	return nil
}

// Tx implements bus.OneWire. Chips that answer at once pull the wire low together.
func (b *Wires) Tx(w, r []byte, strong bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ready(); err != nil {
		return err
	}
	for i := range r {
		r[i] = 0xff
	}
	for rom, slave := range b.slaves {
		rest, called := calls(w, rom)
		answer := bytes.Repeat([]byte{0xff}, len(r))
		switch wire := rom.Wire(); {
		case !called:
			continue
		case len(w) > 0 && w[0] == readROM:
			copy(answer, wire[:])
		case slave != nil:
			slave(rest, answer, strong)
		}
		for i := range r {
			r[i] &= answer[i]
		}
	}
	return nil
}

// calls says whether a transaction is for a chip, and what follows the ROM command.
func calls(w []byte, rom bus.ROM) (rest []byte, called bool) {
	wire := rom.Wire()
	switch {
	case len(w) == 0:
		return nil, false
	case w[0] == readROM || w[0] == skipROM:
		return w[1:], true
	case w[0] == matchROM && bytes.HasPrefix(w[1:], wire[:]):
		return w[1+len(wire):], true
	}
	return nil, false
}

// Search implements bus.OneWire: the chips in the order of their codes.
func (b *Wires) Search(ctx context.Context) ([]bus.ROM, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ready(); err != nil && !errors.Is(err, bus.ErrNoAnswer) {
		return nil, err
	}
	return slices.Sorted(maps.Keys(b.slaves)), nil
}

// OneWireBench is a bus.OneWire with hands on its wire.
type OneWireBench struct {
	Bus bus.OneWire
	// Put touches a chip to the wire that answers function be hexadecimal with the nine bytes, and Take takes it away. At the
	// start there is none.
	Put  func(rom bus.ROM, answer [9]byte)
	Take func(rom bus.ROM)
}

// OneWire holds an implementation of bus.OneWire to its contract. Start makes a new bench for each part.
func OneWire(t *testing.T, start func(t *testing.T) OneWireBench) {
	for name, part := range map[string]func(*testing.T, OneWireBench){
		"empty":      wireEmpty,
		"search":     wireSearch,
		"addressed":  wireAddressed,
		"its code":   wireCode,
		"taken away": wireTaken,
	} {
		t.Run(name, func(t *testing.T) { part(t, start(t)) })
	}
}

// readMemory asks one chip for what it holds.
func readMemory(b bus.OneWire, rom bus.ROM) ([]byte, error) {
	wire := rom.Wire()
	r := make([]byte, 9)
	err := b.Tx(append(append([]byte{matchROM}, wire[:]...), 0xbe), r, false)
	return r, err
}

func wireEmpty(t *testing.T, b OneWireBench) {
	if roms, err := b.Bus.Search(t.Context()); err != nil || len(roms) != 0 {
		t.Errorf("search of an empty wire: %s, %v", roms, err)
	}
	if err := b.Bus.Tx([]byte{skipROM}, make([]byte, 1), false); !errors.Is(err, bus.ErrNoAnswer) {
		t.Errorf("nobody pulls the wire low after the reset: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if roms, err := b.Bus.Search(ctx); err == nil {
		t.Errorf("search after the end of its context: %s", roms)
	}
}

func wireSearch(t *testing.T, b OneWireBench) {
	var want []bus.ROM
	for i := range 5 {
		rom := bus.NewROM(byte(i%2)*0x27+1, uint64(i)*0x111111+3)
		want = append(want, rom)
		b.Put(rom, [9]byte{})
		got, err := b.Bus.Search(t.Context())
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("found %s, %v; want %s", got, err, want)
		}
	}
}

func wireAddressed(t *testing.T, b OneWireBench) {
	one, other, absent := bus.NewROM(0x28, 1), bus.NewROM(0x28, 2), bus.NewROM(0x28, 3)
	b.Put(one, [9]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	b.Put(other, [9]byte{9, 8, 7, 6, 5, 4, 3, 2, 1})
	for rom, first := range map[bus.ROM]byte{one: 1, other: 9} {
		if r, err := readMemory(b.Bus, rom); err != nil || r[0] != first || r[8] != 10-first {
			t.Errorf("%s holds % x, %v", rom, r, err)
		}
	}
	if r, err := readMemory(b.Bus, absent); err == nil && !bytes.Equal(r, bytes.Repeat([]byte{0xff}, 9)) {
		t.Errorf("a chip that is not there holds % x", r)
	}
}

func wireCode(t *testing.T, b OneWireBench) {
	rom := bus.NewROM(1, 0xb81c)
	b.Put(rom, [9]byte{})
	var wire [8]byte
	if err := b.Bus.Tx([]byte{readROM}, wire[:], false); err != nil || wire != rom.Wire() {
		t.Errorf("the only chip says % x, %v", wire, err)
	}
	if _, err := bus.ROMOfWire(wire); err != nil {
		t.Error(err)
	}
}

func wireTaken(t *testing.T, b OneWireBench) {
	rom := bus.NewROM(1, 7)
	b.Put(rom, [9]byte{})
	if roms, err := b.Bus.Search(t.Context()); err != nil || len(roms) != 1 {
		t.Fatalf("%s, %v", roms, err)
	}
	b.Take(rom)
	if roms, err := b.Bus.Search(t.Context()); err != nil || len(roms) != 0 {
		t.Errorf("found %s, %v", roms, err)
	}
	if _, err := readMemory(b.Bus, rom); !errors.Is(err, bus.ErrNoAnswer) {
		t.Errorf("an empty wire: %v", err)
	}
}
