package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cell is a chip of one register.
type cell struct{ value byte }

func (c *cell) Write(b []byte) { c.value = b[0] }
func (c *cell) PowerOn()       { c.value = 0 }
func (c *cell) Read(b []byte) {
	for i := range b {
		b[i] = c.value
	}
}

// A caller with sentinels of its own recognises the faults by their words.
func TestFaultsAreKnownByTheirWords(t *testing.T) {
	theirs := errors.New("no answer")
	err := NewI2C().Tx(0x20, nil, nil)
	if !errors.Is(err, theirs) || !errors.Is(err, NoAnswer) || errors.Is(err, Stuck) || errors.Is(err, errors.New("no answer in time")) {
		t.Errorf("%v", err)
	}
}

func TestI2CFaults(t *testing.T) {
	bus, c := NewI2C(), &cell{}
	must(t, bus.Put(0x20, c))
	read := func() (byte, error) {
		r := make([]byte, 1)
		err := bus.Tx(0x20, nil, r)
		return r[0], err
	}
	must(t, bus.Tx(0x20, []byte{7}, nil))
	if v, err := read(); v != 7 || err != nil {
		t.Fatal(v, err)
	}
	must(t, bus.Pull(0x20))
	if _, err := read(); !errors.Is(err, NoAnswer) {
		t.Errorf("a pulled chip: %v", err)
	}
	must(t, bus.Plug(0x20))
	if v, err := read(); v != 7 || err != nil {
		t.Errorf("a chip keeps its registers while it is off the bus: %d, %v", v, err)
	}
	bus.Stick(true)
	if _, err := read(); !errors.Is(err, Stuck) {
		t.Errorf("a stuck bus: %v", err)
	}
	bus.Stick(false)
	must(t, bus.Damage(0x20, 1))
	if v, err := read(); v != 0x17 || err != nil {
		t.Errorf("a damaged answer: %#x, %v", v, err)
	}
	if v, err := read(); v != 7 || err != nil {
		t.Errorf("the answer behind it: %d, %v", v, err)
	}
	must(t, bus.BrownOut(0x20))
	if v, err := read(); v != 0 || err != nil {
		t.Errorf("behind a brown-out: %d, %v", v, err)
	}
	for name, err := range map[string]error{
		"Pull": bus.Pull(0x21), "Plug": bus.Plug(0x21), "BrownOut": bus.BrownOut(0x21), "Damage": bus.Damage(0x21, 1),
		"Put low": bus.Put(0x07, c), "Put high": bus.Put(0x78, c),
	} {
		if err == nil {
			t.Errorf("%s took a wrong address", name)
		}
	}
}

func TestSlowChips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, wire := NewI2C(), NewOneWire()
		must(t, bus.Put(0x20, &cell{}))
		wire.Put(Code(1, 1), &tag{})
		for _, c := range []struct{ delay, took time.Duration }{{0, 0}, {30 * time.Millisecond, 30 * time.Millisecond}, {time.Hour, time.Second}} {
			bus.Slow(c.delay)
			wire.Slow(c.delay)
			for name, tx := range map[string]func() error{
				"i2c": func() error { return bus.Tx(0x20, nil, make([]byte, 1)) }, "1-wire": func() error { return wire.Tx([]byte{skipROM}, nil, false) },
			} {
				begun := time.Now()
				err := tx()
				if took := time.Since(begun); took != c.took || errors.Is(err, Timeout) != (c.delay > time.Second) {
					t.Errorf("%s by %s: %v in %s", name, c.delay, err, took)
				}
			}
		}
	})
}

// tag is a device that remembers what it was told, and pulls the bits of its own answer.
type tag struct {
	told   []byte
	strong bool
	answer byte
	power  int
}

func (d *tag) Talk(w, r []byte, strong bool) {
	d.told, d.strong = slices.Clone(w), strong
	for i := range r {
		r[i] &= d.answer
	}
}

func (d *tag) PowerOn() { d.power++ }

// The vectors of Maxim's application note 27, figure 5: the code of a device and its CRC.
func TestCRC8(t *testing.T) {
	if got := CRC8([]byte{0x02, 0x1C, 0xB8, 0x01, 0, 0, 0}); got != 0xA2 {
		t.Errorf("%#x, want 0xa2", got)
	}
	if got := Code(0x02, 0x01B81C); got != 0xA200000001B81C02 {
		t.Errorf("%016x", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		code := Code(rapid.Byte().Draw(t, "family"), rapid.Uint64().Draw(t, "serial"))
		if CRC8(binary.LittleEndian.AppendUint64(nil, code)) != 0 {
			t.Fatalf("%016x does not check", code)
		}
	})
}

