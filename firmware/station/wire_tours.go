package station

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"watchpost/drivers/bus"
	"watchpost/drivers/dc09/sender"
	"watchpost/drivers/ibutton"
)

// toursName is the file in the data directory that says how far the guards' tours have come.
const toursName = "tours"

// wireTours makes the guards' tours and the readers of iButtons, if there are any.
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
	s.wireDesk()
	s.wireButtons(&options)
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
