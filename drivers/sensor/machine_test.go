package sensor

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"watchpost/drivers/bus"
	"watchpost/drivers/measure"
	"watchpost/storage/event"
)

func newMachine() *machine {
	return &machine{low: map[string]measure.Micro{"temperature": 2e6}, high: map[string]measure.Micro{"temperature": 40e6, "humidity": 90e6},
		severity: event.SeverityAlarm, quantities: map[string]*quantity{}}
}

// air is a measurement in tenths.
func air(temperature, humidity int) []measure.Reading {
	return []measure.Reading{(measure.Temperature(temperature) * 100).Reading("temperature"), (measure.Humidity(humidity) * 100).Reading("humidity")}
}

// brief is "source previous>state qualifier severity reason limit".
func briefs(facts []fact) []string {
	list := []string{}
	for _, f := range facts {
		text := fmt.Sprintf("%s %s>%s %s %s", f.quantity, f.previous, f.state, f.qualifier, f.severity)
		if f.reason != "" {
			text += " " + f.reason
		}
		if f.limit != nil {
			text += " limit " + f.limit.String()
		}
		list = append(list, text)
	}
	return list
}

var (
	errGone  = fmt.Errorf("bme280 at 0x76: %w", bus.ErrNoAnswer)
	errStuck = fmt.Errorf("bme280 at 0x76: %w", bus.ErrStuck)
	errWrong = errors.New("25 volts of water\xff")
)

func TestMachine(t *testing.T) {
	m := newMachine()
	for i, step := range []struct {
		readings []measure.Reading
		err      error
		want     []string
		state    string
	}{
		{air(200, 500), nil, []string{" unknown>normal status notice"}, Normal},
		{air(400, 900), nil, nil, Normal}, // on the limit is inside
		{air(401, 901), nil, []string{"temperature normal>high new alarm limit 40", "humidity normal>high new alarm limit 90"}, High},
		{air(397, 895), nil, nil, High}, // inside, not by 1 %
		{air(395, 895), nil, []string{"temperature high>normal restore notice"}, High},
		{air(18, 890), nil, []string{"temperature normal>low new alarm limit 2", "humidity high>normal restore notice"}, Low},
		{air(21, 890), nil, nil, Low}, // inside, not by two tenths
		{nil, errGone, nil, Low},
		{nil, errGone, nil, Low},
		{nil, errGone, []string{" low>missing new warning chip"}, Missing},
		{nil, errGone, nil, Missing},
		{nil, errStuck, []string{" missing>missing new warning bus"}, Missing},
		{nil, errWrong, []string{" missing>fault new warning reading"}, Fault},
		{air(19, 890), nil, []string{" fault>normal restore notice reading", "temperature low>low status notice limit 2"}, Low},
		{nil, errWrong, nil, Low},
		{air(500, 890), nil, []string{"temperature low>high new alarm limit 40"}, High},
		{nil, errStuck, []string{" high>missing new warning bus"}, Missing},
		{air(200, 890), nil, []string{" missing>normal restore notice bus", "temperature high>normal restore notice"}, Normal},
	} {
		got := m.hear(step.readings, step.err)
		if step.want == nil {
			step.want = []string{}
		}
		if d := cmp.Diff(step.want, briefs(got)); d != "" || m.state() != step.state {
			t.Fatalf("step %d: state %s, want %s (-want +got)\n%s", i, m.state(), step.state, d)
		}
		for _, f := range got {
			if strings.Contains(f.detail, "\xff") {
				t.Errorf("step %d: bytes that the log would refuse: %q", i, f.detail)
			}
		}
	}
}

// TestNeverWorked is a sensor that was never there.
func TestNeverWorked(t *testing.T) {
	m := newMachine()
	for i, want := range [][]string{{}, {}, {" unknown>missing new warning chip"}, {}} {
		if d := cmp.Diff(want, briefs(m.hear(nil, errGone))); d != "" {
			t.Errorf("failure %d (-want +got)\n%s", i, d)
		}
	}
	if d := cmp.Diff([]string{" missing>normal restore notice chip", "temperature normal>high new alarm limit 40"}, briefs(m.hear(air(450, 0), nil))); d != "" {
		t.Errorf("there at last (-want +got)\n%s", d)
	}
}

// TestNoMeasurement holds that readings which are none are a failure.
func TestNoMeasurement(t *testing.T) {
	for name, readings := range map[string][]measure.Reading{
		"none":    {},
		"unknown": {{Name: "temperature", Value: 20e6}},
		"stale":   {{Name: "temperature", Value: 20e6, Quality: measure.Stale}},
		"failed":  {air(200, 500)[0], measure.Failed("humidity", "%", errWrong)},
	} {
		m := newMachine()
		for range failures {
			m.hear(readings, nil)
		}
		if m.state() != Fault || strings.ContainsAny(m.text(), "0123456789") {
			t.Errorf("%s: %s, %q", name, m.state(), m.text())
		}
	}
}

// TestProperties drives random measurements and holds: facts join up, no number is shown or traced while the sensor fails, and
// normal is not told of a value outside its limits.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		told := map[string]string{"": Unknown, "temperature": Normal, "humidity": Normal}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			var facts []fact
			degrees := rapid.IntRange(-100, 500).Draw(t, "temperature")
			err := []error{nil, nil, nil, errGone, errStuck, errWrong}[rapid.IntRange(0, 5).Draw(t, "how")]
			if err == nil {
				facts = m.hear(air(degrees, 500), nil)
			} else {
				facts = m.hear(nil, err)
			}
			for _, f := range facts {
				if f.quantity != "" && f.previous != told[f.quantity] {
					t.Fatalf("%s told as %s, now from %s to %s", f.quantity, told[f.quantity], f.previous, f.state)
				}
				told[f.quantity] = f.state
			}
			if failed := told[""] == Missing || told[""] == Fault; failed && (strings.Contains(m.text(), "°C") || len(m.reads()) > 0) {
				t.Fatalf("%s: %q, %d reads", told[""], m.text(), len(m.reads()))
			}
			if err != nil && len(m.reads()) > 0 {
				t.Fatal("an old value is traced as a new one")
			}
			if outside := degrees > 400 || degrees < 20; err == nil && outside && (told["temperature"] == Normal || m.state() == Normal) {
				t.Fatalf("%d tenths are told as normal", degrees)
			}
		}
	})
}
