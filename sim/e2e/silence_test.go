package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// silenceLimit is how long a station that speaks every 5 s may say nothing: three heartbeats and 10 s; after an alarm half of it.
const silenceLimit = 25 * time.Second

// network is the carrier of the stations that fall silent together.
const network = "中国移动4G"

// onCarrier makes a village's links speak every 5 s, over a carrier unless that is "".
func (p plan) onCarrier(carrier string) plan {
	p.entry = func(_ int, yaml string) string {
		yaml += "    heartbeat: 5s\n"
		if carrier != "" {
			yaml += "    carrier: " + carrier + "\n"
		}
		return yaml
	}
	return p
}

// speaks waits until the centre hears the station.
func (p person) speaks(station string) {
	p.c.t.Helper()
	eventually(p.c.t, "a state of "+station+" at the centre", func() error {
		var all struct {
			Stations []struct{ ID, Health string }
		}
		p.ask("GET", "/api/stations", nil, &all)
		for _, s := range all.Stations {
			if s.ID == station && s.Health == "fresh" {
				return nil
			}
		}
		return fmt.Errorf("stations %+v", all.Stations)
	})
}

// card waits for an open alarm of the centre's own.
func (p person) card(limit time.Duration, kind, about string) (found alarm) {
	p.c.t.Helper()
	within(p.c.t, limit, "a card "+kind+" about "+about, func() error {
		open := p.openAlarms()
		i := slices.IndexFunc(open, func(a alarm) bool { return a.Kind == kind && a.About+a.Carrier == about })
		if i < 0 {
			return fmt.Errorf("open are %+v", open)
		}
		found = open[i]
		return nil
	})
	return found
}

// TestE2ESilence kills stations with kill -9 and looks at what the centre makes of it: of one, a card when its limit has
// passed; of one that had raised an alarm, a card of the first priority after half of it; of the four behind one carrier, one
// card for all. When they are back, each card says so.
func TestE2ESilence(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	build := func(n int, name, carrier string) *village {
		p := plan{id: fmt.Sprintf("cs-silence-%d", n), jurisdiction: "changshan", name: name, centres: []*centre{c}}.onCarrier(carrier)
		return p.build(t)
	}
	alone, threatened := build(0, "草坪村", ""), build(1, "三衢村", "")
	together := []*village{build(2, "球川村", network), build(3, "新站村", network), build(4, "芳村", network), build(5, "东案村", network)}
	all := append([]*village{alone, threatened}, together...)
	p := c.login()
	for _, v := range all {
		v.start()
	}
	for _, v := range all {
		v.online()
		p.speaks(v.id)
	}
	threatened.set("panic", 1)
	p.awaitAlarm("of the panic button", func(a alarm) bool { return a.Zone == "panic" })
	killed := time.Now()
	for _, v := range all {
		v.agent.kill()
	}
	p1 := p.card(patience, "station.silent", threatened.id)
	took := age(killed)
	if p1.Priority != 1 || p1.Words.Reason != "after_alarm" || p1.Count != 1 {
		t.Errorf("silence after an alarm: %+v", p1)
	}
	if first := p.openAlarms(); len(first) != 2 {
		t.Errorf("before the limit of the others: %+v", first)
	}
	carrier := p.card(2*patience, "carrier.silent", network)
	single := p.card(patience, "station.silent", alone.id)
	t.Logf("told after: %s of the one that raised an alarm, %s of the carrier, %s of all", took, c.silence(carrier), age(killed))
	for a, limit := range map[*alarm]time.Duration{&p1: silenceLimit / 2, &carrier: silenceLimit, &single: silenceLimit} {
		if d := c.silence(*a); d < limit || d > limit+15*time.Second {
			t.Errorf("%s %s was told %s after the last word, its limit is %s", a.Kind, a.About, d, limit)
		}
	}
	if single.Priority != 3 || single.Words.Reason != "" {
		t.Errorf("one station's silence: %+v", single)
	}
	if carrier.Priority != 2 || carrier.Missing != len(together) {
		t.Errorf("the carrier's card: %+v", carrier)
	}
	if open := p.openAlarms(); len(open) != 4 { // the panic button, and one each
		t.Errorf("%d cards: %+v", len(open), open)
	}
	b := newBrowser(t, "zh-CN")
	b.enter(c)
	for name, a := range map[string]alarm{"carrier-silent": carrier, "station-silent": single, "silent-after-alarm": p1} {
		b.choose(a.ID)
		b.screenshot(name)
	}

	for _, v := range all {
		v.start()
	}
	for _, a := range []alarm{p1, single, carrier} {
		eventually(t, a.Kind+" "+a.About+" is over", func() error {
			now := p.card(patience, a.Kind, a.About+a.Carrier)
			if now.Restored.IsZero() {
				return fmt.Errorf("it is %+v", now)
			}
			return nil
		})
	}
	b.choose(carrier.ID)
	b.await("the page says that all are back", `document.querySelector(".detail .badge.calm") !== null`)
	b.screenshot("carrier-back")
	if open := p.openAlarms(); len(open) != 4 {
		t.Errorf("when all are back: %d cards: %+v", len(open), open)
	}
	for _, v := range all {
		stopsWell(t, v.agent)
	}
}

// silence is how long after the last word a card of the centre's own was told, by the event itself.
func (c *centre) silence(a alarm) time.Duration {
	c.t.Helper()
	for _, e := range c.stored("centre") {
		if strings.HasSuffix(a.ID, e.Name()) {
			d, _ := e.Body.Uint(event.TagDuration)
			return time.Duration(d).Round(time.Millisecond)
		}
	}
	c.t.Fatalf("no event of card %s", a.ID)
	return 0
}
