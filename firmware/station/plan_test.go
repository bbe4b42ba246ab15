package station

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"watchpost/firmware/arming"
	"watchpost/firmware/config"
)

// What the file says of arming reaches the machine, each word in its place.
func TestThePlanOfAConfiguration(t *testing.T) {
	c, err := config.Parse("s.yaml", []byte(`
station: {id: cs-one, jurisdiction: changshan}
boards: [{id: main, socket: b.sock}]
outputs: [{id: siren, board: main, line: siren, max_on: 5m}]
zones:
  - {id: door, partition: house, board: main, line: door, entry: true, modes: [away, night], swinger: 2}
  - {id: pir-a, partition: house, board: main, line: pir-a, follow: true, confirm: hall}
  - {id: pir-b, partition: house, board: main, line: pir-b, confirm: hall}
  - {id: smoke, kind: fire, partition: house, board: main, line: smoke}
  - {id: shed, board: main, line: shed}
partitions:
  - {id: house, exit: 0s, entry: 45s, outputs: [siren], siren: 5m, silent: [hold-up], confirm: {within: 1m}, arm_at: "22:00", late_after: 5m}
users:
  - {id: li, cards: [01-00000fb3a2c1], partitions: [house], rights: [arm, engineer]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := arming.Plan{
		Partitions: []arming.Partition{{
			ID: "house", Entry: 45 * time.Second, Settle: time.Minute, Siren: 5 * time.Minute, Outputs: []string{"siren"},
			SilentKinds: []arming.Kind{arming.HoldUp}, Needed: 2, Within: time.Minute, ArmAt: "22:00", ArmMode: arming.Night, LateAfter: 5 * time.Minute,
		}},
		Zones: []arming.Zone{
			{ID: "door", Partition: "house", Kind: arming.Intrusion, Code: "BA", Modes: []arming.Mode{arming.Away, arming.Night}, Entry: true, Swinger: 2},
			{ID: "pir-a", Partition: "house", Kind: arming.Intrusion, Code: "BA", Follow: true, Confirm: "hall"},
			{ID: "pir-b", Partition: "house", Kind: arming.Intrusion, Code: "BA", Confirm: "hall"},
			{ID: "smoke", Partition: "house", Kind: arming.Fire, Code: "FA"},
		},
		Users: []arming.User{{ID: "li", Partitions: []string{"house"}, Arm: true, Engineer: true}},
	}
	if diff := cmp.Diff(want, planOf(c)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Each kind of zone that a file may name, the test alone excepted, is one that arming knows, and the other way round.
func TestKindsOfZonesAreArmings(t *testing.T) {
	kinds := config.ZoneKinds()
	delete(kinds, config.KindTest)
	for _, k := range []arming.Kind{
		arming.Intrusion, arming.Panic, arming.HoldUp, arming.Tamper, arming.Fire, arming.Gas, arming.CO, arming.Flood, arming.Medical,
	} {
		if kinds[string(k)] == "" {
			t.Errorf("no file can name %s", k)
		}
		delete(kinds, string(k))
	}
	for k := range kinds {
		t.Errorf("arming does not know %s", k)
	}
}
