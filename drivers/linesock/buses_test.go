package linesock

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	simwire "watchpost/sim/board/wire"
)

// memory is a chip of 256 bytes at the simulated box.
type memory struct {
	at    byte
	bytes [256]byte
}

func (m *memory) Write(b []byte) {
	m.at = b[0]
	for _, v := range b[1:] {
		m.bytes[m.at] = v
		m.at++
	}
}

func (m *memory) Read(b []byte) {
	for i := range b {
		b[i] = m.bytes[m.at]
		m.at++
	}
}

func (m *memory) PowerOn() { *m = memory{} }

// holder is a 1-wire device of the simulated box that answers function be hexadecimal.
type holder [9]byte

func (h holder) Talk(w, r []byte, _ bool) {
	if len(w) == 1 && w[0] == 0xbe {
		copy(r, h[:])
	}
}

func (holder) PowerOn() {}

// TestI2CConformance runs the contract over a socket, against the simulated box, whose codec is its own.
func TestI2CConformance(t *testing.T) {
	bustest.I2C(t, func(t *testing.T) bustest.I2CBench {
		n, chips := newBench(t), simwire.NewI2C()
		must(t, chips.Put(0x48, &memory{}))
		must(t, n.board.CarryI2C("chips", chips))
		b := n.client(0).I2C("chips")
		t.Cleanup(func() { must(t, b.Close()) })
		return bustest.I2CBench{Bus: b, Stick: func() { chips.Stick(true) }, Free: func() { chips.Stick(false) }}
	})
}

func TestOneWireConformance(t *testing.T) {
	bustest.OneWire(t, func(t *testing.T) bustest.OneWireBench {
		n, keys := newBench(t), simwire.NewOneWire()
		must(t, n.board.CarryOneWire("keys", keys))
		b := n.client(0).OneWire("keys")
		t.Cleanup(func() { must(t, b.Close()) })
		return bustest.OneWireBench{
			Bus: b, Put: func(rom bus.ROM, answer [9]byte) { keys.Put(uint64(rom), holder(answer)) },
			Take: func(rom bus.ROM) { must(t, keys.Touch(uint64(rom), false)) },
		}
	})
}

// TestDeadBoxes are boxes without an answer: within about a second, and the error names the socket.
func TestDeadBoxes(t *testing.T) {
	absent, err := New(Options{Socket: filepath.Join(t.TempDir(), "box")})
	must(t, err)
	n := newBench(t)
	n.board.Mute(true)
	for name, box := range map[string]*Box{"absent": absent, "mute": n.client(0), "no greeting": script(t, "hello"), "no answer": script(t, "linesock 1")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			err := box.I2C("chips").Tx(0x48, []byte{0}, nil)
			if !errors.Is(err, bus.ErrTimeout) || !strings.Contains(err.Error(), box.o.Socket) {
				t.Error(err)
			}
			if took := time.Since(begun); took > 3*txTimeout/2 {
				t.Errorf("it took %s", took)
			}
			if roms, err := box.OneWire("keys").Search(t.Context()); !errors.Is(err, bus.ErrTimeout) {
				t.Errorf("search: %s, %v", roms, err)
			}
		})
	}
}

// TestBusAnswersOfOthers are answers that must not be taken for a chip's.
func TestBusAnswersOfOthers(t *testing.T) {
	for _, answer := range []string{"ok i2c other 60", "ok w1 chips 60", "ok i2c chips -", "ok i2c chips 6061", "pong", "err w1 chips stuck x", "ok i2c chips 6"} {
		b := script(t, "linesock 1", answer).I2C("chips")
		r := []byte{7}
		if err := b.Tx(0x76, []byte{0xd0}, r); !errors.Is(err, bus.ErrTimeout) || !errors.Is(err, errProtocol) || r[0] != 7 {
			t.Errorf("%q: read %x, %v", answer, r, err)
		}
		must(t, b.Close())
	}
	for word, want := range map[string]error{"noanswer": bus.ErrNoAnswer, "stuck": bus.ErrStuck, "timeout": bus.ErrTimeout, "checksum": bus.ErrChecksum, "refused": errRefused} {
		b := script(t, "linesock 1", "err w1 keys "+word+" so it is").OneWire("keys")
		if err := b.Tx([]byte{0xcc}, nil, true); !errors.Is(err, want) || !strings.Contains(err.Error(), "so it is") {
			t.Errorf("%s: %v", word, err)
		}
		must(t, b.Close())
	}
	b := script(t, "linesock 1", "ok w1search keys a200000001b81c02,a300000001b81c02").OneWire("keys")
	if roms, err := b.Search(t.Context()); !errors.Is(err, bus.ErrChecksum) || roms != nil {
		t.Errorf("a damaged code: %s, %v", roms, err)
	}
	must(t, b.Close())
}