func TestOneWire(t *testing.T) {
	bus := NewOneWire()
	if err := bus.Tx([]byte{skipROM}, nil, false); !errors.Is(err, NoAnswer) {
		t.Errorf("nobody there: %v", err)
	}
	if found, err := bus.Search(t.Context()); len(found) != 0 || err != nil {
		t.Errorf("nobody found: %x, %v", found, err)
	}
	one, two := &tag{answer: 0xF0}, &tag{answer: 0x3C}
	a, b := Code(0x28, 1), Code(0x28, 2)
	bus.Put(a, one)
	bus.Put(b, two)
	r := make([]byte, 2)
	must(t, bus.Tx([]byte{skipROM, 0x44}, r, true))
	if r[0] != 0x30 || r[1] != 0x30 || string(one.told) != "\x44" || !two.strong {
		t.Errorf("all at once: %x, told %x and %+v", r, one.told, two)
	}
	one.told, two.told = nil, nil
	must(t, bus.Tx(append(binary.LittleEndian.AppendUint64([]byte{matchROM}, b), 0xBE), r, false))
	if r[0] != 0x3C || one.told != nil || string(two.told) != "\xBE" {
		t.Errorf("one by its code: %x, told %x and %x", r, one.told, two.told)
	}
	must(t, bus.Tx([]byte{0x99}, r, false))
	if r[0] != 0xFF {
		t.Errorf("a command that no device knows reads %x", r)
	}
	must(t, bus.Touch(a, false))
	code := make([]byte, 8)
	must(t, bus.Tx([]byte{readROM}, code, false))
	if got := binary.LittleEndian.Uint64(code); got != b {
		t.Errorf("the only one is %016x, want %016x", got, b)
	}
	must(t, bus.Touch(a, true))
	must(t, bus.Touch(a, true)) // it is there already
	must(t, bus.BrownOut(b))
	if one.power != 1 || two.power != 1 {
		t.Errorf("power came %d and %d times, want once each", one.power, two.power)
	}
	for name, err := range map[string]error{"Touch": bus.Touch(1, true), "BrownOut": bus.BrownOut(1)} {
		if err == nil {
			t.Errorf("%s took a wrong code", name)
		}
	}
	bus.Damage(2)
	must(t, bus.Tx([]byte{skipROM}, r, false))
	if r[0] != 0x30 || r[1] != 0x20 {
		t.Errorf("a damaged answer: %x", r)
	}
	found, err := bus.Search(t.Context())
	if err != nil || len(found) != 2 || CRC8(binary.LittleEndian.AppendUint64(nil, found[0])) == 0 {
		t.Errorf("a damaged search: %x, %v", found, err)
	}
	bus.Short(true)
	for name, err := range map[string]error{"Tx": bus.Tx([]byte{skipROM}, nil, false), "Search": second(bus.Search(t.Context()))} {
		if !errors.Is(err, Stuck) {
			t.Errorf("%s over a shorted wire: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bus.Search(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a search that is not wanted any more: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// rom is a type of codes as a caller may have one.
type rom uint64

// The order is that of the search by bits: with the lowest bits as the first branch.
func TestSearchOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		codes := rapid.SliceOfNDistinct(rapid.Uint64(), 1, 9, rapid.ID).Draw(rt, "codes")
		bus := NewOneWire()
		for _, c := range codes {
			bus.Put(c, &tag{})
		}
		found, err := As[rom](bus).Search(context.Background())
		if err != nil || len(found) != len(codes) {
			rt.Fatal(found, err)
		}
		var want []rom
		walk(codes, 0, func(c uint64) { want = append(want, rom(c)) })
		if !slices.Equal(found, want) {
			rt.Fatalf("found %x, want %x", found, want)
		}
	})
}

// walk is the search as application note 187 has it: all codes with bit 0 at a position before those with bit 1.
func walk(codes []uint64, bit int, found func(uint64)) {
	if len(codes) == 1 {
		found(codes[0])
		return
	}
	for side := range uint64(2) {
		var branch []uint64
		for _, c := range codes {
			if c>>bit&1 == side {
				branch = append(branch, c)
			}
		}
		if len(branch) > 0 {
			walk(branch, bit+1, found)
		}
	}
}

// Transactions of many callers do not mix.
func TestTransactionsAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := NewI2C()
		must(t, bus.Put(0x20, &cell{}))
		bus.Slow(time.Millisecond)
		done := make(chan error)
		for i := range byte(8) {
			task := func() {
				r := make([]byte, 3)
				err := bus.Tx(0x20, []byte{i}, r)
				if err == nil && (r[0] != i || r[2] != i) {
					err = fmt.Errorf("wrote %d, read %d", i, r)
				}
				done <- err
			}
			time.AfterFunc(0, task)
		}
		for range 8 {
			must(t, <-done)
		}
	})
}
