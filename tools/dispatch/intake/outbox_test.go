package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/outbox"
	"watchpost/uplink/topic"
)

// wire is a broker between a real outbox and a real intake: it acknowledges everything, and passes on what the test lets it.
type wire struct {
	t    *testing.T
	box  *outbox.Outbox
	drop func(n int) bool // of the n-th frame

	mu     sync.Mutex // guards the fields below
	office *office
	frames int
	lost   int
}

var _ outbox.Publisher = (*wire)(nil)

// Publish acknowledges, and passes the frame on unless it is to be lost.
func (w *wire) Publish(_ context.Context, name string, payload []byte, acked func()) error {
	acked()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames++
	if w.drop(w.frames) {
		w.lost++
		return nil
	}
	w.deliver(message{topic: name, payload: bytes.Clone(payload), received: time.Now()})
	return nil
}

// deliver lets the intake handle a message, and the outbox have its receipts. The caller holds mu.
func (w *wire) deliver(m message) {
	w.office.take(m)
	if err := w.office.answer(w.t.Context(), time.Now().Add(receiptWithin)); err != nil {
		w.t.Error(err)
	}
	for _, s := range w.office.sent() {
		var r topic.Receipt
		if err := json.Unmarshal(s.body, &r); err != nil {
			w.t.Error(err)
		}
		if err := w.box.Receipt(r); err != nil {
			w.t.Logf("a receipt is refused: %v", err)
		}
	}
}

// station is a log with events in both lanes, and its outbox, which has no patience: only what the centre asks for is sent again.
func station(t *testing.T, events int) (*storagetest.MemLog, *outbox.Outbox) {
	t.Helper()
	log := storagetest.NewMemLog(caoping().Station)
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	for n := range events {
		d := event.Draft{At: then(), Kind: event.KindPanelEvent, Qualifier: event.QualifierNew, Severity: event.SeverityNotice, Source: "dc09/1409",
			Body: event.NewBody(event.Text(event.TagText, fmt.Sprint(n)))}
		if n%5 == 0 {
			d.Severity = event.SeverityAlarm
		}
		if _, err := log.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	return log, outboxOf(t, log)
}

func outboxOf(t *testing.T, log *storagetest.MemLog) *outbox.Outbox {
	t.Helper()
	box, err := outbox.New(outbox.Options{Log: log, Centre: "changshan", Address: caoping(),
		Settings: outbox.Settings{StallAfter: time.Hour, FrameEvents: 4, Window: 16}})
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// present is what the station says of itself.
func present(t *testing.T, log *storagetest.MemLog, box *outbox.Outbox) message {
	t.Helper()
	m := said(t, topic.State{Online: true, Epoch: log.Epoch(), Heads: log.Heads(), Stored: box.Stored(), At: time.Now()})
	m.received = time.Now()
	return m
}

// drain runs the outbox until the ledger has all of the log.
func (w *wire) drain(log *storagetest.MemLog) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.box.Run(ctx, w); err != nil {
			w.t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	w.mu.Lock()
	w.deliver(present(w.t, log, w.box))
	w.mu.Unlock()
	poll(w.t, func() bool {
		heads, err := w.office.book.Heads(w.t.Context(), caoping().Station, log.Epoch())
		if err != nil {
			w.t.Fatal(err)
		}
		return maps.Equal(heads, log.Heads()) && maps.Equal(nonZero(w.box.Stored()), log.Heads())
	})
}

func nonZero(m map[event.Lane]uint64) map[event.Lane]uint64 {
	out := make(map[event.Lane]uint64)
	for l, n := range m {
		if n > 0 {
			out[l] = n
		}
	}
	return out
}

// A broker that acknowledges and drops: the centre asks for the gap, and the outbox does not wait for its own patience to end.
func TestWhatABrokerDropsIsAskedFor(t *testing.T) {
	const events = 400
	log, box := station(t, events)
	// The last frames come through: what is lost at the very end shows only to the outbox's own patience.
	w := &wire{t: t, box: box, office: open(t), drop: func(n int) bool { return n%7 == 3 && n < 60 }}
	w.drain(log)
	if w.lost == 0 {
		t.Fatal("nothing was lost: the test shows nothing")
	}
	t.Logf("%d frames, %d of them lost", w.frames, w.lost)
	if _, n, err := w.office.book.Open(t.Context(), 1); err != nil || n != events/5 {
		t.Errorf("%d alarms, %v; want each of %d once", n, err, events/5)
	}
}

// A ledger from yesterday, or a new one with the old roster: the centre asks from where it stands as soon as the station says
// online, whether or not the outbox has run on.
func TestARestoredCentreMissesNothing(t *testing.T) {
	for name, kept := range map[string]int{"a new ledger": 0, "yesterday's": 200} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			log, box := station(t, 300)
			old := open(t)
			w := &wire{t: t, box: box, office: old, drop: func(int) bool { return false }}
			w.drain(log)
			restored := open(t)
			for _, l := range event.Lanes() {
				es, err := log.Read(l, 0, kept)
				if err != nil {
					t.Fatal(err)
				}
				es = slices.DeleteFunc(es, func(e event.Event) bool { return e.Seq > uint64(kept) })
				if len(es) > 0 {
					a := ledger.Arrival{Address: caoping(), Received: then(), Frame: topic.Frame{Epoch: log.Epoch(), Lane: l, Events: es}}
					if _, err := restored.book.Store(t.Context(), []ledger.Arrival{a}); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, box := range []*outbox.Outbox{box, outboxOf(t, log)} { // the same run of the agent, and a new one
				again := &wire{t: t, box: box, office: restored, drop: func(int) bool { return false }}
				again.drain(log)
			}
			if _, n, err := restored.book.Open(t.Context(), 1); err != nil || n != 60 {
				t.Errorf("%d alarms, %v; want each of 60 once", n, err)
			}
		})
	}
}

// What the drain of a backlog costs the whole intake: frames taken apart, stored in one commit, receipts made.
func BenchmarkHandle(b *testing.B) {
	book := fresh(b)
	o := hire(b, book)
	packer, err := topic.NewPacker()
	if err != nil {
		b.Fatal(err)
	}
	seq := uint64(0)
	for b.Loop() {
		b.StopTimer()
		var ms []message
		for range batchLimit {
			f := topic.Frame{Epoch: event.Epoch{1}, Lane: event.LaneMain, Prev: seq, Historical: true}
			for range 64 {
				seq++
				f.Events = append(f.Events, fact(seq, event.SeverityNotice))
			}
			payload, err := packer.AppendFrame(nil, f)
			if err != nil {
				b.Fatal(err)
			}
			ms = append(ms, message{topic: caoping().Event(f.Lane), payload: payload, received: then()})
		}
		b.StartTimer()
		if err := o.handle(b.Context(), ms); err != nil {
			b.Fatal(err)
		}
		if err := o.answer(b.Context(), then()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		o.sent()
		b.StartTimer()
	}
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "events/s")
}
