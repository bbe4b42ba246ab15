package zone

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"watchpost/storage/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loop is a zone with states of its own for tampering.
func loop(t *testing.T, severity event.Severity) *Zone {
	t.Helper()
	z, err := New(Config{Zone: "hall", Source: "loop/hall", Line: "loops-1 channel 2", Code: "BA", Severity: severity}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestLoopStates holds the states that a contact cannot have: tampering is a warning at least, and what is no state of the
// zone itself is told once for each reason.
func TestLoopStates(t *testing.T) {
	blind := func(state, reason string) Word { return Word{State: state, Reason: reason} }
	m := newMachine(notice)
	var got []brief
	for i, w := range []Word{
		{State: Open}, {State: Short}, {State: Masked}, {State: Active}, {State: Normal},
		blind(Fault, "excitation"), blind(Fault, "excitation"), blind(Fault, "unsteady"), blind(Missing, "chip"), {State: Normal},
		blind(Missing, "chip"), {State: Open},
	} {
		got = append(got, briefs(m.hear(w, start().Add(time.Duration(i)*time.Minute)))...)
	}
	want := []brief{
		{State: Open, Previous: Unknown, Qualifier: qNew, Severity: warning},
		{State: Short, Previous: Open, Qualifier: qNew, Severity: warning},
		{State: Masked, Previous: Short, Qualifier: qNew, Severity: warning},
		{State: Active, Previous: Masked, Qualifier: qNew, Severity: notice},
		{State: Normal, Previous: Active, Qualifier: qRestore, Severity: notice},
		{State: Fault, Previous: Normal, Qualifier: qNew, Severity: warning, Reason: "excitation"},
		{State: Fault, Previous: Fault, Qualifier: qNew, Severity: warning, Reason: "unsteady"},
		{State: Missing, Previous: Fault, Qualifier: qNew, Severity: warning, Reason: "chip"},
		{State: Normal, Previous: Missing, Qualifier: qRestore, Severity: notice, Reason: "chip"},
		{State: Missing, Previous: Normal, Qualifier: qNew, Severity: warning, Reason: "chip"},
		{State: Open, Previous: Missing, Qualifier: qNew, Severity: warning},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestFaultWhileLatched holds that a chatter ends with the reading itself, and is not ended by quiet then.
func TestFaultWhileLatched(t *testing.T) {
	m := newMachine(alarm)
	m.hear(present(false, 0), start())
	m.hear(changed(true, 20), start())
	if f := m.hear(Word{State: Fault, Reason: "excitation"}, start()); len(f) != 1 || f[0].reason != "excitation" {
		t.Fatalf("%+v", f)
	}
	if _, ok := m.due(); ok {
		t.Error("a chatter is due to end that nobody sees")
	}
	if f := m.tick(start().Add(time.Hour)); f != nil {
		t.Errorf("ended by quiet: %+v", f)
	}
}

// TestZone holds a zone's draft, its reading, and that it is stored in order while the sink refuses.
func TestZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := loop(t, alarm)
		if r := z.Reading("4.7 kΩ"); r.Name != "hall" || r.State != Unknown || r.Text != "4.7 kΩ" {
			t.Errorf("%+v", r)
		}
		var drafts []event.Draft
		fails := 3
		sink := func(_ context.Context, d event.Draft) error {
			if fails > 0 {
				fails--
				return errors.New("full")
			}
			drafts = append(drafts, d)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group errgroup.Group
		group.Go(func() error { return z.Store(ctx, sink) })
		z.Hear(Word{State: Normal, KernelNS: 5, LineSeq: 1})
		z.Hear(Word{State: Active, Changed: true, KernelNS: 7, LineSeq: 2, Lost: 3, Detail: "9.4 k\xff"})
		if r := z.Reading("x"); r.State != Active || !strings.Contains(r.Text, "2 changes not stored yet") {
			t.Errorf("%+v", r)
		}
		<-time.After(time.Minute)
		cancel()
		if err := group.Wait(); err != nil || len(drafts) != 2 {
			t.Fatalf("%v, %d drafts", err, len(drafts))
		}
		want := event.Draft{
			KernelNS: 7, Kind: event.KindZoneChanged, Qualifier: qNew, Zone: "hall", Source: "loop/hall", Severity: alarm, Once: "2/7",
			Body: event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagPrevious, "normal"), event.Text(event.TagDetail, "9.4 k?"),
				event.Text(event.TagLine, "loops-1 channel 2"), event.Text(event.TagCode, "BA"), event.Uint(event.TagLost, 3), event.Uint(event.TagLineSeq, 2)),
		}
		if d := cmp.Diff(want, drafts[1], cmp.AllowUnexported(event.Field{})); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
}

func TestWrongConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"no zone":     {Source: "x", Severity: alarm},
		"no source":   {Zone: "x", Severity: alarm},
		"long source": {Zone: "x", Source: strings.Repeat("s", event.MaxName+1), Severity: alarm},
		"no severity": {Zone: "x", Source: "x"},
		"trace":       {Zone: "x", Source: "x", Severity: event.SeverityTrace},
	} {
		if _, err := New(c, slog.New(slog.DiscardHandler), time.Now); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
