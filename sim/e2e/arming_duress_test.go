package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"watchpost/storage/event"
)

// forcedCode is what the villager enters when somebody stands behind.
const forcedCode = "20261123"

// TestE2EDuress: the centre hears of a duress code at once, and the local door neither before nor after: its heads and receipts
// have no gap, and the agent's log no word of it.
func TestE2EDuress(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	p := caoping(c).arms()
	p.extra = strings.Replace(p.extra, "rights:", fmt.Sprintf("duress: \"%s\", rights:", hashed(forcedCode)), 1)
	v := p.build(t)
	v.set("window", 1)
	v.start()
	v.online()
	x := &vigil{village: v, t: t}
	evening := func(code string) (heads map[string]uint64, answer string) {
		t.Helper()
		x.awake()
		arm := map[string]any{"partition": "house", "mode": "away", "force": []string{"window"}, "code": villagerCode}
		if status, err := v.knock(t.Context(), "/v1/arm", arm, nil); err != nil || status != http.StatusOK {
			t.Fatalf("arming: %d, %v", status, err)
		}
		var w armingWord
		status, err := v.knock(t.Context(), "/v1/disarm", map[string]any{"partition": "house", "code": code}, &w)
		if err != nil || status != http.StatusOK {
			t.Fatalf("disarming: %d, %v", status, err)
		}
		v.drained()
		st, err := v.door()
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(st.Log.Heads, st.Centres[0].Receipts) && st.Centres[0].Receipts["alarm"] != 0 {
			t.Errorf("heads %v, receipts %v", st.Log.Heads, st.Centres[0].Receipts)
		}
		return st.Log.Heads, fmt.Sprintf("%+v", w)
	}
	evening(villagerCode) // with the news of the link
	calm, first := evening(villagerCode)
	forced, second := evening(forcedCode)
	again, third := evening(villagerCode)
	if first != second || second != third {
		t.Errorf("answers differ:\n%s\n%s\n%s", first, second, third)
	}
	if _, shown := forced["alarm"]; shown || forced["main"]-calm["main"] != again["main"]-forced["main"] {
		t.Errorf("heads %v, %v, %v: an evening under duress leaves another gap", calm, forced, again)
	}
	e := c.awaitStored(v.id, "the duress", func(e event.Event) bool { return e.Kind == event.KindDuress })
	if who, _ := e.Body.Text(event.TagWho); e.Lane != event.LaneAlarm || who != "li" {
		t.Errorf("the centre has %+v", e)
	}
	if says := strings.ToLower(v.agent.stderr()); strings.Contains(says, "duress") {
		t.Errorf("the agent's log has the word:\n%s", says)
	}
	stopsWell(t, v.agent)
}
