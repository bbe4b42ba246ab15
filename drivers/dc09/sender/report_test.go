package sender

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"watchpost/drivers/contactid"
	"watchpost/drivers/dc09"
	"watchpost/storage/event"
)

func names() *Directory {
	return &Directory{
		Zones: map[string]Zone{
			"hall": {Number: 12, Partition: "house", Code: "BA"}, "smoke": {Number: 7, Code: "FA"}, "shed": {Code: "BA"}, "gate": {Number: 9},
			"loop": {Number: 3, Code: "RP"}, "财务室": {Number: 101},
		},
		Partitions: map[string]int{"house": 1}, Users: map[string]int{"li": 5},
	}
}

// told is an event of one line: kind, zone, qualifier, and fields as tag=text.
func told(k event.Kind, q event.Qualifier, zone string, fields ...string) event.Event {
	e := event.Event{Kind: k, Qualifier: q, Zone: zone, At: time.Unix(1e9, 0), Severity: event.SeverityWarning, Lane: event.LaneMain}
	var body []event.Field
	for _, f := range fields {
		name, text, _ := strings.Cut(f, "=")
		for tag := event.TagState; tag <= event.TagLimit; tag++ {
			if tag.String() == name {
				body = append(body, event.Text(tag, text))
			}
		}
	}
	e.Body = event.NewBody(body...)
	return e
}

