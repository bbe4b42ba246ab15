package watch

import (
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/tools/dispatch/ledger/ledgertest"
	"watchpost/uplink/topic"
)

// BenchmarkStep is what the watch costs each second in calm: with 5,000 stations it must stay below 5 % of a core. Each station
// tests daily and has an alarm behind it; one in ten waits to be acknowledged.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			book, now := crowd(b, n)
			w, err := New(b.Context(), book, &ear{since: now}, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			start := cpu(b)
			for b.Loop() {
				if err := w.step(b.Context(), now); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/float64(stepEvery)*100, "%core")
		})
	}
}

// cpu is what the process has had of the processor so far: a busy machine does not change it.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// crowd is a ledger of n stations that all have just spoken.
func crowd(b *testing.B, n int) (*ledger.Ledger, time.Time) {
	b.Helper()
	book := ledgertest.Open(b)
	now := time.Now()
	var words []ledger.Word
	var frames []ledger.Arrival
	for i := range n {
		a := topic.Address{Jurisdiction: "changshan", Station: fmt.Sprintf("cs-%05d", i)}
		if err := book.Enrol(b.Context(), ledger.Station{Address: a, Name: a.Station}); err != nil {
			b.Fatal(err)
		}
		s := topic.State{V: 1, Station: a.Station, Jurisdiction: a.Jurisdiction, Online: true, At: now, Carrier: fmt.Sprint("carrier ", i%3),
			Gauges: map[string]float64{"last_test_at_s": float64(now.Unix()), "last_test_ok": 1}}
		for g := range 60 { // as many as the firmware has
			s.Gauges[fmt.Sprintf("log_of_something_%d_bytes", g)] = 123456.5
		}
		words = append(words, ledger.Word{State: s, Heard: now})
		d := event.Draft{At: now, Kind: event.KindPanelEvent, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "dc09/1"}
		e := d.Event(a.Station, event.Epoch{1}, 1)
		frames = append(frames, ledger.Arrival{Address: a, Received: now, Frame: topic.Frame{Epoch: e.Epoch, Lane: e.Lane, Events: []event.Event{e}}})
	}
	if err := book.Heard(b.Context(), words...); err != nil {
		b.Fatal(err)
	}
	if _, err := book.Store(b.Context(), frames); err != nil {
		b.Fatal(err)
	}
	for i, f := range frames {
		if i%10 == 0 {
			continue
		}
		k := ledger.Key{Station: f.Address.Station, Epoch: f.Frame.Epoch, Seq: 1}
		if _, err := book.Act(b.Context(), k, ledger.VerbAcknowledge, "li", now); err != nil {
			b.Fatal(err)
		}
	}
	return book, now
}
