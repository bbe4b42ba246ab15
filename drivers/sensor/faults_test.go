package sensor

import (
	"fmt"
	"io/fs"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"watchpost/drivers/ads1115"
	"watchpost/drivers/bme280"
	"watchpost/drivers/bus"
	"watchpost/drivers/bustest"
	"watchpost/drivers/buswatch"
	"watchpost/drivers/ds18b20"
	"watchpost/drivers/ds3231"
	"watchpost/drivers/ina219"
	"watchpost/drivers/level"
	"watchpost/drivers/measure"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/wire"
	"watchpost/storage/event"
)

// nature is what the simulated chips of a faulty bus feel, by the names of readings, and how far a reading may be from it.
func nature() map[string][2]float64 {
	return map[string][2]float64{
		"temperature": {20.25, 0.1}, "humidity": {55, 0.1}, "pressure": {1001, 0.1}, "voltage": {12.5, 0.01}, "current": {0.75, 0.001}, "level": {2500, 2},
	}
}

// probes are a probe of each chip, over buses that fail as plan says. Each chip loses its supply together with the others.
func probes(t *testing.T, plan bustest.Plan) map[string]Probe {
	t.Helper()
	i2c, one := wire.NewI2C(), wire.NewOneWire()
	air, meter := chip.NewBME280(time.Now), chip.NewINA219(0.1, func() (float64, float64) { return 12.5, 0.75 }, time.Now)
	clock, adc, warm := chip.NewDS3231(time.Now), chip.NewADS1115(time.Now), chip.NewDS18B20(false, time.Now)
	air.Set(chip.Air{Celsius: 20.25, Percent: 55, Pascal: 100_100})
	clock.SetCelsius(20.25)
	clock.SetTime(time.Now())
	warm.SetCelsius(20.25)
	adc.Wire(1, func() float64 { return 0.012 * 120 })
	must(t, i2c.Put(0x76, air))
	must(t, i2c.Put(0x40, meter))
	must(t, i2c.Put(ds3231.Address, clock))
	must(t, i2c.Put(0x48, adc))
	rom := wire.Code(ds18b20.Family, 1)
	one.Put(rom, warm)
	plan.Reset = func() {
		for _, addr := range []uint16{0x76, 0x40, ds3231.Address, 0x48} {
			must(t, i2c.BrownOut(addr))
		}
		must(t, one.BrownOut(rom))
	}
	faults := bustest.NewFaults(7, plan)
	chips, wires := faults.I2C(i2c), faults.OneWire(wire.As[bus.ROM](one))
	list := map[string]Probe{}
	add := func(name string, p Probe, err error) {
		must(t, err)
		list[name] = p
	}
	b, err := bme280.New(chips, 0x76)
	add("bme280", b, err)
	p, err := ina219.New(chips, 0x40, measure.Ohm/10)
	add("ina219", p, err)
	c, err := ds3231.New(chips)
	add("ds3231", c, err)
	d, err := ds18b20.New(wires, bus.ROM(rom))
	add("ds18b20", d, err)
	a, err := ads1115.New(chips, 0x48)
	must(t, err)
	l, err := level.New(a, 1, 120*measure.Ohm, 5*measure.Metre)
	add("level", l, err)
	return list
}

