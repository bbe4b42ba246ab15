package station

import (
	"context"
	"net/http"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/contact"
	"watchpost/drivers/relay"
	"watchpost/firmware/status"
)

// rawWait is how long the door waits for one value of a wire.
const rawWait = time.Second

// serveIO adds the list of inputs and outputs to the door.
func (s *Station) serveIO(mux *http.ServeMux) {
	mux.HandleFunc("GET "+status.PathIO, func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, s.io(r.Context())) })
}

// io is what all inputs and outputs are like now. A driver says in its text what it has measured; the level of a line is read anew.
func (s *Station) io(ctx context.Context) status.IO {
	ctx, cancel := context.WithTimeout(ctx, rawWait)
	defer cancel()
	all := status.IO{At: s.clock.now().UTC(), Groups: []status.IOGroup{}}
	for _, d := range s.drivers() {
		shot, ok := d.(drivers.Snapshotter)
		if !ok {
			continue
		}
		raw := func(string) string { return "" }
		switch d.(type) {
		case *contact.Driver:
			raw = func(id string) string { return s.zoneLevel(ctx, id) }
		case *relay.Driver:
			raw = func(id string) string { return s.outputLevel(ctx, id) }
		}
		g := status.IOGroup{Driver: s.name(d), Points: []status.Point{}}
		for _, x := range shot.Snapshot() {
			g.Points = append(g.Points, status.Point{ID: x.Name, State: orUnknown(x.State), Text: x.Text, Raw: raw(x.Name), Since: x.Since})
		}
		all.Groups = append(all.Groups, g)
	}
	return all
}

// zoneLevel is the level of the line that feeds a zone.
func (s *Station) zoneLevel(ctx context.Context, id string) string {
	for _, z := range s.config.Zones {
		if z.ID == id {
			return s.level(ctx, z.Board, z.Line)
		}
	}
	return ""
}

// outputLevel is the level of an output's line, where its board can read it back.
func (s *Station) outputLevel(ctx context.Context, id string) string {
	for _, o := range s.config.Outputs {
		if o.ID == id {
			return s.level(ctx, o.Board, o.Line)
		}
	}
	return ""
}

// level is high or low, or "" if the line cannot be read now.
func (s *Station) level(ctx context.Context, board, line string) string {
	lines := s.wires.boards[board]
	if lines == nil {
		return ""
	}
	high, err := lines.Read(ctx, line)
	switch {
	case err != nil:
		return ""
	case high:
		return "high"
	}
	return "low"
}
