package bustest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bus"
)

// I2CBench is a bus.I2C with hands on its wires. At address 48 hexadecimal it has a chip like [Registers] with registers of
// one byte that hold what is written, and at 4f nothing.
type I2CBench struct {
	Bus bus.I2C
	// Stick holds a wire of the bus low and Free lets it go; nil = it cannot be done here.
	Stick, Free func()
}

// Addresses of an [I2CBench], and the longest that a transaction may take.
const (
	chipAddress  = 0x48
	emptyAddress = 0x4f
	txLimit      = time.Second + 500*time.Millisecond // a second, and what a busy machine adds
)

// I2C holds an implementation of bus.I2C to its contract. Start makes a new bench for each part.
func I2C(t *testing.T, start func(t *testing.T) I2CBench) {
	for name, part := range map[string]func(*testing.T, I2CBench){
		"write then read":       i2cWriteRead,
		"nobody there":          i2cNobody,
		"wrong address":         i2cWrongAddress,
		"one after the other":   i2cTogether,
		"caller's bytes remain": i2cKeepsBytes,
		"stuck":                 i2cStuck,
	} {
		t.Run(name, func(t *testing.T) { part(t, start(t)) })
	}
}

func i2cWriteRead(t *testing.T, b I2CBench) {
	data := make([]byte, 40)
	for i := range data {
		data[i] = byte(i*7 + 1)
	}
	if err := b.Bus.Tx(chipAddress, append([]byte{0x10}, data...), nil); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data))
	if err := b.Bus.Tx(chipAddress, []byte{0x10}, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read % x, %v", got, err)
	}
	if err := b.Bus.Tx(chipAddress, []byte{0x12}, nil); err != nil {
		t.Error(err)
	}
	if err := b.Bus.Tx(chipAddress, nil, got[:1]); err != nil || got[0] != data[2] {
		t.Errorf("a read alone: %x, %v", got[0], err)
	}
}

func i2cNobody(t *testing.T, b I2CBench) {
	for _, length := range []int{0, 1, 3} {
		if err := b.Bus.Tx(emptyAddress, []byte{0}, make([]byte, length)); !errors.Is(err, bus.ErrNoAnswer) {
			t.Errorf("%d bytes from no chip: %v", length, err)
		}
	}
	if err := b.Bus.Tx(chipAddress, []byte{0}, make([]byte, 1)); err != nil {
		t.Errorf("the chip that is there, after one that is not: %v", err)
	}
}

func i2cWrongAddress(t *testing.T, b I2CBench) {
	for _, addr := range []uint16{0x80, 0x3ff, 0xffff} {
		if err := b.Bus.Tx(addr, []byte{0}, nil); err == nil {
			t.Errorf("address %x has no error", addr)
		}
	}
}

// i2cTogether has each of several users read its own register: nothing may come between the number and the reading.
func i2cTogether(t *testing.T, b I2CBench) {
	if err := b.Bus.Tx(chipAddress, []byte{0x20, 0, 1, 2, 3, 4, 5}, nil); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	for user := range 6 {
		group.Go(func() error {
			for range 40 {
				got := make([]byte, 1)
				if err := b.Bus.Tx(chipAddress, []byte{0x20 + byte(user)}, got); err != nil {
					return err
				}
				if got[0] != byte(user) {
					return fmt.Errorf("user %d reads the register of %d", user, got[0])
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func i2cKeepsBytes(t *testing.T, b I2CBench) {
	w := []byte{0x30, 1, 2}
	if err := b.Bus.Tx(chipAddress, w, nil); err != nil || !bytes.Equal(w, []byte{0x30, 1, 2}) {
		t.Errorf("what was to be written is now % x, %v", w, err)
	}
}

func i2cStuck(t *testing.T, b I2CBench) {
	if b.Stick == nil {
		return // the implementation's own tests tell what it does then
	}
	b.Stick()
	for range 3 {
		begun := time.Now()
		err := b.Bus.Tx(chipAddress, []byte{0}, make([]byte, 2))
		if !errors.Is(err, bus.ErrStuck) && !errors.Is(err, bus.ErrTimeout) {
			t.Errorf("over a stuck bus: %v", err)
		}
		if took := time.Since(begun); took > txLimit {
			t.Errorf("it took %s", took)
		}
	}
	b.Free()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C { // it may have to be noticed
		if err = b.Bus.Tx(chipAddress, []byte{0}, make([]byte, 1)); err == nil {
			return
		}
	}
	t.Errorf("the bus is free and the chip silent: %v", err)
}
