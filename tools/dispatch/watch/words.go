package watch

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"watchpost/storage/event"
	"watchpost/tools/dispatch/ledger"
)

// Where the centre's own alarms come from: what a restore finds them by. Ids and carriers have 64 bytes at most.
const (
	sourceStation = "station/"
	sourceCarrier = "carrier/"
	sourceTest    = "test/"
)

// ReasonThreat is the reason of a silence that follows an alarm; ReasonFarewell, of a station that stopped in good order.
const (
	ReasonThreat   = "after_alarm"
	ReasonFarewell = "farewell"
)

// listed is how many stations one event names; its count is always the whole.
const listed = 200

// lastWords are the gauges of a station that may say why it fell silent.
func lastWords() []string {
	return []string{"link_rtt_ms", "link_faults_count", "link_stalls_count", "battery_volts", "battery_percent", "mains_ok", "box_temperature_c", "disk_free_bytes", "clock_synced"}
}

// draft makes an event of an effect. Its detail is a list of "word value" that the page knows how to say.
func (w *Watch) draft(ctx context.Context, e Effect, s ledger.Watched, now time.Time) (event.Draft, error) {
	d := event.Draft{At: now.UTC(), Kind: e.Kind, Qualifier: e.Qualifier, Severity: event.SeverityAlarm}
	if e.Qualifier != event.QualifierNew {
		d.Severity = event.SeverityNotice
	}
	switch e.Kind {
	case event.KindCarrierSilent:
		d.Source, d.Body = sourceCarrier+e.Carrier, carrierBody(e)
	case event.KindTestFailed:
		d.Source = sourceTest + e.Station
		d.Body = event.NewBody(event.Text(event.TagStation, e.Station), event.Text(event.TagStage, string(e.Stage)), event.Text(event.TagDetail, testDetail(s.Test)))
	default:
		detail, err := w.detail(ctx, e, s)
		if err != nil {
			return d, err
		}
		d.Source, d.Body = sourceStation+e.Station, stationBody(e, s, detail)
	}
	return d, nil
}

func stationBody(e Effect, s ledger.Watched, detail string) event.Body {
	fields := []event.Field{event.Text(event.TagStation, e.Station)}
	if e.Qualifier == event.QualifierNew {
		fields = append(fields, event.Uint(event.TagDuration, uint64(e.Silence)), event.Uint(event.TagCount, uint64(s.Open)), event.Text(event.TagDetail, detail))
	}
	switch {
	case e.Threat:
		fields = append(fields, event.Text(event.TagReason, ReasonThreat))
	case e.Farewell:
		fields = append(fields, event.Text(event.TagReason, ReasonFarewell))
	}
	return event.NewBody(fields...)
}

func carrierBody(e Effect) event.Body {
	fields := []event.Field{event.Text(event.TagCarrier, e.Carrier), event.Uint(event.TagCount, uint64(len(e.Missing))), event.Uint(event.TagDuration, uint64(e.Silence))}
	for _, id := range e.Missing[:min(len(e.Missing), listed)] {
		fields = append(fields, event.Text(event.TagStation, id))
	}
	return event.NewBody(fields...)
}

// detail is what was known of a station when it fell silent.
func (w *Watch) detail(ctx context.Context, e Effect, s ledger.Watched) (string, error) {
	if e.Qualifier != event.QualifierNew {
		return "", nil
	}
	words := []string{"heard " + s.Heard.UTC().Format(time.RFC3339)}
	add := func(key, value string) {
		if value = strings.TrimSpace(strings.Map(plain, value)); value != "" {
			words = append(words, key+" "+value)
		}
	}
	if e.Threat {
		add("alarm", s.ThreatKey.String())
		add("alarm_at", s.Threat.UTC().Format(time.RFC3339))
	}
	if e.Farewell {
		add("farewell", "yes")
	}
	add("carrier", s.Carrier)
	state, err := w.book.LastState(ctx, e.Station)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return "", err
	}
	for _, name := range lastWords() {
		if v, ok := state.Gauges[name]; ok {
			add(name, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	return strings.Join(words, "; "), nil
}

// plain is r in a detail, where a station's own words must not look like another of ours.
func plain(r rune) rune {
	if r == ';' || unicode.IsControl(r) {
		return ' '
	}
	return r
}

func testDetail(t ledger.TestTimes) string {
	var words []string
	for _, w := range []struct {
		name string
		at   time.Time
	}{{"raised", t.Claimed}, {"stored", t.Stored}, {"painted", t.Confirmed}} {
		if !w.at.IsZero() {
			words = append(words, w.name+" "+w.at.UTC().Format(time.RFC3339))
		}
	}
	return strings.Join(words, "; ")
}

// resume is the state after what stands in the ledger.
func resume(standing []ledger.Alarm) State {
	s := State{}.ready()
	for _, a := range standing {
		e, told := a.Event, a.Received
		if a.Latest.Kind != 0 {
			e, told = a.Latest, a.Latest.At
		}
		station, _ := e.Body.Text(event.TagStation)
		switch e.Kind {
		case event.KindStationSilent:
			s.silent[station] = mark{told: told}
		case event.KindTestFailed:
			stage, _ := e.Body.Text(event.TagStage)
			s.tests[station] = Stage(stage)
		case event.KindCarrierSilent:
			carrier, _ := e.Body.Text(event.TagCarrier)
			s.carriers[carrier] = make(map[string]mark)
			for _, id := range Stations(e.Body) {
				s.carriers[carrier][id] = mark{told: told}
			}
		}
	}
	return s
}

// Stations are all stations that an event names.
func Stations(b event.Body) (ids []string) {
	for i := range b {
		if id, ok := b[i : i+1].Text(event.TagStation); ok {
			ids = append(ids, id)
		}
	}
	return ids
}
