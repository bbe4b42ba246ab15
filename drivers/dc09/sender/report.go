//lint:pure

package sender

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"watchpost/drivers/contactid"
	"watchpost/storage/event"
)

// Formats of what a receiver is sent.
const (
	FormatSIA = "sia" // SIA-DCS: two-letter codes of DC-03
	FormatCID = "cid" // ADM-CID: Contact ID codes of DC-05
)

// Zone is what a receiving centre knows of one of the station's zones.
type Zone struct {
	Number    int    // 1 to 999; 0 = none was given
	Partition string // id; "" = the zone speaks for itself
	Code      string // SIA code of its alarm, such as BA; "" = it raises none
}

// Directory is what the station's names are at the receiving centre. A zone without a number is sent as 0, in SIA-DCS with its name.
type Directory struct {
	Zones      map[string]Zone
	Partitions map[string]int // id → 1 to 99
	Users      map[string]int // id → 1 to 999
}

// report is what one event says to a receiving centre, in both formats.
type report struct {
	word
	qualifier event.Qualifier
	format    string // of what a panel sent; "" = the event is the station's own
	own       string // the code that it sent
	at        time.Time
	area      int
	zone      int
	user      int
	text      string
}

// report is what e says, false if a receiving centre is not told of it.
func (d *Directory) report(e event.Event) (report, bool) {
	r := report{qualifier: e.Qualifier, at: e.At, text: e.Zone}
	var told bool
	switch e.Kind {
	case event.KindAlarmRaised:
		told = d.alarm(&r, e)
	case event.KindZoneChanged:
		told = d.zoneChanged(&r, e)
	case event.KindPanelEvent:
		told = panelEvent(&r, e)
	case event.KindPartitionChanged:
		told = partitionChanged(&r, e)
	case event.KindDuress:
		r.word, told = wordOfCID("121"), true
	case event.KindSensorChanged:
		told = sensorChanged(&r, e)
	case event.KindOutputChanged:
		told = fault(&r, e, "YA")
	case event.KindZoneBypassed:
		r.word, told = wordOf("UB"), true
	case event.KindBusChanged:
		r.word, r.text, told = wordOf("ET"), text(e, event.TagBus), true
	case event.KindPanelLink:
		r.word, r.text, told = wordOf("YC"), text(e, event.TagAccount), true
	case event.KindMaintenance:
		r.word, told = wordOf("TS"), text(e, event.TagState) == "test" && e.Qualifier != event.QualifierStatus
	case event.KindTestFailed:
		r.word, r.qualifier, told = wordOf("RY"), event.QualifierNew, true
	case event.KindStationStarted:
		r.word, told = wordOf("RR"), true
	}
	if told {
		d.place(&r, e)
	}
	return r, told
}

// place fills in the numbers of area, zone and user.
func (d *Directory) place(r *report, e event.Event) {
	z, known := d.Zones[e.Zone]
	r.zone = z.Number
	if !known && e.Kind == event.KindPanelEvent {
		_, digits, _ := strings.Cut(e.Zone, "/") // account/number, a zone that nobody has named
		r.zone = number(digits, 999)
	}
	partition := text(e, event.TagPartition)
	if partition == "" {
		partition = z.Partition
	}
	if r.area = d.Partitions[partition]; e.Kind == event.KindPanelEvent {
		r.area = number(text(e, event.TagArea), 99)
	}
	if r.user = d.Users[text(e, event.TagWho)]; e.Kind == event.KindPanelEvent {
		r.user = number(text(e, event.TagUser), 999)
	}
	if r.text == "" {
		r.text = partition
	}
}

// alarm is arming's verdict. The end of one has no code of its own: it is that of the zone, or of the cause.
func (d *Directory) alarm(r *report, e event.Event) bool {
	code := text(e, event.TagCode)
	switch cause := text(e, event.TagReason); {
	case code != "":
	case cause == "tamper":
		code = "TA"
	case cause == "fault":
		code = "UT"
	default:
		code = d.Zones[e.Zone].Code
	}
	r.word = wordOf(code)
	r.class = contactid.ClassAlarm // also where the cause is that an armed zone cannot be read
	return true
}

// zoneChanged: the alarms of a zone in a partition are arming's, which raises them; its faults are told here.
func (d *Directory) zoneChanged(r *report, e event.Event) bool {
	z, now, before := d.Zones[e.Zone], text(e, event.TagState), text(e, event.TagPrevious)
	if text(e, event.TagReason) == event.ReasonTest {
		r.word, r.qualifier = wordOf("RP"), event.QualifierStatus
		return now == "active"
	}
	class := func(state string) string {
		switch state {
		case "active":
			return z.Code
		case "short", "open", "masked":
			return "TA"
		case "fault", "missing":
			return "UT"
		}
		return ""
	}
	code, was := class(now), class(before)
	if z.Partition != "" && code != "UT" {
		code = ""
	}
	if z.Partition != "" && was != "UT" {
		was = ""
	}
	switch {
	case code == "RP" || was == "RP":
		return false // a test zone that nobody has asked is told by the daily test
	case code != "" && code != was:
		r.word, r.qualifier = wordOf(code), event.QualifierNew
	case code == "" && was != "" && now != "unknown":
		r.word, r.qualifier = wordOf(was), event.QualifierRestore
	default:
		return false
	}
	return true
}

// panelEvent passes on what a panel has sent.
func panelEvent(r *report, e event.Event) bool {
	code := text(e, event.TagCode)
	r.format, r.own = text(e, event.TagFormat), code
	if r.format == FormatCID {
		r.word = wordOfCID(code)
	} else {
		r.word = wordOf(code)
	}
	if t := text(e, event.TagText); t != "" {
		r.text = t
	}
	return code != ""
}

