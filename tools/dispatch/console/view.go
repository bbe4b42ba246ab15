package console

import (
	"context"
	"slices"
	"time"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
	"watchpost/tools/dispatch/watch"
	"watchpost/uplink/topic"
)

// alarmView is an alarm as the page gets it. ID is the event's own name, the same for ever. State is open, claimed or
// acknowledged. Times are RFC 3339.
type alarmView struct {
	ID           string       `json:"id"`
	Row          int64        `json:"row"`
	Station      string       `json:"station"`
	Epoch        string       `json:"epoch"`
	Seq          uint64       `json:"seq"`
	Jurisdiction string       `json:"jurisdiction"`
	Village      string       `json:"village"`
	Kind         string       `json:"kind"`
	Words        words        `json:"words"`
	Priority     int          `json:"priority"` // 1 is the most urgent
	Severity     string       `json:"severity"`
	Zone         string       `json:"zone,omitempty"`
	ZoneName     string       `json:"zone_name,omitempty"`
	Source       string       `json:"source"`
	At           time.Time    `json:"at"` // the station's clock
	Clock        string       `json:"clock"`
	Received     time.Time    `json:"received"`
	Camera       string       `json:"camera,omitempty"`
	CameraName   string       `json:"camera_name,omitempty"`
	State        string       `json:"state"`
	Owner        string       `json:"owner,omitempty"`
	Claimed      time.Time    `json:"claimed,omitzero"`
	ClosedBy     string       `json:"closed_by,omitempty"`
	Closed       time.Time    `json:"closed,omitzero"`
	Restored     time.Time    `json:"restored,omitzero"`
	Actions      []actionView `json:"actions"`

	// Of the centre's own alarms, and of what stations tell of their uplink.
	About   string       `json:"about,omitempty"` // the station that it is about, where that is not Station
	Carrier string       `json:"carrier,omitempty"`
	Stage   string       `json:"stage,omitempty"`     // of a failed test
	Silence float64      `json:"silence_s,omitempty"` // from the last word until it was told
	Count   uint64       `json:"count,omitempty"`     // of its kind: alarms open when it fell silent, events without a receipt
	Behind  []behindView `json:"behind,omitempty"`    // the stations of a dead carrier
	Missing uint64       `json:"missing,omitempty"`   // how many of them are not heard now
}

// behindView is a station of a dead carrier.
type behindView struct {
	ID      string `json:"id"`
	Village string `json:"village"`
	Missing bool   `json:"missing"`
}

type actionView struct {
	At   time.Time `json:"at"`
	Who  string    `json:"who"`
	Verb string    `json:"verb"`
}

// words are what the event's body says that the page can show.
type words struct {
	State   string `json:"state,omitempty"`
	Code    string `json:"code,omitempty"`
	Format  string `json:"format,omitempty"`
	Account string `json:"account,omitempty"`
	Area    string `json:"area,omitempty"`
	User    string `json:"user,omitempty"`
	Text    string `json:"text,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`

	Partition string `json:"partition,omitempty"`
	Mode      string `json:"mode,omitempty"`
	Value     string `json:"value,omitempty"`
	Unit      string `json:"unit,omitempty"`
	Who       string `json:"who,omitempty"`
}

func wordsOf(b event.Body) words {
	get := func(t event.Tag) string { s, _ := b.Text(t); return s }
	return words{
		State: get(event.TagState), Code: get(event.TagCode), Format: get(event.TagFormat), Account: get(event.TagAccount),
		Area: get(event.TagArea), User: get(event.TagUser), Text: get(event.TagText), Reason: get(event.TagReason),
		Detail: get(event.TagDetail), Partition: get(event.TagPartition), Mode: get(event.TagMode),
		Value: get(event.TagValue), Unit: get(event.TagUnit), Who: get(event.TagWho),
	}
}

// villages finds a station by id.
type villages map[string]ledger.Station

func (c *Console) villages(ctx context.Context) (villages, error) {
	all, err := c.stations(ctx)
	if err != nil {
		return nil, err
	}
	v := make(villages, len(all))
	for _, s := range all {
		v[s.Address.Station] = s
	}
	return v, nil
}

