package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMistakesInPartitionsAndUsers(t *testing.T) {
	code := Reference[strings.Index(Reference, `"$argon2id$`):]
	code = code[:strings.IndexByte(code, '\n')]
	explained(t, []mistake{
		{"exit", "exit: 60s ", "exit: 5m ", "partitions[0].exit", "outside 0s to 4m15s"},
		{"entry", "entry: 30s ", "entry: 5m ", "partitions[0].entry", "outside 0s to 4m0s"},
		{"settle", "settle: 60s ", "settle: 1h ", "partitions[0].settle", "outside 0s to 10m0s"},
		{"siren", "siren: 3m ", "siren: 1h ", "partitions[0].siren", "outside 10s to 15m0s"},
		{"cut short", "siren: 3m ", "siren: 4m ", "partitions[0].siren", "max_on of output siren ends it after 3m0s"},
		{"outputs", "outputs: [siren, strobe]", "outputs: [siren, strob]", "partitions[0].outputs[1]", "did you mean strobe?"},
		{"silent", "silent: [hold-up]", "silent: [holdup]", "partitions[0].silent[0]", "did you mean hold-up?"},
		{"silent test", "silent: [hold-up]", "silent: [test]", "partitions[0].silent[0]", "no word"},
		{"one of one", "confirm: {zones: 2, within: 5m}", "confirm: {zones: 1, within: 5m}", "partitions[0].confirm.zones", "outside 2 to 8"},
		{"confirmed next day", "confirm: {zones: 2, within: 5m}", "confirm: {zones: 2, within: 24h}", "partitions[0].confirm.within", "outside 10s to 1h0m0s"},
		{"arm at", `arm_at: "22:00"`, `arm_at: "24:00"`, "partitions[0].arm_at", "want HH:MM"},
		{"armed for no time", `    arm_at: "22:00"`, "    disarm_at: \"22:00\"\n    arm_at: \"22:00\"", "partitions[0].disarm_at", "for no time"},
		{"mode", "mode: night ", "mode: nigth ", "partitions[0].mode", "did you mean night?"},
		{"late", "late_after: 15m ", "late_after: 15s ", "partitions[0].late_after", "outside 1m0s to 12h0m0s"},
		{"code in clear", "code: " + code, "code: 2718", "users[0].code", "never stands here in clear: run stationctl code"},
		{"code in quotes", "code: " + code, `code: "2718"`, "users[0].code", "run stationctl code"},
		{"half a hash", "code: " + code, "code: " + code[:len(code)-5] + `"`, "users[0].code", "damaged"},
		{"hungry hash", "m=8192,t=2", "m=4194304,t=2", "users[0].code", "of other settings"},
		{"slow hash", "m=8192,t=2", "m=8192,t=900", "users[0].code", "of other settings"},
		{"duress that is the code", "# duress: \"$argon2id$…\"  ", "duress: " + code + " #", "users[0].duress", "the same as that of user li: a duress code is another one"},
		{"card", "cards: [01-00000fb3a2c1]", "cards: [0000]", "users[0].cards[0]", "28-0316a2795cff"},
		{"card twice", "cards: [01-00000fb3a2c1]", "cards: [01-00000fb3a2c1, 01-00000FB3A2C1]", "users[0].cards[1]", "one card is one person"},
		{"users' partitions", "partitions: [house] ", "partitions: [hose] ", "users[0].partitions[0]", "did you mean house?"},
		{"rights", "rights: [arm, disarm, bypass, engineer]", "rights: [arm, disam]", "users[0].rights[1]", "did you mean disarm?"},
		{"no rights", "rights: [arm, disarm, bypass, engineer]", "rights: []", "users[0].rights", "leave it out for arm and disarm"},
		{"no checkpoint", "checkpoints: [{id: bridge, name: 桥头, bus: wire}]", "checkpoints: []", "tours[0].checkpoints", "readers that the guard passes"},
		{"checkpoint on i2c", "name: 桥头, bus: wire", "name: 桥头, bus: chips", "tours[0].checkpoints[0].bus", "no onewire bus"},
		{"two checkpoints, one reader", "bus: wire}]", "bus: wire}, {id: gate, bus: wire}]", "tours[0].checkpoints[1].bus", "a bus of its own"},
		{"no window", `windows: ["22:00-23:00", "02:00-03:00"]`, "windows: []", "tours[0].windows", "when a round is due"},
		{"window", `"02:00-03:00"]`, `"2-3"]`, "tours[0].windows[1]", "HH:MM-HH:MM"},
		{"window of no length", `"02:00-03:00"]`, `"02:00-02:00"]`, "tours[0].windows[1]", "the same time"},
		{"nobody walks", "roster: [{button: 01-00000fb3a2c1, name: 李}]", "roster: []", "tours[0].roster", "guards and their buttons"},
		{"no button", "roster: [{button: 01-00000fb3a2c1, name: 李}]", "roster: [{name: 李}]", "tours[0].roster[0].button", "01-00000fb3a2c1"},
		{"one button, two guards", "name: 李}]", "name: 李}, {button: 01-00000fb3a2c1, name: 王}]", "tours[0].roster[1].button", "another guard's"},
	})
}

// A code in clear is not said again: neither the problem nor the log that it ends up in shows it.
func TestAClearCodeIsNotRepeated(t *testing.T) {
	text, _ := edit(t, "    rights: [arm, disarm, bypass, engineer]", "    duress: 90210")
	if _, err := Parse("s.yaml", []byte(text)); err == nil || strings.Contains(err.Error(), "90210") {
		t.Errorf("%v", err)
	}
}

func TestUsersNeedSomethingToBeKnownBy(t *testing.T) {
	const head = "station: {id: cs-one, jurisdiction: changshan}\n"
	for says, text := range map[string]string{
		"users[0]: user li has neither code nor cards":        head + "partitions: [{id: house}]\nusers: [{id: li}]\n",
		"users: there is no partition that they could arm":    head + "users: [{id: li, cards: [01-00000fb3a2c1]}]\n",
		"users[0].duress: a duress code is given in place of": head + "partitions: [{id: house}]\nusers: [{id: li, cards: [01-00000fb3a2c1], duress: \"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43) + "\"}]\n",
	} {
		if _, err := Parse("s.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
}

// Nought is a delay, and not the lack of one.
func TestDefaultsOfArming(t *testing.T) {
	c, err := Parse("s.yaml", []byte(`
station: {id: cs-one, jurisdiction: changshan}
partitions: [{id: house}, {id: shop, exit: 0s, entry: 0s, settle: 0s}]
users: [{id: li, cards: [01-00000fb3a2c1]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	p := c.Partitions[0]
	if p.Exit != time.Minute || p.Entry != 30*time.Second || p.Settle != time.Minute || p.Siren != 3*time.Minute || p.Mode != "night" ||
		p.LateAfter != 15*time.Minute || p.Confirm != (Confirm{2, 5 * time.Minute}) {
		t.Errorf("defaults = %+v", p)
	}
	if q := c.Partitions[1]; q.Exit != 0 || q.Entry != 0 || q.Settle != 0 {
		t.Errorf("delays of nought = %+v", q)
	}
	if !slices.Equal(c.Users[0].Rights, []string{"arm", "disarm"}) {
		t.Errorf("rights = %v", c.Users[0].Rights)
	}
}
