package station

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"watchpost/drivers/bus"
	"watchpost/drivers/ibutton"
)

// toursName is the file in the data directory that says how far the guards' tours have come.
const toursName = "tours"

// wireTours makes the guards' tours, if there are any.
func (s *Station) wireTours(o Options) error {
	var tours []ibutton.Tour
	for _, t := range s.config.Tours {
		tour := ibutton.Tour{ID: t.ID, Order: t.Order, Windows: t.Windows, Roster: map[bus.ROM]string{}}
		for _, c := range t.Checkpoints {
			tour.Checkpoints = append(tour.Checkpoints, ibutton.Checkpoint{ID: c.ID, Bus: c.Bus, Wire: s.wires.oneWire[c.Bus]})
		}
		for _, g := range t.Roster {
			tour.Roster[bus.ROM(g.Button)] = g.Name
		}
		tours = append(tours, tour)
	}
	if len(tours) == 0 {
		return nil
	}
	options := ibutton.Options{Tours: tours, Log: s.log.With("driver", "ibutton"), Now: o.Now}
	if o.Events == nil { // as with the memo: what is in memory needs nothing on disk
		options.Memo = tourFile(filepath.Join(s.config.Data, toursName))
	}
	driver, err := ibutton.New(options)
	if err != nil {
		return fmt.Errorf("tours: %w", err)
	}
	s.tours = append(s.tours, driver)
	return nil
}

// tourFile is the path of what the tours' driver remembers, replaced atomically.
type tourFile string

var _ ibutton.Memo = tourFile("")

// Load reads the file; without one there is nothing.
func (f tourFile) Load() ([]byte, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Save replaces the file.
func (f tourFile) Save(b []byte) error { return renameio.WriteFile(string(f), b, 0o600) }