func (v villages) alarm(a ledger.Alarm) alarmView {
	e, about := a.Event, a.Event.Station
	if e.Station == ledger.Centre {
		about, _ = e.Body.Text(event.TagStation)
	}
	s := v[about]
	out := alarmView{
		ID: e.Name(), Row: a.Row, Station: e.Station, Epoch: e.Epoch.String(), Seq: e.Seq,
		Jurisdiction: s.Address.Jurisdiction, Village: s.Name,
		Kind: e.Kind.String(), Words: wordsOf(e.Body), Priority: priority(e), Severity: e.Severity.String(),
		Zone: e.Zone, ZoneName: placeName(s.State, e), Source: e.Source,
		At: e.At, Clock: e.ClockQuality.String(), Received: a.Received,
		State: "open", Owner: a.Owner, Claimed: a.Claimed, ClosedBy: a.ClosedBy, Closed: a.Closed, Restored: a.Restored,
		Actions: make([]actionView, 0, len(a.Actions)),
	}
	switch {
	case !a.Closed.IsZero():
		out.State = "acknowledged"
	case a.Owner != "":
		out.State = "claimed"
	}
	if e.Station == ledger.Centre {
		out.About = about
	} else {
		cam := cameraFor(s.State, e)
		out.Camera, out.CameraName = cam.ID, cam.Name
	}
	v.addUplink(&out, a)
	for _, x := range a.Actions {
		out.Actions = append(out.Actions, actionView{x.At, x.Who, string(x.Verb)})
	}
	return out
}

// addUplink adds what alarms about stations, carriers and tests say beyond the others.
func (v villages) addUplink(out *alarmView, a ledger.Alarm) {
	e := a.Event
	switch e.Kind {
	case event.KindStationSilent, event.KindCarrierSilent, event.KindTestFailed, event.KindCentreStalled:
	default:
		return
	}
	body := e.Body
	if a.Latest.Kind != 0 && e.Kind != event.KindCarrierSilent { // it has come back
		body = a.Latest.Body
		out.Words = wordsOf(body)
	}
	out.Carrier, _ = body.Text(event.TagCarrier)
	out.Stage, _ = body.Text(event.TagStage)
	out.Count, _ = body.Uint(event.TagCount)
	silence, _ := body.Uint(event.TagDuration)
	out.Silence = time.Duration(silence).Seconds()
	if e.Kind != event.KindCarrierSilent {
		return
	}
	out.About, out.Village, out.Jurisdiction = "", "", ""
	now := e.Body
	if a.Latest.Kind != 0 {
		now = a.Latest.Body
	}
	missing := make(map[string]bool)
	if a.Restored.IsZero() {
		out.Missing, _ = now.Uint(event.TagCount)
		for _, id := range watch.Stations(now) {
			missing[id] = true
		}
	}
	ids := append(watch.Stations(e.Body), watch.Stations(now)...)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		out.Behind = append(out.Behind, behindView{id, v[id].Name, missing[id]})
	}
}

// testView is a station's last daily test as the page gets it, and how far it came: At it was raised, by the station's clock.
type testView struct {
	ID       string    `json:"id"`
	Station  string    `json:"station"`
	Epoch    string    `json:"epoch"`
	Seq      uint64    `json:"seq"`
	Village  string    `json:"village"`
	At       time.Time `json:"at"`
	Received time.Time `json:"received"`
	Painted  time.Time `json:"painted,omitzero"`
}

func (v villages) test(t ledger.Test) testView {
	e := t.Event
	return testView{e.Name(), e.Station, e.Epoch.String(), e.Seq, v[e.Station].Name, e.At, t.Received, t.Painted}
}

func (v villages) alarms(as []ledger.Alarm) []alarmView {
	out := make([]alarmView, 0, len(as))
	for _, a := range as {
		out = append(out, v.alarm(a))
	}
	return out
}

// placeName is what the village calls where an event was felt: its zone, its sensor, else its partition.
func placeName(s topic.State, e event.Event) string {
	for _, z := range s.Zones {
		if z.ID == e.Zone {
			return z.Name
		}
	}
	for _, x := range s.Sensors {
		if x.ID == e.Zone {
			return x.Name
		}
	}
	id, _ := e.Body.Text(event.TagPartition)
	for _, p := range s.Partitions {
		if p.ID == id && e.Zone == "" {
			return p.Name
		}
	}
	return ""
}

