package station

import (
	"context"
	"net/http"
	"time"

	"watchpost/drivers"
	"watchpost/firmware/status"
)

// rawWait is how long the door waits for one value of a wire.
const rawWait = time.Second

// rawReader is a driver that can say what it read last, with its unit, by the names of its readings. It does not touch its
// device: what is not known has no entry.
type rawReader interface {
	Raw() map[string]string
}

// serveIO adds the list of inputs and outputs to the door.
func (s *Station) serveIO(mux *http.ServeMux) {
	mux.HandleFunc("GET "+status.PathIO, func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, s.io(r.Context())) })
}

// io is what all inputs and outputs are like now.
func (s *Station) io(ctx context.Context) status.IO {
	levels := s.levels(ctx)
	all := status.IO{At: s.clock.now().UTC(), Groups: []status.IOGroup{}}
	for _, d := range s.drivers() {
		shot, ok := d.(drivers.Snapshotter)
		if !ok {
			continue
		}
		raw := levels
		if r, ok := d.(rawReader); ok {
			raw = r.Raw()
		}
		g := status.IOGroup{Driver: s.name(d), Points: []status.Point{}}
		for _, x := range shot.Snapshot() {
			g.Points = append(g.Points, status.Point{ID: x.Name, State: orUnknown(x.State), Text: x.Text, Raw: raw[x.Name], Since: x.Since})
		}
		all.Groups = append(all.Groups, g)
	}
	return all
}

// levels are the levels of all lines that feed a zone, by the zone. A line that cannot be read has none.
func (s *Station) levels(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, rawWait)
	defer cancel()
	raw := map[string]string{}
	for _, z := range s.config.Zones {
		lines := s.wires.boards[z.Board]
		if lines == nil {
			continue
		}
		if high, err := lines.Read(ctx, z.Line); err == nil {
			raw[z.ID] = map[bool]string{true: "high", false: "low"}[high]
		}
	}
	return raw
}
