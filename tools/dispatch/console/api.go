package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
)

// alarmsView is where a page begins: the open alarms, the latest closed ones, and the feed position from which the event
// stream goes on.
type alarmsView struct {
	Cursor    int64       `json:"cursor"`
	OpenTotal int         `json:"open_total"`
	Open      []alarmView `json:"open"` // oldest first
	Recent    []alarmView `json:"recent"`
	Tests     []testView  `json:"tests"` // the last of each station, newest first
	Now       time.Time   `json:"now"`
}

func (c *Console) getAlarms(w http.ResponseWriter, r *http.Request, _ person) {
	v, err := c.alarms(r.Context())
	if err != nil {
		c.fail(w, r, err)
		return
	}
	answer(w, v)
}

func (c *Console) alarms(ctx context.Context) (alarmsView, error) {
	// The position is read first: what changes in between is told twice, never missed.
	cursor, err := c.o.Ledger.Cursor(ctx)
	if err != nil {
		return alarmsView{}, err
	}
	open, total, err := c.o.Ledger.Open(ctx, maxOpenShown)
	if err != nil {
		return alarmsView{}, err
	}
	recent, err := c.o.Ledger.Recent(ctx, 0, recentPage)
	if err != nil {
		return alarmsView{}, err
	}
	tests, err := c.o.Ledger.Tests(ctx)
	if err != nil {
		return alarmsView{}, err
	}
	v, err := c.villages(ctx)
	if err != nil {
		return alarmsView{}, err
	}
	out := alarmsView{Cursor: cursor, OpenTotal: total, Open: v.alarms(open), Recent: v.alarms(recent), Tests: []testView{}, Now: time.Now().UTC()}
	for _, t := range tests {
		out.Tests = append(out.Tests, v.test(t))
	}
	slices.SortFunc(out.Tests, func(a, b testView) int { return b.Received.Compare(a.Received) })
	return out, nil
}

// postPainted notes that a page shows the test {station, epoch, seq}: the last link of its chain.
func (c *Console) postPainted(w http.ResponseWriter, r *http.Request, _ person) {
	var in keyWord
	if !decode(w, r, &in) {
		return
	}
	err := c.o.Ledger.Painted(r.Context(), in.key(), time.Now())
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		problem(w, http.StatusNotFound, "unknown_test", "there is no event "+in.key().String())
	case err != nil:
		c.fail(w, r, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// keyWord is an event's name in a request.
type keyWord struct {
	Station string
	Epoch   event.Epoch
	Seq     uint64
}

func (k keyWord) key() ledger.Key { return ledger.Key{Station: k.Station, Epoch: k.Epoch, Seq: k.Seq} }

// getRecent pages through acknowledged alarms: ?before=ROW&limit=N.
func (c *Console) getRecent(w http.ResponseWriter, r *http.Request, _ person) {
	before, limit := int64(0), int64(recentPage)
	for name, into := range map[string]*int64{"before": &before, "limit": &limit} {
		if s := r.FormValue(name); s != "" {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || n < 1 {
				problem(w, http.StatusBadRequest, "request", name+": want a number from 1")
				return
			}
			*into = n
		}
	}
	as, err := c.o.Ledger.Recent(r.Context(), before, int(min(limit, 500)))
	if err != nil {
		c.fail(w, r, err)
		return
	}
	v, err := c.villages(r.Context())
	if err != nil {
		c.fail(w, r, err)
		return
	}
	answer(w, v.alarms(as))
}

// postVerb claims, releases or acknowledges {station, epoch, seq}.
func (c *Console) postVerb(w http.ResponseWriter, r *http.Request, p person) {
	verb := ledger.Verb(r.PathValue("verb"))
	if verb != ledger.VerbClaim && verb != ledger.VerbRelease && verb != ledger.VerbAcknowledge {
		problem(w, http.StatusNotFound, "request", "an alarm can be claimed, released or acknowledged")
		return
	}
	var in keyWord
	if !decode(w, r, &in) {
		return
	}
	key := in.key()
	owner, err := c.o.Ledger.Act(r.Context(), key, verb, p.name, time.Now())
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		problem(w, http.StatusNotFound, "unknown_alarm", "there is no alarm "+key.String())
	case errors.Is(err, ledger.ErrTaken):
		conflict(w, "taken", owner)
	case errors.Is(err, ledger.ErrDone):
		conflict(w, "done", owner)
	case errors.Is(err, ledger.ErrNotOwner):
		conflict(w, "not_owner", owner)
	case err != nil:
		c.fail(w, r, err)
	default:
		c.tellAlarm(w, r, key)
	}
}

func (c *Console) tellAlarm(w http.ResponseWriter, r *http.Request, key ledger.Key) {
	a, err := c.o.Ledger.Alarm(r.Context(), key)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	v, err := c.villages(r.Context())
	if err != nil {
		c.fail(w, r, err)
		return
	}
	answer(w, v.alarm(a))
}

// conflict says that somebody else was first, and who.
func conflict(w http.ResponseWriter, kind, owner string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	answer(w, map[string]string{"kind": kind, "owner": owner, "message": "the alarm is " + kind + " by " + owner})
}

// rosterView is the stations and how the centre itself does.
type rosterView struct {
	Stations []stationView `json:"stations"`
	Broker   brokerView    `json:"broker"`
	Refused  []refusedView `json:"refused"`
	Viewings []viewingView `json:"viewings"`
	Now      time.Time     `json:"now"`
}

type brokerView struct {
	Connected bool   `json:"connected"`
	Fault     string `json:"fault,omitempty"`
}

type refusedView struct {
	Station string    `json:"station"`
	Reason  string    `json:"reason"`
	Count   uint64    `json:"count"`
	Last    time.Time `json:"last"`
}

func (c *Console) getStations(w http.ResponseWriter, r *http.Request, _ person) {
	v, err := c.rosterNow(r.Context())
	if err != nil {
		c.fail(w, r, err)
		return
	}
	answer(w, v)
}

func (c *Console) rosterNow(ctx context.Context) (rosterView, error) {
	stations, err := c.stations(ctx)
	if err != nil {
		return rosterView{}, err
	}
	live, err := c.o.Ledger.Live(ctx)
	if err != nil {
		return rosterView{}, err
	}
	now, status := time.Now().UTC(), c.o.Asker.Status()
	v := rosterView{
		Stations: make([]stationView, 0, len(stations)), Now: now,
		Broker:  brokerView{status.Connected, status.Fault},
		Refused: make([]refusedView, 0, len(status.Refused)), Viewings: viewingViews(live),
	}
	for _, s := range stations {
		v.Stations = append(v.Stations, stationViewOf(s, now))
	}
	for _, x := range status.Refused {
		v.Refused = append(v.Refused, refusedView{x.Station, x.Reason, x.Count, x.Last.UTC()})
	}
	return v, nil
}

// snapshot is the roster as it was read a moment ago; all browsers share it.
type snapshot struct {
	stations []ledger.Station
	read     time.Time
}

// snapshotLife is how old the shared roster may be.
const snapshotLife = 250 * time.Millisecond

func (c *Console) stations(ctx context.Context) ([]ledger.Station, error) {
	c.mu.Lock()
	s := c.roster
	c.mu.Unlock()
	if time.Since(s.read) < snapshotLife {
		return s.stations, nil
	}
	fresh, err := c.o.Ledger.Stations(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roster = snapshot{fresh, time.Now()}
	return fresh, nil
}
