package station

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"watchpost/drivers/bus"
	"watchpost/drivers/dc09/sender"
	"watchpost/drivers/ibutton"
	"watchpost/firmware/config"
)

// toursName is the file in the data directory that says how far the guards' tours have come.
const toursName = "tours"

// wireTours makes the guards' tours and the card readers, if there are any.
func (s *Station) wireTours(o Options) error {
	options := ibutton.Options{Log: s.log.With("driver", "ibutton"), Now: o.Now}
	for _, t := range s.config.Tours {
		tour := ibutton.Tour{ID: t.ID, Order: t.Order, Windows: t.Windows, Roster: map[bus.ROM]string{}}
		for _, c := range t.Checkpoints {
			tour.Checkpoints = append(tour.Checkpoints, ibutton.Checkpoint{ID: c.ID, Bus: c.Bus, Wire: s.wires.oneWire[c.Bus]})
		}
		for _, g := range t.Roster {
			tour.Roster[bus.ROM(g.Button)] = g.Name
		}
		options.Tours = append(options.Tours, tour)
	}
	s.wireReaders(&options)
	if len(options.Tours)+len(options.Readers) == 0 {
		return nil
	}
	if o.Events == nil && len(options.Tours) > 0 { // as with the memo: what is in memory needs nothing on disk
		options.Memo = keptFile(filepath.Join(s.config.Data, toursName))
	}
	driver, err := ibutton.New(options)
	if err != nil {
		return fmt.Errorf("tours: %w", err)
	}
	s.tours = append(s.tours, driver)
	return nil
}

// wireReaders adds the card readers, and makes the desk that their touches go to.
func (s *Station) wireReaders(o *ibutton.Options) {
	if len(s.config.Readers) == 0 {
		return
	}
	desk := &cardDesk{
		readers: map[string]config.Reader{}, owners: map[string]string{}, up: func() time.Duration { return s.clock.instant().Up },
		log: s.log, touches: make(chan touch, cardQueue),
	}
	for _, r := range s.config.Readers {
		desk.readers[r.ID] = r
		o.Readers = append(o.Readers, ibutton.Reader{ID: r.ID, Bus: r.Bus, Wire: s.wires.oneWire[r.Bus]})
	}
	for _, u := range s.config.Users {
		for _, card := range u.Cards {
			desk.owners[card.String()] = u.ID
			o.Cards = append(o.Cards, bus.ROM(card))
		}
	}
	o.Touch = func(_ context.Context, reader string, rom bus.ROM) { desk.touched(reader, config.ROM(rom).String()) }
	s.cards = desk
}

// keptFile is the path of what one driver remembers, replaced atomically.
type keptFile string

var (
	_ ibutton.Memo = keptFile("")
	_ sender.Memo  = keptFile("")
)

// Load reads the file; without one there is nothing.
func (f keptFile) Load() ([]byte, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Save replaces the file.
func (f keptFile) Save(b []byte) error { return renameio.WriteFile(string(f), b, 0o600) }
