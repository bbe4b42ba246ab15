package sensor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"watchpost/drivers/bus"
	"watchpost/drivers/ds3231"
	"watchpost/drivers/measure"
	"watchpost/sim/board/chip"
	"watchpost/sim/board/wire"
	"watchpost/storage/event"
)

// TestDraftsAreEvents holds that whatever a probe measures and however it fails, what is told can be stored, and that a value
// stands in no event of a sensor that has none.
func TestDraftsAreEvents(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringN(1, 200, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 120), func(b []byte) string { return string(b) }))
		micro := rapid.Map(rapid.Int64(), func(n int64) measure.Micro { return measure.Micro(n) })
		names := rapid.SliceOfNDistinct(text, 1, 4, rapid.ID[string]).Draw(t, "names")
		id := rapid.StringMatching(`[a-z0-9-]{1,32}`).Draw(t, "id")
		d, err := New(Options{ID: id, Probe: probe(nil), Every: time.Second, Low: map[string]measure.Micro{names[0]: -5e6}, High: map[string]measure.Micro{names[0]: 5e6},
			Severity: rapid.SampledFrom([]event.Severity{event.SeverityNotice, event.SeverityWarning, event.SeverityAlarm}).Draw(t, "severity")})
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 30).Draw(t, "measurements") {
			var readings []measure.Reading
			err := rapid.SampledFrom([]error{
				nil, nil, nil, bus.ErrStuck, bus.ErrNoAnswer, fmt.Errorf("x: %w", bus.ErrTimeout), fmt.Errorf("clock: %w", ds3231.ErrStopped),
				errors.New(text.Draw(t, "error")), errors.New(strings.Repeat("水", 20_000)),
			}).Draw(t, "fails")
			if err == nil {
				for _, name := range names {
					readings = append(readings, measure.Good(name, micro.Draw(t, "value"), text.Draw(t, "unit")))
				}
			}
			facts := d.machine.hear(readings, err)
			for _, f := range slices.Concat(facts, d.machine.reads()) {
				draft := d.draft(f)
				draft.At = now
				e := draft.Event("cs-one", event.Epoch{}, 1)
				record, err := event.AppendRecord(nil, e)
				if err != nil {
					t.Fatalf("%+v: %v", draft, err)
				}
				if again, err := event.DecodeRecord("cs-one", event.Epoch{}, record); err != nil || again.Kind != f.kind || again.Zone != id {
					t.Fatalf("%+v: %v", again, err)
				}
				state, _ := e.Body.Text(event.TagState)
				if _, valued := e.Body.Text(event.TagValue); valued && (state == Missing || state == Fault) {
					t.Fatalf("a sensor that is %s has a value: %+v", state, e)
				}
			}
		}
	})
}

// TestStoppedClock has a clock chip that was never set, that is set, and whose battery is empty at the next power cut: a fault
// with a reason of its own, from the start and until it is set.
func TestStoppedClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, sim, l := wire.NewI2C(), chip.NewDS3231(time.Now), &log{}
		must(t, b.Put(ds3231.Address, sim))
		c, err := ds3231.New(b)
		must(t, err)
		d, err := New(Options{ID: "clock", Probe: c, Every: 10 * time.Second, Severity: event.SeverityWarning})
		must(t, err)
		defer run(t, d, l)()
		told := func(state, previous, reason string, q event.Qualifier, s event.Severity) {
			t.Helper()
			<-time.After(15 * time.Second)
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			if len(l.drafts) != 1 {
				t.Fatalf("told %+v", l.drafts)
			}
			e := l.drafts[0]
			for tag, want := range map[event.Tag]string{event.TagState: state, event.TagPrevious: previous, event.TagReason: reason} {
				if got, _ := e.Body.Text(tag); got != want {
					t.Errorf("%s is %q, want %q", tag, got, want)
				}
			}
			if e.Kind != event.KindSensorChanged || e.Qualifier != q || e.Severity != s || e.Zone != "clock" {
				t.Errorf("%+v", e)
			}
			l.drafts, l.when = nil, nil
		}
		told("fault", "unknown", "oscillator-stopped", event.QualifierNew, event.SeverityWarning)
		if r := d.Snapshot()[0]; r.State != "fault" || r.Text != "no value (oscillator-stopped)" {
			t.Errorf("%+v", r)
		}
		must(t, c.Set(time.Now()))
		told("normal", "fault", "oscillator-stopped", event.QualifierRestore, event.SeverityNotice)
		sim.Battery(false)
		must(t, b.BrownOut(ds3231.Address))
		told("fault", "normal", "oscillator-stopped", event.QualifierNew, event.SeverityWarning)
	})
}