// TestWords is what a receiving centre is told of each kind of event; "" = nothing.
func TestWords(t *testing.T) {
	isNew, over, status := event.QualifierNew, event.QualifierRestore, event.QualifierStatus
	zone, part, panel, sensor := event.KindZoneChanged, event.KindPartitionChanged, event.KindPanelEvent, event.KindSensorChanged
	for _, c := range []struct {
		e        event.Event
		sia, cid string
		class    string
	}{
		{told(event.KindAlarmRaised, isNew, "hall", "code=BA", "partition=house", "reason=intrusion"), "Nri1/BA012", "1130 01 012", "alarm"},
		{told(event.KindAlarmRaised, over, "hall", "partition=house", "reason=intrusion"), "Nri1/BR012", "3130 01 012", "alarm"},
		{told(event.KindAlarmRaised, isNew, "hall", "code=TA", "partition=house", "reason=tamper"), "Nri1/TA012", "1137 01 012", "alarm"},
		{told(event.KindAlarmRaised, over, "hall", "partition=house", "reason=tamper"), "Nri1/TR012", "3137 01 012", "alarm"},
		{told(event.KindAlarmRaised, over, "hall", "partition=house", "reason=fault"), "Nri1/UJ012", "3380 01 012", "alarm"},
		{told(event.KindAlarmRaised, isNew, "", "code=UT", "partition=house", "reason=journal-damaged"), "Nri1/UT^house^", "1380 01 000", "alarm"},
		{told(event.KindDuress, isNew, "", "who=li", "partition=house", "code=HA"), "Nri1/id5/HA^house^", "1121 01 005", "alarm"},

		{told(zone, isNew, "smoke", "state=active", "previous=normal"), "NFA007", "1110 00 007", "alarm"},
		{told(zone, over, "smoke", "state=normal", "previous=active"), "NFR007", "3110 00 007", "alarm"},
		{told(zone, isNew, "smoke", "state=short", "previous=active"), "NTA007", "1137 00 007", "alarm"},
		{told(zone, over, "smoke", "state=normal", "previous=short"), "NTR007", "3137 00 007", "alarm"},
		{told(zone, isNew, "smoke", "state=open", "previous=short"), "", "", ""},
		{told(zone, isNew, "smoke", "state=missing", "previous=normal"), "NUT007", "1380 00 007", "trouble"},
		{told(zone, over, "smoke", "state=normal", "previous=missing"), "NUJ007", "3380 00 007", "trouble"},
		{told(zone, status, "smoke", "state=normal", "previous=unknown"), "", "", ""},
		{told(zone, status, "smoke", "state=unknown", "previous=active"), "", "", ""},
		{told(zone, isNew, "shed", "state=active", "previous=normal"), "NBA^shed^", "1130 00 000", "alarm"},
		{told(zone, isNew, "gate", "state=active", "previous=normal"), "", "", ""},
		{told(zone, isNew, "gate", "state=fault", "previous=normal"), "NUT009", "1380 00 009", "trouble"},
		{told(zone, isNew, "hall", "state=active", "previous=normal"), "", "", ""},
		{told(zone, isNew, "hall", "state=short", "previous=normal"), "", "", ""},
		{told(zone, isNew, "hall", "state=fault", "previous=active"), "Nri1/UT012", "1380 01 012", "trouble"},
		{told(zone, over, "hall", "state=active", "previous=fault"), "Nri1/UJ012", "3380 01 012", "trouble"},
		{told(zone, isNew, "loop", "state=active", "previous=normal", "reason=test"), "NRP003", "1602 00 003", "test"},
		{told(zone, over, "loop", "state=normal", "previous=active", "reason=test"), "", "", ""},
		{told(zone, isNew, "loop", "state=active", "previous=normal"), "", "", ""},

		{told(part, status, "", "partition=house", "state=armed_away", "previous=arming", "mode=away", "who=li"), "Nri1/id5/CL^house^", "3401 01 005", "openclose"},
		{told(part, status, "", "partition=house", "state=armed_stay", "previous=disarmed", "mode=stay", "who=li"), "Nri1/id5/NL^house^", "3441 01 005", "openclose"},
		{told(part, status, "", "partition=house", "state=arming", "previous=disarmed", "mode=away", "who=li"), "", "", ""},
		{told(part, status, "", "partition=house", "state=entry", "previous=armed_away", "mode=away"), "", "", ""},
		{told(part, status, "", "partition=house", "state=armed_away", "previous=entry", "mode=away"), "", "", ""},
		{told(part, status, "", "partition=house", "state=armed_away", "previous=alarm", "mode=away"), "", "", ""},
		{told(part, status, "", "partition=house", "state=disarmed", "previous=armed_away", "who=li"), "Nri1/id5/OP^house^", "1401 01 005", "openclose"},
		{told(part, status, "", "partition=house", "state=alarm_memory", "previous=alarm", "who=li"), "Nri1/id5/OP^house^", "1401 01 005", "openclose"},
		{told(part, status, "", "partition=house", "state=alarm_memory", "previous=alarm", "reason=time-out"), "", "", ""},
		{told(part, status, "", "partition=house", "state=disarmed", "previous=arming", "who=li"), "", "", ""},
		{told(part, status, "", "partition=house", "state=disarmed", "previous=alarm_memory", "who=li"), "", "", ""},
		{told(part, status, "", "partition=house", "state=disarmed", "previous=disarmed", "reason=late-to-close"), "Nri1/CI^house^", "1454 01 000", "trouble"},

		{told(panel, isNew, "1409/003", "format=sia", "code=BA", "area=2"), "Nri2/BA003^1409/003^", "1130 02 003", "alarm"},
		{told(panel, over, "财务室", "format=sia", "code=BR", "area=x"), "NBR101^???^", "3130 00 101", "alarm"},
		{told(panel, isNew, "财务室", "format=cid", "code=131", "area=01", "text=a^b]"), "Nri1/BA101^a?b?^", "1131 01 101", "alarm"},
		{told(panel, over, "", "format=cid", "code=401", "area=01", "user=057"), "Nri1/id57/CL", "3401 01 057", "openclose"},
		{told(panel, status, "", "format=cid", "code=602", "area=00"), "NRP", "6602 00 000", "test"},
		{told(panel, isNew, "", "format=cid", "code=900"), "NYN", "1900 00 000", "unknown"},
		{told(panel, status, "", "format=sia", "code=QQ"), "NQQ", "1000 00 000", "unknown"},
		{told(panel, status, "", "format=sia", "code=", "text=?"), "", "", ""},
		{told(panel, isNew, "1409/12345", "format=sia", "code=OP", "user=99999"), "NOP^1409/12345^", "1401 00 000", "openclose"},

		{told(sensor, isNew, "power", "state=battery", "previous=mains"), "NAT^power^", "1301 00 000", "trouble"},
		{told(sensor, over, "power", "state=mains", "previous=battery"), "NAR^power^", "3301 00 000", "trouble"},
		{told(sensor, isNew, "power", "state=battery-low", "previous=battery"), "NYT^power^", "1302 00 000", "trouble"},
		{told(sensor, status, "power", "state=battery", "previous=battery-low"), "NYR^power^", "3302 00 000", "trouble"},
		{told(sensor, status, "power", "state=mains", "previous=unknown"), "", "", ""},
		{told(sensor, isNew, "cellar", "state=missing", "previous=normal"), "NUT^cellar^", "1380 00 000", "trouble"},
		{told(sensor, over, "cellar", "state=normal", "previous=missing"), "NUJ^cellar^", "3380 00 000", "trouble"},
		{told(sensor, isNew, "cellar", "state=high", "previous=normal"), "", "", ""},

		{told(event.KindOutputChanged, status, "", "output=siren", "state=fault", "previous=on"), "NYA", "1321 00 000", "trouble"},
		{told(event.KindOutputChanged, status, "", "output=siren", "state=off", "previous=fault"), "NYH", "3321 00 000", "trouble"},
		{told(event.KindOutputChanged, status, "", "output=siren", "state=on", "previous=off"), "", "", ""},
		{told(event.KindZoneBypassed, isNew, "hall", "partition=house", "who=li"), "Nri1/id5/UB012", "1570 01 012", "bypass"},
		{told(event.KindZoneBypassed, over, "hall", "partition=house"), "Nri1/UU012", "3570 01 012", "bypass"},
		{told(event.KindBusChanged, isNew, "", "bus=chips", "state=stuck"), "NET^chips^", "1333 00 000", "trouble"},
		{told(event.KindPanelLink, over, "", "account=1409"), "NYK^1409^", "3350 00 000", "trouble"},
		{told(event.KindMaintenance, isNew, "hall", "partition=house", "state=test", "who=li"), "Nri1/id5/TS012", "1607 01 005", "test"},
		{told(event.KindMaintenance, status, "hall", "partition=house", "state=test"), "", "", ""},
		{told(event.KindMaintenance, isNew, "hall", "partition=house", "state=bypass"), "", "", ""},
		{told(event.KindTestFailed, isNew, "loop", "stage=line"), "NRY003", "1608 00 003", "trouble"},
		{told(event.KindStationStarted, isNew, "", "version=1"), "NRR", "1305 00 000", "trouble"},
		{told(event.KindCentreLink, isNew, "", "centre=x"), "", "", ""},
		{told(event.KindReportRefused, isNew, "", "centre=x"), "", "", ""},
		{told(event.KindLogOpened, isNew, ""), "", "", ""},
	} {
		d := names()
		r, ok := d.report(c.e)
		if !ok {
			if c.sia != "" {
				t.Errorf("%s %s %v is not told", c.e.Kind, c.e.Zone, c.e.Body)
			}
			continue
		}
		sia, cid := r.payload(FormatSIA, c.e.At), r.payload(FormatCID, c.e.At)
		if sia != c.sia || cid != c.cid || string(r.class) != c.class {
			t.Errorf("%s %s %v: %q, %q, %s; want %q, %q, %s", c.e.Kind, c.e.Zone, c.e.Body, sia, cid, r.class, c.sia, c.cid, c.class)
		}
	}
}

