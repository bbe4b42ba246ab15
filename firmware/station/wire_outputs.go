package station

import (
	"fmt"

	"watchpost/drivers/relay"
)

// wireOutputs makes what acts: one driver a board.
func (s *Station) wireOutputs(o Options) error {
	for _, b := range s.config.Boards {
		var list []relay.Config
		for _, out := range s.config.Outputs {
			if out.Board == b.ID {
				list = append(list, relay.Config{ID: out.ID, Line: out.Line, ActiveLow: out.Active == "low", Role: out.Role, MaxOn: out.MaxOn})
			}
		}
		if len(list) == 0 {
			continue
		}
		driver, err := relay.New(relay.Options{Lines: s.wires.boards[b.ID], Outputs: list, Log: s.log.With("board", b.ID), Now: o.Now})
		if err != nil {
			return fmt.Errorf("outputs of board %s: %w", b.ID, err)
		}
		s.outputs = append(s.outputs, driver)
		s.wires.tries[driver], s.wires.names[driver] = tryLine(s.wires.boards[b.ID], list[0].Line), "outputs of "+b.ID
	}
	return nil
}
