// Silence is a fact: a station that says nothing for longer than it promised is either cut off, broken or gone, and somebody
// has to find out which. So the centre tells it like an alarm, in the same queue, to be claimed and acknowledged.
//
// What is told, and what is not:
//   - A station is silent when it was heard once and has then said nothing for three heartbeats and 10 s. A will alone does not
//     count: a short reconnect writes one too. A stop in good order is silence as well, and the card says so.
//   - Silence that follows an alarm is told after half the time, and comes first in the queue.
//   - Stations of one carrier that fall silent together (three or more, and at least half of them) make one card that counts who
//     is still missing. To see that they do, a single card is held back for up to 15 s.
//   - What comes back while its card still waits to be acknowledged takes up that card: a line that comes and goes is one card.
//   - A centre that does not hear its broker is deaf itself, and says that instead; so is one that does not get round to storing
//     what it hears. After that, and after its own start, everybody has the full time to speak.
//   - A daily test alarm that has not come for 26 h is told with the link at which it stopped: line, uplink or screen.
//
// State.Step is the decision, pure; Watch is its driver: it asks the ledger how things stand, every second, and stores what has
// to be told in one transaction. What it cannot store it decides again at the next step.
package watch

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/intake"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// stepEvery is how often the watch looks.
const stepEvery = time.Second

// behindLimit is how long what came in may wait to be stored. Beyond it the centre does not know who has spoken, and is deaf.
const behindLimit = 5 * time.Second

// faultTold is how often a ledger that cannot be asked or told is logged.
const faultTold = time.Minute

// Book is the ledger as the watch needs it.
type Book interface {
	Watchlist(ctx context.Context) ([]ledger.Watched, error)
	Standing(ctx context.Context) ([]ledger.Alarm, error)
	LastState(ctx context.Context, station string) (topic.State, error)
	Tell(ctx context.Context, now time.Time, drafts ...event.Draft) ([]ledger.Key, error)
}

// Ear says whether the centre hears its broker.
type Ear interface {
	Status() intake.Status
}

var (
	_ Book = (*ledger.Ledger)(nil)
	_ Ear  = (*intake.Intake)(nil)
)

// Watch looks after silence and the daily tests.
type Watch struct {
	book Book
	ear  Ear
	log  *slog.Logger

	state  State
	failed int // steps in a row
	told   time.Time
}

// New makes a watch that knows what earlier runs of the centre have told and not taken back.
func New(ctx context.Context, book Book, ear Ear, log *slog.Logger) (*Watch, error) {
	standing, err := book.Standing(ctx)
	if err != nil {
		return nil, fmt.Errorf("the watch over silence: %w", err)
	}
	return &Watch{book: book, ear: ear, log: log, state: resume(standing)}, nil
}

// Run looks every second until ctx ends. A ledger that fails is told to the log and asked again.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			w.note(w.step(ctx, now), now)
		}
	}
}

// note logs faults of a step, once per interval.
func (w *Watch) note(err error, now time.Time) {
	if err == nil {
		w.failed = 0
		return
	}
	if w.failed++; now.Sub(w.told) >= faultTold {
		w.told = now
		w.log.Error("silence cannot be watched", "times", w.failed, "err", err)
	}
}

// step looks once.
func (w *Watch) step(ctx context.Context, now time.Time) error {
	list, err := w.book.Watchlist(ctx)
	if err != nil {
		return err
	}
	in := Input{Stations: make([]Station, len(list))}
	if s := w.ear.Status(); s.Connected && (s.Behind.IsZero() || now.Sub(s.Behind) < behindLimit) {
		in.Listening = s.Since
	}
	byID := make(map[string]ledger.Watched, len(list))
	for i, x := range list {
		in.Stations[i] = Station{ID: x.Address.Station, Heard: x.Heard, Farewell: x.Farewell, Carrier: x.Carrier, Heartbeat: x.Heartbeat,
			Threat: x.Threat, Threatens: x.Threatens, Tests: x.Tests,
			Test: Test{x.Test.Since, x.Test.Claimed, x.Test.Stored, x.Test.Confirmed, x.Test.Failed}}
		byID[x.Address.Station] = x
	}
	state, effects := w.state.Step(in, now)
	var drafts []event.Draft
	for _, e := range effects {
		d, err := w.draft(ctx, e, byID[e.Station], now)
		if err != nil {
			return err
		}
		drafts = append(drafts, d)
	}
	if len(drafts) > 0 {
		if _, err := w.book.Tell(ctx, now, drafts...); err != nil {
			return err
		}
	}
	for _, e := range effects {
		w.log.Info("told", "kind", e.Kind.String(), "as", e.Qualifier.String(), "station", e.Station, "carrier", e.Carrier, "missing", len(e.Missing), "stage", string(e.Stage))
	}
	w.state = state
	return nil
}