// TestFaultyBuses asks every chip over buses where chips do not answer, wires hang and the supply falls at any transaction:
// whatever comes back is an error, or what the chip feels.
func TestFaultyBuses(t *testing.T) {
	for name, plan := range map[string]bustest.Plan{
		"no answer": {NoAnswer: 0.2},
		"stuck":     {Stuck: 0.05, StuckFor: 3},
		"brown-out": {BrownOut: 0.3},
		"slow":      {Slow: 0.3, SlowFor: 300 * time.Millisecond},
		"all":       {NoAnswer: 0.05, Stuck: 0.02, StuckFor: 2, BrownOut: 0.1, Slow: 0.1, SlowFor: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for chip, probe := range probes(t, plan) {
					good, failed := 0, 0
					for range 300 {
						readings, err := probe.Measure(t.Context())
						<-time.After(time.Second)
						if err != nil {
							failed++
							if readings != nil {
								t.Errorf("%s: %v and %v", chip, readings, err)
							}
							continue
						}
						good++
						for _, r := range readings {
							want := nature()[r.Name]
							if !r.Known() || math.Abs(float64(r.Value)/1e6-want[0]) > want[1] {
								t.Errorf("%s says %s, it feels %g", chip, r, want[0])
							}
						}
					}
					if good == 0 || failed == 0 && name != "slow" && !(chip == "ds3231" && name == "brown-out") {
						t.Errorf("%s: %d readings and %d failures: the test shows nothing", chip, good, failed)
					}
				}
			})
		})
	}
}

// TestFaultyBus has a sensor at work over such a bus: what it tells is told in pairs, and no fault is told as a value.
func TestFaultyBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := probes(t, bustest.Plan{NoAnswer: 0.3, Stuck: 0.01, StuckFor: 40})
		l := &log{}
		d, err := New(Options{ID: "cellar", Probe: all["bme280"], Every: 10 * time.Second, Report: time.Minute, Severity: event.SeverityWarning,
			High: map[string]measure.Micro{"temperature": 40e6}})
		must(t, err)
		stop := run(t, d, l)
		<-time.After(24 * time.Hour)
		stop()
		state, failures, reads := "unknown", 0, 0
		for _, e := range l.told() {
			switch e {
			case "sensor.changed sensor/cellar missing":
				failures++
				state = "missing" // also for another reason than before
			case "sensor.changed sensor/cellar normal":
				if state == "normal" {
					t.Error("normal is told twice")
				}
				state = "normal"
			default:
				reads++
				if state != "normal" {
					t.Errorf("%q is told of a sensor that is %s", e, state)
				}
			}
		}
		if failures < 10 || reads < 1000 {
			t.Errorf("%d failures and %d values in a day: the test shows nothing", failures, reads)
		}
	})
}

// TestBusGone: a sensor whose bus is gone tells that once, although the bus is tried now and then and turns it away in between.
func TestBusGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := &absent{}
		chips, err := buswatch.New(buswatch.Options{ID: "chips", Bus: gone})
		must(t, err)
		probe, err := bme280.New(chips, 0x76)
		must(t, err)
		l := &log{}
		d, err := New(Options{ID: "cellar", Probe: probe, Every: 100 * time.Millisecond, Severity: event.SeverityWarning})
		must(t, err)
		stop := run(t, d, l)
		<-time.After(time.Minute)
		stop()
		if told := l.told(); len(told) != 1 || told[0] != "sensor.changed sensor/cellar missing" {
			t.Errorf("told %d facts: %q", len(told), told[:min(len(told), 4)])
		}
		if gone.calls < 100 {
			t.Errorf("the bus was tried %d times: the test shows nothing", gone.calls)
		}
	})
}

// absent is a bus behind an I/O box that is not there.
type absent struct{ calls int }

func (b *absent) Tx(uint16, []byte, []byte) error {
	b.calls++
	return fmt.Errorf("%w: connecting: %w", bus.ErrTimeout, fs.ErrNotExist)
}

// TestFullLog: while nothing is stored values do not crowd out what has to be told.
func TestFullLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{full: true}
		d, err := New(Options{ID: "cellar", Probe: probes(t, bustest.Plan{})["bme280"], Every: time.Second, Report: time.Second, Severity: event.SeverityWarning})
		must(t, err)
		stop := run(t, d, l)
		<-time.After(time.Hour)
		l.fill(false)
		<-time.After(10 * time.Second)
		stop()
		if told := l.told(); len(told) > crowd+3*12 || told[0] != "sensor.changed sensor/cellar normal" {
			t.Errorf("%d facts, the first %q", len(told), told[0])
		}
	})
}
