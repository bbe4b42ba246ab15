package e2e

import (
	"path/filepath"
	"testing"

	"watchpost/storage/event"
)

// TestScreenshots takes the README's pictures of a border evening: three stations of two counties, alarms of lines and
// panels, one of them claimed with its camera live.
func TestScreenshots(t *testing.T) {
	c := newCentre(t)
	plans := []plan{
		{id: "cs-baishi-caoping", jurisdiction: "changshan", name: "草坪村"},
		{id: "cs-qiuchuan-huangbang", jurisdiction: "changshan", name: "黄泥坂村"},
		{id: "ys-shuangming-taipingqiao", jurisdiction: "yushan", name: "太平桥村"},
	}
	var villages []*village
	for i := range plans {
		plans[i].centres = []*centre{c}
		url, _ := newCamera(t, "--plate", []string{"浙H12345", "浙H8K210", "赣E60771"}[i])
		plans[i].cameras = []string{url}
		v := plans[i].build(t)
		v.start()
		v.online()
		villages = append(villages, v)
	}
	villages[1].set("door", 1)
	c.awaitStored(villages[1].id, "the door", zoneActive("door"))
	must(t, "simctl", "panel", "--to", "tcp://"+villages[0].panels, "--account", "1409", "--count", "1", "--codes", "FA",
		"--log", filepath.Join(villages[0].dir, "panel.log"))
	c.awaitStored(villages[0].id, "the school's fire alarm", func(e event.Event) bool { return e.Kind == event.KindPanelEvent })
	villages[2].set("panic", 1)
	e := c.awaitStored(villages[2].id, "the panic button", zoneActive("panic"))
	for i, language := range []string{"zh-CN", "en"} {
		name := "dispatch-" + language[:2]
		b := newBrowser(t, language)
		b.enter(c)
		b.choose(e.Name())
		if i == 0 {
			b.do(press("Enter")) // claims it
		}
		b.look()
		b.framesGrow(30)
		b.screenshot(name)
		b.stopLooking()
	}
}
