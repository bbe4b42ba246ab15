package station

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/drivers"
	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/uplink/topic"
)

// The list of inputs has the raw level behind each state, and none for a wire that cannot be read.
func TestInputsAtTheDoor(t *testing.T) {
	dir := t.TempDir()
	x := startGuarded(t, dir, boxIn(t, dir), "", nil)
	x.set("hall", true)
	x.zones("hall active")
	points := func() map[string]string {
		var list status.IO
		code, answer := x.ask("GET", status.PathIO, "")
		if err := json.Unmarshal([]byte(answer), &list); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s: %v", code, answer, err)
		}
		got := map[string]string{}
		for _, g := range list.Groups {
			for _, p := range g.Points {
				if p.Since.IsZero() {
					t.Errorf("no time: %+v", p)
				}
				got[p.ID] = p.State + " " + p.Raw
			}
		}
		return got
	}
	x.await("the siren's wire is read", func() bool { return strings.HasPrefix(points()["siren"], "off") })
	if got := points(); got["hall"] != "active high" || got["door"] != "normal low" || got["shed"] != "normal low" || got["siren"] != "off low" {
		t.Errorf("inputs %v", got)
	}
	x.box.Mute(true)
	if got := points(); got["hall"] == "active high" {
		t.Errorf("inputs of a dead box: %v", got)
	}
}

// measured is a sensor that has measured these.
type measured []drivers.Reading

func (measured) Run(context.Context, drivers.Sink) error { return nil }
func (measured) String() string                          { return "sensor" }
func (m measured) Snapshot() []drivers.Reading           { return m }

// A centre is told what the sensors have measured, by their names, and of one that has measured nothing that it is unknown.
func TestACentreIsToldOfSensors(t *testing.T) {
	s := idleStation(t)
	since := time.Unix(1700000000, 0)
	s.config.Sensors = []config.Sensor{{ID: "cellar", Name: "地窖"}}
	s.sensors = []teller{measured{{Name: "cellar", State: "low", Text: "1.5 °C", Since: since}}, measured{{Name: "power"}}}
	want := []topic.SensorState{{ID: "cellar", Name: "地窖", State: "low", Text: "1.5 °C", Since: since}, {ID: "power", State: "unknown"}}
	if got := s.present(s.centres[0]).Sensors; !slices.Equal(got, want) {
		t.Errorf("told is %+v, want %+v", got, want)
	}
}
