package ads1115

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDataFormat holds the ideal codes of §9.5.4: full scale is one code less than it says.
func TestDataFormat(t *testing.T) {
	for r, full := range map[Range]measure.Voltage{
		Range6V144: 6_144_000, Range4V096: 4_096_000, Range2V048: 2_048_000, Range1V024: 1_024_000, Range0V512: 512_000, Range0V256: 256_000,
	} {
		for code, want := range map[Code]float64{
			0x7fff: float64(full) * 32767 / 32768, 1: float64(full) / 32768, 0: 0, -1: -float64(full) / 32768, -0x8000: -float64(full),
		} {
			if got := r.Voltage(code); got != measure.Voltage(math.Round(want)) {
				t.Errorf("range %d, code %d: %d µV, want %.2f", r, code, int64(got), want)
			}
		}
	}
}

// TestLSB holds the sizes of one code in table 3: 187.5 µV, 125 µV, 62.5 µV and so on.
func TestLSB(t *testing.T) {
	for r, want := range map[Range]measure.Voltage{Range6V144: 187_500, Range4V096: 125_000, Range2V048: 62_500, Range1V024: 31_250, Range0V512: 15_625, Range0V256: 7813} {
		if got := r.Voltage(1000); got != want {
			t.Errorf("range %d: 1000 codes are %d µV, want %d", r, int64(got), int64(want))
		}
	}
}

func TestVoltageIsOdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, c := Range(rapid.IntRange(0, 5).Draw(t, "range")), Code(rapid.IntRange(-32767, 32767).Draw(t, "code"))
		if r.Voltage(c) != -r.Voltage(-c) {
			t.Fatalf("%d and %d", r.Voltage(c), r.Voltage(-c))
		}
	})
}

// chip is an ADS1115 at the wire: registers of the data sheet, kept apart from the driver's own constants.
type chip struct {
	t       *testing.T
	pointer byte
	config  uint16
	result  int16
	volts   [4]int16 // what a conversion of an input gives
	started int
	fail    error // the next transaction fails
	busy    bool
}

func (c *chip) Tx(addr uint16, w, r []byte) error {
	if addr != 0x49 {
		return fmt.Errorf("address %#x: %w", addr, bus.ErrNoAnswer)
	}
	if err := c.fail; err != nil {
		c.fail = nil
		return err
	}
	if len(w) > 0 {
		c.pointer = w[0]
	}
	if len(w) == 3 && w[0] == 1 {
		c.config = uint16(w[1])<<8 | uint16(w[2])
		if c.config>>15 == 1 {
			c.started++
			c.result = c.volts[c.config>>12&3]
		}
	} else if len(w) != 1 {
		c.t.Errorf("wrote % x", w)
	}
	reg := map[byte]uint16{0: uint16(c.result), 1: c.config}[c.pointer]
	if c.busy {
		reg &^= 1 << 15
	}
	copy(r, []byte{byte(reg >> 8), byte(reg)})
	return nil
}