// cameraFor is the camera to show with an event: its own, the one that sees its zone, the one set for its panel, else the
// station's first.
func cameraFor(s topic.State, e event.Event) topic.CameraState {
	want, _ := e.Body.Text(event.TagCamera)
	account, _ := e.Body.Text(event.TagAccount)
	for _, p := range s.Panels {
		if want == "" && account != "" && p.Account == account {
			want = p.Camera
		}
	}
	for _, z := range s.Zones {
		if want == "" && z.ID == e.Zone {
			want = z.Camera
		}
	}
	for _, c := range s.Cameras {
		if c.ID == want {
			return c
		}
	}
	if len(s.Cameras) > 0 {
		return s.Cameras[0]
	}
	return topic.CameraState{}
}

// stationView is a station as the page gets it. Age counts from its last word to the centre's present, in seconds; -1 = it
// was never heard.
type stationView struct {
	ID           string              `json:"id"`
	Jurisdiction string              `json:"jurisdiction"`
	Name         string              `json:"name"`
	Latitude     *float64            `json:"latitude,omitempty"`
	Longitude    *float64            `json:"longitude,omitempty"`
	Health       string              `json:"health"` // fresh, stale, offline, never
	Age          float64             `json:"age"`
	LastWord     time.Time           `json:"last_word,omitzero"`
	Backlog      uint64              `json:"backlog"`
	Full         bool                `json:"full,omitempty"`
	Version      string              `json:"version,omitempty"`
	Heads        map[string]uint64   `json:"heads"`
	Stored       map[string]uint64   `json:"stored"`
	Cameras      []topic.CameraState `json:"cameras"`
	Zones        []topic.ZoneState   `json:"zones"`
	Panels       []topic.PanelState  `json:"panels"`
	Carrier      string              `json:"carrier,omitempty"`
	Started      time.Time           `json:"started,omitzero"`
	Farewell     bool                `json:"farewell,omitempty"` // it stopped in good order
	Gauges       map[string]float64  `json:"gauges,omitempty"`

	Partitions []topic.PartitionState `json:"partitions"`
	Sensors    []topic.SensorState    `json:"sensors"`
}

// Of a station that does not say how often it speaks.
const standardHeartbeat = 30 * time.Second

// patience is how long a station that says it is online may be silent and still be called fresh: half as long again as it
// promised. After three times that it counts as offline, whatever it said.
func patience(s topic.State) (stale, offline time.Duration) {
	beat := time.Duration(s.Heartbeat) * time.Second
	if beat <= 0 {
		beat = standardHeartbeat
	}
	return beat * 3 / 2, beat * 9 / 2
}

func stationViewOf(s ledger.Station, now time.Time) stationView {
	v := stationView{
		ID: s.Address.Station, Jurisdiction: s.Address.Jurisdiction, Name: s.Name, Latitude: s.Latitude, Longitude: s.Longitude,
		Age: -1, LastWord: s.LastWord, Backlog: s.Backlog(), Full: s.State.Full, Version: s.State.Version,
		Heads: laneWords(s.State.Heads), Stored: laneWords(s.Heads),
		Cameras: orEmpty(s.State.Cameras), Zones: orEmpty(s.State.Zones), Panels: orEmpty(s.State.Panels),
		Carrier: s.State.Carrier, Started: s.State.Started, Farewell: !s.Farewell.IsZero(), Gauges: s.State.Gauges,
		Partitions: orEmpty(s.State.Partitions), Sensors: orEmpty(s.State.Sensors),
	}
	if !s.LastWord.IsZero() {
		v.Age = max(0, now.Sub(s.LastWord).Seconds())
	}
	v.Health = health(s, now)
	return v
}

func health(s ledger.Station, now time.Time) string {
	silent := now.Sub(s.LastWord)
	stale, offline := patience(s.State)
	switch {
	case s.LastWord.IsZero():
		return "never"
	case !s.Online || silent > offline:
		return "offline"
	case silent > stale:
		return "stale"
	default:
		return "fresh"
	}
}

func laneWords(m map[event.Lane]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for l, n := range m {
		out[l.String()] = n
	}
	return out
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
