package ledger

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// silent is the centre's word that a station is not heard.
func silent(station string, q event.Qualifier) event.Draft {
	s := event.SeverityAlarm
	if q != event.QualifierNew {
		s = event.SeverityNotice
	}
	return event.Draft{At: time.Unix(3e9, 0).UTC(), Kind: event.KindStationSilent, Qualifier: q, Severity: s, Source: "station/" + station,
		Body: event.NewBody(event.Text(event.TagStation, station))}
}

func tellOf(t *testing.T, l *Ledger, ds ...event.Draft) []Key {
	t.Helper()
	keys, err := l.Tell(t.Context(), time.Unix(3e9, 0), ds...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestTheCentreIsASourceOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := Create(t.Context(), dir, "x"); err != nil {
		t.Fatal(err)
	}
	l := reopen(t, dir)
	start, err := l.Cursor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := tellOf(t, l, silent("a", event.QualifierNew), silent("b", event.QualifierNew))
	if len(keys) != 2 || keys[0].Station != Centre || keys[0].Seq != 1 || keys[1].Seq != 2 || keys[0].Epoch.IsZero() {
		t.Fatalf("%v", keys)
	}
	changes, _, err := l.Follow(t.Context(), start, 10)
	if err != nil || len(changes) != 2 || changes[0].Alarm.Event.Kind != event.KindStationSilent {
		t.Fatalf("the feed has %+v, %v", changes, err)
	}
	if owner, err := l.Act(t.Context(), keys[0], VerbAcknowledge, "li", time.Unix(3e9, 0)); err != nil || owner != "li" {
		t.Errorf("acknowledging: %s, %v", owner, err)
	}
	// Acknowledged or not, it stands until the station is heard; after a restart too, under new names.
	again := reopen(t, dir)
	standing := func(want ...string) {
		t.Helper()
		as, err := again.Standing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range as {
			got = append(got, a.Event.Source)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("standing: %v, want %v", got, want)
		}
	}
	standing("station/a", "station/b")
	more := tellOf(t, again, silent("a", event.QualifierRestore), silent("c", event.QualifierNew))
	if more[0].Epoch == keys[0].Epoch || more[0].Seq != 1 || more[1].Seq != 2 {
		t.Errorf("after a restart: %v", more)
	}
	standing("station/b", "station/c")
	heads, err := again.Heads(t.Context(), Centre, more[0].Epoch)
	if want := map[event.Lane]uint64{event.LaneAlarm: 2, event.LaneMain: 1}; err != nil || !reflect.DeepEqual(heads, want) {
		t.Errorf("heads %v, %v; want %v", heads, err, want)
	}
}

func TestAnAlarmOfTheCentreTellsHowItStands(t *testing.T) {
	l := fresh(t)
	dead := func(q event.Qualifier, stations ...string) event.Draft {
		d := silent("", q)
		d.Kind, d.Source, d.Body = event.KindCarrierSilent, "carrier/mobile", event.NewBody(event.Uint(event.TagCount, uint64(len(stations))))
		return d
	}
	key := tellOf(t, l, dead(event.QualifierNew, "a", "b", "c"))[0]
	before, err := l.Cursor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tellOf(t, l, dead(event.QualifierStatus, "a"))
	a, err := l.Alarm(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if first, _ := a.Event.Body.Uint(event.TagCount); first != 3 {
		t.Errorf("the alarm itself has changed: %d", first)
	}
	if now, _ := a.Latest.Body.Uint(event.TagCount); now != 1 {
		t.Errorf("it stands at %d, want 1", now)
	}
	if changes, _, err := l.Follow(t.Context(), before, 10); err != nil || len(changes) != 1 {
		t.Errorf("the feed tells %d changes, %v", len(changes), err)
	}
	tellOf(t, l, dead(event.QualifierRestore))
	if a, err := l.Alarm(t.Context(), key); err != nil || a.Restored.IsZero() {
		t.Errorf("it is not restored: %+v, %v", a, err)
	}
	if open, n, err := l.Open(t.Context(), 10); err != nil || n != 1 || open[0].Event.Seq != key.Seq {
		t.Errorf("%d open, %v", n, err)
	}
}

func TestNoStationSpeaksAsTheCentre(t *testing.T) {
	l := fresh(t)
	if err := l.Enrol(t.Context(), Station{Address: topic.Address{Jurisdiction: "changshan", Station: Centre}}); err == nil {
		t.Error("a station is enrolled under the centre's name")
	}
	if _, err := l.StationOf(t.Context(), Centre); !errors.Is(err, ErrNotFound) {
		t.Errorf("the centre is in the roster: %v", err)
	}
	if all, err := l.Stations(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("the roster has %d, %v", len(all), err)
	}
	if all, err := l.Watchlist(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d are watched, %v", len(all), err)
	}
	if err := l.Strike(t.Context(), Centre); err != nil {
		t.Fatal(err)
	}
	tellOf(t, l, silent("a", event.QualifierNew)) // its row is still there
}

func tested() event.Draft {
	return event.Draft{At: time.Unix(1e9, 0).UTC(), Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Zone: "test", Source: "line/test",
		Body: event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagCode, "RP"), event.Text(event.TagReason, event.ReasonTest))}
}