// partitionChanged tells opening and closing. A partition is armed if the event has a mode and it is on its way out no more. One
// that sounded while it was disarmed (smoke, hold-up) and is silenced by a person is told as opened once more.
func partitionChanged(r *report, e event.Event) bool {
	now, before := text(e, event.TagState), text(e, event.TagPrevious)
	armed := func(state string) bool { return strings.HasPrefix(state, "armed_") || state == "entry" }
	sounding := func(state string) bool { return state == "alarm" || state == "tamper" }
	r.word = wordOf("OP")
	if text(e, event.TagMode) == "stay" {
		r.word = wordOfCID("441")
	}
	switch {
	case text(e, event.TagReason) == "late-to-close":
		r.word, r.qualifier = wordOf("CI"), event.QualifierNew
	case strings.HasPrefix(now, "armed_") && !armed(before) && !sounding(before):
		r.qualifier = event.QualifierRestore
	case text(e, event.TagMode) == "" && !sounding(now) && (armed(before) || sounding(before) && text(e, event.TagWho) != ""):
		r.qualifier = event.QualifierNew
	default:
		return false
	}
	return true
}

// sensorChanged knows the station's own supply; another value that leaves its limits is a 24-hour zone or a trouble.
func sensorChanged(r *report, e event.Event) bool {
	switch now, before := text(e, event.TagState), text(e, event.TagPrevious); {
	case now == "battery" && before != "battery-low":
		r.word = wordOf("AT")
	case now == "battery":
		r.word, r.qualifier = wordOf("YT"), event.QualifierRestore
	case now == "battery-low":
		r.word = wordOf("YT")
	case now == "mains" && before == "battery-low":
		r.word = wordOf("YT")
	case now == "mains":
		r.word = wordOf("AT")
	case e.Severity == event.SeverityAlarm:
		r.word = wordOf("UA")
	default:
		return e.Qualifier != event.QualifierStatus && fault(r, e, "UT")
	}
	return e.Qualifier != event.QualifierStatus || r.qualifier == event.QualifierRestore
}

// fault tells a state of fault, and its end.
func fault(r *report, e event.Event, code string) bool {
	bad := func(state string) bool { return state == "fault" || state == "missing" }
	now, before := bad(text(e, event.TagState)), bad(text(e, event.TagPrevious))
	r.word, r.qualifier = wordOf(code), event.QualifierNew
	if before {
		r.qualifier = event.QualifierRestore
	}
	return now != before
}

func text(e event.Event, t event.Tag) string {
	s, _ := e.Body.Text(t)
	return s
}

// number reads digits up to a limit; 0 for anything else.
func number(s string, limit int) int {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > limit {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	if n > limit {
		return 0
	}
	return n
}

// wanted reports whether a receiver that asks for these classes is sent the report. What nobody knows is always sent.
func (r *report) wanted(classes []string) bool {
	class := r.class
	switch class {
	case contactid.ClassSupervisory, contactid.ClassSystem:
		class = contactid.ClassTrouble
	case contactid.ClassUnknown:
		return true
	}
	return slices.Contains(classes, string(class))
}

// oldAfter is how much older than its message an event is told with a time of its own.
const oldAfter = time.Minute

// payload writes the report in one format, for a message of this time.
func (r *report) payload(format string, stamp time.Time) string {
	if format == FormatCID {
		return r.cidPayload()
	}
	s := "N"
	if stamp.Sub(r.at) >= oldAfter {
		s += "ti" + r.at.UTC().Format("15:04:05") + "/"
	}
	if r.area != 0 {
		s += fmt.Sprintf("ri%d/", r.area)
	}
	if r.user != 0 {
		s += fmt.Sprintf("id%d/", r.user)
	}
	s += r.siaCode()
	if r.zone != 0 {
		s += fmt.Sprintf("%03d", r.zone)
	}
	if t := plainText(r.text); t != "" && (r.zone == 0 || r.format != "") {
		s += "^" + t + "^"
	}
	return s
}

func (r *report) siaCode() string {
	if r.format == FormatSIA && isCode(r.own, 2) {
		return r.own
	}
	return r.SIA(r.qualifier)
}

// cidPayload: the third field is a user where the code says so. What is a status here is new to the receiver; only a panel's is
// passed on as the status that it is.
func (r *report) cidPayload() string {
	code, third, q := r.CID, r.zone, 1
	if r.format == FormatCID && isCode(r.own, 3) {
		code = r.own
		if r.qualifier == event.QualifierStatus {
			q = 6
		}
	}
	if m, _ := contactid.Lookup(code); m.User {
		third = r.user
	}
	if r.qualifier == event.QualifierRestore {
		q = 3
	}
	return fmt.Sprintf("%d%s %02d %03d", q, code, r.area, third)
}

// isCode reports whether s has n letters or digits.
func isCode(s string, n int) bool {
	return len(s) == n && !strings.ContainsFunc(s, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '0' || c > '9') })
}

// maxText bounds the text of a report, in bytes.
const maxText = 64

// plainText is text as every receiver can show it: ASCII, without what ends a text or a block.
func plainText(s string) string {
	b := make([]byte, 0, maxText)
	for _, c := range s {
		switch {
		case len(b) == maxText:
			return string(b)
		case c < ' ' || c > '~' || strings.ContainsRune(`[]|^*"\`, c):
			b = append(b, '?')
		default:
			b = append(b, byte(c))
		}
	}
	return strings.TrimSpace(string(b))
}