func TestBusRequestsThatAreNone(t *testing.T) {
	n := newBench(t)
	box := n.client(0)
	for name, err := range map[string]error{
		"bus name": box.I2C("Chips").Tx(1, nil, nil), "no such bus": box.I2C("attic").Tx(1, nil, nil), "address": box.I2C("chips").Tx(0x80, nil, nil),
		"written": box.I2C("chips").Tx(1, make([]byte, bus.MaxData+1), nil), "read": box.OneWire("keys").Tx(nil, make([]byte, bus.MaxData+1), false),
	} {
		if err == nil || errors.Is(err, bus.ErrTimeout) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBoxComesBack holds that a bus works again by itself after its box was away, and that one connection is kept.
func TestBoxComesBack(t *testing.T) {
	n, chips := newBench(t), simwire.NewI2C()
	must(t, chips.Put(0x48, &memory{}))
	must(t, n.board.CarryI2C("chips", chips))
	b := n.client(0).I2C("chips")
	for range 5 {
		must(t, b.Tx(0x48, []byte{0}, make([]byte, 1)))
	}
	if got := n.board.Stations(); got != 1 {
		t.Errorf("%d connections for one bus", got)
	}
	n.stop()
	if err := b.Tx(0x48, []byte{0}, nil); !errors.Is(err, bus.ErrTimeout) {
		t.Errorf("the box is away: %v", err)
	}
	n.on()
	must(t, b.Tx(0x48, []byte{0}, nil))
	b.used = time.Now().Add(-idleLimit - time.Second)
	n.board.Disconnect() // as a box does with a station that was silent for long
	must(t, b.Tx(0x48, []byte{0}, nil))
	must(t, b.Close())
}

// TestSearchEndsWithItsContext holds that a search of a box that says nothing ends when its context does.
func TestSearchEndsWithItsContext(t *testing.T) {
	n := newBench(t)
	b := n.client(0).OneWire("keys")
	if _, err := b.Search(t.Context()); err == nil {
		t.Fatal("there is no such bus")
	}
	n.board.Mute(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := b.Search(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > txTimeout/2 {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
}

// TestManyUsersOfADeadBus holds that nobody waits for the seconds of others.
func TestManyUsersOfADeadBus(t *testing.T) {
	n := newBench(t)
	b := n.client(0).I2C("chips")
	if err := b.Tx(1, nil, nil); err == nil {
		t.Fatal("there is no such bus")
	}
	n.board.Mute(true)
	begun := time.Now()
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			if err := b.Tx(0x48, nil, nil); !errors.Is(err, bus.ErrTimeout) {
				return errors.Join(errors.New("no timeout"), err)
			}
			return nil
		})
	}
	must(t, group.Wait())
	if took := time.Since(begun); took > 2*txTimeout {
		t.Errorf("eight users waited %s", took)
	}
}

// BenchmarkI2C is one transaction over a socket.
func BenchmarkI2C(b *testing.B) {
	n, chips := newBench(b), simwire.NewI2C()
	must(b, errors.Join(chips.Put(0x48, &memory{}), n.board.CarryI2C("chips", chips)))
	i2c, r := n.client(0).I2C("chips"), make([]byte, 2)
	for b.Loop() {
		must(b, i2c.Tx(0x48, []byte{0}, r))
	}
	must(b, i2c.Close())
}
