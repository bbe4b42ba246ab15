package station

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"watchpost/firmware/arming"
	"watchpost/firmware/status"
	"watchpost/storage/event"
)

// Each wish at the door, with what it answers and what becomes of the partition.
func TestWishesAtTheDoor(t *testing.T) {
	dir := t.TempDir()
	x := startGuarded(t, dir, boxIn(t, dir), "", nil)
	x.set("hall", true)
	x.zones("hall active")
	for _, c := range []struct {
		path, body string
		code       int
		says       string // in the answer
		state      string // of the partition afterwards
	}{
		{status.PathArm, `{"partition": "house", "mode": "away", "code": "1234"}`, 409, `"hall"`, "disarmed"},
		{status.PathArm, `{"partition": "house", "mode": "away", "force": ["hall"], "code": "5678"}`, 409, arming.RefusedRight, "disarmed"},
		{status.PathArm, `{"partition": "house", "mode": "away", "force": ["hall"], "code": "1234"}`, 200, `"armed_away"`, "armed_away"},
		{status.PathArm, `{"partition": "house", "mode": "away", "code": "1234"}`, 409, arming.RefusedArmed, "armed_away"},
		{status.PathDisarm, `{"partition": "house", "code": "5678"}`, 409, arming.RefusedRight, "armed_away"},
		{status.PathDisarm, `{"partition": "house", "code": "0000"}`, 403, whyCode, "armed_away"},
		{status.PathDisarm, `{"partition": "house", "code": "1234"}`, 200, `"disarmed"`, "disarmed"},
		{status.PathBypass, `{"zone": "hall", "code": "1234"}`, 200, `"soft"`, "disarmed"},
		{status.PathBypass, `{"zone": "hall", "off": true, "code": "1234"}`, 200, `"hall"`, "disarmed"},
		{status.PathBypass, `{"zone": "hall", "hard": true, "for": "30m", "code": "1234"}`, 200, `"hard"`, "disarmed"},
		{status.PathBypass, `{"zone": "hall", "hard": true, "off": true, "code": "1234"}`, 200, `"hall"`, "disarmed"},
		{status.PathWalkTest, `{"partition": "house", "code": "1234"}`, 200, `"walk_test"`, "walk_test"},
		{status.PathWalkTest, `{"partition": "house", "off": true, "code": "1234"}`, 200, `"disarmed"`, "disarmed"},
		{status.PathTest, `{"zone": "hall", "for": "1h", "reason": "new lens", "code": "1234"}`, 200, `"maintenance"`, "maintenance"},
		{status.PathTest, `{"zone": "hall", "off": true, "code": "1234"}`, 200, `"disarmed"`, "disarmed"},
		{status.PathTest, `{"station": true, "for": "2h", "code": "1234"}`, 200, `"test_until"`, "maintenance"},
		{status.PathTest, `{"station": true, "off": true, "code": "1234"}`, 200, `"disarmed"`, "disarmed"},
		{status.PathClear, `{"partition": "house", "code": "1234"}`, 200, `"disarmed"`, "disarmed"},

		{status.PathArm, `{"partition": "house", "mode": "away"}`, 400, "no code", "disarmed"},
		{status.PathArm, `{"partition": "barn", "mode": "away", "code": "1234"}`, 400, `partition \"barn\"`, "disarmed"},
		{status.PathArm, `{"partition": "house", "mode": "asleep", "code": "1234"}`, 400, "want away, stay or night", "disarmed"},
		{status.PathArm, `{"partition": "house", "mode": "away", "force": ["shed"], "code": "1234"}`, 400, `zone \"shed\" is not known here; known are: `, "disarmed"},
		{status.PathArm, `{"partition": "house", "mode": "away", "cod": "1234"}`, 400, `unknown field \"cod\"`, "disarmed"},
		{status.PathArm, `{"partition": "house", "mode": "away", "code": 1234}`, 400, "reading the wish", "disarmed"},
		{status.PathArm, `{}{}`, 400, "something stands behind it", "disarmed"},
		{status.PathArm, ``, 400, "reading the wish", "disarmed"},
		{status.PathArm, `{"code": "` + strings.Repeat("1", status.MaxWish) + `"}`, 400, "too large", "disarmed"},
		{status.PathBypass, `{"zone": "hall", "hard": true, "for": "3h", "code": "1234"}`, 400, "at most 2h", "disarmed"},
		{status.PathBypass, `{"zone": "hall", "hard": true, "code": "1234"}`, 400, "want a duration", "disarmed"},
		{status.PathTest, `{"zone": "hall", "station": true, "for": "1h", "code": "1234"}`, 400, "either one zone or the station", "disarmed"},
		{status.PathTest, `{"for": "1h", "code": "1234"}`, 400, "either one zone or the station", "disarmed"},
	} {
		code, answer := x.ask("POST", c.path, c.body)
		if code != c.code || !strings.Contains(answer, c.says) || x.state() != c.state {
			t.Errorf("%s %.90s: %d %s, partition %s; want %d, %s, %s", c.path, c.body, code, answer, x.state(), c.code, c.says, c.state)
		}
		var refused status.Refused
		if err := json.Unmarshal([]byte(answer), &refused); code != http.StatusOK && (err != nil || refused.Reason == "") {
			t.Errorf("%s %.90s: %s, %v", c.path, c.body, answer, err)
		}
	}
	if code, _ := x.ask("GET", status.PathArm, ""); code != http.StatusMethodNotAllowed {
		t.Errorf("GET %s: %d", status.PathArm, code)
	}
	var refused []string
	for _, e := range all(t, x.events, event.KindArmingRefused) {
		refused = append(refused, text(e, event.TagAction)+" "+text(e, event.TagReason)+" "+text(e, event.TagWho))
	}
	want := []string{"arm not-normal li", "arm no-right wu", "arm armed li", "disarm no-right wu", "disarm wrong-code "}
	if !slices.Equal(refused, want) {
		t.Errorf("told are %q, want %q", refused, want)
	}
}

