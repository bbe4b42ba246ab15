package sensor

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

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/drivers/bme280"
	"watchpost/drivers/measure"
	"watchpost/sim/board/chip"
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

// log is a sink.
type log struct {
	mu     sync.Mutex // guards the fields below
	drafts []event.Draft
	full   bool
	when   []time.Time
}

func (l *log) sink(_ context.Context, d event.Draft) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return errors.New("full")
	}
	l.drafts, l.when = append(l.drafts, d), append(l.when, time.Now())
	return nil
}

func (l *log) fill(full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = full
}

// told is "kind source state value unit" of each event since the last call.
func (l *log) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []string{}
	for _, d := range l.drafts {
		text := d.Kind.String() + " " + d.Source
		for _, tag := range []event.Tag{event.TagState, event.TagValue, event.TagUnit, event.TagLimit} {
			if v, ok := d.Body.Text(tag); ok {
				text += " " + v
			}
		}
		list = append(list, text)
	}
	l.drafts, l.when = nil, nil
	return list
}

func run(t *testing.T, d *Driver, l *log) func() {
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return d.Run(ctx, l.sink) })
	return func() {
		cancel()
		must(t, group.Wait())
	}
}

// TestOverChip has a sensor of a simulated chip through limits, a lost chip, a stuck bus and a log that is full.
func TestOverChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, sim, l := wire.NewI2C(), chip.NewBME280(time.Now), &log{}
		must(t, b.Put(0x76, sim))
		probe, err := bme280.New(b, 0x76)
		must(t, err)
		d, err := New(Options{ID: "cellar", Probe: probe, Every: 10 * time.Second, Report: time.Hour, Severity: event.SeverityAlarm,
			High: map[string]measure.Micro{"temperature": 40e6}})
		must(t, err)
		if r := d.Snapshot(); r[0].Name != "cellar" || r[0].State != "unknown" {
			t.Errorf("before Run %+v", r)
		}
		defer run(t, d, l)()
		want := func(after time.Duration, lines ...string) {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			if got := l.told(); !slices.Equal(got, lines) {
				t.Fatalf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
			}
		}
		sim.Set(chip.Air{Celsius: 20, Pascal: 100000, Percent: 50})
		want(5*time.Second, "sensor.changed sensor/cellar normal", "sensor.read sensor/cellar/temperature 20 °C",
			"sensor.read sensor/cellar/humidity 50 %", "sensor.read sensor/cellar/pressure 1000 hPa")
		sim.Set(chip.Air{Celsius: 41.5, Pascal: 100000, Percent: 50})
		want(10*time.Second, "sensor.changed sensor/cellar/temperature high 41.5 °C 40")
		if r := d.Snapshot(); r[0].State != "high" || !strings.HasPrefix(r[0].Text, "temperature 41.5 °C, humidity 50") {
			t.Errorf("%+v", r)
		}
		must(t, b.Pull(0x76))
		want(13*time.Second, "sensor.changed sensor/cellar missing")
		if r := d.Snapshot(); r[0].State != "missing" || strings.Contains(r[0].Text, "41") {
			t.Errorf("%+v", r)
		}
		must(t, b.Plug(0x76))
		want(10*time.Second, "sensor.changed sensor/cellar normal", "sensor.changed sensor/cellar/temperature high 41.5 °C 40")
		b.Stick(true)
		want(12*time.Second, "sensor.changed sensor/cellar missing")
		b.Stick(false)
		sim.Set(chip.Air{Celsius: 20, Pascal: 100000, Percent: 50})
		l.fill(true)
		want(time.Minute)
		l.fill(false)
		want(10*time.Second, "sensor.changed sensor/cellar normal", "sensor.changed sensor/cellar/temperature normal 20 °C")
		<-time.After(3 * time.Hour)
		if got := l.told(); len(got) != 9 || !strings.HasPrefix(got[0], "sensor.read") {
			t.Errorf("in three hours %q", got)
		}
	})
}

