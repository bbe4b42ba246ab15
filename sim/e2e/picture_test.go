package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// TestE2EAlarmWithPicture walks the main job: a panic button, an alarm on the screen, its camera live, who looked and why on
// disk at the station before, claim and acknowledgement seen by a second dispatcher.
func TestE2EAlarmWithPicture(t *testing.T) { eachBroker(t, alarmWithPicture) }

func alarmWithPicture(t *testing.T, c *centre) {
	must(t, "dispatch", "user", "--dir", c.dir, "zhao", "--password", password)
	url, _ := newCamera(t, "--plate", "浙H12345")
	p := caoping(c)
	p.cameras = []string{url}
	v := p.build(t)
	v.start()
	v.online()

	wang, zhao := newBrowser(t, "zh-CN"), newBrowser(t, "en")
	wang.enter(c)
	zhao.enterAs(c, "zhao", password)
	v.set("panic", 1)
	e := c.awaitStored(v.id, "the panic button", zoneActive("panic"))
	wang.choose(e.Name())
	first := wang.look()
	stats := wang.framesGrow(15)
	t.Logf("first frame %s after the click; %+v", first, stats)
	if stats.FrameWidth != 480 || stats.FrameHeight != 272 || stats.PacketsLost != 0 {
		t.Errorf("picture: %+v", stats)
	}
	if !strings.Contains(stats.Cipher, "GCM") {
		t.Errorf("cipher %q: want AES-GCM", stats.Cipher)
	}
	wang.checkTimecode(t)
	v.checkAudit(t, c)

	card := fmt.Sprintf("li.card[data-alarm-id=%q]", e.Name())
	wang.do(press("Enter"))
	zhao.await("the claim on the other screen", fmt.Sprintf(`document.querySelector(%q)?.dataset.state === "claimed" && document.querySelector(%q).innerText.includes("wang")`, card, card))
	wang.screenshot("dispatch-zh")
	zhao.choose(e.Name())
	zhao.screenshot("dispatch-en-other")
	wang.do(press("a"))
	zhao.await("the acknowledgement on the other screen", fmt.Sprintf(`(document.querySelector(%q)?.dataset.state ?? "acknowledged") === "acknowledged"`, card))
	wang.stopLooking()
	closed := c.awaitStored(v.id, "the viewing's end", func(e event.Event) bool { return e.Kind == event.KindViewingClosed })
	if n, _ := closed.Body.Uint(event.TagPackets); n == 0 {
		t.Errorf("viewing closed without packets: %+v", closed)
	}
	checkOnce(t, c.stored(v.id))
}

// checkTimecode reads the camera's clock off the pixels: the picture is live, and this camera's.
func (b *browser) checkTimecode(t *testing.T) {
	t.Helper()
	var ages []float64
	eventually(t, "five readable time codes", func() error {
		ms, err := value[float64](b, readTimecode)
		if err == nil && ms >= 0 {
			ages = append(ages, ms)
		}
		if len(ages) < 5 {
			return fmt.Errorf("read %v, %v", ages, err)
		}
		return nil
	})
	for _, ms := range ages {
		if ms > 2000 {
			t.Errorf("a frame is %.0f ms old", ms)
		}
	}
	t.Logf("glass to glass, ms: %v", ages)
}

// checkAudit finds the entry that must be on disk before the first packet.
func (v *village) checkAudit(t *testing.T, c *centre) {
	t.Helper()
	opened := c.awaitStored(v.id, "the audit entry", func(e event.Event) bool { return e.Kind == event.KindViewingOpened })
	for tag, want := range map[event.Tag]string{event.TagWho: dispatcher, event.TagRole: "dispatcher", event.TagCamera: "gate"} {
		if got, _ := opened.Body.Text(tag); got != want {
			t.Errorf("audit entry says %s = %q, want %q", tag, got, want)
		}
	}
	if purpose, _ := opened.Body.Text(event.TagPurpose); purpose == "" {
		t.Error("audit entry without a purpose")
	}
	if time.Since(opened.At) > time.Minute {
		t.Errorf("audit entry of %s", opened.At)
	}
}

// TestE2ENoRuleNoPicture: what no rule allows is denied, told to the dispatcher, and kept.
func TestE2ENoRuleNoPicture(t *testing.T) { eachBroker(t, noRuleNoPicture) }

func noRuleNoPicture(t *testing.T, c *centre) {
	url, _ := newCamera(t)
	p := caoping(c)
	p.cameras, p.roles = []string{url}, "supervisor"
	v := p.build(t)
	v.start()
	v.online()
	var problem struct{ Kind, Message string }
	code := c.login().ask("POST", "/api/viewings", map[string]string{
		"station": v.id, "camera": "gate", "profile": "main", "purpose": "verify", "offer": "v=0\r\n",
	}, &problem)
	if code/100 == 2 {
		t.Fatal("a dispatcher got the picture that only supervisors may see")
	}
	t.Logf("HTTP %d %+v", code, problem)
	e := c.awaitStored(v.id, "the refusal", func(e event.Event) bool { return e.Kind == event.KindViewingRefused })
	if why, _ := e.Body.Text(event.TagReason); why != "denied" {
		t.Errorf("reason %q", why)
	}
}