// TestLimitsThatAreAlarms: a value that left its limits is what its severity says.
func TestLimitsThatAreAlarms(t *testing.T) {
	e := told(event.KindSensorChanged, event.QualifierNew, "river", "state=high", "previous=normal")
	e.Severity = event.SeverityAlarm
	d := names()
	if r, ok := d.report(e); !ok || r.payload(FormatSIA, e.At) != "NUA^river^" || r.payload(FormatCID, e.At) != "1150 00 000" {
		t.Errorf("%+v, %v", r, ok)
	}
}

// TestOldEventsSayWhen: a report that had to wait has the time of its event, in UTC.
func TestOldEventsSayWhen(t *testing.T) {
	e := alarm()
	e.At = time.Date(2026, 11, 22, 8, 9, 10, 0, time.FixedZone("CST", 8*3600))
	d := names()
	r, _ := d.report(e)
	if got := r.payload(FormatSIA, e.At.Add(59*time.Second)); got != "Nri1/BA012" {
		t.Error(got)
	}
	if got := r.payload(FormatSIA, e.At.Add(time.Minute)); got != "Nti00:09:10/ri1/BA012" {
		t.Error(got)
	}
}

func TestWanted(t *testing.T) {
	d := names()
	for _, c := range []struct {
		e       event.Event
		classes string
		want    bool
	}{
		{alarm(), "alarm", true},
		{alarm(), "openclose trouble bypass access test", false},
		{told(event.KindStationStarted, event.QualifierNew, ""), "trouble", true},
		{told(event.KindStationStarted, event.QualifierNew, ""), "alarm", false},
		{told(event.KindPanelEvent, event.QualifierNew, "", "format=cid", "code=203"), "trouble", true}, // supervisory
		{told(event.KindPanelEvent, event.QualifierNew, "", "format=cid", "code=900"), "", true},        // nobody knows
	} {
		r, ok := d.report(c.e)
		if got := ok && r.wanted(strings.Fields(c.classes)); got != c.want {
			t.Errorf("%s to %q: %v", c.e.Kind, c.classes, got)
		}
	}
}

