package power

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"watchpost/drivers/bus"
	"watchpost/drivers/ina219"
	"watchpost/drivers/measure"
	"watchpost/drivers/sensor"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/circuit"
	"watchpost/sim/board/wire"
	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newMachine() *machine {
	return &machine{mainsAfter: 30 * time.Second, lowVolts: 11_600_000, told: Unknown}
}

var (
	errGone  = fmt.Errorf("ina219 at 0x41: %w", bus.ErrNoAnswer)
	errStuck = fmt.Errorf("ina219 at 0x41: %w", bus.ErrStuck)
)

// TestMachine goes through a supply's life second by second: what it tells, and when.
func TestMachine(t *testing.T) {
	type span struct {
		seconds   int
		volts, mA int64 // volts in millivolts
		err       error
	}
	for name, c := range map[string]struct {
		spans []span
		want  []string
	}{
		"mains from the start":           {[]span{{60, 13600, 0, nil}}, []string{"0 unknown>mains status notice"}},
		"charging is mains":              {[]span{{60, 12000, -2000, nil}}, []string{"0 unknown>mains status notice"}},
		"battery from the start":         {[]span{{60, 12600, 900, nil}}, []string{"30 unknown>battery new warning"}},
		"a short failure":                {[]span{{10, 13600, 0, nil}, {29, 12700, 900, nil}, {60, 13600, -50, nil}}, []string{"0 unknown>mains status notice"}},
		"a failure":                      {[]span{{10, 13600, 0, nil}, {60, 12700, 900, nil}, {60, 13000, -900, nil}}, []string{"0 unknown>mains status notice", "40 mains>battery new warning", "80 battery>mains restore notice"}},
		"mains that flickers back":       {[]span{{60, 12700, 900, nil}, {9, 13000, -900, nil}, {60, 12700, 900, nil}}, []string{"30 unknown>battery new warning"}},
		"currents between the bounds":    {[]span{{10, 13600, 0, nil}, {60, 13600, 40, nil}, {60, 12700, 60, nil}, {60, 12700, 40, nil}}, []string{"0 unknown>mains status notice", "100 mains>battery new warning"}},
		"an empty battery":               {[]span{{60, 12000, 900, nil}, {20, 11500, 900, nil}, {20, 11700, 900, nil}, {20, 11900, 900, nil}}, []string{"30 unknown>battery new warning", "65 battery>battery-low new warning", "100 battery-low>battery status notice"}},
		"charged again":                  {[]span{{60, 11500, 900, nil}, {30, 12600, -2000, nil}}, []string{"5 unknown>battery-low new warning", "60 battery-low>battery status notice", "70 battery>mains restore notice"}},
		"mains back, battery still flat": {[]span{{60, 11500, 900, nil}, {30, 11700, -900, nil}}, []string{"5 unknown>battery-low new warning", "70 battery-low>mains restore notice"}},
		"mains back, battery dead":       {[]span{{60, 11500, 900, nil}, {30, 11500, -900, nil}}, []string{"5 unknown>battery-low new warning", "70 battery-low>mains restore notice", "75 mains>battery-low new warning"}},
		"a siren starts":                 {[]span{{10, 13600, 0, nil}, {4, 11000, 3000, nil}, {60, 13600, 0, nil}}, []string{"0 unknown>mains status notice"}},
		"the chip is gone":               {[]span{{10, 13600, 0, nil}, {60, 0, 0, errGone}, {10, 13600, 0, nil}}, []string{"0 unknown>mains status notice", "12 mains>missing new warning chip", "70 missing>mains restore notice chip"}},
		"never there":                    {[]span{{60, 0, 0, errGone}}, []string{"2 unknown>missing new warning chip"}},
		"two readings fail":              {[]span{{10, 13600, 0, nil}, {2, 0, 0, errGone}, {10, 13600, 0, nil}}, []string{"0 unknown>mains status notice"}},
		"the bus is stuck":               {[]span{{10, 13600, 0, nil}, {5, 0, 0, errStuck}, {5, 0, 0, errors.New("nonsense\xff")}}, []string{"0 unknown>mains status notice", "10 mains>missing new warning bus", "15 missing>fault new warning reading"}},
		"failed while nobody could look": {[]span{{10, 13600, 0, nil}, {60, 0, 0, errGone}, {60, 12600, 900, nil}}, []string{"0 unknown>mains status notice", "12 mains>missing new warning chip", "100 missing>battery new warning chip"}},
		"a gap in a failure":             {[]span{{10, 13600, 0, nil}, {20, 12700, 900, nil}, {5, 0, 0, errGone}, {60, 12700, 900, nil}}, []string{"0 unknown>mains status notice", "32 mains>missing new warning chip", "65 missing>battery new warning chip"}},
		"a gap in a low":                 {[]span{{10, 13600, 0, nil}, {4, 11000, 0, nil}, {1, 0, 0, errGone}, {4, 11000, 0, nil}, {10, 13600, 0, nil}}, []string{"0 unknown>mains status notice"}},
		"back while nobody could look":   {[]span{{60, 12600, 900, nil}, {60, 0, 0, errGone}, {60, 13600, 0, nil}}, []string{"30 unknown>battery new warning", "62 battery>missing new warning chip", "120 missing>battery new warning chip", "130 battery>mains restore notice"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, got, second := newMachine(), []string{}, 0
			for _, s := range c.spans {
				for range s.seconds {
					for _, f := range m.hear(ina219.Sample{Voltage: measure.Voltage(s.volts * 1000), Current: measure.Current(s.mA * 1000)}, s.err, time.Unix(int64(second), 0)) {
						got = append(got, strings.TrimSpace(fmt.Sprintf("%d %s>%s %s %s %s", second, f.previous, f.state, f.qualifier, f.severity, f.reason)))
						if strings.Contains(f.detail, "\xff") {
							t.Errorf("bytes that the log would refuse: %q", f.detail)
						}
					}
					second++
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestProperties: facts join up; mains is never told while the battery feeds the station, nor any number while nothing is read.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, told, at, discharge := newMachine(), Unknown, time.Unix(0, 0), time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			step := time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds")) * time.Second
			at = at.Add(step)
			var err error
			if rapid.IntRange(0, 9).Draw(t, "error") == 0 {
				err = []error{errGone, errStuck, errors.New("nonsense")}[rapid.IntRange(0, 2).Draw(t, "which")]
			}
			s := ina219.Sample{Voltage: measure.Voltage(rapid.IntRange(11_000, 13_800).Draw(t, "mV")) * 1000, Current: measure.Current(rapid.IntRange(-100, 1000).Draw(t, "mA")) * 1000}
			facts := m.hear(s, err, at)
			for _, f := range facts {
				if f.previous != told || f.state == told && f.reason == "" {
					t.Fatalf("told %s, then %+v", told, f)
				}
				told = f.state
				if f.state == Mains && s.Current > discharging {
					t.Fatalf("mains is told at %s out of the battery", s.Current)
				}
				if (f.sample == nil) != (err != nil) {
					t.Fatalf("%v with %v", f.sample, err)
				}
			}
			if err == nil && s.Current > discharging {
				discharge += step
			} else {
				discharge = 0
			}
			if discharge > 40*time.Second && told == Mains {
				t.Fatalf("%s of discharge, and told as mains", discharge)
			}
			if told != m.told || err != nil && strings.Contains(m.text(), "V") {
				t.Fatalf("told %s, is %s, %q", told, m.told, m.text())
			}
		}
	})
}

// TestOverBattery empties a battery of some watt-hours and charges it again.
func TestOverBattery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, battery := wire.NewI2C(), circuit.NewBattery(20, 10, 30, time.Now)
		must(t, b.Put(0x41, chip.NewINA219(0.1, battery.Terminals, time.Now)))
		meter, err := ina219.New(b, 0x41, measure.Ohm/10)
		must(t, err)
		d, err := New(Options{Meter: meter})
		must(t, err)
		if r := d.Snapshot()[0]; r.Name != "power" || r.State != "unknown" || strings.Contains(r.Text, "V") {
			t.Errorf("before Run %+v", r)
		}
		var mu sync.Mutex // guards told
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		var group errgroup.Group
		group.Go(func() error {
			return d.Run(ctx, func(_ context.Context, e event.Draft) error {
				mu.Lock()
				defer mu.Unlock()
				state, _ := e.Body.Text(event.TagState)
				value, _ := e.Body.Text(event.TagValue)
				unit, _ := e.Body.Text(event.TagUnit)
				limit, _ := e.Body.Text(event.TagLimit)
				told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %.4s %s %s", e.Source, state, value, unit, limit)))
				return nil
			})
		})
		want := func(after time.Duration, lines ...string) {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, lines) {
				t.Fatalf("told %q, want %q; %+v", told, lines, d.Snapshot())
			}
			told = nil
		}
		want(time.Minute, "power mains 13.6 V")
		battery.Mains(false)
		want(29 * time.Second)
		want(3*time.Second, "power battery 12.7 V")
		want(30 * time.Minute)
		if r := d.Snapshot()[0]; r.State != Battery || !strings.Contains(r.Text, "out of the battery") {
			t.Errorf("%+v", r)
		}
		want(time.Hour, "power battery-low 11.5 V 11.6")
		battery.Mains(true)
		want(11*time.Second, "power battery 12.0 V", "power mains 12.1 V")
		must(t, b.Pull(0x41))
		want(10*time.Second, "power missing")
		if r := d.Snapshot()[0]; r.State != sensor.Missing || strings.Contains(r.Text, "V") {
			t.Errorf("%+v", r)
		}
		cancel()
		must(t, group.Wait())
	})
}

// meter is a Meter that says nothing.
type meter struct{}

func (meter) Sample(context.Context) (ina219.Sample, error) { return ina219.Sample{}, errGone }

func TestWrongOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no meter": {}, "too soon": {Meter: meter{}, MainsAfter: time.Second}, "too late": {Meter: meter{}, MainsAfter: time.Hour},
		"too low": {Meter: meter{}, Low: 1}, "too high": {Meter: meter{}, Low: 61 * measure.Volt},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if d, err := New(Options{Meter: meter{}}); err != nil || d.String() != "power" || d.o.MainsAfter != 30*time.Second || d.o.Low != 11_600_000 {
		t.Errorf("%+v, %v", d, err)
	}
}
