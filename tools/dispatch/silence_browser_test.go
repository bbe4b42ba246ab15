package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"watchpost/storage/event"
)

// tells says a state over a carrier, with a heartbeat of a second: after 13 s of silence it is told.
func (v *village) tells(carrier string, gauges map[string]float64) {
	v.t.Helper()
	s := v.state()
	s.Carrier, s.Heartbeat, s.Gauges, s.Started = carrier, 1, gauges, time.Now().Add(-50*time.Hour)
	b, err := json.Marshal(s)
	if err != nil {
		v.t.Fatal(err)
	}
	v.wait(v.client.Publish(v.address.State(), 1, true, b))
}

func TestTwelveSilentVillagesAreOneCard(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	c := serve(t, dir)
	names := []string{"草坪村", "球川村", "龙绕村", "三衢村", "新站村", "芳村", "大桥头村", "东案村", "太平桥村", "双明镇", "岩瑞村", "下镇村"}
	gauges := map[string]float64{"link_rtt_ms": 48, "link_rtt_p95_ms": 180, "link_connects_count": 3, "link_faults_count": 2, "link_up_s": 90000,
		"clock_synced": 1, "clock_offset_ms": 0.4, "disk_free_bytes": 5.2e9, "box_temperature_c": 41}
	var villages []*village
	for i, name := range names {
		jurisdiction := "changshan"
		if i >= 8 {
			jurisdiction = "yushan"
		}
		v := enrol(t, dir, jurisdiction, fmt.Sprintf("st-%02d", i), name)
		v.connect(c.mqtt)
		villages = append(villages, v)
	}
	s := browser(t)("zh-CN", 1920, 1080)
	s.enter(c, "李娜", "correct horse")
	test := villages[0].raise(event.Draft{Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Zone: "test", Source: "line/test",
		Body: event.NewBody(event.Text(event.TagState, "active"), event.Text(event.TagCode, "RP"), event.Text(event.TagReason, event.ReasonTest))})
	threat := villages[3].raise(panelSays("PA", "营业厅柜台"))
	for _, v := range villages {
		v.tells("中国移动", gauges)
	}
	s.do(chromedp.WaitVisible(fmt.Sprintf(`.tests [data-test-id=%q]`, test.Name())), chromedp.WaitVisible(card(threat, "open")))

	const carrier = `[...document.querySelectorAll("#open-alarms .card")].find((c) => c.textContent.includes("运营商中断"))`
	s.wait(carrier + ` !== undefined`)
	cards := eval[[]string](s, `[...document.querySelectorAll("#open-alarms .card")].map((c) => c.dataset.priority + " " + c.querySelector(".what").textContent + " " + c.querySelector(".place").textContent)`)
	want := []string{"1 紧急求助 三衢村 · 营业厅柜台", "1 报警后失联 三衢村 · 1 条未处理警情", "2 运营商中断 中国移动 · 12 个村中 12 个失联"}
	if fmt.Sprint(cards) != fmt.Sprint(want) {
		t.Errorf("cards %q\nwant %q", cards, want)
	}
	s.do(chromedp.Evaluate(carrier+`.click()`, nil))
	s.screen("carrier-zh-1920")

	// They come back one after the other, and the card counts.
	for _, v := range villages[:7] {
		v.tells("中国移动", gauges)
	}
	s.wait(carrier + `.textContent.includes("12 个村中 5 个失联")`)
	s.wait(`document.querySelectorAll(".villages [data-missing=true]").length === 5`)
	s.do(chromedp.Click(`[data-station="st-00"] .who`), chromedp.WaitVisible(`[data-station="st-00"] .link`),
		chromedp.ScrollIntoView(`[data-station="st-00"] .link`))
	s.screen("carrier-back-zh-1920")
	s.do(chromedp.Evaluate(`[...document.querySelectorAll("#open-alarms .card")].find((c) => c.textContent.includes("报警后失联")).click()`, nil))
	s.screen("silent-zh-1920")
	for _, v := range villages {
		v.tells("中国移动", gauges)
	}
	s.wait(carrier + `.querySelector(".badge.calm") !== null`)
	if said := s.errs.all(); len(said) > 0 {
		t.Errorf("the page complains: %v", said)
	}
	// The page has said that it shows the test: the last link of its chain.
	eventually(t, "the test is confirmed", func() bool {
		var page struct {
			Tests []struct {
				ID      string
				Painted time.Time
			}
		}
		li := login(t, c, "王强", "battery staple")
		li.call("GET", "/api/alarms", nil, &page)
		return len(page.Tests) == 1 && page.Tests[0].ID == test.Name() && !page.Tests[0].Painted.IsZero()
	})
	small := browser(t)("en", 1366, 768)
	small.enter(c, "王强", "battery staple")
	small.do(chromedp.WaitVisible(`.tests li`))
	small.do(chromedp.Evaluate(`[...document.querySelectorAll("#open-alarms .card")].find((c) => c.textContent.includes("Carrier down")).click()`, nil))
	small.screen("carrier-en-1366")
}