// TestPayloadsAreOfTheirFormat draws events of any content: what is told of them our own parser reads as one report of the same class.
func TestPayloadsAreOfTheirFormat(t *testing.T) {
	d := names()
	rapid.Check(t, func(t *rapid.T) {
		word := func(name string, of ...string) string {
			return name + "=" + rapid.SampledFrom(append(of, "")).Draw(t, name)
		}
		digits := rapid.StringMatching(`[0-9]{3}`)
		code := rapid.OneOf(rapid.StringMatching(`[A-Z]{2}`), digits, rapid.String())
		e := told(event.Kind(rapid.IntRange(1, 32).Draw(t, "kind")), event.Qualifier(rapid.IntRange(1, 3).Draw(t, "qualifier")),
			rapid.OneOf(rapid.SampledFrom([]string{"hall", "smoke", "1409/12", ""}), rapid.String()).Draw(t, "zone"),
			word("format", "sia", "cid"), "code="+code.Draw(t, "code"), word("state", "active", "normal", "fault", "armed_away", "disarmed", "battery", "test"),
			word("previous", "active", "normal", "fault", "armed_away", "mains"), word("mode", "away", "stay"), word("who", "li"), word("partition", "house"),
			"text="+rapid.String().Draw(t, "text"), "area="+rapid.StringMatching(`[0-9]{0,3}`).Draw(t, "area"), "user="+rapid.String().Draw(t, "user"))
		r, ok := d.report(e)
		if !ok {
			return
		}
		for _, format := range []string{FormatSIA, FormatCID} {
			m := dc09.Message{ID: map[string]string{FormatSIA: "SIA-DCS", FormatCID: "ADM-CID"}[format], Number: 1, Line: "0", Account: "1234",
				Payload: r.payload(format, e.At.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "later"))*time.Second)), Time: e.At}
			wire, err := dc09.AppendMessage(nil, m, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := dc09.Parse(wire, nil)
			if err != nil || len(f.Reports) != 1 || f.Reports[0].Code == "" || f.Reports[0].Format != format {
				t.Fatalf("%s: %v, %+v", m.Payload, err, f.Reports)
			}
			if format == FormatCID {
				if q := f.Reports[0].Qualifier; q != 1 && q != 3 && q != 6 || fmt.Sprintf("%d%s", q, f.Reports[0].Code) != m.Payload[:4] {
					t.Fatalf("%s: %+v", m.Payload, f.Reports)
				}
			}
		}
	})
}

// TestEveryCodeHasAWord: no code of either vocabulary is without one in the other, and what is an alarm stays one.
func TestEveryCodeHasAWord(t *testing.T) {
	for n := range 1000 {
		code := fmt.Sprintf("%03d", n)
		m, _ := contactid.Lookup(code)
		w := wordOfCID(code)
		if w.CID == "" || len(w.New) != 2 || len(w.Over) != 2 || (m.Class == contactid.ClassAlarm) != (w.class == contactid.ClassAlarm) {
			t.Errorf("%s: %+v", code, w)
		}
	}
	for a := byte('A'); a <= 'Z'; a++ {
		for b := byte('A'); b <= 'Z'; b++ {
			code := string([]byte{a, b})
			m, _, _ := contactid.LookupSIA(code)
			back, _ := contactid.Lookup(wordOf(code).CID)
			if w := wordOf(code); len(w.CID) != 3 || (m.Class == contactid.ClassAlarm) != (w.class == contactid.ClassAlarm) ||
				m.Class == contactid.ClassAlarm && back.Class != contactid.ClassAlarm {
				t.Errorf("%s: %+v", code, w)
			}
		}
	}
}