func open(t *testing.T) (*ADC, *chip) {
	c := &chip{t: t, volts: [4]int16{100, 200, 300, 26666}}
	a, err := New(c, 0x49)
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

// TestConfigWord holds the bits that go over the wire: single shot, 860 SPS, comparator off, one input against ground.
func TestConfigWord(t *testing.T) {
	for _, c := range []struct {
		channel int
		r       Range
		want    []byte
	}{
		{0, Range6V144, []byte{1, 0b1_100_000_1, 0b111_0_0_0_11}},
		{1, Range4V096, []byte{1, 0b1_101_001_1, 0b111_0_0_0_11}},
		{2, Range2V048, []byte{1, 0b1_110_010_1, 0b111_0_0_0_11}},
		{3, Range0V256, []byte{1, 0b1_111_101_1, 0b111_0_0_0_11}},
	} {
		var wrote []byte
		a, err := New(tx(func(_ uint16, w, _ []byte) error { wrote = bytes.Clone(w); return nil }), 0x48)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(c.channel, c.r); err != nil || !bytes.Equal(wrote, c.want) {
			t.Errorf("channel %d: wrote % x, %v, want % x", c.channel, wrote, err, c.want)
		}
	}
}

type tx func(addr uint16, w, r []byte) error

func (f tx) Tx(addr uint16, w, r []byte) error { return f(addr, w, r) }

func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := open(t)
		begun := time.Now()
		v, err := a.Read(t.Context(), 3, Range6V144)
		if err != nil || v != 26666*1875/10 {
			t.Errorf("%s, %v", v, err)
		}
		if took := time.Since(begun); took < time.Second/774 {
			t.Errorf("the result was read after %s: the slowest chip is not done", took)
		}
		c.volts[0] = 0x7fff
		if v, err := a.Read(t.Context(), 0, Range4V096); err == nil || v != 0 {
			t.Errorf("an input beyond the range reads %s", v)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Read(ctx, 0, Range4V096); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := a.Read(t.Context(), 1, Range4V096); err != nil {
			t.Errorf("the chip is not free after a cancelled reading: %v", err)
		}
	})
}

// TestFaults holds that each error of the bus comes back with the chip and its address, that none is a number, and that
// the chip is free afterwards.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range []error{bus.ErrNoAnswer, bus.ErrStuck, bus.ErrTimeout} {
			for after := range 3 {
				a, c := open(t)
				n := 0
				a.bus = tx(func(addr uint16, w, r []byte) error {
					if n++; n == after+1 {
						return fault
					}
					return c.Tx(addr, w, r)
				})
				v, err := a.Read(t.Context(), 1, Range2V048)
				if !errors.Is(err, fault) || v != 0 || !strings.Contains(err.Error(), "ads1115 at 0x49") {
					t.Errorf("%v in transaction %d: %s, %v", fault, after, v, err)
				}
				if v, err := a.Read(t.Context(), 1, Range2V048); err != nil || v != 12500 {
					t.Errorf("afterwards %s, %v", v, err)
				}
			}
		}
	})
}

// TestReset is a chip that loses its supply in the middle: it answers with the power-up values, 8583h and 0.
func TestReset(t *testing.T) {
	a, c := open(t)
	if err := a.Start(0, Range4V096); err != nil {
		t.Fatal(err)
	}
	if err := a.Check(); err != nil {
		t.Errorf("done: %v", err)
	}
	c.config, c.result = 0x8583, 0
	if err := a.Check(); !errors.Is(err, ErrNotDone) {
		t.Errorf("after a reset: %v", err)
	}
	if _, err := a.Finish(); err != nil {
		t.Error(err)
	}
	c.busy = true
	if err := a.Start(0, Range4V096); err != nil {
		t.Fatal(err)
	}
	if err := a.Check(); !errors.Is(err, ErrNotDone) {
		t.Errorf("still busy: %v", err)
	}
}

// TestOneAtATime holds that two readers of a chip do not read each other's channel.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := open(t)
		var group errgroup.Group
		for i := range 8 {
			group.Go(func() error {
				v, err := a.Read(t.Context(), i%4, Range4V096)
				if want := measure.Voltage([]int64{100, 200, 300, 26666}[i%4] * 125); err == nil && v != want {
					err = fmt.Errorf("channel %d reads %s, want %s", i%4, v, want)
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestWrongRequests(t *testing.T) {
	if _, err := New(nil, 0x48); err == nil {
		t.Error("no bus: no error")
	}
	for _, addr := range []uint16{0x47, 0x4c, 0} {
		if _, err := New(&chip{}, addr); err == nil {
			t.Errorf("address %#x: no error", addr)
		}
	}
	a, c := open(t)
	for _, channel := range []int{-1, 4} {
		if err := a.Start(channel, Range4V096); err == nil {
			t.Errorf("channel %d: no error", channel)
		}
	}
	if err := a.Start(0, 6); err == nil || c.started != 0 {
		t.Error("range 6: no error, or a conversion")
	}
}
