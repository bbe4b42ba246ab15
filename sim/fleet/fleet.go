package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/firmware/config"
	agent "watchpost/firmware/station"
	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/topic"
)

// Options are what a fleet is made of.
type Options struct {
	// Dir has a folder for each station, named by its id, with what `dispatch enrol` writes there.
	Dir      string
	Stations []topic.Address
	Pace     int          // stations that start in a second; 0 = all at once
	Log      *slog.Logger // nil = silent
}

// Fleet is many stations in this process: each is what a village has, but for its devices, its disk and its local door.
type Fleet struct {
	members []*member
	pace    int
}

// member is one station and the source that tells it facts.
type member struct {
	address topic.Address
	station *agent.Station
	book    *storagetest.MemLog

	mu    sync.Mutex // guards the fields below
	facts []storagetest.Fact
	seen  uint64 // of the main lane, by linked
	link  Link
}

// Link is what a station itself has put down of its link to its centre.
type Link struct {
	Up    bool
	Since time.Time // zero = it has said nothing yet
}

// New makes the stations; Run runs them.
func New(o Options) (*Fleet, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	packer, err := topic.NewPacker()
	if err != nil {
		return nil, err
	}
	f := &Fleet{pace: o.Pace}
	for _, a := range o.Stations {
		m, err := newMember(filepath.Join(o.Dir, a.Station), a, packer, o.Log)
		if err != nil {
			return nil, fmt.Errorf("station %s: %w", a.Station, err)
		}
		f.members = append(f.members, m)
	}
	return f, nil
}

func newMember(dir string, a topic.Address, packer *topic.Packer, log *slog.Logger) (*member, error) {
	centres, err := os.ReadFile(filepath.Join(dir, "centre.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: enrol the station with dispatch enrol --out %s", err, dir)
	}
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("station: {id: %s, jurisdiction: %s, name: %s}\ndata: .\n%s", a.Station, a.Jurisdiction, a.Station, centres)
	c, err := config.Parse(filepath.Join(dir, "station.yaml"), []byte(text))
	if err != nil {
		return nil, err
	}
	m := &member{address: a, book: storagetest.NewMemLog(a.Station)}
	m.station, err = agent.New(agent.Options{
		Config: c, Edition: agent.Edition{Version: "fleet"}, Log: log.With("station", a.Station), Events: m.book, NoDoor: true, Packer: packer,
	})
	return m, err
}

// Run runs all stations until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, m := range f.members {
		g.Go(func() error {
			if f.pace > 0 {
				turn := time.NewTimer(time.Duration(i) * time.Second / time.Duration(f.pace))
				defer turn.Stop()
				select {
				case <-turn.C:
				case <-ctx.Done(): // it starts all the same, and stops in good order
				}
			}
			if err := m.station.Run(ctx); err != nil {
				return fmt.Errorf("station %s: %w", m.address.Station, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Len is the number of stations.
func (f *Fleet) Len() int { return len(f.members) }

// sourceLine is the source of what Tell stores.
const sourceLine = "line"

// Tell has station i store one fact of a severity, as one of its wires would, and notes it as acknowledged.
func (f *Fleet) Tell(ctx context.Context, i int, s event.Severity) error {
	m := f.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	key := fmt.Sprintf("%s-%d", m.address.Station, len(m.facts)+1)
	got, err := m.book.Append(ctx, event.Draft{
		At: time.Now().UTC(), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Zone: "door", Source: sourceLine, Severity: s,
		Body: event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagPrevious, "normal"), event.Text(event.TagDetail, key)),
	})
	if err != nil {
		return fmt.Errorf("station %s: %w", m.address.Station, err)
	}
	m.facts = append(m.facts, storagetest.Fact{Key: key, Acked: true, At: time.Now(), Lane: got[0].Lane, Epoch: m.book.Epoch(), Seq: got[0].Seq})
	return nil
}

// KeyOf is the key of a fact that Tell stored, "" for other events.
func KeyOf(e event.Event) string { return keyOf(e) }

// Links are the links of all stations, as each has put it down in its log.
func (f *Fleet) Links() []Link {
	links := make([]Link, len(f.members))
	for i, m := range f.members {
		links[i] = m.linked()
	}
	return links
}

// linked reads the station's log on from where it last stood.
func (m *member) linked() Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, err := m.book.Read(event.LaneMain, m.seen, 1<<10)
	if err != nil {
		return Link{} // it is closed: the station has stopped
	}
	for _, e := range events {
		m.seen = e.Seq
		if e.Kind == event.KindCentreLink {
			m.link = Link{Up: e.Qualifier == event.QualifierRestore, Since: e.At}
		}
	}
	return m.link
}

// Progress is how a fleet does.
type Progress struct {
	Stations, Connected int
	Events              uint64 // in the stations' logs
	Backlog             uint64 // of them, those that the centre gave no receipt for
}

// Progress counts over all stations. centre is its id in their configurations.
func (f *Fleet) Progress(centre string) Progress {
	p := Progress{Stations: len(f.members)}
	for _, m := range f.members {
		if m.linked().Up {
			p.Connected++
		}
		p.Events += m.book.LastSeq()
		for _, lane := range event.Lanes() {
			upto, err := m.book.Cursor(centre, lane)
			if err != nil {
				continue // it has stopped
			}
			waiting, err := m.book.Read(lane, upto, 1<<30)
			if err == nil {
				p.Backlog += uint64(len(waiting))
			}
		}
	}
	return p
}

// History is what the stations were acknowledged and hold, for storagetest.Check; the centres are the caller's.
func (f *Fleet) History() storagetest.History {
	var h storagetest.History
	for _, m := range f.members {
		m.mu.Lock()
		h.Sources = append(h.Sources, storagetest.Source{Station: m.address.Station, Name: sourceLine, Facts: append([]storagetest.Fact(nil), m.facts...)})
		m.mu.Unlock()
		heads := m.book.Heads()
		for _, lane := range event.Lanes() {
			if seq := heads[lane]; seq > 0 {
				h.Heads = append(h.Heads, storagetest.Head{Station: m.address.Station, Epoch: m.book.Epoch(), Lane: lane, Seq: seq})
			}
		}
	}
	return h
}
