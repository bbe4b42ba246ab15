package eol

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/ads1115"
	"watchpost/drivers/bus"
	"watchpost/drivers/buswatch"
	simchip "watchpost/sim/board/chip"
	"watchpost/sim/board/circuit"
	"watchpost/sim/board/wire"
)

// TestClockSetBack: whoever sets the station's clock back by an hour does not blind it for an hour.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "4k7-dual")
		begun := time.Now()
		b.d.o.Now = func() time.Time {
			now := time.Now().Round(0) // the wall clock alone
			if now.Sub(begun) > 2*time.Second {
				now = now.Add(-time.Hour)
			}
			return now
		}
		defer b.run()()
		b.want(3*time.Second, "z0 unknown>normal  notice", "z1 unknown>normal  notice", "z2 unknown>normal  notice")
		b.loops[0].Set(circuit.Cut)
		b.want(2*time.Second, "z0 normal>open  alarm")
	})
}

// TestExcitationGoneMeanwhile: a chip or a bus that comes back is not measured by the excitation of before.
func TestExcitationGoneMeanwhile(t *testing.T) {
	for name, lose := range map[string]func(*bench, bool){
		"bus": func(b *bench, gone bool) { b.bus.Stick(gone) },
		"chip": func(b *bench, gone bool) {
			if gone {
				must(b.t, b.bus.Pull(0x48))
			} else {
				must(b.t, b.bus.Plug(0x48))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for shift := range 10 { // wherever in a second of scans it falls
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, 1, "4k7-dual")
					defer b.run()()
					<-time.After(2 * time.Second)
					lose(b, true)
					<-time.After(3*time.Second + time.Duration(shift)*scanEvery)
					b.told()
					b.feed(0)
					lose(b, false)
					<-time.After(3 * time.Second)
					synctest.Wait()
					for _, line := range b.told() {
						if line[2:] != " missing>fault excitation warning" {
							t.Errorf("shift %d: %s", shift, line)
						}
					}
				})
			}
		})
	}
}

// TestStuckMidway: a bus that is held low while the chips convert does not keep them taken.
func TestStuckMidway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 4, "4k7-dual")
		defer b.run()()
		<-time.After(2050 * time.Millisecond)
		<-time.After(time.Until(time.Now().Truncate(scanEvery).Add(scanEvery + ads1115.Conversion/2)))
		b.told()
		b.bus.Stick(true)
		<-time.After(3 * time.Second)
		b.bus.Stick(false)
		<-time.After(2 * time.Second)
		synctest.Wait()
		if got := b.told(); len(got) != 24 || b.d.Snapshot()[11].State != "normal" {
			t.Errorf("told %q", got)
		}
	})
}

// TestWobble: a hand that wobbles a loop between two states with every reading, so that three never agree, is told before it has
// climbed through the window.
func TestWobble(t *testing.T) {
	for name, states := range map[string][2]circuit.State{"normal and active": {circuit.Normal, circuit.Active}, "active and cut": {circuit.Active, circuit.Cut}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 1, "4k7-dual")
				c, n := simchip.NewADS1115(time.Now), 0
				for channel := range 3 {
					c.Wire(channel, b.loops[channel].Volts)
				}
				c.Wire(3, b.excitation)
				b.bus = wire.NewI2C()
				must(t, b.bus.Put(0x48, c))
				adc, err := ads1115.New(b.bus, 0x48)
				must(t, err)
				b.d.chips[0].cfg.ADC = adc
				defer b.run()()
				<-time.After(time.Second)
				b.told()
				c.Wire(0, func() float64 {
					n++
					b.loops[0].Set(states[n%2])
					return b.loops[0].Volts()
				})
				b.want(5*time.Second, "z0 normal>fault unsteady warning")
			})
		})
	}
}

// late keeps how late in its tenth of a second a transaction came, at most.
type late struct {
	bus.I2C
	most, n atomic.Int64
}

func (b *late) Tx(addr uint16, w, r []byte) error {
	b.most.Store(max(b.most.Load(), int64(time.Since(time.Now().Truncate(scanEvery)))))
	b.n.Add(1)
	err := b.I2C.Tx(addr, w, r)
	if err != nil {
		<-time.After(37 * time.Millisecond) // until that is known
	}
	return err
}

// TestInStep: also after a fault of its bus the driver wakes the processor together with those of other buses.
func TestInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "4k7-dual")
		clock := &late{I2C: b.bus}
		adc, err := ads1115.New(clock, 0x48)
		must(t, err)
		b.d.chips[0].cfg.ADC = adc
		stop := b.run()
		<-time.After(2033 * time.Millisecond)
		b.bus.Stick(true)
		clock.n.Store(0)
		<-time.After(3 * time.Second)
		if n := clock.n.Load(); n > 5 {
			t.Errorf("%d attempts at a stuck bus in 3 s", n)
		}
		b.bus.Stick(false)
		<-time.After(3 * time.Second)
		clock.most.Store(0)
		<-time.After(time.Second)
		stop()
		if most := time.Duration(clock.most.Load()); most == 0 || most > 10*time.Millisecond {
			t.Errorf("read %s after the tenth of a second", most)
		}
	})
}

// TestBusGone: a bus whose device is pulled is no chip that does not answer.
func TestBusGone(t *testing.T) {
	if err := broken(fmt.Errorf("/dev/i2c-1: %w", fs.ErrNotExist)); !errors.Is(err, errBus) {
		t.Errorf("%v", err)
	}
	if err := broken(bus.ErrNoAnswer); err != nil {
		t.Errorf("a silent chip: %v", err)
	}
}

// TestGlitch: one transaction that fails for an interference is no fault of all zones (while armed that is an alarm); one that
// fails again is.
func TestGlitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1, "4k7-dual")
		watched, err := buswatch.New(buswatch.Options{ID: "chips", Bus: b.bus})
		must(t, err)
		b.d.chips[0].cfg.ADC, err = ads1115.New(watched, 0x48)
		must(t, err)
		defer b.run()()
		<-time.After(time.Second)
		b.told()
		for range 20 {
			b.bus.Stick(true)
			<-time.After(scanEvery)
			b.bus.Stick(false)
			<-time.After(1777 * time.Millisecond)
		}
		b.want(time.Second)
		b.bus.Stick(true)
		b.want(time.Second, "z0 normal>missing bus warning", "z1 normal>missing bus warning", "z2 normal>missing bus warning")
	})
}