// Five wrong codes, and the keypad takes none; the centre hears of it, and the right code opens nothing until it is over.
func TestGuessingCodesAtTheDoor(t *testing.T) {
	dir := t.TempDir()
	x := startGuarded(t, dir, boxIn(t, dir), "", nil)
	x.arm()
	for n := range 7 {
		body := fmt.Sprintf(`{"partition": "house", "code": "000%d"}`, n)
		if n == 6 {
			body = `{"partition": "house", "code": "1234"}`
		}
		code, answer := x.ask("POST", status.PathDisarm, body)
		if want := map[bool]int{true: 403, false: 429}[n < 4]; code != want || n >= 4 && !strings.Contains(answer, `"retry_s": 90`) && !strings.Contains(answer, `"retry_s": 89`) {
			t.Errorf("try %d: %d %s", n, code, answer)
		}
	}
	if x.state() != "armed_away" {
		t.Errorf("the partition is %s", x.state())
	}
	e := awaitIn(t, x.events, event.LaneMain, func(e event.Event) bool { return text(e, event.TagReason) == "locked" })
	if n, _ := e.Body.Uint(event.TagCount); e.Kind != event.KindArmingRefused || n != 5 || e.Severity != event.SeverityWarning || text(e, event.TagPartition) != "house" {
		t.Errorf("told is %+v", e)
	}
}

// A station without partitions has none to show and none to arm.
func TestADoorWithoutPartitions(t *testing.T) {
	s := startStation(t, "cs-one")
	x := &guardedStation{Station: s.Station, t: t, dir: s.dir}
	if a := x.arming(); len(a.Partitions)+len(a.Zones) > 0 {
		t.Errorf("the door says %+v", a)
	}
	for body, want := range map[string]int{`{"station": true, "for": "1h", "code": "1"}`: 409, `{"zone": "door", "for": "1h", "code": "1"}`: 400} {
		if code, answer := x.ask("POST", status.PathTest, body); code != want {
			t.Errorf("%s: %d %s", body, code, answer)
		}
	}
}

// A centre is told of the partitions what the door says of them.
func TestACentreIsToldOfPartitions(t *testing.T) {
	dir := t.TempDir()
	x := startGuarded(t, dir, boxIn(t, dir), "", nil)
	x.set("hall", true)
	x.zones("hall active")
	x.wish(status.PathArm, `{"partition": "house", "mode": "stay", "force": ["hall"], "code": "1234"}`)
	list := x.partitions()
	if len(list) != 1 || list[0].ID != "house" || list[0].Name != "警务室" || list[0].State != "armed_stay" || list[0].Mode != "stay" ||
		list[0].Since.IsZero() || !slices.Equal(list[0].Bypassed, []string{"hall"}) {
		t.Errorf("told is %+v", list)
	}
}
