package ibutton

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"watchpost/drivers/bus"
	"watchpost/storage/event"
)

// Checkpoint is a place on a tour, with one reader.
type Checkpoint struct {
	// ID is the station's name of the checkpoint.
	ID string
	// Bus is the name of the reader's bus; checkpoints of several tours may share one.
	Bus string
	// Wire is that bus.
	Wire bus.OneWire
}

// Tour is a round that guards walk.
type Tour struct {
	// ID is the station's name of the tour.
	ID string
	// Checkpoints are the places, each with a bus of its own, in their order.
	Checkpoints []Checkpoint
	// Order says that they count only in that order.
	Order bool
	// Windows say when a round is due each day, in local time: "22:00-23:00". One may pass midnight; at least one is given.
	Windows []string
	// Roster names the guards by their buttons.
	Roster map[bus.ROM]string
}

// Reader is a place where people touch with their cards. Checkpoints of tours may share its bus.
type Reader struct {
	// ID is the station's name of the reader.
	ID string
	// Bus is the name of the reader's bus, which no other Reader has.
	Bus string
	// Wire is that bus.
	Wire bus.OneWire
}

// Memo keeps what must outlive the agent: bytes of the driver's own. Save returns when they would survive a power cut. Load
// gives what was saved last, nil if nothing was.
type Memo interface {
	Load() ([]byte, error)
	Save(b []byte) error
}

// Options are the tours and the card readers of a station.
type Options struct {
	// Tours have unique ids.
	Tours []Tour
	// Readers have unique ids.
	Readers []Reader
	// Cards are the buttons that are somebody's. They are no strangers to a tour on a card reader's bus, and count whatever
	// their family; of the others only a DS1990A does.
	Cards []bus.ROM
	// Touch takes a touch of a Reader, of one of the Cards or of a stranger. It returns at once: the reader is not read meanwhile.
	Touch func(ctx context.Context, reader string, rom bus.ROM)
	// Memo remembers how far the tours have come. Without one, what was missed while the agent was down is not told.
	Memo Memo
	// Every is from poll to poll of a reader, 150 ms by default, at most 200 ms: people touch for half a second.
	Every time.Duration
	// Log takes one line for each change of state; nil is silence.
	Log *slog.Logger
	// Now is the clock in local time, time.Now by default.
	Now func() time.Time
}

// Of polling.
const (
	defaultEvery = 150 * time.Millisecond
	slowest      = 200 * time.Millisecond
)

func (o Options) filled() Options {
	o.Every = cmp.Or(o.Every, defaultEvery)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) check() error {
	if o.Every < 0 || o.Every > slowest {
		return fmt.Errorf("tours: a reader polled every %s misses touches: want at most %s", o.Every, slowest)
	}
	tours := map[string]bool{}
	for _, t := range o.Tours {
		if t.ID == "" || tours[t.ID] || len(source(t.ID)) > event.MaxName {
			return fmt.Errorf("tour %q: want a name of its own of 1 to %d bytes", t.ID, event.MaxName-len(source("")))
		}
		tours[t.ID] = true
		if err := t.check(); err != nil {
			return fmt.Errorf("tour %s: %w", t.ID, err)
		}
	}
	return o.checkReaders()
}

func (o Options) checkReaders() error {
	if len(o.Readers) > 0 && o.Touch == nil {
		return errors.New("card readers: nobody takes their touches")
	}
	ids, buses := map[string]bool{}, map[string]bool{}
	for _, r := range o.Readers {
		if r.ID == "" || r.Wire == nil || ids[r.ID] || buses[r.Bus] || len(busSource(r.Bus)) > event.MaxName {
			return fmt.Errorf("card reader %q on bus %.96q: want a name and a bus of its own", r.ID, r.Bus)
		}
		ids[r.ID], buses[r.Bus] = true, true
	}
	return nil
}

func (t Tour) check() error {
	if len(t.Checkpoints) == 0 || len(t.Windows) == 0 {
		return errors.New("no checkpoints or no windows")
	}
	ids, buses := map[string]bool{}, map[string]bool{}
	for _, c := range t.Checkpoints {
		if c.ID == "" || c.Wire == nil || ids[c.ID] || buses[c.Bus] || len(busSource(c.Bus)) > event.MaxName {
			return fmt.Errorf("checkpoint %q on bus %.96q: want a name and a bus of its own", c.ID, c.Bus)
		}
		ids[c.ID], buses[c.Bus] = true, true
	}
	for rom, who := range t.Roster {
		if err := rom.Check(); err != nil {
			return fmt.Errorf("button of %q: %w", who, err)
		}
		if who == "" {
			return fmt.Errorf("button %s is nobody's", rom)
		}
	}
	for _, w := range t.Windows {
		if _, err := parseWindow(w); err != nil {
			return err
		}
	}
	return nil
}

func source(tour string) string { return "tour/" + tour }

func busSource(name string) string { return "bus/" + name }