func TestATestIsNoCard(t *testing.T) {
	l := fresh(t)
	begin, err := l.Cursor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store(t, l, frame(event.Epoch{1}, 0, at(1, tested())))
	if _, n, err := l.Open(t.Context(), 1); err != nil || n != 0 {
		t.Errorf("%d cards, %v", n, err)
	}
	key := Key{caoping().Station, event.Epoch{1}, 1}
	last := func() Test {
		t.Helper()
		all, err := l.Tests(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%d tests, %v", len(all), err)
		}
		return all[key.Station]
	}
	if x := last(); x.Event.Seq != 1 || !x.Received.Equal(time.Unix(2e9, 0)) || !x.Painted.IsZero() {
		t.Errorf("%+v", x)
	}
	changes, next, err := l.Follow(t.Context(), begin, 10)
	if err != nil || len(changes) != 1 || changes[0].Test == nil || changes[0].Test.Event.Seq != 1 {
		t.Fatalf("the feed tells %+v, %v", changes, err)
	}
	for range 2 { // two pages
		if err := l.Painted(t.Context(), key, time.Unix(4e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if changes, _, err := l.Follow(t.Context(), next, 10); err != nil || len(changes) != 1 || !changes[0].Test.Painted.Equal(time.Unix(4e9, 0)) {
		t.Errorf("after painting: %+v, %v", changes, err)
	}
	store(t, l, frame(event.Epoch{1}, 1, at(2, tested())))
	if x := last(); x.Event.Seq != 2 || !x.Painted.IsZero() {
		t.Errorf("the next: %+v", x)
	}
	if err := l.Painted(t.Context(), key, time.Unix(5e9, 0)); err != nil { // the one before: it came too late
		t.Fatal(err)
	}
	if w := watched(t, l); !w.Tests || !w.Test.Confirmed.Equal(time.Unix(4e9, 0)) || !w.Test.Stored.Equal(time.Unix(2e9, 0)) {
		t.Errorf("%+v", w.Test)
	}
	if err := l.Painted(t.Context(), Key{"nobody", event.Epoch{1}, 1}, time.Now()); !errors.Is(err, ErrNotFound) {
		t.Errorf("painting what is not: %v", err)
	}
	if changes, _, err := l.Follow(t.Context(), begin, 10); err != nil || len(changes) != 1 || changes[0].Test.Event.Seq != 2 {
		t.Errorf("from the start the feed tells %d changes, %v", len(changes), err)
	}
	unasked := tested()
	unasked.Body = event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagCode, "RP"))
	store(t, l, frame(event.Epoch{1}, 2, at(3, unasked)))
	if _, n, err := l.Open(t.Context(), 1); err != nil || n != 1 || last().Event.Seq != 2 {
		t.Errorf("after one that nobody asked for: %d cards, %v, the last test is %+v", n, err, last())
	}
	for name, change := range map[string]func(*event.Draft){
		"its line is cut": func(d *event.Draft) {
			d.Body = event.NewBody(event.Text(event.TagState, "open"), event.Text(event.TagCode, "RP"), event.Text(event.TagReason, event.ReasonTest))
		},
		"nobody asked for it": func(d *event.Draft) { d.Body = unasked.Body },
		"a panel's report":    func(d *event.Draft) { d.Kind = event.KindPanelEvent },
		"its end":             func(d *event.Draft) { d.Qualifier = event.QualifierRestore },
	} {
		d := tested()
		change(&d)
		if IsTest(at(1, d)) {
			t.Errorf("%s: it is taken for a test", name)
		}
	}
}

func watched(t *testing.T, l *Ledger) Watched {
	t.Helper()
	all, err := l.Watchlist(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d are watched, %v", len(all), err)
	}
	return all[0]
}

func TestWhatTheWatchSees(t *testing.T) {
	l := fresh(t)
	if w := watched(t, l); !w.Heard.IsZero() || w.Tests || w.Open != 0 || w.Name != "草坪村" {
		t.Errorf("at first: %+v", w)
	}
	word := topic.State{V: 1, Station: caoping().Station, Jurisdiction: "changshan", Online: true, At: time.Unix(1e9, 0), Carrier: "mobile", Heartbeat: 20,
		Gauges: map[string]float64{"last_test_at_s": 9e8}}
	if err := l.Heard(t.Context(), Word{State: word, Heard: time.Unix(2e9, 0)}); err != nil {
		t.Fatal(err)
	}
	store(t, l, frame(event.Epoch{1}, 0, at(1, alarmed(draft(1))), at(3, event.Draft{At: time.Unix(1e9, 0).UTC(), Kind: event.KindPanelLink,
		Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "dc09/1"})))
	want := Watched{Address: caoping(), Name: "草坪村", Heard: time.Unix(2e9, 0).UTC(), Carrier: "mobile", Heartbeat: 20 * time.Second,
		Threat: time.Unix(2e9, 0).UTC(), ThreatKey: Key{caoping().Station, event.Epoch{1}, 1}, Threatens: true, Open: 2, Tests: true,
		Test: TestTimes{Since: time.Unix(2e9, 0).UTC(), Claimed: time.Unix(9e8, 0).UTC()}}
	if w := watched(t, l); w != want {
		t.Errorf("%+v\nwant %+v", w, want)
	}
	failed := event.Draft{At: time.Unix(1e9, 0).UTC(), Kind: event.KindTestFailed, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "station"}
	store(t, l, frame(event.Epoch{1}, 3, at(4, failed)))
	if w := watched(t, l); !w.Test.Failed.Equal(time.Unix(2e9, 0)) || w.Open != 3 {
		t.Errorf("a test that failed is an alarm of the station: %+v", w)
	}
	// A will was written when the link came up, a farewell is the last that is said.
	for _, c := range []struct {
		what string
		at   int64
		want bool
	}{{"will", 1e9 - 60, false}, {"farewell", 1e9 + 60, true}, {"will after all", 1e9 - 60, true}} {
		bye := topic.State{V: 1, Station: word.Station, At: time.Unix(c.at, 0)}
		for range 2 { // a retained one comes again with each link
			if err := l.Heard(t.Context(), Word{State: bye, Retained: true}); err != nil {
				t.Fatal(err)
			}
		}
		if w := watched(t, l); w.Farewell != c.want || !w.Heard.Equal(time.Unix(2e9, 0)) {
			t.Errorf("after a %s: %+v", c.what, w)
		}
	}
	// The will of a station whose clock was set back since it connected is no farewell.
	if err := l.Heard(t.Context(), Word{State: word, Heard: time.Unix(2e9, 0)}, Word{State: topic.State{V: 1, Station: word.Station, At: time.Unix(1e9+4e7, 0)}}); err != nil {
		t.Fatal(err)
	}
	if w := watched(t, l); w.Farewell {
		t.Error("a will from the station's future is taken for a farewell")
	}
	// The centre's clock was set back: the present is believed, what is retained is not.
	for _, c := range []struct {
		retained bool
		want     int64
	}{{true, 2e9}, {false, 1.5e9}} {
		if err := l.Heard(t.Context(), Word{State: word, Heard: time.Unix(1.5e9, 0), Retained: c.retained}); err != nil {
			t.Fatal(err)
		}
		if w := watched(t, l); !w.Heard.Equal(time.Unix(c.want, 0)) || w.Farewell {
			t.Errorf("retained %t: %+v", c.retained, w)
		}
	}
}

// A ledger that an older program wrote is brought up to date where it lies.
func TestALedgerOfSchema1(t *testing.T) {
	dir := t.TempDir()
	schema, err := os.ReadFile("testdata/schema-1.sql")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	old, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	record, err := event.AppendRecord(nil, at(1, draft(1)))
	if err != nil {
		t.Fatal(err)
	}
	epoch := event.Epoch{1}
	for _, s := range []struct {
		text string
		args []any
	}{
		{string(schema), nil},
		{"INSERT INTO setting VALUES ('name', '常山县')", nil},
		{"INSERT INTO station (id, jurisdiction, name, enrolled, last_word, online, state) VALUES (?, 'changshan', '草坪村', 1, 7, 1, CAST('{\"v\":1}' AS BLOB))", []any{caoping().Station}},
		{"INSERT INTO chain VALUES (?, ?, 1, 1, 1)", []any{caoping().Station, epoch[:]}},
		{"INSERT INTO event (station, epoch, seq, received, record) VALUES (?, ?, 1, 5, ?)", []any{caoping().Station, epoch[:], record}},
		{"INSERT INTO alarm (event, place) VALUES (1, 'somewhere')", nil},
		{"INSERT INTO feed (event) VALUES (1)", nil},
	} {
		if _, err := old.Exec(s.text, s.args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	l := reopen(t, dir)
	if name, err := l.Name(t.Context()); err != nil || name != "常山县" {
		t.Errorf("its name is %q, %v", name, err)
	}
	if open, n, err := l.Open(t.Context(), 10); err != nil || n != 1 || open[0].Event.Seq != 1 {
		t.Errorf("%d open alarms, %v", n, err)
	}
	if o := store(t, l, frame(epoch, 0, at(1, draft(1)), at(3, draft(3)))); o[0] != (Outcome{topic.VerdictStore, 3, 1}) {
		t.Errorf("its chain goes on: %+v", o)
	}
	tellOf(t, l, silent("a", event.QualifierNew))
	if w := watched(t, l); w.Open != 2 || w.Tests || w.Heard.IsZero() {
		t.Errorf("%+v", w)
	}
	reopen(t, dir) // and only once

	for name, c := range map[string]struct{ sql, want string }{
		"a later one":                 {"PRAGMA user_version = 99", "use the program that made it"},
		"one with a station so named": {"PRAGMA user_version = 1", `enrolled as "centre"`},
	} {
		if err := l.write(t.Context(), name, func(tx *sql.Tx) (bool, error) { _, err := tx.Exec(c.sql); return false, err }); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The tables of a new ledger and of one that was brought up to date are the same.
func TestBothWaysLeadToOneSchema(t *testing.T) {
	columns := func(l *Ledger) (out []string) {
		t.Helper()
		rows, err := l.r.Query("SELECT m.name || '.' || c.name || ' ' || c.type || c.\"notnull\" || coalesce(c.dflt_value, '') FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' ORDER BY m.name, c.cid")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	dir := t.TempDir()
	schema, err := os.ReadFile("testdata/schema-1.sql")
	if err != nil {
		t.Fatal(err)
	}
	old, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec(string(schema)); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if a, b := columns(fresh(t)), columns(reopen(t, dir)); !reflect.DeepEqual(a, b) || len(a) < 50 {
		t.Errorf("new: %v\nbrought up to date: %v", a, b)
	}
}

// A ledger that is restored from a backup has forgotten what it told since, but not that there may have been such a time.
func TestARestoredLedgerGivesNoNameTwice(t *testing.T) {
	dir := t.TempDir()
	if err := Create(t.Context(), dir, "x"); err != nil {
		t.Fatal(err)
	}
	life := func(stations ...string) (keys []Key, cursor int64) {
		l, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stations {
			keys = append(keys, tellOf(t, l, silent(s, event.QualifierNew))...)
		}
		if cursor, err = l.Cursor(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return keys, cursor
	}
	_, kept := life("a")
	backup, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	lost, seen := life("b")
	if err := os.WriteFile(filepath.Join(dir, FileName), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	l := reopen(t, dir)
	again := tellOf(t, l, silent("c", event.QualifierNew), silent("d", event.QualifierNew))
	if again[0] == lost[0] {
		t.Errorf("%s is now the silence of another station", lost[0])
	}
	for position, want := range map[int64]bool{0: true, kept: true, seen: false} {
		if gave, err := l.Gave(t.Context(), position); err != nil || gave != want {
			t.Errorf("position %d: %t, %v; want %t", position, gave, err, want)
		}
	}
}