// TestDraft holds what the events carry.
func TestDraft(t *testing.T) {
	d, err := New(Options{ID: "river", Probe: probe(nil), Every: time.Second, Severity: event.SeverityWarning})
	must(t, err)
	limit := measure.Micro(3.2e9)
	got := d.draft(fact{kind: event.KindSensorChanged, state: High, previous: Normal, qualifier: event.QualifierNew, severity: event.SeverityWarning,
		quantity: "level", value: 3.25e9, valued: true, unit: "mm", limit: &limit, detail: "level 3250 mm"})
	if got.Zone != "river" || got.Source != "sensor/river/level" || got.Severity != event.SeverityWarning || got.Qualifier != event.QualifierNew {
		t.Errorf("%+v", got)
	}
	for tag, want := range map[event.Tag]string{event.TagState: "high", event.TagPrevious: "normal", event.TagValue: "3250", event.TagUnit: "mm", event.TagLimit: "3200", event.TagDetail: "level 3250 mm"} {
		if v, _ := got.Body.Text(tag); v != want {
			t.Errorf("%s %q, want %q", tag, v, want)
		}
	}
	lost := d.draft(fact{kind: event.KindSensorChanged, state: Missing})
	if v, ok := lost.Body.Text(event.TagValue); ok {
		t.Errorf("a sensor that is missing has the value %q", v)
	}
}

// probe is a Probe of a function.
type probe func(ctx context.Context) ([]measure.Reading, error)

func (p probe) Measure(ctx context.Context) ([]measure.Reading, error) { return p(ctx) }

// TestRetries holds that a failed measurement is tried again soon, and not for ever.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		begun := time.Now()
		d, err := New(Options{ID: "x", Every: time.Hour, Severity: event.SeverityNotice, Probe: probe(func(context.Context) ([]measure.Reading, error) {
			asked = append(asked, time.Since(begun))
			return nil, fmt.Errorf("no")
		})})
		must(t, err)
		l := &log{}
		stop := run(t, d, l)
		<-time.After(90 * time.Minute)
		stop()
		if want := []time.Duration{0, again, 2 * again, 2*again + time.Hour}; !slices.Equal(asked, want) {
			t.Errorf("asked at %v, want %v", asked, want)
		}
		if got := l.told(); !slices.Equal(got, []string{"sensor.changed sensor/x fault"}) {
			t.Errorf("told %q", got)
		}
	})
}

// TestSlowProbe ends a driver whose probe waits.
func TestSlowProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := New(Options{ID: "x", Every: time.Second, Severity: event.SeverityNotice, Probe: probe(func(ctx context.Context) ([]measure.Reading, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})})
		must(t, err)
		l := &log{}
		stop := run(t, d, l)
		<-time.After(time.Minute)
		stop()
		if got := l.told(); len(got) != 0 || d.Snapshot()[0].State != "unknown" {
			t.Errorf("told %q, %+v", got, d.Snapshot())
		}
	})
}

func TestWrongOptions(t *testing.T) {
	good := Options{ID: "x", Probe: probe(nil), Every: time.Second, Severity: event.SeverityAlarm}
	for name, change := range map[string]func(*Options){
		"no name":     func(o *Options) { o.ID = "" },
		"long name":   func(o *Options) { o.ID = strings.Repeat("x", event.MaxName) },
		"no probe":    func(o *Options) { o.Probe = nil },
		"too often":   func(o *Options) { o.Every = time.Millisecond },
		"negative":    func(o *Options) { o.Report = -1 },
		"no severity": func(o *Options) { o.Severity = 0 },
		"limits": func(o *Options) {
			o.Low, o.High = map[string]measure.Micro{"a": 5}, map[string]measure.Micro{"a": 5}
		},
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if d, err := New(good); err != nil || d.String() != "sensor x" {
		t.Errorf("%v, %v", d, err)
	}
}
